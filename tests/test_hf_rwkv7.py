"""RWKV-7 against its paper's equations, a token and a head at a time; its config.json and its sizes."""

import pytest
import torch
from parity import perturb

import core
from core.model import build, parameters, shrink
from core.parts.norm import LayerNorm
from core.parts.rwkv7 import GooseTimeMix
from core.spec import Unsupported

SMALL = {
    "model_type": "rwkv7", "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 3, "head_dim": 8, "num_heads": None, "norm_eps": 1e-5,
    "decay_low_rank_dim": 6, "a_low_rank_dim": 5, "gate_low_rank_dim": 7, "v_low_rank_dim": 4, "hidden_ratio": 4.0,
    "intermediate_size": 48, "hidden_act": "sqrelu", "norm_first": True, "norm_bias": True, "attn": None, "attn_mode": "chunk",
    "fuse_norm": False, "value_dim": [32, 32, 32], "max_position_embeddings": 64, "tie_word_embeddings": False,
}  # fmt: skip


def world(d_model: int, depth: int, decay: int, value: int, gate: int) -> dict:
    return SMALL | {
        "vocab_size": 65_536, "hidden_size": d_model, "num_hidden_layers": depth, "head_dim": 64, "intermediate_size": None,
        "decay_low_rank_dim": decay, "a_low_rank_dim": decay, "v_low_rank_dim": value, "gate_low_rank_dim": gate, "value_dim": None,
    }  # fmt: skip


def low_rank(tensors, name, x, inner=lambda x: x):
    up = inner(x @ tensors[f"{name}_lora.lora.0.weight"].T) @ tensors[f"{name}_lora.lora.2.weight"].T
    return up + tensors.get(f"{name}_lora.lora.2.bias", 0)


def time_mix(t, x, heads, eps, first):
    """One text (T, d) by the equations of section 4.1, from tensors by fla's names; and its own values."""
    n, out, values = x.shape[1] // heads, [], []
    state, before = [torch.zeros(n, n, dtype=x.dtype) for _ in range(heads)], torch.zeros_like(x[0])
    for i, now in enumerate(x):
        mixed = {c: now + t[f"x_{c}"].flatten() * (before - now) for c in "rwkvag"}
        before = now
        r, k, v = (t[f"{c}_proj.weight"] @ mixed[c] for c in "rkv")
        values.append(v)
        if first is not None:
            v = v + torch.sigmoid(low_rank(t, "v", mixed["v"])) * (first[i] - v)
        w = torch.exp(-torch.exp(torch.tensor(-0.5)) * torch.sigmoid(low_rank(t, "w", mixed["w"], torch.tanh)))
        a = torch.sigmoid(low_rank(t, "a", mixed["a"]))
        g = low_rank(t, "g", mixed["g"], torch.sigmoid)
        removal, k = k * t["k_k"], k * (1 + (a - 1) * t["k_a"])
        y = []
        for h in range(heads):
            s = slice(h * n, h * n + n)
            kappa = removal[s] / removal[s].norm()
            state[h] = state[h] @ (torch.diag(w[s]) - torch.outer(kappa, a[s] * kappa)) + torch.outer(v[s], k[s])
            p = state[h] @ r[s]
            p = (p - p.mean()) / (p.var(unbiased=False) + n * eps).sqrt() * t["g_norm.weight"][s] + t["g_norm.bias"][s]
            y.append(p + (r[s] * t["r_k"][h] * k[s]).sum() * v[s])
        out.append(t["o_proj.weight"] @ (torch.cat(y) * g))
    return torch.stack(out), values


