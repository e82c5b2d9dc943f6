"""The graph: what is in it comes from the modules, and adds up."""

import io
import json
import re
from html import unescape

import networkx as nx
import pytest
from hypothesis import given
from strategies import architectures

import core
from core.graph import FIGURES, to_dot, to_graphml, to_json, to_mermaid
from core.parts.experts import Experts
from core.spec import edited

NODE = {"path", "label", "kind", "parent", "repeat", "shape_in", "shape_out", "explain", *FIGURES}


def check(arch) -> nx.DiGraph:
    g, c = core.graph(arch), core.cost(arch)
    model = g.nodes["model"]
    assert nx.is_directed_acyclic_graph(g)
    assert model["parameters"] == c.parameters and model["active_parameters"] == c.active_parameters
    assert model["flops"] == c.decode_flops and model["cache_bytes"] == c.kv_bytes_per_token
    modules = {path for path, _ in core.build(arch).named_modules()} | {"model", "", "logits"}
    for node, data in g.nodes(data=True):
        assert data.keys() >= NODE, node
        assert data["parent"] is None or data["parent"] in g
        if not node.startswith("mtp"):
            assert data["path"] in modules, "a box without a module"
    for a, b, data in g.edges(data=True):
        assert data["tensor"] and data["shape"], (a, b)
    repeats = sum(d["repeat"] for _, d in g.nodes(data=True) if d["kind"] == "block")
    assert repeats == arch.depth == len(g.graph["layers"])
    reached = nx.descendants(g, "tokens")
    assert "logits" in reached, "the tokens reach the logits"
    return g


@given(architectures)
def test_any_graph_adds_up_and_is_exported_whole(arch):
    exported(check(arch))


@pytest.mark.parametrize("name", core.presets())
def test_every_presets_graph_adds_up(name):
    g = check(core.load(name))
    assert len(g) < 400
    for _, data in g.nodes(data=True):
        if data["kind"] in ("linear", "norm", "router", "experts", "attention", "feed_forward", "embedding"):
            assert data["explain"], data["path"]
        if data["kind"] == "function":
            assert data["label"] in ("clamp", "softplus"), "only what the field calls so is a box"


def different(a: nx.DiGraph, b: nx.DiGraph) -> set[str]:
    """Nodes whose own attributes or incoming tensors differ."""
    changed = set(a) ^ set(b)
    changed |= {n for n in set(a) & set(b) if a.nodes[n] != b.nodes[n]}
    ends = {(s, t): d for s, t, d in a.edges(data=True)}, {(s, t): d for s, t, d in b.edges(data=True)}
    return changed | {edge[1] for edge in ends[0].keys() | ends[1].keys() if ends[0].get(edge) != ends[1].get(edge)}


@pytest.mark.parametrize(
    ("name", "path", "value", "there"),
    [
        ("deepseek-v3", "parts.moe.d_ff", 1024, r"layers\.3(\.moe(\..*)?)?"),
        ("deepseek-v3", "parts.moe.shared", None, r"layers\.3(\.(moe|moe_add)(\..*)?)?"),
        ("deepseek-v3", "parts.dense.activation", "gelu", r"layers\.0(\.(dense|dense_add)(\..*)?)?"),
        ("deepseek-v3", "parts.attention.q_rank", None, r"layers\.[03](\.attention(\..*)?)?"),
        ("gpt2", "parts.attention.qk_norm", {}, r"layers\.0(\.attention(\..*)?)?"),
    ],
)
def test_a_change_shows_there_and_only_there(name, path, value, there):
    arch = core.load(name)
    changed = different(core.graph(arch), core.graph(edited(arch, path, value)))
    assert changed - {"model"}
    outside = {node for node in changed - {"model"} if not re.fullmatch(there, node) and not node.startswith("mtp")}
    assert not outside


STRING = r'"((?:[^"\\]|\\.)*)"'


def read_dot(text: str) -> tuple[dict, dict]:
    """A DOT file's boxes, name -> (label, what it lies in), and its arrows, ends -> label; clusters are boxes too."""

    def said(string: str) -> str:
        return unescape(re.sub(r"\\(.)", r"\1", string))

    boxes, arrows, inside = {}, {}, [None]
    for line in text.splitlines()[2:-1]:  # without the frame and the look of all boxes
        if found := re.fullmatch(rf"\s*subgraph {STRING} {{ label={STRING};", line):
            name, label = map(said, found.groups())
            name = name.removeprefix("cluster_")
            boxes[name] = label, inside[-1]
            inside.append(name)
        elif found := re.fullmatch(rf"\s*{STRING} -> {STRING} \[label={STRING}\];", line):
            a, b, label = map(said, found.groups())
            arrows[a, b] = label
        elif found := re.fullmatch(rf"\s*{STRING} \[label={STRING}\];", line):
            name, label = map(said, found.groups())
            boxes[name] = label, inside[-1]
        else:
            assert line.strip() == "}", line
            inside.pop()
    return boxes, arrows


