"""Demonstrations say what core computes: their figures are held to closed forms, modules and costs, each computed in another way."""

import math
import re

import pytest
import torch

import core
from app.demos import DEMOS, activations, formats, fused, heads, latent, rope, routing, sight, state
from core.evolution import adoption
from core.library import preset
from core.parts import attention
from core.parts.latent import LatentAttentionModule
from core.parts.position import Rope
from core.precision import FORMATS
from core.rounding import ROUNDED, rounded
from core.words import figure, size


def drawn(name: str, **values) -> tuple[str, str]:
    """The sentence, and the words of the picture."""
    said, html = DEMOS[name].drawn(values)
    assert len(html) < 60_000
    return said, re.sub(r"<[^>]+>", " ", html)


@pytest.mark.parametrize("name", sight.KINDS)
@pytest.mark.parametrize(("tokens", "size"), [(12, 4), (16, 2)])
def test_what_the_module_reads_is_what_the_closed_form_counts(name, tokens, size):
    kind = sight.KINDS[name]
    part, pairs = kind.part(size), kind.part(size).pairs(tokens, 0)
    near = sight.seen(part, tokens, kind.pooled)
    assert not near.triu(1).any(), "no token reads a later one"
    if not kind.pooled:
        assert int(near.sum()) == pairs == sight.scores(part, tokens)
        return
    assert pairs["selected_core"] <= int(near.sum()) <= pairs["selected_core"] + pairs["window_core"], "a chosen block may be in the window"
    assert (near <= sight.seen(part, tokens)).all()


def test_sight_names_presets_that_have_it():
    assert {"Llama 4 Maverick", "Llama 4 Scout"} <= {*sight.users("chunk")}
    assert preset("mistral-7b").title in sight.users("window") and preset("mistral-7b").title not in sight.users("full")
    assert {*sight.users("window")} == {preset(name).title for name in adoption("windows").names}
    said, words = drawn("sight", tokens=16, size=8)
    assert "136 scores, a window of 8 only 100" in said and sight.users("window")[0] in words


def test_rotary_scores_are_the_mean_of_the_cosines():
    distances = torch.tensor([0, 1, 7, 100, 5_000])
    for extension, factor in (("none", 4), ("linear", 4), ("YaRN", 8), ("LongRoPE", 32)):
        one = Rope(scaling=rope.scaling(extension, factor, 4_096))
        angles = distances[:, None] * one.frequencies(96, torch.tensor(5_001))
        magnitude = one.scaling.magnitude() if one.scaling else 1
        assert torch.allclose(rope.turned(one, 96, distances), magnitude**2 * angles.cos().mean(dim=1), atol=1e-4)


def test_extensions_keep_slow_pairs_within_what_training_showed():
    waves = [2 * math.pi * 10_000 ** (pair / 48) for pair in range(48)]  # of Phi-3-mini
    less = sum(wave > 4_096 for wave in waves)
    said, _ = drawn("rope", extension="none")
    assert f"Of 48 pairs of channels, {less} turn less than once within 4,096 tokens" in said
    assert f"At 16,384 tokens {less} pairs reach angles" in said
    for extension in ("linear", "YaRN", "Llama 3", "LongRoPE"):
        assert "no pair reaches angles that training never showed" in drawn("rope", extension=extension)[0]
    assert "the slowest pair turns 8.0 times slower" in drawn("rope", extension="NTK", factor=8)[0]
    assert "makes 48 pairs 4 times slower" in drawn("rope", extension="linear")[0]
    assert f"makes {less} pairs 4 times slower" in drawn("rope", extension="Llama 3")[0]


@pytest.mark.parametrize("pairs", [12, 3, 1])
def test_heads_leave_what_the_cost_says(pairs):
    kept = core.cost(preset("gpt2")).kv_bytes_per_token * pairs // heads.QUERIES
    assert f"a token leaves {kept:,} bytes" in drawn("heads", pairs=pairs)[0]


