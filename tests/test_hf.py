"""Reading any config.json: understood, or refused by the key's name; never wrong, never a crash."""

import copy
import json
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from parity import parameters, reference
from test_hf_dense import GEMMA3, GPT2, LLAMA, MISTRAL, QWEN3_MOE, SMOLLM3
from test_hf_moe import GLM, LLAMA4, OSS, V1, V2, V3

import core
from core.hf import BY_TYPE, FAMILIES, from_hf, load_weights, opened, to_hf
from core.hf.families import multimodal, multimodal_own_code
from core.hf.reading.config import NEUTRAL

BASES = [GEMMA3, GPT2, LLAMA, MISTRAL, QWEN3_MOE, SMOLLM3, GLM, LLAMA4, OSS, V1, V2, V3]
odd = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**12) | st.floats() | st.text(max_size=6) | st.just("10" * 3000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(BASES), st.data())
def test_any_value_of_any_key_is_read_or_refused(base, data):
    config = copy.deepcopy(base)
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(
            st.sampled_from([*base, "rope_scaling", "rope_parameters", "rope_theta", "quantization_config", "layer_types", "dtype"])
        )
        config[key] = data.draw(odd)
    try:
        arch = from_hf(config)
    except core.Unsupported as error:
        assert 5 < len(str(error)) < 600 and "\n" not in str(error)
    else:
        assert core.cost(arch).parameters > 0


DENSE = dict(attention=dict(no_op=True), ffn=dict(ffn_mult=1.0))
SIZES = dict(vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (dict(architectures=["LlamaForCausalLM", 10**5000]), "architectures"),
        (dict(model_type="qwen2_vl_text", rope_scaling=dict(type=[])), "rope_scaling.type"),
        (dict(model_type="hunyuan_v1_moe", num_experts=[]), "num_experts"),
        (dict(model_type="mimo_v2", rope_parameters=True), "rope_parameters"),
        (dict(model_type="step3p5", rope_parameters=-1), "rope_parameters"),
        (dict(model_type="step3p5", query_pre_attn_scalar=0), "query_pre_attn_scalar"),
        (V3 | dict(model_type="deepseek_v32", index_topk=123_456_789), "parts.attention.indexer.top_k"),
        (dict(model_type="deepseek_vl_v2", language_config=SIZES), "language_config.n_routed_experts"),
        (SIZES | dict(model_type="baichuan"), "model_max_length"),
        (dict(model_type="chatglm", rope_ratio=16, _name_or_path="THUDM/chatglm2-6b-32k"), "rope_ratio"),
    ],
)
def test_what_would_be_guessed_or_crash_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=f"^{key}"):
        from_hf(config)


def test_a_default_counts_where_a_key_is_absent():
    deci = dict(model_type="nemotron-nas", num_hidden_layers=1, block_configs=[DENSE])
    assert from_hf(deci) == from_hf(deci | dict(hidden_size=4096))
    with pytest.raises(core.Unsupported, match="hidden_size"):  # as in transformers 5: no size is null
        from_hf(deci | dict(hidden_size=None))


@pytest.mark.parametrize("value", [None, [], "llama", 3, {}, {"model_type": 3}, {"model_type": "nothing"}, {3: 4}, {"model_type": None}])
def test_what_is_no_config_is_refused(value):
    with pytest.raises(core.Unsupported):
        from_hf(value)


@pytest.mark.parametrize("base", BASES, ids=lambda b: b["model_type"])
def test_an_unknown_key_is_refused_by_name_and_value(base):
    with pytest.raises(core.Unsupported, match=r"ssm_state_size: 128"):
        from_hf(base | {"ssm_state_size": 128})
    for empty in (None, False, [], {}):
        assert from_hf(base | {"ssm_state_size": empty}) == from_hf(base)


@pytest.mark.parametrize("base", BASES, ids=lambda b: b["model_type"])
def test_keys_that_change_nothing_change_nothing(base):
    neutral = {"use_cache": False, "bos_token_id": 1, "eos_token_id": [2, 3], "attention_dropout": 0.1, "transformers_version": "9.9"}
    assert from_hf(base | neutral) == from_hf(base)


