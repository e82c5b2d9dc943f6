"""Text from a checkpoint on disk: Strata's own model, transformers' weights and words."""

import json

import pytest
import torch
from parity import perturb, reference
from test_hf_dense import GPT2, QWEN3
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import core
from core.__main__ import main
from core.generate import generate
from core.hf import from_hf
from core.spec import Unsupported

WORDS = "the river had frozen by time ada reached mill and nobody could say how long ice would hold".split()


@pytest.fixture(scope="module", params=[GPT2, QWEN3 | {"tie_word_embeddings": True}], ids=lambda c: c["model_type"])
def checkpoint(request, tmp_path_factory):
    """A small checkpoint as transformers saves it, and its model."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    model = reference(request.param)
    perturb(model)
    model.generation_config.eos_token_id = None
    model.save_pretrained(folder, max_shard_size="40KB")
    tokenizer = Tokenizer(models.BPE(vocab={chr(c): i for i, c in enumerate(range(32, 126))}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder, model, request.param


def test_the_text_is_that_of_transformers(checkpoint, capsys):
    folder, model, _ = checkpoint
    assert len(list(folder.glob("*.safetensors"))) > 1, "sharded"
    arch = from_hf(json.loads((folder / "config.json").read_text()))
    prompt = "the river "
    ids = torch.tensor([[ord(c) - 32 for c in prompt]])
    with torch.inference_mode():
        theirs = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0)
    expected = "".join(chr(32 + int(i)) if i < 94 else "" for i in theirs[0, ids.shape[1] :])
    assert "".join(generate(arch, folder, prompt, tokens=12)) == expected
    assert main(["generate", str(folder / "config.json"), "--weights", str(folder), "--prompt", prompt, "--tokens", "12"]) == 0
    assert capsys.readouterr().out == expected + "\n"
    warm = ["".join(generate(arch, folder, prompt, 12, temperature=3.0, seed=seed)) for seed in (1, 1, 2)]
    assert warm[0] == warm[1] != warm[2]


def test_another_architecture_is_refused(checkpoint):
    folder, _, config = checkpoint
    other = from_hf(config | ({"n_layer": 2} if "n_layer" in config else {"rope_theta": 77.0}))
    with pytest.raises(Unsupported, match="another architecture"):
        list(generate(other, folder, "the river"))


def test_what_is_missing_is_named(checkpoint, tmp_path):
    folder, *_ = checkpoint
    arch = from_hf(json.loads((folder / "config.json").read_text()))
    with pytest.raises(Unsupported, match=r"tokenizer\.json"):
        list(generate(arch, tmp_path, "the river", 8))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(Unsupported, match="is not a tokenizer"):
        list(generate(arch, tmp_path, "the river", 8))
    (tmp_path / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    with pytest.raises(Unsupported, match="no safetensors"):
        list(generate(arch, tmp_path, "the river", 8))
    (tmp_path / "model.safetensors").write_bytes(b"not one")
    with pytest.raises(Unsupported, match="cannot be read"):
        list(generate(arch, tmp_path, "the river", 8))
    for prompt, words in (("", "empty"), ("the river" * 60, "reads")):
        with pytest.raises(Unsupported, match=words):
            list(generate(arch, folder, prompt))
    assert core.presets()
