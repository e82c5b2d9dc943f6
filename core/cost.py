"""What an architecture costs: rows that add up, each with a sentence that derives it.

Conventions: a multiply-add is two FLOPs and only matrix products count; a causal query at position p sees p + 1 keys;
looking up an embedding is free; the output head runs at every position of a prompt; a decoding step reads one new
token after `context` cached ones; training costs three forward passes. All parameters are active except the experts that a token is
not sent to, and the rows that it does not read in tables beside the token embedding: those of each layer, and of n-grams. The token
embedding and learned positions are active, as makers count them. Recurrent sums are in float32 where implementations keep them so.
Activations are the values that boxes write in one pass over the prompt, in bf16, attention scores excepted, which are never stored.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from fractions import Fraction
from types import MappingProxyType
from typing import Literal

from .blocks import block_names, block_words
from .frame import Ahead
from .parts import Part
from .parts.base import Box, Flops, Shape, State
from .precision import FORMATS, FormatName
from .spec import Architecture, Step, Workload
from .trace import Traced, trace_ahead, trace_block, trace_frame, trace_part
from .words import figure, size, table

ACTIVATION_BYTES = 2


@dataclass(frozen=True)
class Row:
    """One component of one distinct block, all its layers together. Figures are totals at the workload."""

    block: str  # "layers 3-60", "model"
    part: str  # the name of the part, or embedding, head, norms
    component: str  # "routed experts"
    role: str  # one of ROLES
    count: int
    node: str = ""  # of the graph: a part's in the block's first layer, a block for the norms in it
    parameters: int = 0
    active_parameters: int = 0
    weight_bytes: int | None = 0  # None if they are not known: see Cost.unsized
    prefill_flops: int = 0
    decode_flops: int = 0
    kv_bytes_per_token: int = 0
    kv_bytes: int = 0
    state_bytes: int = 0
    activation_bytes: int = 0
    read_bytes: int | None = 0  # that one new token of one sequence reads: weights, caches, states; None if the text decides
    mtp_parameters: int = 0
    derivation: dict[str, str] = field(default_factory=dict, hash=False, compare=False)

    @property
    def kept_bytes(self) -> int:
        """Caches and states together."""
        return self.kv_bytes + self.state_bytes


SUMMED = tuple(one.name for one in fields(Row) if one.default == 0)


@dataclass(frozen=True)
class Cost:
    """Every total is a sum of `rows`. Bytes and FLOPs are for the whole workload unless a name says otherwise."""

    architecture: Architecture = field(repr=False)
    workload: Workload
    rows: tuple[Row, ...] = field(repr=False)

    def _sum(self, name: str) -> int:
        return sum(getattr(row, name) for row in self.rows)

    @property
    def parameters(self) -> int:
        return self._sum("parameters")

    @property
    def active_parameters(self) -> int:
        """Parameters that one token uses: all except the experts it is not sent to, and the rows that it does not read in tables of
        each layer or of n-grams. The token embedding counts as a whole."""
        return self._sum("active_parameters")

    @property
    def mtp_parameters(self) -> int:
        """Parameters of the multi-token-prediction modules, which `parameters` does not include."""
        return self._sum("mtp_parameters")

    @property
    def unsized(self) -> str | None:
        """Why the bytes of the weights are not known, if the workload takes them as shipped and their format has no known size."""
        return None if self.workload.weights else self.architecture.unsized

    @property
    def weight_bytes(self) -> int | None:
        """All weights that are shipped, those of multi-token-prediction modules included; None if `unsized` says why."""
        return None if self.unsized else self._sum("weight_bytes")

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that the first token leaves in the caches of all layers together, before any window is full."""
        return self._sum("kv_bytes_per_token")

    @property
    def per_token(self) -> str:
        """The words for these bytes: "per token" if every later token leaves as many; "per token at first" if windows or chunks
        fill, or if several tokens are kept as one."""
        arch, n = self.architecture, 1 << 40  # longer than any window
        names = {name for block in arch.distinct() for step in block for name in step.parts}
        even = all(shape[0] == n for name in names for shape in arch.part(name).cache(n).values())
        return "per token" if even else "per token at first"

    @property
    def kv_bytes(self) -> int:
        """Bytes of all caches at the workload's batch and context, where windows and chunks limit what is cached."""
        return self._sum("kv_bytes")

    @property
    def state_bytes(self) -> int:
        """Bytes of constant-size recurrent states at the workload's batch."""
        return self._sum("state_bytes")

    @property
    def kept_bytes(self) -> int:
        """Caches and states together, at the workload."""
        return self.kv_bytes + self.state_bytes

    @property
    def kept(self) -> str:
        """What a text leaves in caches and states, in sentences."""
        which = "A" if self.per_token == "per token" else "The first"
        caches = f"{which} token leaves {self.derivation('kv_bytes_per_token')} bytes." if self.kv_bytes_per_token else ""
        states = f"States keep {size(self.state_bytes)}, whatever the length of the text." if self.state_bytes else ""
        return f"{caches} {states}".strip()

    def kept_at(self, contexts: Sequence[int]) -> tuple[list[int], list[int]]:
        """Bytes of caches and states at each context: as built, and without windows, latents and shared heads."""
        arch, w, fmt = self.architecture, self.workload, FORMATS[self.workload.cache]
        counts = Counter(name for block in arch.sequence for step in block for name in step.parts)
        parts = [(arch.part(name), count) for name, count in counts.items()]

        def total(kept: Callable[[Part, int], dict], length: int) -> int:
            tensors = ((n, shape) for part, n in parts for shape in kept(part, length).values())
            return self.state_bytes + w.batch * sum(n * fmt.bytes(shape) for n, shape in tensors)

        built = [total(lambda part, n: part.cache(n), length) for length in contexts]
        return built, [total(lambda part, n: part.plain_cache(n), length) for length in contexts]

    def decode_at(self, contexts: Sequence[int]) -> list[int]:
        """FLOPs of a new token for every sequence of the batch, after each of these numbers of tokens."""
        d = self.architecture.d_model
        return self._moved(self.decode_flops, self.workload.batch, contexts, lambda part, n: part.flops(d, 1, n).total)

    def read_at(self, contexts: Sequence[int]) -> list[int] | None:
        """Bytes that a new token of one sequence reads after each of these numbers of tokens; None if they are not known."""
        fmt = FORMATS[self.workload.cache]
        if self.read_bytes is None:
            return None
        return self._moved(self.read_bytes, 1, contexts, lambda part, n: sum(map(fmt.bytes, (part.cache_read(n) or {}).values())))

    def _moved(self, now: int, times: int, contexts: Sequence[int], of: Callable[[Part, int], int]) -> list[int]:
        """A figure at other contexts: only what the parts make of the text moves."""
        arch, here = self.architecture, self.workload.context
        counts = Counter(name for block in arch.sequence for step in block for name in step.parts)
        parts = [(arch.part(name), count) for name, count in counts.items()]

        def total(length: int) -> int:
            return times * sum(count * of(part, length) for part, count in parts)

        still = now - total(here)
        return [still + total(length) for length in contexts]

    @property
    def prefill_flops(self) -> int:
        """One forward pass over every sequence of the batch."""
        return self._sum("prefill_flops")

    @property
    def decode_flops(self) -> int:
        """One new token for every sequence of the batch, after `context` kept ones."""
        return self._sum("decode_flops")

    @property
    def training_flops_per_token(self) -> int:
        """Forward and backward over the workload, divided by its tokens: three forward passes."""
        return 3 * self.prefill_flops // (self.workload.batch * self.workload.context)

    @property
    def activation_bytes(self) -> int:
        return self._sum("activation_bytes")

    @property
    def read_bytes(self) -> int | None:
        """Bytes that one new token of one sequence reads after `context` kept ones: all weights but those of experts that it is not sent
        to and of other rows of a table, and what it sees of the caches and states. None if the weights' bytes are not known, or if
        the text decides how much of a cache is read."""
        return None if any(row.read_bytes is None for row in self.rows) else self._sum("read_bytes")

    def by(self, name: Literal["role", "block", "part", "component"]) -> dict[str, dict[str, int | None]]:
        """The figures of all rows with the same role, say, summed: `by("role")["experts"]["weight_bytes"]`. In the rows' order;
        the weights' bytes are None if `unsized` says why."""
        sums: dict[str, dict[str, int | None]] = {}
        for row in self.rows:
            so_far = sums.setdefault(getattr(row, name), dict.fromkeys(SUMMED, 0))
            for summed in SUMMED:
                value = getattr(row, summed)
                so_far[summed] = None if None in (value, so_far[summed]) else so_far[summed] + value
        return sums

    def derivation(self, figure: str) -> str:
        """How a total is computed: the rows' own sentences, equal ones joined; if it is not known, why."""
        if figure == "weight_bytes" and self.unsized:
            return self.unsized
        terms: Counter[str] = Counter()
        for row in self.rows:
            if getattr(row, figure):
                words = row.derivation[figure]
                terms[words] += row.count if "{layers}" in words else 1
        parts = [derived(words, n) if "{layers}" in words or n == 1 else f"{n:,} × {words}" for words, n in terms.items()]
        return f"{' + '.join(parts)} = {getattr(self, figure):,}" if parts else f"{getattr(self, figure):,}"

    @property
    def caveat(self) -> str:
        """A sentence about what is not known; empty if everything is known."""
        if not self.unsized:
            return ""
        return f"The bytes of {self.architecture.title}'s weights as shipped are not known: {self.unsized}."

    def __str__(self) -> str:
        """A table with one row per component, and the totals below."""
        names = ("layers", "component", "parameters>", "active>", "weights>", "cache>", "prefill>", "decode>")
        rows = [(row.block, row.component, *_shown(row, row.parameters or row.mtp_parameters)) for row in self.rows]
        w, total = self.workload, ("all", "", *_shown(self, self.parameters))
        lines = (
            f"{self.architecture.title}: {w.batch:,} × {w.context:,} tokens, weights {w.weights or 'as shipped'}, caches in {w.cache}",
            table(names, rows, total),
            self.caveat,
            self.kept,
        )
        return "\n".join(line for line in lines if line)

    def to_dict(self) -> dict:
        figures = (
            "parameters", "active_parameters", "mtp_parameters", "weight_bytes", "kv_bytes_per_token", "kv_bytes", "state_bytes",
            "prefill_flops", "decode_flops", "training_flops_per_token", "activation_bytes", "read_bytes",
        )  # fmt: skip
        rows = [asdict(row) | {"derivation": sentences(row)} for row in self.rows]
        return (
            {"architecture": self.architecture.name, "workload": self.workload.model_dump(mode="json")}
            | {name: getattr(self, name) for name in figures}
            | {"unsized": self.unsized, "rows": rows}
        )


