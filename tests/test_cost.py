"""Costs: rows that add up, sentences that compute, figures that papers and files state."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import architectures

import core
from core.cost import Cost, sentences
from core.model import build, parameters
from core.precision import FORMATS
from core.spec import Workload, edited

FIGURES = [
    "parameters", "active_parameters", "weight_bytes", "prefill_flops", "decode_flops", "kv_bytes_per_token", "kv_bytes", "state_bytes",
    "activation_bytes", "mtp_parameters",
]  # fmt: skip
workloads = st.builds(
    Workload,
    batch=st.sampled_from([1, 3]),
    context=st.sampled_from([1, 7, 64]),
    weights=st.sampled_from([None, "fp8_block", "int4", "bf16"]),
    cache=st.sampled_from(["bf16", "fp8", "int4"]),
)


def value_of(sentence: str) -> int:
    """What the left side of a sentence computes to: its words fall away, its figures stay."""
    left = sentence.partition(" = ")[0]
    left = re.sub(r"[A-Za-z_][\w.]*", " ", left.replace(",", "")).replace("×", "*").replace("−", "-")
    return round(eval(left))


def check(c: Cost) -> None:
    for row in c.rows:
        said = sentences(row)
        for figure in FIGURES:
            amount = getattr(row, figure)
            if not amount:
                continue
            assert figure in said, f"{row.component}: {figure} without a derivation"
            stated = int(re.search(r"= ([\d,]+)", said[figure])[1].replace(",", ""))
            assert stated == amount == value_of(said[figure]), said[figure]
    for figure in FIGURES:
        assert getattr(c, figure) == sum(getattr(row, figure) for row in c.rows)
    for name in ("role", "block", "part", "component"):
        sums = c.by(name)
        assert list(sums) == list(dict.fromkeys(getattr(row, name) for row in c.rows))
        for figure in FIGURES:
            assert sum(found[figure] for found in sums.values()) == getattr(c, figure)
    assert c.parameters == parameters(build(c.architecture))
    assert 0 < c.active_parameters <= c.parameters


@given(architectures, workloads)
def test_every_figure_says_how_it_came_about(arch, workload):
    check(core.cost(arch, workload))


def test_figures_by_role_are_their_rows():
    sums = core.cost(core.load("deepseek-v3")).by("role")
    experts = 58 * 256 * 3 * 7_168 * 2_048  # layers, experts, matrices of d_model × d_ff
    assert sums["experts"]["parameters"] == experts and sums["shared"]["parameters"] == experts // 256
    assert sums["attention"]["kv_bytes"] == 61 * 4_096 * (512 + 64) * 2 and not sums["experts"]["kv_bytes"]
    unknown = core.cost(edited(core.load("gpt2"), "unsized", "a format that nobody knows")).by("role")
    assert {figures["weight_bytes"] for figures in unknown.values()} == {None}


@pytest.mark.parametrize("name", core.presets())
def test_every_presets_figures_say_how_they_came_about(name):
    check(core.cost(core.load(name)))


def test_totals_are_derived_too():
    c = core.cost(core.load("deepseek-v3"))
    assert c.derivation("kv_bytes_per_token") == "61 layers × (512 + 64) values × 2 bytes = 70,272"
    assert value_of(c.derivation("parameters")) == c.parameters


def test_windows_chunks_and_shared_caches_count_what_they_keep():
    arch = core.load("gpt2")
    whole = core.cost(arch, Workload(context=1000)).kv_bytes
    assert core.cost(edited(arch, "parts.attention.sight.window", 100), Workload(context=1000)).kv_bytes == whole // 10
    assert core.cost(edited(arch, "parts.attention.sight.chunk", 100), Workload(context=1000)).kv_bytes == whole // 10
    windowed = core.cost(edited(arch, "parts.attention.sight.window", 100))
    assert windowed.kv_bytes_per_token == core.cost(arch).kv_bytes_per_token, "before the window is full"


def test_the_curve_of_the_cache_is_the_cost_at_each_context():
    arch, contexts = core.load("gpt2"), [1, 300, 1024]
    windowed = edited(arch, "parts.attention.sight.window", 256)
    kept, plain = core.cost(windowed, Workload(batch=2, cache="fp8")).kept_at(contexts)
    for context, a, b in zip(contexts, kept, plain, strict=True):
        assert a == core.cost(windowed, Workload(batch=2, cache="fp8", context=context)).kv_bytes
        assert b == core.cost(arch, Workload(batch=2, cache="fp8", context=context)).kv_bytes


def test_decode_after_a_prompt_is_the_prompt_grown_by_one():
    for name in core.presets():
        arch = core.load(name)
        for part in (arch.part(n) for n in arch.parts):
            if not hasattr(part, "flops_forms"):
                # But for Doge's weights of the keys, which are made again of the values that are kept.
                longer, shorter, one = (
                    Counter(part.flops(arch.d_model, *tokens)) - Counter(weigh=10**18) for tokens in ((101, 0), (100, 0), (1, 100))
                )
                # To a thousandth: the second of ZAYA1's convolutions reads what the first gave to earlier tokens, made again.
                assert one.total() == pytest.approx(longer.total() - shorter.total(), rel=1e-3)


def test_training_costs_three_forward_passes():
    c = core.cost(core.load("gpt2"), Workload(batch=2, context=1024))
    assert c.training_flops_per_token == 3 * c.prefill_flops // (2 * 1024)
    # Six FLOPs a parameter and token, less the tables that are looked up, more what attention adds.
    matrices = c.parameters - (1024 + 50257) * 768 + 50257 * 768
    assert c.training_flops_per_token == pytest.approx(6 * matrices + 3 * 12 * 2 * 2 * 768 * 1025 / 2, rel=1e-3)


def test_formats_hold_what_they_hold():
    assert FORMATS["bf16"].bytes((3, 5)) == 30
    assert FORMATS["fp8_block"].bytes((256, 130)) == 256 * 130 + 2 * 2 * 4
    assert FORMATS["fp8_block"].bytes((7, 256, 130)) == 7 * FORMATS["fp8_block"].bytes((256, 130))
    assert FORMATS["mxfp4"].bytes((10, 64)) == 10 * 32 + 10 * 2
    assert FORMATS["int4"].bytes((64,)) == 32 + 2 * 2


def test_weights_in_another_format():
    arch = core.load("gpt2")
    c = {fmt: core.cost(arch, Workload(weights=fmt)).weight_bytes for fmt in ("fp32", "bf16", "fp8")}
    assert c["fp32"] == 2 * c["bf16"] == 4 * core.cost(arch).parameters
    vectors = sum(p.numel() for p in build(arch).parameters() if p.dim() < 2)
    assert c["fp8"] == core.cost(arch).parameters + 3 * vectors, "vectors stay in the stored type, fp32 here"


def test_a_window_keeps_less_of_later_tokens():
    said = {name: core.cost(core.load(name)).kept for name in ("llama-3-8b", "mistral-7b")}
    assert said["llama-3-8b"].startswith("A token leaves 32 layers × ")
    assert said["mistral-7b"].startswith("The first token leaves 32 layers × ")
