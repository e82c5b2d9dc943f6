"""Kimi K3, whose class transformers has not yet: the whole model against its makers' equations under the published names."""

import pytest
import torch
import torch.nn.functional as F
from parity import double_precision, stepwise

import core
from core.hf import from_hf, to_hf
from core.spec import edited

D, HEADS, WIDE, LATENT, VOCABULARY = 32, 3, 24, 16, 64
TEXT = dict(
    model_type="kimi_linear", vocab_size=VOCABULARY, hidden_size=D, num_hidden_layers=5, num_attention_heads=2, max_position_embeddings=64,
    tie_word_embeddings=False, q_lora_rank=12, kv_lora_rank=10, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=6, mla_use_nope=True,
    mla_use_output_gate=True, intermediate_size=40, moe_intermediate_size=8, num_experts=6, num_experts_per_token=2, num_shared_experts=2,
    routed_expert_hidden_size=LATENT, latent_moe_use_norm=True, hidden_act="situ", activation_situ_beta=2.0,
    activation_situ_linear_beta=3.0, attn_res_block_size=2, first_k_dense_replace=1, rms_norm_eps=1e-5, routed_scaling_factor=1.5,
    linear_attn_config=dict(
        kda_layers=[1, 2, 4], full_attn_layers=[3, 5], num_heads=HEADS, head_dim=8, short_conv_kernel_size=3, use_full_rank_gate=True,
        gate_lower_bound=-5.0,
    ),
)  # fmt: skip
SMALL = {"model_type": "kimi_k3", "tie_word_embeddings": False, "text_config": TEXT, "vision_config": {}}


def small(**text: object) -> dict:
    return SMALL | {"text_config": TEXT | text}


def published() -> dict[str, torch.Tensor]:
    """Random weights under the names and in the shapes of the published files."""
    shapes: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (VOCABULARY, D), "norm.weight": (D,), "output_attn_res_norm.weight": (D,),
        "output_attn_res_proj.weight": (1, D),
    }  # fmt: skip
    for layer in range(5):
        at, mixer, feed = f"layers.{layer}", f"layers.{layer}.self_attn", f"layers.{layer}.block_sparse_moe"
        norms = ("input_layernorm", "post_attention_layernorm", "self_attention_res_norm", "mlp_res_norm")
        shapes |= {f"{at}.{name}.weight": (D,) for name in norms}
        shapes |= {f"{at}.{name}_res_proj.weight": (1, D) for name in ("self_attention", "mlp")}
        if layer in (2, 4):
            theirs = {"q_a_proj": (12, D), "q_a_layernorm": (12,), "q_b_proj": (24, 12), "kv_a_proj_with_mqa": (14, D)}
            theirs |= {"kv_a_layernorm": (10,), "kv_b_proj": (28, 10), "g_proj": (12, D), "o_proj": (D, 12)}
        else:
            theirs = {f"{n}_proj": (WIDE, D) for n in "qkvg"} | {f"{n}_conv1d": (WIDE, 1, 3) for n in "qkv"}
            theirs |= {"f_a_proj": (8, D), "f_b_proj": (WIDE, 8), "b_proj": (HEADS, D), "o_norm": (8,), "o_proj": (D, WIDE)}
            shapes |= {f"{mixer}.A_log": (128,), f"{mixer}.dt_bias": (WIDE,)}
        shapes |= {f"{mixer}.{name}.weight": shape for name, shape in theirs.items()}
        if layer:
            shapes |= {
                f"{feed}.gate.weight": (6, D),
                f"{feed}.gate.e_score_correction_bias": (6,),
                f"{feed}.routed_expert_norm.weight": (LATENT,),
            }
            shapes |= {f"{feed}.routed_expert_down_proj.weight": (LATENT, D), f"{feed}.routed_expert_up_proj.weight": (D, LATENT)}
            for e in range(6):
                experts = {"w1": (8, LATENT), "w3": (8, LATENT), "w2": (LATENT, 8)}
                shapes |= {f"{feed}.experts.{e}.{name}.weight": shape for name, shape in experts.items()}
        network, width = (f"{feed}.shared_experts", 16) if layer else (f"{at}.mlp", 40)
        shapes |= {f"{network}.{name}_proj.weight": (width, D) for name in ("gate", "up")} | {f"{network}.down_proj.weight": (D, width)}
    state = {f"language_model.model.{name}": torch.randn(shape) / 3 for name, shape in shapes.items()}
    state["language_model.lm_head.weight"] = torch.randn(VOCABULARY, D)
    state["vision_tower.patch_embed.proj.weight"] = torch.randn(4, 3, 14, 14)
    for name in state:
        if name.endswith("A_log"):
            state[name][HEADS:] = 0  # filled up
    return state


