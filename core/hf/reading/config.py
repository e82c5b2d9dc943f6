"""Reading a config.json: every key is understood, known to change nothing, or the import is refused."""

import difflib
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from ...parts.feedforward import GATED
from ...spec import MAX_LAYERS, Unsupported

# Keys that change neither the architecture nor its cost: bookkeeping, training and generation settings.
NEUTRAL = frozenset(
    "_name_or_path architectures auto_map model_type torch_dtype dtype transformers_version use_cache "
    "initializer_range attention_dropout hidden_dropout embd_pdrop attn_pdrop resid_pdrop resid_dropout "
    "embedding_dropout hidden_dropout_prob attention_probs_dropout_prob init_method transformers.js_config "
    "output_attentions output_hidden_states return_dict use_return_dict chunk_size_feed_forward is_decoder "
    "tie_encoder_decoder problem_type id2label label2id num_labels gradient_checkpointing pretraining_tp "
    "router_aux_loss_coef aux_loss_alpha seq_aux output_router_logits router_jitter_noise router_z_loss_coef "
    "task_specific_params summary_type summary_use_proj summary_activation summary_first_dropout "
    "summary_proj_to_labels tokenizer_class prefix torchscript finetuning_task bad_words_ids suppress_tokens "
    "begin_suppress_tokens max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty "
    "temperature top_k top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size "
    "encoder_no_repeat_ngram_size num_return_sequences output_scores return_dict_in_generate remove_invalid_values "
    "exponential_decay_length_penalty tf_legacy_loss use_bfloat16 cache_implementation unsloth_fixed unsloth_version "
    "_attn_implementation _attn_implementation_internal _attn_implementation_autoset attn_implementation "
    "max_sequence_length router_dtype attention_softmax_in_fp32 scale_attention_softmax_in_fp32 is_composition "
    "_flash_attn_2_enabled neftune_noise_alpha init_std _experts_implementation "
    "_experts_implementation_internal _commit_hash custom_pipelines output_past device_map resume_download trust_remote_code "
    "type_vocab_size type_sequence_label_size logits_to_keep num_logits_to_keep padding_side truncation_side add_prefix_space "
    "chat_template tokenizer_model_max_length license language tags author description library_name pipeline_tag base_model datasets "
    "dataset run_name seed lr learning_rate weight_decay warmup_ratio bf16 fp16 mixed_precision torch_compile deepspeed "
    "use_liger_kernel use_kernels use_sdpa use_xformers batch_size train_batch_size eval_batch_size max_batch_size".split()
)
# The same by patterns of names: token ids, versions of tools, training settings, implementations of
# attention. Numbers of layers or experts, counts and widths are not among them.
_NEUTRAL = re.compile(
    r"_token_(ids|idx|index)$|(?<!layer)(?<!expert)(?<!block)(?<!head)_id$|_version$|dropout|_pdrop$|drop_path|initializer"
    r"|^init_|_init_std$|(^|_)loss(_|$)|^gradient_|^use_flash_att|^(add_)?(bos|eos|pad|unk|sep|cls|mask)_token$|^_from_|^freeze_"
)
_COUNTS = re.compile(r"(^|_)(num|n|experts|heads|layers|blocks|depth|dim|width|size)(_|$)")
# A number that multiplies, divides or rotates something has a meaning also if it is 0.
_SCALES = re.compile(
    r"(eps|epsilon|theta|base|scale|scaling|multiplier|factor|ratio|pct|percent|fraction|alpha|beta|gamma|slope|temperature)$"
)
_TYPES = {int: "a whole number", float: "a number", str: "a word", bool: "true or false", list: "a list", dict: "an object"}
# Names in other families for what this one reads by another name: a key that repeats the value changes nothing.
_AGAIN = {
    "d_model": "hidden_size n_embd n_embed d_model dim model_dim embed_dim embedding_dim",
    "vocab_size": "padded_vocab_size vocab_size_padded org_vocab_size orig_vocab_size original_vocab_size n_vocab",
    "context": "max_position_embeddings n_positions n_ctx max_seq_len max_seq_length seq_len seq_length model_max_length context_length",
    "depth": "num_hidden_layers n_layer n_layers num_layers",
    "eps": "rms_norm_eps layer_norm_eps layer_norm_epsilon layernorm_epsilon norm_eps norm_epsilon",
    "heads": "num_attention_heads n_head n_heads num_heads",
    "kv_heads": "num_key_value_heads n_kv_heads num_kv_heads num_attention_heads_kv n_head_kv num_query_groups multi_query_group_num",
    "head_dim": "head_dim attention_head_dim attention_head_size head_size kv_channels",
    "d_ff": "intermediate_size ffn_dim ffn_hidden_size n_inner",
    "base": "rope_theta rope_base rotary_base rotary_emb_base",
    "fraction": "partial_rotary_factor rotary_pct rotary_percent rope_pct rope_percent",
    "turned": "rotary_dim rotary_emb_dim",
    "norm": "norm_type layer_norm_type normalization normalization_type", "rms": "rms_norm use_rms_norm",
    "position": "position_embedding_type position_encoding_type pos_emb", "rope": "rope use_rope use_rotary use_rotary_pos_emb",
    "activation": "hidden_act hidden_activation activation_function activation act_fn", "layer_types": "layer_types",
}  # fmt: skip
# What is said again in words: the spec's kind -> these without regard to case and underscores.
_WORDS = {"rms": "rms rmsnorm", "layer": "layer layernorm", "rope": "rope rotary", "learned": "learned absolute", "alibi": "alibi"}
# What transformers' classes call a key beside its own name, for families that do not look for both themselves.
_GPT = {
    "hidden_size": "n_embd", "max_position_embeddings": "n_positions", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer",
}  # fmt: skip
_LOCAL = {"num_experts": "num_local_experts"}
OTHER_NAMES = {
    "bloom": {"num_attention_heads": "n_head", "num_hidden_layers": "n_layer"},
    "codegen": _GPT, "ctrl": _GPT, "gpt2": _GPT, "gpt-sw3": _GPT, "gpt_bigcode": _GPT, "gptj": _GPT, "openai-gpt": _GPT,
    "dbrx": {
        "hidden_size": "d_model", "max_position_embeddings": "max_seq_len", "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    },
    "gpt_neo": {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"},
    "hunyuan_v1_moe": {"num_experts_per_tok": "moe_topk"},
    "jamba": {"num_local_experts": "num_experts"},
    "minimax": _LOCAL, "minimax_m3_vl_text": _LOCAL, "mixtral": _LOCAL, "qwen3_moe": _LOCAL, "qwen3_vl_moe_text": _LOCAL,
    "mpt": {"hidden_size": "d_model", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers"},
    "nemotron_h": {"layer_types": "layers_block_type", "num_local_experts": "n_routed_experts"},
    "step3p5": {"num_mtp_layers": "num_nextn_predict_layers"},
    "xglm": {"hidden_size": "d_model", "num_attention_heads": "attention_heads", "num_hidden_layers": "num_layers"},
    "zamba": {"head_dim": "attention_head_dim", "layer_types": "layers_block_type"}, "zamba2": {"layer_types": "layers_block_type"},
}  # fmt: skip
# Keys that say by other means what an absent one says: one of these in the file, and the absent key stands for nothing.
INSTEAD = {
    "block_ff_dim": "intermediate_size", "compress_rate_csa": "compress_rates", "compress_rate_hca": "compress_rates",
    "full_attention_interval": "layer_types", "global_head_dim": "layer_types", "layer_norm_eps": "rms_norm_eps layer_norm_epsilon",
    "layernorm_epsilon": "rms_norm_eps", "max_window_layers": "layer_types", "model_max_length": "max_position_embeddings",
    "num_hash_layers": "mlp_layer_types", "num_hidden_layers": "num_layers", "num_local_experts": "n_routed_experts num_experts",
    "rms_norm_eps": "norm_eps layer_norm_eps", "rope_local_base_freq": "rope_parameters", "rotary_emb_base": "rope_parameters",
    "rotary_pct": "rope_parameters", "sconv_kernel_size": "conv_kernel_size", "seq_length": "max_position_embeddings",
    "sliding_window": "sliding_window_size attention_window_size", "sliding_window_pattern": "layer_types",
    "sliding_window_size": "sliding_window", "swa_rope_theta": "rope_parameters",
}  # fmt: skip
SAME = object()  # null means the same as absent
# What a reading took for keys that are not in the file, by their paths; nothing is recorded while nobody asks.
FILLED: ContextVar[dict[str, Any] | None] = ContextVar("filled", default=None)


class Config:
    """A config.json during reading. `take` reads understood keys; `finish` refuses all others."""

    what = "this family's architecture"  # that cannot be known without a key

    def __init__(self, raw: Mapping[str, Any], where: str = "", said: Mapping[str, str] | None = None, own: Mapping | None = None):
        if not isinstance(raw, Mapping) or not all(isinstance(key, str) for key in raw):
            raise Unsupported(f"{where or 'config.json'}: expected an object of keys and values, not {type(raw).__name__}")
        self.raw, self.where = raw, where
        self.known: set[str] = set()  # the keys that were requested, present or not
        self.said = said or {}  # what messages call a key, where not by its name
        self.own = raw if own is None else own  # the file's own keys
        self.left = {key for key in raw if not (is_neutral(key) or key[:1] == "_" and is_neutral(key[1:]))} - {"strata"}

    def renamed(self, names: Mapping[str, str], given: Mapping[str, Any]) -> "Config":
        """The same file in another family's keys: `names` are that one's -> this one's, `given` says some of them outright.
        A key that is there under both must say one thing."""
        for ours, theirs in names.items():
            if self.has(ours) and not (self.has(theirs) and says(self.raw[ours], self.raw[theirs])):
                raise self.refuse(ours, f"this family calls it {theirs}; use that name")
        for ours, value in given.items():
            if self.has(ours) and names.get(ours, ours) == ours and ours in self.left and not says(self.raw[ours], value):
                raise self.refuse(ours, f"other keys of the file make it {shown(value)}")
        back = {theirs: ours for ours, theirs in names.items()}
        raw = {back.get(key, key): value for key, value in self.raw.items()} | dict(given)
        other = Config(raw, self.where, names, self.raw)
        other.left = {back.get(key, key) for key in self.left} - set(given)
        self.left.clear()
        return other

    def suppose(self, key: str, value: Any) -> None:
        """Use this value for `key` if it is absent: for defaults that are objects."""
        if not self.has(key):
            self.raw = {**self.raw, key: value}

    def rename(self, names: Mapping[str, str]) -> None:
        """Read keys by their other names; both may be present only with the same value."""
        for other in (name for name in names if self.has(name)):
            key, value = names[other], self.raw[other]
            if self.has(key):
                self.expect(other, self.raw[key])
            self.raw = {name: given for name, given in self.raw.items() if name != other} | {key: value}
            self.left = self.left - {other} | {key}

    def has(self, key: str) -> bool:
        """Whether the key is present with a value."""
        return self.raw.get(key) is not None

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = ..., null: Any = SAME) -> Any:
        """The value of `key`, of type `kind`; null counts as absent unless it means `null`, and of a switch that is usually
        on as off; without a default the key must be there."""
        self.left.discard(key)
        self.known.add(key)
        value = self.raw.get(key)
        if value is None:
            if key in self.raw and (null is not SAME or default is True):
                return False if null is SAME else null
            if default is ...:
                raise Unsupported(f"{self._path(key)}: is missing, and {self.what} cannot be known without it")
            self.fill(key, default)
            return default
        wanted = kind if isinstance(kind, tuple) else (kind,)
        if float in wanted and _is_number(value):
            if abs(value) > 1e300 or math.isnan(value):
                raise self.refuse(key, "give a finite number")
            return float(value)
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise Unsupported(f"{self._path(key)}: give {' or '.join(_TYPES.get(k, k.__name__) for k in wanted)} (not {shown(value)})")
        return value

    def fill(self, key: str, value: Any) -> None:
        """Record what is taken for a key that is not in the file."""
        filled = FILLED.get()
        if filled is None or key in self.raw or not self.raw or _inside(self.raw.get("rope_parameters"), key):
            return
        if not any(other in self.raw or other in self.own for other in INSTEAD.get(key, "").split()):
            filled[self._path(key)] = value

    def count(self, key: str, default: Any = ..., null: Any = SAME, least: int = 1, most: int = 2**31) -> Any:
        """A whole number within bounds, or any default."""
        value = self.take(key, int, default, null)
        if self.has(key) and not least <= value <= most:
            raise self.refuse(key, f"give {least:,} to {most:,}")
        return value

    def positive(self, key: str, default: Any = ..., null: Any = SAME) -> Any:
        """A number above 0, or any default."""
        value = self.take(key, float, default, null)
        if self.has(key) and value <= 0:
            raise self.refuse(key, "give a number above 0")
        return value

    def depth(self, key: str, default: Any = ...) -> int:
        return self.count(key, default, most=MAX_LAYERS)

    def listing(self, key: str, kind: type | tuple[type, ...], default: Any = None, most: int = 4096) -> Any:
        """A list whose entries are all of type `kind`."""
        value = self.take(key, (list, tuple), default)
        if value is not default and (len(value) > most or not all(isinstance(v, kind) and type(v) is not bool for v in value)):
            words = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
            raise self.refuse(key, f"expected a list of {words}, at most {most:,} long")
        return value

    def expect(self, key: str, *accepted: Any) -> None:
        """Accept `key` only with one of the `accepted` values (or absent); anything else is refused by name."""
        self.left.discard(key)
        self.known.add(key)
        value = self.raw.get(key)
        if value is not None and not any(says(value, a) for a in accepted):
            raise self.refuse(key, f"only {' or '.join(map(shown, accepted))} is supported")

    def ignore(self, *keys: str) -> None:
        """Keys of this family that change nothing."""
        self.left -= set(keys)
        self.known.update(keys)

    def nested(self, key: str) -> "Config":
        self.left.discard(key)
        self.known.add(key)
        value = self.raw.get(key)
        return Config({} if value is None else value, self._path(key))

    def refuse(self, key: str, why: str) -> Unsupported:
        said = f"{shown(self.raw[key])} is not supported" if key in self.raw else "is missing"
        return Unsupported(f"{self._path(key)}: {said}: {why}")

    def finish(self, read: Mapping[str, Any] | None = None) -> None:
        """Refuse keys that nobody took, unless they mean "nothing" (null, false, 0), or repeat what was `read`, the spec's mapping.
        `is_causal` may only be true."""
        self.expect("is_causal", True)
        if self.raw.get("use_sliding_window") is False:
            self.ignore("sliding_window", "max_window_layers")
        left = [key for key in sorted(self.left) if not nothing(key, self.raw.get(key))]
        again = _again(read) if left and read else {}
        for key in left:
            value = self.raw[key]
            if any(says(_word(value), one) for one in again.get(key, ())) or (key[:1] == "_" and says(value, self.raw.get(key[1:]))):
                continue  # the second is a class's own attribute, saved beside the key that it was made of
            near = difflib.get_close_matches(key[:64], self.known - self.raw.keys(), 1, cutoff=0.85)
            raise Unsupported(
                f"{self._path(key):.80}: {shown(value)} is not a key that Strata knows for this family, and it could "
                "change the architecture" + "".join(f"; it knows {name}" for name in near)
            )

    def _path(self, key: str) -> str:
        key = self.said.get(key, key)
        key = key if key.isprintable() else shown(key)
        return f"{self.where}.{key}" if self.where else key


def nothing(key: str, value: Any) -> bool:
    """Whether an unknown key means "nothing": null, off, empty or none."""
    if isinstance(value, Mapping):
        return all(inner is None or inner is False for inner in value.values())
    if _is_number(value):
        return value == 0 and not _SCALES.search(key)
    return value is None or value is False or (isinstance(value, str | list | tuple) and not value)


def is_neutral(key: str) -> bool:
    """Whether a key says nothing of the architecture, whatever its value."""
    return key in NEUTRAL or (_NEUTRAL.search(key) is not None and not _COUNTS.search(key))


def _again(read: Mapping[str, Any]) -> dict[str, tuple]:
    """What was read, by every name that a family has for it, in one or several words; what layers have of several sizes or
    kinds has none."""
    parts = [part for part in read.get("parts", {}).values() if isinstance(part, Mapping)]
    position = read.get("position", {})
    said = {field: read.get(field) for field in ("d_model", "vocab_size", "context")}
    said |= {"eps": read.get("norm", {}).get("eps"), "base": position.get("base"), "fraction": position.get("fraction", 1.0)}
    said["depth"] = depth = sum(segment["repeat"] * len(segment["blocks"]) for segment in read.get("layers", ()))
    for field in ("heads", "kv_heads", "head_dim"):
        sizes = {part[field] for part in parts if part.get("kind", "").endswith("attention") and field in part}
        said[field] = sizes.pop() if len(sizes) == 1 else None
    widths = {part["d_ff"] for part in parts if part.get("kind") == "feed_forward"}
    said["d_ff"] = widths.pop() if len(widths) == 1 else None
    if position.get("kind") == "rope" and said["head_dim"]:
        said["turned"] = int(said["head_dim"] * said["fraction"])
    if position.get("kind") != "rope":
        said["fraction"] = None
    words: dict[str, Iterable] = {field: (value,) for field, value in said.items() if value is not None}
    kinds = {"norm": read.get("norm", {}).get("kind"), "position": position.get("kind")}
    words |= {field: _WORDS[kind].split() for field, kind in kinds.items() if kind in _WORDS}
    words |= {"rms": [kinds["norm"] == "rms"], "rope": [kinds["position"] == "rope"]}
    activations = {part["activation"] for part in parts if "activation" in part}
    if len(activations) == 1:
        name = activations.pop()
        words["activation"] = {_word(name), _word(GATED.get(name, name))}
    if all(part.get("kind") in ("feed_forward", "experts") or part.get("kind") == "attention" and "sight" not in part for part in parts):
        words["layer_types"] = [["full_attention"] * depth]
    return {name: tuple(words[field]) for field, names in _AGAIN.items() if field in words for name in names.split()}


def _word(value: Any) -> Any:
    """A word without case and underscores, any other value as it is."""
    return value.lower().replace("_", "") if isinstance(value, str) else value


def _inside(value: Any, key: str) -> bool:
    """Whether a key is in a mapping or in one of its mappings: transformers 5 moved those of positions into rope_parameters."""
    return isinstance(value, Mapping) and (key in value or any(_inside(inner, key) for inner in value.values() if inner is not value))


def shown(value: Any) -> str:
    """A value in a message, always short."""
    try:
        text = reprlib.repr(value)
        return text if len(text) <= 80 else f"{text[:79]}…"
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list without end
        return f"a {type(value).__name__} too large to show"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def says(value: Any, accepted: Any) -> bool:
    """Whether both are equal; 1 is not equal to true."""
    return isinstance(value, bool) == isinstance(accepted, bool) and value == accepted


# Keys of a wrapper's config.json for that of its language model.
TEXT_KEYS = ("text_config", "llm_config", "language_config", "thinker_config")
# What the config.json of a wrapper says of images, sound and tokens, beside its text_config.
WRAPPING = tuple(
    """_vocab_size density_router_hidden_size density_router_threshold do_image_splitting encoder_patch_size
    image_seq_len max_image_tokens max_num_patches max_pixels_tolerance max_tiles min_image_tokens min_tiles tile_size
    use_image_special_tokens use_thumbnail density_router_loss_weight diffusion_head_config diffusion_loss_weight
    semantic_model_config acoustic_tokenizer_chunk_size acoustic_tokenizer_encoder_config adapter_config adapter_layer_norm_eps
    adaptor_config audio_frame_step alignment_intermediate_size audio_chunk_size audio_config audio_merge_size
    audio_soft_tokens_per_image deepstack_layer_map downsample_factor downsample_mode downsample_rate downsample_ratio
    drop_vision_last_layer encoder_config force_image_size has_lora_adapter high_res_vision_config ignore_index image_end_id
    image_grid_pinpoints image_newline_id image_seq_length image_size image_start_id image_text_hidden_size initializer_factor
    insert_layer_id max_value_projector_patch_to_query_dict merge_kernel_size merger_times mm_tokens_per_image
    multimodal_projector_bias newline_id num_channels num_query_tokens patch_size perceiver_config position_id_per_seconds
    projection_dim projection_hidden_size projection_layer_norm_eps projector_bias projector_config projector_dropout
    projector_hidden_act projector_hidden_size projector_layernorm_eps projector_patch_to_query_dict projector_pooling_ratio
    projector_use_layernorm qformer_config scale_factor seconds_per_chunk semantic_tokenizer_encoder_config slice_end_id
    slice_start_id spatial_merge_size spatial_pool_mode spatial_pool_stride spatial_target_layers spatial_vision_layer
    token_classification_bias use_decoder_only_language_model use_image_newline_parameter video_pruning_rate video_seq_length
    video_temporal_patch_size vision_aspect_ratio vision_config vision_feature_layer vision_feature_select_strategy
    vision_hidden_size vision_soft_tokens_per_image vision_use_cls_token visual_indicator_token_ids vocabulary_map vq_config
    window_size word_timestamp_config""".split()
)


def text_config(config: Config, *types: str, tie: Any = ...) -> Config:
    """The language model's keys of a multimodal config.json. Vision, projector and image tokens are no part of it. Its stored
    precision holds where the text says nothing, and what it says of tied embeddings does always; `tie` is whether they are
    tied where the family has another rule, None for the text model's own word."""
    config.ignore(*WRAPPING, "quantization_config")
    text = config.nested("text_config")
    outer = {key: config.raw[key] for key in ("dtype", "torch_dtype", "quantization_config") if config.has(key)}
    if text.has("dtype") or text.has("torch_dtype"):
        outer = {key: value for key, value in outer.items() if key not in ("dtype", "torch_dtype")}
    merged = Config({**text.raw, **{key: value for key, value in outer.items() if not text.has(key)}}, "text_config")
    merged.ignore("num_image_tokens", "perceiver_config", "pixel_shuffle_factor")
    said = config.take("tie_word_embeddings", bool, None)
    tie = said if tie is ... else tie
    if tie is not None:
        merged.raw = {**merged.raw, "tie_word_embeddings": tie}
        merged.left.add("tie_word_embeddings")
    if types:
        merged.expect("model_type", *types)
    return merged


def wrapped(config: Config, read: Callable[[Config, str], dict], model_type: str, *types: str, tie: Any = ...) -> dict:
    """The text model of a multimodal config.json, `read` as `model_type`; it may call itself by one of `types`, by default that."""
    text = text_config(config, *(types or (model_type,)), tie=tie)
    value = read(text, model_type)
    text.finish(value)
    return value
