"""The gallery: facets that come from the parts, counts that say what a click shows, links, and pictures without overlaps."""

import csv
import xml.etree.ElementTree as ET
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

import core
from app import facts, finding
from app.finding import OPTIONS, Finding, order, read, write
from app.kit import find
from app.kit.cards import cards
from app.kit.listing import table
from app.picture.pen import text_width
from app.picture.scatter import LETTERS, scatter
from app.picture.timeline import lanes, timeline
from core.facets import ATTENTION, FIGURES, FITS, KIND, TEXT, TEXTS, chosen, counts, entry, matches, record
from core.hardware import ACCELERATORS
from core.library import preset

MODELS = facts.entries()
FACETS = finding.everything()


@pytest.mark.parametrize(
    ("name", "kind", "attention"),
    [
        ("gpt2", {"dense"}, {"multi_head"}), ("llama-3-8b", {"dense"}, {"grouped_query"}),
        ("deepseek-v3", {"moe"}, {"latent_attention"}), ("deepseek-v3.2", {"moe"}, {"latent_attention", "sparse"}),
        ("gemma-3-27b", {"dense"}, {"grouped_query", "sliding_window"}), ("mamba-2.8b", {"dense", "recurrent"}, {"recurrence"}),
        ("qwen3-next-80b-a3b", {"moe", "hybrid"}, {"grouped_query", "recurrence"}), ("falcon-7b", {"dense"}, {"multi_query"}),
    ],
)  # fmt: skip
def test_a_model_has_the_options_that_people_would_say(name, kind, attention):
    one = entry(preset(name))
    assert (one.options["kind"], one.options["attention"]) == (kind, attention)


def test_every_model_has_an_option_where_it_must():
    for one in MODELS:
        assert all(len(one.options[name]) == 1 for name in ("size", "active", "licence", "maker"))
        assert one.options["kind"] & {"dense", "moe"} and one.options["attention"], one.arch.name
        assert all(one.options[facet.name] <= {option.name for option in facet.options} for facet in FACETS)


def test_what_fits_is_what_the_cost_says():
    for one in MODELS[::9]:
        found = core.cost(one.arch, core.Workload(context=TEXT))
        need = found.weight_bytes + found.kv_bytes + found.state_bytes
        reads = one.context is None or one.context >= TEXT
        names = {option.name for option, machine in zip(FITS.options, ACCELERATORS) if reads and need <= machine.memory}
        assert one.options["fits"] == names


filters = st.fixed_dictionaries({}, optional={facet.name: st.sets(st.sampled_from([o.name for o in facet.options])) for facet in FACETS})


@given(filters)
def test_a_count_is_what_a_click_shows(wanted):
    for facet in FACETS[:6]:
        found = counts(MODELS, wanted, facet)
        for option in facet.options:
            assert found[option.name] == sum(matches(one, {**wanted, facet.name: {option.name}}) for one in MODELS)


settings = st.fixed_dictionaries({name: st.sampled_from([*accepted]) for name, accepted in OPTIONS.items()})


@given(filters, settings, st.text(max_size=80).map(str.strip), st.lists(st.sampled_from(core.presets()), unique=True, max_size=4))
def test_a_link_shows_what_its_sender_saw(wanted, chosen_settings, q, pick):
    kept = {name: tuple(sorted(options)) for name, options in wanted.items() if options}
    given_one = Finding(q=q, chosen=kept, pick=tuple(pick), **chosen_settings)
    again, problem = read(write(given_one))
    assert not problem and again == given_one


@given(st.dictionaries(st.sampled_from([*OPTIONS, "q", "pick", "look", "many", *(f.name for f in FACETS)]), st.text(max_size=60)))
def test_any_link_is_read(params):
    """What is not known is said and left out."""
    found, problem = read(params)
    assert all(name in params for name in problem.split(":")[:1] if problem)
    assert read(write(found)) == (found, "")


def test_what_is_not_known_comes_last():
    unknown = entry(core.spec.edited(preset("gpt2"), "released", None))
    for sort in ("released", "-released"):
        assert order([unknown, *MODELS[:5]], sort)[-1] is unknown


@pytest.mark.parametrize("sort", ["parameters", "-active", "cache", "-context"])
def test_models_are_in_the_order_of_a_figure(sort):
    values = [FIGURES[sort.strip("-")].get(one) for one in order([*MODELS], sort)]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=sort.startswith("-")) and values[: len(known)] == known


