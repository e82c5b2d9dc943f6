"""What an architecture costs: rows that add up, each with the sentence that says how it came about.

Conventions: a multiply-add is two FLOPs and only matrix products count; a causal query at position p sees p + 1 keys;
looking up an embedding is free; the output head runs at every position of a prompt; a step of decoding reads one new
token after `context` kept ones; training costs three forward passes. Every parameter but the experts that a token is
not sent to is active. Activations are the values that boxes write in one pass over the prompt, in bf16, attention
scores excepted, which are never stored.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from .parts import Part
from .parts.position import Learned
from .precision import FORMATS
from .spec import Architecture, Step, Workload
from .trace import Traced, trace_ahead, trace_block, trace_part

ACTIVATION_BYTES = 2


@dataclass(frozen=True)
class Row:
    """One component of one distinct block, all its layers together. Figures are totals at the workload."""

    block: str  # "layers 3-60", "model"
    part: str  # the part's own name, or embedding, head, norms
    component: str  # "routed experts"
    role: str  # the colour that it has in every chart
    count: int
    parameters: int = 0
    active_parameters: int = 0
    weight_bytes: int = 0
    prefill_flops: int = 0
    decode_flops: int = 0
    kv_bytes_per_token: int = 0
    kv_bytes: int = 0
    state_bytes: int = 0
    activation_bytes: int = 0
    derivation: dict[str, str] = field(default_factory=dict, hash=False, compare=False)


@dataclass(frozen=True)
class Cost:
    """Every total is a sum of `rows`. Bytes and FLOPs are for the whole workload unless a name says otherwise."""

    architecture: Architecture = field(repr=False)
    workload: Workload
    rows: tuple[Row, ...] = field(repr=False)
    mtp_parameters: int

    def _sum(self, name: str) -> int:
        return sum(getattr(row, name) for row in self.rows)

    @property
    def parameters(self) -> int:
        return self._sum("parameters")

    @property
    def active_parameters(self) -> int:
        """Parameters that take part in one token: all but the experts it is not sent to."""
        return self._sum("active_parameters")

    @property
    def weight_bytes(self) -> int:
        return self._sum("weight_bytes")

    @property
    def kv_bytes_per_token(self) -> int:
        """What the first token leaves in all layers' caches together, before any window is full."""
        return self._sum("kv_bytes_per_token")

    @property
    def kv_bytes(self) -> int:
        """All caches at the workload's batch and context, windows and chunks at what they keep."""
        return self._sum("kv_bytes")

    @property
    def state_bytes(self) -> int:
        """Constant-size recurrent states at the workload's batch."""
        return self._sum("state_bytes")

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

    def derivation(self, figure: str) -> str:
        """How a total came about: the rows' own sentences, equal ones joined."""
        terms: Counter[str] = Counter()
        for row in self.rows:
            if getattr(row, figure) and figure in row.derivation:
                terms[row.derivation[figure]] += row.count
        parts = [t.format(layers=f"{n} layers" if n > 1 else "1 layer") for t, n in terms.items()]
        return f"{' + '.join(parts)} = {getattr(self, figure):,}" if parts else f"{getattr(self, figure):,}"

    def to_dict(self) -> dict:
        figures = (
            "parameters", "active_parameters", "mtp_parameters", "weight_bytes", "kv_bytes_per_token", "kv_bytes", "state_bytes",
            "prefill_flops", "decode_flops", "training_flops_per_token", "activation_bytes",
        )  # fmt: skip
        rows = [asdict(row) | {"derivation": sentences(row)} for row in self.rows]
        return (
            {"architecture": self.architecture.name, "workload": self.workload.model_dump(mode="json")}
            | {name: getattr(self, name) for name in figures}
            | {"rows": rows}
        )


def sentences(row: Row) -> dict[str, str]:
    """A row's derivations as finished sentences: `61 layers × (512 + 64) values × 2 bytes = 70,272 bytes per token`."""
    layers = f"{row.count} layers" if row.count > 1 else "1 layer"
    unit = {"kv_bytes_per_token": " bytes per token", "kv_bytes": " bytes", "weight_bytes": " bytes"}
    return {k: f"{v.format(layers=layers)} = {getattr(row, k):,}{unit.get(k, '')}" for k, v in row.derivation.items()}


def cost(arch: Architecture, workload: Workload | None = None) -> Cost:
    """Rows of parameters, FLOPs and bytes for an architecture at a workload (default: one sequence of 4,096 tokens)."""
    workload = workload or Workload()
    rows = [*_bottom(arch, workload)]
    counted: set[str] = set()  # tied parts whose weights a row already holds
    for steps, count in arch.distinct().items():
        rows += _block(arch, steps, count, workload, counted)
    rows += _top(arch, workload)
    return Cost(arch, workload, tuple(rows), _mtp_parameters(arch))


