"""Ring-linear 2.0: its own config.json against what its makers say, its lightning attention against the formula, layer by layer."""

import pytest
import torch
from parity import stepwise

import core
from core.hf import BY_TYPE, from_hf, to_hf

# Ring-mini-linear-2.0's.
PUBLISHED = dict(
    architectures=["BailingMoeLinearV2ForCausalLM"], attention_dropout=0.0, embedding_dropout=0.0, eos_token_id=156_892,
    first_k_dense_replace=1, group_norm_size=4, head_dim=128, hidden_act="silu", hidden_size=2_048, intermediate_size=5_120,
    layer_group_size=5, linear_silu=False, max_position_embeddings=131_072, model_type="bailing_moe_linear", moe_intermediate_size=512,
    moe_router_enable_expert_bias=True, moe_shared_expert_intermediate_size=512, n_group=8, norm_topk_prob=True, num_attention_heads=16,
    num_experts=256, num_experts_per_tok=8, num_hidden_layers=20, num_key_value_heads=4, num_nextn_predict_layers=0,
    num_shared_experts=1, output_dropout=0.0, pad_token_id=156_892, partial_rotary_factor=0.5, rms_norm_eps=1e-6, rope_scaling=None,
    rope_theta=1_000_000, routed_scaling_factor=2.5, router_dtype="fp32", score_function="sigmoid", tie_word_embeddings=False,
    topk_group=4, torch_dtype="bfloat16", use_bias=False, use_cache=True, use_qk_norm=True, use_qkv_bias=False, use_rmsnorm=True,
    vocab_size=157_184,
)  # fmt: skip
SMALL = dict(
    model_type="bailing_moe_linear", vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=7, num_attention_heads=4,
    head_dim=16, num_key_value_heads=2, max_position_embeddings=64, moe_intermediate_size=24, num_experts=8, num_experts_per_tok=3,
    num_shared_experts=2, n_group=4, topk_group=2, layer_group_size=3, group_norm_size=2, partial_rotary_factor=0.5, rms_norm_eps=1e-5,
    rope_theta=1e4,
)  # fmt: skip


def test_ring_mini_is_what_its_makers_say():
    arch, preset = from_hf(PUBLISHED), core.load("ring-mini-linear-2.0")
    about = set(core.spec.METADATA)
    assert arch.model_dump(exclude=about) == preset.model_dump(exclude=about)
    cost = core.cost(arch)
    assert round(cost.parameters / 1e9, 1) == 16.4 and round(cost.active_parameters / 1e9, 1) == 1.6
    assert round((cost.active_parameters - 2 * arch.vocab_size * arch.d_model) / 1e6) == 957  # as arXiv:2510.19338 counts
    assert round(cost.weight_bytes / 1e9, 2) == 32.85  # its four files: 9.08, 9.94, 9.94 and 3.89 GB
    assert cost.state_bytes == 16 * 16 * 128 * 128 * 4
    kinds = [block[0].parts[0] for block in arch.sequence]
    assert [layer for layer, kind in enumerate(kinds) if kind == "attention"] == [4, 9, 14, 19]


def test_ring_flash_s_sizes_are_as_its_makers_say():
    """Ling-flash-2.0's sizes in groups of eight: 104B, of which 7.4B at work; its whole config.json was not at hand."""
    sizes = dict(
        hidden_size=4_096, num_hidden_layers=32, num_attention_heads=32, intermediate_size=9_216, moe_intermediate_size=1_024,
        moe_shared_expert_intermediate_size=1_024, layer_group_size=8,
    )  # fmt: skip
    cost = core.cost(from_hf(PUBLISHED | sizes))
    assert round(cost.parameters / 1e9) == 104 and round(cost.active_parameters / 1e9, 1) == 7.4


