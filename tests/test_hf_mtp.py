"""Modules that predict further tokens: transformers' own as the oracle, the names that published files have, copies of tables."""

import json

import pytest
import torch
from hypothesis import given
from parity import TOLERANCE, perturb, reference
from safetensors.torch import save_file
from strategies import architectures
from transformers.modeling_layers import MtpModel

import core
from core.hf import families_of
from core.hf.weights import mtp
from core.model import build_mtp, parameters
from core.spec import edited

SMALL = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, max_position_embeddings=64, num_attention_heads=4)
ROUTED = dict(n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, n_shared_experts=1, first_k_dense_replace=1)
LATENT = dict(q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, n_group=1, topk_group=1)
DEEPSEEK = dict(model_type="deepseek_v3", num_key_value_heads=4, intermediate_size=48, num_nextn_predict_layers=2) | SMALL | ROUTED | LATENT
GLM = dict(model_type="glm4_moe", intermediate_size=48, num_key_value_heads=2, head_dim=8, num_nextn_predict_layers=1) | SMALL | ROUTED


INKLING = dict(
    model_type="inkling_text", vocab_size=64, hidden_size=48, intermediate_size=72, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, swa_num_attention_heads=6, swa_num_key_value_heads=3, swa_head_dim=8, sliding_window_size=7,
    d_rel=4, rel_extent=9, mlp_layer_types=["dense", "dense"], num_mtp_layers=3, mtp_local_layer_ids=[0, 2],
    chain_hidden_post_norm=False,
)  # fmt: skip


