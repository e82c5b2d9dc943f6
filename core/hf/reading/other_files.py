"""Files that stand beside a config.json, or are one of another kind of model: named as what they are, with what to give instead."""

from collections.abc import Mapping
from typing import Any

from .config import shown

CONFIG = "give the model's config.json"
_DRAFTING = {"medusa_num_heads", "hydra_num_heads", "speculators_model_type", "draft_vocab_size", "eagle_config", "dflash_config"}
# A key that only one kind of file has -> what that file is.
_BY_KEY = {
    "weight_map": "the index of a checkpoint's files (model.safetensors.index.json)",
    "added_tokens_decoder": "a tokenizer_config.json",
    "added_tokens": "a tokenizer.json",
    "image_processor_type": "the config of an image processor (preprocessor_config.json)",
    "feature_extractor_type": "the config of a feature extractor (preprocessor_config.json)",
    "video_processor_type": "the config of a video processor (video_preprocessor_config.json)",
    "image_mean": "the config of an image processor (preprocessor_config.json)",
    "processor_class": "the config of a processor (processor_config.json)",
    "similarity_fn_name": "the config of sentence-transformers (config_sentence_transformers.json)",
    "word_embedding_dimension": "the config of sentence-transformers' pooling (1_Pooling/config.json)",
    "log_history": "a trainer's state (trainer_state.json)",
    "_diffusers_version": "the config of a diffusion model's part, of diffusers",
    "dim": "a params.json, in the words of its makers' own code",
    "quant_algo": "a file of quantisation (hf_quant_config.json)",
    "merge_method": "the recipe of mergekit, whose result has a config.json",
    "zero_optimization": "the config of DeepSpeed, for training",
    "train_micro_batch_size_per_gpu": "the config of DeepSpeed, for training",
    "train_batch_size": "the config of DeepSpeed, for training",
    "desc_act": "a file of quantisation (quantize_config.json)",
    "q_group_size": "a file of quantisation (quant_config.json)",
    "pooling_mode_cls_token": "the config of sentence-transformers' pooling (1_Pooling/config.json)",
    "chat_template": "a tokenizer's chat template",
    "tokenizer_class": "a tokenizer_config.json",
    "do_sample": "a generation_config.json",
    "max_new_tokens": "a generation_config.json",
    "temperature": "a generation_config.json",
    "_from_model_config": "a generation_config.json",
}
_BESIDE_IDS = {"transformers_version", "max_length", "min_length", "pad_token", "cache_implementation"}  # in short generation configs
_ENCODERS = """
    albert bert camembert deberta deberta-v2 distilbert electra ernie esm eurobert flaubert funnel gte_bert ibert jina_bert
    layoutlm layoutlmv3 lilt longformer luke megatron-bert mobilebert modernbert mpnet neobert new nomic_bert nystromformer
    rembert roberta roberta-prelayernorm roformer splinter squeezebert xlm-roberta xlm-roberta-xl xlnet yoso
""".split()
_BOTH = """
    bart bigbird_pegasus blenderbot blenderbot-small encoder-decoder florence2 fsmt led longt5 m2m_100 marian mbart
    moonshine mt5 mvp nllb-moe pegasus pegasus_x pix2struct plbart prophetnet seamless_m4t seamless_m4t_v2
    speech-encoder-decoder speech_to_text switch_transformers t5 t5gemma t5gemma2 trocr umt5 vision-encoder-decoder whisper
""".split()
_SEEING = """
    align altclip beit blip chinese_clip clip clip_text_model clip_vision_model clipseg convnext convnextv2 deit
    depth_anything detr dinov2 dinov3_vit dpt efficientnet grounding-dino groupvit mask2former mobilevit oneformer owlv2
    owlvit resnet rt_detr sam sam2 segformer siglip siglip2 siglip_text_model siglip_vision_model swin swinv2 timm_wrapper
    videomae vilt vit vit_mae vitmatte yolos zoedepth
""".split()
_HEARING = """
    audio-spectrogram-transformer bark clap dac data2vec-audio encodec hubert mimi musicgen parakeet_ctc sew speecht5
    unispeech vits wav2vec2 wav2vec2-bert wavlm
""".split()
KINDS = {
    **dict.fromkeys(_ENCODERS, "an encoder, which predicts no next token"),
    **dict.fromkeys(_BOTH, "an encoder-decoder, whose decoder reads what an encoder gives"),
    **dict.fromkeys(_SEEING, "a model of images"),
    **dict.fromkeys(_HEARING, "a model of sound"),
}


def named(raw: Mapping[str, Any]) -> str | None:
    """What this mapping is, and what to give instead, where it is no config.json of a model; None where it may be one."""
    if "peft_type" in raw or "lora_parameters" in raw:
        base = raw.get("base_model_name_or_path") or raw.get("model")
        whose = f", {shown(base)}" if isinstance(base, str) else ""
        return f"this is the adapter_config.json of an adapter, which changes another model; give the config.json of that one{whose}"
    if raw.keys() & _DRAFTING or raw.get("model_type") in ("eagle", "eagle3", "medusa", "mlp_speculator"):
        return "this is a draft for another model, whose stream it reads; give the config.json of that model"
    if isinstance(raw.get("model_config"), Mapping) and "context_window_size" in raw:
        return f"this is the mlc-chat-config.json of MLC; {CONFIG}"
    if "model_format" in raw and raw.keys() & {"model_family", "model_families"}:
        return f"this is ollama's config of an image, whose weights are a GGUF file; {CONFIG}"
    if raw.keys() & {"model_type", "architectures"}:
        return None
    if "architecture" in raw and raw.keys() & {"producer", "mapping", "quantization"}:
        return "this is the config of TensorRT-LLM's checkpoint, in its own words; give the config.json of the model it was made from"
    if isinstance(quantisation := raw.get("quantization"), Mapping) and ("producer" in raw or "quant_algo" in quantisation):
        return f"this is a file of quantisation (hf_quant_config.json); {CONFIG}"
    if "ssm_cfg" in raw and "d_model" in raw:
        return "this is the config of mamba_ssm, the makers' own code; give the config.json of the model made for transformers (…-hf)"
    if isinstance(model := raw.get("model"), Mapping) and "decoder" in model:
        return f"this is the genai_config.json of ONNX Runtime; {CONFIG}"
    if raw and raw.keys() <= {"max_seq_length", "do_lower_case"}:
        return f"this is the config of sentence-transformers (sentence_bert_config.json); {CONFIG}"
    if "_class_name" in raw:
        return f"this is the config of {shown(raw['_class_name'])}, a diffusion model's part, of diffusers; Strata reads language models"
    for key, what in _BY_KEY.items():
        if key in raw:
            return f"this is {what}; {CONFIG}"
    values = list(raw.values())
    if values and all(key.endswith(("_token", "_tokens")) and not isinstance(value, bool) for key, value in raw.items()):
        return f"this is a special_tokens_map.json; {CONFIG}"
    if values and all(key.endswith(("_token_id", "_token_ids")) or key in _BESIDE_IDS for key in raw):
        return f"this is a generation_config.json; {CONFIG}"
    if len(values) > 16 and all(type(value) is int for value in values):
        return f"this is a tokenizer's vocabulary; {CONFIG}"
    if any(isinstance(value, Mapping) and "data_offsets" in value for value in values[:4]):
        return f"this is the header of a safetensors file; {CONFIG}"
    return None
