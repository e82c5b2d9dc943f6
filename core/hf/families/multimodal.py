"""Models that see or hear: a wrapper's config.json holds its language model's in `text_config`, and that is what is read.

Most wrappers take any text model (WRAPPERS); some have one of their own, which is a known family with other defaults
(TEXTS). Positions of several axes (M-RoPE, arXiv:2409.12191) are one and the same for text, so that plain rope is exact.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...spec import Architecture, Unsupported
from ..reading import classes
from ..reading.config import OTHER_NAMES, TEXT_KEYS, WRAPPING, Config, nothing, says, text_config
from ..weights import tensors
from ..weights.checkpoint import Sources

# Wrapper -> the type of a text_config that names none. Any other that is read stands there too.
WRAPPERS = {
    "audioflamingo3": "qwen2", "aya_vision": "cohere2", "blip-2": "opt", "cohere_compass": "cohere_compass_text",
    "cohere2_vision": "cohere2", "deepseek_vl": "llama", "deepseek_vl_hybrid": "llama",
    "exaone4_5": "exaone4", "fast_vlm": "qwen2", "fun_asr_nano": "qwen3", "fuyu": "persimmon", "glmasr": "llama", "got_ocr2": "qwen2",
    "granite_speech": "granite", "granite_speech_plus": "granite", "hyperclovax_vision_v2": "hyperclovax", "idefics2": "mistral",
    "idefics3": "llama", "instructblip": "opt", "instructblipvideo": "opt", "internvl": "qwen2", "janus": "llama",
    "lfm2_vl": "lfm2", "lfm3_vl": "lfm3", "lighton_ocr": "qwen3", "llava": "llama", "llava_next": "llama",
    "llava_next_video": "llama", "llava_onevision": "qwen2",
    "minicpm_ocr": "qwen3_5_text", "minicpmv4_6": "qwen3_5_text", "minicpmv4_7": "qwen3_5_text", "moss_transcribe_diarize": "qwen3",
    "musicflamingo": "qwen2", "vibevoice": "qwen2",
    "nemo_speechlm": "nemotron_h", "nemotron_h_omni": "nemotron_h", "ovis2": "qwen2", "paligemma": "gemma", "perception_lm": "llama",
    "pp_chart2table": "qwen2", "qianfan_ocr": "qwen3", "qwen2_audio": "qwen2", "qwen3_asr": "qwen3", "shieldgemma2": "gemma3_text",
    "smolvlm": "llama", "vibevoice_asr": "qwen2", "video_llama_3": "qwen2", "video_llava": "llama", "vipllava": "llama", "voxtral": "llama",
}  # fmt: skip
# Wrapper -> its own text model.
OWN = {
    "aria": "aria_text", "cosmos3_edge": "cosmos3_edge_text", "deepseek_ocr2": "deepseek_ocr2_text", "emu3": "emu3_text_model",
    "granite4_vision": "granite4_vision_text", "granite_docling": "granite_docling_text", "hunyuan_vl": "hunyuan_vl_text",
    "paddleocr_vl": "paddleocr_vl_text",
    "glm46v": "glm4v_text", "glm4v": "glm4v_text", "glm4v_moe": "glm4v_moe_text", "glm_ocr": "glm_ocr_text", "glmga": "glm4v_text",
    "qwen2_5_omni_thinker": "qwen2_5_omni_text", "qwen2_5_vl": "qwen2_5_vl_text", "qwen2_vl": "qwen2_vl_text", "qwen3_vl": "qwen3_vl_text",
    "qwen3_vl_moe": "qwen3_vl_moe_text", "qwen3_omni_moe_thinker": "qwen3_omni_moe_text",
}  # fmt: skip
# Embeddings are tied where the wrapper says so, and as its text model says where it says nothing (of OWN, by the class), but:
EITHER = (  # where the wrapper or its text model says so
    "fast_vlm", "glm4v", "glm4v_moe", "glm_ocr", "hunyuan_vl", "llava", "llava_next_video", "llava_onevision", "paddleocr_vl",
    "qwen2_5_vl", "qwen2_vl", "shieldgemma2", "video_llama_3",
)  # fmt: skip
INNER = ("blip-2", "instructblip", "instructblipvideo", "nemotron_h_omni")  # as the text model alone says
NEVER = ("audioflamingo3", "nemo_speechlm", "qwen2_audio", "vibevoice_asr", "voxtral")  # never: the head has a matrix of its own
TIED = ("granite_docling", "hunyuan_vl", "paddleocr_vl")  # the classes of OWN that tie by default
THINKERS = {"qwen2_5_omni": "qwen2_5_omni_thinker", "qwen3_omni_moe": "qwen3_omni_moe_thinker"}  # what speaks stands beside
OTHERS_LLAVA = ("llava_llama", "llava_mistral", "llava_qwen")
FLAT = ("hunyuan_vl", "paddleocr_vl", "qwen2_vl", "qwen2_5_vl")  # older files have the text model's keys beside the wrapper's
PADDING = 1_024  # rows that a text model's table may have beyond the tokens that its wrapper counts
# Fuyu's files have these beside the wrapper's keys; they hold where there is no text_config.
FUYU = """vocab_size max_position_embeddings hidden_size intermediate_size num_hidden_layers num_attention_heads hidden_act layer_norm_eps
qk_layernorm rope_scaling rope_theta""".split()
USUAL = {  # what the keys mean that a text_config leaves out, where it is not what they mean to its own family
    "glmasr": dict(
        vocab_size=59_264, hidden_size=2_048, intermediate_size=6_144, num_hidden_layers=28, num_attention_heads=16, num_key_value_heads=4,
        max_position_embeddings=8_192, rms_norm_eps=1e-5, rope_parameters=dict(rope_theta=1e4, rope_type="default"),
    ),
    "voxtral": dict(
        vocab_size=131_072, hidden_size=3_072, intermediate_size=8_192, num_hidden_layers=30, num_key_value_heads=8,
        max_position_embeddings=131_072, rms_norm_eps=1e-5, rope_theta=1e8, head_dim=128,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """A text model as another family: what its absent keys mean, what always holds, which keys its class never reads."""

    family: str
    usual: Mapping[str, Any]
    always: Mapping[str, Any] = field(default_factory=dict)
    unread: str = ""


def _sizes(vocabulary: int, width: int, d_ff: int, depth: int, heads: int, kv_heads: int | None, context: int, **more: Any) -> dict:
    return {
        "vocab_size": vocabulary, "hidden_size": width, "intermediate_size": d_ff, "num_hidden_layers": depth,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "max_position_embeddings": context,
    } | more  # fmt: skip


QWEN2 = _sizes(152_064, 8_192, 29_568, 80, 64, 8, 32_768, rms_norm_eps=1e-5, rope_theta=1e6, max_window_layers=80)
WINDOWS = "sliding_window use_sliding_window max_window_layers layer_types"
GRANITE = _sizes(32_000, 4_096, 11_008, 32, 32, None, 2_048)
DOCLING = _sizes(133_800, 1_024, 2_048, 28, 16, 4, 32_768, rms_norm_eps=1e-5, tie_word_embeddings=True)
TEXTS = {
    "emu3_text_model": Text("llama", _sizes(184_622, 4_096, 14_336, 32, 32, 8, 9_216, rms_norm_eps=1e-5, rope_theta=1e6)),
    "exaone4_5_text": Text("exaone4", {}),
    "granite4_vision_text": Text("granite", GRANITE),
    "granite_docling_text": Text(
        "granite",
        DOCLING | dict(embedding_multiplier=12.0, logits_scaling=4.0, residual_multiplier=0.263, attention_multiplier=0.015625),
    ),
    "hunyuan_vl_text": Text(
        "hunyuan_v1_dense", _sizes(290_943, 4_096, 11_008, 32, 32, None, 2_048, rms_norm_eps=1e-5, tie_word_embeddings=True)
    ),
    "paddleocr_vl_text": Text(
        "llama",
        _sizes(103_424, 1_024, 3_072, 18, 16, 2, 131_072, rms_norm_eps=1e-5, rope_theta=5e5, head_dim=128, tie_word_embeddings=True),
        unread="attention_bias mlp_bias",
    ),
    "glm4v_text": Text(
        "glm4", _sizes(151_552, 4_096, 13_696, 40, 32, 2, 32_768, rms_norm_eps=1e-5, partial_rotary_factor=1.0),
        {"attention_bias": True, "head_dim": None},
    ),
    "glm4v_moe_text": Text(
        "glm4_moe", _sizes(151_424, 4_096, 10_944, 46, 96, 8, 65_536, rms_norm_eps=1e-5, attention_bias=True),
        {"use_qk_norm": False, "num_nextn_predict_layers": 0},
    ),
    "glm_ocr_text": Text(
        "glm4", _sizes(59_392, 1_024, 4_096, 16, 16, 8, 131_072, rms_norm_eps=1e-5, partial_rotary_factor=1.0, head_dim=None),
        {"attention_bias": False},
    ),
    "phi4_multimodal": Text(
        "phi3",
        _sizes(200_064, 3_072, 8_192, 32, 32, 8, 131_072, rms_norm_eps=1e-5, original_max_position_embeddings=4_096),
        unread="vision_config audio_config",
    ),
    "qwen2_5_omni_text": Text("qwen2", _sizes(152_064, 3_584, 18_944, 28, 28, 4, 32_768, rope_theta=1e6, max_window_layers=28)),
    "qwen2_5_vl_text": Text("qwen2", QWEN2, {"head_dim": None}),
    "qwen2_vl_text": Text("qwen2", QWEN2, {"head_dim": None}),
    "qwen3_omni_moe_text": Text(
        "qwen3_moe",
        _sizes(3_584, 2_048, 18_944, 28, 28, 4, 32_768, rope_theta=1e6, num_local_experts=128, num_experts_per_tok=8,
               moe_intermediate_size=768, norm_topk_prob=True),
        unread=f"{WINDOWS} shared_expert_intermediate_size use_qk_norm",
    ),
    "qwen3_vl_moe_text": Text(
        "qwen3_moe",
        _sizes(151_936, 2_048, 5_632, 24, 16, 16, 128_000, rope_theta=5e5, num_local_experts=60, num_experts_per_tok=4,
               moe_intermediate_size=1_408, tie_word_embeddings=True),
        {"norm_topk_prob": True}, WINDOWS,
    ),
    "qwen3_vl_text": Text("qwen3", _sizes(151_936, 4_096, 22_016, 32, 32, 32, 128_000, rope_theta=5e5, head_dim=128), unread=WINDOWS),
}  # fmt: skip
TYPES = (*WRAPPERS, *OWN, *THINKERS, *TEXTS)


def read(config: Config, model_type: str) -> dict:
    if model_type in TEXTS:
        config.left.clear()  # every key of it is read below
        return read_text(_as_family(config.raw, config.where, TEXTS[model_type]), TEXTS[model_type].family)
    if model_type in THINKERS:
        return _read_thinker(config, THINKERS[model_type])
    if model_type in FLAT and not config.has("text_config"):
        config.left.clear()
        config = Config(_nested(config), config.where)
    if model_type == "fuyu":
        config.expect("partial_rotary_factor", 0.5)
        if not config.has("text_config") and (flat := {key: config.raw[key] for key in FUYU if key in config.raw}):
            config.suppose("text_config", flat)
            config.ignore(*FUYU)
    if not config.has("text_config"):
        if model_type == "llava" and (kind := classes.type_of(config)) in OTHERS_LLAVA:  # whose own code says llava for all
            from . import BY_TYPE

            return BY_TYPE[kind].read(config, kind)
        raise config.refuse("text_config", "it describes the language model, and is what is read")
    text = text_config(config, tie=_tie(config, model_type))
    text.raw = {**USUAL.get(model_type, {}), **text.raw}
    if model_type == "ovis2":  # its class's own default fits no text model
        config.ignore("hidden_size", "vocab_size")
    if model_type == "musicflamingo":  # how its sound turns
        config.ignore("head_dim", "max_position_embeddings", "rope_parameters", "partial_rotary_factor")
    kind = text.take("model_type", str, OWN.get(model_type) or WRAPPERS[model_type])
    if model_type in OWN:
        text.expect("model_type", OWN[model_type], model_type)  # older files repeat the wrapper's
        kind = OWN[model_type]
    return read_text(text, kind)


def _read_thinker(config: Config, kind: str) -> dict:
    """The part that reads and answers; beside it stand what speaks and what makes sound of it."""
    config.ignore("talker_config", "token2wav_config", "code2wav_config", "enable_audio_output", "enable_talker")
    config.ignore("tie_word_embeddings")
    outer = {key: config.raw[key] for key in ("dtype", "torch_dtype", "quantization_config") if config.has(key)}
    thinker = Config(outer | config.nested("thinker_config").raw, "thinker_config")
    thinker.expect("model_type", kind)
    config.ignore("quantization_config")
    value = read(thinker, kind)
    said_twice(thinker, value, lambda raw: read(Config(raw), kind))
    thinker.finish(value)
    return value


def _tie(config: Config, model_type: str) -> bool | None:
    """Whether embeddings are tied; None where the text model's word holds, or what its family usually does."""
    outer = config.take("tie_word_embeddings", bool, model_type in TIED if model_type in OWN else None)
    if model_type in NEVER:
        return False
    own = model_type in INNER or (model_type in EITHER and not outer)
    return None if own else outer