def test_filters_are_written_on_the_command_line():
    assert chosen(["kind=moe,hybrid", "attention=sparse"], FACETS) == {"kind": ("moe", "hybrid"), "attention": ("sparse",)}
    for wrong, words in (("kind=x", "kind: 'x' is no option; give dense"), ("sort=x", "'sort' is no filter; give one of kind")):
        with pytest.raises(core.Unsupported, match=words):
            chosen([wrong], FACETS)


# ---- the views ----


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("axes", [("parameters", "cache"), ("released", "context"), ("text", "weights"), ("cache", "context")])
def test_no_label_is_on_another_or_on_a_point(axes, wide):
    shown = [(one, n % 3 > 0) for n, one in enumerate(MODELS)]
    svg = ET.fromstring(scatter(shown, axes, "active", {one.arch.name: "attention" for one in MODELS}, "8", wide))
    known = [one for one in MODELS if all(FIGURES[name].endless or FIGURES[name].get(one) is not None for name in axes)]
    points = {
        point.get("data-name"): [float(point.find("circle").get(name)) for name in ("cx", "cy", "r")]
        for point in svg.iter("g") if "point" in point.get("class").split()
    }  # fmt: skip
    assert points.keys() == {one.arch.name for one in known}
    left, right, top, bottom = map(float, svg.get("data-area").split())
    assert all(left <= x <= right and top <= y <= bottom for x, y, _ in points.values())
    names = {one.arch.title: one.arch.name for one in MODELS}
    boxes, labels = [], 0
    for text in (text for text in svg.iter("text") if {"label", "held"} & {*text.get("class").split()}):
        words, x, y = text.text, float(text.get("x")), float(text.get("y"))
        width = text_width(words, LETTERS if "label" in text.get("class") else 11)
        start = x - width if "e" in text.get("class").split() else x - width / 2 if "c" in text.get("class").split() else x
        boxes.append((start, y - 9, start + width, y, words))
        labels += "label" in text.get("class")
        own = names.get(words.partition(" and ")[0])
        for name, (cx, cy, r) in points.items() if own else ():
            assert name == own or not (start - r < cx < start + width + r and y - 9 - r < cy < y + r) or cy < top, (words, name)
    assert labels > 4
    for n, a in enumerate(boxes):
        assert not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in boxes[:n]), a[4]


def test_what_has_no_cache_and_no_end_is_at_the_edges():
    """Mamba has neither: it is drawn, and so is the reason."""
    shown = [(one, True) for one in MODELS]
    svg = scatter(shown, ("cache", "context"), "none", dict.fromkeys((one.arch.name for one in MODELS), "ink"), "none", True)
    assert 'data-name="mamba-2.8b" data-said="0 B|any"' in svg and " more</text>" in svg and ">none</text>" in svg and ">any</text>" in svg
    assert "not drawn: released not known" in find._spans(Finding(x="released"), MODELS)
    assert "not drawn" not in find._spans(Finding(x="cache", y="context"), MODELS)


@pytest.mark.parametrize("length", TEXTS)
def test_figures_and_machines_follow_the_length_of_the_text(length):
    name = next(name for name, n in finding.LENGTHS.items() if n == length)
    for one in Finding(text=name).models()[::23]:
        found = core.cost(one.arch, core.Workload(context=length))
        assert (one.length, one.text) == (length, found.kv_bytes + found.state_bytes) and one.cache == found.kv_bytes / length
        need = found.weight_bytes + one.text
        reads = one.context is None or one.context >= length
        assert one.options["fits"] == {o.name for o, machine in zip(FITS.options, ACCELERATORS) if reads and need <= machine.memory}
        assert f"text_bytes_at_{length}" in record(one)
    assert f"Weights as shipped, with one text of {name.upper()}<" in find._filter(FITS, Finding(text=name), MODELS)


def test_a_card_shows_the_figure_that_models_are_sorted_by():
    one = next(one for one in MODELS if one.arch.name == "gemma-3-27b")
    assert "<dt>Memory, 32K text</dt><dd>3.1 GB</dd>" in cards([one], (), Finding(sort="text").sorted_by)
    assert "<dt>Memory, 128K text</dt>" in cards([one.at(131_072)], (), Finding(q="least memory gemma").sorted_by)
    assert "<dt>Context</dt><dd>128K</dd>" in cards([one], (), Finding(sort="-context").sorted_by)
    assert "<dt>Cache / token, 32K</dt>" in cards([one], (), Finding(sort="-active").sorted_by)


