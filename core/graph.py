"""The whole model as one networkx graph: traced from the modules, repeats folded, costs on the nodes."""

import json
from collections import defaultdict

import networkx as nx

from .cost import Workload, block_names, layers_in_words
from .parts.base import number
from .parts.position import Learned, Rope
from .spec import Architecture, Step
from .trace import Operation, Traced, trace_ahead, trace_block, trace_part

Size = list[int | str]


def graph(arch: Architecture) -> nx.DiGraph:
    """The architecture's dataflow.

    Nodes are boxes of the traced modules; `parent` names the node that a box lies in, `repeat` how many layers are
    alike. Node figures are for one copy: `parameters`, `active_parameters`, `flops` (one decoded token after 4,096),
    `cache_bytes` (what one token leaves, in bf16); a parent's are the sums of its children's. Shapes are symbolic in
    B and T. Edges carry the tensor's name and shape. `graph["layers"]` gives the block of every layer, in order.
    """
    return _Builder(arch).graph


class _Builder:
    def __init__(self, arch: Architecture):
        self.arch = arch
        self.d: Size = ["B", "T", arch.d_model]
        self.graph = nx.DiGraph(name=arch.name, title=arch.title)
        self.node(
            "model",
            kind="model",
            label=arch.title,
            parent=None,
            shape_in=["B", "T"],
            shape_out=["B", "T", arch.vocab_size],
        )
        stream = self.bottom()
        blocks = arch.distinct()
        names = block_names(arch)
        for steps, count in blocks.items():
            stream = self.block(names[steps], steps, count, stream)
        self.graph.graph["layers"] = [names[steps] for steps in arch.sequence]
        self.top(stream)
        if arch.mtp:
            self.ahead(stream)
        self.sum_up()

    def node(self, name: str, **attributes) -> str:
        figures = {
            "path": name,
            "repeat": 1,
            "parameters": 0,
            "active_parameters": 0,
            "flops": 0,
            "cache_bytes": 0,
            "explain": "",
        }
        self.graph.add_node(name, **(figures | {"parent": "model"} | attributes))
        return name

    def edge(self, source: str, target: str, tensor: str, shape: Size) -> None:
        if self.graph.has_edge(source, target):  # k and v of one projection, say
            before = self.graph.edges[source, target]
            if tensor not in before["tensor"].split(", "):
                before["tensor"] += f", {tensor}"
            return
        self.graph.add_edge(source, target, tensor=tensor, shape=list(shape))

    def bottom(self) -> tuple[str, str]:
        """Tokens, embedding and positions -> (the node and the name of the stream)."""
        arch = self.arch
        self.node("tokens", kind="input", label="Tokenised text", shape_in=["B", "T"], shape_out=["B", "T"], path="")
        self.node("positions_index", kind="input", label="Positions", shape_in=["T"], shape_out=["T"], path="")
        table = arch.vocab_size * arch.d_model
        self.node(
            "embedding", kind="embedding", label="Token embedding", shape_in=["B", "T"], shape_out=self.d,
            parameters=table, active_parameters=table,
            explain=f"One learned vector of {arch.d_model:,} values for each of {arch.vocab_size:,} tokens. Looking one up costs no FLOPs.",
        )  # fmt: skip
        self.edge("tokens", "embedding", "tokens", ["B", "T"])
        if not isinstance(arch.position, Learned):
            return "embedding", "x"
        rows = arch.position.length
        self.node(
            "positions", kind="embedding", label="Position embedding", shape_in=["T"], shape_out=["T", arch.d_model],
            parameters=rows * arch.d_model, active_parameters=rows * arch.d_model,
            explain=f"One learned vector for each of {rows:,} positions: the model cannot read further.",
        )  # fmt: skip
        self.node("embedding_add", kind="add", label="+", shape_in=self.d, shape_out=self.d, path="")
        self.edge("positions_index", "positions", "positions", ["T"])
        self.edge("embedding", "embedding_add", "x", self.d)
        self.edge("positions", "embedding_add", "positions", ["T", arch.d_model])
        return "embedding_add", "x"

    def block(self, name: str, steps: tuple[Step, ...], count: int, stream: tuple[str, str]) -> tuple[str, str]:
        where = layers_in_words([i for i, s in enumerate(self.arch.sequence) if s == steps])
        self.node(
            name,
            kind="block",
            label=" → ".join("+".join(s.parts) for s in steps),
            repeat=count,
            where=where,
            shape_in=self.d,
            shape_out=self.d,
        )
        return self.wire(name, trace_block(self.arch, steps), count, {"stream": stream})

    def wire(self, name: str, traced: Traced, count: int, inputs: dict[str, tuple[str, str]]) -> tuple[str, str]:
        """A block's trace below the node `name`, with each part's own trace in the place of its stub."""
        ends: dict[str, str] = {key: node for key, (node, _) in inputs.items()} | {"positions": "positions_index"}
        for op in traced.operations:
            if op.kind == "input":
                continue
            here = f"{name}.{op.id}"
            if op.kind == "part":
                ends[op.id] = self.part(here, op, name, count, {t.name: ends[t.source] for t in op.inputs})
                continue
            self.operation(here, op, name, name, count, traced, self.arch.d_model, {}, "")
            for tensor in op.inputs:
                self.edge(ends[tensor.source], here, tensor.name, tensor.shape)
            ends[op.id] = here
        return ends[traced.output.source], "x"

    def part(self, here: str, op: Operation, parent: str, count: int, inputs: dict[str, str]) -> str:
        """A part's box with its dataflow inside; returns the node that its output leaves from."""
        name = op.path.rsplit(".", 1)[-1]
        name = name if name in self.arch.parts else name.rsplit("_", 1)[0]
        part = self.arch.part(name)
        traced = trace_part(part, self.arch.d_model)
        flops = part.flops(self.arch.d_model, 1, Workload().context)
        self.node(
            here, kind=part.kind, role=part.role, label=part.label, part=name, parent=parent, repeat=count, path=here,
            facts=list(part.facts()), config=part.model_dump(mode="json"), shape_in=self.d, shape_out=self.d, explain=part.explain(self.arch.d_model),
        )  # fmt: skip
        ends = {"positions": "positions_index", "x": inputs.get("x", next(iter(inputs.values())))}
        for inner in traced.operations:
            if inner.kind == "input":
                continue
            node = f"{here}.{inner.id}"
            self.operation(node, inner, here, here, count, traced, self.arch.d_model, flops, part)
            for tensor in inner.inputs:
                self.edge(ends[tensor.source], node, tensor.name, tensor.shape)
            ends[inner.id] = node
        idle = part.idle_parameters(self.arch.d_model)
        if idle:  # the box that holds all experts is the one of which most is idle
            experts = next(f"{here}.{o.id}" for o in traced.operations if o.kind == "experts")
            self.graph.nodes[experts]["active_parameters"] -= idle
        return ends[traced.output.source]

    def operation(
        self, node: str, op: Operation, parent: str, prefix: str, count: int, traced: Traced, d_model: int, flops, part
    ) -> None:
        own = sum(_size(s) for path, s in traced.parameters.items() if path.startswith(f"{op.path}.")) if op.path else 0
        first = op.id == op.path.replace(".", "_")  # a module that runs twice is counted where it runs first
        own = own if first else 0
        kept = 2 * _size([n for n in op.shape[2:] if isinstance(n, int)]) if op.kind == "cache" else 0
        self.node(
            node, kind=op.kind, label=op.label, parent=parent, repeat=count, path=f"{prefix}.{op.path}" if op.path else "",
            shape_in=list(op.inputs[0].shape) if op.inputs else [], shape_out=list(op.shape), parameters=own,
            active_parameters=own, flops=flops.get(op.path, 0) if first and flops else 0, cache_bytes=kept,
            explain=self.words(op, traced, part),
        )  # fmt: skip

    def words(self, op: Operation, traced: Traced, part) -> str:
        module = traced.modules.get(op.path)
        last = op.shape[-1] if op.shape else 0
        match op.kind:
            case "linear":
                return f"A matrix of {module.out_features:,} × {module.in_features:,} weights{' and a bias' if module.bias is not None else ''}."
            case "norm":
                return (getattr(part, "rank_norm", None) or getattr(module, "norm", None) or self.arch.norm).explain(
                    last
                )
            case "rope" if isinstance(module.rope, Rope):
                return module.rope.explain(module.head_dim)
            case "cache":
                return f"Kept for every token until the sequence ends: {number(_size([n for n in op.shape[2:] if isinstance(n, int)]))} values."
            case "add":
                return "The part's output joins the residual stream."
        return ""

    def top(self, stream: tuple[str, str]) -> None:
        arch = self.arch
        source = stream[0]
        if arch.head.norm:
            size = sum(p.numel() for p in arch.norm.build(arch.d_model).parameters())
            self.node(
                "norm",
                kind="norm",
                label=type(arch.norm).__name__,
                shape_in=self.d,
                shape_out=self.d,
                parameters=size,
                active_parameters=size,
                explain=arch.norm.explain(arch.d_model),
            )
            self.edge(source, "norm", "x", self.d)
            source = "norm"
        own = 0 if arch.tied_embeddings else arch.d_model * arch.vocab_size
        own += arch.vocab_size if arch.head.bias else 0
        tied = " It is the embedding table, used again." if arch.tied_embeddings else ""
        self.node(
            "head", kind="head", label="Linear output layer", shape_in=self.d, shape_out=["B", "T", arch.vocab_size], parameters=own,
            active_parameters=own, flops=2 * arch.d_model * arch.vocab_size,
            explain=f"A score for each of {arch.vocab_size:,} tokens.{tied}",
        )  # fmt: skip
        self.edge(source, "head", "x", self.d)
        self.node(
            "logits",
            kind="output",
            label="Next-token logits",
            shape_in=["B", "T", arch.vocab_size],
            shape_out=["B", "T", arch.vocab_size],
            path="",
        )
        self.edge("head", "logits", "logits", ["B", "T", arch.vocab_size])

    def ahead(self, stream: tuple[str, str]) -> None:
        """The multi-token-prediction modules, beside the model: their figures are not in its sums."""
        count = self.arch.mtp.count
        self.node("mtp", kind="mtp", label="Multi-token prediction", parent=None, repeat=count, shape_in=self.d, shape_out=self.d,
                  explain=f"Used in training and for speculative decoding: predicts {count} token{'s' if count > 1 else ''} beyond the next. Not part of the main model's figures.")  # fmt: skip
        self.wire("mtp", trace_ahead(self.arch), count, {"stream": stream, "ahead": ("embedding", "x")})

    def sum_up(self) -> None:
        """Every parent's figures from its children's, times their repeats where the parent itself does not repeat."""
        children = defaultdict(list)
        for name, data in self.graph.nodes(data=True):
            children[data["parent"]].append(name)

        def total(name: str) -> None:
            data = self.graph.nodes[name]
            for child in children.get(name, ()):
                total(child)
                inner = self.graph.nodes[child]
                times = inner["repeat"] // data["repeat"]
                for key in ("parameters", "active_parameters", "flops", "cache_bytes"):
                    data[key] += inner[key] * times

        for root in children[None]:
            total(root)


