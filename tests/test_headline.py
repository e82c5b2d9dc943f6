"""The workbench's figures and its answer: what an architecture is, and what edits did to it at the workload at hand."""

import re
from html import unescape

import pytest
from streamlit.testing.v1 import AppTest

import core
from app.kit import charts, memory
from app.state import word
from core.about import about
from core.library import preset
from core.spec import edited
from core.words import change, figure, size

LLAMA = preset("llama-3-8b")


def only_the_headline() -> None:
    from app import state
    from app.kit.headline import headline

    headline(state.current())


@pytest.fixture(scope="module")
def page() -> AppTest:
    return AppTest.from_function(only_the_headline, default_timeout=60)


def read(page: AppTest, arch: core.Architecture, **asked: str) -> tuple[str, dict[str, tuple[str, ...]]]:
    """The sentence, and each card by its words: figure, note, how it moved and what it was."""
    page.query_params.clear()
    page.query_params.update({"a": word(arch)} if word(arch) != arch.name else {"preset": arch.name})
    page.query_params.update(asked)
    body = page.run().get("html")[0].proto.body
    assert not page.exception
    answer = re.search(r'class="answer">(.*?)</p>', body)[1]
    cards = {}
    for card in body.split('<div class="figure">')[1:]:
        words, *rest = (unescape(text) for text in re.findall(r">([^<]+)<", card.split('<div class="edits">')[0]) if text.strip())
        cards[words] = tuple(rest)
    return unescape(answer), cards


def test_figures_are_those_of_the_workload(page):
    found = core.cost(LLAMA, core.Workload(batch=4, context=32_768, weights="int4", cache="fp8"))
    _, cards = read(page, LLAMA, batch="4", context="32768", weights="int4", cache="fp8")
    assert cards == {
        "Parameters": (figure(found.parameters), f"{found.parameters:,}"),
        "Active per token": (figure(found.active_parameters), "all of them"),
        "Weights": (size(found.weight_bytes), "int4"),
        "All caches, 4 × 32K": (size(found.kv_bytes), "65,536 bytes per token"),
        "Decode per step of 4 tokens": (figure(found.decode_flops, "FLOP"), f"prefill {figure(found.prefill_flops, 'FLOP')}"),
    }


def test_a_window_that_halves_the_caches_is_never_said_to_change_nothing(page):
    windowed = edited(LLAMA, "parts.attention.sight.window", 16_384)
    answer, cards = read(page, windowed, context="32768")
    assert cards["All caches at 32K"] == ("2.1 GB", "mean 65,536 bytes per token", "0.50×", "was 4.3 GB")
    assert cards["Parameters"][2:] == ("same",)
    assert "0.50× the caches at 32K" in answer
    beyond = edited(LLAMA, "parts.attention.sight.window", 4_100)
    answer, cards = read(page, beyond, context="4096")  # nothing moves at 4K, but at the longest context
    assert cards["All caches at 4K"] == ("536.9 MB", "131,072 bytes per token", "same", "0.50× at 8K")
    assert cards["Decode per token at 4K"][2:] == ("same", "0.89× at 8K")
    assert answer.endswith("The edits move none of these figures.")


def test_small_moves_are_differences_and_there_is_no_foot_without_edits(page):
    answer, cards = read(page, LLAMA)
    assert answer == "Llama 3 8B is a dense decoder of 32 layers with grouped-query attention."
    assert {len(card) for card in cards.values()} == {2}
    moe = {"kind": "experts", "count": 64, "top_k": 6, "d_ff": 1_792, "shared": {"d_ff": 1_792}}
    answer, cards = read(page, edited(LLAMA, "parts.dense", moe))
    assert cards["Parameters"][2:] == ("6.00×", "was 8.0 B") and cards["Active per token"][2:] == ("−696.3 M", "was 8.0 B")
    assert answer.endswith("It has 6.00× the parameters, 696.3 M fewer active parameters and 1.4 GFLOP less per decoded token.")
    assert answer.startswith("Llama 3 8B, edited, is a mixture-of-experts decoder")


def test_ones_own_architecture_has_nothing_to_be_compared_with(page):
    answer, cards = read(page, edited(edited(LLAMA, "name", "mine"), "title", "<b>Mine</b>"))
    assert answer.startswith("<b>Mine</b> is a dense decoder") and {len(card) for card in cards.values()} == {2}


def test_weights_of_unknown_size_are_not_compared(page):
    _, cards = read(page, edited(LLAMA, "unsized", "their format has no known size"))
    assert cards["Weights as shipped"] == ("not known", "see Memory for the reason", "—", "was 16.1 GB")


def test_memory_shows_the_start_below_the_bar_that_it_became():
    w = core.Workload(context=32_768)
    now, then = core.cost(edited(LLAMA, "parts.attention.sight.window", 8_192), w), core.cost(LLAMA, w)
    weights, caches = memory._bars(now, then).split('<div class="row">')[1:]
    assert ">same<" in weights
    assert '"now" style="width:25.00%"' in caches and '"then" style="width:100.00%"' in caches and ">was 4.3 GB<" in caches
    assert "then" not in memory._bars(then, None) and ">same<" not in memory._bars(then, None)
    hybrid = core.cost(preset("qwen3-next-80b-a3b"), w)
    assert "Caches, 12 layers" in memory._bars(hybrid, then) and "States, 36 layers" in memory._bars(hybrid, then)
    assert ">was none<" in memory._bars(hybrid, then)
    start = charts.cache_curve(now.architecture, w, False, LLAMA).data[-1]
    assert start.line.dash == "dash" and start.y[-1] == then.kept_bytes and start.x[-1] == 32_768


def test_what_a_model_is():
    said = {
        "qwen3-next-80b-a3b": "Qwen3-Next 80B-A3B is a hybrid mixture-of-experts decoder of 48 layers, 36 with gated delta net and 12 with "
        "grouped-query attention; experts for a token: 10 of 512 + 1 shared.",
        "gpt-oss-20b": "gpt-oss 20B is a mixture-of-experts decoder of 24 layers, 12 with grouped-query attention over 128 tokens and 12 "
        "with grouped-query attention over all tokens; experts for a token: 4 of 32.",
        "mamba2-2.7b": "Mamba-2 2.7B is a recurrent model of 64 layers with Mamba-2.",
    }
    assert {name: about(preset(name)) for name in said} == said
    for name in core.presets():
        assert re.fullmatch(
            r".+ is a (hybrid |mixture-of-experts |dense )*(decoder|recurrent model) of \d+ layers.+\.", about(preset(name))
        )


@pytest.mark.parametrize(
    ("now", "then", "words"),
    [
        (5, 5, ""), (None, 5, ""), (5, None, ""), (10, 5, "2.00×"), (2.6e9, 1e10, "0.26×"), (1.05e9, 1e9, "+50.0 M"),
        (0.95e9, 1e9, "−50.0 M"),
        (5, 0, "+5"), (0, 5, "−5"), (1e6, 1e3, "1,000×"), (3, 1_000, "0.003×"),
    ],
)  # fmt: skip
def test_moves_in_words(now, then, words):
    assert change(now, then, figure) == words
