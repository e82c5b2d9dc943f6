"""Routing: what is recorded is what the routers did; balancing balances."""

import numpy as np
import pytest
import torch

import core
from core.edits import first_dense
from core.model import build
from core.routing import DEFAULT_TEXT, balance, route
from core.spec import Unsupported, edited, parse

MOE = [name for name in core.presets() if any(p.kind == "experts" for p in core.load(name).parts.values())]


@pytest.mark.long
@pytest.mark.parametrize("name", MOE)
def test_every_mixture_of_experts_is_recorded(name):
    arch = core.load(name)
    found = route(arch)
    assert not found.trained and len(found.tokens) > 50 and "river" in found.tokens
    experts = [p for p in found.live.parts.values() if p.kind == "experts"]
    assert {len(layer.load) for layer in found.layers} == {p.choices for p in experts}
    for layer in found.layers:
        top_k = layer.chosen.shape[1]
        assert layer.scores.shape == (len(found.tokens), len(layer.load)) and layer.weights.shape == layer.chosen.shape
        assert all(len(set(row)) == top_k for row in layer.chosen), "a token goes to different experts"
        assert layer.load.sum() == pytest.approx(1) and 0 <= layer.entropy <= 1
        assert layer.max_violation == pytest.approx(layer.load.max() * len(layer.load) - 1)
        assert set(layer.dead) == set(range(len(layer.load))) - set(layer.chosen.ravel())
        assert 0 <= layer.changed_by_groups <= 1 and 0 <= layer.changed_by_bias <= 1
    assert found.heatmap.shape == (len(found.layers), max(len(layer.load) for layer in found.layers))


def test_what_is_recorded_is_what_the_model_does():
    arch = core.load("deepseek-v3")
    found = route(arch, seed=3)
    again = route(arch, seed=3)
    other = route(arch, seed=4)
    assert all(np.array_equal(a.chosen, b.chosen) for a, b in zip(found.layers, again.layers, strict=True))
    assert any(not np.array_equal(a.chosen, b.chosen) for a, b in zip(found.layers, other.layers, strict=True))
    router = core.load("deepseek-v3").parts["moe"].router
    for layer in found.layers:
        best = np.take_along_axis(layer.scores, layer.chosen, axis=1)
        assert np.allclose(layer.weights, best / best.sum(1, keepdims=True) * router.scale, atol=1e-5)
        groups = layer.chosen // (256 // router.groups)
        assert max(len(set(row)) for row in groups) <= router.top_groups


def test_a_group_limit_that_limits_nothing_changes_nothing():
    arch = edited(core.load("deepseek-v3"), "parts.moe.router.top_groups", 8)
    assert all(layer.changed_by_groups == 0 for layer in route(arch).layers)
    assert any(layer.changed_by_groups > 0.05 for layer in route(core.load("deepseek-v3")).layers)


def test_a_selection_bias_changes_choices_but_no_weights():
    before, after = (pair := balance(core.load("deepseek-v3"), steps=60, rate=1e-2)).before, pair.after
    mean = [np.mean([layer.max_violation for layer in r.layers]) for r in (before, after)]
    assert mean[1] < mean[0] / 2, "the busiest experts are relieved"
    assert np.mean(pair.curves[:, -1]) < np.mean(pair.curves[:, 0]) / 2 and pair.curves.shape == (len(before.layers), 61)
    assert all(layer.changed_by_bias == 0 for layer in before.layers)
    assert any(layer.changed_by_bias > 0.1 for layer in after.layers)
    first = after.layers[0]
    scores = np.take_along_axis(first.scores, first.chosen, axis=1)
    assert np.allclose(first.weights, scores / scores.sum(1, keepdims=True) * 2.5, atol=1e-5)


def test_routing_disturbs_nobody():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    route(core.load("deepseek-v3"))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("text", ["", "   \n\t"])
def test_a_text_without_words_is_a_sentence(text):
    with pytest.raises(Unsupported, match="words"):
        route(core.load("deepseek-v3"), text)


def test_any_text_is_read_in_bounds():
    found = route(core.load("deepseek-v3"), "x" * 500 + " ﷽ \U0001f600 \ud800 " + DEFAULT_TEXT * 500)
    assert len(found.tokens) <= 256 and all(len(piece) <= 24 for piece in found.tokens)


def test_what_has_no_experts_or_no_bias_is_a_sentence():
    for arch in (core.load("llama-3-8b"), first_dense(core.load("deepseek-v3"), 61)):  # which has experts in its module ahead alone
        with pytest.raises(Unsupported, match="no layer has experts"):
            route(arch)
    with pytest.raises(Unsupported, match="selection_bias"):
        balance(core.load("grok-2.5"))


def test_overflow_is_a_sentence():
    value = core.load("grok-2.5").model_dump(mode="json")
    value["residual"] = {"norm": "none", "scale": 1000.0}
    value["layers"] = [{"repeat": 200, "blocks": [["attention", "dense", "moe"]]}]
    with pytest.raises(Unsupported, match="overflow"):
        route(parse(value))


def test_the_live_size_has_the_architectures_own_routers():
    arch = core.load("deepseek-v3")
    live = route(arch).live
    assert live.parts["moe"].router == arch.parts["moe"].router and live.parts["moe"].count == 256
    assert sum(p.numel() for p in build(live).parameters()) < 30e6