def _block(arch: Architecture, steps: tuple[Step, ...], count: int, w: Workload, counted: set[str]) -> list[Row]:
    where = block_words(arch)[steps]
    rows = []
    for name in (name for step in steps for name in step.parts):
        rows += _part(arch, name, where, count, w, new=name not in counted)
        if arch.parts[name].tied:
            counted.add(name)
    wiring = trace_block(arch, steps)
    tensors = wiring.parameters
    size = sum(map(math.prod, tensors.values()))
    norms = Row(
        where, "norms", "norms", "norm", count,
        parameters=count * size,
        active_parameters=count * size,
        weight_bytes=count * sum(_bytes(arch, "norm", shape, w) for shape in tensors.values()),
        activation_bytes=count * _activations(wiring, w),
        derivation={"parameters": "{layers} × (" + _shapes(tensors) + ")"} if size else {},
    )  # fmt: skip
    return [*rows, norms]


def _part(arch: Architecture, name: str, where: str, count: int, w: Workload, new: bool) -> list[Row]:
    """The rows of one part: one for each component that its class names, or one for all of it."""
    part, d = arch.part(name), arch.d_model
    traced = trace_part(part, d)
    prefill, decode = part.flops(d, w.context, 0), part.flops(d, 1, w.context)
    copies = (1 if part.tied else count) if new else 0
    components = part.components or {"": (part.role, part.title.lower())}
    rows = []
    for prefix, (role, words) in components.items():

        def mine(path: str, prefix: str = prefix) -> bool:
            return not prefix or path == prefix or path.startswith((prefix + ".", prefix + "_"))

        tensors = {path: shape for path, shape in traced.parameters.items() if mine(path)}
        stored = tensors | {path: shape for path, shape in traced.buffers.items() if mine(path)}
        if not tensors:
            continue
        size = sum(map(math.prod, tensors.values()))
        idle = part.idle_parameters(d) if prefix in ("", "experts") else 0
        first = not rows
        kept = _kept(part, w) if first else {}
        rows.append(
            Row(
                where, name, words, role, count,
                parameters=copies * size,
                active_parameters=copies * (size - idle),
                weight_bytes=copies * sum(_bytes(arch, f"{name}.{path}", shape, w) for path, shape in stored.items()),
                prefill_flops=count * w.batch * sum(f for path, f in prefill.items() if mine(path)),
                decode_flops=count * w.batch * sum(f for path, f in decode.items() if mine(path)),
                activation_bytes=count * _activations(traced, w, mine),
                derivation=_derivation(part, tensors, size, idle, d, prefill, decode, mine, w) | kept.get("derivation", {}),
                **{key: count * value for key, value in kept.items() if key != "derivation"},
            )
        )  # fmt: skip
    return rows


def _kept(part: Part, w: Workload) -> dict:
    """Bytes that one layer of this part keeps, and the sentences for them."""
    one, all_ = part.cache(1), part.cache(w.context)
    state = {name: math.prod(shape) for name, shape in part.state().items()}
    fmt = FORMATS[w.cache]
    size = f"{fmt.bits / 8:g} bytes"
    out = {
        "kv_bytes_per_token": sum(fmt.bytes(shape) for shape in one.values()),
        "kv_bytes": w.batch * sum(fmt.bytes(shape) for shape in all_.values()),
        "state_bytes": w.batch * sum(fmt.bytes((n,)) for n in state.values()),
    }
    if one:
        values = " + ".join(" × ".join(f"{n:,}" for n in shape[1:]) for shape in one.values())
        length = next(iter(all_.values()))[0]
        out["derivation"] = {
            "kv_bytes_per_token": f"{{layers}} × ({values}) values × {size}",
            "kv_bytes": f"{{layers}} × {w.batch:,} × {length:,} tokens × ({values}) values × {size}",
        }
    return out


def _derivation(part, tensors, size, idle, d, prefill, decode, mine, w) -> dict[str, str]:
    out = {"parameters": "{layers} × (" + _shapes(tensors) + ")"}
    if idle:
        out["active_parameters"] = (
            f"{{layers}} × ({size:,} − {part.count - part.top_k} experts not chosen × {part.expert_parameters(d):,})"
        )
    for name, flops in (("prefill_flops", prefill), ("decode_flops", decode)):
        own = [f"{path} {f:,}" for path, f in flops.items() if mine(path)]
        out[name] = f"{{layers}} × {w.batch:,} × (" + " + ".join(own) + ")"
    return out


def _shapes(tensors: dict[str, tuple[int, ...]]) -> str:
    return " + ".join(
        f"{path.removesuffix('.weight')} {' × '.join(f'{n:,}' for n in shape)}" for path, shape in tensors.items()
    )


def _activations(traced: Traced, w: Workload, mine: Callable[[str], bool] | None = None) -> int:
    values = sum(
        op.activation for op in traced.operations if op.kind != "part" and (mine is None or mine(op.path or op.id))
    )
    return w.batch * w.context * values * ACTIVATION_BYTES


def _bytes(arch: Architecture, path: str, shape: tuple[int, ...], w: Workload) -> int:
    return FORMATS[arch.format(path, shape, w.weights)].bytes(shape)


