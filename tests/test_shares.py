"""What each box costs: bytes read against counts by hand, shares that add up, the picture that shows them, links that ask for it."""

import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from test_cycles import faults

import core
from app import facts, server
from app.state import link, read
from core.shares import MEASURES, shares

NAMES = ["gpt2", "deepseek-v3", "gpt-oss-20b", "qwen3-next-80b-a3b", "gemma-4-e2b", "zamba2-7b", "longcat-flash-lite", "mamba2-2.7b"]


def test_bytes_read_by_hand():
    """One token after 4,096 others: all weights but the table's other rows and the experts that are not chosen, and the caches."""
    llama = core.cost(core.load("llama-3-8b"))
    assert llama.read_bytes == 2 * (8_030_261_248 - 128_256 * 4_096 + 4_096) + 32 * 4_096 * 2 * 8 * 128 * 2
    mixtral = core.cost(core.load("mixtral-8x7b"))
    experts = 32 * 3 * 4_096 * 14_336
    assert mixtral.read_bytes == 2 * (46_702_792_704 - 6 * experts - 32_000 * 4_096 + 4_096) + 32 * 4_096 * 2 * 8 * 128 * 2
    tied = core.cost(core.load("llama-3.2-1b"))  # the head reads the whole table, the embedding one row of it
    assert tied.read_bytes == 2 * (1_235_814_400 + 2_048) + 16 * 4_096 * 2 * 8 * 64 * 2
    window = core.cost(core.load("mistral-7b"), core.Workload(context=8_192))  # of 4,096 tokens, one of them the new one
    assert window.read_bytes == 2 * (7_241_732_096 - 32_000 * 4_096 + 4_096) + 32 * 4_095 * 2 * 8 * 128 * 2
    delta = core.cost(core.load("mamba-2.8b"), core.Workload(weights="bf16"))
    assert delta.read_bytes == 2 * (delta.parameters + 2_560) + delta.state_bytes


def test_bytes_read_where_it_matters_which():
    """Layers that borrow a cache read it too; shared weights are read by each layer; of sparse attention, what the indexer chooses."""
    gemma = core.load("gemma-3n-e2b")
    rows = [row for row in core.cost(gemma).rows if row.role == "attention" and not row.kv_bytes]
    assert rows and all("of weights" in row.derivation["read_bytes"] and "values" in row.derivation["read_bytes"] for row in rows)
    zamba = [row for row in core.cost(core.load("zamba2-7b")).rows if row.part.startswith("shared")]
    assert sum(row.read_bytes for row in zamba) > 2 * sum(row.parameters for row in zamba)
    sparse = core.load("deepseek-v3.2")
    each = [core.cost(sparse, core.Workload(context=n)).read_bytes for n in (4_096, 8_192)]
    assert each[1] - each[0] == 61 * 4_096 * 128 * 2  # only the indexer reads more: one key of 128 channels a token
    for name in ("minimax-m3", "doge-20m"):
        found = core.cost(core.load(name))
        assert found.read_bytes is None and found.by("role")["attention"]["read_bytes"] is None
        with pytest.raises(core.Unsupported, match=r"not known for .* since the text decides"):
            shares(found, "read")


@pytest.mark.parametrize("name", NAMES)
def test_shares_add_up_and_stand_on_their_boxes(name):
    arch, w = core.load(name), core.Workload(context=8_192)
    found, g = core.cost(arch, w), core.graph(arch)
    for by, measure in MEASURES.items():
        one = shares(found, by)
        total = {"parameters": found.parameters, "active": found.active_parameters, "flops": found.decode_flops,
                 "read": found.read_bytes, "cache": found.kept_bytes}[by]  # fmt: skip
        assert one.whole == total == sum(one.nodes.values()) == sum(one.components.values())
        assert one.nodes.keys() <= set(g) and measure.show(total) in one.answer
    svg = facts.picture_of(arch, "", True, "read", w)
    one = shares(found, "read")
    boxes = re.findall(r'data-node="([^"]*)" tabindex[^>]*><title>[^<]*</title><rect[^>]*fill:var\(--cost-(\d)\)', svg)
    frames = {f["blocks"][0]: f["blocks"] for c in g.graph["rhythm"] for f in c["frames"]}
    drawn = 0
    for node, shade in boxes:
        block = ".".join(node.split(".")[:2])
        if block in frames:
            place = [n for n in g if g.nodes[n]["parent"] == block and "role" in g.nodes[n]].index(node)
            nodes = [[n for n in g if g.nodes[n]["parent"] == b and "role" in g.nodes[n]][place] for b in frames[block]]
        else:
            nodes = [node]
        value = sum(one.nodes.get(n, 0) for n in nodes)
        drawn += value
        assert int(shade) == sum(value / one.whole >= step for step in (0.01, 0.05, 0.12, 0.25)), node
        assert not value or node in ("norm", "merge", "split", "embedding_norm") or one.percent(value).replace("<", "&lt;") in svg
    norms = sum(n for node, n in one.nodes.items() if g.nodes[node]["kind"] == "block")
    assert not faults(svg, True) and not faults(facts.picture_of(arch, "", False, "read", w), False)
    assert drawn + norms == one.whole, "what no box shows is the norms', which the panel names"
    shown = re.findall(r">([^<]+)</text>", svg)
    assert {one.percent(n).replace("<", "&lt;") for n in [*one.components.values()][:9]} <= {*shown}