@pytest.mark.parametrize("model", latent.MODELS)
def test_a_latent_is_what_the_config_says(model):
    own, grouped = latent.parts(model)
    assert latent.kept(own) == own.kv_rank + own.rope_dim
    assert latent.rebuilt(own) == own.heads * (own.nope_dim + own.rope_dim + own.v_dim)
    assert latent.kept(grouped) == 2 * grouped.kv_heads * grouped.head_dim
    # What the two forms do not share: a latent projected up for each token that is read, or twice for the new one.
    up, past = 2 * own.kv_rank * own.heads * (own.nope_dim + own.v_dim), 8_192
    expanded = up * (past + 1) + 2 * (past + 1) * own.heads * (own.qk_dim + own.v_dim)
    absorbed = up + 2 * (past + 1) * own.heads * (2 * own.kv_rank + own.rope_dim)
    found = latent.decode(model, past)
    assert found["expanded"] - found["absorbed"] == expanded - absorbed
    assert figure(found["absorbed"], "FLOP") in drawn("latent", model=model, context="8K")[0]


def test_activations_are_those_of_the_papers():
    x = torch.tensor([-1.0, 0.0, 3.0])
    assert activations.curve(activations.form("ReLU²"), x) == [0, 0, 9]
    assert activations.curve(activations.form("SiLU"), x) == pytest.approx([v / (1 + math.exp(-v)) for v in x.tolist()])
    assert activations.curve(activations.form("GELU"), x) == pytest.approx([v / 2 * (1 + math.erf(v / 2**0.5)) for v in x.tolist()])
    assert "makes 5.72 of a gate of 3 and an up projection of 2; nothing bounds it" in drawn("activations")[0]  # 3 / (1 + e^-3) * 2
    # gpt-oss: min(gate, 7), up within ±7 and plus one; its swish's slope leaves 7 as it is.
    assert "never below −42 or above 56" in drawn("activations", function="gpt-oss")[0]
    assert "never below −100 or above 100" in drawn("activations", function="DeepSeek-V4")[0]
    assert {*activations.users("SwiGLU"), *activations.limited()} == {preset(name).title for name in adoption("swiglu").names}
    assert "Step 3.5 Flash" in activations.users("Step 3.5") and "GPT-2 small" not in activations.users("Step 3.5")


@pytest.mark.parametrize("model", fused.MODELS)
def test_a_fused_kernel_saves_what_plain_attention_computes(model, monkeypatch):
    _, part = fused.attention(model)
    small, d_model, length, seen = part.shrink(0.1), 64, 24, {}

    module = small.build(d_model)
    where = "core.parts.latent" if isinstance(module, LatentAttentionModule) else "core.parts.attention"
    real = attention.masked_softmax
    monkeypatch.setattr(f"{where}.masked_softmax", lambda *args: seen.update(scores=args[0].numel()) or real(*args))
    module.core.register_forward_hook(lambda _, args, out: seen.update(through=sum(x.numel() for x in (*args, out) if x is not None)))
    with torch.inference_mode():
        module(torch.randn(1, length, d_model), torch.arange(length))
    assert seen["scores"] == fused.unwritten(small, length)
    each = sum(math.prod(shape) for shape in fused.passed(small, d_model).values())
    assert seen["through"] == length * each + length  # and the positions


def test_fused_bytes_are_those_of_the_config():
    said, _ = drawn("fused", model="Llama 3.1 8B", length="8K")
    assert size(2 * 2 * 32 * 8_192**2) in said and size(2 * 8_192 * (2 * 32 + 2 * 8) * 128) in said
    assert "in any of 18 such layers" in drawn("fused", model="gpt-oss 120B")[0]
    assert "A strip of 128 channels is 12.5 % as wide as the square of 1,024 tokens" in drawn("fused", model="DeepSeek-V3", length="1K")[1]


@pytest.mark.parametrize("name", ROUNDED)
def test_a_matrix_read_back_has_the_values_of_its_format(name):
    matrix = torch.randn(160, 96, generator=torch.Generator().manual_seed(1))
    read = rounded(matrix, name)
    assert read.shape == matrix.shape and read.dtype == torch.float32
    assert torch.allclose(rounded(read, name), read, atol=1e-3 if name.startswith("q") else 1e-5), "what is read back stays as it is"
    block = read[3, 32:64]
    assert len(block.unique()) <= 2 ** FORMATS[name].bits
    assert 1e-6 < float((read - matrix).square().mean().sqrt()) < 2 ** (1 - min(FORMATS[name].bits, 9) / 2), "bits are worth something"