@pytest.mark.parametrize(
    "said",
    [
        {},
        dict(num_hidden_layers=6, first_k_dense_replace=0),
        dict(num_hidden_layers=2),  # no whole group
        dict(num_hidden_layers=1),  # nor experts
        dict(rope_scaling=dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32), group_norm_size=1),
        dict(first_k_dense_replace=4, layer_group_size=2, num_shared_experts=0),
    ],
)
def test_it_is_written_as_it_is_read(said):
    arch = from_hf(SMALL | said)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "bailing_moe_linear"


def test_without_linear_layers_it_is_ling_2():
    plain = from_hf({key: said for key, said in SMALL.items() if key != "layer_group_size"})
    ling = {key: said for key, said in SMALL.items() if key not in ("layer_group_size", "group_norm_size")}
    other = from_hf(ling | dict(model_type="bailing_moe_v2"))
    assert plain.parts == other.parts and plain.layers == other.layers and plain.position == other.position


def weights(arch) -> dict:
    """Random weights under the names of the published files."""
    d, heads, kv, depth = 64, 4, 2, arch.depth
    state = {"model.word_embeddings.weight": (64, d), "model.norm.weight": (d,), "lm_head.weight": (64, d)}
    for layer in range(depth):
        at, linear = f"model.layers.{layer}", "lightning" in arch.sequence[layer][0].parts
        state |= {f"{at}.input_layernorm.weight": (d,), f"{at}.post_attention_layernorm.weight": (d,)}
        state |= {f"{at}.attention.{name}_layernorm.weight": (16,) for name in ("query", "key")}
        state |= {
            f"{at}.attention.query_key_value.weight": (3 * d if linear else (heads + 2 * kv) * 16, d),
            f"{at}.attention.dense.weight": (d, d),
        }
        if linear:
            state |= {f"{at}.attention.g_proj.weight": (d, d), f"{at}.attention.g_norm.weight": (d,)}
        networks = {f"{at}.mlp": 48}
        if layer:
            state |= {f"{at}.mlp.gate.weight": (8, d), f"{at}.mlp.gate.expert_bias": (8,)}
            networks = {f"{at}.mlp.experts.{e}": 24 for e in range(8)} | {f"{at}.mlp.shared_experts": 48}
        for name, width in networks.items():
            state |= {f"{name}.{way}_proj.weight": (width, d) for way in ("gate", "up")}
            state[f"{name}.down_proj.weight"] = (d, width)
    return {name: torch.randn(shape) / (8 if len(shape) == 2 else 1) for name, shape in state.items()}


def lightning(x: torch.Tensor, weight: dict, layer: int) -> torch.Tensor:
    """(T, 64) -> (T, 64) as the paper's section 2.2 has it: every token reads all keys before it, faded by how far they are."""
    heads, dim, length = 4, 16, len(x)

    def rms(t, w, eps=1e-5):
        return t / (t.square().mean(-1, keepdim=True) + eps).sqrt() * w

    q, k, v = (x @ weight["query_key_value"].T).view(length, 3, heads, dim).unbind(1)
    q, k = rms(q, weight["query_layernorm"]), rms(k, weight["key_layernorm"])
    angles = torch.arange(length)[:, None] * 1e4 ** (-torch.arange(4) / 4)  # half of 16 channels turn, in 4 pairs
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]

    def turn(t):
        a, b, rest = t.split((4, 4, 8), dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin, rest), dim=-1)

    start = 2 ** -(2 ** -(2 - 3))  # for 2^2 heads
    slopes = torch.tensor([start ** (h + 1) for h in range(heads)]) * (1 - (layer - 1) / (7 - 1) + 1e-5)
    distance = torch.arange(length)[:, None] - torch.arange(length)
    fade = torch.exp(-slopes[:, None, None] * distance) * (distance >= 0)
    scores = torch.einsum("thd,shd->hts", turn(q), turn(k)) * dim**-0.5
    out = torch.einsum("hts,shd->thd", scores * fade, v).flatten(1)
    out = rms(out.view(length, 2, -1), 1.0).flatten(1) * weight["g_norm"]
    return (out * torch.sigmoid(x @ weight["g_proj"].T)) @ weight["dense"].T


