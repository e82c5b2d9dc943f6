"""Gemma 4: heads of another width where a layer sees everything, per-layer embeddings, caches that the last layers borrow,
a dense network beside the experts. Gemma 4 Unified is the same without per-layer embeddings and experts."""

from collections.abc import Iterator
from typing import Any

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import Activated, FeedForward
from ...parts.per_layer import PerLayerEmbedding
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config, wrapped
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("gemma4_text", "gemma4", "gemma4_unified_text", "gemma4_unified")
LOCAL, GLOBAL = KINDS = ("sliding_attention", "full_attention")
ROPES = {
    LOCAL: {"rope_type": "default", "rope_theta": 1e4},
    GLOBAL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
}
OUTPUT = {"residual": {"norm": "output"}}


def read(config: Config, model_type: str) -> dict:
    if not model_type.endswith("_text"):
        return wrapped(config, read, f"{model_type}_text")
    unified = "unified" in model_type
    value = pieces.sizes(config, vocab_size=262_144, d_model=2_304, context=262_144 if unified else 131_072, tied=True, eps=1e-6)
    config.expect("use_bidirectional_attention", "vision")  # text is causal, images are not
    cap = config.take("final_logit_softcapping", float, None)
    value |= {"embedding": {"scale": "sqrt_d_model"}} | ({} if cap is None else {"head": {"softcap": cap}})
    value["residual"] = {"norm": "sandwich", "layer_scale": True}
    depth = config.depth("num_hidden_layers", 30)
    usual = [LOCAL if (layer + 1) % 6 else GLOBAL for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS)
    types[-1] = GLOBAL  # whatever is said
    near, far = rotary.ropes(config, value["context"], 1e6, 1e4, usual=ROPES)
    part = {"kind": "attention", "heads": config.count("num_attention_heads", 8), "scores": {"scale": 1.0}, "qk_norm": {}}
    part |= {"v_norm": True} | unless(False, bias=config.take("attention_bias", bool, False))
    mixers = {
        LOCAL: part | pieces.sight(config.count("sliding_window", 1_024 if unified else 512)) | {"position": near},
        GLOBAL: part | unless(False, shared_kv=config.take("attention_k_eq_v", bool, False)),
    }
    for kind, widths in _heads(config, types).items():
        mixers[kind] |= widths
    mixers, order, borrows = borrowed(config, types, mixers, 0)

    activation = pieces.activation(config, "hidden_activation", "gelu_pytorch_tanh")
    dense = {"kind": "feed_forward", "d_ff": config.count("intermediate_size", 9_216), "activation": activation}
    double = config.take("use_double_wide_mlp", bool, False)
    networks = {"dense": dense, "wide": dense | {"d_ff": 2 * dense["d_ff"]}}
    routed = config.take("enable_moe_block", bool, False)
    if unified and routed:
        raise config.refuse("enable_moe_block", "this type has no experts")
    if routed:
        networks = {name: _experts(config, part) for name, part in networks.items()}
    config.ignore("num_experts", "top_k_experts", "moe_intermediate_size")
    names = {name: "moe" + "_wide" * (name == "wide") if routed else name for name in networks}
    networks = {names[name]: part for name, part in networks.items()}

    width = config.count("hidden_size_per_layer_input", 0 if unified else 256, null=0, least=0)
    rows = config.count("vocab_size_per_layer_input", 262_144)
    if unified and width:
        raise config.refuse("hidden_size_per_layer_input", "this type has no per-layer embeddings")
    own = {"kind": "per_layer_embedding", "width": width, "rows": rows} | unless("geglu_tanh", activation=activation)
    blocks = []
    for mixer, reads in zip(order, borrows, strict=True):
        name = names["wide" if double and reads else "dense"]
        network = {"parts": [name]} | OUTPUT if routed else name
        blocks.append([mixer, network, *([{"parts": ["layer_embedding"]} | OUTPUT] if width else [])])
    parts = mixers | networks | {"layer_embedding": own}
    return pieces.assemble(config, value, far, parts, blocks)


def _heads(config: Config, types: list[str]) -> dict[str, dict]:
    """head_dim and kv_heads of each kind of layer: per_layer_config says it layer by layer, older keys kind by kind."""
    usual = {"head_dim": config.count("head_dim", 256), "kv_heads": config.count("num_key_value_heads", 4)}
    wide = {"head_dim": config.count("global_head_dim", 512)}
    kv_heads = config.count("num_global_key_value_heads", None)
    if kv_heads and config.take("attention_k_eq_v", bool, False):
        wide["kv_heads"] = kv_heads
    if "per_layer_config" not in config.raw:
        return {LOCAL: usual, GLOBAL: usual | wide}
    found: dict[str, dict] = {}
    own = config.nested("per_layer_config")
    given = {int(key): own.nested(key) for key in own.raw if key.isdecimal()}
    if len(given) != len(own.raw) or any(layer >= len(types) for layer in given):
        raise config.refuse("per_layer_config", f"its keys are the numbers of {len(types)} layers")
    for layer, kind in enumerate(types):
        one = given.get(layer, Config({}))
        widths = {"head_dim": one.count("head_dim", usual["head_dim"]), "kv_heads": one.count("num_key_value_heads", usual["kv_heads"])}
        one.finish()
        if found.setdefault(kind, widths) != widths:
            raise config.refuse("per_layer_config", f"layers of {kind} differ from one another")
    return found