def _size(shape) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def to_json(g: nx.DiGraph) -> dict:
    """Node-link JSON, as networkx reads it back."""
    return nx.node_link_data(g, edges="edges")


def to_graphml(g: nx.DiGraph) -> str:
    """GraphML; lists become JSON text and empty values are left out, since the format knows neither."""
    plain = nx.DiGraph(**{k: _scalar(v) for k, v in g.graph.items()})
    plain.add_nodes_from((n, {k: _scalar(v) for k, v in d.items() if v is not None}) for n, d in g.nodes(data=True))
    plain.add_edges_from((a, b, {k: _scalar(v) for k, v in d.items()}) for a, b, d in g.edges(data=True))
    return "\n".join(nx.generate_graphml(plain))


def _scalar(value):
    return json.dumps(value) if isinstance(value, list | dict) else value


def to_dot(g: nx.DiGraph) -> str:
    """Graphviz DOT, with a cluster for every node that others lie in."""
    return "\n".join(["digraph {", "  rankdir=BT; node [shape=box];", *_nested(g, None, _dot_open, _dot_leaf, "  }"), *(
        f"  {json.dumps(a)} -> {json.dumps(b)} [label={json.dumps(_edge(d))}];" for a, b, d in g.edges(data=True)
    ), "}"])  # fmt: skip