def read_mermaid(text: str, names: list[str]) -> tuple[dict, dict]:
    """The same of a Mermaid flowchart, whose boxes are numbered in the graph's order."""

    def said(string: str) -> str:
        return re.sub(r"#(quot|\d+);", lambda code: '"' if code[1] == "quot" else chr(int(code[1])), string)

    boxes, arrows, inside = {}, {}, [None]
    for line in text.splitlines()[1:]:
        if found := re.fullmatch(r'\s*(subgraph )?n(\d+)\["([^"]*)"\]', line):
            name = names[int(found[2])]
            boxes[name] = said(found[3]), inside[-1]
            inside += [name] if found[1] else []
        elif found := re.fullmatch(r'\s*n(\d+) -->\|"([^"]*)"\| n(\d+)', line):
            arrows[names[int(found[1])], names[int(found[3])]] = said(found[2])
        else:
            assert line.strip() == "end", line
            inside.pop()
    return boxes, arrows


def exported(g: nx.DiGraph) -> None:
    """Each format read back: the boxes, what they lie in and say, the arrows and what they carry."""
    again = nx.node_link_graph(json.loads(json.dumps(to_json(g))), edges="edges")
    assert again.graph == json.loads(json.dumps(g.graph))
    assert list(again.nodes(data=True)) == list(g.nodes(data=True))
    assert list(again.edges(data=True)) == list(g.edges(data=True))

    def plain(data: dict) -> dict:  # XML has neither lists nor nothing
        listed = {k: json.dumps(v) if isinstance(v, list | dict) else v for k, v in data.items()}
        return {k: v for k, v in listed.items() if v is not None}

    graphml = nx.read_graphml(io.BytesIO(to_graphml(g).encode()))
    assert dict(graphml.nodes(data=True)) == {n: plain(d) for n, d in g.nodes(data=True)}
    assert {(a, b): d for a, b, d in graphml.edges(data=True)} == {(a, b): plain(d) for a, b, d in g.edges(data=True)}

    parents = {d["parent"] for _, d in g.nodes(data=True)}
    times = {n: f"{d['repeat']} × " if n in parents and d["repeat"] > 1 else "" for n, d in g.nodes(data=True)}
    boxes = {n: (times[n] + d["label"], d["parent"]) for n, d in g.nodes(data=True)}
    shown = {(a, b): f"{d['tensor']} ({', '.join(map(str, d['shape']))})" for a, b, d in g.edges(data=True)}
    assert read_dot(to_dot(g)) == (boxes, shown)
    assert read_mermaid(to_mermaid(g), list(g)) == (boxes, shown)
    assert not parents & {end for edge in g.edges for end in edge}, "an arrow ends at a box, not at a frame"


@pytest.mark.parametrize("name", ["gpt2", "deepseek-v3", "zamba2-7b", "gemma-3n-e2b", "deepseek-v4-flash"])
def test_a_presets_graph_is_exported_whole(name):
    exported(core.graph(core.load(name)))


HOSTILE = [
    'a "b" <c> ]&[ \\ d',
    "<script>alert(1)</script>",
    'x"] ; end\n subgraph y[`*bold*`] -- `z` --> %% {{}} #quot; #60; &lt;',
    "]]></data><data key='d0'>",
    "\\",
    "→ × ü 漢 \N{GRINNING FACE} \N{RIGHT-TO-LEFT OVERRIDE}",
    ":red[x] ![p](http://foreign.test/p.png) $x^2$",
]