def _shown(of: Row | Cost, parameters: int) -> tuple[str, ...]:
    """A row of the table, or the totals."""
    flops = (figure(n, "FLOP") if n else "" for n in (of.prefill_flops, of.decode_flops))
    kept = of.kv_bytes + of.state_bytes
    return f"{parameters:,}", f"{of.active_parameters:,}", size(of.weight_bytes), size(kept) if kept else "", *flops


def sentences(row: Row) -> dict[str, str]:
    """A row's derivations as finished sentences: `61 layers × (512 + 64) values × 2 bytes = 70,272 bytes per token`."""
    units = {"kv_bytes_per_token": " bytes per token"} | dict.fromkeys(("kv_bytes", "state_bytes", "weight_bytes", "read_bytes"), " bytes")
    return {k: f"{derived(v, row.count)} = {getattr(row, k):,}{units.get(k, '')}" for k, v in row.derivation.items()}


def derived(derivation: str, layers: int) -> str:
    """A row's derivation for so many layers."""
    return derivation.format(layers=f"{layers:,} layers × " if layers > 1 else "")


def cost(arch: Architecture, workload: Workload | None = None) -> Cost:
    """Rows of parameters, FLOPs and bytes for an architecture at a workload (default: one sequence of 4,096 tokens)."""
    workload = workload or Workload()
    frame, held, where, names = trace_frame(arch), arch.held(), block_words(arch), block_names(arch)
    rows = [*_around(arch, workload, frame, (*BELOW, *_beneath(arch, frame), SPLIT))]
    for steps, count in arch.distinct().items():
        rows += _block(arch, steps, names[steps], where[steps], count, workload, held)
    rows += [*_around(arch, workload, frame, ABOVE), *_ahead(arch, workload)]
    found = Cost(arch, workload, tuple(rows))
    return replace(found, rows=tuple(map(_unsized, rows))) if found.unsized else found


