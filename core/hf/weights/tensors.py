"""The tensor names of llama-like models in checkpoints, for `load_weights` and `verify`."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from ...parts.attention import Attention
from ...parts.differential import DifferentialAttention
from ...parts.experts import Experts
from ...parts.feedforward import Activated, FeedForward
from ...spec import Architecture
from .checkpoint import Source, stack

NORMS = {
    "none": {},
    "pre": {"mixer_norm": "input_layernorm", "ff_norm": "post_attention_layernorm"},
    "output": {"mixer_post_norm": "post_attention_layernorm", "ff_post_norm": "post_feedforward_layernorm"},
    "sandwich": {
        "mixer_norm": "input_layernorm", "mixer_post_norm": "post_attention_layernorm",
        "ff_norm": "pre_feedforward_layernorm", "ff_post_norm": "post_feedforward_layernorm",
    },
}  # fmt: skip


def one(path: str, *names: str, make: Callable[..., Tensor] = lambda tensor: tensor) -> tuple[str, list[Source]]:
    """A parameter that is one tensor, under the first of these names that the checkpoint has."""
    return path, [Source((name,), make) for name in names]


def llama_sources(arch: Architecture, mixer: Callable | None = None, ff: Callable | None = None) -> Iterator[tuple[str, list[Source]]]:
    """Every tensor of a model with llama's names; `mixer(path, at, part)` and `ff(path, at, part)` give one part's own.

    `path` is the part's module in our model and `at` the layer's prefix in the checkpoint, `model.layers.3`.
    """
    yield one("embedding.weight", "model.embed_tokens.weight")
    if arch.head.norm:
        yield from norm_sources(arch, "norm", "model.norm")
    yield from head_source(arch, "model.embed_tokens.weight")
    parts = {name: arch.part(name) for name in arch.parts}
    for index, block in enumerate(arch.sequence):
        at = f"model.layers.{index}"
        for step in block:
            name = step.parts[0]
            part, path = parts[name], f"layers.{index}.{name}"
            role = "mixer" if part.mixes else "ff"
            placement = (step.residual or arch.residual).norm
            for ours, theirs in NORMS[placement].items():
                if ours.startswith(role):
                    yield from norm_sources(arch, f"{path}{ours.removeprefix(role)}", f"{at}.{theirs}")
            given = mixer if part.mixes else ff
            yield from (given or part_sources)(path, at, part)
            for beside in step.parts[1:]:  # behind the same norm
                given = mixer if parts[beside].mixes else ff
                yield from (given or part_sources)(f"layers.{index}.{beside}", at, parts[beside])


def norm_sources(arch: Architecture, ours: str, theirs: str) -> Iterator[tuple[str, list[Source]]]:
    """What a norm of the model's own kind has: a weight, a bias, both or neither."""
    for kind in ("weight", "bias"):
        if getattr(arch.norm, kind, False):
            yield one(f"{ours}.{kind}", f"{theirs}.{kind}")


def renamed(sources: Iterator[tuple[str, list[Source]]], **names: str) -> Iterator[tuple[str, list[Source]]]:
    """The same sources, with other names for some modules in the checkpoint: `renamed(sources, q_norm="query_layernorm")`."""

    def rename(name: str) -> str:
        return ".".join(names.get(piece, piece) for piece in name.split("."))

    for path, ways in sources:
        yield path, [Source(tuple(map(rename, way.names)), way.make) for way in ways]


def reworded(name: str, names: Mapping[str, str]) -> str:
    """A name with pieces of it replaced, in this order."""
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def also_named(sources: Iterator[tuple[str, list[Source]]], names: Mapping[str, str]) -> Iterator[tuple[str, list[Source]]]:
    """The same sources for checkpoints that may call some tensors otherwise: `names` are pieces of a name and what stands there
    in their place."""
    for path, ways in sources:
        more = []
        for ours, theirs in names.items():
            more += [
                Source(tuple(name.replace(ours, theirs) for name in way.names), way.make)
                for way in ways
                if any(ours in name for name in way.names)
            ]
        yield path, ways + more