def test_experts_and_windows_are_those_of_the_parts():
    of = {one.arch.name: one.options for one in MODELS}
    assert (of["gpt-oss-20b"]["experts"], of["gpt-oss-20b"]["window"]) == ({"16-64"}, {"under-512"})
    assert (of["deepseek-v3"]["experts"], of["deepseek-v3"]["window"]) == ({"over-256"}, set()) and not of["gpt2"]["experts"]


def test_the_timeline_says_who_brought_what():
    found = {lane.technique.title: lane for lane in lanes([(one, True) for one in MODELS])}
    assert found["Multi-head latent attention"].models[0].arch.name == "deepseek-v2"
    assert found["Sliding window"].models[0].arch.name == "mistral-7b"
    assert found["Multi-token prediction"].models[0].arch.name == "deepseek-v3"
    days = [lane.models[0].day for lane in found.values()]
    assert days == sorted(days) and "AltUp, alternating updates" in found
    assert timeline([], True).startswith("<svg")
    assert f"{sum(not one.day for one in MODELS)} models are not drawn" in find._brought([(one, True) for one in MODELS])
    recurrent = lanes([(one, "recurrent" in one.options["kind"]) for one in MODELS])
    assert {lane.technique.title for lane in recurrent} < found.keys() and "Attention sinks" not in {
        lane.technique.title for lane in recurrent
    }


def test_a_file_has_the_figures_of_the_cost():
    rows = [*csv.DictReader(StringIO(_file([one for one in MODELS if one.arch.name in ("gpt2", "deepseek-v3")])))]
    for row in rows:
        found = core.cost(preset(row["name"]), core.Workload(context=TEXT))
        assert int(row["parameters"]) == found.parameters and int(row["text_bytes_at_32768"]) == found.kv_bytes + found.state_bytes


def _file(models) -> str:
    out = StringIO()
    rows = [*map(record, models)]
    writer = csv.DictWriter(out, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def test_views_escape_what_they_show():
    evil = entry(preset("gpt2").model_copy(update={"title": "<img src=x>", "note": "<b>", "organisation": "<i>", "licence": "<u>"}))
    drawn = scatter([(evil, True)], ("parameters", "cache"), "", {"gpt2": "ink"}, "", True)
    for html in (cards([evil], ()), table([evil], Finding()), drawn, timeline([(evil, True)], True)):
        assert "<img" not in html and "<b>" not in html and "&lt;img" in html


def test_a_query_without_an_answer_says_what_to_loosen():
    words = find._none(Finding(q="llama", chosen={"kind": ("recurrent",), "year": ("2024",)}))
    assert "the filters hide all of them" in words and "without Recurrent:" in words and "show all models" in words
    assert "No model here is known for “zzzz”" in find._none(Finding(q="zzzz"))
    assert 'data-value="mla moe">without zzzz: ' in find._none(Finding(q="mla zzzz moe"))
    assert 'data-value="gpt2">without 2026: ' in find._none(Finding(q="gpt2 2026"))
    assert 'data-value="mla">without under 90m: ' in find._none(Finding(q="mla under 90m"))
    assert "Only the part of a model that reads and writes text is here" in find._none(Finding(q="vision"))
    assert "no published model here has it" in find._none(Finding(q="NSA"))


def test_a_word_that_is_one_letter_off_finds_what_it_means_and_says_so():
    assert [one.arch.name for one in Finding(q="deepsek v3").models()] == [one.arch.name for one in Finding(q="deepseek v3").models()]
    assert "for “deepseek v3”; none has “deepsek v3”" in find._bar(Finding(q="deepsek v3"), ())
    assert "none has" not in find._bar(Finding(q="deepseek v3"), ())


def test_the_timeline_of_a_search_says_who_brought_what_among_all_models():
    shown = find._view(Finding(q="mla", view="timeline"), (), True)
    assert "The latest is Attention residuals, with Kimi K3" in shown and "GPT-J" in shown
    assert ">Rotary, RoPE</text>" in shown and ">ALiBi" not in shown


def test_all_options_of_attention_and_kind_have_a_colour():
    from app.kit.theme import DARK, LIGHT

    for facet in (ATTENTION, KIND):
        for option in facet.options:
            assert find.tone(facet.name, option.name) in LIGHT and find.tone(facet.name, option.name) in DARK


def test_a_long_query_without_an_answer_takes_few_searches():
    facts.exactly.cache_clear()
    list(find._fewer(" ".join("abcdefghijklmnopqrstuvwxyzabcdefghijklmn")))
    assert 0 < facts.exactly.cache_info().misses <= 3 * find.TRIED <= 30
    assert len([*find._fewer("moe " * 20)]) == 1, "the same way out is offered once"
