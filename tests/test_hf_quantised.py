"""quantization_config: what each method stores narrow, what it keeps, what is refused, and the way back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import core
from core.hf import from_hf, to_hf
from core.precision import CACHE_FORMATS, FORMATS

LLAMA = dict(
    model_type="llama", vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, tie_word_embeddings=False,
)  # fmt: skip
QWEN = dict(
    model_type="qwen2_moe", vocab_size=512, hidden_size=256, intermediate_size=512, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=128, shared_expert_intermediate_size=256,
)  # fmt: skip


def compressed(ignore=("lm_head",), **weights) -> dict:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": None, "output_activations": None}
    return {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": group}, "ignore": list(ignore),
        "kv_cache_scheme": None, "quantization_status": "compressed",
    }  # fmt: skip


INT4 = dict(num_bits=4, type="int", strategy="group", group_size=32, symmetric=True, dynamic=False, actorder=None)
EVERYTHING = {"attention", "dense"}
CASES = {
    "awq": (dict(quant_method="awq", bits=4, group_size=128, version="gemm", zero_point=True), dict.fromkeys(EVERYTHING, "uint4_g128")),
    "gptq": (dict(quant_method="gptq", bits=4, group_size=64, desc_act=True, sym=True), dict.fromkeys(EVERYTHING, "uint4_g64")),
    "gptq in 8 bits": (dict(quant_method="gptq", bits=8, group_size=128), dict.fromkeys(EVERYTHING, "int8_g128")),
    "compressed": (compressed(**INT4), dict.fromkeys(EVERYTHING, "int4")),
    "compressed, attention kept": (compressed(["re:.*self_attn.*", "lm_head"], **INT4), {"dense": "int4"}),
    "compressed, one matrix kept": (
        compressed([f"model.layers.{n}.mlp.down_proj" for n in range(4)], **INT4),
        {"attention": "int4", "dense": "int4", "dense.down": "bf16"},
    ),
    "compressed fp8": (compressed(num_bits=8, type="float", strategy="channel"), dict.fromkeys(EVERYTHING, "fp8_row")),
    "nvfp4": (compressed(num_bits=4, type="float", strategy="tensor_group", group_size=16), dict.fromkeys(EVERYTHING, "nvfp4")),
    "fbgemm": (dict(quant_method="fbgemm_fp8", modules_to_not_convert=["self_attn"]), dict.fromkeys(EVERYTHING, "fp8_row")),
    "fbgemm, attention kept": (
        dict(quant_method="fbgemm_fp8", modules_to_not_convert=[f"model.layers.{n}.self_attn" for n in range(4)]),
        {"dense": "fp8_row"},
    ),
    "fp8": (dict(quant_method="fp8", weight_block_size=[128, 128]), dict.fromkeys(EVERYTHING, "fp8_block")),
    "modelopt": (dict(quant_method="modelopt", quant_algo="NVFP4", ignore=["lm_head"]), dict.fromkeys(EVERYTHING, "nvfp4")),
    "four bits of bitsandbytes": (
        dict(quant_method="bitsandbytes", load_in_4bit=True, load_in_8bit=False, bnb_4bit_quant_type="nf4"),
        dict.fromkeys(EVERYTHING, "nf4"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_method_says_what_is_stored_narrow(name):
    config, expected = CASES[name]
    arch = from_hf(LLAMA | {"quantization_config": config})
    assert dict(arch.precision) == {"default": "bf16"} | expected
    assert arch.model_copy(update={"precision": from_hf(LLAMA).precision}) == from_hf(LLAMA), "nothing else changes"
    if not set(expected.values()) & {"int8_g128", "nf4"}:
        assert from_hf(to_hf(arch)) == arch


def test_experts_routers_and_gates():
    arch = from_hf(QWEN | {"quantization_config": compressed(["re:.*self_attn.*", "re:.*mlp.gate$"], **INT4)})
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


@given(
    name=st.sampled_from(sorted(FORMATS)),
    experts=st.integers(1, 5),
    rows=st.integers(1, 300),
    columns=st.integers(1, 300),
)
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