class Published:
    """The equations of kimi_k3 in NVIDIA-NeMo/Automodel, copied from the makers' modeling_kimi_linear, on one sequence."""

    def __init__(self, state: dict[str, torch.Tensor]):
        self.state, self.at = {name.removeprefix("language_model."): tensor for name, tensor in state.items()}, ""

    def w(self, name: str) -> torch.Tensor:
        return self.state[f"model.{self.at}{name}"]

    def norm(self, x: torch.Tensor, name: str, eps: float = 1e-5) -> torch.Tensor:
        return self.w(f"{name}.weight") * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return x @ self.w(f"{name}.weight").T

    @staticmethod
    def situ(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return 2 * torch.tanh(gate / 2) * torch.sigmoid(gate) * 3 * torch.tanh(up / 3)

    def network(self, x: torch.Tensor, name: str) -> torch.Tensor:
        up = self.situ(self.linear(x, f"{name}.gate_proj"), self.linear(x, f"{name}.up_proj"))
        return self.linear(up, f"{name}.down_proj")

    def mix(self, so_far: torch.Tensor, blocks: list[torch.Tensor], name: str) -> torch.Tensor:
        """_apply_attn_res: a softmax over the finished blocks and the sum so far."""
        values = torch.stack([*blocks, so_far])  # (n, T, D)
        keys = values * torch.rsqrt(values.square().mean(-1, keepdim=True) + 1e-5)
        score = self.w(f"{name}_res_norm.weight") * self.w(f"{name}_res_proj.weight")[0]
        return ((keys * score).sum(-1).softmax(0).unsqueeze(-1) * values).sum(0)

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            F.silu(F.conv1d(F.pad(self.linear(x, f"self_attn.{n}_proj").T, (2, 0)), self.w(f"self_attn.{n}_conv1d.weight"), groups=WIDE))
            .T.reshape(-1, HEADS, 8)
            for n in "qkv"
        )  # fmt: skip
        q, k = (t * torch.rsqrt(t.square().sum(-1, keepdim=True) + 1e-6) for t in (q, k))
        raw = self.linear(self.linear(x, "self_attn.f_a_proj"), "self_attn.f_b_proj") + self.w("self_attn.dt_bias")
        fade = torch.exp(-5 * torch.sigmoid(self.w("self_attn.A_log")[:HEADS].exp().view(HEADS, 1) * raw.view(-1, HEADS, 8)))
        beta = torch.sigmoid(self.linear(x, "self_attn.b_proj"))
        memory, out = x.new_zeros(HEADS, 8, 8), []
        for t in range(len(x)):
            memory = memory * fade[t, :, :, None]
            missing = v[t] - torch.einsum("hkv,hk->hv", memory, k[t])
            memory = memory + torch.einsum("hk,hv->hkv", k[t], beta[t, :, None] * missing)
            out.append(torch.einsum("hkv,hk->hv", memory, q[t]) / 8**0.5)
        gate = torch.sigmoid(self.linear(x, "self_attn.g_proj"))
        return self.linear(self.norm(torch.stack(out), "self_attn.o_norm").flatten(1) * gate, "self_attn.o_proj")

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        q = self.linear(self.norm(self.linear(x, "self_attn.q_a_proj"), "self_attn.q_a_layernorm", 1e-6), "self_attn.q_b_proj")
        latent, shared = self.linear(x, "self_attn.kv_a_proj_with_mqa").split((10, 4), -1)
        k, v = self.linear(self.norm(latent, "self_attn.kv_a_layernorm", 1e-6), "self_attn.kv_b_proj").view(-1, 2, 14).split((8, 6), -1)
        k = torch.cat((k, shared[:, None].expand(-1, 2, -1)), -1)
        scores = torch.einsum("thc,shc->hts", q.view(-1, 2, 12), k) / 12**0.5
        scores = scores.masked_fill(torch.ones_like(scores[0], dtype=torch.bool).triu(1), -torch.inf)
        y = torch.einsum("hts,shv->thv", scores.softmax(-1), v).flatten(1)
        return self.linear(y * torch.sigmoid(self.linear(x, "self_attn.g_proj")), "self_attn.o_proj")

    def experts(self, x: torch.Tensor) -> torch.Tensor:
        at = "block_sparse_moe"
        scores = torch.sigmoid(self.linear(x, f"{at}.gate"))
        chosen = (scores + self.w(f"{at}.gate.e_score_correction_bias")).topk(2, -1).indices
        weights = scores.gather(-1, chosen)
        weights = 1.5 * weights / (weights.sum(-1, keepdim=True) + 1e-20)
        latent = self.linear(x, f"{at}.routed_expert_down_proj")
        routed = torch.zeros_like(latent)
        for t, k in ((t, k) for t in range(len(x)) for k in range(2)):
            e = f"{at}.experts.{chosen[t, k]}"
            inner = self.situ(self.linear(latent[t], f"{e}.w1"), self.linear(latent[t], f"{e}.w3"))
            routed[t] += weights[t, k] * self.linear(inner, f"{e}.w2")
        routed = self.linear(self.norm(routed, f"{at}.routed_expert_norm"), f"{at}.routed_expert_up_proj")
        return routed + self.network(x, f"{at}.shared_experts")

    def logits(self, tokens: torch.Tensor) -> torch.Tensor:
        so_far, blocks = self.w("embed_tokens.weight")[tokens], []
        for layer in range(5):
            self.at = f"layers.{layer}."
            x = self.mix(so_far, blocks, "self_attention") if blocks else so_far
            begins = layer % 2 == 0
            blocks = [*blocks, so_far] if begins else blocks
            y = (self.attention if layer in (2, 4) else self.delta)(self.norm(x, "input_layernorm"))
            so_far = y if begins else so_far + y
            x = self.norm(self.mix(so_far, blocks, "mlp"), "post_attention_layernorm")
            so_far = so_far + (self.experts(x) if layer else self.network(x, "mlp"))
        self.at = ""
        return self.norm(self.mix(so_far, blocks, "output_attn"), "norm") @ self.state["lm_head.weight"].T


