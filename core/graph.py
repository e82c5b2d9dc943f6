"""The whole model as one networkx graph: traced from the modules, repeats folded, costs on the nodes."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from html import escape
from math import prod
from typing import Any

import networkx as nx

from .about import dense
from .blocks import block_names, block_words
from .cycles import Cycle, Frame, borrowers, looks, rhythm, variants
from .parts.base import Box, Part
from .spec import Architecture, MultiTokenPrediction, Step, Workload
from .trace import Operation, Sizes, Stub, Traced, trace_ahead, trace_block, trace_frame, trace_part
from .words import figure, number

FIGURES = ("parameters", "active_parameters", "flops", "cache_bytes")
CACHE_BYTES = 2  # a value in bf16
PLAIN = Box()  # for a function between the boxes, the defaults


def graph(arch: Architecture) -> nx.DiGraph:
    """The architecture's dataflow.

    Nodes are boxes of the traced modules; `parent` names the node that a box lies in, `repeat` how many equal layers
    it stands for; a box of many alike networks has one of them as `inside`. Node figures are for one copy: `parameters`,
    `active_parameters`, `flops` (one decoded token after 4,096), `cache_bytes` (what one token leaves, in bf16); a parent's are the
    sums of its children's. Shapes are symbolic in B and T. Edges carry the tensor's name and shape (of several, that of the first, and
    the others in `also`), and `beside` where it is not the stream, with what it `brings`: a layer's own input, a cache that an earlier
    layer lends. `graph["layers"]` gives the block of every layer, in order.
    """
    return _Builder(arch).graph


def about(arch: Architecture) -> dict[str, str]:
    """What a picture says in few words about the embedding, the head and the context; empty where there is nothing to say."""
    scale, softcap = arch.embedding_scale, arch.head.softcap
    stretched = {
        f"{getattr(scaling, 'word', 'scaled')} × {scaling.factor:g}"
        for position in (
            arch.position,
            *(getattr(arch.part(name), "position", None) for steps in arch.distinct() for step in steps for name in step.parts),
        )
        if (scaling := getattr(position, "scaling", None)) and scaling.factor != 1
    }
    return {
        "embedding": "" if scale == 1 else f"× √{arch.d_model:,}" if abs(scale**2 / arch.d_model - 1) < 0.01 else f"× {scale:g}",
        "head": f"softcap {softcap:g}" if softcap else "",
        "stretched": stretched.pop() if len(stretched) == 1 else "",
    }


class _Builder:
    def __init__(self, arch: Architecture):
        self.arch, frame = arch, trace_frame(arch)
        self.stream, logits = ("B", "T", arch.d_model), frame.output.shape
        self.graph = nx.DiGraph(name=arch.name, title=arch.title, context=arch.meant_for, tied=arch.tied_embeddings)
        self.node("model", "model", arch.title, ("B", "T"), logits, parent=None, explain=arch.note or "")
        self.node("tokens", "input", "Tokenised text", ("B", "T"), ("B", "T"), path="")
        self.node("positions_index", "input", "Positions", ("T",), ("T",), path="")
        ends = {"tokens": "tokens", "positions": "positions_index"}
        for op in (op for op in frame.operations if op.kind != "input"):
            given = {tensor.name: ends[tensor.source] for tensor in op.inputs}
            ends[op.id] = self.layers(given) if op.kind == "part" else self.around(op, frame, ends)
        self.node("logits", "output", "Next-token logits", logits, logits, path="")
        self.edge("head", "logits", "logits", logits)
        if arch.mtp:  # they read the input of the head, or all streams if there are several
            read = frame.operations[-1].inputs[0].source if arch.ahead.residual.streams == 1 else "layers"
            self.ahead(arch.mtp, ends[read])
        self.sum_up()

    def node(self, name: str, kind: str, label: str, shape_in: Sizes, shape_out: Sizes, **more) -> None:
        given = {"path": name, "kind": kind, "label": label, "parent": "model", "repeat": 1}
        given |= {"shape_in": list(shape_in), "shape_out": list(shape_out), "explain": ""} | dict.fromkeys(FIGURES, 0)
        self.graph.add_node(name, **(given | more))

    def edge(self, source: str, target: str, tensor: str, shape: Sizes, **more: Any) -> None:
        if self.graph.has_edge(source, target):  # for example k and v of one projection
            before = self.graph.edges[source, target]
            if tensor not in before["tensor"].split(", "):
                before["tensor"] += f", {tensor}"
                before.setdefault("also", []).append([tensor, list(shape)])
            return
        self.graph.add_edge(source, target, tensor=tensor, shape=list(shape), **more)

    def around(self, op: Operation, frame: Traced, ends: Mapping[str, str]) -> str:
        """A box around the layers, under its module's own path; returns it."""
        arch, parent = self.arch, "beneath" if op.path.startswith("beneath.") else "model"
        if parent not in self.graph and arch.fed:  # the module that gives some layers their own input
            part, count = arch.part(arch.fed[0]), len(arch.fed[1])
            words = f"The own input of each of {count:,} layers for a token, beside the stream."
            shape = next(t.shape for op in frame.operations for t in op.inputs if t.name == "per_layer")
            self.node(parent, parent, f"{part.title}s", ("B", "T"), shape, explain=words, short=part.short)
        self.operation(op.path, op, parent, 1, frame, {}, "")
        for tensor in op.inputs:
            name = tensor.name if len(op.inputs) > 1 else frame.boxes[op.path].names[0]
            self.edge(ends[tensor.source], op.path, name, tensor.shape)
        return op.path

    def layers(self, ends: dict[str, str]) -> str:
        """A node for each distinct block, with its dataflow inside; returns the output node of the last block."""
        arch, names, places = self.arch, block_names(self.arch), block_words(self.arch)
        self.held = {(names[steps], part): sets for (steps, part), sets in arch.held().items()}
        for steps, count in arch.distinct().items():
            label = " → ".join("+".join(step.parts) for step in steps)
            self.node(names[steps], "block", label, self.stream, self.stream, repeat=count, where=places[steps])
            ends["stream"] = self.wire(names[steps], trace_block(arch, steps), count, ends)
        self.lend(names)
        self.graph.graph["layers"] = [names[steps] for steps in arch.sequence]
        self.graph.graph["pattern"] = arch.pattern
        self.graph.graph["dense"] = dense(arch)
        self.graph.graph["rhythm"] = [self.cycle(cycle) for cycle in rhythm(arch)]
        self.graph.graph["looks"], self.graph.graph["borrowers"] = looks(arch), borrowers(arch)
        self.graph.graph["about"] = about(arch)
        self.graph.graph["lent"] = sorted({(link.layer, link.source_layer, link.read.lender) for link in arch.links if link.read.lender})
        return ends["stream"]

    def cycle(self, cycle: Cycle) -> dict[str, Any]:
        """A cycle of layers as plain values: its frames have their blocks' nodes, and for each place in a block the words
        of the different parts that stand there."""
        return {
            "first": cycle.first, "stop": cycle.stop, "length": cycle.length, "whole": cycle.whole, "rest": cycle.rest,
            "ordered": cycle.ordered, "runs": cycle.runs, "frames": list(map(self.frame, cycle.frames)),
        }  # fmt: skip

    def frame(self, frame: Frame) -> dict[str, Any]:
        arch, layers = self.arch, self.graph.graph["layers"]
        blocks = {layers[n]: arch.sequence[n] for n in frame.layers}
        places = zip(*([name for step in steps for name in step.parts] for steps in blocks.values()), strict=True)
        words = [asdict(variants({name: arch.part(name) for name in names})) | {"parts": list(names)} for names in places]
        return {
            "layers": list(frame.layers), "times": frame.times, "blocks": list(blocks), "places": words,
        }  # fmt: skip

    def lend(self, names: Mapping[tuple[Step, ...], str]) -> None:
        """An arrow from each lender to the first layer of a kind that reads from it."""
        seen: set[tuple[str, str, str]] = set()
        for link in (link for link in self.arch.links if link.read.lender):
            reader, lender = names[self.arch.sequence[link.layer]], names[self.arch.sequence[link.source_layer]]
            if (reader, link.part, link.read.name) not in seen:
                seen.add((reader, link.part, link.read.name))
                ends = (self.box(f"{lender}.{link.source}", link.read.lender), self.box(f"{reader}.{link.part}", link.read.name))
                lent = link.read.lender.removesuffix("_cache")
                self.edge(*ends, lent, ("B", "T", *link.read.shape), beside=True, brings=f"earlier {lent}")

    def box(self, part: str, path: str) -> str:
        """The node of a part's module, or of the box that contains it."""
        while f"{part}.{path}" not in self.graph:
            path = path.rpartition(".")[0]
        return f"{part}.{path}"

    def ahead(self, mtp: MultiTokenPrediction, end: str) -> None:
        """The multi-token-prediction modules, beside the model: its totals do not include their figures."""
        count = mtp.count
        words = (
            f"Used in training and for speculative decoding: predicts {count} token{'s' if count > 1 else ''} beyond the "
            "next. Not part of the main model's figures."
        )
        if copies := " and the ".join(mtp.copies):
            words += f" The files repeat the {copies} for {'each' if count > 1 else 'it'}, which adds to the bytes of the weights."
        for kind, (steps, count) in enumerate(Counter(mtp.each).items(), start=1):
            name = "mtp" if kind == 1 else f"mtp_{kind}"
            self.node(
                name, "mtp", "Multi-token prediction", self.stream, self.stream, parent=None, repeat=count, explain=words,
            )  # fmt: skip
            self.wire(name, trace_ahead(self.arch, steps), count, {"stream": end, "ahead": "embedding"})

    def wire(self, name: str, traced: Traced, count: int, ends: dict[str, str]) -> str:
        """A block's trace below the node `name`, with each part's own trace in place of its stub.

        `ends` gives the source node of each input of the trace; returns the node of its output.
        """
        ends = ends | {"positions": "positions_index", "tokens": "tokens"}
        for op in (op for op in traced.operations if op.kind != "input"):
            here = f"{name}.{op.id}"
            if isinstance(stub := traced.boxes.get(op.path), Stub):
                given = {read: ends[tensor.source] for read, tensor in zip(stub.names, op.inputs, strict=True)}
                ends[op.id] = self.part(here, stub.name, name, count, given, f"{name}.{op.path}")
            else:
                self.operation(here, op, name, count, traced, {}, f"{name}.")
                ends[op.id] = self.arrows(here, op, ends)
        return ends[traced.output.source]

    def stored(self, name: str, *boxes: str) -> str:
        """The format of a part's many networks, where it is not that of the model; empty where layers differ."""
        given, default = self.arch.precision, self.arch.precision.get("default")
        found = {given.get(f"{name}.{box}", given.get(name, default)) for box in boxes}
        several = len(found) != 1 or any("@" in path for path in given if path.startswith(name))
        return "" if several or found == {default} else f"{found.pop()}".replace("_", " ")

    def part(self, here: str, name: str, parent: str, count: int, given: dict[str, str], path: str) -> str:
        """A part's box with its dataflow inside, its inputs by name; returns the node of its output. `path` is the module's."""
        part, d = self.arch.part(name), self.arch.d_model
        traced = trace_part(part, d)
        flops, alike = part.flops(d, 1, Workload().context), part.alike(d)
        stream: Sizes = ("B", "T", *part.of_stream(d))
        self.node(
            here, part.kind, part.label, stream, stream, path=path, parent=parent, repeat=count, part=name, role=part.role,
            facts=list(part.facts()), traits=list(part.traits()), quantities=list(map(list, part.quantities(d))),
            stored=self.stored(name, *alike), reach=part.reach, config=part.model_dump(mode="json"),
            tied=part.tied, copies=self.held.pop((parent, name), 0) if part.tied else count, explain=part.explain(d),
            each=sum(prod(shape) for path, shape in traced.parameters.items() if part.each(path)),
        )  # fmt: skip
        ends = {"positions": "positions_index", "tokens": "tokens"} | given
        for op in (op for op in traced.operations if op.kind != "input"):
            node = f"{here}.{op.id}"
            self.operation(node, op, here, count, traced, flops, f"{path}.")
            if part.each(f"{op.path}.weight"):
                self.graph.nodes[node]["each"] = True  # not shared, although the part is tied
            if op.path in alike:
                self.graph.nodes[node]["inside"] = _inside(*alike[op.path])
            ends[op.id] = self.arrows(node, op, ends)
        return ends[traced.output.source]

    def operation(self, node: str, op: Operation, parent: str, count: int, traced: Traced, flops: Mapping, root: str) -> None:
        """One box; `root` is the prefix of its module's path. A module that runs twice is counted where it runs first."""
        first = bool(op.path) and not op.again
        own = sum(prod(shape) for path, shape in traced.parameters.items() if first and f"{path}.".startswith(f"{op.path}."))
        box = traced.boxes.get(op.path, PLAIN)
        kept = prod(n for n in op.shape[2:] if isinstance(n, int)) if op.kind == "cache" else 0
        explain = box.explain
        if kept:
            each = str(op.shape[1]).removeprefix("T").removeprefix("/")  # tokens per entry
            tokens = f"each {each} tokens" if each else "every token"
            explain = f"Cached for {tokens} until the sequence ends: {number(kept)} values."
            kept *= not each
        elif op.kind == "state":
            values = prod(n for n in op.shape[1:] if isinstance(n, int))
            explain = f"A state of constant size that every token changes: {number(values)} values."
        self.node(
            node, op.kind, op.label, op.inputs[0].shape if op.inputs else (), op.shape, parent=parent, repeat=count,
            path=f"{root}{op.path}" if op.path in traced.boxes else "", parameters=own, active_parameters=own - box.idle,
            flops=flops.get(op.path, box.token_flops) if first else 0, cache_bytes=CACHE_BYTES * kept, explain=explain,
        )  # fmt: skip

    def arrows(self, node: str, op: Operation, ends: Mapping[str, str]) -> str:
        for tensor in () if op.kind == "borrowed" else op.inputs:  # what is read from another layer has the shape of x, but nothing of it
            brings = {"per_layer": "own", "embedded": "embedded"}.get(tensor.source)
            more: dict[str, Any] = {"beside": True, "brings": brings} if brings else {}
            self.edge(ends[tensor.source], node, tensor.name, tensor.shape, **more)
        return node

    def sum_up(self) -> None:
        """Every parent's figures from its children's, times their repeats if the parent itself does not repeat.

        Weights that layers share are counted once. A block's `all_parameters` are those of all its layers, including
        those that it shares with another block.
        """
        children = defaultdict(list)
        for name, data in self.graph.nodes(data=True):
            children[data["parent"]].append(name)

        def total(name: str) -> None:
            data, shared = self.graph.nodes[name], 0
            for child in children.get(name, ()):
                total(child)
                inner = self.graph.nodes[child]
                for one in FIGURES:
                    data[one] += inner[one] * (inner["repeat"] // data["repeat"])
                if data["kind"] == "block" and inner.get("tied"):
                    again = data["repeat"] - inner["copies"]
                    for one in ("parameters", "active_parameters"):
                        self.graph.nodes["model"][one] -= again * (inner[one] - inner["each"])
                    shared += (inner["parameters"] - inner["each"]) * (data["repeat"] - max(1, inner["copies"]))
            if data["kind"] == "block":
                data["all_parameters"] = data["repeat"] * data["parameters"] - shared

        for root in children[None]:
            total(root)
        if self.arch.mtp:
            kinds = (data for _, data in self.graph.nodes(data=True) if data["kind"] == "mtp")
            apart = sum(data["repeat"] * data["parameters"] for data in kinds)
            said = {"short": f"{self.arch.mtp.count:,} × MTP", "facts": [f"{figure(apart)}, apart"]}
            self.graph.nodes["mtp"].update(said)


def _inside(part: Part, width: int) -> dict[str, Any]:
    """One of many alike networks in a box, as plain values: its input, its boxes and the tensors between them."""
    traced = trace_part(part, width)
    boxes = [op for op in traced.operations if op.kind != "input"]
    return {
        "shape": ["B", "T", width], "parameters": sum(map(prod, traced.parameters.values())),
        "boxes": {op.id: {"kind": op.kind, "label": op.label, "path": op.path, "shape": list(op.shape)} for op in boxes},
        "tensors": [[tensor.source, op.id, tensor.name, list(tensor.shape)] for op in boxes for tensor in op.inputs],
    }  # fmt: skip


def to_json(g: nx.DiGraph) -> dict:
    """Node-link JSON, which networkx can read."""
    return nx.node_link_data(g, edges="edges")


def to_graphml(g: nx.DiGraph) -> str:
    """GraphML; lists become JSON text and empty values are left out, since the format supports neither."""
    plain = nx.DiGraph(**{k: _scalar(v) for k, v in g.graph.items() if v is not None})
    plain.add_nodes_from((n, {k: _scalar(v) for k, v in d.items() if v is not None}) for n, d in g.nodes(data=True))
    plain.add_edges_from((a, b, {k: _scalar(v) for k, v in d.items()}) for a, b, d in g.edges(data=True))
    return "\n".join(nx.generate_graphml(plain))


def _scalar(value):
    return json.dumps(value) if isinstance(value, list | dict) else value


def to_dot(g: nx.DiGraph) -> str:
    """Graphviz DOT, with a cluster for every node that contains others."""
    return "\n".join(["digraph {", "  rankdir=BT; node [shape=box];", *_nested(g, _dot_open, _dot_leaf, "  }"), *(
        f"  {_dot(a)} -> {_dot(b)} [label={_dot(_edge(d))}];" for a, b, d in g.edges(data=True)
    ), "}"])  # fmt: skip


def to_mermaid(g: nx.DiGraph) -> str:
    """A Mermaid flowchart, with a subgraph for every node that contains others."""
    ids = {name: f"n{i}" for i, name in enumerate(g)}

    def start(name: str, d: dict) -> str:
        return f'  subgraph {ids[name]}["{_escaped(_times(d))}"]'

    def leaf(name: str, d: dict) -> str:
        return f'    {ids[name]}["{_escaped(d["label"])}"]'

    edges = [f'  {ids[a]} -->|"{_escaped(_edge(d))}"| {ids[b]}' for a, b, d in g.edges(data=True)]
    return "\n".join(["flowchart BT", *_nested(g, start, leaf, "  end"), *edges])


def _nested(g: nx.DiGraph, start: Callable, leaf: Callable, end: str) -> list[str]:
    children = defaultdict(list)
    for name, data in g.nodes(data=True):
        children[data["parent"]].append(name)

    def below(parent: str | None) -> list[str]:
        lines = []
        for name in children.get(parent, ()):
            inner, data = below(name), g.nodes[name]
            lines += [start(name, data), *inner, end] if inner else [leaf(name, data)]
        return lines

    return below(None)


def _dot_open(name: str, d: dict) -> str:
    return f"  subgraph {_dot('cluster_' + name)} {{ label={_dot(_times(d))};"


def _dot_leaf(name: str, d: dict) -> str:
    return f"    {_dot(name)} [label={_dot(d['label'])}];"


def _dot(words: str) -> str:
    """A quoted string of DOT, whose labels support HTML's entities and DOT's own escapes, but not JSON's."""
    return '"' + escape(words, quote=False).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _escaped(words: str) -> str:
    """Mermaid's escapes for what would end a quoted label, or would be read as HTML or Markdown in it."""
    return re.sub("[#<>&`\\\\*_~\n]", lambda found: f"#{ord(found[0])};", words).replace('"', "#quot;")


def _times(d: dict) -> str:
    return f"{d['repeat']:,} × {d['label']}" if d["repeat"] > 1 else d["label"]


def _edge(d: dict) -> str:
    return f"{d['tensor']} ({', '.join(map(str, d['shape']))})"
