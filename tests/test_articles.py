"""Articles: every reference resolves, every figure is computed, and a mistake is named with its file and line."""

import re

import pytest

import core
from app import article as articles
from app.article import nodes
from app.demos import DEMOS
from app.glossary import explained, glossary
from core.evolution import adoption
from core.words import size

MODELS = "  v3: deepseek-v3\n  plain: {from: deepseek-v3, title: P, set: {parts.moe.top_k: 4}}\n"
HEAD = f"---\ntitle: T\ndate: 2026-11-29\nlead: L\nmodels:\n{MODELS}---\n\n"


def said(text: str) -> str:
    """What a text says, without marks."""
    (block,) = articles.read("draft", HEAD + text).blocks
    return re.sub(r"<[^>]+>", "", block.html).strip()


@pytest.mark.parametrize("name", sorted(path.stem for path in articles.ARTICLES.glob("*.md")))
def test_every_reference_of_an_article_resolves(name):
    found = articles.article(name)
    assert found.title and found.lead and found.models and found.date
    linked = {node for block in found.blocks if isinstance(block, articles.Text) for node in re.findall(r'data-node="([^"]+)"', block.html)}
    assert linked, "an article points into its picture"
    drawn = {node for svg in found.pictures.values() for node in re.findall(r'data-node="([^"]*)"', svg)}
    assert {node for nodes in linked for node in nodes.split()} <= drawn


def test_figures_are_computed():
    cost = core.cost(core.load("deepseek-v3"), core.Workload())
    assert said("{cost.kv_bytes_per_token | exact} bytes") == f"{cost.kv_bytes_per_token:,} bytes"
    assert said("{v3.cost.weight_bytes}") == size(cost.weight_bytes)
    assert said("{plain.parts.moe.top_k} of {v3.parts.moe.count}") == "4 of 256"
    assert said("{parts.attention.heads * parts.attention.v_dim}") == "16,384"
    assert said("{cost.active_parameters / cost.parameters | percent}") == "5.6 %"
    assert said("{cost.parameters / plain.cost.active_parameters}").endswith(" ×")
    having = len(adoption("rope").names)
    assert said("{presets} models, {adoption.rope.presets} with RoPE") == f"{len(core.presets())} models, {having} with RoPE"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("It has 61 layers.", 10, "'61' is typed"),
        ("Fine.\n\nA cache of 3.5 GB.", 12, "'3.5' is typed"),
        ("{cost.kept_byte}", 10, "'kept_byte' is not there; give kept_bytes"),
        ("{(cost.parameters - 1) / cost.parameters}", 10, "a number is typed"),
        ("[here](term:nothing)", 10, "'nothing' is no term of the glossary"),
        ("{cost.__class__}", 10, "is no figure"),
        ("{cost.parameters | loud}", 10, "'loud' is no form"),
        ("{parts.moe}", 10, "not a figure"),
        ("{open('x')}", 10, "is no figure"),
        ("Two lines,\n[here](node:nowhere)", 11, "'nowhere' is no box of v3's picture; give one of"),
        ("[here](model:nothing)", 10, "'nothing' is no model"),
        ("[here](edit:parts.moe.top_k=0)", 10, "give 1 to 256"),
        ("[here](edit:parts.nothing=0)", 10, "parts.nothing"),
        ("[here](article:nothing)", 10, "'nothing' is no article"),
        ("[here](ftp:nothing)", 10, "is no reference"),
        ("<b>bold</b>", 10, "HTML is not shown"),
        ("![a](https://example.org/a.png)", 10, "pictures are blocks"),
        ("```picture\nof: other\n```", 10, "'other' is none of this article's models"),
        ("```picture\nsize: 3\n```", 10, "'size' is not known here; give of"),
        ("```compare\nof: v3\n```", 10, "give 2 to 4 models"),
        ("```chart\nshows: loss\n```", 10, "'loss' is no chart"),
        ("```table\nsort: beauty\n```", 10, "'beauty' is no figure"),
        ("```demo\nname: magic\n```", 10, "'magic' is no demonstration"),
        ("```demo\nname: heads\npairs: 5\n```", 10, "pairs: '5' cannot be chosen"),
        ("```demo\n[\n```", 12, "this is not YAML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text, line, words):
    with pytest.raises(articles.Broken, match=re.escape(f"app/articles/draft.md, line {line}: ")) as found:
        articles.read("draft", HEAD + text)
    assert words in str(found.value)


def test_an_edit_is_a_link_to_the_workbench():
    (block,) = articles.read("draft", HEAD + "[Four experts](edit:parts.moe.top_k=4)").blocks
    assert core.load(re.search(r'href="([^"]+)"', block.html)[1].replace("&amp;", "&")).part("moe").top_k == 4


def test_a_table_of_markdown_is_one():
    (block,) = articles.read("draft", HEAD + "| model | experts |\n| --- | --- |\n| V3 | {parts.moe.count} |\n").blocks
    assert "<td>256</td>" in block.html


def test_names_years_and_lists_are_no_typed_numbers():
    assert said("Since GPT-2 in 2019, Llama 3.1 405B and Gemma 3n:\n\n1. one\n2. two").startswith("Since GPT-2 in 2019, Llama 3.1 405B")


@pytest.mark.parametrize("name", ["", "../README", "nothing", "a" * 300])
def test_what_is_no_article_is_refused(name):
    with pytest.raises(core.Unsupported, match="is no article"):
        articles.article(name)


@pytest.mark.parametrize("name", DEMOS)
def test_every_choice_of_a_demonstration_is_drawn(name):
    demo = DEMOS[name]
    drawn = set()
    for control in demo.controls:
        for option in control.options:
            sentence, html = demo.drawn({control.name: option})
            assert sentence.endswith(".") and ("<svg" in html or "<table" in html) and "nan" not in html
            drawn.add((sentence, html))
    assert len(drawn) >= max(len(control.options) for control in demo.controls), "each choice shows something else"
    with pytest.raises(core.Unsupported, match="cannot be chosen"):
        demo.drawn({demo.controls[0].name: "nothing"})


def test_every_term_is_shown_by_a_model():
    terms = glossary()
    assert len(terms) > 60 and len({term.slug for term in terms}) == len(terms)
    for term in terms:
        assert nodes(core.load(term.model), term.box), f"{term.name}: {term.box} is no box of {term.model}"
        assert term.words.endswith(".") and 1 <= len(re.findall(r"[.!?](?= [A-Z]|$)", term.words)) <= 3, term.name


def test_the_first_use_of_a_term_is_explained_and_links_stay():
    html = explained('<p>MLA and <a href="/x">RMSNorm</a>, RMSNorm and RMSNorm; a KV cache.</p>')
    assert html.count('class="term"') == 3 and html.count("RMSNorm</a>") == 2 and '<a href="/x">RMSNorm</a>' in html
    assert "keys and values are rebuilt" in html.lower()
