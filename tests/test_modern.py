"""The field's habits: judged on every preset, by its own numbers, with an edit that makes each of them hold."""

import json
import re

import pytest

import core
from core import Unsupported
from core.__main__ import main
from core.diff import MOVED
from core.facets import TEXT, techniques
from core.library import preset
from core.modern import HABITS, PAYS, by_year, habit, standing

BY = {one.name: one for one in HABITS}


@pytest.mark.parametrize("name", BY)
def test_each_habit_holds_for_some_presets_and_not_for_others(name):
    answers = standing()[name]
    assert list(answers) == core.presets()
    assert {True, False} <= set(answers.values())


def test_shares_of_a_year_count_the_models_that_a_habit_applies_to():
    for name, years in by_year().items():
        for year, (have, count) in years.items():
            own = [standing()[name][of] for of in core.presets() if (day := preset(of).released) and day.year == year]
            assert (have, count) == (own.count(True), len(own) - own.count(None)) and count >= 5


def test_answers_are_those_of_the_techniques():
    answers = standing()
    for arch in map(preset, core.presets()):
        titles = {one.title for one in techniques(arch)}
        roles = {part.role for part in arch.parts.values()}
        assert answers["qk_norm"][arch.name] is True or "QK norm" not in titles
        assert (answers["rotary"][arch.name] is None) == ("attention" not in roles)
        assert not answers["rotary"][arch.name] or "Rotary, RoPE" in titles
        assert (answers["experts"][arch.name] is True) == ("experts" in roles)
        assert answers["hybrid"][arch.name] is not True or {"attention", "recurrence"} <= roles
        assert answers["balance"][arch.name] is not True or titles & {"Balancing bias", "Experts by a table"}


def test_a_model_too_large_to_be_counted_is_answered_as_if_it_were():
    for name in ("llama-3-8b", "phi-2", "gpt2"):
        arch = preset(name)
        assert BY["experts"].holds(arch) is (None if core.cost(arch).parameters < PAYS else False)


def test_known_answers():
    def said(name):
        return {one.habit.name: one.holds for one in core.modern(preset(name))}

    assert said("gpt2") == dict.fromkeys(BY, None) | dict.fromkeys(
        ("rotary", "shared_keys", "swiglu", "bf16", "qk_norm", "four_bits"), False
    )
    v3 = said("deepseek-v3")
    assert [name for name, answer in v3.items() if answer is False] == ["windows", "hybrid", "four_bits"]
    assert v3["qk_norm"] is None
    oss = said("gpt-oss-20b")
    assert oss["windows"] and oss["four_bits"] and oss["swiglu"] and not oss["fine_experts"] and not oss["balance"]
    assert said("qwen3-next-80b-a3b")["hybrid"] and said("falcon-mamba-7b")["rotary"] is None


@pytest.mark.parametrize("name", BY)
def test_the_edit_makes_it_hold_and_its_figures_are_those_of_cost(name):
    others = [preset(of) for of, answer in standing()[name].items() if answer is False]
    asked = (next(one for one in core.modern(arch) if one.habit.name == name) for arch in reversed(others))
    finding = next(one for one in asked if one.offer)
    arch, offer = finding.arch, finding.offer
    assert offer and offer.words and BY[name].holds(offer.architecture)
    assert core.decode(core.encode(offer.architecture)) == offer.architecture
    before, after = (core.cost(one, core.Workload(context=TEXT)) for one in (arch, offer.architecture))
    both = {figure: (getattr(before, figure), getattr(after, figure)) for figure in MOVED}
    assert offer.moves == {figure: pair for figure, pair in both.items() if pair[0] != pair[1]}


def test_edits_keep_what_they_are_not_about():
    def moves(name, of):
        return next(one for one in core.modern(preset(of)) if one.habit.name == name).offer.moves

    assert "decode_flops" not in moves("bf16", "gpt2")
    then, now = moves("swiglu", "gpt2")["parameters"]
    assert abs(now / then - 1) < 1e-3  # three narrower matrices for two
    then, now = moves("fine_experts", "mixtral-8x7b")["active_parameters"]
    assert abs(now / then - 1) < 0.01  # only the router grows
    then, now = moves("experts", "llama-3-8b")["active_parameters"]
    assert abs(now / then - 1) < 0.01 and moves("experts", "llama-3-8b")["parameters"][1] > 4 * then
    assert moves("hybrid", "llama-3.1-70b")["kept_bytes"][1] < 0.4 * moves("hybrid", "llama-3.1-70b")["kept_bytes"][0]


def test_the_new_part_of_a_hybrid_is_as_wide_as_the_stream_and_is_offered_only_if_caches_shrink():
    def offer(of):
        return next(one for one in core.modern(preset(of)) if one.habit.name == "hybrid").offer

    mamba = offer("mamba-2.8b").architecture
    attention = mamba.part("attention")
    assert attention.heads * attention.head_dim == mamba.d_model and attention.kv_heads == attention.heads // 4
    for name in ("deepseek-v3", "gemma-3-27b", "gpt-oss-20b"):
        made = offer(name)
        delta = made.architecture.part("delta")
        assert delta.heads * delta.value_dim == made.architecture.d_model
        assert made.moves["kept_bytes"][1] < made.moves["kept_bytes"][0]
    assert "global" in offer("gemma-3-27b").architecture.parts and "local" not in offer("gemma-3-27b").architecture.parts
    assert offer("gemma-3n-e4b") is None and offer("mimo-v2.5-pro") is None


def test_where_it_does_not_apply_or_holds_there_is_no_edit():
    for one in (*core.modern(preset("gpt2")), *core.modern(preset("gpt-oss-20b"))):
        assert one.holds is False or one.offer is None


def test_presets_that_answer_otherwise_are_named_with_their_numbers():
    one = next(one for one in core.modern(preset("llama-3-8b")) if one.habit.name == "qk_norm")
    answers = standing()["qk_norm"]
    assert set(one.otherwise) == {name for name, answer in answers.items() if answer} and one.holds is False
    latest = preset(one.otherwise[-1])
    found = core.cost(latest, core.Workload(context=TEXT))
    assert one.why == f"{latest.title}: {habit('qk_norm').reason(latest, found)}"


def test_every_reason_has_a_number_of_this_architecture():
    for name in ("gpt2", "deepseek-v4-pro", "rwkv-7-world-2.9b", "gemma-3n-e2b", "qwen3.8-flash-next", "jetmoe-8b"):
        for one in core.modern(preset(name)):
            assert re.search(r"\d", one.reason) and one.reason[-1] != ".", (name, one.habit.name, one.reason)


def test_the_command(capsys):
    assert main(["modern", "gpt2"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("GPT-2 small does 0 of the 6 things") and "kv heads 12 → 3" in out
    assert main(["modern", "deepseek-v3", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in value["findings"]] == list(BY)
    edit = next(one for one in value["findings"] if one["name"] == "windows")["edit"]
    assert core.Architecture.model_validate(edit["architecture"]).parts["local"].sight.window == 4096
    with pytest.raises(Unsupported, match="give one of rotary"):
        habit("x")
