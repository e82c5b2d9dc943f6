"""What families share: sizes, rope, stored precision, activations, the llama-like pieces and their tensors' names.

Readers take a `Config` and give pieces of the spec's mapping; writers give pieces of a config.json back. A family's
module strings them together and says only where it differs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from ..parts.attention import Attention, StepTemperature
from ..parts.differential import DifferentialAttention
from ..parts.experts import Experts
from ..parts.feedforward import GATED, FeedForward
from ..parts.position import Dynamic, Proportional, Rope, Yarn
from ..spec import Architecture, Unsupported
from .config import Config, layers
from .weights import Source, stack

# What a config.json calls an activation -> the spec's name for it, not gated.
ACTIVATIONS = {
    "relu": "relu", "relu2": "relu2", "gelu": "gelu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu_python_tanh": "gelu_tanh", "silu": "silu", "swish": "silu",
    "xielu": "xielu", "quick_gelu": "quick_gelu",
}  # fmt: skip
_GATED = {plain: gated for gated, plain in GATED.items()}
_WRITTEN = {"gelu_tanh": "gelu_pytorch_tanh"}
_DTYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_ROPE_KEYS = frozenset(
    "rope_type type rope_theta partial_rotary_factor factor original_max_position_embeddings attention_factor beta_fast beta_slow "
    "mscale mscale_all_dim truncate low_freq_factor high_freq_factor short_factor long_factor finetuned".split()
)


# ---- sizes ----


def sizes(config: Config, *, vocab_size: int, d_model: int, context: int, tied: bool, eps: float) -> dict:
    """What every llama-like model says once; the arguments are the family's defaults."""
    return {
        "vocab_size": config.count("vocab_size", vocab_size),
        "d_model": config.count("hidden_size", d_model),
        "context": config.count("max_position_embeddings", context),
        "tied_embeddings": config.take("tie_word_embeddings", bool, tied),
        "norm": {"kind": "rms", "eps": config.take("rms_norm_eps", float, eps)},
    }


def write_sizes(arch: Architecture) -> dict:
    return {
        "vocab_size": arch.vocab_size,
        "hidden_size": arch.d_model,
        "num_hidden_layers": arch.depth,
        "max_position_embeddings": arch.context,
        "rms_norm_eps": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    }


