"""Lists of names, globs and expressions against fnmatch and re, and against time."""

import fnmatch
import re

import pytest
from clock import within
from hypothesis import example, given
from hypothesis import strategies as st

import core
from core.hf.weights.module_names import WRAPPED, Names, globs, tells_experts

MODULES = ("self_attn.q_proj", "mlp.gate_proj", "mlp.gate", "mlp.experts.3.up_proj", "mlp.experts.13.up_proj", "mlp.shared_experts.up_proj")
NAMES = [f"model.layers.{layer}.{module}" for layer in (0, 1, 3, 10, 31) for module in MODULES]


def spelled(name: str) -> list[str]:
    plain = name.removeprefix("model.")
    return [name, plain, *(begin + plain for begin in (WRAPPED if name != plain else WRAPPED[2:]))]


@st.composite
def entries(draw) -> str:
    """A name in some spelling, pieces of it replaced by what globs are made of."""
    letters = list(draw(st.sampled_from(spelled(draw(st.sampled_from(NAMES))))))
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(letters))), draw(st.integers(0, 8))
        letters[at : at + length] = [draw(st.sampled_from(["*", "?", "[0-9]", "[!a]", "**", ".", "[]", "[z-a]", "[", ""]))]
    return "".join(letters)


@given(st.lists(entries(), min_size=1, max_size=4))
@example(["model.layers.0*"])
@example(["*.mlp.gate*", "*age_model.layers.3.mlp.gate"])
@example(["language_m*", "m*del.layers.1*"])
def test_globs_are_fnmatchs(given_entries):
    found = Names(**globs(given_entries))
    for name in NAMES:
        assert (name in found) == any(fnmatch.fnmatchcase(one, entry) for one in spelled(name) for entry in given_entries)


PIECES = ["a", "b", ".", r"\.", r"\d", r"\d+", ".*", "(a|b)", "(?:a|ab)*", "[ab]", "[^a]", "^", "$", "a?", "b{1,2}", r"\w+", "x*"]


@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join),
    st.lists(st.lists(st.text("ab1", min_size=1, max_size=3), min_size=1, max_size=3).map(".".join)),
)
@example("^^a$$", ["a"])
@example("(a|b.*)$", ["a.b", "b.1"])
@example("a|b$", ["a.b", "b.1"])
def test_expressions_are_res(text, names):
    begin, whole = Names(begin=[text]), Names(whole=[text])
    try:
        steps = Names(steps=[text])
    except core.Unsupported as error:
        assert "$" in text and "before its end" in str(error)
        steps = None
    for name in names:
        assert (name in begin) == any(re.match(text, one) for one in spelled(name))
        assert (name in whole) == any(re.fullmatch(text, one) for one in spelled(name))
        bounded = rf"(?:{text})(?:(?<=\.)|(?=\.|$))"  # transformers' own
        assert steps is None or (name in steps) == any(re.match(bounded, one) for one in spelled(name))


@given(st.lists(st.sampled_from(NAMES).map(lambda name: name.split(".", 2)[2]), min_size=1, max_size=3), st.integers(0, 2))
def test_steps_below_and_ends(given_names, cut):
    pieces = [".".join(name.split(".")[cut:]) or name for name in given_names]
    within, ends = Names(within=pieces), Names(ends=pieces)
    for name in NAMES:
        assert (name in within) == any(f".{piece}." in f".{name}." for piece in pieces)
        assert (name in ends) == any(name.endswith(piece) for piece in pieces)
    below = Names(below=["model.language_model.layers.3"])
    assert [name for name in NAMES if name in below] == [name for name in NAMES if name.startswith("model.layers.3.")]


WORDS = ["model", "layers", "mlp", "experts", "up_proj", "w1", "s", "1", "10", "3", r"\d+", "*", ".*", "[13]", "?"]
GLUE = [".", r"\.", "(", ")", "|", "*", "x*", ")*", ".", "1", "..", ""]


@given(
    st.lists(
        st.lists(st.sampled_from(WORDS).flatmap(lambda word: st.sampled_from(GLUE).map(word.__add__)), max_size=6).map("".join), min_size=1
    )
)
@example([r"model\.layers\.\d+\.mlp\.experts\.1"])
@example([r"experts\..x*\.up_proj"])
@example(["s.1"])
def test_where_no_entry_tells_experts_all_are_alike(entries):
    entries = [entry for entry in entries if not tells_experts(entry)]
    kinds = [dict(exact=entries), dict(within=entries), dict(ends=entries), dict(starts=entries), globs(entries)]
    for lists in (*kinds, dict(begin=entries), dict(whole=entries), dict(steps=entries)):
        try:
            names = Names(**lists)
        except core.Unsupported:
            continue
        for name in ("model.layers.1.mlp.experts.{}.up_proj", "model.layers.10.experts.{}"):
            assert len({name.format(expert) in names for expert in (0, 1, 3, 10, 13, 110)}) == 1, lists


@pytest.mark.parametrize("entry", [
    "lm_head", "model.layers.61.self_attn", r"model\.layers\.\d+\.mlp\.gate", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
    "*.mlp.gate*", "re:.*self_attn.*", "-:.*visual.*", "mtp.layers.0*",
])  # fmt: skip
def test_entries_that_speak_of_all_experts_alike(entry):
    assert not tells_experts(entry)
    assert tells_experts("model.layers.3.mlp.experts.5.up_proj") and tells_experts(r".*\.experts\.\d\..*")


@pytest.mark.parametrize(
    "text", [r"(?!.*mlp).*", r"(a)\1", "(?>a*)b", "a++", "(", "a{3000}", "(((a{90}){90}){90}){90}", "a" * 2_000]
)  # fmt: skip
def test_an_expression_that_is_not_read_is_refused(text):
    with pytest.raises(core.Unsupported):
        Names(begin=[text])


MANY = [f"model.layers.{layer}.mlp.experts.{e}.{m}" for layer in range(40) for e in range(384) for m in ("gate_proj", "up_proj")]
LISTS = {
    "names": dict(exact=[name for name in MANY if name.endswith("up_proj")][:4_000]),
    "names of a wrapper": dict(below=[name.replace("model.", "model.language_model.") for name in MANY[:8_000:2]], ends=["lm_head"]),
    "beginnings": globs(f"model.layers.{layer}.mlp.experts.{e}.u*" for layer in range(10) for e in range(384)),
    "globs": globs(f"*.layers.{layer}.mlp.experts.{e}.*" for layer in range(4) for e in range(100)),
    "too many globs": globs(f"*a{layer}.mlp.experts.{e}*a" for layer in range(10) for e in range(384)),
    "stars": globs(["*" + "e*" * 12 + "q", "*?" * 20 + "q"]),
    "repeats": dict(begin=["(e+)+q", "(.|..)" * 30 + "q", ".*.*.*.*.*q", "(((.*)*)*)*q"]),
    "expressions": dict(begin=[rf".*layers\.{layer}\.mlp\.experts\.\d+\.(up|down)_proj$" for layer in range(40)]),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_long_lists_and_evil_ones_take_no_time(name):
    with within(1):  # backtracking takes minutes
        try:
            names = Names(**LISTS[name])
            found = sum(one in names for one in MANY)
        except core.Unsupported as error:
            assert "more than Strata reads" in str(error)
        else:
            assert found or name in ("stars", "repeats")
