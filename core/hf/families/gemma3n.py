"""Gemma 3n: several streams of which one is computed (AltUp), a learned residual (Laurel), per-layer embeddings, sparse
activations in the first layers, caches that the last layers borrow."""

from ...parts.altup import AltUp
from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.laurel import Laurel
from ...parts.per_layer import PerLayerEmbedding
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config, wrapped
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one
from .gemma3 import without_null_ropes
from .gemma4 import GLOBAL, KINDS, LOCAL, attention_sources, beneath_sources, borrowed, lenders, per_layer_sources, write_attention
from .gemma4 import ignored as ignored

TYPES = ("gemma3n_text", "gemma3n")


def read(config: Config, model_type: str) -> dict:
    if model_type == "gemma3n":
        return wrapped(config, read, "gemma3n_text")
    value = pieces.sizes(config, vocab_size=262_400, d_model=2_048, context=32_768, tied=True, eps=1e-6)
    value |= {"embedding": {"scale": "sqrt_d_model"}, "head": {"softcap": config.take("final_logit_softcapping", float, 30.0)}}
    altup = {
        "kind": "altup",
        "streams": config.count("altup_num_inputs", 4, least=2, most=16),
        "active": config.count("altup_active_idx", 0, least=0),
        "norm_eps": value["norm"]["eps"],
    }
    config.ignore("altup_coef_clip", "altup_lr_multiplier")  # for training
    config.ignore("query_pre_attn_scalar")  # Gemma 3's, where scores here have no scale
    value["residual"] = altup | {"norm": "output"} | unless(True, scaled=config.take("altup_correct_scale", bool, True))
    enter = {"residual": altup | {"at": "enter", "norm": "sandwich", "total": 2**-0.5}}
    leave = {"residual": altup | {"at": "leave", "norm": "sandwich"}}

    depth = config.depth("num_hidden_layers", 35)
    usual = [LOCAL if (layer + 1) % 5 else GLOBAL for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS)
    without_null_ropes(config)
    near, far = rotary.ropes(config, value["context"], 1e6, config.take("rope_local_base_freq", float, 1e4))
    part = {"kind": "attention"} | pieces.heads(config, value["d_model"], heads=8, kv_heads=2, head_dim=256)
    part |= {"scores": {"scale": 1.0}, "qk_norm": {}, "v_norm": True} | unless(False, bias=config.take("attention_bias", bool, False))
    position = far if GLOBAL in types else near
    window = config.count("sliding_window", 512)
    mixers = {LOCAL: part | pieces.sight(window) | unless(position, position=near), GLOBAL: part}
    mixers, order, _ = borrowed(config, types, mixers, 15)

    networks, kinds = _networks(config, depth)
    own = {"kind": "per_layer_embedding", "width": config.count("hidden_size_per_layer_input", 256)}
    own |= {"rows": config.count("vocab_size_per_layer_input", 262_144)} | unless("geglu_tanh", activation=networks["dense"]["activation"])
    parts = mixers | networks | {"layer_embedding": own, "laurel": {"kind": "laurel", "rank": config.count("laurel_rank", 64)}}
    blocks = [
        [{"parts": [mixer, "laurel"], "unnormed": ["laurel"]} | enter, {"parts": [network]} | leave, "layer_embedding"]
        for mixer, network in zip(order, kinds, strict=True)
    ]
    return pieces.assemble(config, value, position, parts, blocks)