def _unsized(row: Row) -> Row:
    """A row without the bytes of its weights."""
    said = {name: words for name, words in row.derivation.items() if name not in ("weight_bytes", "read_bytes")}
    return replace(row, weight_bytes=None, read_bytes=None, derivation=said)


# Modules around the layers: the root of their tensors' paths, the row's name, its role, its modules in the frame.
BELOW = (
    ("embedding", "token embedding", "embedding", "embedding"),
    ("positions", "position embedding", "embedding", "positions", "embedding_add"),
    ("embedding.ngrams", "n-gram embedding", "embedding", "ngrams"),
    ("embedding_norm", "embedding norm", "norm", "embedding_norm"),
)
SPLIT = ("streams", "split of streams", "norm", "split")
ABOVE = (
    ("streams", "merge of streams", "norm", "merge"),
    ("norm", "final norm", "norm", "norm"),
    ("head", "output head", "embedding", "head"),
)


def _beneath(arch: Architecture, frame: Traced) -> Iterator[tuple[str, ...]]:
    """The same for the module that gives some layers their own input."""
    if not arch.fed:
        return
    name, _ = arch.fed
    for prefix, words in arch.parts[name].beneath_rows.items():
        inside = (path for path in frame.boxes if _within(path, f"beneath.{prefix}"))
        yield name, words, arch.parts[name].role, *inside