def heads(
    config: Config, d_model: int, *, heads: int, kv_heads: int | None = None, head_dim: int | None = None
) -> dict:
    """heads, kv_heads and head_dim; the arguments are the family's defaults, None where they follow from the others."""
    h = config.count("num_attention_heads", heads)
    given = config.count("head_dim", head_dim, null=None)
    if given is None and d_model % h:
        raise config.refuse(
            "num_attention_heads",
            f"hidden_size {d_model:,} does not divide into so many heads, and head_dim is not given",
        )
    kv = config.count("num_key_value_heads", kv_heads, null=None)
    return {"heads": h, "kv_heads": h if kv is None else kv, "head_dim": d_model // h if given is None else given}


def write_heads(part: Attention) -> dict:
    return {"num_attention_heads": part.heads, "num_key_value_heads": part.kv_heads, "head_dim": part.head_dim}


def attention(config: Config, d_model: int, *, biased: str | None = "attention_bias", **defaults: int | None) -> dict:
    """Softmax attention; `biased` is the key that gives it biases."""
    bias = config.take(biased, bool, False) if biased else False
    return {"kind": "attention"} | heads(config, d_model, **defaults) | unless(False, bias=bias)


def dense(
    config: Config, d_ff: int, *, biased: str | None = None, act: str = "hidden_act", default: str = "silu"
) -> dict:
    """A gated feed-forward network of intermediate_size; `act` is the key of its activation, `biased` that of its biases."""
    name = activation(config, act, default)
    part = {"kind": "feed_forward", "d_ff": config.count("intermediate_size", d_ff)} | unless("swiglu", activation=name)
    return part | unless(False, bias=config.take(biased, bool, False) if biased else False)


def activation(config: Config, key: str = "hidden_act", default: str = "silu", gated: bool = True) -> str:
    """The spec's name of the activation that `key` names."""
    name = config.take(key, str, default)
    plain = ACTIVATIONS.get(name)
    if plain is None or (gated and plain not in _GATED):
        raise config.refuse(
            key, f"the spec has {', '.join(a for a, p in ACTIVATIONS.items() if not gated or p in _GATED)}"
        )
    return _GATED[plain] if gated else plain


def mixed(config: Config, key: str = "hidden_act") -> dict:
    """The activation inside a recurrent part: of its convolution, or of its queries, keys and values."""
    return unless("silu", activation=activation(config, key, gated=False))


def write_dense(part: FeedForward) -> dict:
    return {"intermediate_size": part.d_ff, "hidden_act": write_activation(part.activation)}


def write_activation(name: str) -> str:
    plain = GATED.get(name, name)
    return _WRITTEN.get(plain, plain)


def unless(default: Any, **field: Any) -> dict:
    """The field, unless it says what holds anyway: `unless(False, bias=bias)`."""
    return {name: value for name, value in field.items() if value != default}


# ---- layers ----


def layer_types(config: Config, depth: int, default: Sequence[str], *known: str) -> list[str]:
    """`layer_types`: one of the `known` words a layer."""
    types = config.listing("layer_types", str)
    types = list(default if types is None else types)
    if len(types) != depth:
        raise config.refuse("layer_types", f"it has {len(types)} entries for {depth} layers")
    for word in types:
        if word not in known:
            raise config.refuse("layer_types", f"{word[:40]!r} is not one of {', '.join(known)}")
    return types


def assemble(
    config: Config, value: dict, position: dict, parts: Mapping[str, dict], blocks: Sequence[Sequence[str]], **more: Any
) -> dict:
    """The spec's mapping: the parts that the blocks use, the pattern of the layers, the stored precision."""
    steps = [step["parts"] if isinstance(step, Mapping) else step for block in blocks for step in block]
    used = {name for step in steps for name in ([step] if isinstance(step, str) else step)}
    parts = {name: part for name, part in parts.items() if name in used}
    return value | {"position": position} | more | {"parts": parts, "layers": layers(blocks)} | precision(config, parts)


def windowed(
    types: Sequence[str], part: dict, window: int | None, local: Mapping[str, Any] | None = None
) -> tuple[dict[str, dict], list[str]]:
    """The kinds of attention that layer_types asks for, and which one each layer has: `attention` where all are alike,
    else `local` (in a window, with whatever else `local` says) and `global`."""
    sliding = [word == "sliding_attention" for word in types]
    seen = {True: part | {"window": window} | (local or {}), False: part}
    if len(set(sliding)) == 1:
        return {"attention": seen[sliding[0]]}, ["attention"] * len(types)
    return {"local": seen[True], "global": seen[False]}, ["local" if s else "global" for s in sliding]


def named_kinds(attentions: Sequence[dict]) -> tuple[dict[str, dict], list[str]]:
    """A name for every distinct attention of the layers, and which one each layer has: `attention` where all are alike, else
    `local` and `global`, with their heads where there are several of a sort."""
    distinct = [part for n, part in enumerate(attentions) if part not in attentions[:n]]
    sorts = ["local" if part.get("window") else "global" for part in distinct]
    names = [
        sort if sorts.count(sort) == 1 else f"{sort}{part['heads']}" for sort, part in zip(sorts, distinct, strict=True)
    ]
    names = names if len(distinct) > 1 else ["attention"]
    return dict(zip(names, distinct, strict=True)), [names[distinct.index(part)] for part in attentions]


def sparse_layers(config: Config, depth: int, first: int, every: int = 1) -> list[bool]:
    """Which layers have experts: as mlp_layer_types says, else all but the `first`, of these each whose number `every` divides."""
    usual = ["sparse" if layer >= first and layer % every == 0 else "dense" for layer in range(depth)]
    words = config.listing("mlp_layer_types", str) or usual
    if len(words) != depth or not set(words) <= {"dense", "sparse"}:
        raise config.refuse("mlp_layer_types", f"give dense or sparse for each of the {depth} layers")
    return [word == "sparse" for word in words]


def write_sparse_layers(arch: Architecture) -> list[str]:
    return ["sparse" if "moe" in block[-1].parts else "dense" for block in arch.sequence]


def near_and_far(arch: Architecture) -> tuple[Rope, Rope]:
    """The rope of the layers in a window, and of the others: the model's own where no layer says otherwise."""
    own = {
        bool(part.window): part.position
        for part in arch.parts.values()
        if isinstance(part, Attention) and part.position
    }
    return own.get(True, arch.position), own.get(False, arch.position)


def mixers(arch: Architecture) -> list[Attention]:
    """The attention part of every layer."""
    return [arch.parts[block[0].parts[0]] for block in arch.sequence]


def write_layer_types(arch: Architecture) -> list[str]:
    return ["sliding_attention" if part.window else "full_attention" for part in mixers(arch)]


def window(arch: Architecture) -> int | None:
    """The one window that some layers have."""
    return next((part.window for part in arch.parts.values() if getattr(part, "window", None)), None)


# What the config.json of a wrapper says of images, sound and tokens, beside its text_config.
WRAPPING = tuple(
    """_pad_token_id im_start_id im_end_id im_newline_id density_router_hidden_size density_router_threshold
    density_router_loss_weight
    acoustic_tokenizer_chunk_size acoustic_tokenizer_encoder_config adapter_config adapter_layer_norm_eps adaptor_config
    alignment_intermediate_size audio_bos_token_id audio_chunk_size audio_config audio_end_token_id audio_eos_token_id audio_merge_size
    audio_soft_tokens_per_image audio_start_token_id audio_token_id audio_token_index boa_token_id boi_token_id boi_token_index
    deepstack_layer_map downsample_factor downsample_mode downsample_rate downsample_ratio drop_vision_last_layer encoder_config
    eoa_token_id eoa_token_index eoi_token_id eoi_token_index force_image_size has_lora_adapter high_res_vision_config ignore_index
    image_end_id image_end_token_id image_grid_pinpoints image_newline_id image_seq_length image_size image_start_id
    image_start_token_id image_text_hidden_size image_token_id image_token_index initializer_factor insert_layer_id
    max_value_projector_patch_to_query_dict merge_kernel_size merger_times mm_tokens_per_image multimodal_projector_bias newline_id
    num_channels num_query_tokens patch_size perceiver_config position_id_per_seconds projection_dim projection_hidden_size
    projection_layer_norm_eps projector_bias projector_config projector_dropout projector_hidden_act projector_hidden_size
    projector_layernorm_eps projector_patch_to_query_dict projector_pooling_ratio projector_use_layernorm qformer_config scale_factor
    seconds_per_chunk semantic_tokenizer_encoder_config slice_end_id slice_start_id spatial_merge_size spatial_pool_mode
    spatial_pool_stride spatial_target_layers spatial_vision_layer timestamp_token_id token_classification_bias
    use_decoder_only_language_model use_image_newline_parameter user_token_id video_end_token_id video_pruning_rate video_seq_length
    video_start_token_id video_temporal_patch_size video_token_id video_token_index vision_aspect_ratio vision_config vision_end_token_id
    vision_feature_layer vision_feature_select_strategy vision_hidden_size vision_soft_tokens_per_image vision_start_token_id
    vision_token_id vision_use_cls_token visual_indicator_token_ids vq_config window_size word_timestamp_config""".split()
)


def text_config(config: Config, *types: str, tie: bool | None = None) -> Config:
    """The language model's keys of a multimodal config.json. Vision, projector and image tokens are no part of it;
    the wrapper's tie and stored precision hold where the text says nothing; `tie` is whether embeddings are tied, where
    the family knows better."""
    config.ignore(*WRAPPING, "quantization_config", "tie_word_embeddings")
    text = config.nested("text_config")
    outer = {
        key: config.raw[key]
        for key in ("dtype", "torch_dtype", "quantization_config", "tie_word_embeddings")
        if config.has(key)
    }
    if text.has("dtype") or text.has("torch_dtype"):
        outer = {key: value for key, value in outer.items() if key not in ("dtype", "torch_dtype")}
    said = text.raw.get("tie_word_embeddings")
    if tie is None and said is not None and outer.get("tie_word_embeddings", said) != said:
        raise config.refuse("tie_word_embeddings", "text_config says otherwise")
    merged = Config({**text.raw, **{key: value for key, value in outer.items() if not text.has(key)}}, "text_config")
    if tie is not None:
        merged.raw["tie_word_embeddings"] = tie
        merged.left.add("tie_word_embeddings")
    if types:
        merged.expect("model_type", *types)
    return merged


# ---- rope ----


def rope(
    config: Config, context: int, *, theta: float = 10_000.0, fraction: float | None = None, magnitudes: bool = False
) -> dict:
    """The position that rope_theta, rope_scaling and partial_rotary_factor, or rope_parameters in their place, describe.

    `fraction` is the family's default share of channels that turn; None where the family turns them all, whatever is said.
    With `magnitudes`, a scaled rope gives its magnitude for short texts and for long ones.
    """
    key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
    config.ignore("rope_scaling")
    inner = config.nested(key)
    if inner.raw.get("rope_type") == "proportional":
        raise inner.refuse("rope_type", "it is read where each of layer_types has a rope of its own")
    original = config.count("original_max_position_embeddings", None)
    base = inner.take("rope_theta", float, config.take("rope_theta", float, theta))
    share = inner.take(
        "partial_rotary_factor",
        float,
        config.take("partial_rotary_factor", float, 1.0 if fraction is None else fraction),
    )
    if fraction is None and share != 1:
        raise (inner if inner.has("partial_rotary_factor") else config).refuse(
            "partial_rotary_factor", "this family turns all channels"
        )
    magnitude = _magnitude(inner) if magnitudes else {}
    scaling = rope_scaling(inner, context, original)
    if scaling:
        scaling["scaling"] |= magnitude
    return {"kind": "rope", "base": base} | unless(1.0, fraction=share) | scaling


def _magnitude(inner: Config) -> dict:
    """Phi-3.5-MoE's short_mscale and long_mscale, which its longrope must give."""
    kind = inner.take("rope_type", str, None) or inner.take("type", str, "default")
    if kind == "default":
        inner.ignore("short_mscale", "long_mscale")
        return {}
    inner.expect("rope_type", "longrope")
    inner.expect("type", "longrope")
    magnitude = inner.take("short_mscale", float)
    inner.expect("long_mscale", magnitude)
    return {"attention_factor": magnitude}


def temperature(config: Config, usual: Mapping[str, Any] | None = None) -> dict:
    """`{temperature: ...}` as a rope dictionary's llama_4_scaling_beta gives it (Ministral 3, Mistral 4); {} without one.

    `usual` is the family's dictionary where none is given. What is left of it is for `rope` to read.
    """
    key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
    if usual and not config.raw.get(key):
        config.raw = {**config.raw, key: dict(usual)}
    inner = config.nested(key)
    scale = inner.take("llama_4_scaling_beta", float, 0.0)
    read = ("llama_4_scaling_beta", "max_position_embeddings")
    config.raw = {**config.raw, key: {name: value for name, value in inner.raw.items() if name not in read}}
    if not scale:
        return {}
    length = inner.count("original_max_position_embeddings", config.count("original_max_position_embeddings", None))
    if length is None:
        raise inner.refuse("llama_4_scaling_beta", "it needs original_max_position_embeddings beside it")
    return {"temperature": {"kind": "steps", "scale": scale, "length": length, "first": 0}}


def write_temperature(temperature: StepTemperature | None) -> dict:
    """What goes into the rope dictionary."""
    if temperature is None:
        return {}
    return {"llama_4_scaling_beta": temperature.scale, "original_max_position_embeddings": temperature.length}


def rope_scaling(inner: Config, context: int, original: int | None = None) -> dict:
    """`{scaling: ...}` from a rope dictionary, {} where nothing is scaled.

    `original` is a trained context that stands outside the dictionary, and goes before the one inside.
    """
    kind = inner.take("rope_type", str, None) or inner.take("type", str, "default")
    kind = "yarn" if kind == "deepseek_yarn" else kind
    for key in sorted(inner.left - _ROPE_KEYS):
        if inner.raw[key] is not None:
            raise inner.refuse(key, "it is not a key of a rope that the spec has")
    trained = original or inner.count("original_max_position_embeddings", context)

    def number(key: str, default: Any = ...) -> float:
        return inner.take(key, float, default)

    def optional(*keys: str) -> dict:
        return {key: number(key) for key in keys if inner.has(key)}

    match kind:
        case "default":
            return {}
        case "linear":
            scaling = {"factor": number("factor")}
        case "dynamic":
            scaling = {"factor": number("factor"), "original_context": context}
        case "llama3":
            scaling = {"factor": number("factor"), "original_context": trained}
            scaling |= {key: number(key) for key in ("low_freq_factor", "high_freq_factor")}
        case "yarn":
            scaling = {"factor": number("factor", context / trained), "original_context": trained}
            scaling |= {key: value for key, value in optional("beta_fast", "beta_slow").items() if value}
            scaling |= optional("mscale", "mscale_all_dim", "attention_factor")
            scaling |= unless(True, truncate=inner.take("truncate", bool, True))
        case "longrope":
            scaling = {"factor": number("factor", context / trained), "original_context": trained}
            scaling |= {key: inner.listing(key, (int, float), ...) for key in ("short_factor", "long_factor")}
            scaling |= optional("attention_factor")
        case "proportional":
            scaling = {"fraction": number("partial_rotary_factor", 1.0), "factor": number("factor", 1.0)}
        case _:
            raise inner.refuse(
                "rope_type" if inner.has("rope_type") else "type",
                "it has default, linear, dynamic, yarn, llama3, longrope, proportional",
            )
    return {"scaling": {"kind": kind} | scaling}


def write_rope(position: Rope, context: int) -> dict:
    """rope_theta, rope_scaling and partial_rotary_factor: the form that every version of transformers reads."""
    written = {"rope_theta": position.base} | unless(1.0, partial_rotary_factor=position.fraction)
    return written | ({"rope_scaling": write_rope_scaling(position, context)} if position.scaling else {})


def write_rope_scaling(position: Rope, context: int) -> dict:
    """The rope dictionary's own keys, without base and fraction."""
    scaling = position.scaling
    if scaling is None:
        return {"rope_type": "default"}
    if isinstance(scaling, Proportional):
        return {"rope_type": scaling.kind, "partial_rotary_factor": scaling.fraction, "factor": scaling.factor}
    if isinstance(scaling, Dynamic) and scaling.original_context != context:
        raise Unsupported(
            f"dynamic scaling from {scaling.original_context:,} tokens: a config.json scales from its context, {context:,}"
        )
    written = scaling.model_dump(mode="json", exclude_defaults=not isinstance(scaling, Yarn), exclude_none=True)
    written.pop("kind")
    trained = written.pop("original_context", None)
    if trained and not isinstance(scaling, Dynamic):
        written["original_max_position_embeddings"] = trained
    if scaling.kind == "llama3":
        written |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    return {"rope_type": scaling.kind} | written


def ropes(
    config: Config,
    context: int,
    far: float,
    near: float,
    fraction: float | None = None,
    usual: Mapping[str, Mapping] | None = None,
) -> tuple[dict, dict]:
    """The rope of layers in a window, and of those that see everything; `near` and `far` are their usual bases.

    `fraction` is the share of channels that turn where nothing is said; None where the family turns them all, always.
    `usual` stands in for absent rope_parameters in families that have no older form.
    """
    if usual and not config.raw.get("rope_parameters"):
        for key in ("rope_theta", "rope_scaling"):
            if config.has(key):
                raise config.refuse(key, "this family wants rope_parameters, a rope for each of its layer types")
        config = Config(config.raw | {"rope_parameters": usual})
    if config.raw.get("rope_parameters") and config.raw.get("rope_scaling"):
        raise config.refuse("rope_scaling", "rope_parameters stands beside it; give one of them")
    kinds = ("sliding_attention", "full_attention")
    given = config.nested("rope_parameters")
    inner = {kind: given.nested(kind) for kind in kinds}
    given.ignore("original_max_position_embeddings")  # Laguna says it beside the two as well as in one of them
    given.finish()
    if config.raw.get("rope_scaling"):
        inner["full_attention"] = config.nested("rope_scaling")
    config.ignore("rope_scaling")
    bases = {"sliding_attention": near, "full_attention": config.take("rope_theta", float, far)}
    found = []
    for kind in kinds:
        if kind in given.raw and given.raw[kind] is None:
            found.append({"kind": "none"})
            continue
        if inner[kind].raw.get("rope_type") == "proportional":  # its own partial_rotary_factor
            base = inner[kind].take("rope_theta", float, bases[kind])
            found.append({"kind": "rope", "base": base} | rope_scaling(inner[kind], context))
            continue
        if fraction is None:
            inner[kind].expect("partial_rotary_factor", 1.0)
        scaled = inner[kind].raw.get("rope_type", "default") != "default"
        share = inner[kind].take("partial_rotary_factor", float, 1.0 if scaled else fraction or 1.0)
        rope = {"kind": "rope", "base": inner[kind].take("rope_theta", float, bases[kind])}
        found.append(rope | unless(1.0, fraction=share) | rope_scaling(inner[kind], context))
    return tuple(found)


def write_ropes(near: Rope, far: Rope, context: int) -> dict:
    """The newer form, which alone can say both whole."""
    both = {"sliding_attention": near, "full_attention": far}
    return {
        "rope_parameters": {
            kind: {"rope_theta": rope.base}
            | unless(1.0, partial_rotary_factor=rope.fraction)
            | write_rope_scaling(rope, context)
            if isinstance(rope, Rope)
            else None
            for kind, rope in both.items()
        }
    }


# ---- stored precision ----


def precision(config: Config, parts: Mapping[str, Mapping], default: str = "bf16") -> dict:
    """`{precision: ...}` from dtype and quantization_config, {} where everything is bf16.

    `parts` is the spec's mapping of parts.
    """
    key = "dtype" if config.has("dtype") else "torch_dtype"
    name = config.take(key, str, None)
    plain = default if name is None else _DTYPES.get(name.removeprefix("torch."))
    if plain is None:
        raise config.refuse(key, f"the spec stores {', '.join(_DTYPES)}")
    formats = {"default": plain}
    if config.has("quantization_config"):
        formats |= _mxfp4(config.nested("quantization_config"), parts, plain)
    config.ignore("quantization_config")
    for name, part in parts.items():  # the balancing biases are kept wide, whatever the rest is stored in
        if (part.get("router") or {}).get("selection_bias") and plain != "fp32":
            formats[f"{name}.router.selection_bias"] = "fp32"
    return {} if formats == {"default": "bf16"} else {"precision": formats}


def _mxfp4(quantisation: Config, parts: Mapping[str, Mapping], plain: str) -> dict[str, str]:
    """gpt-oss's: whatever stays wide, its routed experts alone are narrow. Every other method is read in quantised.py."""
    quantisation.expect("quant_method", "mxfp4")
    quantisation.ignore("dequantize", "use_kernel")
    for entry in quantisation.listing("modules_to_not_convert", str, ()):
        if entry.removesuffix(".weight").split(".")[-1] not in (
            "self_attn",
            "router",
            "embed_tokens",
            "lm_head",
            "norm",
        ):
            raise quantisation.refuse(
                "modules_to_not_convert", f"{entry[:60]!r} is stored otherwise than the spec can say"
            )
    quantisation.finish()
    return mxfp4_experts(parts, plain)


def mxfp4_experts(parts: Mapping[str, Mapping], plain: str) -> dict[str, str]:
    """The routed experts' matrices in mxfp4; their biases are matrices too (one row an expert) and stay wide."""
    formats = {}
    for name in (name for name, part in parts.items() if part["kind"] == "experts"):
        formats[f"{name}.experts"] = "mxfp4"
        if parts[name].get("bias"):
            formats |= {f"{name}.experts.{matrix}_bias": plain for matrix in ("gate", "up", "down")}
    return formats


def write_precision(arch: Architecture) -> dict:
    """torch_dtype and quantization_config."""
    plain = arch.precision.get("default", "bf16")
    written = {"torch_dtype": next((name for name, fmt in _DTYPES.items() if fmt == plain), None)}
    if written["torch_dtype"] is None:
        raise Unsupported(f"precision.default: {plain} is no dtype of a config.json")
    narrow = {
        path: fmt
        for path, fmt in arch.precision.items()
        if fmt != plain and not path.endswith(("default", "selection_bias"))
    }
    if "mxfp4" in narrow.values():
        written["quantization_config"] = {"quant_method": "mxfp4"}
    return written


# ---- tensors ----

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


def llama_sources(
    arch: Architecture, mixer: Callable | None = None, ff: Callable | None = None
) -> Iterator[tuple[str, list[Source]]]:
    """Every tensor of a model with llama's names; `mixer(path, at, part)` and `ff(path, at, part)` give one part's own.

    `path` is the part's module in our model and `at` the layer's prefix in the checkpoint, `model.layers.3`.
    """
    yield one("embedding.weight", "model.embed_tokens.weight")
    if arch.head.norm:
        yield from norm_sources(arch, "norm", "model.norm")
    yield from head_source(arch, "model.embed_tokens.weight")
    for index, block in enumerate(arch.sequence):
        at = f"model.layers.{index}"
        for step in block:
            name = step.parts[0]
            part, path = arch.part(name), f"layers.{index}.{name}"
            role = "mixer" if part.mixes else "ff"
            placement = (step.residual or arch.residual).norm
            for ours, theirs in NORMS[placement].items():
                if ours.startswith(role):
                    yield from norm_sources(arch, f"{path}{ours.removeprefix(role)}", f"{at}.{theirs}")
            given = mixer if part.mixes else ff
            yield from (given or part_sources)(path, at, part)
            for beside in step.parts[1:]:  # behind the same norm
                given = mixer if arch.part(beside).mixes else ff
                yield from (given or part_sources)(f"layers.{index}.{beside}", at, arch.part(beside))


def norm_sources(arch: Architecture, ours: str, theirs: str) -> Iterator[tuple[str, list[Source]]]:
    """What a norm of the model's own kind has: a weight, a bias, both or neither."""
    for kind in ("weight", "bias"):
        if getattr(arch.norm, kind, False):
            yield one(f"{ours}.{kind}", f"{theirs}.{kind}")


def renamed(sources: Iterator[tuple[str, list[Source]]], **names: str) -> Iterator[tuple[str, list[Source]]]:
    """The same sources where a checkpoint calls some modules otherwise: `renamed(sources, q_norm="query_layernorm")`."""

    def rename(name: str) -> str:
        return ".".join(names.get(piece, piece) for piece in name.split("."))

    for path, ways in sources:
        yield path, [Source(tuple(map(rename, way.names)), way.make) for way in ways]


def also_named(
    sources: Iterator[tuple[str, list[Source]]], names: Mapping[str, str]
) -> Iterator[tuple[str, list[Source]]]:
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
    for name in ("q_norm", "k_norm") if part.qk_norm and (part.qk_norm.norm or part.norm).weight else ():
        many, plain = part.heads if name == "q_norm" else part.kv_heads, Source((f"{at}.{name}.weight",))
        singles = Source(tuple(f"{at}.{name[0]}_layernorm.norms.{h}.weight" for h in range(many)), stack)
        yield f"{path}.{name}.weight", [plain, singles] if part.qk_norm.own else [plain]
    if part.sub_norm:
        yield one(f"{path}.sub_norm.weight", f"{at}.attn_sub_norm.weight")
    if part.sinks:
        yield one(f"{path}.core.sinks", f"{at}.sinks")
    if part.gate:
        yield one(f"{path}.gate.weight", f"{at}.g_proj.weight", f"{at}.gate_proj.weight")


def differential_sources(path: str, at: str, part: DifferentialAttention) -> Iterator[tuple[str, list[Source]]]:
    """Differential attention: llama's projections, and the four vectors that lambda is made of."""
    plain = Attention(heads=part.heads, kv_heads=part.kv_heads, head_dim=part.head_dim, bias=part.bias)
    yield from attention_sources(path, f"{at}.self_attn", plain)
    for name in ("q1", "k1", "q2", "k2"):
        yield one(f"{path}.core.lambda_{name}", f"{at}.self_attn.lambda_{name}")


def dense_sources(path: str, at: str, part: FeedForward) -> Iterator[tuple[str, list[Source]]]:
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


def ignored(name: str) -> bool:
    """Tensors that are no part of a language model: tables that are computed, and everything that sees images."""
    seeing = "vision_tower. vision_model. multi_modal_projector. mm_projector. visual. audio_tower. connector.".split()
    return name.endswith("rotary_emb.inv_freq") or any(piece in name for piece in seeing)