def logits(tensors, arch, tokens):
    """The whole model from a checkpoint's tensors."""
    heads, eps = arch.parts["first"].heads, arch.norm.eps

    def norm(x, name):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), eps)

    x, first = tensors["model.embeddings.weight"][tokens], None
    if arch.embedding.norm:
        x = norm(x, "model.layers.0.pre_norm")
    for layer in range(arch.depth):
        at = f"model.layers.{layer}"
        own = {name.removeprefix(f"{at}.attn."): t for name, t in tensors.items() if name.startswith(f"{at}.attn.")}
        y, values = time_mix(own, norm(x, f"{at}.attn_norm"), heads, eps, first)
        first, x = first or values, x + y
        h = norm(x, f"{at}.ffn_norm")
        h = h + tensors[f"{at}.ffn.x_k"] * (torch.cat((torch.zeros_like(h[:1]), h[:-1])) - h)
        x = x + torch.relu(h @ tensors[f"{at}.ffn.key.weight"].T) ** 2 @ tensors[f"{at}.ffn.value.weight"].T
    return norm(x, "model.norm") @ tensors["lm_head.weight"].T


def checkpoint(arch) -> dict[str, torch.Tensor]:
    """Random tensors by fla's names and in its shapes."""
    d, part, d_ff = arch.d_model, arch.parts["first"], arch.parts["channel_mix"].d_ff
    ranks = {"w": part.decay_rank, "a": part.rate_rank, "g": part.gate_rank}
    shapes = {"model.embeddings.weight": (arch.vocab_size, d), "lm_head.weight": (arch.vocab_size, d)}
    norms = ["model.norm"] + ["model.layers.0.pre_norm"] * arch.embedding.norm
    for layer in range(arch.depth):
        at = f"model.layers.{layer}"
        norms += [f"{at}.attn_norm", f"{at}.ffn_norm"]
        shapes |= {f"{at}.attn.x_{c}": (1, 1, d) for c in "rwkvag"}
        shapes |= {f"{at}.attn.{c}_proj.weight": (d, d) for c in "rkvo"}
        shapes |= {f"{at}.attn.{name}": (d,) for name in ("k_k", "k_a", "g_norm.weight", "g_norm.bias")}
        shapes |= {f"{at}.attn.r_k": (part.heads, part.head_dim), f"{at}.ffn.x_k": (d,)}
        shapes |= {f"{at}.ffn.key.weight": (d_ff, d), f"{at}.ffn.value.weight": (d, d_ff)}
        for name, rank in (ranks | ({"v": arch.parts["time_mix"].value_rank} if layer else {})).items():
            shapes |= {f"{at}.attn.{name}_lora.lora.0.weight": (rank, d), f"{at}.attn.{name}_lora.lora.2.weight": (d, rank)}
            shapes |= {f"{at}.attn.{name}_lora.lora.2.bias": (d,)} if name != "g" else {}
    kinds = ("weight", "bias") if arch.norm.bias else ("weight",)
    shapes |= {f"{name}.{kind}": (d,) for name in norms for kind in kinds}
    torch.manual_seed(0)
    return {name: torch.randn(shape) * 0.4 + name.endswith("norm.weight") for name, shape in shapes.items()}


@pytest.mark.parametrize("change", [{}, {"norm_first": False}, {"norm_bias": False}, {"head_dim": None, "num_heads": 2}])
@torch.inference_mode()
def test_a_checkpoint_computes_what_the_paper_says(change):
    arch = core.from_hf(SMALL | change)
    tensors, tokens = checkpoint(arch), torch.randperm(60)[:21]
    model = build(arch, device="cpu")
    core.load_weights(model, tensors)
    expected = logits(tensors, arch, tokens)
    got = model(tokens[None])[0]
    assert expected.std() > 0.1 and (got - expected).abs().max() < 1e-4
    with model.caching():
        steps = torch.cat([model(tokens[None, i : i + 1], i) for i in range(21)], dim=1)[0]
    assert (steps - expected).abs().max() < 1e-4


