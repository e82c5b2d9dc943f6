"""What the decoders before llama share: LayerNorm, biases, one matrix for query, key and value, and names of many kinds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config, layers
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

Split = Callable[[str, Attention], Callable[[Tensor], Tensor]]


def attention(config: Config, d_model: int, key: str, default: int, kv_heads: int | None = None) -> dict:
    """Heads that together are as wide as the stream; `key` names their number."""
    heads = config.count(key, default)
    if d_model % heads:
        raise config.refuse(key, f"a stream of {d_model:,} does not divide into so many heads")
    return {"kind": "attention", "heads": heads, "kv_heads": kv_heads or heads, "head_dim": d_model // heads}


def dense(config: Config, d_ff: int, key: str, default: str, bias: bool = True) -> dict:
    """Two matrices with an activation between them, which `key` names."""
    activation = pieces.activation(config, key, default, gated=False)
    return {"kind": "feed_forward", "d_ff": d_ff, "activation": activation} | pieces.unless(False, bias=bias)


def model(
    config: Config, parts: Mapping[str, dict], block: list, depth: int, eps: tuple[str, float], precision: str = "bf16", **value
) -> dict:  # fmt: skip
    """The spec's mapping of a model whose layers are all alike; `eps` is the key and default of its LayerNorm's."""
    norm = {"kind": "layer", "eps": config.take(eps[0], float, eps[1])}
    mapping = {"norm": norm, "parts": parts, "layers": layers([block] * depth)} | value
    return mapping | pieces.precision(config, parts, default=precision)


def written_activation(name: str) -> str:
    """gelu_new is what these models call GELU's tanh approximation."""
    return "gelu_new" if name == "gelu_tanh" else name


# ---- tensors ----


def side_by_side(name: str, part: Attention) -> Callable[[Tensor], Tensor]:
    """Query, key or value out of all queries, then all keys, then all values."""
    widths = [part.heads * part.head_dim, part.kv_heads * part.head_dim, part.kv_heads * part.v_dim]
    return lambda fused: fused.split(widths)["qkv".index(name)]


def by_group(name: str, part: Attention) -> Callable[[Tensor], Tensor]:
    """Query, key or value out of groups that each hold their queries, then one key, then one value."""
    queries = part.heads // part.kv_heads
    rows = {"q": slice(0, queries), "k": slice(queries, queries + 1), "v": slice(queries + 1, queries + 2)}[name]
    return lambda fused: fused.unflatten(0, (part.kv_heads, queries + 2, part.head_dim))[:, rows].flatten(0, 2)


@dataclass(frozen=True)
class Names:
    """What a checkpoint calls its tensors; a layer's names are below `layer`, with {} for its index."""

    embedding: str
    layer: str
    norm: str
    qkv: str | tuple[str, str, str]
    o: str
    up: str
    down: str
    mixer_norm: str = "input_layernorm"
    ff_norm: str = "post_attention_layernorm"
    split: Split = side_by_side
    head: str = "lm_head"
    positions: str = ""
    projections: tuple[str, str] = ("", "")  # between a narrower embedding and the stream, in and out
    embedding_norm: str = ""
    qk_norm: tuple[str, str] = ("", "")
    turned: bool = False  # matrices are (in, out)

    def matrix(
        self, ours: str, theirs: str, bias: bool, make: Callable = lambda t: t
    ) -> Iterator[tuple[str, list[Source]]]:
        """A linear map's weight and, where it has one, its bias."""
        yield one(f"{ours}.weight", f"{theirs}.weight", make=lambda w: make(w.t() if self.turned else w))
        if bias:
            yield one(f"{ours}.bias", f"{theirs}.bias", make=make)


def both(ours: str, theirs: str, bias: bool = True) -> Iterator[tuple[str, list[Source]]]:
    """A norm's weight and, where it has one, its bias."""
    for kind in ("weight", "bias") if bias else ("weight",):
        yield one(f"{ours}.{kind}", f"{theirs}.{kind}")


def sources(arch: Architecture, names: Names, parts: tuple[str, str] = ("attention", "dense")) -> Sources:
    """Every tensor of a model whose attention and feed-forward network are the parts of these names."""
    yield one("embedding.weight", f"{names.embedding}.weight")
    if names.positions:
        yield one("positions.weight", f"{names.positions}.weight")
    if arch.embedding.width:
        for ours, theirs in zip(("embedding.up", "head.down"), names.projections, strict=True):
            yield one(f"{ours}.weight", f"{theirs}.weight")
    if arch.embedding.norm:
        yield from both("embedding_norm", names.embedding_norm)
    if arch.head.norm and arch.norm.weight:
        yield from both("norm", names.norm, arch.norm.bias)
    tied = [names.embedding] if arch.tied_embeddings else []
    yield one("head.weight", *(f"{name}.weight" for name in (names.head, "lm_head", *tied)))
    if arch.head.bias:
        yield one("head.bias", f"{names.head}.bias")
    suffix = "_post_norm" if arch.residual.norm == "post" else "_norm"
    for index, block in enumerate(arch.sequence):
        at = names.layer.format(index)
        for step in block:
            for place, name in enumerate(step.parts):
                part, ours = arch.part(name), f"layers.{index}.{name}"
                if arch.norm.weight and (place == 0 or step.own_norms):
                    theirs = names.mixer_norm if part.mixes else names.ff_norm
                    yield from both(f"{ours}{suffix}", f"{at}.{theirs}", arch.norm.bias)
                yield from (_attention(ours, at, part, names) if part.mixes else _dense(ours, at, part, names))


def _attention(ours: str, at: str, part: Attention, names: Names) -> Sources:
    for third, name in enumerate("qkv"):
        fused = isinstance(names.qkv, str)
        theirs = names.qkv if fused else names.qkv[third]
        make = names.split(name, part) if fused else (lambda tensor: tensor)
        yield from names.matrix(f"{ours}.{name}", f"{at}.{theirs}", part.bias, make)
    yield from names.matrix(f"{ours}.o", f"{at}.{names.o}", part.bias if part.out_bias is None else part.out_bias)
    for name, theirs in zip("qk", names.qk_norm) if part.qk_norm else ():
        yield from both(f"{ours}.{name}_norm", f"{at}.{theirs}")


def _dense(ours: str, at: str, part: FeedForward, names: Names) -> Sources:
    yield from names.matrix(f"{ours}.up", f"{at}.{names.up}", part.bias)
    yield from names.matrix(f"{ours}.down", f"{at}.{names.down}", part.bias)