def test_lightning_attention_is_the_formula_from_the_published_names():
    torch.manual_seed(0)
    arch = from_hf(SMALL)
    model, state = core.build(arch, device="cpu"), weights(from_hf(SMALL))
    core.load_weights(model, state)
    assert "bailing_moe_linear" in core.hf.family_for(arch, state)[0].TYPES
    x = torch.randn(1, 20, 64)
    for layer in (0, 1, 3, 4):
        own = f"model.layers.{layer}.attention."
        weight = {name.removeprefix(own).removesuffix(".weight"): t for name, t in state.items() if name.startswith(own)}
        part = model.get_submodule(f"layers.{layer}.lightning")
        with torch.inference_mode():
            torch.testing.assert_close(part(x, torch.arange(20))[0], lightning(x[0], weight, layer), atol=1e-4, rtol=1e-4)
    tokens = torch.randint(64, (2, 14))
    with torch.inference_mode():
        torch.testing.assert_close(stepwise(model, tokens), model(tokens), atol=1e-4, rtol=1e-4)
    state["model.layers.0.attention.mystery"] = torch.zeros(1)
    with pytest.raises(core.Unsupported, match="mystery"):
        core.load_weights(model, state)


REFUSED = {
    "architectures": dict(architectures=["BailingMoeLinearForCausalLM"]),  # Ring-lite-linear, of another class
    "head_dim": dict(head_dim=32),
    "num_attention_heads": dict(num_attention_heads=6, num_key_value_heads=2, hidden_size=96),
    "group_norm_size": dict(group_norm_size=3),
    "linear_silu": dict(linear_silu=True),
    "use_qkv_bias": dict(use_qkv_bias=True),
    "use_qk_norm": dict(use_qk_norm=False),
    "num_nextn_predict_layers": dict(num_nextn_predict_layers=1),
    "linear_rope": dict(linear_rope=True),
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_cannot_be_said_is_refused_by_its_key(key):
    with pytest.raises(core.Unsupported, match=f"^{key}: "):
        from_hf(SMALL | REFUSED[key])
    assert "bailing_moe_linear" in BY_TYPE


# What is known of Ling-2.6-flash's config.json; routed_scaling_factor, topk_group, v_head_dim and vocab_size are Ling's usual ones.
FLASH = dict(
    architectures=["BailingMoeV2_5ForCausalLM"], attention_dropout=0.0, embedding_dropout=0.0, first_k_dense_replace=1, group_norm_size=4,
    head_dim=128, hidden_act="silu", hidden_size=4_096, intermediate_size=9_216, kv_lora_rank=512, layer_group_size=8, linear_silu=False,
    max_position_embeddings=131_072, max_window_layers=20, model_type="bailing_hybrid", moe_intermediate_size=1_024,
    moe_router_enable_expert_bias=True, moe_shared_expert_intermediate_size=1_024, mtp_loss_scaling_factor=0, n_group=8,
    num_attention_heads=32, num_experts=256, num_experts_per_tok=8, num_hidden_layers=32, num_key_value_heads=32,
    num_kv_heads_for_linear_attn=32, num_nextn_predict_layers=1, num_shared_experts=1, output_dropout=0.0, output_router_logits=False,
    partial_rotary_factor=0.5, q_lora_rank=1_536, qk_head_dim=192, qk_nope_head_dim=128, qk_rope_head_dim=64, rms_norm_eps=1e-6,
    rope_interleave=True, rope_scaling=None, rope_theta=6_000_000, routed_scaling_factor=2.5, topk_group=4, v_head_dim=128,
    vocab_size=157_184,
)  # fmt: skip
TINY = FLASH | dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=6, num_attention_heads=4, head_dim=16, layer_group_size=3,
    num_kv_heads_for_linear_attn=4, kv_lora_rank=16, q_lora_rank=24, qk_head_dim=24, qk_nope_head_dim=16, qk_rope_head_dim=8, v_head_dim=12,
    moe_intermediate_size=24, moe_shared_expert_intermediate_size=24, num_experts=8, num_experts_per_tok=3, n_group=4, topk_group=2,
    max_position_embeddings=64,
)  # fmt: skip