def head_source(arch: Architecture, table: str) -> Iterator[tuple[str, list[Source]]]:
    """The output head: a tied one may be in the file or not, and is the embedding table either way."""
    yield one("head.weight", *(("lm_head.weight", table) if arch.tied_embeddings else ("lm_head.weight",)))
    if arch.head.bias:
        yield one("head.bias", "lm_head.bias")


def part_sources(path: str, at: str, part: Any) -> Iterator[tuple[str, list[Source]]]:
    """One part under llama's names."""
    if isinstance(part, Attention):
        yield from attention_sources(path, f"{at}.self_attn", part)
    elif isinstance(part, FeedForward):
        yield from dense_sources(path, f"{at}.mlp", part)
    else:
        yield from experts_sources(path, f"{at}.mlp", part)


def attention_sources(path: str, at: str, part: Attention) -> Iterator[tuple[str, list[Source]]]:
    """q, k, v (each alone, or one above the other in a matrix), o and the norms of queries and keys."""
    out_bias = part.bias if part.out_bias is None else part.out_bias
    widths = [part.heads * part.head_dim, part.kv_heads * part.head_dim, part.kv_heads * part.v_dim]
    for kind in ("weight", "bias") if part.bias else ("weight",):
        for index, name in enumerate("qkv"):
            fused = Source((f"{at}.qkv_proj.{kind}",), lambda all, index=index: all.split(widths)[index])
            yield f"{path}.{name}.{kind}", [Source((f"{at}.{name}_proj.{kind}",)), fused]
    for kind in ("weight", "bias") if out_bias else ("weight",):
        yield one(f"{path}.o.{kind}", f"{at}.o_proj.{kind}")
    rule = part.qk_norm
    for name in ("q_norm", "k_norm") if rule and (rule.norm or part.norm).weight else ():
        many, plain = part.heads if name == "q_norm" else part.kv_heads, Source((f"{at}.{name}.weight",))
        singles = Source(tuple(f"{at}.{name[0]}_layernorm.norms.{h}.weight" for h in range(many)), stack)
        yield f"{path}.{name}.weight", [plain, singles] if rule and rule.own else [plain]
    if part.sub_norm:
        yield one(f"{path}.sub_norm.weight", f"{at}.attn_sub_norm.weight")
    if part.scores.sinks:
        yield one(f"{path}.core.sinks", f"{at}.sinks")
    if part.gate:
        yield one(f"{path}.gate.weight", f"{at}.g_proj.weight", f"{at}.gate_proj.weight")


def differential_sources(path: str, at: str, part: DifferentialAttention) -> Iterator[tuple[str, list[Source]]]:
    """Differential attention: llama's projections, and the four vectors that lambda is made of."""
    plain = Attention(heads=part.heads, kv_heads=part.kv_heads, head_dim=part.head_dim, bias=part.bias)
    yield from attention_sources(path, f"{at}.self_attn", plain)
    for name in ("q1", "k1", "q2", "k2"):
        yield one(f"{path}.core.lambda_{name}", f"{at}.self_attn.lambda_{name}")


def dense_sources(path: str, at: str, part: Activated) -> Iterator[tuple[str, list[Source]]]:
    """gate and up (each alone, or one above the other in a matrix) and down."""
    for kind in ("weight", "bias") if getattr(part, "bias", False) else ("weight",):
        for half, name in enumerate(("gate", "up")) if part.gated else ():
            fused = Source((f"{at}.gate_up_proj.{kind}",), lambda both, half=half: both.chunk(2)[half])
            yield f"{path}.{name}.{kind}", [Source((f"{at}.{name}_proj.{kind}",)), fused]
        for name in ("down",) if part.gated else ("up", "down"):
            yield one(f"{path}.{name}.{kind}", f"{at}.{name}_proj.{kind}")
    for name in ("alpha_p", "alpha_n", "beta", "eps") if part.activation == "xielu" else ():
        yield one(f"{path}.activation.{name}", f"{at}.act_fn.{name}")
    if getattr(part, "sub_norm", False):
        yield one(f"{path}.sub_norm.weight", f"{at}.ffn_sub_norm.weight")


