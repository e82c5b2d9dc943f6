"""What the decoders before llama share: LayerNorm, biases, one matrix for query, key and value, and names of many kinds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, rotary
from ..reading.config import Config
from ..reading.keys import Always, Entry, Form, Keys, Rule, Writing
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

Split = Callable[[str, Attention], Callable[[Tensor], Tensor]]


GPT = "n_embd n_positions n_layer"  # what GPT-2 and others call d_model, context and depth
ACTIVATION = Form(keys.PLAIN_ACTIVATION.read, lambda name: "gelu_new" if name == "gelu_tanh" else keys.write_activation(name))
UNSCALED = Form(lambda on: 1.0, lambda scale: False)  # scores that are not divided by the root of a head's channels
LAYER_EPS = {"kind": "layer", "eps": 1e-5, "eps_key": "layer_norm_epsilon"}


def heads(key: str, count: int, **always: Any) -> Keys:
    """Heads that together are as wide as the stream; `key` names their number."""

    name = key.split("/")[0]

    def divide(config: Config, said: dict) -> None:
        part, d_model = said["attention"], said["d_model"]
        if d_model % part["heads"]:
            raise config.refuse(name, f"a stream of {d_model:,} does not divide into so many heads")
        part |= {"kv_heads": part.get("kv_heads", part["heads"]), "head_dim": d_model // part["heads"]}

    return (Always("attention", **{"kind": "attention"} | always), keys.named(key, "attention.heads", count), Rule(divide))


def dense(d_ff: Any, act: str, usual: str, bias: Any = True, width: str = "intermediate_size") -> Keys:
    """Two matrices with an activation between them, which `act` names."""
    return keys.feed_forward(d_ff, act, usual, bias=bias, width=width, form=ACTIVATION)


def learn(config: Config, said: dict) -> None:
    said["position"] = {"kind": "learned", "length": said["context"]}


LEARNED = Rule(learn)


@dataclass(frozen=True)
class Rotary(Entry):
    """GPT-NeoX's rope: transformers looks at rotary_emb_base and rotary_pct alone, whatever the usual keys say beside them."""

    fraction: float

    def read(self, config: Config, said: dict) -> None:
        base, share = config.take("rotary_emb_base", float, 10_000.0), config.take("rotary_pct", float, self.fraction)
        config.expect("rope_theta", base)
        config.expect("partial_rotary_factor", share)
        said["position"] = rotary.rope(config, said["context"], theta=base, fraction=share)

    def write(self, of: Writing) -> dict:
        position = of.arch.position
        return rotary.write_rope(position, of.arch.context) | {"rotary_pct": position.fraction, "rotary_emb_base": position.base}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield "rotary_emb_base", "position.base", "10000"
        yield "rotary_pct", "position.fraction", f"{self.fraction:g}"


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

    def matrix(self, ours: str, theirs: str, bias: bool, make: Callable = lambda t: t) -> Iterator[tuple[str, list[Source]]]:
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
