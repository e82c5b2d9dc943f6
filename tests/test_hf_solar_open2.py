"""Solar Open 2, whose class transformers has not yet: its layers against their makers' equations under the published names."""

import pytest
import torch
import torch.nn.functional as F

import core
from core.hf import from_hf, to_hf

SMALL = dict(
    model_type="solar_open2", vocab_size=64, hidden_size=32, num_hidden_layers=5, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
    max_position_embeddings=64, moe_intermediate_size=12, n_routed_experts=6, num_experts_per_tok=2, gqa_interval=2,
    linear_attn_config=dict(num_heads=3, head_dim=8, short_conv_kernel_size=3, num_kv_heads=None),
)  # fmt: skip


def published(arch: core.Architecture) -> dict[str, torch.Tensor]:
    """Random weights under the names and in the shapes of the published files."""
    d, wide, heads, rank = 32, 24, 3, 8
    state = {"model.embed_tokens.weight": (64, d), "model.norm.weight": (d,), "lm_head.weight": (64, d)}
    for layer, block in enumerate(arch.sequence):
        at = f"model.layers.{layer}"
        state |= {f"{at}.input_layernorm.weight": (d,), f"{at}.post_attention_layernorm.weight": (d,)}
        if block[0].parts == ("delta",):
            mixer = {f"{name}_proj": (wide, d) for name in "qkv"} | {f"{name}_conv1d": (wide, 1, 3) for name in "qkv"}
            mixer |= {"b_proj": (heads, d), "o_proj": (d, wide), "o_norm": (rank,)}
            mixer |= {"f_a_proj": (rank, d), "f_b_proj": (wide, rank), "g_a_proj": (rank, d), "g_b_proj": (wide, rank)}
            state |= {f"{at}.self_attn.dt_bias": (wide,), f"{at}.self_attn.A_log": (1, 1, heads, 1)}
        else:
            mixer = {"q_proj": (d, d), "k_proj": (16, d), "v_proj": (16, d), "o_proj": (d, d), "g_proj": (d, d)}
        state |= {f"{at}.self_attn.{name}.weight": shape for name, shape in mixer.items()}
        state |= {f"{at}.mlp.gate.weight": (6, d), f"{at}.mlp.gate.e_score_correction_bias": (6,)}
        for network in ("shared_experts", *(f"experts.{n}" for n in range(6))):
            shapes = {"gate_proj": (12, d), "up_proj": (12, d), "down_proj": (d, 12)}
            state |= {f"{at}.mlp.{network}.{name}.weight": shape for name, shape in shapes.items()}
    return {name: torch.randn(shape) / 4 for name, shape in state.items()}


def delta(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """SolarOpen2LinearAttention on one sequence, (T, d): token by token, with beta up to 2."""
    q, k, v = (
        F.silu(F.conv1d(F.pad((x @ w[f"{n}_proj.weight"].T).T, (2, 0)), w[f"{n}_conv1d.weight"], groups=24)).T.view(-1, 3, 8) for n in "qkv"
    )
    q, k = (t * torch.rsqrt(t.square().sum(-1, keepdim=True) + 1e-6) for t in (q, k))
    raw = x @ w["f_a_proj.weight"].T @ w["f_b_proj.weight"].T + w["dt_bias"]
    fade = torch.exp(-w["A_log"].exp().view(3, 1) * F.softplus(raw).view(-1, 3, 8))
    beta = 2 * torch.sigmoid(x @ w["b_proj.weight"].T)
    memory, out = torch.zeros(3, 8, 8), []
    for t in range(len(x)):
        memory = memory * fade[t, :, :, None]
        missing = v[t] - torch.einsum("hkv,hk->hv", memory, k[t])
        memory = memory + torch.einsum("hk,hv->hkv", k[t], beta[t, :, None] * missing)
        out.append(torch.einsum("hkv,hk->hv", memory, q[t]) / 8**0.5)
    y = F.rms_norm(torch.stack(out), (8,), w["o_norm.weight"], 1e-5)
    gate = torch.sigmoid(x @ w["g_a_proj.weight"].T @ w["g_b_proj.weight"].T)
    return (y.flatten(1) * gate) @ w["o_proj.weight"].T


def attention(w: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """SolarOpen2Attention: no positions, and a sigmoid gate before the output projection."""
    q, k, v = ((x @ w[f"{n}_proj.weight"].T).unflatten(-1, (-1, 8)).transpose(0, 1) for n in "qkv")
    k, v = (t.repeat_interleave(2, 0) for t in (k, v))
    y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(0, 1).flatten(1)
    return (y * torch.sigmoid(x @ w["g_proj.weight"].T)) @ w["o_proj.weight"].T


@torch.inference_mode()
def test_its_layers_are_their_makers_under_the_published_names():
    torch.manual_seed(0)
    arch = from_hf(SMALL)
    model, state = core.build(arch, device="cpu"), published(arch)
    core.load_weights(model, state)
    x = torch.randn(11, 32)
    for layer, name, theirs in ((0, "attention", attention), (1, "delta", delta), (3, "attention", attention), (4, "delta", delta)):
        at = f"model.layers.{layer}.self_attn."
        weights = {key.removeprefix(at): tensor for key, tensor in state.items() if key.startswith(at)}
        ours = model.get_submodule(f"layers.{layer}.{name}")(x[None], torch.arange(11))[0]
        torch.testing.assert_close(ours, theirs(weights, x), atol=1e-5, rtol=1e-5)


CHANGES = [
    {},
    {"kda_allow_neg_eigval": False, "kda_use_full_proj": True},
    {"use_gqa_gate": False, "use_qk_norm": True, "gqa_layers": [1, 4]},
    {"layer_types": ["linear_attention"] * 4 + ["full_attention"], "n_group": 3, "topk_group": 2},
    {"linear_attn_config": None, "routed_scaling_factor": 2.5, "n_shared_experts": 2},
]


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_written_as_it_is_read(change):
    arch = from_hf(SMALL | change)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "solar_open2"


REFUSED = {
    "use_rope": True, "use_gqa_gate_bias": True, "first_k_dense_replace": 1, "gqa_layers": [5], "kda_other": 1,
    "linear_attn_config.num_kv_heads": 1,
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_what_it_cannot_say_is_refused_by_its_key(key):
    first, _, inner = key.partition(".")
    said = SMALL[first] | {inner: REFUSED[key]} if inner else REFUSED[key]
    with pytest.raises(core.Unsupported, match=f"^{key.replace('.', '[.]')}: "):
        from_hf(SMALL | {first: said})