def _networks(config: Config, depth: int) -> tuple[dict[str, dict], list[str]]:
    """The feed-forward networks, and which of them each layer has: widths and sparsities may differ."""
    listed = isinstance(config.raw.get("intermediate_size"), list | tuple)
    widths = config.listing("intermediate_size", int) if listed else [config.count("intermediate_size", 16_384)] * depth
    usual = [0.95 if depth > 10 and layer < 10 else 0.0 for layer in range(depth)]
    sparsity = config.listing("activation_sparsity_pattern", (int, float), usual)
    for key, found in (("intermediate_size", widths), ("activation_sparsity_pattern", sparsity)):
        if len(found) != depth:
            raise config.refuse(key, f"it has {len(found)} entries for {depth} layers")
    activation = pieces.activation(config, "hidden_activation", "gelu_pytorch_tanh")
    kinds = [(width, max(float(share), 0.0)) for width, share in zip(widths, sparsity, strict=True)]
    names: dict[tuple[int, float], str] = {}
    for kind in sorted(set(kinds), key=lambda kind: (kind[1], -kinds.count(kind))):
        base = "sparse" if kind[1] and names else "dense"
        taken = sum(name.startswith(base) for name in names.values())
        names[kind] = base + (f"_b{taken}" if taken else "")
    parts = {
        name: {"kind": "feed_forward", "d_ff": width, "activation": activation} | unless(0.0, sparsity=share)
        for (width, share), name in names.items()
    }
    return parts, [names[kind] for kind in kinds]


def write(arch: Architecture) -> dict:
    kinds = {"laurel": Laurel, "layer_embedding": PerLayerEmbedding, "dense*": FeedForward, "sparse*": FeedForward}
    mixers = {"attention*": Attention, "local*": Attention, "global*": Attention}
    laurel, own = pieces.made_of(arch, kinds | mixers, layer=((Attention, Laurel), FeedForward, PerLayerEmbedding))
    near, far = lenders(arch)
    networks = [arch.parts[block[1].parts[0]] for block in arch.sequence]
    altup = arch.residual
    if not isinstance(altup, AltUp):
        raise Unsupported("residual: this family needs altup; give kind altup")
    return {
        "architectures": ["Gemma3nForCausalLM"],
        "model_type": "gemma3n_text",
        **pieces.write_sizes(arch),
        **write_attention(arch, near, far),
        "intermediate_size": [network.d_ff for network in networks],
        "activation_sparsity_pattern": [network.sparsity for network in networks],
        "hidden_activation": pieces.write_activation(networks[0].activation),
        "final_logit_softcapping": arch.head.softcap,
        "hidden_size_per_layer_input": own.width,
        "vocab_size_per_layer_input": own.rows,
        "altup_num_inputs": altup.streams,
        "altup_active_idx": altup.active,
        "altup_correct_scale": altup.scaled,
        "laurel_rank": laurel.rank,
    } | pieces.write_precision(arch)


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embed_tokens.weight")
    yield one("norm.weight", "model.norm.weight")
    yield from tensors.head_source(arch, "model.embed_tokens.weight")
    yield from beneath_sources(arch)
    for stream in range(arch.residual.streams - 1):
        yield one(f"split.projections.{stream}.weight", f"model.altup_projections.{stream}.weight")
        yield one(f"merge.projections.{stream}.weight", f"model.altup_unembed_projections.{stream}.weight")
    for index, block in enumerate(arch.sequence):
        at, ours = f"model.layers.{index}", f"layers.{index}"
        mixer, network, own = (f"{ours}.{step.parts[0]}" for step in block)
        yield from attention_sources(mixer, f"{at}.self_attn", arch.part(block[0].parts[0]))
        yield from tensors.dense_sources(network, f"{at}.mlp", arch.part(block[1].parts[0]))
        yield from per_layer_sources(own, at)
        names = {
            f"{mixer}_norm": "input_layernorm", f"{mixer}_post_norm": "post_attention_layernorm",
            f"{network}_norm": "pre_feedforward_layernorm", f"{network}_post_norm": "post_feedforward_layernorm",
            f"{mixer}_read.coefficients": "altup.prediction_coefs", f"{network}_add.coefficients": "altup.correction_coefs",
            f"{ours}.laurel.left": "laurel.linear_left", f"{ours}.laurel.right": "laurel.linear_right",
            f"{ours}.laurel.map_norm": "laurel.post_laurel_norm",
        }  # fmt: skip
        for path, name in names.items():
            yield one(f"{path}.weight", f"{at}.{name}.weight")
        yield one(f"{mixer}_read.router.norm", f"{at}.altup.router_norm.weight")
        yield one(f"{mixer}_read.router.weight", f"{at}.altup.modality_router.weight")
        yield one(f"{own}_read.scale", f"{at}.altup.correct_output_scale")
