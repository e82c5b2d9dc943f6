"""quantization_config: what each method stores narrow, what it keeps, what is refused, and the way back."""

import json
import re
from pathlib import Path

import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

import core
from core.__main__ import main
from core.hf import BY_TYPE, from_hf, to_hf
from core.hf.reading import quantised
from core.hf.weights.module_names import WRAPPED, Names
from core.library import parse_text, to_yaml
from core.precision import CACHE_FORMATS, FORMATS

LLAMA = dict(
    model_type="llama", vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, tie_word_embeddings=False,
)  # fmt: skip
QWEN = dict(
    model_type="qwen2_moe", vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=128, shared_expert_intermediate_size=256,
)  # fmt: skip

NEMOTRON = dict(
    model_type="nemotron_h", vocab_size=1024, hidden_size=256, intermediate_size=1024, num_hidden_layers=2, hybrid_override_pattern="M-",
    num_attention_heads=4, num_key_value_heads=2, head_dim=64, mamba_num_heads=8, mamba_head_dim=64, ssm_state_size=64, n_groups=1,
    tie_word_embeddings=False,
)  # fmt: skip


def compressed(ignore=("lm_head",), **weights) -> dict:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": group}, "ignore": list(ignore),
        "kv_cache_scheme": None, "quantization_status": "compressed",
    }  # fmt: skip


