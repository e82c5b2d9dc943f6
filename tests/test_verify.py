"""Checkpoints' headers against their config.json: those that transformers saves, sharded, tied, narrow, packed; and broken ones."""

import json

import pytest
import torch
from parity import reference
from safetensors.torch import load_file, save_file
from test_hf_quantised import INT4, LLAMA, compressed

import core
from core.__main__ import main

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
    gone, wrong, extra = (
        "model.layers.1.mlp.up_proj.weight",
        "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.extra.weight",
    )

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
    assert "model.norm.weight: stored as F32, where the config.json says bf16" in said


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
    with pytest.raises(core.Unsupported, match=r"no config\.json beside it"):
        core.verify(tmp_path / "model.gguf")


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
    assert main(["verify", str(tmp_path / "nowhere")]) == 2
