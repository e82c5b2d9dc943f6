"""Llama 4: chunks with rope and every few layers all of the text without, one expert a token beside a shared one.

Of the multimodal model's config.json, the text model is read.
"""

from collections.abc import Iterator

from ...blocks import folded
from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.temperature import StepTemperature
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("llama4_text", "llama4")


def read(config: Config, model_type: str) -> dict:
    if model_type == "llama4_text":
        return _read_text(config, config)
    config.ignore("vision_config")
    config.expect("tie_word_embeddings", False)  # the text model's own word holds
    text = config.nested("text_config")
    text.expect("model_type", "llama4_text")
    value = _read_text(text, config)
    text.finish(value)
    return value


def _read_text(config: Config, outer: Config) -> dict:
    value = pieces.sizes(config, vocab_size=202_048, d_model=5_120, context=131_072, tied=False, eps=1e-5)
    value["position"] = rotary.rope(config, value["context"], theta=500_000.0) | {"interleaved": True}
    config.ignore("for_llm_compressor")
    depth = config.depth("num_hidden_layers", 48)
    turned, chunked, sparse = _patterns(config, depth)
    d_ff, activation = config.count("intermediate_size", 8_192), unless("swiglu", activation=pieces.activation(config))
    parts = {}
    for rope, chunk in zip(turned, chunked, strict=True):
        parts.setdefault(_name(rope, chunk), _attention(config, value, rope, chunk))
    parts["dense"] = {"kind": "feed_forward", "d_ff": config.count("intermediate_size_mlp", 16_384)} | activation
    parts["moe"] = {
        "kind": "experts",
        "count": config.count("num_local_experts", 16),
        "top_k": config.count("num_experts_per_tok", 1),
        "d_ff": d_ff,
        "router": {"score": "sigmoid"},
        "shared": {"d_ff": d_ff},
        "weigh": "before",
    } | activation  # fmt: skip
    blocks = [[_name(rope, chunk), "moe" if moe else "dense"] for rope, chunk, moe in zip(turned, chunked, sparse, strict=True)]
    parts = {name: part for name, part in parts.items() if any(name in block for block in blocks)}
    own = not any(outer.has(key) for key in ("dtype", "torch_dtype", "quantization_config"))
    return value | {"parts": parts, "layers": folded(blocks)} | pieces.precision(config if own else outer, parts)


def _patterns(config: Config, depth: int) -> tuple[list[bool], list[bool], list[bool]]:
    """For every layer: whether it turns queries and keys, sees only its chunk, has experts."""
    interval, step = config.count("no_rope_layer_interval", 4), config.count("interleave_moe_layer_step", 1)
    rope = config.listing("no_rope_layers", int) or [int((layer + 1) % interval != 0) for layer in range(depth)]
    if len(rope) < depth:
        raise config.refuse("no_rope_layers", f"it has {len(rope)} entries for {depth} layers")
    turned = [bool(flag) for flag in rope[:depth]]  # 1 is a layer with rope, in spite of the name
    words = pieces.layer_types(
        config, depth, ["chunked_attention" if flag else "full_attention" for flag in turned], "chunked_attention", "full_attention"
    )
    moe = config.listing("moe_layers", int)
    sparse = set(range(step - 1, depth, step) if moe is None else moe)
    return turned, [word == "chunked_attention" for word in words], [layer in sparse for layer in range(depth)]


def _name(rope: bool, chunk: bool) -> str:
    """`local` turns and `global` does not, unless the name says so."""
    return ("local" if chunk else "global") + ("" if rope == chunk else "_rope" if rope else "_nope")


def _attention(config: Config, value: dict, rope: bool, chunk: bool) -> dict:
    part = {"kind": "attention"} | pieces.heads(config, value["d_model"], heads=40, kv_heads=8, head_dim=128)
    part |= unless(False, bias=config.take("attention_bias", bool, False))
    size = config.count("attention_chunk_size", 8_192, null=None)
    normed = config.take("use_qk_norm", bool, True)
    grows = config.take("attn_temperature_tuning", (bool, int), True)  # 4 in early files
    scale, length = config.take("attn_scale", float, 0.1), config.count("floor_scale", 8_192)
    if chunk and size is None:
        raise config.refuse("attention_chunk_size", "layers see only their chunk")
    part |= {"sight": {"chunk": size}} if chunk else {}
    if rope:
        return part | ({"qk_norm": {"after_position": True, "norm": value["norm"] | {"weight": False}}} if normed else {})
    steps = {"kind": "steps"} | unless(0.1, scale=scale) | unless(8_192, length=length)
    return part | ({"scores": {"temperature": steps}} if grows and scale else {}) | {"position": {"kind": "none"}}


def write(arch: Architecture) -> dict:
    dense, moe = pieces.made_of(arch, {"local*": Attention, "global*": Attention} | pieces.FEEDS)
    mixers = pieces.mixers(arch)
    feeds = [block[1].parts[0] for block in arch.sequence]
    turned = [mixer.position is None for mixer in mixers]
    temperature = next((m.scores.temperature for m in mixers if m.scores.temperature), None)
    if not isinstance(temperature, StepTemperature | None):
        raise Unsupported(f"temperature: this family's scores grow in steps, not by {temperature.kind}; give kind steps")
    written = {
        "attention_bias": mixers[0].bias,
        "attention_chunk_size": next((m.sight.chunk for m in mixers if m.sight.chunk), None),
        "layer_types": ["chunked_attention" if m.sight.chunk else "full_attention" for m in mixers],
        "no_rope_layers": [int(flag) for flag in turned],
        "use_qk_norm": any(m.qk_norm for m in mixers),
        "attn_temperature_tuning": temperature is not None,
        "moe_layers": [layer for layer, feed in enumerate(feeds) if feed == "moe"],
    }
    if temperature:
        written |= {"attn_scale": temperature.scale, "floor_scale": temperature.length}
    if dense:
        written |= {"hidden_act": pieces.write_activation(dense.activation), "intermediate_size_mlp": dense.d_ff}
    if moe:
        written |= {
            "hidden_act": pieces.write_activation(moe.activation),
            "num_local_experts": moe.count,
            "num_experts_per_tok": moe.top_k,
            "intermediate_size": moe.d_ff,
        }
    return (
        {"architectures": ["Llama4ForCausalLM"], "model_type": "llama4_text"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(mixers[0])
        | written
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )


def sources(arch: Architecture) -> Sources:
    """The text model's names; the multimodal model has them below `language_model`."""
    for path, ways in tensors.llama_sources(arch, ff=_feed):
        yield path, ways + [Source(tuple(f"language_model.{name}" for name in way.names), way.make) for way in ways]


def ignored(name: str) -> bool:
    return name.startswith(("vision_model.", "multi_modal_projector.")) or name.endswith("rotary_emb.inv_freq")


def _feed(path: str, at: str, part) -> Iterator[tuple[str, list[Source]]]:
    """Experts lie (in, out), with the gate's columns before up's."""
    at = f"{at}.feed_forward"
    if isinstance(part, FeedForward):
        yield from tensors.dense_sources(path, at, part)
        return
    yield one(f"{path}.router.weight", f"{at}.router.weight")
    for half, ours in enumerate(("gate", "up")):
        yield one(f"{path}.experts.{ours}", f"{at}.experts.gate_up_proj", make=lambda both, half=half: both.chunk(2, dim=-1)[half].mT)
    yield one(f"{path}.experts.down", f"{at}.experts.down_proj", make=lambda down: down.mT)
    yield from tensors.dense_sources(f"{path}.shared", f"{at}.shared_expert", part)
