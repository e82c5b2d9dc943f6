"""Models that see or hear whose classes came with their weights: the language model is what is read, by the family of its type.

Most keep its config.json under a key of theirs (INSIDE); others are a language model's config.json with more in it (BESIDE).
"""

from typing import Any

from ...spec import Architecture, Unsupported
from ..reading.config import WRAPPING, Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from . import multimodal

# Wrapper -> where its language model is, and the type of one that names none.
INSIDE = {
    "NVLM_D": ("llm_config", "qwen2"), "deepseek_vl_v2": ("language_config", "deepseek_v2"), "h2ovl_chat": ("llm_config", "mistral"),
    "internvl_chat": ("llm_config", "llama"), "kimi_vl": ("text_config", "deepseek_v3"), "multi_modality": ("language_config", "llama"),
    "ovis": ("llm_config", ...), "ovis2_5": ("llm_config", ...), "skywork_chat": ("llm_config", "qwen2"),
}  # fmt: skip
# Wrapper -> the type that the rest of its config.json is.
BESIDE = {
    "dots_ocr": "qwen2", "llava_llama": "llama", "llava_mistral": "mistral", "llava_qwen": "qwen2", "minicpmo": None, "minicpmv": None,
    "phi3_v": "phi3", "phi4mm": "phi3",
}  # fmt: skip
VERSIONS = {2: "minicpm", 2.5: "llama", 2.6: "qwen2", 4: "llama", 4.5: "qwen3"}  # of MiniCPM-V and MiniCPM-o
# What they say of images, sound and tokens, beside WRAPPING and all that begins with mm_.
OUTER = """aligner_config architecture audio_chunk_length audio_pool_step audio_processor batch_vision_input candidate_resolutions
    conversation_formatter_class dynamic_image_size embd_layer freeze_mm_mlp_adapter gen_aligner_config gen_head_config gen_vision_config
    global_view_pos image_aspect_ratio image_crop_resolution image_fold image_split_resolution img_context_token_id img_processor
    init_audio init_tts init_vision llm_attn_implementation max_dynamic_patch max_pixels max_slice_nums media_placeholder_token_id
    min_dynamic_patch min_pixels multimodal_max_length pad2square ps_version query_num scale_resolution select_layer slice_config slice_mode
    speech_lora stream_input system_message template tile_tag tokenizer_model_max_length tokenizer_padding_side tts_config
    tune_mm_mlp_adapter unfreeze_mm_vision_tower use_backbone_lora use_image_id use_mm_proj use_thumbnail version vision_batch_size
    vision_encoder vision_lora vision_tower_pretrained visual_tokenizer_config""".split()
# DeepSeek-VL2's own class of DeepSeek-V2, which DeepSeek-OCR has too.
DEEPSEEK = {
    "vocab_size": 102_400, "hidden_size": 4_096, "intermediate_size": 11_008, "moe_intermediate_size": 1_407, "num_hidden_layers": 30,
    "num_attention_heads": 32, "num_key_value_heads": 32, "kv_lora_rank": 512, "q_lora_rank": 1_536, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "qk_nope_head_dim": 128, "n_shared_experts": 0, "topk_method": "greedy", "norm_topk_prob": False,
    "scoring_func": "softmax", "max_position_embeddings": 2_048, "first_k_dense_replace": 0, "rms_norm_eps": 1e-6,
    "routed_scaling_factor": 1.0,
}  # fmt: skip
LATENT = ("kv_lora_rank", "q_lora_rank", "qk_rope_head_dim", "qk_nope_head_dim", "v_head_dim", "n_group", "topk_group")
TYPES = (*INSIDE, *BESIDE)


def read(config: Config, model_type: str) -> dict:
    config.expect("use_llm_lora", 0)  # else the language model's matrices are sums
    config.expect("disable_tie_weight", False)
    if model_type in BESIDE:
        kind = BESIDE[model_type] or _by_version(config)
        if kind == "qwen2":
            config.expect("attention_bias", True, False)  # said, never asked: q, k and v have one
        config.ignore(*WRAPPING, *OUTER, *(key for key in config.raw if key.startswith("mm_")))
        return multimodal.read_text(config, kind)
    key, kind = INSIDE[model_type]
    if not config.has(key):
        raise config.refuse(key, "it describes the language model, and is what is read")
    stored = {name: config.raw[name] for name in ("dtype", "torch_dtype") if config.has(name)}
    inside = config.nested(key)
    text = Config({**({} if stored.keys() & inside.raw.keys() else stored), **inside.raw}, inside.where)
    config.ignore(*WRAPPING, *OUTER, "quantization_config")
    config.expect("tie_word_embeddings", False)  # of its own: the language model's word is what counts
    text.expect("ep_size", 1)
    kind = text.take("model_type", str, kind)
    return multimodal.read_text(*(_deepseek(text) if model_type == "deepseek_vl_v2" else (text, kind)))


def _by_version(config: Config) -> str:
    """MiniCPM-V's language model by its version; the first two files say none, and differ in the width."""
    version = config.take("version", (int, float, str), 2 if config.raw.get("hidden_size") == 2_304 else 2.5)
    try:
        return VERSIONS[float(version)]
    except (ValueError, KeyError):
        raise config.refuse("version", f"those with a known language model are {', '.join(map(str, VERSIONS))}") from None


def _deepseek(text: Config) -> tuple[Config, str]:
    """Latent attention or not, and the router of V2 or of V3, by switches."""
    text.expect("model_type", "deepseek_v2")
    if not text.has("n_routed_experts"):
        raise text.refuse("n_routed_experts", "a model without experts is not read under this name")
    raw: dict[str, Any] = {**DEEPSEEK, **text.raw}
    kind = "deepseek_v3" if raw["topk_method"] == "noaux_tc" else "deepseek_v2"
    if kind == "deepseek_v3" and not (text.has("n_group") and text.has("topk_group")):
        raise text.refuse("n_group", "its router has groups, and asks how many")
    if raw.get("use_mla") is False:
        text.expect("topk_method", "greedy")
        text.expect("routed_scaling_factor", 1.0)
        kind = "deepseek"
        raw = {k: v for k, v in raw.items() if k not in (*LATENT, "topk_method", "routed_scaling_factor")}
    elif kind == "deepseek_v2":
        text.expect("norm_topk_prob", False)  # transformers' class never renormalises
    return Config({k: v for k, v in raw.items() if k not in ("use_mla", "lm_head", "rm_head", "ep_size")}, text.where), kind


def write(arch: Architecture) -> dict:
    raise Unsupported("model_type: the language model is written by its own family")


def sources(arch: Architecture) -> Sources:
    return tensors.llama_sources(arch)


ignored = tensors.ignored