def _bottom(arch: Architecture, w: Workload) -> list[Row]:
    shapes = {"embedding": (arch.vocab_size, arch.d_model)}
    if isinstance(arch.position, Learned):
        shapes["positions"] = (arch.position.length, arch.d_model)
    rows = []
    for name, shape in shapes.items():
        words = "token embedding" if name == "embedding" else "position embedding"
        size = math.prod(shape)
        rows.append(
            Row(
                "model", name, words, "embedding", 1, size, size, _bytes(arch, name, shape, w),
                activation_bytes=w.batch * w.context * arch.d_model * ACTIVATION_BYTES,
                derivation={"parameters": f"{shape[0]:,} × {shape[1]:,}"},
            )
        )  # fmt: skip
    return rows


def _top(arch: Architecture, w: Workload) -> list[Row]:
    rows = []
    if arch.head.norm:
        shapes = _norm_shapes(arch)
        size = sum(map(math.prod, shapes))
        written = w.batch * w.context * arch.d_model * ACTIVATION_BYTES
        rows.append(
            Row(
                "model",
                "norm",
                "final norm",
                "norm",
                1,
                size,
                size,
                sum(_bytes(arch, "norm", s, w) for s in shapes),
                activation_bytes=written,
            )
        )
    shapes = [] if arch.tied_embeddings else [(arch.vocab_size, arch.d_model)]
    shapes += [(arch.vocab_size,)] if arch.head.bias else []
    size = sum(map(math.prod, shapes))
    flops = 2 * arch.d_model * arch.vocab_size * w.batch
    product = f"2 × {arch.d_model:,} × {arch.vocab_size:,} × {w.batch:,}"
    head = Row(
        "model", "head", "output head", "embedding", 1, size, size, sum(_bytes(arch, "head", s, w) for s in shapes),
        prefill_flops=flops * w.context,
        decode_flops=flops,
        activation_bytes=w.batch * w.context * arch.vocab_size * ACTIVATION_BYTES,
        derivation={"parameters": f"{arch.vocab_size:,} × {arch.d_model:,}", "decode_flops": product, "prefill_flops": f"{product} × {w.context:,}"},
    )  # fmt: skip
    return [*rows, head]


def _norm_shapes(arch: Architecture) -> list[tuple[int, ...]]:
    """The final norm's tensors: those of any norm of the model at its width."""
    norm = arch.norm
    return [(arch.d_model,)] * (int(norm.weight) + int(getattr(norm, "bias", False)))


def _mtp_parameters(arch: Architecture) -> int:
    """Parameters of the multi-token-prediction modules, embedding and head not counted again."""
    if not arch.mtp:
        return 0
    own = sum(map(math.prod, trace_ahead(arch).parameters.values()))
    for name in (name for step in arch.mtp.block for name in step.parts):
        own += sum(map(math.prod, trace_part(arch.part(name), arch.d_model).parameters.values()))
    return arch.mtp.count * own


def cache_bytes(arch: Architecture, workload: Workload, contexts: Sequence[int]) -> tuple[list[int], list[int]]:
    """All caches' bytes at each context: as built, and without windows, latents and shared heads."""
    counts = Counter(name for block in arch.sequence for step in block for name in step.parts)
    parts = [(arch.part(name), count) for name, count in counts.items()]
    fmt = FORMATS[workload.cache]

    def total(kept: Callable[[Part, int], dict], length: int) -> int:
        return workload.batch * sum(
            n * sum(fmt.bytes(shape) for shape in kept(part, length).values()) for part, n in parts
        )

    return tuple(
        [total(kept, n) for n in contexts] for kept in (lambda p, n: p.cache(n), lambda p, n: p.plain_cache(n))
    )


def block_words(arch: Architecture) -> dict[tuple[Step, ...], str]:
    """Which layers each distinct block stands for: "layers 3-60"."""
    places: dict[tuple[Step, ...], list[int]] = {}
    for index, steps in enumerate(arch.sequence):
        places.setdefault(steps, []).append(index)
    return {steps: layers_in_words(indices) for steps, indices in places.items()}


def block_names(arch: Architecture) -> dict[tuple[Step, ...], str]:
    """Each distinct block's node: the path of its first layer."""
    names: dict[tuple[Step, ...], str] = {}
    for index, steps in enumerate(arch.sequence):
        names.setdefault(steps, f"layers.{index}")
    return names


def layers_in_words(indices: list[int]) -> str:
    """[0, 1, 2] -> "layers 0-2"; [1, 3, 5] -> "layers 1, 3, ... 5"."""
    if len(indices) == 1:
        return f"layer {indices[0]}"
    steps = {b - a for a, b in zip(indices, indices[1:])}
    if steps == {1}:
        return f"layers {indices[0]}-{indices[-1]}"
    if len(steps) == 1 and len(indices) > 2:
        return f"layers {indices[0]}, {indices[1]}, ... {indices[-1]}"
    return f"{len(indices)} layers, {indices[0]} to {indices[-1]}"