def _around(arch: Architecture, w: Workload, frame: Traced, rows: Iterable[tuple[str, ...]]) -> Iterator[Row]:
    """The rows of the modules around the layers, for those that the architecture has."""
    for root, words, role, *modules in rows:
        if frame.boxes.keys().isdisjoint(modules):
            continue

        def named(path: str, root: str = root, inside: tuple[str, ...] = tuple(f"{m}." for m in modules)) -> str:
            return f"{root}.{path.partition('.')[2]}" if f"{path}.".startswith(inside) else ""

        tied = root == "head" and arch.tied_embeddings
        twice = ("head",) if tied and arch.head_twice else ()
        figures = _boxes(arch, w, frame, 1, named), _copies(arch, w, twice, 1), _table_read(arch, w) if tied else {}
        yield Row("model", root.rpartition(".")[2], words, role, 1, modules[0].partition(".")[0], **_merged(*figures))


def _boxes(arch: Architecture, w: Workload, traced: Traced, count: int, named: Callable[[str], str], layers: Sequence[int] = ()) -> dict:
    """The figures of a trace's boxes, parts excepted, by what they declare. `named` gives the name for a path,
    or an empty one for what is not counted; `layers` are those of `_weights`."""
    parameters, buffers = (
        {name: shape for path, shape in tensors.items() if (name := named(path))} for tensors in (traced.parameters, traced.buffers)
    )
    boxes = {path: box for path, box in traced.boxes.items() if named(path)}
    flops = {path.removeprefix("beneath."): box.token_flops for path, box in boxes.items() if box.token_flops}
    prefill, decode = (Flops({path: n * tokens for path, n in flops.items()}) for tokens in (w.context, 1))
    states = [box.shape for box in boxes.values() if isinstance(box, State)]
    written = sum(op.activation for op in traced.operations if op.kind != "part" and named(op.path))
    idle, read = [box for box in boxes.values() if box.idle], {named(path): share for path, share in _shares(traced).items()}
    return _merged(
        _weights(arch, w, parameters, count, buffers, idle, layers=layers, read=read),
        _flops(w, prefill, decode, count),
        _activations(w, written, count),
        _kept_figures(count, {"state_bytes": (w.batch, kept := {_state_format(w): states}), "read_bytes": (1, kept)}),
    )


def _block(arch: Architecture, steps: tuple[Step, ...], node: str, where: str, count: int, w: Workload, held: dict) -> Iterator[Row]:
    layers = [layer for layer, block in enumerate(arch.sequence) if block == steps] if arch.varied and not w.weights else []
    times: Counter[str] = Counter()
    for name in (name for step in steps for name in step.parts):
        times[name] += 1
        own = f"{node}.{name}_{times[name]}" if times[name] > 1 else f"{node}.{name}"
        copies = count if not arch.parts[name].tied else held.pop((steps, name), 0)
        yield from _part(arch, name, own, where, count, copies, w, () if arch.parts[name].tied else layers)
    wiring = trace_block(arch, steps)
    words = "norms" if arch.residual.streams == 1 else "norms and streams"
    yield Row(where, "norms", words, "norm", count, node, **_boxes(arch, w, wiring, count, _between(wiring), layers))