def borrowed(config: Config, types: list[str], mixers: dict[str, dict], default: int) -> tuple[dict[str, dict], list[str], list[bool]]:
    """The kinds of attention, which one each layer has, and whether it borrows: the last num_kv_shared_layers read what
    the last layer of their type before them keeps."""
    depth = len(types)
    first = depth - config.count("num_kv_shared_layers", default, least=0)
    if first < depth and (first < 1 or set(types[:first]) != set(types)):
        raise config.refuse("num_kv_shared_layers", "every type of layer must stand before the layers that borrow")
    names = {LOCAL: "local", GLOBAL: "global"} if len(set(types)) > 1 else dict.fromkeys(types, "attention")
    parts, order, borrows = {}, [], []
    for layer, kind in enumerate(types):
        reads = layer >= first
        name = names[kind] + "_shared" * reads
        without = {key: value for key, value in mixers[kind].items() if key not in ("shared_kv", "v_norm")}
        parts[name] = without | {"cache_from": names[kind]} if reads else mixers[kind]
        order.append(name)
        borrows.append(reads)
    return parts, order, borrows


def _experts(config: Config, dense: dict) -> dict:
    """Experts and, beside them, the network that every token passes."""
    return {
        "kind": "experts",
        "count": config.count("num_experts"),
        "top_k": config.count("top_k_experts"),
        "d_ff": config.count("moe_intermediate_size"),
        "activation": dense["activation"],
        "router": {"score": "softmax", "normalise": True, "norm": True, "expert_scale": True},
        "shared": {"d_ff": dense["d_ff"]},
        "branch_norms": True,
    }


def write(arch: Architecture) -> dict:
    mixers = {"attention*": Attention, "local*": Attention, "global*": Attention}
    kinds = {"dense": FeedForward | None, "wide": FeedForward | None, "moe": Experts | None, "moe_wide": Experts | None}
    feeds = (Attention, Activated) + (PerLayerEmbedding,) * ("layer_embedding" in arch.parts)
    pieces.made_of(arch, mixers | kinds | {"layer_embedding": PerLayerEmbedding | None}, layer=feeds)
    used = [arch.parts[step.parts[0]] for block in arch.sequence for step in block]
    own = next((part for part in used if part.kind == "per_layer_embedding"), None)
    moe = next((part for part in used if part.kind == "experts"), None)
    if moe and not all(part.shared for part in used if part.kind == "experts"):
        raise Unsupported("parts.moe.shared: this family has a dense network beside the experts; give it")
    widths = [part.shared.d_ff if part.kind == "experts" else part.d_ff for part in used if hasattr(part, "d_ff")]
    activation = next(part.activation for part in used if hasattr(part, "d_ff"))
    near, far = lenders(arch)
    written = {
        "architectures": ["Gemma4ForCausalLM"],
        "model_type": "gemma4_text",
        **pieces.write_sizes(arch),
        **write_attention(arch, near, far),
        "global_head_dim": far.head_dim,
        "num_global_key_value_heads": far.kv_heads if far.shared_kv else None,
        "attention_k_eq_v": far.shared_kv,
        "intermediate_size": widths[0],
        "use_double_wide_mlp": widths[0] != widths[-1],
        "hidden_activation": pieces.write_activation(activation),
        "final_logit_softcapping": arch.head.softcap,
        "hidden_size_per_layer_input": own.width if own else 0,
        "enable_moe_block": moe is not None,
    }
    if own:
        written["vocab_size_per_layer_input"] = own.rows
    if moe:
        written |= {"num_experts": moe.count, "top_k_experts": moe.top_k, "moe_intermediate_size": moe.d_ff}
    if not far.shared_kv and far.kv_heads != near.kv_heads:  # older keys say this only where the value is the key
        widths = {"head_dim": far.head_dim, "num_key_value_heads": far.kv_heads}
        seeing = (layer for layer, part in enumerate(pieces.mixers(arch)) if not part.sight.window)
        written["per_layer_config"] = {str(layer): dict(widths) for layer in seeing}
    return written | pieces.write_precision(arch)