def experts_sources(
    path: str,
    at: str,
    part: Experts,
    router: str = "gate",
    names: Sequence[str] = ("gate_proj", "up_proj", "down_proj"),
    shared: str = "shared_experts",
    bias: str | None = None,
    each: str | None = None,
) -> Iterator[tuple[str, list[Source]]]:
    """Router, routed experts and shared ones. Experts come stacked, (E, out, in) with gate and up as one tensor, or one by one.

    `bias` is the selection bias's name below `at`, or several; `each` the prefix of single experts, where it is not `at`'s.
    """
    each = each or at
    yield one(f"{path}.router.weight", f"{at}.{router}.weight", f"{each}.{router}.weight")
    if part.router.selection_bias:
        named = (bias or f"{router}.e_score_correction_bias").split()
        yield one(f"{path}.router.selection_bias", *(f"{at}.{name}" for name in named), make=Tensor.flatten)
    for ours, theirs in zip(("gate", "up", "down"), names, strict=True):
        if ours != "gate" or part.gated:
            singles = Source(tuple(f"{each}.experts.{e}.{theirs}.weight" for e in range(part.count)), stack)
            yield f"{path}.experts.{ours}", [_stacked(f"{at}.experts", ours, part.gated), singles]
    if part.shared:
        yield from dense_sources(f"{path}.shared", f"{at}.{shared}", part.model_copy(update={"bias": part.shared.bias}))


def _stacked(at: str, name: str, gated: bool) -> Source:
    if name == "down" or not gated:
        return Source((f"{at}.{name}_proj",))
    half = ("gate", "up").index(name)
    return Source((f"{at}.gate_up_proj",), lambda both: both.chunk(2, dim=1)[half])


# Of names of what sees, hears or draws, and of what joins it to the language model.
SEEING = """vision_tower. vision_model. vision. visual. audio_tower. projector. embed_tokens_extend. connector. aligner.
    gen_embed. gen_head. image_newline mlp1. resampler. sam_model. view_seperator vpm. apm. audio_projection_layer. tts.""".split()


def ignored(name: str) -> bool:
    """Tensors that are no part of a language model: tables that are computed, and everything that sees images."""
    return name.endswith("rotary_emb.inv_freq") or any(piece in name for piece in SEEING)


def in_part(arch: Architecture, path: str) -> str:
    """The path of a parameter in `precision`: layers.3.moe.router.weight -> moe.router.weight."""
    if path.endswith(".join.weight"):
        return "mtp.join.weight"
    if path.startswith("beneath.") and arch.fed:
        return f"{arch.fed[0]}.{path.removeprefix('beneath.')}"
    inner = re.sub(r"^(layers\.\d+|\d+(\.block)?)\.", "", path)
    name = inner.split(".")[0]
    if inner == path and name in ("split", "merge"):
        return f"streams.{path.partition('.')[2]}"
    if inner == path or name in arch.parts:
        return inner
    plain = re.sub(r"_\d+$", "", name)
    if name == "merge" or name.endswith(("_read", "_add")):
        return f"streams.{inner}"
    return inner.replace(name, plain, 1) if plain in arch.parts else f"norm.{inner}"


def layer_of(path: str) -> int | None:
    """The layer of a parameter: layers.3.moe.router.weight -> 3. None around the layers."""
    return int(path.split(".")[1]) if path.startswith("layers.") else None


def stored_bytes(arch: Architecture, path: str, shape: tuple[int, ...]) -> int:
    """Bytes of a parameter of the whole model in its stored format."""
    layer = layer_of(path)
    return sum(arch.stored(in_part(arch, path), shape, layers=() if layer is None else (layer,)).values())