@torch.inference_mode()
def test_its_logits_are_its_makers_under_the_published_names():
    torch.manual_seed(0)
    arch = from_hf(SMALL)
    model, state = core.build(arch, device="cpu"), published()
    core.load_weights(model, state)
    tokens = torch.randint(VOCABULARY, (1, 13))
    theirs = Published(state).logits(tokens[0])
    assert theirs.std() > 0.1
    torch.testing.assert_close(model(tokens)[0], theirs, atol=2e-5, rtol=2e-5)
    with double_precision():
        model = model.double()
        torch.testing.assert_close(stepwise(model, tokens), model(tokens), atol=1e-9, rtol=1e-9)


def test_sums_are_finished_where_blocks_begin():
    arch = from_hf(SMALL)
    model = core.build(arch, device="cpu")
    seen: list[torch.Tensor] = []
    for layer in model.layers:
        layer.register_forward_hook(lambda module, given, out: seen.append(out))
    with torch.inference_mode():
        model(torch.zeros(1, 3, dtype=torch.long))
    assert [(out.abs().sum(dim=(0, 1, 3)) > 0).tolist() for out in seen] == [
        [True, *(place <= layer // 2 for place in range(3))] for layer in range(5)
    ]
    for before, after in zip(seen, seen[1:]):  # what is finished stays
        finished = before.abs().sum(dim=(0, 1, 3)) > 0
        finished[0] = False
        assert torch.equal(before[:, :, finished], after[:, :, finished])


CHANGES = [
    {},
    {"activation_situ_linear_beta": None, "latent_moe_use_norm": False, "mla_use_output_gate": False},
    {"attn_res_block_size": 3, "linear_attn_config": TEXT["linear_attn_config"] | {"use_full_rank_gate": False, "gate_lower_bound": None}},
    {"first_k_dense_replace": 2, "dtype": "bfloat16"},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_written_as_it_is_read(change):
    arch = from_hf(small(**change))
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "kimi_k3"


def test_its_own_list_keeps_the_projections_around_the_experts_wide():
    """The published quantization_config names them nowhere; the files have them in bf16 (docs/sizes.yaml, to the byte)."""
    weights = {"num_bits": 4, "group_size": 32, "strategy": "group", "symmetric": True, "type": "float"}
    ignore = ["re:.*self_attn.*", "re:.*shared_experts.*", "re:.*mlp\\.(gate|up|gate_up|down)_proj.*", "re:.*lm_head.*"]
    said = {
        "quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized", "ignore": ignore,
        "config_groups": {"group_0": {"format": "mxfp4-pack-quantized", "targets": ["Linear"], "weights": weights}},
    }  # fmt: skip
    arch = from_hf(small(quantization_config=said))
    assert arch.unsized is None and arch.precision == core.load("kimi-k3").precision
    assert from_hf(to_hf(arch)) == arch


REFUSED = {
    "hidden_act": "silu", "mla_use_nope": False, "tie_word_embeddings": True, "attn_res_block_size": None, "num_nextn_predict_layers": 1,
    "linear_attn_config.other": 1,
}  # fmt: skip


@pytest.mark.parametrize("key", REFUSED)
def test_what_it_cannot_say_is_refused_by_its_key(key):
    first, _, inner = key.partition(".")
    said = TEXT[first] | {inner: REFUSED[key]} if inner else REFUSED[key]
    outer = {first: said} if key == "tie_word_embeddings" else {}
    with pytest.raises(core.Unsupported, match=rf"(text_config\.)?{key.replace('.', '[.]')}: "):
        from_hf(small(**{first: said}) | outer)


def test_layers_that_do_not_fit_the_streams_are_refused():
    arch = from_hf(SMALL)
    with pytest.raises(core.Unsupported, match=r"residual\.streams: 5 layers in blocks of 1 need 6; give 6 or a larger block"):
        edited(arch, "residual.block", 1)
    with pytest.raises(core.Unsupported, match="give all steps of all layers attention residuals with the same block"):
        edited(arch, "layers.0.blocks.0.0", {"parts": ["delta"], "residual": {"kind": "hyper", "streams": 4}})