def lenders(arch: Architecture) -> tuple[Attention, Attention]:
    """The attention of layers in a window and of those that see everything; the same where there is one kind."""
    mixers = [part for part in pieces.mixers(arch) if not part.cache_from]
    return next((part for part in mixers if part.sight.window), mixers[0]), next(
        (part for part in mixers if not part.sight.window), mixers[0]
    )


def write_attention(arch: Architecture, near: Attention, far: Attention) -> dict:
    """What Gemma 3n says in the same keys."""
    ropes = rotary.write_ropes(near.position or arch.position, far.position or arch.position, arch.context)
    return pieces.write_heads(near) | ropes | {
        "attention_bias": near.bias,
        "sliding_window": near.sight.window or 512,
        "layer_types": pieces.write_layer_types(arch),
        "num_kv_shared_layers": sum(part.cache_from is not None for part in pieces.mixers(arch)),
    }  # fmt: skip


NORMS = {"attention": ("input", "post_attention"), "feed_forward": ("pre_feedforward", "post_feedforward")}


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embed_tokens.weight")
    yield one("norm.weight", "model.norm.weight")
    yield from tensors.head_source(arch, "model.embed_tokens.weight")
    yield from beneath_sources(arch)
    for index, block in enumerate(arch.sequence):
        at = f"model.layers.{index}"
        if arch.residual.layer_scale:
            yield one(f"layers.{index}.layer_scale.weight", f"{at}.layer_scalar")
        for name in (step.parts[0] for step in block):
            part, path = arch.part(name), f"layers.{index}.{name}"
            match part.kind:
                case "attention":
                    yield from attention_sources(path, f"{at}.self_attn", part)
                case "experts":
                    yield from _experts_sources(path, at, part)
                    yield one(f"{path}_post_norm.weight", f"{at}.post_feedforward_layernorm.weight")
                case "feed_forward":
                    yield from tensors.dense_sources(path, f"{at}.mlp", part)
                case "per_layer_embedding":
                    yield from per_layer_sources(path, at)
            if part.kind in NORMS:
                for ours, theirs in zip(("norm", "post_norm"), NORMS[part.kind], strict=True):
                    yield one(f"{path}_{ours}.weight", f"{at}.{theirs}_layernorm.weight")


def attention_sources(path: str, at: str, part: Attention) -> Iterator[tuple[str, list[Source]]]:
    """A layer that borrows its cache has keys and values in published checkpoints all the same, and nothing reads them."""
    idle = [f"{at}.{name}.weight" for name in ("k_proj", "v_proj", "k_norm", "v_norm")] if part.cache_from else []
    unread = {"k", "v", "k_norm"} if part.cache_from else {"v"} if part.shared_kv else set()
    for ours, ways in tensors.attention_sources(path, at, part):
        if ours.removeprefix(f"{path}.").rpartition(".")[0] in unread:
            continue
        if ours == f"{path}.q.weight":
            also = [Source((*ways[0].names, *idle[:n]), lambda q, *_: q) for n in (4, 3, 2) if idle]
            ways = [*also, *ways]
        yield ours, ways


def _experts_sources(path: str, at: str, part: Any) -> Iterator[tuple[str, list[Source]]]:
    yield from tensors.experts_sources(path, at, part.model_copy(update={"shared": None}), router="router.proj")
    yield from tensors.dense_sources(f"{path}.shared", f"{at}.mlp", part.model_copy(update={"bias": False}))
    names = {
        "router.scale": "router.scale", "router.expert_scale": "router.per_expert_scale",
        "shared_norm.weight": "pre_feedforward_layernorm.weight", "shared_post_norm.weight": "post_feedforward_layernorm_1.weight",
        "experts_norm.weight": "pre_feedforward_layernorm_2.weight", "experts_post_norm.weight": "post_feedforward_layernorm_2.weight",
    }  # fmt: skip
    for ours, theirs in names.items():
        yield one(f"{path}.{ours}", f"{at}.{theirs}")


def per_layer_sources(path: str, at: str) -> Iterator[tuple[str, list[Source]]]:
    yield one(f"{path}.gate.weight", f"{at}.per_layer_input_gate.weight")
    yield one(f"{path}.project.weight", f"{at}.per_layer_projection.weight")
    yield one(f"{path}_post_norm.weight", f"{at}.post_per_layer_input_norm.weight")


def beneath_sources(arch: Architecture) -> Iterator[tuple[str, list[Source]]]:
    if arch.fed:
        yield one("beneath.table.weight", "model.embed_tokens_per_layer.weight")
        yield one("beneath.context.weight", "model.per_layer_model_projection.weight")
        yield one("beneath.context_norm.weight", "model.per_layer_projection_norm.weight")


def ignored(name: str) -> bool:
    """Also what hears."""
    hearing = ("audio_tower.", "embed_audio.", "embed_vision.", "vision_embedder.")
    return tensors.ignored(name) or any(piece in name for piece in hearing)