@pytest.mark.parametrize("base", BASES, ids=lambda b: b["model_type"])
def test_neutral_keys_are_not_the_architectures(base):
    """No key that a family takes for its architecture is among those that are passed over."""
    understood = set(base) - {"model_type", "pad_token_id"}
    assert not understood & NEUTRAL


def test_the_old_and_the_new_form_of_rope_are_one():
    old = from_hf(LLAMA | {"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2.0}})
    new = from_hf(LLAMA | {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}})
    assert old == new and old.position.scaling.factor == 2.0


@pytest.mark.parametrize("name", core.presets())
def test_a_presets_config_says_the_preset(name):
    """to_hf and back, through JSON, for each preset; transformers counts the same, where it means the same by the type."""
    arch = core.load(name)
    config = json.loads(json.dumps(to_hf(arch)))
    assert from_hf(config) == arch
    config.pop("strata")
    config.pop("quantization_config", None)
    others = {"git"} if config["architectures"] != ["BailingMoeV2_5ForCausalLM"] else {"bailing_hybrid"}  # they mean another model
    if config["model_type"] in {*transformers.CONFIG_MAPPING} - others:
        with torch.device("meta"):
            assert parameters(reference(config)) == core.cost(arch).parameters


def test_an_edit_that_a_family_cannot_say_is_refused():
    edited = core.spec.edited(core.load("gpt2"), "parts.attention.scores.sinks", True)
    with pytest.raises(core.Unsupported, match=r"no known config\.json"):
        to_hf(edited)


def test_weights_that_do_not_fit_are_refused_by_name():
    model = core.build(from_hf(LLAMA), device="cpu")
    tensors = reference(LLAMA).state_dict()
    load_weights(model, tensors)
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(core.Unsupported, match=name):
        load_weights(model, {k: v for k, v in tensors.items() if k != name})
    with pytest.raises(core.Unsupported, match=r"up_proj.*shape"):
        load_weights(model, tensors | {name: tensors[name][:-1]})
    with pytest.raises(core.Unsupported, match=r"extra.*not in the architecture"):
        load_weights(model, tensors | {"model.layers.1.extra.weight": torch.zeros(3)})


def test_a_checkpoint_may_have_other_tables_and_a_wrappers_names():
    model, theirs = core.build(from_hf(GEMMA3), device="cpu"), reference(GEMMA3)
    tensors = theirs.state_dict()
    wrapped = {name.replace("model.", "model.language_model.", 1): t for name, t in tensors.items()}
    wrapped |= {"model.vision_tower.a.weight": torch.zeros(1), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(1)}
    load_weights(model, wrapped)
    assert torch.equal(model.embedding.weight, theirs.model.embed_tokens.weight)


def test_every_family_is_tried():
    """By some test of logits: the file names the type."""
    written = "".join(file.read_text() for file in Path(__file__).parent.glob("test_hf_*.py"))
    alone = {"kimi_k2", "mistral3", "gemma3", "llama4", "gpt-sw3"}  # another family's keys, or a wrapper of one
    alone |= {"RefinedWeb", "RefinedWebModel", "mimo_v2"}  # their makers' own names for what transformers calls otherwise
    alone |= {*multimodal.TYPES, *multimodal.OWN.values(), *multimodal_own_code.TYPES}  # whose tests go through their tables
    assert {name for name in BY_TYPE if f'"{name}"' not in written} <= alone


def test_each_type_has_one_family():
    types = [model_type for family in FAMILIES for model_type in family.TYPES]
    assert len(types) == len(set(types))


def test_a_refusal_says_which_of_its_numbers_is_a_default():
    config = {"model_type": "qwen3", "hidden_size": 1024, "num_attention_heads": 12, "head_dim": 128}
    with pytest.raises(core.Unsupported, match=r"32 equal groups.*num_key_value_heads is not in the file; 32 is the class's default$"):
        opened(config)
    with pytest.raises(core.Unsupported, match=r"give 1, 2, 3, 4, 6 or 12$"):
        opened(config | {"num_key_value_heads": 32})
