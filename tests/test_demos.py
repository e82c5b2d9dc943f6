"""Demonstrations say what core computes: their figures are held to closed forms, modules and costs, each computed in another way."""

import math
import re

import pytest
import torch

import core
from app.demos import DEMOS, activations, heads, latent, rope, sight
from core.library import preset
from core.parts.position import Rope
from core.words import figure


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
    assert sight.users("chunk") == ("Llama 4 Maverick", "Llama 4 Scout")
    assert preset("mistral-7b").title in sight.users("window") and preset("mistral-7b").title not in sight.users("full")
    said, words = drawn("sight", tokens=16, size=8)
    assert "136 scores, a window of 8 only 100" in said and "Llama 4 Scout" in words


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
    assert activations.users("Step 3.5") == ("Step 3.5 Flash",)