def published(main, theirs) -> dict:
    """Both models' tensors under the names of the published files, which repeat embedding and head for each module."""
    tensors, depth = dict(main.state_dict()), main.config.num_hidden_layers
    for name, tensor in theirs.state_dict().items():
        if name.startswith("layers."):
            _, module, rest = name.split(".", 2)
            rest = rest.removeprefix("mtp_block.").replace("post_norm", "shared_head.norm")
            tensors[f"model.layers.{depth + int(module)}.{rest}"] = tensor
    for module in range(theirs.num_mtp_layers):
        at = f"model.layers.{depth + module}"
        tensors[f"{at}.embed_tokens.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors[f"{at}.shared_head.head.weight"] = tensors["lm_head.weight"].clone()
    return tensors


@pytest.mark.parametrize("config", [DEEPSEEK, GLM], ids=["deepseek_v3", "glm4_moe"])
def test_modules_compute_what_transformers_do(config):
    torch.manual_seed(0)
    arch, main = core.from_hf(config), reference(config)
    theirs = MtpModel(main, arch.mtp.count).eval()
    perturb(main), perturb(theirs)
    tensors = published(main, theirs)
    model, ours = core.build(arch, device="cpu"), build_mtp(arch, device="cpu")
    core.load_weights(model, tensors)
    core.load_weights(ours, tensors)
    assert parameters(ours) == sum(p.numel() for p in theirs.layers.parameters()) == core.cost(arch).mtp_parameters
    tokens = torch.randint(64, (2, 9))
    positions = torch.arange(8)
    with torch.inference_mode():
        stream = model.norm(model.stream(tokens[:, :-1]))
        for module in range(arch.mtp.count):
            given = dict(input_ids=tokens[:, 1:], position_ids=positions[None])
            expected = theirs.forward_layer(module, stream, mtp_cache=None, **given)
            got = ours[module](stream, model.embedding(tokens[:, 1:]), positions)
            assert expected.std() > 1e-2 and (got - expected).abs().max() <= TOLERANCE
            stream = expected


def test_modules_that_differ_compute_what_transformers_do():
    torch.manual_seed(0)
    arch, main = core.from_hf(INKLING), reference(INKLING)
    assert len(set(arch.mtp.each)) == 2 and core.from_hf(core.to_hf(arch)) == arch
    theirs = MtpModel(main, 3).eval()
    perturb(main), perturb(theirs)
    called = {"enorm": "embed_norm", "hnorm": "hidden_norm", "eh_proj": "input_proj", "mtp_block": "transformer_block"}
    tensors = dict(main.state_dict())
    for name, tensor in theirs.layers.state_dict().items():
        module, own, rest = name.split(".", 2)
        tensors[f"model.mtp.layers.{module}.{called[own]}.{rest}"] = tensor
    ours = build_mtp(arch, device="cpu")
    core.load_weights(ours, tensors)
    assert parameters(ours) == sum(p.numel() for p in theirs.layers.parameters()) == core.cost(arch).mtp_parameters
    # No longer than the window, which transformers' mask for such a module leaves out.
    tokens, stream, positions = torch.randint(64, (1, 7)), torch.randn(1, 7, 48), torch.arange(7)
    with torch.inference_mode():
        for module in range(3):
            expected = theirs.forward_layer(module, stream, positions[None], None, input_ids=tokens)
            got = ours[module](stream, theirs.embed_tokens(tokens), positions)
            assert expected.std() > 1e-2 and (got - expected).abs().max() <= TOLERANCE
            stream = expected


def test_a_file_is_verified_with_its_modules(tmp_path):
    main = reference(GLM).to(torch.bfloat16)
    tensors = {name: t.to(torch.bfloat16) for name, t in published(main, MtpModel(main, 1)).items()}
    tensors |= {name: t.float() for name, t in tensors.items() if name.endswith("e_score_correction_bias")}
    (tmp_path / "config.json").write_text(json.dumps(GLM | {"dtype": "bfloat16"}))

    def verified(tensors):
        save_file({name: t.contiguous() for name, t in tensors.items()}, tmp_path / "model.safetensors")
        return core.verify(tmp_path)

    found = verified(tensors)
    assert found.exact, found.differences
    assert found.bytes + found.apart["ahead"] == core.cost(found.architecture).weight_bytes
    without = {name: t for name, t in tensors.items() if ".layers.2." not in name}
    assert verified(without).exact, "files may come without the modules"
    assert "model.layers.2.eh_proj.weight: is missing" in str(
        verified({name: t for name, t in tensors.items() if "eh_proj" not in name}).differences
    )
    assert "model.layers.2.more: is in the checkpoint" in str(verified(tensors | {"model.layers.2.more": torch.zeros(3)}).differences)


NAMES = {  # what some published files call the tensors of a module; a few of each
    "qwen3.6-27b": """mtp.fc mtp.norm mtp.pre_fc_norm_embedding mtp.pre_fc_norm_hidden mtp.layers.0.input_layernorm
        mtp.layers.0.post_attention_layernorm mtp.layers.0.mlp.gate_proj mtp.layers.0.mlp.up_proj mtp.layers.0.mlp.down_proj
        mtp.layers.0.self_attn.q_proj mtp.layers.0.self_attn.k_proj mtp.layers.0.self_attn.v_proj mtp.layers.0.self_attn.o_proj
        mtp.layers.0.self_attn.q_norm mtp.layers.0.self_attn.k_norm""",
    "nemotron-3-super-120b-a12b": """mtp.layers.0.enorm mtp.layers.0.hnorm mtp.layers.0.eh_proj mtp.layers.0.norm
        mtp.layers.0.mixer.q_proj mtp.layers.1.norm mtp.layers.1.mixer.gate mtp.layers.1.mixer.fc1_latent_proj
        mtp.layers.1.mixer.experts.511.up_proj mtp.layers.1.mixer.shared_experts.down_proj mtp.layers.1.final_layernorm""",
    "hy3-preview": "layers.80.enorm layers.80.hnorm layers.80.eh_proj layers.80.final_layernorm layers.80.mlp.experts.191.up_proj",
    "ernie-4.5-21b-a3b": """mtp_emb_norm.0 mtp_hidden_norm.0 mtp_linear_proj.0 mtp_block.0.self_attn.q_proj mtp_block.0.mlp.up_proj
        mtp_block.0.post_attention_layernorm""",
    "mimo-v2-flash": """mtp.layers.2.enorm mtp.layers.2.hnorm mtp.layers.2.eh_proj mtp.layers.2.pre_mlp_layernorm
        mtp.layers.2.final_layernorm mtp.layers.2.self_attn.o_proj mtp.layers.2.mlp.down_proj""",
    "longcat-flash-chat": """mtp.layers.0.enorm.m mtp.layers.0.hnorm.m mtp.layers.0.eh_proj mtp.norm mtp.layers.0.input_layernorm
        mtp.layers.0.transformer_layer.mlp.up_proj mtp.layers.0.self_attn.kv_a_proj_with_mqa""",
    "step-3.5-flash": """layers.47.enorm layers.47.transformer.shared_head.norm layers.47.eh_proj layers.47.self_attn.g_proj
        layers.47.post_attention_layernorm""",
    "hy4-preview": """mtp_layers.0.enorm mtp_layers.0.final_layernorm mtp_layers.0.self_attn.indexer.wk mtp_layers.0.self_attn.gate_proj
        mtp_layers.0.mlp.experts.255.down_proj mtp_layers.0.post_attention_layernorm""",
    "k-exaone-236b": "mtp.fc mtp.layers.0.mlp.up_proj mtp.layers.0.self_attn.q_norm mtp.norm",
    "inkling": """mtp.layers.7.embed_norm mtp.layers.0.hidden_norm mtp.layers.0.input_proj
        mtp.layers.1.transformer_block.self_attn.k_norm mtp.layers.2.transformer_block.attn_sconv.conv1d""",
    "deepseek-v4-pro": "mtp.0.e_proj mtp.0.h_proj mtp.0.attn.wq_a mtp.0.ffn.experts.0.w1 mtp.0.norm mtp.0.enorm",
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_modules_are_looked_up_by_their_published_names(name):
    arch = core.load(name)
    family, _ = next(families_of(arch))
    known = dict(mtp.sources(family, arch))
    names = {name for ways in known.values() for way in ways for name in way.names}
    assert {f"model.{name}.weight" for name in NAMES[name].split()} <= names
    modules = build_mtp(arch)
    own = set(dict(modules.named_parameters())) | set(dict(modules.named_buffers()))
    assert set(known) == own


def test_copies_count_among_the_bytes_and_nowhere_else():
    arch = core.load("deepseek-v3")
    plain = edited(arch, "mtp.copies", [])
    one, other = core.cost(arch), core.cost(plain)
    assert one.weight_bytes == 688_574_839_360  # the tensors of its files, to the byte
    assert one.weight_bytes - other.weight_bytes == 2 * 129_280 * 7_168 * 2
    assert (one.parameters, one.mtp_parameters) == (other.parameters, other.mtp_parameters)
    assert "repeat the embedding and the head" in core.graph(arch).nodes["mtp"]["explain"]


def test_a_tied_head_that_the_files_hold_again_counts_among_the_bytes():
    arch = core.load("qwen3-0.6b")
    once = edited(arch, "head_twice", False)
    assert core.cost(arch).weight_bytes == 1_503_264_768  # of its model.safetensors
    assert core.cost(arch).weight_bytes - core.cost(once).weight_bytes == 151_936 * 1_024 * 2
    assert core.cost(arch, core.Workload(weights="int4")).weight_bytes == core.cost(once, core.Workload(weights="int4")).weight_bytes
    assert core.from_hf(core.to_hf(arch)) == arch and not core.diff(arch, once).changes


def test_modules_may_run_on_one_stream_where_the_model_has_several():
    arch = core.shrink(core.load("hy4-preview"))
    model, ahead = core.build(arch, device="cpu"), build_mtp(arch, device="cpu")
    tokens = torch.randint(arch.vocab_size, (1, 6))
    with torch.inference_mode():
        stream = model.norm(model.stream(tokens[:, :-1]))
        assert ahead[0](stream, model.embedding(tokens[:, 1:]), torch.arange(5)).shape == (1, 5, arch.d_model)
    graph = core.graph(arch)
    assert "norm" in graph.pred["mtp.stream_norm"] and graph.nodes["mtp"]["parameters"] == parameters(ahead)


def test_modules_may_share_what_stands_around_their_blocks():
    value = core.load("qwen3-next-80b-a3b").model_dump() | {"mtp": {"count": 2, "block": ["attention", "moe"], "one_join": True}}
    arch = core.Architecture.model_validate(value)
    assert core.from_hf(core.to_hf(arch)) == arch
    modules = build_mtp(arch)
    assert modules[0].join is modules[1].join and modules[0].block is not modules[1].block
    assert parameters(modules) == core.cost(arch).mtp_parameters
    family, _ = next(families_of(arch))
    assert {path for path, _ in mtp.sources(family, arch)} == set(dict(modules.named_parameters()))


@given(architectures)
def test_modules_of_any_architecture_count_alike_everywhere(arch):
    modules = build_mtp(arch)
    assert parameters(modules) == core.cost(arch).mtp_parameters
    if arch.mtp and arch.mtp.count == 1:
        assert core.graph(arch).nodes["mtp"]["parameters"] == parameters(modules)