def _between(wiring: Traced) -> Callable[[str], str]:
    """Names for tensors between the parts: norms, and modules that read, write and merge several streams."""
    streams = tuple(f"{path}." for path, box in wiring.boxes.items() if box.box in ("read", "add"))
    return lambda path: f"{'streams' if path.startswith(streams) else 'norm'}.{path}"


def _part(
    arch: Architecture, name: str, node: str, where: str, count: int, copies: int, w: Workload, layers: Sequence[int] = ()
) -> Iterator[Row]:
    """The rows of one part: one for each component that its class names, or one for all of it.

    `copies` is how many sets of weights its `count` layers have: 0 if another row holds them already. `layers` are those of `_weights`.
    """
    part, d = arch.part(name), arch.d_model
    traced = trace_part(part, d)
    prefill, decode = part.flops(d, w.context, 0), part.flops(d, 1, w.context)
    written = [(op.path or op.id, op.activation) for op in traced.operations]
    read = {f"{name}.{path}": share for path, share in _shares(traced).items()}
    kept = _kept(arch, part, w, count)  # shown in the part's first row
    for prefix, (role, words) in (part.components or {"": (part.role, part.title.lower())}).items():
        parameters = {f"{name}.{path}": shape for path, shape in traced.parameters.items() if _within(path, prefix)}
        if not parameters:
            continue
        buffers = {f"{name}.{path}": shape for path, shape in traced.buffers.items() if _within(path, prefix)}
        idle = [box for path, box in traced.boxes.items() if box.idle and _within(path, prefix)]
        prompt, token = (Flops({path: n for path, n in f.items() if _within(path, prefix)}) for f in (prefill, decode))
        each = {f"{name}.{path}" for path in traced.parameters if part.tied and part.each(path)}  # the component of all other paths
        own = {path: shape for path, shape in parameters.items() if path not in each}
        figures = (
            _weights(arch, w, own, copies, buffers, idle, 1 < copies != count, layers, read, count),
            _weights(arch, w, {path: s for path, s in parameters.items() if path in each}, count),
            _flops(w, prompt, token, count),
            _activations(w, sum(n for path, n in written if _within(path, prefix)), count),
            kept,
        )
        row = Row(where, name, words, role, count, node, **_merged(*figures))
        yield _undecided(row) if kept and part.cache_read(w.context) is None else row
        kept = {}


def _undecided(row: Row) -> Row:
    """A row of a part of whose cache the text decides how much is read."""
    return replace(row, read_bytes=None, derivation={name: words for name, words in row.derivation.items() if name != "read_bytes"})


def _shares(traced: Traced) -> dict[str, Fraction]:
    """The share of each tensor that one token reads, where it is not all of it; the outermost box that says it."""
    found: dict[str, Fraction] = {}
    for of, box in traced.boxes.items():  # the outer ones first
        if type(box).read_share is not Box.read_share:
            for path in (path for path in (*traced.parameters, *traced.buffers) if path.startswith(f"{of}.")):
                if path not in found and (share := box.read_share(path.removeprefix(f"{of}."))) is not None:
                    found[path] = share
    return found


def _within(path: str, prefix: str) -> bool:
    """Whether a submodule belongs to the component of this prefix: shared.up and shared_gate to shared."""
    return not prefix or path == prefix or path.startswith((prefix + ".", prefix + "_"))


def _ahead(arch: Architecture, w: Workload) -> Iterator[Row]:
    """The multi-token-prediction modules: shipped with the weights, but not part of the model's own figures.

    Copies of the model's own tables in the files count as bytes, but not as parameters.
    """
    if not arch.mtp:
        return
    mtp = arch.mtp
    kinds: list[dict] = []
    for steps, count in Counter(mtp.each).items():
        traced = trace_ahead(arch, steps)
        named = _between(traced)
        parameters = {named(path): shape for path, shape in traced.parameters.items()}
        parameters["mtp.join.weight"] = parameters.pop("norm.join.weight")
        around = {path: s for path, s in parameters.items() if mtp.one_join and path.split(".")[1] in Ahead.AROUND}
        parameters = {path: shape for path, shape in parameters.items() if path not in around}
        buffers: dict[str, Shape] = {}
        for name in (name for step in steps for name in step.parts):
            part = trace_part(arch.part(name), arch.d_model)
            parameters |= {f"{name}.{path}": shape for path, shape in part.parameters.items()}
            buffers |= {f"{name}.{path}": shape for path, shape in part.buffers.items()}
        kinds += [{} if kinds else _weights(arch, w, around, 1)]
        kinds += [_modules(_weights(arch, w, parameters, count, buffers), count)]
    own = _merged(*kinds)
    figures = _merged(own, _copies(arch, w, mtp.copies, mtp.count))
    yield Row(
        "ahead of the model", "mtp", "multi-token prediction", "mtp", mtp.count, "mtp",
        mtp_parameters=own["parameters"],
        weight_bytes=figures["weight_bytes"],
        derivation={
            "mtp_parameters": own["derivation"]["parameters"], "weight_bytes": figures["derivation"]["weight_bytes"]
        },
    )  # fmt: skip