def test_rounding_is_that_of_the_formats():
    powers = torch.tensor([[6.0, 4, 3, 2, 1.5, 1, 0.5, 0] * 4])  # what E2M1 holds
    assert torch.equal(rounded(powers, "mxfp4"), powers)
    eights = torch.tensor([[-8.0, *range(-7, 8)] * 2])  # what int4 holds, with the scale of its largest value
    assert torch.equal(rounded(eights, "int4"), eights)
    fp8 = torch.tensor([[448.0, 1, 1.125, 1.0625, 2**-9, 0]])
    assert rounded(fp8, "fp8").tolist() == [[448, 1, 1.125, 1, 2**-9, 0]]  # halves go to the even one
    assert rounded(torch.full((2, 2), 1e-3), "fp8_row").allclose(torch.full((2, 2), 1e-3))
    with pytest.raises(core.Unsupported, match="give one of bf16"):
        rounded(fp8, "ternary")
    with pytest.raises(core.Unsupported, match="rows of 6 are no blocks of 32"):
        rounded(fp8, "int4")


def test_an_outlier_costs_the_values_that_share_its_scale():
    assert formats.error("mxfp4", 100) > 1.3 * formats.error("mxfp4", 0) > 0
    assert formats.error("bf16", 100) == pytest.approx(formats.error("bf16", 0), rel=0.05)
    assert [len(formats.levels(name, 0.08)) for name in ("fp8", "int8", "int4", "mxfp4")] == [253, 255, 16, 15]
    assert formats.bits("mxfp4") == 4 + 8 / 32
    assert "In mxfp4 a value takes 4.25 bits with its scales" in drawn("formats")[0]


def test_balancing_is_the_rule_of_the_paper():
    found = routing.run(10)
    loads, bias = found.loads, torch.zeros(routing.EXPERTS)
    for load in loads[:-1]:
        bias += routing.RATE * torch.sign(routing.TOKENS * routing.CHOSEN / routing.EXPERTS - load)
    assert torch.allclose(bias, found.bias)
    assert (loads.sum(dim=-1) == routing.TOKENS * routing.CHOSEN).all()
    assert routing.run(0).moved == 0 < found.moved
    busiest = routing.run(200).loads.amax(dim=-1) / loads.mean()
    assert busiest[-1] < 1.1 < 1.5 < busiest[0]
    level = routing.run(10, None).loads[-1]
    assert level.amax() / level.mean() < 1.05 < busiest[10], "quantiles need no speed"
    assert f"{busiest[-1]:.2f} times its share" in drawn("routing", steps=200)[0]
    assert f"{busiest[0]:.2f} times its share" in drawn("routing", steps=200, rule="none")[0]


def test_a_state_is_what_its_equation_says():
    """S + k (v - S' k)' for each token, and S + k v' for a sum."""
    found = state.written("new", 8)
    generator = torch.Generator().manual_seed(1)
    k, v = (torch.randn(1, state.LENGTHS[-1], state.TRIALS, state.DIM, generator=generator)[0, :8, 0] for _ in "kv")
    k = k / k.norm(dim=-1, keepdim=True)
    delta = plain = torch.zeros(state.DIM, state.DIM)
    for key, value in zip(k, v):
        delta, plain = delta + torch.outer(key, value - delta.T @ key), plain + torch.outer(key, value)
    assert torch.allclose(found["delta rule"].state, delta, atol=1e-4) and torch.allclose(found["plain sum"].state, plain, atol=1e-4)
    assert found["delta rule"].error[-1] < state.EXACT < 0.5 < found["plain sum"].error[-1]


def test_a_key_that_comes_again_means_its_last_value():
    error = state.written("again", 32)["delta rule"].error
    assert torch.allclose(error[:8], error[8:16]) and torch.allclose(error[:8], error[-8:])


def test_a_state_has_the_bytes_of_the_config():
    held, each = state.kept()
    assert each == 2 * 2 * 256 * 2  # two pairs of 256 channels in bf16
    assert held == 4 * 32 * 128 * 128 + 2 * 3 * (2 * 16 + 32) * 128  # float32 memories, and the convolution's last inputs
    said = drawn("state")[0]
    assert f"takes {size(held)} at any length" in said and f"as much after {held / each:,.0f} tokens" in said