def to_mermaid(g: nx.DiGraph) -> str:
    """A Mermaid flowchart, with a subgraph for every node that others lie in."""
    ids = {name: f"n{i}" for i, name in enumerate(g)}

    def start(name: str, d: dict) -> str:
        return f'  subgraph {ids[name]}["{_times(d)}"]'

    def leaf(name: str, d: dict) -> str:
        return f'    {ids[name]}["{d["label"]}"]'

    edges = [f'  {ids[a]} -->|"{_edge(d)}"| {ids[b]}' for a, b, d in g.edges(data=True)]
    return "\n".join(["flowchart BT", *_nested(g, None, start, leaf, "  end"), *edges])


def _nested(g: nx.DiGraph, parent: str | None, start, leaf, end: str) -> list[str]:
    lines = []
    for name, data in g.nodes(data=True):
        if data["parent"] != parent:
            continue
        inner = _nested(g, name, start, leaf, end)
        lines += [start(name, data), *inner, end] if inner else [leaf(name, data)]
    return lines


def _dot_open(name: str, d: dict) -> str:
    return f"  subgraph {json.dumps('cluster_' + name)} {{ label={json.dumps(_times(d))};"


def _dot_leaf(name: str, d: dict) -> str:
    return f"    {json.dumps(name)} [label={json.dumps(d['label'])}];"


def _times(d: dict) -> str:
    return f"{d['repeat']} × {d['label']}" if d["repeat"] > 1 else d["label"]


def _edge(d: dict) -> str:
    return f"{d['tensor']} ({', '.join(map(str, d['shape']))})"