@torch.inference_mode()
def test_older_checkpoints_hold_the_mixes_in_one_tensor():
    arch = core.from_hf(SMALL)
    tensors, tokens = checkpoint(arch), torch.arange(9)
    older = {name: t for name, t in tensors.items() if ".attn.x_" not in name}
    for layer in range(3):
        older[f"model.layers.{layer}.attn.x_x"] = torch.cat([tensors[f"model.layers.{layer}.attn.x_{c}"][0] for c in "rwkvag"])
    models = []
    for given in (tensors, older):
        models.append(build(arch, device="cpu"))
        core.load_weights(models[-1], given)
    assert torch.equal(models[0](tokens[None]), models[1](tokens[None]))


@pytest.mark.parametrize(
    ("config", "total"),
    [
        (world(768, 12, 64, 32, 128), 191_034_624),
        (world(1024, 24, 64, 32, 128), 450_767_872),
        (world(2048, 24, 96, 64, 256), 1_527_404_544),
        (world(2560, 32, 96, 64, 320), 2_947_735_040),
    ],
)
def test_the_world_models_have_the_papers_parameters(config, total):
    arch = core.from_hf(config)
    assert parameters(build(arch)) == total
    assert core.cost(arch).parameters == total
    assert core.from_hf(core.to_hf(arch)) == arch


@pytest.mark.parametrize(
    "change", [{}, {"norm_first": False}, {"norm_bias": False}, {"tie_word_embeddings": True}, {"num_hidden_layers": 1, "value_dim": None}]
)
def test_what_is_read_is_written(change):
    arch = core.from_hf(SMALL | change)
    assert core.from_hf(core.to_hf(arch)) == arch


def test_a_rank_of_null_is_what_the_class_makes_of_the_width():
    ranks = dict.fromkeys(("decay_low_rank_dim", "a_low_rank_dim", "gate_low_rank_dim", "v_low_rank_dim"))
    part = core.from_hf(world(2048, 2, 1, 1, 1) | ranks).parts["time_mix"]
    assert (part.decay_rank, part.rate_rank, part.gate_rank, part.value_rank) == (128, 128, 224, 64)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"attn": {"layers": [1], "num_heads": 4}}, "attn"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"value_dim": [64, 32, 32]}, "value_dim"),
        ({"head_dim": 5}, "head_dim"),
        ({"num_heads": 5}, "num_heads"),
        ({"head_size": 64}, "head_size"),
    ],
)
def test_what_it_cannot_say_is_refused(change, key):
    with pytest.raises(Unsupported, match=key):
        core.from_hf(SMALL | change)
    without = {k: v for k, v in SMALL.items() if k != "v_low_rank_dim"}
    with pytest.raises(Unsupported, match="v_low_rank_dim"):
        core.from_hf(without)


def test_values_are_read_only_from_a_layer_that_has_them():
    value = core.load("rwkv-7-world-2.9b").model_dump(mode="json")
    value["parts"]["first"]["head_dim"] = 32
    with pytest.raises(Unsupported, match="another shape"):
        core.spec.parse(value)


def test_the_state_does_not_grow():
    cost = core.cost(core.load("rwkv-7-world-2.9b"), core.Workload(context=1_000_000))
    assert cost.kv_bytes == 0 and cost.state_bytes == 32 * (2 * 2 * 2560 + 4 * 40 * 64 * 64)  # two tokens in bf16, sums in float32


def test_a_shrunk_one_still_mixes_values():
    small = shrink(core.load("rwkv-7-world-2.9b"))
    model = build(small, device="cpu")
    perturb(model)
    tokens = torch.arange(8)[None]
    with torch.inference_mode():
        before = model(tokens)
        model.layers[1].time_mix.value_weight.up.bias += 3
        assert not torch.equal(model(tokens), before)


def test_values_need_a_width_for_their_weight():
    with pytest.raises(ValueError, match="value_rank"):
        GooseTimeMix(kind="rwkv7_time_mix", heads=2, decay_rank=4, rate_rank=4, gate_rank=4, value_from="first", norm=LayerNorm())