def test_a_tab_says_its_own_share():
    """All of gpt-oss' cache at 8K is in its full layers and the last 128 tokens of the sliding ones."""
    arch, w = core.load("gpt-oss-20b"), core.Workload(context=8_192)
    svg = facts.picture_of(arch, "", True, "cache", w)
    told = dict(re.findall(r'aria-label="((?:window|all)[^":]*): ([^"]*)"', svg))
    assert {*told} == {"window 128, layers 0, 2, … 22", "all tokens, layers 1, 3, … 23"}
    each = 12 * 2 * 8 * 64 * 2
    assert list(told.values()) == [f"1.5 % · {128 * each / 1e6:.1f} MB", f"98.5 % · {8_192 * each / 1e6:.1f} MB"]
    assert "all tokens, layers 1, 3, … 23:" not in facts.picture_of(arch)


def test_the_picture_says_the_answer_first():
    svg = facts.picture_of(core.load("deepseek-v3"), "", False, "parameters")
    assert "Routed experts hold 97.4 % of the 671.0 B parameters" in svg and "Where the parameters are" in svg


def test_the_answer_names_its_workload():
    """A step of a batch is a token of each of its sequences; bytes are read for one sequence."""
    arch = core.load("gpt2")
    said = {by: shares(core.cost(arch, core.Workload(batch=1_024)), by).answer for by in ("flops", "read")}
    assert " for a step of 1,024 tokens, " in said["flops"] and said["flops"].endswith("; 1,024 sequences at 4K.")
    assert " read for a new token, " in said["read"] and said["read"].endswith("; one sequence at 4K.")
    one = shares(core.cost(arch, core.Workload(context=1)), "flops").answer
    assert " for a new token, " in one and one.endswith("; one sequence at 1 token.")


def test_a_link_asks_for_a_measure():
    state = read({"preset": "gpt-oss-20b", "by": "read", "context": "8192"})
    assert state.by == "read" and "by=read" in link(state) and "by" not in link(read({"preset": "gpt2"}))
    assert read({"preset": "gpt2", "by": "price"}) == read({"preset": "gpt2"}), "an unknown measure is the picture by role"
    client = TestClient(server.app)
    plain = client.get("/card/gpt2.svg").text
    shaded = client.get("/card/gpt2.svg?by=cache&context=512&theme=dark")
    assert shaded.status_code == 200 and "one sequence at 512" in shaded.text and "Where the caches are" not in plain
    assert client.get("/card/gpt2.svg?by=price").status_code == 422
    assert client.get("/card/minimax-m3.svg?by=read").status_code == 422


def test_the_switch_stands_above_the_picture():
    page = AppTest.from_file(str(Path(server.__file__).with_name("pages") / "workbench.py"), default_timeout=60)
    page.query_params["preset"] = "minimax-m3"
    page.run()
    (switch,) = [one for one in page.get("button_group") if one.label == "Colour by"]
    switch.set_value("parameters").run()
    assert not page.exception and page.query_params["by"] in ("parameters", ["parameters"])
    page.query_params["by"] = "read"
    page.run()
    assert not page.exception
    assert any("Bytes read: not known for MiniMax M3" in block.proto.body for block in page.get("html"))


def test_a_box_beside_another_says_its_share_and_its_amount():
    """LongCat has two feed-forward parts that cost the same, one of them beside the experts."""
    for wide in (True, False):
        words = re.findall(r"<text[^>]*>([^<]*)</text>", facts.picture_of(core.load("longcat-flash-chat"), "", wide, "flops"))
        assert [word for word in words if "12.7 GFLOP" in word] == ["14.7 % · 12.7 GFLOP", "12.7 GFLOP"]
