"""What a config.json leaves out is listed with the class's default: held equal to transformers' own classes."""

import json

import pytest
from transformers import CONFIG_MAPPING

import core
from core.__main__ import main
from core.hf import BY_TYPE, defaults, from_hf, opened, to_hf

TYPES = sorted(BY_TYPE.keys() & CONFIG_MAPPING.keys())
# Where the class has nothing, and the model computes it, or says it in another way.
COMPUTED = {
    ("codegen", "n_inner"), ("gpt-sw3", "n_inner"), ("gpt2", "n_inner"), ("gpt_bigcode", "n_inner"), ("gptj", "n_inner"),
    ("gpt_neo", "intermediate_size"), ("gemma3n", "intermediate_size"), ("gemma3n_text", "intermediate_size"),
    ("granitemoehybrid", "position_embedding_type"), ("nemotron", "num_key_value_heads"), ("bailing_hybrid", "head_dim"),
    ("inkling_mm_model", "unpadded_vocab_size"), ("inkling_text", "unpadded_vocab_size"), ("hrm_text", "num_hidden_layers"),
    ("qwen2_5_omni_text", "tie_word_embeddings"),
}  # fmt: skip


def usual(config, key: str):
    """What transformers' class says of a key by itself; a KeyError if nothing."""
    for name in key.split("."):
        ropes = getattr(config, "rope_parameters", None) or {}
        try:
            config = getattr(config, name)
        except Exception:  # it has a class of error of its own for what layers differ in
            config = ropes[name]
    return config


@pytest.mark.parametrize("model_type", TYPES)
def test_listed_defaults_are_those_of_transformers_class(model_type):
    try:
        config, found = CONFIG_MAPPING[model_type](), defaults({"model_type": model_type})
    except core.Unsupported as refused:  # a wrapper needs its text_config, and some types their number of experts
        assert any(words in str(refused) for words in ("is missing", "None is not supported"))
        return
    for one in found:
        if (model_type, one.key.rpartition(".")[2]) in COMPUTED:
            continue
        try:
            said = usual(config, one.key)
        except KeyError:
            continue
        assert said == one.value, one


@pytest.mark.parametrize("model_type", [t for t in TYPES if t not in ("mimo_v2_flash", "dots3_note", "dots3_note_text")][::3])
def test_a_whole_config_leaves_out_little(model_type):
    """A file as transformers writes it whole: only keys that its classes do not know are listed."""
    config = CONFIG_MAPPING[model_type]()
    try:
        found = defaults(config.to_dict())
    except core.Unsupported:
        return
    assert len(found) <= 1
    for one in found:
        assert one.key not in config.to_dict()


def test_they_are_told():
    config = {"model_type": "llama", "hidden_size": 1024, "num_attention_heads": 8}
    found = {one.key: one for one in defaults(config)}
    assert "hidden_size" not in found and "num_attention_heads" not in found
    assert str(found["vocab_size"]) == "vocab_size is not in the file; 32,000 is the class's default"
    assert str(found["tie_word_embeddings"]) == "tie_word_embeddings is not in the file; false is the class's default"
    assert found["num_key_value_heads"].value == 8 and "head_dim" not in found  # that one follows from the others
    arch = opened(config)
    assert arch == from_hf(config).model_copy(update={"note": arch.note})
    assert arch.note.startswith("Not in the config.json, so defaults of the model's class: vocab_size 32,000, ")
    assert core.decode(core.encode(arch)).note == arch.note


def test_a_file_that_says_all_has_no_such_note():
    arch = core.load("llama-3.2-1b")
    config = to_hf(arch)
    assert from_hf(config) == arch
    assert not defaults(config)
    assert opened({key: value for key, value in config.items() if key != "strata"}).note is None


def test_many_of_them_fit_a_note():
    note = opened({"model_type": "deepseek_v3", "hidden_size": 7168}).note
    assert len(note) <= 1_000 and note.endswith(".")


def test_import_prints_them(tmp_path, capsys):
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "qwen3", "hidden_size": 1024}')
    assert main(["import", str(path)]) == 0
    assert "note: 'Not in the config.json" in capsys.readouterr().out
    assert main(["import", str(path), "--json"]) == 0
    assert "tie_word_embeddings false" in json.loads(capsys.readouterr().out)["note"]