@pytest.mark.parametrize("title", HOSTILE, ids=range(len(HOSTILE)))
def test_any_title_leaves_whole_and_as_text(title):
    """Read back by what reads these formats: XML's parser, a reader of DOT's and of Mermaid's quoted strings."""
    try:
        arch = edited(core.load("gpt2"), "title", title)
    except core.Unsupported:  # what the spec does not take as a title cannot stand in an export
        title = title.replace("\n", " ")
        arch = edited(core.load("gpt2"), "title", title)
    g = core.graph(arch)
    graphml = nx.read_graphml(io.BytesIO(to_graphml(g).encode()))
    assert graphml.nodes["model"]["label"] == title and graphml.graph["title"] == title

    dot, string = to_dot(g), r'"(?:[^"\\]|\\.)*"'
    assert re.fullmatch(r"[\w\s{}\[\]=;>-]*", re.sub(string, "", dot)), "nothing stands outside of a string"
    label = re.search(rf"cluster_model\" {{ label=({string});", dot)[1]
    assert "<" not in dot.replace("->", "")
    assert unescape(re.sub(r"\\(.)", r"\1", label[1:-1])) == title

    mermaid = to_mermaid(g)
    labels = re.findall(r'"([^"]*)"', mermaid)
    assert re.fullmatch(r"[\w\s\[\]|>-]*", re.sub(r'"[^"]*"', "", mermaid)), "nothing stands outside of a string"
    assert not any(re.search("[<>&`*]", words) for words in labels)
    assert title in {re.sub(r"#(quot|\d+);", lambda code: '"' if code[1] == "quot" else chr(int(code[1])), words) for words in labels}


def test_the_mix_of_streams_is_in_the_picture():
    arch = edited(core.load("gpt2"), "residual", {"kind": "hyper", "streams": 4})
    g = core.graph(arch)
    kinds = [g.nodes[n]["kind"] for n in g if g.nodes[n]["parent"] == "layers.0"]
    assert kinds.count("read") == 2 and g.nodes["layers.0.attention_add"]["shape_out"] == ["B", "T", 4, 768]


EXPERTS = ["gpt-oss-20b", "deepseek-v3", "llama-4-maverick", "nemotron-3-super-120b-a12b", "longcat-flash-chat", "jetmoe-8b"]


@pytest.mark.parametrize("name", EXPERTS)
def test_one_expert_is_opened(name):
    """It has a routed expert's own weights and widths, whatever the router and the shared network are."""
    arch = core.load(name)
    g = core.graph(arch)
    boxes = [(node, data) for node, data in g.nodes(data=True) if "inside" in data]
    assert len(boxes) == sum(isinstance(arch.parts[data["part"]], Experts) for _, data in g.nodes(data=True) if "part" in data)
    for node, data in boxes:
        part, inside = arch.part(g.nodes[data["parent"]]["part"]), data["inside"]
        assert inside["parameters"] == part.expert_parameters(arch.d_model)
        assert (data["parameters"] - part.count * inside["parameters"]) in (0, arch.d_model), "all of them, and perhaps a bias on their sum"
        widths = {box["path"]: box["shape"][-1] for box in inside["boxes"].values()}
        assert widths["up"] == part.d_ff and widths["down"] == inside["shape"][-1] and ("gate" in widths) == part.gated
        assert {source for source, *_ in inside["tensors"]} == {"x", *inside["boxes"]} - {"down"}, node


@pytest.mark.parametrize("name", ["deepseek-v4-pro", "jamba-1.5-mini", "qwen3-next-80b-a3b"])
def test_what_is_made_from_a_shape_is_no_box(name):
    """The states before the first token."""
    assert not [label for _, label in core.graph(core.load(name)).nodes(data="label") if "new_" in label or "_like" in label]


@pytest.mark.parametrize("name", ["gemma-3n-e2b", "gemma-4-e2b", "glm-5.2", "rwkv-7-world-1.5b"])
def test_what_another_layer_lends_comes_from_there_alone(name):
    g = core.graph(core.load(name))
    lent = [node for node, kind in g.nodes(data="kind") if kind == "borrowed"]
    assert lent and all(beside for node in lent for _, _, beside in g.in_edges(node, "beside"))


@pytest.mark.parametrize(
    ("name", "part", "traits"),
    [
        ("gpt-oss-20b", "local", ["RoPE, YaRN", "sinks", "bias"]),
        ("gpt-oss-20b", "moe", ["bias"]),
        ("qwen3-next-80b-a3b", "delta", ["conv 4", "gate"]),
        ("qwen3-next-80b-a3b", "attention", ["RoPE ¼", "QK norm", "gate"]),
        ("qwen3-next-80b-a3b", "moe", ["shared gate"]),
        ("deepseek-v4-pro", "sparse", ["RoPE, YaRN", "QK norm", "sinks"]),
        ("smollm3-3b", "nope", ["NoPE"]),
        ("llama-4-maverick", "global", ["NoPE"]),
        ("nemotron-h-8b", "mamba", ["conv 4"]),
        ("gemma-4-e2b", "local_shared", ["RoPE", "QK norm"]),
        ("zamba2-7b", "shared1", ["reads embedding", "adapters 128", "RoPE"]),
    ],
)
def test_traits(name, part, traits):
    data = next(data for _, data in core.graph(core.load(name)).nodes(data=True) if data.get("part") == part)
    assert data["traits"] == traits