def read_text(text: Config, kind: str) -> dict:
    """The language model by whatever family reads its type."""
    from . import BY_TYPE  # which holds this module's own families too

    if kind not in BY_TYPE or kind in WRAPPERS or kind in OWN:
        raise text.refuse("model_type", "it is not a text model that Strata reads")
    text.rename(OTHER_NAMES.get(kind, {}))
    value = BY_TYPE[kind].read(text, kind)
    text.finish(value)
    return value


def said_twice(config: Config, value: Mapping[str, Any], read: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
    """Keys of the language model that a wrapper says itself too, as transformers 4.52 to 4.55 saved them: passed over where the
    model would be the `value` that was read with them as well, refused by name where they contradict it."""
    inner = next((key for key in TEXT_KEYS if isinstance(config.raw.get(key), Mapping) and key not in config.left), None)
    if inner is None:
        return
    text, alone = config.raw[inner], {key: said for key, said in config.raw.items() if key not in config.left}
    for key in sorted(config.left):
        said = config.raw[key]
        if key in text and says(said, text[key]):
            config.ignore(key)
        if key not in config.left or (key not in text and nothing(key, said)):
            continue
        if key == "vocab_size" and isinstance(said, int) and 0 <= value["vocab_size"] - said < PADDING:
            config.ignore(key)
            continue
        try:
            same = read({**alone, inner: {**text, key: said}}) == value
        except Unsupported:
            if key not in text:  # unknown there too: `finish` refuses it
                return
            same = False
        if not same:
            raise config.refuse(key, f"{inner} makes it another, and the two must say the same")
        config.ignore(key)


def _as_family(raw: Mapping[str, Any], where: str, text: Text) -> Config:
    """The config of a text model as one of the family that it is like."""
    own = Config(raw, where)
    own.rename(OTHER_NAMES.get(text.family, {}))
    given = {key: value for key, value in own.raw.items() if key not in text.unread.split()}
    for key in ("rope_parameters", "rope_scaling"):
        if isinstance(given.get(key), Mapping):
            given[key] = _one_axis(given[key])
    return Config({**text.usual, **given, **text.always}, where)


def _one_axis(rope: Mapping[str, Any]) -> dict[str, Any]:
    """A rope dictionary without what says which channels turn by which axis: for text all of them are the position."""
    axes = ("mrope_section", "mrope_interleaved", "interleaved", "xdrope_section")
    plain = {key: said for key, said in rope.items() if key not in axes}
    for key in plain.keys() & {"type", "rope_type"}:
        for kind, known in (("mrope", "default"), ("xdrope", "dynamic")):
            plain[key] = known if plain[key] == kind else plain[key]
    return plain


def _nested(config: Config) -> dict[str, Any]:
    """A flat config.json with the language model's keys in a text_config of their own."""
    outer = {*WRAPPING, "tie_word_embeddings", "quantization_config"}
    inside = {key: value for key, value in config.raw.items() if key not in outer and key != "model_type"}
    return {key: value for key, value in config.raw.items() if key in outer} | {"text_config": inside}


def write(arch: Architecture) -> dict:
    raise Unsupported("model_type: the language model is written by its own family")


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch)


ignored = tensors.ignored
