"""Checkpoints' headers against their config.json: those that transformers saves, sharded, tied, narrow, packed; and broken ones."""

import json
import math
import os
import struct

import pytest
import torch
from clock import within
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import reference
from safetensors.torch import load_file, save_file
from test_hf_quantised import INT4, LLAMA, compressed

import core
from core.__main__ import main
from core.verify import compare

SMALL = LLAMA | dict(vocab_size=300, num_hidden_layers=2)
MOE = dict(
    model_type="qwen3_moe", vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32,
)  # fmt: skip
OSS = dict(
    model_type="gpt_oss", vocab_size=64, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, num_local_experts=4, num_experts_per_tok=2, tie_word_embeddings=False,
)  # fmt: skip
GPT2 = dict(model_type="gpt2", n_layer=2, n_embd=48, n_head=4, vocab_size=64)


def saved(folder, config: dict, dtype=torch.bfloat16, **settings):
    """A checkpoint as transformers saves it."""
    model = reference(config).to(dtype)
    model.config.dtype = dtype
    model.save_pretrained(folder, **settings)
    (folder / "config.json").write_text(json.dumps(config | {"dtype": str(dtype).removeprefix("torch.")}))
    return folder


def rewritten(folder, config: dict, change) -> None:
    """The same checkpoint with its tensors changed and another config.json."""
    tensors = load_file(folder / "model.safetensors")
    save_file({name: t.contiguous() for name, t in change(tensors).items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    "config",
    [SMALL, SMALL | {"tie_word_embeddings": True}, MOE, OSS, GPT2],
    ids=["llama", "tied", "experts", "gpt-oss", "gpt2"],
)  # fmt: skip
@pytest.mark.parametrize("sharded", [False, True])
def test_what_transformers_saves_is_exact(tmp_path, config, sharded):
    found = core.verify(saved(tmp_path, config, max_shard_size="40KB" if sharded else "1GB"))
    assert found.exact, found.differences
    assert len(list(tmp_path.glob("*.safetensors"))) > 1 or not sharded
    assert found.parameters == found.expected_parameters == core.cost(found.architecture).parameters
    assert found.bytes == found.expected_bytes == 2 * found.parameters


def fp8(tensors: dict) -> dict:
    """Linear maps in blocks of 128 x 128 with their scales beside them."""
    out = {}
    for name, t in tensors.items():
        if "_proj" in name:
            blocks = [-(-n // 128) for n in t.shape]
            out[name], out[f"{name}_scale_inv"] = t.to(torch.float8_e4m3fn), torch.ones(blocks, dtype=torch.float32)
        else:
            out[name] = t
    return out


def int4(tensors: dict) -> dict:
    out = {}
    for name, t in tensors.items():
        if "_proj" in name:
            rows, columns = t.shape
            base = name.removesuffix(".weight")
            out[f"{base}.weight_packed"] = torch.zeros(rows, columns // 8, dtype=torch.int32)
            out[f"{base}.weight_scale"] = torch.ones(rows, columns // 32, dtype=torch.bfloat16)
        else:
            out[name] = t
    return out


def awq(tensors: dict) -> dict:
    out = {}
    for name, t in tensors.items():
        if "_proj" in name:
            rows, columns = t.shape
            base, groups = name.removesuffix(".weight"), columns // 128
            out[f"{base}.qweight"] = torch.zeros(columns, rows // 8, dtype=torch.int32)
            out[f"{base}.qzeros"] = torch.zeros(groups, rows // 8, dtype=torch.int32)
            out[f"{base}.scales"] = torch.ones(groups, rows, dtype=torch.float16)
        else:
            out[name] = t
    return out


def mxfp4(tensors: dict) -> dict:
    out = {}
    for name, t in tensors.items():
        if name.endswith(("gate_up_proj", "down_proj")):  # (E, in, out) becomes (E, out, in) in blocks of 32
            experts, d_in, d_out = t.shape
            out[f"{name}_blocks"] = torch.zeros(experts, d_out, d_in // 32, 16, dtype=torch.uint8)
            out[f"{name}_scales"] = torch.zeros(experts, d_out, d_in // 32, dtype=torch.uint8)
        else:
            out[name] = t
    return out


NARROW = {
    "fp8": (SMALL, fp8, dict(quant_method="fp8", weight_block_size=[128, 128])),
    "int4": (SMALL, int4, compressed(**INT4)),
    "awq": (SMALL, awq, dict(quant_method="awq", bits=4, group_size=128)),
    "mxfp4": (OSS, mxfp4, dict(quant_method="mxfp4")),
}


@pytest.mark.parametrize("name", NARROW)
def test_narrow_formats_are_unpacked_by_their_headers(tmp_path, name):
    config, change, quantised = NARROW[name]
    config = config | {"quantization_config": quantised, "dtype": "bfloat16"}
    rewritten(saved(tmp_path, NARROW[name][0]), config, change)
    found = core.verify(tmp_path)
    assert found.exact, found.differences
    assert found.parameters == found.expected_parameters
    assert found.bytes == found.expected_bytes == core.cost(found.architecture).weight_bytes


def test_what_differs_is_said_tensor_by_tensor(tmp_path):
    saved(tmp_path, SMALL)
    gone, wrong, extra = ("model.layers.1.mlp.up_proj.weight", "model.layers.0.self_attn.q_proj.weight", "model.layers.0.extra.weight")

    def broken(tensors):
        tensors.pop(gone)
        tensors[wrong] = tensors[wrong][:-8]
        tensors["model.norm.weight"] = tensors["model.norm.weight"].float()
        return tensors | {extra: torch.zeros(3)}

    rewritten(tmp_path, SMALL, broken)
    found = core.verify(tmp_path)
    assert not found.exact and len(found.differences) == 4
    said = "\n".join(found.differences)
    assert f"{gone}: is missing" in said and f"{wrong}: has shape" in said and f"{extra}: is in the checkpoint" in said
    assert "model.norm.weight: stored as F32, but the config.json says bf16" in said


def test_another_models_config_is_not_this_checkpoints(tmp_path):
    saved(tmp_path, SMALL)
    assert core.verify(tmp_path).exact
    assert not core.verify(tmp_path, core.from_hf(SMALL | {"num_hidden_layers": 3})).exact
    assert not core.verify(tmp_path, core.from_hf(SMALL | {"num_key_value_heads": 4})).exact


def test_what_sees_images_stands_apart(tmp_path):
    saved(tmp_path, SMALL)
    rewritten(tmp_path, SMALL, lambda t: t | {"vision_tower.patch.weight": torch.zeros(10)})
    found = core.verify(tmp_path)
    assert found.exact and found.apart == {"other": 40}


def test_a_gguf_file_is_read_by_llama_cpps_names(tmp_path):
    gguf = pytest.importorskip("gguf")
    model = reference(SMALL)
    known = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, SMALL["num_hidden_layers"])
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    for name, tensor in model.state_dict().items():
        writer.add_tensor(known.get_name(name, try_suffixes=(".weight",)), tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = core.verify(tmp_path / "model.gguf", core.from_hf(SMALL))
    assert found.exact, found.differences
    assert found.parameters == found.expected_parameters and found.bytes == 4 * found.parameters
    assert not core.verify(tmp_path / "model.gguf", core.from_hf(SMALL | {"num_hidden_layers": 3})).exact
    with pytest.raises(core.Unsupported, match=r"llama\.block_count: is missing from the header"):
        core.verify(tmp_path / "model.gguf")


def test_a_gguf_file_of_another_kind_is_said(tmp_path):
    file = tmp_path / "model.gguf"
    file.write_bytes(gguf_of(tensors=tensor(), many=1).replace(said(b"llama"), said(b"qwen2")) + bytes(64))
    assert "general.architecture: is 'qwen2', but the config.json says llama" in core.verify(file, PLAIN).differences
    file.write_bytes(gguf_of(tensors=tensor(), many=1) + bytes(64))
    assert "general.architecture" not in str(core.verify(file, PLAIN).differences)
    assert "general.architecture" not in str(core.verify(file, core.from_hf(SMALL | {"model_type": "mistral"})).differences)
    file.write_bytes(gguf_of().replace(said(b"llama"), said(b"clip")))
    with pytest.raises(core.Unsupported, match=r"encoder of a language model \(mmproj\)"):
        core.verify(file, PLAIN)


def test_what_cannot_be_sized_is_compared_by_names_and_the_shapes_that_are_known(tmp_path, capsys):
    """MLX packs a matrix in a way of its own; norms and what stays wide are as they are."""
    arch = core.from_hf(SMALL | {"quantization": {"group_size": 64, "bits": 4}})
    headers = dict(HEADERS)
    for name, (_, shape) in HEADERS.items():
        base = name.removesuffix(".weight")
        if len(shape) == 2:
            headers[name] = ("U32", (shape[0], shape[1] // 8))
            headers[f"{base}.scales"] = headers[f"{base}.biases"] = ("F16", (shape[0], shape[1] // 64))
    found = compare("x", arch, headers)
    assert found.exact and "not compared" in found.verdict
    assert found.parameters is None and found.expected_bytes is None and json.dumps(found.to_dict())
    gone = "model.layers.0.mlp.up_proj"
    headers = {name: one for name, one in headers.items() if not name.startswith(gone)}
    found = compare("x", arch, headers | {"model.norm.weight": ("BF16", (3,)), "extra.weight": ("BF16", (3,))})
    assert len(found.differences) == 3
    for words in (f"{gone}.weight: is missing", "model.norm.weight: has shape (3,)", "extra.weight: is in the checkpoint"):
        assert words in str(found.differences)
    saved(tmp_path, SMALL)
    (tmp_path / "config.json").write_text(json.dumps(SMALL | {"quantization": {"group_size": 64, "bits": 4}}))
    assert main(["verify", str(tmp_path)]) == 0
    assert "not known" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"GGUF", b"\xff" * 64, b"\x08\0\0\0\0\0\0\0{}      "])
@pytest.mark.parametrize("name", ["model.safetensors", "model.gguf"])
def test_files_that_are_none_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    try:
        assert not core.verify(tmp_path / name).exact
    except core.Unsupported as error:
        assert name in str(error)


def test_the_command_line(tmp_path, capsys):
    assert main(["verify", str(saved(tmp_path, SMALL))]) == 0
    assert "names, shapes and stored types" in capsys.readouterr().out
    assert main(["verify", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"] is True
    assert main(["verify", str(tmp_path), "--as", "gpt2"]) == 1
    assert main(["verify", str(tmp_path / "nowhere")]) == 2


# ---- headers that lie ----

PLAIN = core.from_hf(SMALL | {"dtype": "bfloat16"})
HEADERS = {name: ("BF16", tuple(t.shape)) for name, t in reference(SMALL).state_dict().items()}
Q = "model.layers.0.self_attn.q_proj"


def differences(changed: dict, arch: core.Architecture = PLAIN) -> str:
    return "\n".join(compare("x", arch, HEADERS | changed).differences)


def test_a_matrix_that_lies_on_its_side_is_said():
    assert not differences({})
    for name, (_, shape) in HEADERS.items():
        for other in {shape[::-1], (1, *shape), (*shape, 1), (math.prod(shape),)} - {shape}:
            assert f"{name}: has shape {other}" in differences({name: ("BF16", other)})


STRAYS = [
    "lm_head.weight_scale", f"{Q}.weight_scale_inv", f"{Q}.input_scale", f"{Q}.g_idx", f"{Q}.weight.absmax", f"{Q}.SCB", f"{Q}.scales",
    f"{Q}.qzeros", f"{Q}.weight_shape", f"{Q}.weight.quant_state.bitsandbytes__nf4", f"{Q}.weight_zero_point", f"{Q}.scale",
    "model.norm.weight_scale", "model.embed_tokens.weight_scale", "model.nothing.weight_scale", f"{Q}.k_scale", "model.layers.9.scales",
]  # fmt: skip


@pytest.mark.parametrize("name", STRAYS)
@pytest.mark.parametrize("shape", [(), (1,), (1_048_576,), (64, 1)])
def test_what_stands_beside_a_matrix_must_be_of_its_format(name, shape):
    """A bf16 matrix has no scales, and no tensor is passed over because its name ends like one."""
    assert f"{name}: " in differences({name: ("F32", shape)})


FP8 = core.from_hf(SMALL | {"quantization_config": dict(quant_method="fp8", weight_block_size=[128, 128])})


def in_fp8(beside: str = "_scale_inv", **shapes: tuple) -> dict:
    """The headers of fp8 in blocks, but for some scales of another shape."""
    narrow = {name: ("F8_E4M3", shape) for name, (_, shape) in HEADERS.items() if "_proj" in name}
    blocks = {name: tuple(-(-n // 128) for n in shape) for name, (_, shape) in narrow.items()}
    return narrow | {f"{name}{beside}": ("F32", blocks[name]) for name in narrow} | {n: ("F32", s) for n, s in shapes.items()}


def test_scales_have_one_value_a_block():
    assert not differences(in_fp8(), FP8)
    scale = f"{Q}.weight_scale_inv"
    shapes = [(256, 1), (1, 256), (256, 256), (4,), (2, 2, 1), (1,), (), (1_048_576,)]
    for one in [*(("F32", shape) for shape in shapes), ("F64", (2, 2)), ("I32", (2, 2)), ("F8_E8M0", (2, 2))]:
        assert f"{scale}: has shape {one[1]} of {one[0]}" in differences(in_fp8() | {scale: one}, FP8)
    twice = differences(in_fp8() | {f"{Q}.weight_scale": ("F32", (2, 2))}, FP8)
    assert "a matrix has its scales only once" in twice
    assert "lm_head.weight_scale_inv: " in differences(in_fp8(**{"lm_head.weight_scale_inv": (3, 1)}), FP8)
    without = {name: one for name, one in in_fp8().items() if name != scale}
    assert f"{Q}.weight: is stored as fp8_block, but the scales of its blocks are missing" in differences(without, FP8)


SCALED = {  # of a (256, 256) matrix, as published tools write them; and what the same format does not have
    "fp8": (
        dict(quant_method="fp8"), ".weight_scale_inv", [("F32", ()), ("BF16", (1,))], [("F32", (256,)), ("F64", ()), ("F32", (1, 1, 1))],
    ),
    "fp8_row": (
        dict(quant_method="fbgemm_fp8"), ".weight_scale", [("F32", (256, 1)), ("F32", (256,))],
        [("F32", (1,)), ("F32", (1, 256)), ("F32", ())],
    ),
    "int8": (
        dict(load_in_8bit=True, quant_method="bitsandbytes"), ".SCB", [("F32", (256,))],
        [("F32", (32,)), ("I8", (256,)), ("F32", (256, 256))],
    ),
    "int4": (compressed(**INT4), ".weight_scale", [("BF16", (256, 8))], [("BF16", (256, 2)), ("F64", (256, 8)), ("BF16", (256 * 8,))]),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALED)
def test_each_format_says_the_shapes_and_types_of_its_scales(name):
    quantised, ending, right, wrong = SCALED[name]
    arch = core.from_hf(SMALL | {"quantization_config": quantised})
    dtype = {"int8": "I8", "int4": "I32"}.get(name, "F8_E4M3")

    def said(kind: str, shape: tuple) -> str:
        headers = {}
        for matrix, (_, size) in HEADERS.items():
            base, narrow = matrix.removesuffix(".weight"), "_proj" in matrix
            if not narrow:
                headers[matrix] = HEADERS[matrix]
                continue
            headers[f"{base}.weight_packed" if name == "int4" else matrix] = (dtype, (size[0], size[1] // (8 if name == "int4" else 1)))
            usual = {"fp8": (), "fp8_row": (size[0], 1), "int8": (size[0],), "int4": (size[0], size[1] // 32)}[name]
            headers[base + ending] = (kind, shape) if base == Q else ("F32", usual)
        return "\n".join(compare("x", arch, headers).differences)

    for one in right:
        assert not said(*one)
    for one in wrong:
        assert f"{Q}{ending}: has shape {one[1]} of {one[0]}" in said(*one)


def test_bitsandbytes_and_bitnet_have_what_they_have():
    quantised = dict(load_in_4bit=True, quant_method="bitsandbytes", bnb_4bit_use_double_quant=True)
    nf4 = core.from_hf(SMALL | {"quantization_config": quantised})
    found, bitnet = {}, {}
    for name, (dtype, shape) in HEADERS.items():
        count = math.prod(shape)
        found[name], bitnet[name] = (dtype, shape), (dtype, shape)
        if "_proj" in name:
            found[name], bitnet[name] = ("U8", (count // 2, 1)), ("U8", (shape[0] // 4, shape[1]))
            found[f"{name}.absmax"] = ("U8", (count // 64,))
            found |= {f"{name}.quant_map": ("F32", (16,)), f"{name}.nested_quant_map": ("F32", (256,))}
            found[f"{name}.nested_absmax"] = ("F32", (-(-count // 64 // 256),))
            found[f"{name}.quant_state.bitsandbytes__nf4"] = ("U8", (90,))
            bitnet[f"{name}_scale"] = ("BF16", (1,))
    assert compare("x", nf4, found).exact
    once = core.from_hf(SMALL | {"quantization_config": quantised | {"bnb_4bit_use_double_quant": False}})
    wide = {name: ("F32", head[1]) if name.endswith(".absmax") else head for name, head in found.items() if "nested" not in name}
    assert compare("x", once, wide).exact and not compare("x", once, found).exact and not compare("x", nf4, wide).exact
    one_less = found | {f"{Q}.weight": ("U8", (math.prod(HEADERS[f"{Q}.weight"][1]) // 2 - 1, 1))}
    assert f"{Q}.weight: has shape" in str(compare("x", nf4, one_less).differences)
    ternary = core.from_hf(SMALL | {"quantization_config": dict(quant_method="bitnet")})
    assert compare("x", ternary, bitnet).exact


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({"a.qweight": ("I32", (8, 64)), "a.scales": ("F16", (4,))}, r"a\.scales: has shape \(4,\)"),
        ({"a.qweight": ("I32", (8, 64)), "a.scales": ("F16", (1, 64)), "a.qzeros": ("I32", (8,))}, r"a\.qzeros: has shape \(8,\)"),
        ({"a.qweight": ("I32", (8, 64)), "a.scales": ("F16", (0, 0))}, "do not match"),
        ({"a.qweight": ("I32", (8, 64)), "a.scales": ("F16", (1, 64)), "a.qzeros": ("I32", (3, 8))}, "do not match"),
        ({"a.qweight": ("I32", (8, 64)), "a.scales": ("F16", (1, 64)), "a.qzeros": ("I32", (1, 64))}, "do not match"),
        ({"a.qweight": ("I32", (8,))}, r"a\.qweight: has shape \(8,\)"),
        ({"a.weight_packed": ("I32", ())}, r"a\.weight_packed: .* without dimensions"),
        ({"a.weight_packed": ("I32", (1, 1)), "a.weight_scale": ("F32", ())}, r"a\.weight_scale: has shape \(\)"),
        ({"a.weight": ("U8", ())}, r"a\.weight: .* without dimensions"),
        ({f"{Q}.qweight": ("I32", (8, 64))}, "this matrix twice"),
        ({"language_model.lm_head.weight": ("BF16", (300, 64))}, "has this tensor twice"),
        ({"x": ("BF16", (-1,))}, "whole numbers from 0"),
        ({"x": ("BF16", (1.5,))}, "whole numbers from 0"),
        ({"x": ("BF16", (True,))}, "whole numbers from 0"),
        ({"x": ("BF16", (2**63,))}, "more values than any file"),
        ({"x": ("BF16", (2**32, 2**32))}, "more values than any file"),
        ({"x": ("BF16", (0, 2**32, 2**32))}, "more values than any file"),
        ({"x": ("BF16", (1,) * 9)}, "at most 8"),
        ({"x": ("F3", (1,))}, "'F3', which is not"),
        ({"x": (["F32"], (1,))}, "which is not"),
        ({"x\x1b[2J": ("F32", (1,))}, "not a tensor's name"),
        ({"": ("F32", (1,))}, "not a tensor's name"),
        ({"x" * 2_000: ("F32", (1,))}, "not a tensor's name"),
    ],
    ids=str,
)  # fmt: skip
def test_headers_that_no_checkpoint_has_are_refused(beside, words):
    with pytest.raises(core.Unsupported, match=words):
        compare("x", PLAIN, HEADERS | beside)


ENDINGS = """.weight_packed .weight_scale .qweight .qzeros .scales .g_idx .weight_scale_inv .weight_shape .weight_zero_point .input_scale
    .SCB .weight.absmax .weight.quant_map .scale _scale _scale_inv .weight .weight.weight_scale .bias""".split()
names = st.builds(lambda base, ending: base.removesuffix(".weight") + ending, st.sampled_from(list(HEADERS)), st.sampled_from(ENDINGS))
sizes = st.sampled_from([0, 1, 2, 3, 4, 8, 16, 64, 128, 300, 2**20, 2**31, 2**62, 2**63, -1])
tensors = st.tuples(st.sampled_from(["BF16", "F32", "U8", "I8", "I32", "F8_E4M3", "F4"]), st.lists(sizes, max_size=4).map(tuple))
NARROW_ARCHS = [PLAIN, FP8] + [
    core.from_hf(SMALL | {"quantization_config": quantised})
    for quantised in (
        compressed(**INT4), dict(quant_method="awq", bits=4, group_size=64), dict(load_in_8bit=True, quant_method="bitsandbytes"),
        dict(quant_method="fbgemm_fp8"), dict(quant_method="bitnet"), dict(load_in_4bit=True, quant_method="bitsandbytes"),
    )
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NARROW_ARCHS), st.dictionaries(names, tensors, max_size=6), st.sets(st.sampled_from(list(HEADERS)), max_size=2))
def test_odd_headers_are_said_or_refused(arch, changed, gone):
    headers = {name: one for name, one in (HEADERS | changed).items() if name not in gone}
    try:
        found = compare("x", arch, headers)
    except core.Unsupported:
        return
    assert found.exact == (arch is PLAIN and headers == HEADERS)
    assert json.dumps(found.to_dict())


def test_mxfp4_has_one_scale_for_32_values():
    arch = core.from_hf(OSS | {"quantization_config": dict(quant_method="mxfp4"), "dtype": "bfloat16"})
    plain = {name: t.to(torch.bfloat16) for name, t in reference(OSS).state_dict().items()}
    headers = {n: ("U8" if t.dtype == torch.uint8 else "BF16", tuple(t.shape)) for n, t in mxfp4(plain).items()}
    assert compare("x", arch, headers).exact
    name = "model.layers.0.mlp.experts.down_proj_scales"
    one_for_all = headers | {name: ("U8", (*headers[name][1][:-1], 1))}
    assert "down_proj_blocks: has shape" in str(compare("x", arch, one_for_all).differences)


# ---- files that lie ----


def written(file, header: dict, data: bytes = b"", claimed: int | None = None) -> None:
    text = json.dumps(header).encode()
    file.write_bytes(struct.pack("<Q", len(text) if claimed is None else claimed) + text + data)


ONE = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "claimed"),
    [
        ({"x": ONE | {"shape": [-1]}}, None), ({"x": ONE | {"shape": [2**70]}}, None), ({"x": ONE | {"shape": [1.5]}}, None),
        ({"x": ONE | {"shape": [2**32, 2**32]}}, None), ({"x": ONE | {"dtype": "F3"}}, None),
        ({"x": ONE | {"data_offsets": [0, 2**40]}}, None),
        ({"x": ONE | {"data_offsets": [8, 0]}}, None), ({"x": ONE, "y": ONE}, None), ({"x": None}, None), ({"x": ONE}, 2**40),
        ({"x": ONE}, 2**64 - 1), ({"x": ONE}, 30_000_000), ({"x": ONE}, 0), ({"x": ONE}, 5),
    ],
    ids=str,
)  # fmt: skip
def test_a_safetensors_file_that_lies_is_refused_at_once(tmp_path, header, claimed):
    written(tmp_path / "model.safetensors", header, bytes(8), claimed)
    with within(0.5), pytest.raises(core.Unsupported, match=r"model\.safetensors"):
        core.verify(tmp_path / "model.safetensors", PLAIN)


@pytest.mark.parametrize("many", [4_000, 100_000])
def test_a_file_of_other_tensors_without_end_is_said_at_once(tmp_path, many):
    written(tmp_path / "model.safetensors", {f"t{n}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for n in range(many)})
    core.to_hf(PLAIN)  # what is loaded once
    with within(2.5):
        try:
            found = core.verify(tmp_path / "model.safetensors", PLAIN)
            assert many == 4_000 and len(found.differences) > many
        except core.Unsupported as error:
            assert many == 100_000 and "100,000 tensors" in str(error) and "another model" in str(error)


def test_a_tensor_stands_in_one_file(tmp_path):
    saved(tmp_path, SMALL, max_shard_size="40KB")
    (tmp_path / "model.safetensors.index.json").unlink()
    written(tmp_path / "model-more.safetensors", {"model.norm.weight": ONE}, bytes(8))
    with pytest.raises(core.Unsupported, match=r"'model\.norm\.weight', which another file of the folder also has"):
        core.verify(tmp_path)


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("beside", ["consolidated", "consolidated-00001-of-00002", "adapter_model"])
def test_the_makers_own_files_and_adapters_beside_a_model_are_no_part_of_it(tmp_path, index, beside):
    saved(tmp_path, SMALL, max_shard_size="40KB")
    written(tmp_path / f"{beside}.safetensors", {"model.norm.weight": ONE, "layers.0.wq": ONE | {"data_offsets": [8, 16]}}, bytes(16))
    if not index:
        (tmp_path / "model.safetensors.index.json").unlink()
    assert core.verify(tmp_path).exact
    if index:
        written(tmp_path / "more.safetensors", {"model.norm.weight": ONE}, bytes(8))
        assert core.verify(tmp_path).exact  # the index does not name it


@pytest.mark.parametrize("says", ["", "[]", "{}", '{"weight_map": {"a": "../x.safetensors"}}', '{"weight_map": {"a": "b"}}'])
def test_an_index_that_lies_is_refused(tmp_path, says):
    saved(tmp_path, SMALL, max_shard_size="40KB")
    (tmp_path / "model.safetensors.index.json").write_text(says)
    with pytest.raises(core.Unsupported, match=r"index\.json: (is not an index|names)"):
        core.verify(tmp_path)


@pytest.mark.parametrize("name", ["/etc/passwd", ".", "x" * 5_000, "a\0b", "\ud800", "sub/model.safetensors"])
def test_an_index_names_only_files_of_its_folder(tmp_path, name):
    saved(tmp_path, SMALL, max_shard_size="40KB")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(core.Unsupported, match=r"names .* not a file of this folder"):
        core.verify(tmp_path)


def test_tensors_are_where_the_index_has_them(tmp_path):
    saved(tmp_path, SMALL, max_shard_size="40KB")
    where = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    (a, one), *_, (b, other) = where.items()
    assert one != other
    for change, says in (
        ({"gh\u202eost": one}, [f"'gh\\u202eost': the index has it in {one}, which does not"]),
        ({a: other, b: one}, [f"{b}: is in {other}, where the index does not", f"{a}: is in {one}, where the index does not"]),
    ):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where | change}))
        found = sorted(core.verify(tmp_path).differences)
        assert all(said.startswith(begin) for said, begin in zip(found, sorted(says), strict=True)), found


def test_a_file_is_known_by_its_beginning_and_named_as_what_it_is(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    with pytest.raises(core.Unsupported, match=r"config\.json: is a JSON file; give a safetensors"):
        core.verify(tmp_path / "config.json")
    for name in ("M.GGUF", "model.bin"):
        (tmp_path / name).write_bytes(b"GGUF" + bytes(60))
        with pytest.raises(core.Unsupported, match="cannot be read as GGUF"):
            core.verify(tmp_path / name)


def test_an_adapter_alone_is_no_model(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    written(tmp_path / "adapter_model.safetensors", {"base_model.model.x.lora_A.weight": ONE}, bytes(8))
    with pytest.raises(core.Unsupported, match="no safetensors files of a model"):
        core.verify(tmp_path)
    with pytest.raises(core.Unsupported, match="a PEFT adapter"):
        core.verify(tmp_path / "adapter_model.safetensors")


@pytest.mark.parametrize("begin", ["module.", "_orig_mod.", "base_model.model.", "module._orig_mod."])
def test_what_wraps_every_name_is_said_once(begin):
    found = compare("x", PLAIN, {begin + name: one for name, one in HEADERS.items()})
    assert len(found.differences) == 1 and f"begins with {begin}, which" in found.differences[0]


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    file = saved(tmp_path, SMALL) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(core.Unsupported, match="cannot be read"):
        core.verify(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04" + bytes(90), "a zip archive"), (b"\x80\x02}q", "a Python pickle"), (b"GGUF" + bytes(90), "a GGUF file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"), (None, "not a readable file"),
    ],
)  # fmt: skip
def test_what_is_no_safetensors_file_is_named(tmp_path, content, words):
    file = tmp_path / "model.safetensors"
    os.mkfifo(file) if content is None else file.write_bytes(content)
    for source in (file, tmp_path):
        with pytest.raises(core.Unsupported, match=words):
            core.verify(source, PLAIN)


def said(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def gguf_of(values: bytes = b"", count: int = 0, tensors: bytes = b"", many: int = 0, version: int = 3) -> bytes:
    named = said(b"general.architecture") + struct.pack("<I", 8) + said(b"llama")
    return b"GGUF" + struct.pack("<IQQ", version, many, count + 1) + named + values + tensors


def listed(inner: int, count: int, rest: bytes = b"") -> bytes:
    return said(b"tokenizer.ggml.token_type") + struct.pack("<IIQ", 9, inner, count) + rest


def tensor(name: bytes = b"output.weight", shape: tuple = (2,), kind: int = 0, offset: int = 0, rank: int | None = None) -> bytes:
    sizes = struct.pack(f"<{len(shape)}Q", *shape)
    return said(name) + struct.pack("<I", len(shape) if rank is None else rank) + sizes + struct.pack("<IQ", kind, offset)


LIES = {
    "an array without its bytes": gguf_of(listed(0, 2**40), 1),
    "an array of numbers": gguf_of(listed(5, 2**62), 1),
    "an array of texts": gguf_of(listed(8, 2**63), 1),
    "an array of short texts": gguf_of(listed(8, 5_000_000, bytes(40_000_000)), 1),
    "arrays in arrays": gguf_of(listed(9, 1, struct.pack("<IQ", 9, 1) * 6), 1),
    "an unknown kind": gguf_of(said(b"x") + struct.pack("<I", 77), 1),
    "a text without its bytes": gguf_of(said(b"x") + struct.pack("<IQ", 8, 2**60), 1),
    "a name without its bytes": gguf_of(struct.pack("<Q", 2**60), 1),
    "an array of empty texts": gguf_of(listed(8, 3_900_000, bytes(31_200_000)), 1),
    "tensors without end": gguf_of(tensors=b"".join(tensor(b"%d" % n, (1,)) for n in range(100_000)), many=100_000),
    "keys without end": gguf_of(b"".join(said(b"%d" % n) + bytes(5) for n in range(100_000)), 100_000),
    "more values than there are": gguf_of(b"", 2**60),
    "more tensors than there are": gguf_of(many=2**60),
    "a value twice": gguf_of((said(b"x") + struct.pack("<IB", 0, 1)) * 2, 2),
    "an alignment of 0": gguf_of(said(b"general.alignment") + struct.pack("<II", 4, 0), 1, tensor(), 1),
    "a tensor twice": gguf_of(tensors=tensor() * 2, many=2),
    "a tensor without its bytes": gguf_of(tensors=tensor(shape=(2**40,)), many=1),
    "a size that overflows": gguf_of(tensors=tensor(shape=(2**32, 2**32)), many=1),
    "a size of 0": gguf_of(tensors=tensor(shape=(0, 4)), many=1),
    "a tensor of no dimensions": gguf_of(tensors=tensor(shape=()), many=1),
    "too many dimensions": gguf_of(tensors=tensor(rank=2**31), many=1),
    "an unknown type": gguf_of(tensors=tensor(kind=99), many=1),
    "a broken block": gguf_of(tensors=tensor(shape=(5, 4), kind=2), many=1),
    "an offset beyond the file": gguf_of(tensors=tensor(offset=2**60), many=1) + bytes(64),
    "an offset between places": gguf_of(tensors=tensor(offset=1), many=1) + bytes(64),
    "tensors in one place": gguf_of(tensors=tensor() + tensor(b"token_embd.weight"), many=2) + bytes(64),
    "a name that is no text": gguf_of(tensors=tensor(b"\xff\xfe"), many=1) + bytes(64),
    "another version": gguf_of(version=1),
    "another byte order": b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
    "nothing": b"",
    "no architecture": b"GGUF" + struct.pack("<IQQ", 3, 0, 0),
}


@pytest.mark.parametrize("name", LIES)
def test_a_gguf_file_that_lies_is_refused_at_once(tmp_path, name):
    (tmp_path / "model.gguf").write_bytes(LIES[name])
    with within(0.5), pytest.raises(core.Unsupported, match=r"model\.gguf: (cannot be read as GGUF|is of '')"):
        core.verify(tmp_path / "model.gguf", PLAIN)


def test_a_gguf_file_of_another_architecture_is_named(tmp_path):
    (tmp_path / "model.gguf").write_bytes(gguf_of().replace(b"llama", b"lllll"))
    with pytest.raises(core.Unsupported, match=r"is of 'lllll', which is not an architecture that llama\.cpp names"):
        core.verify(tmp_path / "model.gguf", PLAIN)


VALID = gguf_of(listed(8, 2, said(b"a") + said(b"b")), 1, tensor() + tensor(b"token_embd.weight", (32, 2), 2, 32), 2) + bytes(128)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(VALID) - 9), st.sampled_from([0, 1, 9, 2**31, 2**40, 2**63, 2**64 - 1]) | st.integers(0, 255))),
    st.integers(0, len(VALID)),
)  # fmt: skip
def test_a_gguf_header_may_be_anything(tmp_path_factory, changes, length):
    file = tmp_path_factory.mktemp("gguf") / "model.gguf"
    data = bytearray(VALID)
    for at, value in changes:
        data[at : at + (1 if value < 256 else 8)] = value.to_bytes(1 if value < 256 else 8, "little")
    file.write_bytes(data[: length if length % 3 else None])
    try:
        assert not core.verify(file, PLAIN).exact
    except core.Unsupported as error:
        assert "model.gguf" in str(error)