def _modules(figures: dict, count: int) -> dict:
    """Figures whose sentences count modules; there may be several kinds."""
    said = {name: words.replace("{layers}", f"{count:,} modules × ") for name, words in figures["derivation"].items()}
    return figures | {"derivation": said}


def _copies(arch: Architecture, w: Workload, tables: Sequence[str], count: int) -> dict:
    """Bytes of the copies of the embedding table or the head in the files; other formats have no such copies."""
    if not tables or w.weights:
        return {}
    shape = (arch.vocab_size, arch.table_width)
    size = sum(FORMATS[arch.format(name, shape)].bytes(shape) for name in tables)
    times = f"{count:,} modules × " if count > 1 else ""
    said = f"{times}({size:,} of copies of the {' and the '.join(tables)})"
    return {"weight_bytes": count * size, "derivation": {"weight_bytes": said}}


def _table_read(arch: Architecture, w: Workload) -> dict:
    """Bytes of the embedding's table that the head reads, whose weights it shares."""
    shape, own = (arch.vocab_size, arch.table_width), "head" if arch.head_twice and not w.weights else "embedding"
    size = FORMATS[w.weights or arch.format(own, shape)].bytes(shape)
    return {"read_bytes": size, "derivation": {"read_bytes": f"{size:,} of the embedding's weights"}}


# ---- a row's figures, each with its sentence ----


def _weights(
    arch: Architecture,
    w: Workload,
    parameters: dict[str, Shape],
    copies: int,
    buffers: Mapping[str, Shape] = MappingProxyType({}),
    idle: Sequence[Box] = (),
    sets: bool = False,
    layers: Sequence[int] = (),
    read: Mapping[str, Fraction] = MappingProxyType({}),
    uses: int = 0,
) -> dict:
    """Parameters and bytes of tensors by path; not all of those in the `idle` boxes are active. Buffers are stored but are not parameters;
    `sets` are fewer than the layers if layers use them in turn. `layers` have these tensors, if the stored formats may differ by layer.
    `read` has the share that a token reads, where it is not all; `uses` is how many layers read them, if not as many as have copies."""
    size = sum(map(math.prod, parameters.values()))
    if not size or not (copies or uses):
        return {}
    stored: Counter[str] = Counter()
    seen: Fraction | int = 0
    for path, shape in {**parameters, **buffers}.items():
        held = arch.stored(path, shape, w.weights, layers)
        stored.update(held)
        seen += sum(held.values()) * read.get(path, 1)
    each, uses = math.ceil(seen), uses or copies
    words = f"{'' if layers or uses == 1 else '{layers}'}{each:,} of weights"
    reads = {"read_bytes": each if layers else uses * each}
    if not copies:
        return reads | {"derivation": {"read_bytes": words}}
    said = " + ".join(_shape(path, shape) for path, shape in parameters.items())
    unread = sum(box.idle for box in idle)
    times = f"{copies:,} sets × " if sets else "{layers}" if copies > 1 else ""
    derivation = {
        "parameters": f"{times}({said})",
        "active_parameters": f"{times}({size:,} − {unread:,} {idle[0].unread})" if unread else f"{times}({said})",
        "weight_bytes": f"{'' if layers else times}({' + '.join(f'{n:,} in {name}' for name, n in stored.items())})",
        "read_bytes": words,
    }
    return reads | {
        "parameters": copies * size,
        "active_parameters": copies * (size - unread),
        "weight_bytes": stored.total() if layers else copies * stored.total(),
        "derivation": derivation,
    }