def test_ling_2_6_has_lightning_attention_beside_latent_attention():
    arch = from_hf(FLASH)
    cost = core.cost(arch)
    assert round(cost.parameters / 1e9) == 104 and round(cost.active_parameters / 1e9, 1) == 7.4
    assert cost.kv_bytes_per_token == 4 * (512 + 64) * 2
    assert arch.position.interleaved and arch.position.fraction == 1
    part = arch.parts["lightning"]
    assert not part.position.interleaved and part.position.fraction == 0.5 and part.groups == 4
    assert "gate" not in arch.parts["attention"].model_dump(exclude_defaults=True)


@pytest.mark.parametrize("said", [{}, dict(q_lora_rank=None, num_shared_experts=2), dict(first_k_dense_replace=0), dict(topk_group=4)])
def test_ling_2_6_is_written_as_it_is_read(said):
    arch = from_hf(TINY | said)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["architectures"] == ["BailingMoeV2_5ForCausalLM"]
    same = from_hf(TINY | said | dict(model_type="bailing_moe_v2_5"))
    assert (same.parts, same.layers, same.position) == (arch.parts, arch.layers, arch.position)


def test_ling_2_6_from_the_published_names():
    torch.manual_seed(0)
    arch = from_hf(TINY)
    model, state = core.build(arch, device="cpu"), {}
    shapes = {
        "attention.q_a_proj": (24, 64), "attention.q_a_layernorm": (24,), "attention.q_b_proj": (96, 24), "attention.kv_a_proj_with_mqa":
        (24, 64), "attention.kv_a_layernorm": (16,), "attention.kv_b_proj": (112, 16), "attention.dense": (64, 48),
    }  # fmt: skip
    for name, tensor in weights(arch).items():  # Ring's, but for the softmax layers
        layer = int(name.split(".")[2]) if ".layers." in name else 0
        if ".attention." not in name or layer % 3 < 2:
            state[name] = tensor
    for layer in (2, 5):
        state |= {f"model.layers.{layer}.{name}.weight": torch.randn(shape) / 8 for name, shape in shapes.items()}
    state = {name: t[:24] if "shared_experts.gate" in name or "shared_experts.up" in name else t for name, t in state.items()}
    state = {name: t[:, :24] if "shared_experts.down" in name else t for name, t in state.items()}
    core.load_weights(model, state)
    tokens = torch.randint(64, (2, 14))
    with torch.inference_mode():
        torch.testing.assert_close(stepwise(model, tokens), model(tokens), atol=1e-4, rtol=1e-4)
    assert model.get_parameter("layers.5.attention.kv_up.weight").equal(state["model.layers.5.attention.kv_b_proj.weight"])


OTHERWISE = {
    "q_lora_rank": ...,  # missing
    "group_norm_size": ...,
    "num_kv_heads_for_linear_attn": 2,
    "layer_group_size": 4,  # two layers are left over
    "rms_norm_eps": 1e-5,
    "rope_scaling": dict(rope_type="yarn", factor=2.0, original_max_position_embeddings=32),
    "linear_silu": True,
    "use_qk_norm": False,
    "head_dim": 32,
}


@pytest.mark.parametrize("key", OTHERWISE)
def test_of_ling_2_6_what_cannot_be_said_is_refused_by_its_key(key):
    said = {name: value for name, value in (TINY | {key: OTHERWISE[key]}).items() if value is not ...}
    with pytest.raises(core.Unsupported, match=f"^{key}: "):
        from_hf(said)
