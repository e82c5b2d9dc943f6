"""Architectures fitted to a budget: near what is asked, in the start's proportions, or refused with what is nearest."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import core
from core import Unsupported, Workload
from core.__main__ import main
from core.budget import NEAR, amount, resized, scaled, with_active, with_cache
from core.library import preset
from core.spec import edited

LONG = Workload(context=32_768)
REFUSED = {("openelm-270m", 0.5)}  # every layer has a width of its own, and none repeats


@pytest.mark.hypothesis
@settings(max_examples=max(3, settings().max_examples // 4))
@given(st.sampled_from(core.presets()), st.sampled_from((0.5, 2)), st.sampled_from(("parameters", "active_parameters")))
def test_half_and_double_of_any_preset(name, factor, what):
    arch = preset(name)
    asked = factor * getattr(core.cost(arch), what)
    try:
        fit = scaled(arch, **{what: asked})
    except Unsupported as error:
        assert (name, factor) in REFUSED and "the nearest" in str(error)
        return
    found = fit.architecture
    assert fit.reached == getattr(core.cost(found), what) and abs(fit.reached / asked - 1) <= NEAR
    assert core.decode(core.encode(found)) == found
    assert [len(segment.blocks) for segment in found.layers] == [len(segment.blocks) for segment in arch.layers]  # whole cycles
    for part, then in ((found.parts[name], then) for name, then in arch.parts.items()):
        assert getattr(part, "head_dim", None) == getattr(then, "head_dim", None)
        assert getattr(part, "count", None) == getattr(then, "count", None)


@pytest.mark.parametrize("name", core.presets()[::9])
def test_its_own_size_is_the_same_architecture(name):
    arch = preset(name)
    assert resized(arch, arch.d_model) == arch
    assert scaled(arch, parameters=core.cost(arch).parameters).architecture == arch


def test_proportions_of_a_dense_model():
    arch = preset("llama-3-8b")
    fit = scaled(arch, parameters=3e9)
    found, (now, then) = fit.architecture, (fit.architecture.parts, arch.parts)
    growth = found.d_model / arch.d_model
    assert found.d_model % 64 == 0 and now["dense"].d_ff % 64 == 0
    assert math.isclose(found.depth / arch.depth, growth, rel_tol=0.2)
    assert math.isclose(now["dense"].d_ff / then["dense"].d_ff, growth, rel_tol=0.05)
    assert now["attention"].heads == 4 * now["attention"].kv_heads
    assert str(fit).endswith(fit.near) and " of 3 B asked, " in str(fit)


def test_any_width_has_whole_groups_of_heads_and_round_widths():
    arch = preset("llama-3-8b")
    for d_model in range(320, 8_192, 320):
        attention, dense = (resized(arch, d_model).parts[name] for name in ("attention", "dense"))
        assert attention.heads % attention.kv_heads == 0 and attention.heads >= attention.kv_heads
        assert dense.d_ff % min(128, 1 << (dense.d_ff.bit_length() - 5)) == 0, "steps of 128, finer where that is coarse"


def test_a_width_of_several_shared_experts_stays_a_multiple():
    arch = preset("deepseek-v2")
    for d_model in range(1_280, 5_120, 320):
        moe = resized(arch, d_model).parts["moe"]
        assert moe.shared.d_ff == 2 * moe.d_ff


def test_first_dense_layers_and_shared_experts_stay_in_proportion():
    arch = preset("deepseek-v3")
    found = scaled(arch, active_parameters=10e9).architecture
    assert found.layers[0] == arch.layers[0] and found.layers[1].repeat < 58
    moe = found.parts["moe"]
    assert (moe.count, moe.top_k, moe.shared.d_ff) == (256, 8, moe.d_ff)
    assert found.parts["attention"].kv_rank < 512


@pytest.mark.parametrize("name", ("gpt2", "deepseek-v3"))
@pytest.mark.parametrize("asked", (1, 1e3, 1e6, 9e17))
def test_what_cannot_be_reached_says_what_can(name, asked):
    with pytest.raises(Unsupported, match=r"the nearest to|no width that the spec accepts comes near"):
        scaled(preset(name), parameters=asked)


@pytest.mark.parametrize("asked", (0, -1, float("nan"), float("inf"), 1e19))
def test_what_is_no_budget_is_refused(asked):
    for fit in (lambda arch: scaled(arch, parameters=asked), lambda arch: with_active(arch, asked), lambda arch: with_cache(arch, asked)):
        with pytest.raises(Unsupported, match=r"give a number from 1 to 10\^18"):
            fit(preset("gpt2"))


def test_experts_alone_come_back_to_the_active_parameters():
    start = preset("deepseek-v3")
    active = core.cost(start).active_parameters
    fewer = edited(start, "parts.moe.top_k", 4)
    assert with_active(fewer, active, start).architecture == edited(fewer, "parts.moe.d_ff", 4096)
    narrower = edited(start, "parts.moe.d_ff", 1024)  # the width was chosen, so it stays
    assert with_active(narrower, active, start).architecture == edited(narrower, "parts.moe.top_k", 16)
    dense = edited(preset("llama-3-8b"), "parts.attention.kv_heads", 32)
    assert with_active(dense, core.cost(preset("llama-3-8b")).active_parameters).architecture.parts["dense"].d_ff == 12_288
    with pytest.raises(Unsupported, match="no experts and no feed-forward network"):
        with_active(preset("mamba-2.8b"), 1e9)


@pytest.mark.parametrize(
    ("name", "share", "path", "value"),
    (
        ("llama-3-8b", 0.5, "parts.attention.kv_heads", 4),
        ("deepseek-v3", 2, "parts.attention.kv_rank", 1088),
        ("gemma-3-27b", 0.9, "parts.local.sight.window", 320),
        ("jetmoe-8b", 0.5, "parts.attention.heads", 8),
    ),
)
def test_the_cache_alone(name, share, path, value):
    arch = preset(name)
    asked = round(share * core.cost(arch, LONG).kept_bytes)
    fit = with_cache(arch, asked, LONG)
    assert fit.architecture == edited(arch, path, value)
    assert fit.reached == core.cost(fit.architecture, LONG).kept_bytes and abs(fit.off) <= 0.01
    assert with_cache(arch, core.cost(arch, LONG).kept_bytes, LONG).architecture == arch


def test_layers_that_share_a_cache_change_together():
    arch = preset("gemma-3n-e2b")
    found = with_cache(arch, core.cost(arch, LONG).kept_bytes / 2, LONG).architecture
    assert {part.kv_heads for part in found.parts.values() if part.kind == "attention"} == {1}


def test_a_cache_between_two_numbers_of_heads_is_refused():
    arch = preset("llama-3-8b")
    with pytest.raises(Unsupported, match=r"the nearest to 3\.2 GB is 4\.3 GB, 33\.3 % above"):
        with_cache(arch, 0.75 * core.cost(arch, LONG).kept_bytes, LONG)
    with pytest.raises(Unsupported, match="no part of this model caches"):
        with_cache(preset("mamba-2.8b"), 1e6)


@pytest.mark.parametrize(
    ("given", "says"),
    (
        ("parameters=3B", "parameters: 2.971 B of 3 B asked, 0.98 % below"),
        ("active=start", "active parameters: 8.022 B of 8.03 B asked, 0.10 % below"),
        ("cache=start@32K", "caches and states: 4.3 GB, exactly as asked"),
    ),
)
def test_the_command_line_fits_and_says_how_near(given, says, capsys):
    assert main(["edit", "llama-3-8b", "--set", "parts.attention.kv_heads=16", "--fit", given]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == says and "kind: attention" in out


@pytest.mark.parametrize("given", ("", "parameters", "experts=3", "parameters=3B@4K", "cache=1GB@no", "cache=8@8K", "active=-1"))
def test_the_command_line_refuses_other_budgets(given, capsys):
    assert main(["edit", "llama-3-8b", "--fit", given]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "value"), (("8B", 8e9), (" 135 m", 135e6), ("2.5 GB", 2.5e9), ("600MB", 6e8), ("8e9", 8e9), ("1,024", 1024), ("1T", 1e12))
)
def test_amounts(words, value):
    assert amount(words) == value


@pytest.mark.parametrize("words", ("", "B", "-1", "8 apples", "8BB B", "1e999", "٣", "nan"))
def test_what_is_no_amount(words):
    with pytest.raises(Unsupported, match="is not an amount"):
        amount(words)