def _shape(path: str, shape: Shape) -> str:
    """attention.q.weight of (24576, 1536) -> "q 24,576 × 1,536"."""
    name = path.partition(".")[2].removesuffix("weight").removesuffix(".")
    return f"{name} {' × '.join(f'{n:,}' for n in shape)}".strip()


def _flops(w: Workload, prefill: Flops, decode: Flops, count: int) -> dict:
    """FLOPs of a prompt and of one more token for the whole batch."""
    figures = {"prefill_flops": prefill, "decode_flops": decode}
    said = {name: " + ".join(f"{path} {n:,}" for path, n in flops.items()) for name, flops in figures.items()}
    return {name: count * w.batch * flops.total for name, flops in figures.items()} | {
        "derivation": {name: f"{{layers}}{_sequences(w.batch)}({words})" for name, words in said.items() if words}
    }


def _activations(w: Workload, values: int, count: int) -> dict:
    """Bytes of the values that boxes write, `values` per token."""
    if not values:
        return {}
    said = f"{{layers}}{_sequences(w.batch)}{w.context:,} tokens × {values:,} values × {ACTIVATION_BYTES} bytes"
    written = count * w.batch * w.context * values * ACTIVATION_BYTES
    return {"activation_bytes": written, "derivation": {"activation_bytes": said}}


def _kept(arch: Architecture, part: Part, w: Workload, count: int) -> dict:
    """Bytes that the layers of this part keep: for one token, for the whole text, and of constant size."""
    states: dict[FormatName, list[Shape]] = {}
    seen: dict[FormatName, list[Shape]] = {w.cache: list((part.cache_read(w.context) or {}).values())}
    for name, shape in part.state(arch.d_model).items():
        states.setdefault("fp32" if name in part.in_float32 else _state_format(w), []).append(shape)
    kept: dict[str, tuple[int, Mapping[FormatName, list[Shape]]]] = {
        "kv_bytes_per_token": (1, {w.cache: [shape[1:] for shape in part.cache(1).values() if shape[0]]}),
        "kv_bytes": (w.batch, {w.cache: list(part.cache(w.context).values())}),
        "state_bytes": (w.batch, states),
        "read_bytes": (1, seen | {fmt: seen.get(fmt, []) + shapes for fmt, shapes in states.items()}),
    }
    return _kept_figures(count, kept)


def _state_format(w: Workload) -> FormatName:
    """States use the format of the caches, except formats below 16 bits, which are only for caches."""
    return w.cache if FORMATS[w.cache].bits >= 16 else "bf16"


def _kept_figures(count: int, kept: Mapping[str, tuple[int, Mapping[FormatName, list[Shape]]]]) -> dict:
    """Bytes of the tensors that the sequences keep in `count` layers, in their formats, by figure."""
    figures, derivation = {}, {}
    for name, (sequences, tensors) in kept.items():
        total, terms = 0, []
        for fmt, shapes in ((FORMATS[name], shapes) for name, shapes in tensors.items() if shapes):
            values = " + ".join(" × ".join(f"{n:,}" for n in shape) for shape in shapes)
            stored, scales = sum(map(fmt.bytes, shapes)), sum(map(fmt.scale_bytes, shapes))
            rounded = stored - scales - sum(map(math.prod, shapes)) * fmt.bits / 8
            terms.append(f"({values}) values × {fmt.bits / 8:g} bytes")
            terms += [f"{scales:,} of scales"] * (scales > 0) + [f"{rounded:g} up to whole bytes"] * (rounded > 0)
            total += stored
        if terms:
            each = f"({' + '.join(terms)})" if len(terms) > 1 else terms[0]
            figures[name] = count * sequences * total
            derivation[name] = f"{{layers}}{_sequences(sequences)}{each}"
    return figures | {"derivation": derivation}


def _sequences(count: int) -> str:
    return f"{count:,} sequences × " if count > 1 else ""


def _merged(*figures: dict) -> dict:
    """The figures of several kinds as one row's; those of one kind are summed."""
    merged: Counter[str] = Counter()
    said: dict[str, str] = {}
    for some in figures:
        merged.update({name: value for name, value in some.items() if name != "derivation"})
        for name, words in some.get("derivation", {}).items():
            said[name] = f"{said[name]} + {words}" if name in said else words
    return {**merged, "derivation": said}