NVFP4 = dict(num_bits=4, type="float", strategy="tensor_group", group_size=16)
INT4 = dict(num_bits=4, type="int", strategy="group", group_size=32, symmetric=True, dynamic=False, actorder=None)
EVERYTHING = {"attention", "dense"}
CASES = {
    "awq": (dict(quant_method="awq", bits=4, group_size=128, version="gemm", zero_point=True), dict.fromkeys(EVERYTHING, "uint4_g128")),
    "gptq": (dict(quant_method="gptq", bits=4, group_size=64, desc_act=True, sym=True), dict.fromkeys(EVERYTHING, "uint4_g64")),
    "gptq in 8 bits": (dict(quant_method="gptq", bits=8, group_size=128), dict.fromkeys(EVERYTHING, "int8_g128")),
    "compressed": (compressed(**INT4), dict.fromkeys(EVERYTHING, "int4")),
    "compressed, attention kept": (compressed(["re:.*self_attn.*", "lm_head"], **INT4), {"dense": "int4"}),
    "compressed, one matrix kept": (
        compressed(["lm_head", *(f"model.layers.{n}.mlp.down_proj" for n in range(4))], **INT4),
        {"attention": "int4", "dense": "int4", "dense.down": "bf16"},
    ),
    "compressed fp8": (compressed(num_bits=8, type="float", strategy="channel"), dict.fromkeys(EVERYTHING, "fp8_row")),
    "nvfp4": (compressed(num_bits=4, type="float", strategy="tensor_group", group_size=16), dict.fromkeys(EVERYTHING, "nvfp4")),
    "compressed, the head too": (compressed([], **INT4), dict.fromkeys({*EVERYTHING, "head"}, "int4")),
    "compressed, a format a group": (
        {**compressed(), "format": "mixed-precision", "config_groups": {
            "a": {"targets": ["re:.*self_attn.*"], "weights": dict(num_bits=8, type="float", strategy="channel")},
            "b": {"targets": [f"model.layers.{n}.mlp.{m}_proj" for n in range(4) for m in ("gate", "up")], "weights": NVFP4},
        }},
        {"attention": "fp8_row", "dense": "nvfp4", "dense.down": "bf16"},
    ),
    "compressed, without its method's name": (
        {key: value for key, value in compressed(**INT4).items() if key != "quant_method"}, dict.fromkeys(EVERYTHING, "int4")
    ),
    "fbgemm": (dict(quant_method="fbgemm_fp8"), dict.fromkeys(EVERYTHING, "fp8_row")),
    "fbgemm, attention kept": (
        dict(quant_method="fbgemm_fp8", modules_to_not_convert=[f"model.layers.{n}.self_attn" for n in range(4)]),
        {"dense": "fp8_row"},
    ),
    "fp8": (dict(quant_method="fp8", weight_block_size=[128, 128]), dict.fromkeys(EVERYTHING, "fp8_block")),
    "fp8, a regular expression as transformers has it": (
        dict(quant_method="fp8", weight_block_size=[128, 128], modules_to_not_convert=[r"model\.layers\.\d+\.mlp", "lm_head"]),
        {"attention": "fp8_block"},
    ),
    "fp8, without its method's name": (
        dict(activation_scheme="dynamic", fmt="e4m3", weight_block_size=[128, 128]), dict.fromkeys(EVERYTHING, "fp8_block")
    ),
    "awq, attention kept": (
        dict(quant_method="awq", bits=4, group_size=128, zero_point=True, modules_to_not_convert=["self_attn"]), {"dense": "uint4_g128"}
    ),
    "awq, without its method's name": (
        dict(w_bit=4, q_group_size=128, zero_point=True, version="GEMM"), dict.fromkeys(EVERYTHING, "uint4_g128")
    ),
    "gptq, attention kept": (
        dict(quant_method="gptq", bits=4, group_size=128, dynamic={"-:.*attn.*": {}, "lm_head": {}, "-:.*visual.*": {}}),
        {"dense": "uint4_g128"},
    ),
    "gptq, attention alone": (
        dict(quant_method="gptq", bits=4, group_size=128, modules_in_block_to_quantize=[
            ["self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj"], ["self_attn.o_proj"],
        ]),
        {"attention": "uint4_g128"},
    ),
    "gptq, tuned by auto-round": (
        dict(quant_method="gptq", bits=4, group_size=128, amp=True, iters=200, data_type="int", autoround_version="0.3", lr=0.005,
             lm_head=False, enable_minmax_tuning=True),
        dict.fromkeys(EVERYTHING, "uint4_g128"),
    ),
    "compressed, zeros that are stored": (
        compressed(**INT4) | {"sparsity_config": {"format": "dense", "global_sparsity": 0.1, "ignore": [], "targets": []}},
        dict.fromkeys(EVERYTHING, "int4"),
    ),
    "auto-round by its maker's name": (
        dict(quant_method="intel/auto-round", bits=4, group_size=128), dict.fromkeys(EVERYTHING, "uint4_g128")
    ),
    "bitsandbytes that says its bits": (
        dict(quant_method="bitsandbytes", load_in_4bit=True, bits=4), dict.fromkeys(EVERYTHING, "nf4_fp32")
    ),
    "auto-round": (
        dict(quant_method="auto-round", bits=4, group_size=128, sym=True, data_type="int", packing_format="auto_round:auto_gptq",
             extra_config={f"model.layers.{n}.self_attn.{m}_proj": {"bits": 16} for n in range(4) for m in "qkvo"}),
        {"dense": "uint4_g128"},
    ),
    "modelopt": (dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head"]), dict.fromkeys(EVERYTHING, "nvfp4")),
    "modelopt, a glob that begins with *": (
        dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head", "*.mlp.down_proj*"]),
        {"attention": "nvfp4", "dense": "nvfp4", "dense.down": "bf16"},
    ),
    "modelopt, more than 64 globs": (
        dict(quant_method="modelopt", quant_algo="NVFP4",
             ignore=["lm_head", *(f"model.layers.{n}.self_attn*" for n in range(4)), *(f"a{n}*" for n in range(5_000))]),
        {"dense": "nvfp4"},
    ),
    "modelopt, pairs of globs": (
        dict(quant_method="modelopt", quant_algo="nvfp4", ignore=[f"model.layers.{n}.self_attn{e}" for n in range(4) for e in ("", ".*")]),
        {"dense": "nvfp4", "head": "nvfp4"},
    ),
    "modelopt, as hf_quant_config.json has it": (
        dict(producer=dict(name="modelopt", version="0.33.0"),
             quantization=dict(quant_algo="NVFP4", kv_cache_quant_algo="FP8", group_size=16, exclude_modules=["lm_head"])),
        dict.fromkeys(EVERYTHING, "nvfp4"),
    ),
    "modelopt, before its method had a name": (
        dict(producer=dict(name="modelopt", version="0.31.0"), quant_algo="FP8", kv_cache_scheme="FP8", ignore=["lm_head"]),
        dict.fromkeys(EVERYTHING, "fp8"),
    ),
    "modelopt, caches alone": (
        dict(producer=dict(name="modelopt"), quantization=dict(quant_algo=None, kv_cache_quant_algo="FP8")), {},
    ),
    "modelopt, a format a module": (
        dict(quant_method="modelopt", quant_algo="MIXED_PRECISION", ignore=["mtp*"], quantized_layers={
            **{f"model.layers.{n}.self_attn.{m}_proj": {"quant_algo": "FP8"} for n in range(4) for m in "qkvo"},
            **{f"model.layers.{n}.mlp": {"quant_algo": "W4A16_NVFP4", "group_size": 16} for n in range(4)},
        }),
        {"attention": "fp8", "dense": "nvfp4"},
    ),
    "four bits of bitsandbytes": (
        dict(quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type="nf4",
             bnb_4bit_use_double_quant=True),
        dict.fromkeys(EVERYTHING, "nf4"),
    ),
    "four bits of bitsandbytes, as its own defaults have them": (
        dict(quant_method="bitsandbytes", load_in_4bit=True), dict.fromkeys(EVERYTHING, "nf4_fp32"),
    ),
    "four bits of bitsandbytes, scales in 32": (
        dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=False),
        dict.fromkeys(EVERYTHING, "nf4_fp32"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_method_says_what_is_stored_narrow(name):
    config, expected = CASES[name]
    arch = from_hf(LLAMA | {"quantization_config": config})
    assert dict(arch.precision) == {"default": "bf16"} | expected
    assert arch.model_copy(update={"precision": from_hf(LLAMA).precision}) == from_hf(LLAMA), "nothing else changes"
    assert not arch.unsized and core.cost(arch).weight_bytes
    if len(set(expected.values())) < 2 and not set(expected.values()) & {"int8_g128", "nf4", "nf4_fp32"}:
        assert from_hf(to_hf(arch)) == arch


def test_experts_routers_and_gates():
    arch = from_hf(QWEN | {"quantization_config": compressed(["lm_head", "re:.*self_attn.*", "re:.*mlp.gate$"], **INT4)})
    shapes = {"experts.gate": (8, 128, 256), "shared.up": (256, 256)}
    assert all(arch.format(f"moe.{path}", shape) == "int4" for path, shape in shapes.items())
    for path in ("attention.q.weight", "moe.router.weight", "moe.shared_gate.weight", "embedding", "head"):
        assert arch.format(path, (8, 256)) == "bf16"
    assert from_hf(to_hf(arch)) == arch


def test_a_wrappers_names_and_its_own_place_for_the_configuration():
    ignore = ["model.language_model.layers.*.self_attn", "model.visual", "lm_head"]
    quantised = {"quant_method": "fp8", "weight_block_size": [128, 128], "modules_to_not_convert": ignore}
    text = {k: v for k, v in LLAMA.items() if k != "model_type"} | {"model_type": "mistral"}
    wrapper = {"model_type": "mistral3", "text_config": text, "vision_config": {}}
    outer = from_hf(wrapper | {"quantization_config": quantised})
    inner = from_hf(wrapper | {"text_config": text | {"quantization_config": quantised}})
    assert outer.precision == inner.precision == {"default": "bf16", "dense": "fp8_block"}


# ---- what cannot be sized ----

UNSIZED = {
    "one layer kept": (dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["model.layers.0*"]), "in some layers or experts"),
    "one layer's module kept": (
        dict(quant_method="fp8", weight_block_size=[128, 128], modules_to_not_convert=["model.layers.3.self_attn.o_proj"]), "attention.o"
    ),
    "steps that only some tools find": (dict(quant_method="fbgemm_fp8", modules_to_not_convert=["self_attn"]), "tools differ"),
    "letters of a step": (dict(quant_method="awq", bits=4, modules_to_not_convert=["mlp.gate"]), "tools differ"),
    "awq in odd groups": (dict(quant_method="awq", bits=4, group_size=100), "group_size"),
    "fp8 in other blocks": (dict(quant_method="fp8", weight_block_size=[64, 64]), "weight_block_size"),
    "an unknown key": (dict(quant_method="awq", bits=4, group_size=128, surprise=1), "surprise"),
    "zeros that are left out": (
        compressed(**INT4) | {"sparsity_config": {"format": "sparse-24-bitmask", "sparsity_structure": "2:4"}}, "sparsity_config.format"
    ),
    "zeros that are left out, and nothing else": (
        dict(quant_method="compressed-tensors", format="dense", config_groups={}, sparsity_config={"format": "sparse-24-bitmask"}),
        "sparsity_config.format",
    ),
    "modules of another model to pack": (
        dict(quant_method="gptq", bits=4, group_size=128, modules_in_block_to_quantize=[["attn.c_attn"], ["mlp.c_fc"]]), "attn.c_attn"
    ),
    "a group of another class": (compressed(**INT4) | {"config_groups": {"a": {"targets": ["Embedding"], "weights": INT4}}}, "Embedding"),
    "an expression that looks ahead": (compressed(["re:(?!.*experts).*"], **INT4), "not an expression that Strata reads"),
    "values that are not packed": (compressed(**INT4) | {"format": "dense"}, "format"),
    "a list that is none": (dict(quant_method="modelopt", quant_algo="FP8", ignore="lm_head"), "ignore"),
    "gptq with settings of a module's own": (
        dict(quant_method="gptq", bits=4, group_size=128, dynamic={"+:.*down.*": {"bits": 8}}), "dynamic"
    ),
    "two groups for all linear maps": (
        compressed() | {"config_groups": {name: {"targets": ["Linear"], "weights": w} for name, w in (("a", INT4), ("b", NVFP4))}}, "Linear"
    ),
    "nvfp4 that scales its inputs": (dict(quant_method="modelopt", quant_algo="NVFP4_AWQ"), "NVFP4_AWQ"),
    "no method": (dict(bits=8), "does not say how"),
    "gptq that says no bits": (dict(quant_method="gptq", group_size=128), "bits"),
    "a group that says no bits": (compressed(strategy="channel"), "no format of the spec"),
    "mlx": (dict(group_size=64, bits=4), "MLX"),
    **{name: (dict(quant_method=name, bits=4), name) for name in (
        "exl2", "exl3", "torchao", "hqq", "aqlm", "quip", "spqr", "vptq", "higgs", "eetq", "quanto", "quark", "fp_quant", "sinq", "nobody",
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", UNSIZED)
def test_bytes_that_cannot_be_told_are_all_that_is_refused(name):
    config, why = UNSIZED[name]
    arch, plain = from_hf(LLAMA | {"quantization_config": config}), core.cost(from_hf(LLAMA))
    assert why in arch.unsized and arch.unsized.startswith("quantization_config") and "architecture" not in arch.unsized
    found = core.cost(arch)
    assert found.weight_bytes is None and found.unsized == arch.unsized == found.derivation("weight_bytes")
    for figure in ("parameters", "active_parameters", "kv_bytes_per_token", "kv_bytes", "prefill_flops", "decode_flops"):
        assert getattr(found, figure) == getattr(plain, figure)
    assert {row.weight_bytes for row in found.rows} == {None} and json.loads(json.dumps(found.to_dict()))["weight_bytes"] is None
    given_format = core.Workload(weights="int4")
    assert core.cost(arch, given_format).weight_bytes == core.cost(from_hf(LLAMA), given_format).weight_bytes
    moved = core.diff(from_hf(LLAMA), arch).figures
    assert moved.keys() == {"weight_bytes", "read_bytes"} and moved["weight_bytes"] == (plain.weight_bytes, None)
    for back in (core.decode(core.encode(arch)), parse_text(to_yaml(arch)), from_hf(to_hf(arch))):
        assert back == arch and back.unsized


WITHOUT = [
    "model.layers.9.mlp.up_proj", "model.layers.0.mlp.up_porj", "trunk.layers.0.mlp.up_proj", "mlp.experts.0.up_proj",
    "transformer.h.0.mlp", "model.layers.0.self_attn.in_proj", "blocks.1", "mystery",
]  # fmt: skip
BESIDE = [
    "lm_head", "model.embed_tokens", "model.norm", "visual", "model.visual.blocks.0.attn.qkv", "vision_tower", "multi_modal_projector",
    "model.vision_tower.vision_model.encoder.layers.0.mlp.fc1", "mtp", "mtp.fc", "mtp.layers.0.mlp.up_proj", "router", "gate", "mlp.gate",
    "shared_expert_gate", "merger", "modality_projection", "audio_tower", "model.layers.0.mlp.gate", "embed_vision", "q_norm",
]  # fmt: skip


def lists(entry: str) -> list[dict]:
    return [
        dict(quant_method="modelopt", quant_algo="FP8", ignore=["lm_head", entry]),
        dict(quant_method="modelopt", quantization=dict(quant_algo="FP8", exclude_modules=["lm_head", entry])),
        dict(quant_method="fp8", weight_block_size=[128, 128], modules_to_not_convert=[entry]),
        dict(quant_method="awq", bits=4, group_size=128, modules_to_not_convert=[entry]),
        dict(quant_method="bitsandbytes", load_in_4bit=True, llm_int8_skip_modules=[entry]),
        dict(quant_method="auto-round", bits=4, group_size=128, extra_config={entry: {"bits": 16}}),
        compressed(["lm_head", entry], **INT4),
    ]


@pytest.mark.parametrize("entry", WITHOUT)
def test_a_name_of_what_the_model_does_not_have_leaves_the_bytes_unsized(entry):
    for config in lists(entry):
        arch = from_hf(LLAMA | {"quantization_config": config})
        assert f"{entry!r} is no module of this model" in arch.unsized


@pytest.mark.parametrize("entry", BESIDE)
def test_names_that_lists_have_whatever_the_model_has_are_passed_over(entry):
    for config in lists(entry):
        if config["quant_method"] == "awq" and entry.endswith("gate"):
            continue  # whose letters begin gate_proj too: `tools differ`
        assert not from_hf(LLAMA | {"quantization_config": config}).unsized


@pytest.mark.parametrize("entry", ["model.embed_tokens", "model.norm", "model.layers.0.input_layernorm", *WITHOUT])
def test_what_is_said_to_be_narrow_is_sized_or_not_passed_over(entry):
    layers = {f"model.layers.{n}.mlp": {"quant_algo": "NVFP4"} for n in range(4)}
    mixed = dict(quant_method="modelopt", quant_algo="MIXED_PRECISION", quantized_layers=layers | {entry: {"quant_algo": "NVFP4"}})
    chosen = compressed() | {"config_groups": {"a": {"targets": ["Linear", entry], "weights": INT4}}}
    for config in (mixed, chosen):
        assert "that is stored narrow" in from_hf(LLAMA | {"quantization_config": config}).unsized
    assert from_hf(LLAMA | {"quantization_config": mixed | dict(quantized_layers=layers)}).precision["dense"] == "nvfp4"


@pytest.mark.parametrize("nothing", [None, False, {}, []])
@pytest.mark.parametrize("key", ["quantization_config", "quantization", "compression_config"])
def test_nothing_said_of_stored_formats_is_nothing(key, nothing):
    assert from_hf(LLAMA | {key: nothing}) == from_hf(LLAMA)


@pytest.mark.parametrize(
    "said",
    [{key: value} for key in ("torch_dtype", "dtype") for value in ("auto", "float8_e4m3fn", "int8", 8, True, {"": "bfloat16"})]
    + [dict(quantization="q4f16_1"), dict(quantization=4), dict(quantization_config="awq"), dict(quantization_config="mxfp4")]
    + [dict(quantization_bit=4), dict(quip_params=dict(codebook="E8P12")), dict(quant_settings={'w': 4}), dict(load_in_4bit=True)],
)  # fmt: skip
def test_a_word_for_the_bytes_that_is_not_known_leaves_the_rest(said):
    plain = core.cost(from_hf(LLAMA))
    for config in (LLAMA | said, dict(model_type="llava", text_config=LLAMA) | said, dict(model_type="llava", text_config=LLAMA | said)):
        arch = from_hf(config)
        assert next(iter(said)) in arch.unsized and core.cost(arch).weight_bytes is None
        assert core.cost(arch).parameters == plain.parameters and core.cost(arch).kv_bytes == plain.kv_bytes


@pytest.mark.parametrize("model_type", ["mixtral", "qwen3_moe"])
def test_a_router_that_awq_keeps_is_no_part_of_experts_unless_their_names_have_its_letters(model_type):
    config = TEXT | dict(model_type=model_type, num_local_experts=8)
    config = config if model_type == "qwen3_moe" else {key: config[key] for key in config.keys() - {"moe_intermediate_size", "num_experts"}}
    arch = from_hf(config | {"quantization_config": dict(quant_method="awq", bits=4, modules_to_not_convert=["gate"])})
    assert "tools differ" in arch.unsized if model_type == "qwen3_moe" else arch.format("moe.experts.gate", (2, 2)) == "uint4_g128"


def test_mlx_says_it_under_two_keys():
    arch = from_hf(LLAMA | {key: dict(group_size=64, bits=4, mode="affine") for key in ("quantization", "quantization_config")})
    assert "MLX" in arch.unsized
    other = from_hf(LLAMA | dict(quantization=dict(group_size=64, bits=4), quantization_config=dict(quant_method="exl2")))
    assert "contradicts" in other.unsized


def test_four_bits_of_bitsandbytes_by_hand():
    """A scale of 32 bits for 64 values is half a bit a value; a quantised one an eighth."""
    bnb = dict(quant_method="bitsandbytes", load_in_4bit=True)
    narrow = 4 * (256 * 64 * (4 + 2 + 2 + 4) + 3 * 256 * 512)
    plain = core.cost(from_hf(LLAMA)).weight_bytes
    assert core.cost(from_hf(LLAMA | {"quantization_config": bnb})).weight_bytes == plain - narrow * 11.5 / 8
    double = bnb | dict(bnb_4bit_use_double_quant=True)
    assert core.cost(from_hf(LLAMA | {"quantization_config": double})).weight_bytes == plain - narrow * 11.875 / 8


@pytest.mark.parametrize("model", [LLAMA, NEMOTRON, LLAMA | dict(model_type="qwen3")], ids=["llama", "nemotron_h", "qwen3"])
def test_mxfp4_without_experts_is_not_sized(model):
    arch = from_hf(model | {"quantization_config": dict(quant_method="mxfp4")})
    assert "routed experts" in arch.unsized and core.cost(arch).weight_bytes is None


def test_mxfp4_of_more_than_the_experts_is_not_sized():
    config = dict(
        model_type="gpt_oss", vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2,
    )  # fmt: skip
    sized = from_hf(config | {"quantization_config": dict(quant_method="mxfp4", modules_to_not_convert=["model.layers.*.self_attn"])})
    assert not sized.unsized and core.cost(sized).weight_bytes
    arch = from_hf(config | {"quantization_config": dict(quant_method="mxfp4", modules_to_not_convert=["model.layers.0.mlp.experts"])})
    assert "experts" in arch.unsized and core.cost(arch).weight_bytes is None


def test_norms_that_are_not_the_familys_are_refused():
    with pytest.raises(core.Unsupported, match="use_rms_norm"):
        from_hf(LLAMA | {"model_type": "bitnet", "quantization_config": dict(quant_method="bitnet", use_rms_norm=True)})


def test_the_page_and_the_command_line_say_that_bytes_are_not_known(tmp_path, capsys):
    from app.kit import charts

    config = tmp_path / "config.json"
    config.write_text(json.dumps(LLAMA | {"quantization_config": {"quant_method": "exl2", "bits": 4.5}}))
    for command in ("show", "cost"):
        assert main([command, str(config)]) == 0
        said = capsys.readouterr().out
        assert "not known" in said and "'exl2'" in said
    assert main(["cost", str(config), "--json"]) == 0
    assert "'exl2'" in json.loads(capsys.readouterr().out)["unsized"]
    assert main(["diff", "smollm3-3b", str(config)]) == 0 and "not known" in capsys.readouterr().out
    assert main(["import", str(config)]) == 0 and "# The bytes" in capsys.readouterr().out
    page = AppTest.from_file(str(Path(charts.__file__).parents[1] / "pages" / "workbench.py"), default_timeout=60)
    page.query_params["a"] = core.encode(core.load(config))
    pieces = [piece.proto.body for piece in page.run().get("html")]
    assert not page.exception and sum("known" in piece for piece in pieces) == 2  # a figure, and why
    bars = charts.memory(core.load(config), core.Workload(), False).data
    assert all(list(bar.y) == ["bf16", "fp8", "int4"] and all(n >= 0 for n in bar.x) for bar in bars)


# ---- other names, other families ----


@pytest.mark.parametrize("begin", WRAPPED)
@pytest.mark.parametrize("glob", [False, True])
def test_a_wrappers_layers_are_known_by_any_spelling(begin, glob):
    text = {k: v for k, v in LLAMA.items() if k != "model_type"} | {"model_type": "qwen2"}
    ignore = [
        "*lm_head",
        *(f"{begin}layers.{n}.mlp{'*' if glob else '.' + m}" for n in range(4) for m in ("gate_proj", "up_proj", "down_proj")),
    ]
    config = dict(quant_method="modelopt", quant_algo="NVFP4", ignore=ignore)
    arch = from_hf({"model_type": "llava_onevision", "text_config": text, "vision_config": {}, "quantization_config": config})
    assert dict(arch.precision) == {"default": "bf16", "attention": "nvfp4"} and not arch.unsized


@pytest.mark.parametrize("begin", ["backbone.", "model.", "language_model.backbone."])
def test_a_state_space_models_own_names_are_known(begin):
    """By hand: without the list all but the embedding, the head and small tensors are a byte a value; in_proj of layer 0 has
    (2 * 512 + 2 * 64 + 8) * 256 values, which the list keeps at two."""
    ignore = ["lm_head", f"{begin}layers.0.mixer.in_proj"]
    kept = from_hf(NEMOTRON | {"quantization_config": dict(quant_method="modelopt", quant_algo="FP8", ignore=ignore)})
    every = from_hf(NEMOTRON | {"quantization_config": dict(quant_method="modelopt", quant_algo="FP8", ignore=ignore[:1])})
    assert core.cost(kept).weight_bytes == 2_306_864
    assert core.cost(kept).weight_bytes - core.cost(every).weight_bytes == (3 * 512 + 2 * 64 + 8 - 512) * 256


@pytest.mark.parametrize("model_type", ["nemotron_h", "mamba2", "xlstm", "gpt2", "gpt_neox", "falcon", "opt"])
def test_every_familys_own_names_are_known(model_type):
    family = BY_TYPE[model_type]
    arch = from_hf(transformers.AutoConfig.for_model(model_type).to_dict() | {"model_type": model_type})
    for path, ways in [*quantised._matrices(arch, family)][:8]:
        for name in (name.removesuffix(".weight") for way in ways for name in way.names):
            assert name in Names(below=[name]) and name in Names(exact=[name]) and name in Names(whole=[re.escape(name)]), path


def test_an_experts_own_exception_is_seen():
    every = [f"model.layers.{n}.mlp.experts.{e}.up_proj" for n in range(4) for e in range(8)]
    kept = from_hf(QWEN | {"quantization_config": compressed(["lm_head", *every], **INT4)})
    assert kept.format("moe.experts.up", (8, 128, 256)) == "bf16" and kept.format("moe.experts.down", (8, 256, 128)) == "int4"
    assert "moe.experts.up" in from_hf(QWEN | {"quantization_config": compressed(["lm_head", *every[:-1]], **INT4)}).unsized


def test_modules_that_predict_ahead_are_asked_too():
    config = json.loads(json.dumps(to_hf(core.load("deepseek-v3"))))
    config = {k: v for k, v in config.items() if k not in ("strata", "quantization_config")}
    ahead = config["num_hidden_layers"]
    nvfp4 = dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head", "*self_attn*"])
    assert dict(from_hf(config | {"quantization_config": nvfp4}).precision).items() >= {"moe": "nvfp4", "dense": "nvfp4"}.items()
    kept = {**nvfp4, "ignore": [*nvfp4["ignore"], f"model.layers.{ahead}*"]}
    assert "moe.experts" in from_hf(config | {"quantization_config": kept}).unsized


TEXT = dict(
    vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2, head_dim=64,
    moe_intermediate_size=128, num_experts=8, num_experts_per_tok=2, rope_parameters={"rope_type": "default", "rope_theta": 1e4},
)  # fmt: skip


@pytest.mark.parametrize(
    ("model_type", "text"),
    [
        ("qwen3_vl_moe", "qwen3_vl_moe_text"), ("qwen3_omni_moe_thinker", "qwen3_omni_moe_text"), ("internvl", "qwen3_moe"),
        ("internvl_chat", "qwen3"), ("qwen2_5_vl", "qwen2_5_vl_text"), ("llava", "mistral"),
    ],
)  # fmt: skip
def test_a_wrappers_matrices_have_its_text_models_names(model_type, text):
    dense = text not in ("qwen3_vl_moe_text", "qwen3_omni_moe_text", "qwen3_moe")
    inner = {k: v for k, v in TEXT.items() if not (dense and ("expert" in k or "moe" in k))} | {"model_type": text}
    outer = {"model_type": model_type, ("llm_config" if model_type == "internvl_chat" else "text_config"): inner, "vision_config": {}}
    ignore = ["lm_head", "model.language_model.lm_head", "*.self_attn.*", "*.mlp.gate"]
    arch = from_hf(outer | {"quantization_config": dict(quant_method="modelopt", quant_algo="NVFP4", ignore=ignore)})
    (name,) = (name for name in arch.parts if name != "attention")
    narrow = {path: fmt for path, fmt in arch.precision.items() if fmt == "nvfp4"}
    assert not arch.unsized and narrow == {name: "nvfp4"} and arch.format("moe.router.weight", (8, 256)) == "bf16"


# ---- sizes by hand, of repositories that are published ----

QWEN3_SMALL = dict(  # Qwen3-0.6B
    model_type="qwen3", hidden_size=1024, intermediate_size=3072, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=8,
    head_dim=128, vocab_size=151936, max_position_embeddings=40960, tie_word_embeddings=True,
)  # fmt: skip
QWEN3_235B = dict(
    model_type="qwen3_moe", hidden_size=4096, intermediate_size=12288, moe_intermediate_size=1536, num_hidden_layers=94,
    num_attention_heads=64, num_key_value_heads=4, head_dim=128, num_experts=128, num_experts_per_tok=8, vocab_size=151936,
    tie_word_embeddings=False,
)  # fmt: skip
NVFP4_BITS = 4.5  # a value and its share of a scale
ATTENTION, FEED_FORWARD = 28 * 1024 * 128 * (16 + 8 + 8 + 16), 28 * 3 * 1024 * 3072
REST = 596_049_920 - ATTENTION - FEED_FORWARD


def modelopt(ignore: list[str], algorithm: str = "NVFP4") -> dict:
    return dict(
        quant_method="modelopt", quant_algo=algorithm, producer=dict(name="modelopt", version="0.41.0"), ignore=["lm_head", *ignore]
    )


@pytest.mark.parametrize(
    ("ignore", "narrow"),
    [
        ([], ATTENTION + FEED_FORWARD),
        (["*.mlp.down_proj*"], ATTENTION + FEED_FORWARD * 2 // 3),
        (
            [*(f"model.layers.{n}.{m}*" for n in range(28) for m in ("self_attn", "mlp.down_proj")), *(f"a{n}*" for n in range(10))],
            FEED_FORWARD * 2 // 3,
        ),
    ],
)  # fmt: skip
def test_small_qwen_by_hand(ignore, narrow):
    found = core.cost(from_hf(QWEN3_SMALL | {"quantization_config": modelopt(ignore)}))
    assert found.parameters == 596_049_920
    assert found.weight_bytes == (596_049_920 - narrow) * 2 + narrow * NVFP4_BITS / 8
    assert ignore or found.weight_bytes == 559_022_080


def test_a_large_qwen_by_its_hf_quant_config_and_by_hand():
    gates = [f"model.layers.{n}.mlp.gate" for n in range(94)]
    beside = dict(producer=dict(name="modelopt", version="0.33.0"), quantization=dict(
        quant_algo="NVFP4", kv_cache_quant_algo="FP8", group_size=16, exclude_modules=["lm_head", *gates]))  # fmt: skip
    found = core.cost(from_hf(QWEN3_235B | {"quantization_config": beside}))
    narrow = 94 * (4096 * 128 * (64 + 4 + 4 + 64) + 128 * 3 * 4096 * 1536)
    assert found.weight_bytes == (found.parameters - narrow) * 2 + narrow * NVFP4_BITS / 8
    assert found.parameters == 235_093_634_560 and round(found.weight_bytes / 1e9) == 134


@given(name=st.sampled_from(sorted(FORMATS)), experts=st.integers(1, 5), rows=st.integers(1, 300), columns=st.integers(1, 300))
def test_stacked_matrices_are_stored_one_by_one(name, experts, rows, columns):
    fmt = FORMATS[name]
    if rows * columns * fmt.bits % 8 == 0 and fmt.scale_bytes((rows, columns)) * 8 % max(fmt.scale_bits, 1) == 0:
        alone = fmt.scale_bytes((rows, columns))
        assert abs(fmt.bytes((experts, rows, columns)) - experts * (rows * columns * fmt.bits // 8 + alone)) <= experts


def test_every_format_can_hold_weights_and_those_without_blocks_a_cache():
    arch = core.load("deepseek-v3")
    for name in FORMATS:
        assert core.cost(arch, core.Workload(weights=name)).weight_bytes > 0
        try:
            workload = core.Workload(cache=name)
        except ValueError as error:
            assert "cache" in str(error) and name not in CACHE_FORMATS
        else:
            assert core.cost(arch, workload).kv_bytes > 0
