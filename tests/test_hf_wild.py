"""config.json files as other tools save them: classes without a language-model head, keys said twice, keys that say nothing, values
that stand for others, and files of other kinds. What is right comes from transformers or from the files' makers."""

import math
import warnings

import pytest
import torch
import transformers
from parity import parameters, reference
from transformers.models.auto import modeling_auto

import core
from core.hf import BY_TYPE, from_hf, to_hf
from core.hf.reading import classes
from core.hf.reading.config import TEXT_KEYS, Config

warnings.filterwarnings("ignore", category=FutureWarning)
LLAMA = dict(
    model_type="llama", vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=128,
)  # fmt: skip
NEEDED = {  # what a type's own defaults leave out, though nothing can be built without it
    "cohere_compass_text": dict(rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=1e4))),
    "deepseek_v2": dict(num_experts_per_tok=6), "dots1": dict(n_routed_experts=16, n_shared_experts=2, num_experts_per_tok=4),
    "qwen3_omni_moe_text": dict(head_dim=128),
    "qwen4_exp_text": dict(indexer_n_heads=4, indexer_kv_heads=1, indexer_head_dim=256, indexer_budget=2_048, indexer_compress_ratio=16),
}  # fmt: skip
NEEDED["qwen4_exp"] = dict(text_config=NEEDED["qwen4_exp_text"])


def default(model_type: str) -> dict:
    """What transformers' class of a type saves of its defaults."""
    return transformers.AutoConfig.for_model(model_type, **NEEDED.get(model_type, {})).to_dict() | {"model_type": model_type}


def read(config: dict) -> core.Architecture | None:
    try:
        return from_hf(config)
    except core.Unsupported:
        return None


@pytest.fixture(scope="module")
def defaults() -> dict[str, tuple[dict, core.Architecture]]:
    """Every type that transformers has too, whose defaults are a language model: they and what they are read as."""
    types = [model_type for model_type in BY_TYPE if model_type in transformers.CONFIG_MAPPING and model_type != "git"]
    found = {model_type: default(model_type) for model_type in types}
    found = {model_type: (config, read(config)) for model_type, config in found.items()}
    few = {model_type for model_type, (_, arch) in found.items() if arch is None}
    # What transformers cannot build either, heads that rope cannot turn, and sight of what follows.
    assert few <= {"cohere_compass", "deepseek_ocr2", "deepseek_ocr2_text", "qwen3_omni_moe", "qwen3_omni_moe_thinker", "paligemma"}
    return {model_type: both for model_type, both in found.items() if both[1]}


def refused(config: dict, key: str) -> None:
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)


# ---- architectures ----

WITH_HEAD = ("CAUSAL_LM", "IMAGE_TEXT_TO_TEXT", "MULTIMODAL_LM", "SPEECH_SEQ_2_SEQ")
WITHOUT = ("SEQUENCE_CLASSIFICATION", "TOKEN_CLASSIFICATION", "QUESTION_ANSWERING", "MULTIPLE_CHOICE", "MASKED_LM")


def named(model_type: str, mappings: tuple[str, ...]) -> set[str]:
    """transformers' classes of a type for these tasks."""
    found = set()
    for task in mappings:
        name = getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {}).get(model_type, ())
        found |= {name} if isinstance(name, str) else set(name)
    return found


def test_every_class_with_a_language_models_head_is_read(defaults):
    for model_type, (config, arch) in defaults.items():
        for name in named(model_type, WITH_HEAD):
            assert read(config | {"architectures": [name]}) == arch, name
            assert read(config | {"architectures": name}) == arch, name


def test_every_class_without_one_is_refused_by_name(defaults):
    tried = 0
    for model_type, (config, _) in defaults.items():
        heads = named(model_type, WITH_HEAD)
        stems = {name.removesuffix(end) for name in heads for end in ("ForCausalLM", "ForConditionalGeneration", "LMHeadModel")}
        made_up = {f"{stem}{end}" for stem in stems - heads for end in ("Model", "ForProcessRewardModel", "ForRewardModel", "RewardModel")}
        for name in (named(model_type, WITHOUT) | made_up) - heads - classes.WHOLE:
            with pytest.raises(core.Unsupported, match=r"^architectures: "):
                pytest.fail(f"{model_type}, {name}: {from_hf(config | {'architectures': [name]}).title}")
            tried += 1
    assert tried > 800


@pytest.mark.parametrize(
    "name",
    [
        "MistralModel", "LlamaForSequenceClassification", "Qwen2ForProcessRewardModel", "LlamaBidirectionalModel", "LlamaBiForMNTP",
        "LlamaForRewardModelWithGating", "AutoModelForCausalLMWithValueHead", "LlamaForCausalLMEagle3", "Eagle3LlamaForCausalLM",
        "MedusaModel", "EAGLEModel", "Gemma3TextModel", "NVEmbedModel", "T5EncoderModel", "Qwen3NextMTP",
    ],
)  # fmt: skip
def test_a_class_with_another_head_or_none_is_refused_whatever_the_type(name):
    for model_type in BY_TYPE:
        refused({"model_type": model_type, "architectures": [name]}, "architectures")


def test_several_classes_are_all_looked_at():
    refused(LLAMA | dict(architectures=["LlamaForCausalLM", "LlamaModel"]), "architectures")
    refused(LLAMA | dict(architectures=["LlamaForCausalLM", 5]), "architectures")
    for names in (["LlamaForCausalLM", "SomebodysForCausalLM"], [], None, ["LLaMAForCausalLM"]):
        assert from_hf(LLAMA | dict(architectures=names)) == from_hf(LLAMA)


@pytest.mark.parametrize("name", ["ColPali", "ColQwen2_5", "BiQwen2", "SomebodysEmbedder"])
def test_a_class_of_which_nobody_knows_whether_it_has_a_head_is_read_where_a_head_has_no_matrix(name):
    tied = LLAMA | dict(tie_word_embeddings=True)
    assert from_hf(tied | dict(architectures=[name])) == from_hf(tied)
    refused(LLAMA | dict(architectures=[name]), "architectures")
    refused(FLAT | dict(architectures=[name]), "architectures")


def test_gemma_3_ties_as_its_wrapper_says():
    """transformers' Gemma3ForConditionalGeneration on the meta device; the text model's own word is not asked."""
    text = dict(model_type="gemma3_text", hidden_size=64, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1, head_dim=16)
    for said in ({}, dict(tie_word_embeddings=False), dict(tie_word_embeddings=True)):
        for own in ({}, dict(tie_word_embeddings=False), dict(tie_word_embeddings=True)):
            config = dict(model_type="gemma3", text_config=text | own) | said
            with torch.device("meta"):
                model = transformers.Gemma3ForConditionalGeneration(transformers.Gemma3Config(**config))
            model.tie_weights()
            tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
            assert from_hf(config).tied_embeddings == tied, (said, own)


WRITTEN = dict(is_causal=True)  # by which a file is no bare one
# Published: a class that is spelled unlike its type, or is another type's that reads the file alike.
ALIKE = [
    ("kimi_k2", "DeepseekV3ForCausalLM", {}), ("aquila", "LlamaForCausalLM", LLAMA | dict(model_type="aquila")),
    ("gpt-sw3", "GPT2LMHeadModel", {}),
    ("RefinedWebModel", "RWForCausalLM", {}), ("falcon", "RWForCausalLM", {}), ("nemotron-nas", "DeciLMForCausalLM", {}),
    ("phi-msft", "PhiForCausalLM", {}), ("chatglm", "ChatGLMModel", {}), ("hunyuan_v1_dense", "HunYuanDenseV1ForCausalLM", {}),
    ("qwen", "QWenLMHeadModel", {}), ("glmga", "Glm46VForConditionalGeneration", {"text_config": {"num_hidden_layers": 2}}),
    ("llava", "LlavaForConditionalGeneration", {"text_config": LLAMA | {"architectures": ["LlamaForCausalLM"]}}),
    ("internvl_chat", "InternVLChatModel", {"llm_config": LLAMA | {"architectures": ["LlamaModel"]}}),
    ("mistral", "LlamaForCausalLM", {"sliding_window": None, "num_key_value_heads": 8, "intermediate_size": 11_008,
                                     "max_position_embeddings": 2_048}),
    ("minimax_m3_vl", "MiniMaxM3SparseForConditionalGeneration", {"text_config": {"architectures": ["MiniMaxM3SparseForCausalLM"]}}),
]  # fmt: skip
# A type that another family would read otherwise.
CONTRADICTED = [
    ("mixtral", "LlamaForCausalLM", {}), ("llama", "MistralForCausalLM", {}), ("llama", "BitnetForCausalLM", {}),
    ("qwen2", "Qwen3ForCausalLM", {}), ("llama", "BartForConditionalGeneration", {}), ("qwen3", "Qwen3MoeForCausalLM", {}),
    ("llava", "LlamaForCausalLM", {"text_config": LLAMA}), ("gemma2", "GemmaForCausalLM", {}), ("gpt2", "GPTJForCausalLM", {}),
]  # fmt: skip


@pytest.mark.parametrize(("model_type", "name", "more"), ALIKE)
def test_a_class_of_another_name_that_is_the_same_is_read(model_type, name, more):
    config = WRITTEN | {"model_type": model_type} | more
    assert from_hf(config | {"architectures": [name]}) == from_hf(config)


@pytest.mark.parametrize(("model_type", "name", "more"), CONTRADICTED)
def test_a_class_that_contradicts_the_type_is_refused_by_name(model_type, name, more):
    refused({"model_type": model_type, "architectures": [name]} | more, "architectures")


def test_a_text_model_may_not_contradict_its_type_either():
    text = LLAMA | dict(model_type="llama", architectures=["MixtralForCausalLM"])
    refused(dict(model_type="llava", text_config=text), "text_config.architectures")


def test_a_type_is_known_by_every_class_that_transformers_has_for_it():
    others = {"internlm3", "iquestcoder"}  # whose class is llama's
    for model_type in set(BY_TYPE) - others:
        for name in named(model_type, ("CAUSAL_LM",)):
            assert classes.types(name) & {model_type, "gpt2"}, name


def test_the_type_may_be_left_to_the_class():
    nameless = {key: value for key, value in LLAMA.items() if key != "model_type"}
    assert from_hf(nameless | dict(architectures=["LlamaForCausalLM"])).parts == from_hf(LLAMA).parts
    refused(nameless | dict(architectures=["SomebodysForCausalLM"]), "model_type")


# ---- what a wrapper says of its text model too ----

SIZES = ("hidden_size", "num_hidden_layers", "num_attention_heads", "rms_norm_eps", "max_position_embeddings")
REMOTE = {
    "internvl_chat": ("llm_config", LLAMA), "multi_modality": ("language_config", LLAMA), "kimi_vl": ("text_config", {}),
    "ovis": ("llm_config", LLAMA), "NVLM_D": ("llm_config", LLAMA | dict(model_type="qwen2")), "h2ovl_chat": ("llm_config", LLAMA),
    "deepseek_vl_v2": ("language_config", dict(n_routed_experts=64, num_experts_per_tok=6, n_shared_experts=2)),
}  # fmt: skip


def wrapped(defaults) -> dict[str, tuple[dict, str, dict]]:
    """Every wrapper, where its text model is, and that."""
    found = {model_type: (config, "text_config", config["text_config"]) for model_type, (config, _) in defaults.items()
             if isinstance(config.get("text_config"), dict)}  # fmt: skip
    return found | {model_type: ({"model_type": model_type, key: text}, key, text) for model_type, (key, text) in REMOTE.items()}


def test_keys_that_every_wrapper_says_twice(defaults):
    wrappers = wrapped(defaults)
    assert len(wrappers) > 70 and {key for _, key, _ in wrappers.values()} < set(TEXT_KEYS)
    for model_type, (config, key, text) in wrappers.items():
        arch = from_hf(config)
        flat = {name: value for name, value in text.items() if name not in config}
        assert from_hf(config | flat) == arch, model_type
        refused(config | flat | {"mystery": 1}, "mystery")
        refused(config | {key: text | {"mystery": 1}}, rf"{key}\.mystery")
        for size in SIZES:
            if size in text and size in flat and model_type != "ovis2":
                refused(config | flat | {size: text[size] * 2}, size)


FLAT = dict(
    model_type="qwen2_5_vl", hidden_act="silu", hidden_size=64, num_attention_heads=4, num_hidden_layers=2, num_key_value_heads=2,
    intermediate_size=48, vocab_size=64, sliding_window=32_768, use_sliding_window=False, max_window_layers=28, rope_theta=1e6,
    rope_scaling=dict(mrope_section=[2, 3, 3], rope_type="default", type="default"), tie_word_embeddings=False, image_token_id=None,
)  # fmt: skip


def test_what_is_said_twice_may_differ_where_it_changes_nothing():
    """As transformers 4.52 saved Qwen2.5-VL: a window that is switched off stands outside, null inside."""
    text = {key: value for key, value in FLAT.items() if key not in ("model_type", "tie_word_embeddings")}
    text |= dict(model_type="qwen2_5_vl_text", sliding_window=None, layer_types=["full_attention"] * 2)
    assert from_hf(FLAT | dict(text_config=text)) == from_hf(FLAT)
    for key, value in dict(sliding_window=16, use_sliding_window=True, max_window_layers=1).items():
        assert from_hf(FLAT | dict(text_config=text) | {key: value}) == from_hf(FLAT), key
    for key, value in dict(intermediate_size=96, rope_theta=5e5, hidden_act="gelu", vocab_size=128, num_key_value_heads=None).items():
        refused(FLAT | dict(text_config=text) | {key: value}, key)
    refused(FLAT | dict(text_config=text | dict(num_hidden_layers=3, layer_types=None)), "num_hidden_layers")


def test_a_wrapper_may_count_fewer_tokens_than_its_table_has_rows():
    """PaliGemma: 257,152 tokens, 64 rows more."""
    text = LLAMA | dict(model_type="gemma", vocab_size=257_216)
    config = dict(model_type="paligemma", architectures=["ColPali"], _vocab_size=257_152, vocab_size=257_152, text_config=text)
    assert from_hf(config).vocab_size == 257_216
    refused(config | dict(vocab_size=257_217), "vocab_size")
    refused(config | dict(vocab_size=200_000), "vocab_size")


# ---- keys that say nothing ----

OLD = dict(  # what transformers 4 saved of every class
    return_dict=True, output_hidden_states=False, output_attentions=False, torchscript=False, use_bfloat16=False, tf_legacy_loss=False,
    pruned_heads={}, tie_encoder_decoder=False, is_encoder_decoder=False, is_decoder=False, cross_attention_hidden_size=None,
    add_cross_attention=False, max_length=20, min_length=0, do_sample=False, early_stopping=False, num_beams=1, num_beam_groups=1,
    diversity_penalty=0.0, temperature=1.0, top_k=50, top_p=1.0, typical_p=1.0, repetition_penalty=1.0, length_penalty=1.0,
    no_repeat_ngram_size=0, encoder_no_repeat_ngram_size=0, bad_words_ids=None, num_return_sequences=1, chunk_size_feed_forward=0,
    output_scores=False, return_dict_in_generate=False, forced_bos_token_id=None, remove_invalid_values=False, suppress_tokens=None,
    finetuning_task=None, id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0}, tokenizer_class=None, prefix=None, bos_token_id=1,
    sep_token_id=None, task_specific_params=None, problem_type=None, _name_or_path="", transformers_version="4.40.0", use_cache=True,
)  # fmt: skip
NOTHING = dict(
    num_reward_heads=0, num_extra_layers=0, a_weight=0.0, a_switch=False, a_list=[], a_dict={}, of_nulls={"a": None, "b": False},
    a_null=None, a_text="", internal_version="1.0", axolotl_version="0.4.1", pad_id=127_961, im_newline_id=11, mask_init_id=12,
    image_token_ids=[5], mtp_loss_scaling_factor=0.05, ffn_dropout=0.1, classifier_dropout=0.1, unsloth_fixed=True,
    use_flash_attention_2=True, gradient_checkpointing_ratio=1.0, init_std=0.02, initializer_factor=1.0, num_labels=2, _num_labels=2,
    custom_pipelines={"text-generation": {"impl": "x.Pipeline"}}, pad_token="<pad>", unk_token="<unk>", padding_side="left",
    chat_template="{{ a }}", license="mit", tags=["a"], language=["en"], base_model="a/b", library_name="transformers", seed=42,
    learning_rate=1e-5, freeze_embeddings=True, trust_remote_code=True, device_map="auto", _from_auto=True, type_vocab_size=2,
    eval_batch_size=8, use_liger_kernel=True, num_logits_to_keep=1,
)  # fmt: skip
SOMETHING = dict(
    mystery=1, mystery_scale=0.0, mystery_factor=0, mystery_theta=0, mystery_multiplier=0.0, rms_eps=0.0, mystery_pattern=[0, 1],
    init_num_experts=64, mtp_loss_heads=3, gradient_layers=3, init_size=8, experts_dropout=0.5, router_loss_experts=2,
    mystery_kind="x", mystery_heads=-1, mystery_layer_id=3, mystery_expert_id=1, of_one={"a": 1}, mystery_switch=True,
    _mystery=1, memory_token=3, freeze=3, norm_type="layernorm1p", position_embedding_type="nope", use_alibi=True,
)  # fmt: skip


@pytest.mark.parametrize("keys", [OLD, NOTHING], ids=["old", "nothing"])
def test_keys_that_say_nothing_are_passed_over_in_every_family(defaults, keys):
    for model_type, (config, arch) in defaults.items():
        more = {key: value for key, value in keys.items() if key not in config}
        text = config.get("text_config")
        words = {"name": arch.name, "title": arch.title}
        assert from_hf(config | more).model_copy(update=words) == arch, model_type
        if isinstance(text, dict):
            inner = {key: value for key, value in keys.items() if key not in text}
            assert from_hf(config | {"text_config": text | inner}) == arch, model_type


@pytest.mark.parametrize("key", SOMETHING)
def test_keys_that_say_something_are_refused_in_every_family(key):
    for model_type in ("llama", "qwen3", "gpt2", "deepseek_v3", "mamba2", "chatglm"):
        refused({"model_type": model_type, key: SOMETHING[key]}, key)
    refused(dict(model_type="llava", text_config=LLAMA) | {key: SOMETHING[key]}, key)
    refused(dict(model_type="llava", text_config=LLAMA | {key: SOMETHING[key]}), rf"text_config\.{key}")


def test_every_default_of_transformers_is_read_without_the_key(defaults):
    """A missing key means what the class says: of each type one key after the other, where the class itself can do without."""
    for model_type in ("llama", "mistral", "qwen2", "phi", "exaone4", "gemma2", "deepseek_v3", "nemotron_h", "minimax_m2", "olmoe"):
        config, arch = defaults[model_type]
        for key in config.keys() - {"model_type"}:
            left = {name: value for name, value in config.items() if name != key}
            theirs = transformers.AutoConfig.for_model(**left).to_dict() | {"model_type": model_type}
            assert from_hf(left).parts == from_hf(theirs).parts, (model_type, key)
        assert arch.parts == from_hf(WRITTEN | {"model_type": model_type}).parts


@pytest.mark.parametrize(
    ("model_type", "key", "value", "otherwise"),
    [
        ("phi", "rotary_dim", 32, 16), ("phi", "_num_hidden_layers", 24, 23), ("llama", "n_layer", 32, 31), ("llama", "n_embd", 4_096, 64),
        ("llama", "head_dim", 128, 64), ("qwen3", "layer_norm_epsilon", 1e-6, 1e-5), ("llama", "model_max_length", 2_048, 4_096),
        ("gptj", "intermediate_size", 16_384, 1), ("mistral", "num_kv_heads", 8, 32), ("opt", "_remove_final_layer_norm", False, "x"),
        ("llama", "norm_type", "rms_norm", "layer_norm"), ("stablelm", "norm_type", "LayerNorm", "RMSNorm"),
        ("llama", "use_rms_norm", True, 2), ("gpt_neox", "rms_norm", False, True), ("llama", "activation_function", "swiglu", "gelu"),
        ("llama", "act_fn", "silu", "relu2"), ("llama", "position_embedding_type", "rotary", "alibi"), ("bloom", "use_rope", False, True),
        ("gpt2", "position_embedding_type", "absolute", "rope"), ("llama", "orig_vocab_size", 32_000, 32_001),
        ("llama", "layer_types", ["full_attention"] * 32, ["full_attention"] * 31 + ["sliding_attention"]),
    ],
)  # fmt: skip
def test_a_key_may_say_again_what_another_says(model_type, key, value, otherwise):
    config = transformers.AutoConfig.for_model(model_type).to_dict() | {"model_type": model_type}
    if (model_type, key) == ("llama", "head_dim"):  # its own, of which another value is another model
        assert from_hf(config | {key: otherwise}) != from_hf(config)
        return
    assert from_hf(config | {key: value}) == from_hf(config)
    refused(config | {key: otherwise}, key)


def test_a_window_that_is_switched_off_is_none():
    """Qwen2's keys in files of other classes, as ports of its weights have them."""
    for model_type in ("llama", "gpt_neox", "olmo2"):
        config = dict(model_type=model_type, use_sliding_window=False, sliding_window=32_768, max_window_layers=28)
        assert from_hf(config) == from_hf(WRITTEN | dict(model_type=model_type))
        refused({key: value for key, value in config.items() if key != "use_sliding_window"}, "max_window_layers")


BARE = dict(torch_dtype="bfloat16", transformers_version="4.40.0", bos_token_id=1, use_cache=True, architectures=["LlamaForCausalLM"])


@pytest.mark.parametrize("more", [{}, BARE])
def test_a_file_that_says_no_sizes_is_refused(more):
    with pytest.raises(core.Unsupported, match="every size would be a default; give a whole"):
        from_hf(dict(model_type="llama") | more)
    assert from_hf(dict(model_type="llama", hidden_size=4_096) | more).d_model == 4_096


def test_a_size_that_is_null_is_refused_where_transformers_refuses_it(defaults):
    for model_type, (config, arch) in defaults.items():
        for key in ("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
            if key not in config or isinstance(config.get("text_config"), dict):
                continue
            try:
                type(transformers.AutoConfig.for_model(model_type, **NEEDED.get(model_type, {})))(**{key: None})
            except Exception:  # of many classes
                assert (again := read(config | {key: None})) is None or again.parts == arch.parts, (model_type, key)
            else:
                assert config[key] is not None or read(config), (model_type, key)
    for key in ("hidden_size", "vocab_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"):
        refused(LLAMA | {key: None}, key)


def test_a_missing_key_is_spoken_of_as_what_it_is():
    with pytest.raises(core.Unsupported, match=r"^num_experts_per_tok: .*this family's architecture cannot be known"):
        from_hf(dict(model_type="deepseek_v2"))
    with pytest.raises(core.Unsupported, match=r"^rope_scaling\.factor: .*a rope of type linear cannot be known"):
        from_hf(LLAMA | dict(rope_scaling=dict(type="linear")))


# ---- as makers' own code saves them ----

MM = dict(mm_vision_tower="openai/clip", mm_hidden_size=1_024, use_mm_proj=True, freeze_mm_mlp_adapter=False, image_aspect_ratio="pad")


@pytest.mark.parametrize(("name", "model_type"), [("LlavaLlamaForCausalLM", "llama"), ("LlavaMistralForCausalLM", "mistral"),
                                                  ("LlavaQwenForCausalLM", "qwen2")])  # fmt: skip
def test_llavas_own_code_has_the_language_models_keys_beside_its_own(name, model_type):
    flat = LLAMA | MM | dict(architectures=[name])
    assert from_hf(flat | dict(model_type="llava")).parts == from_hf(LLAMA | dict(model_type=model_type)).parts
    refused(flat | dict(model_type="llava", mystery=1), "mystery")
    refused(flat | dict(model_type="llava", architectures=["LlavaMptForCausalLM"]), "text_config")


def test_a_file_of_an_unknown_type_whose_class_is_known_says_which_type_that_is():
    with pytest.raises(core.Unsupported, match=r"'LlamaForCausalLM' in architectures is a class of llama; give that as model_type"):
        from_hf(LLAMA | dict(model_type="somebodys", architectures=["LlamaForCausalLM"]))


def test_a_missing_key_is_not_spoken_of_as_none():
    with pytest.raises(core.Unsupported, match=r"^text_config: is missing: it describes the language model"):
        from_hf(dict(model_type="aria", image_token_index=1))


def test_jais_has_two_names_for_its_multipliers():
    config = dict(n_embd=64, n_layer=1, n_head=4, activation_function="swiglu", position_embedding_type="alibi")
    older = dict(embeddings_scale=14.6, width_scale=0.2, scale_qk_dot_by_d=True)
    newer = dict(mup_embeddings_scale=14.6, mup_width_scale=0.2, mup_scale_qk_dot_by_d=True)
    assert from_hf(config | older | dict(model_type="jais")) == from_hf(config | newer | dict(model_type="jais"))


def test_gpt2_and_opt_are_read_as_they_were_first_saved():
    for model_type, more in (("gpt2", dict(predict_special_tokens=True, n_special=0, output_past=True, _num_labels=1)),
                             ("opt", dict(learned_embeddings=True, scale_embeddings=False))):  # fmt: skip
        plain = WRITTEN | dict(model_type=model_type)
        assert from_hf(plain | more) == from_hf(plain)
    refused(dict(model_type="opt", learned_embeddings=False), "learned_embeddings")
    refused(dict(model_type="chatglm", position_encoding_2d=True, vocab_size=130_528), "position_encoding_2d")


# ---- values and types ----

YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)


def test_yarns_attn_factor_is_not_looked_at():
    """transformers reads attention_factor; attn_factor is of other programs."""
    config = transformers.AutoConfig.for_model(**LLAMA, rope_scaling=YARN)
    factors = []
    for more in ({}, dict(attn_factor=0.878)):
        settings = transformers.AutoConfig.for_model(**LLAMA, rope_scaling=YARN | more)
        factors.append(transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["yarn"](settings, "cpu")[1])
    assert factors[0] == factors[1] == pytest.approx(0.1 * math.log(4) + 1) and config.rope_parameters["factor"] == 4
    plain = from_hf(LLAMA | dict(rope_scaling=YARN))
    assert from_hf(LLAMA | dict(rope_scaling=YARN | dict(attn_factor=0.878, extrapolation_factor=1.0))) == plain
    refused(LLAMA | dict(rope_scaling=YARN | dict(extrapolation_factor=2.0)), r"rope_scaling\.extrapolation_factor")
    refused(LLAMA | dict(rope_scaling=dict(type="linear", factor=2.0, attn_factor=0.9)), r"rope_scaling\.attn_factor")


@pytest.mark.parametrize("model_type", ["mamba2", "nemotron_h", "bamba", "granitemoehybrid", "zamba2", "falcon_h1"])
def test_infinity_has_many_names(defaults, model_type):
    config, arch = defaults[model_type]
    for largest in (math.inf, "Infinity", "inf", {"__float__": "Infinity"}, 1e308, 1.7976931348623157e308, 3.4028235e38, None):
        assert from_hf(config | dict(time_step_limit=[0.0, largest])) == arch
    for limits in ([0.0, math.nan], [0.0, "x"], [0.0, {"a": 1}], [0.0, -math.inf], [0.0], [0.0, 1.0, 2.0]):
        refused(config | dict(time_step_limit=limits), "(time_step_limit|parts.mamba.step_max)")


def test_the_gate_of_delta_nets_is_a_swish():
    config = dict(model_type="qwen3_5_text", num_hidden_layers=4)
    assert from_hf(config | dict(output_gate_type="swish")) == from_hf(config)
    refused(config | dict(output_gate_type="sigmoid"), "output_gate_type")


def test_exaone_45_is_exaone_4_with_a_module_ahead():
    """Its vision model's class knows exaone4_5_text as exaone4; vLLM's exaone4_5_mtp.py has the module."""
    text = LLAMA | dict(
        model_type="exaone4_5_text", architectures=["Exaone4ForCausalLM"], num_hidden_layers=4, sliding_window=16,
        sliding_window_pattern="LLLG", _num_mtp_layers=1, num_nextn_predict_layers=1, mtp_share_layers=True, mtp_loss_scaling_factor=0.05,
    )  # fmt: skip
    config = dict(model_type="exaone4_5", text_config=text, tie_word_embeddings=False, vision_config={}, vocab_size=64)
    arch = from_hf(config)
    plain = {key: value for key, value in text.items() if "mtp" not in key and "nextn" not in key and key != "architectures"}
    with torch.device("meta"):
        assert core.cost(arch).parameters == parameters(reference(plain | dict(model_type="exaone4", sliding_window_pattern=4)))
    block = core.build(arch).layers[0]
    one, width = sum(p.numel() for p in block.parameters()), arch.d_model
    assert core.cost(arch).mtp_parameters == one + 2 * width * width + 3 * width
    assert from_hf(to_hf(arch)) == arch
    refused(config | dict(text_config=text | dict(_num_mtp_layers=2)), r"text_config\._num_mtp_layers")
    refused(config | dict(text_config=text | dict(num_nextn_predict_layers=2)), r"text_config\.num_nextn_predict_layers")


def test_a_layer_of_nemotrons_search_without_any_part_is_not_there():
    full = dict(attention=dict(n_heads_in_group=2, no_op=False), ffn=dict(ffn_mult=2.0, no_op=False))
    none = dict(attention=dict(n_heads_in_group=None, no_op=True), ffn=dict(ffn_mult=None, no_op=True))
    config = {key: value for key, value in LLAMA.items() if key not in ("num_hidden_layers", "model_type")} | dict(
        model_type="nemotron-nas"
    )
    arch = from_hf(config | dict(num_hidden_layers=3, block_configs=[full, none, full]))
    assert arch == from_hf(config | dict(num_hidden_layers=2, block_configs=[full, full])) and arch.depth == 2
    refused(config | dict(num_hidden_layers=1, block_configs=[none]), "block_configs")


HUNYUAN = dict(
    add_classification_head=False, attention_head_dim=16, cla_share_factor=2, class_num=0, dense_list=[64, 0], head_dim=16, im_end_id=5,
    im_newline_id=11, im_start_id=4, mask_init_id=12, norm_type="rms", org_vocab_size=64, pad_id=127_961, pool_type="last",
    rope_scaling=dict(alpha=1000.0, beta_fast=32, beta_slow=1, factor=1.0, mscale=1.0, mscale_all_dim=1.0, type="dynamic"),
    text_end_id=7, text_start_id=6, use_cla=False, use_qk_norm=True, use_rotary_pos_emb=True,
)  # fmt: skip
PHI = dict(model_type="phi", hidden_size=64, num_attention_heads=4, num_key_value_heads=4, partial_rotary_factor=0.5, rotary_dim=8)
MINIMAX = dict(
    num_hidden_layers=4, hidden_size=64, num_attention_heads=8, num_key_value_heads=4, head_dim=16, rotary_dim=8, partial_rotary_factor=0.5,
    moe_layer_freq=[0, 1, 1, 1], architectures=["MiniMaxM3SparseForCausalLM"], vocab_size=64,
)  # fmt: skip


@pytest.mark.parametrize(
    ("config", "without"),
    [
        (LLAMA | dict(internal_version="1.0", rope_scaling=None, pretraining_tp=1), {"internal_version"}),
        (LLAMA | dict(model_type="hunyuan_v1_dense") | HUNYUAN, {"pad_id"}),
        (LLAMA | PHI, {"rotary_dim"}),
        (dict(model_type="minimax_m3_vl", text_config=MINIMAX, num_reward_heads=0, multimodal_projector_bias=True), {"num_reward_heads"}),
    ],
)
def test_files_of_makers_that_say_more(config, without):
    plain = {key: value for key, value in config.items() if key not in without}
    assert from_hf(config) == from_hf(plain)
    if config["model_type"] in ("llama", "phi"):
        with torch.device("meta"):
            assert core.cost(from_hf(config)).parameters == parameters(reference(plain))


# ---- other files ----

OTHERS = {
    "adapter_config.json": dict(peft_type="LORA", base_model_name_or_path="meta-llama/Llama-3.1-8B", r=8, target_modules=["q_proj"]),
    "tokenizer_config.json": dict(add_bos_token=True, added_tokens_decoder={}, tokenizer_class="LlamaTokenizer", model_max_length=4_096),
    "tokenizer.json": dict(version="1.0", truncation=None, added_tokens=[], model={"type": "BPE"}),
    "special_tokens_map.json": dict(bos_token="<s>", eos_token="</s>", additional_special_tokens=[]),
    "generation_config.json": dict(_from_model_config=True, bos_token_id=1, eos_token_id=2, transformers_version="4.40.0"),
    "preprocessor_config.json": dict(do_resize=True, image_processor_type="CLIPImageProcessor", size={"height": 336}),
    "processor_config.json": dict(image_seq_length=256, processor_class="Gemma3Processor"),
    "model.safetensors.index.json": dict(metadata={"total_size": 5}, weight_map={"a": "model-00001.safetensors"}),
    "header of a safetensors file": {"a.weight": dict(dtype="F16", shape=[1], data_offsets=[0, 2])},
    "hf_quant_config.json": dict(producer={"name": "modelopt"}, quantization={"quant_algo": "FP8"}),
    "TensorRT-LLM's checkpoint": dict(producer={"name": "modelopt"}, architecture="LlamaForCausalLM", hidden_size=64, quantization={}),
    "another model, whose stream": dict(medusa_num_heads=4, medusa_num_layers=1, base_model_name_or_path="lmsys/vicuna-7b-v1.3"),
    "a file of quantisation (hf": dict(quantization={"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}),
    "mlc-chat-config.json": dict(model_type="llama", model_config=dict(hidden_size=64), context_window_size=4_096, quantization="q4f16_1"),
    "this is a file of quantisation (quant_config.json)": dict(zero_point=True, q_group_size=128, w_bit=4, version="GEMM"),
    "sentence-transformers' pooling": dict(pooling_mode_cls_token=True),
    "mamba_ssm": dict(d_model=2_560, n_layer=64, vocab_size=50_277, ssm_cfg={}, rms_norm=True),
    "whose stream it reads": dict(hydra_num_heads=4, hydra_num_layers=4),
    "genai_config.json": dict(model={"bos_token_id": 1, "context_length": 4_096, "decoder": {}, "type": "phi3"}, search={}),
    "ollama": dict(model_format="gguf", model_family="llama", model_families=["llama"], model_type="8.0B", file_type="Q4_K_M"),
    "DeepSpeed": dict(train_batch_size="auto", zero_optimization={"stage": 3}),
    "mergekit": dict(merge_method="slerp", slices=[], dtype="bfloat16"),
    "sentence_bert_config.json": dict(max_seq_length=512, do_lower_case=False),
    "this is a generation_config.json": dict(bos_token_id=1, eos_token_id=[2, 3], max_length=4_096),
    "quantize_config.json": dict(bits=4, group_size=128, desc_act=False),
    "1_Pooling/config.json": dict(word_embedding_dimension=1_024, pooling_mode_cls_token=True),
    "config_sentence_transformers.json": dict(__version__={}, prompts={}, similarity_fn_name="cosine"),
    "diffusers": {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.30.0", "sample_size": 64},
    "trainer_state.json": dict(epoch=1.0, log_history=[]),
    "params.json": dict(dim=4_096, n_layers=32, n_heads=32, vocab_size=32_000, norm_eps=1e-5),
    "vocabulary": {str(n): n for n in range(300)},
    "draft": dict(speculators_model_type="eagle3", architectures=["Eagle3Speculator"]),
    "an encoder,": dict(model_type="bert", architectures=["BertModel"]),
    "encoder-decoder": dict(model_type="t5"),
    "a model of images": dict(model_type="siglip"),
    "a model of sound": dict(model_type="wav2vec2"),
}  # fmt: skip


@pytest.mark.parametrize("what", OTHERS)
def test_another_file_is_named_as_what_it_is(what):
    with pytest.raises(core.Unsupported) as refusal:
        from_hf(OTHERS[what])
    assert what in str(refusal.value) and ("give" in str(refusal.value) or "Strata reads" in str(refusal.value))


@pytest.mark.parametrize(("given", "named"), [("lama", "llama"), ("qwen3_mo", "qwen3_moe"), ("zq_splat", "llama, qwen3, deepseek_v3")])
def test_only_near_types_are_named_as_near(given, named):
    with pytest.raises(core.Unsupported, match=f"among them .*{named}"):
        from_hf(dict(model_type=given))


def test_an_encoder_decoder_of_any_type_is_one():
    with pytest.raises(core.Unsupported, match=r"^model_type: .*encoder-decoder"):
        from_hf(dict(model_type="somebodys", is_encoder_decoder=True))


def test_what_is_no_mapping_of_names_to_a_model_asks_for_its_type():
    refused(dict(hidden_size=64), "model_type")
    assert Config({"a": 1}).left == {"a"}


@pytest.mark.parametrize(
    "config", [{"model_type": "mpt", "d_model": None}, {"model_type": "gpt2", "n_embd": None}, {"model_type": "opt", "ffn_dim": None}]
)
def test_a_size_that_is_null_is_refused_by_the_name_that_it_has(config):
    key = next(key for key in config if key != "model_type")
    with pytest.raises(core.Unsupported, match=f"{key}: None is not supported: it is a size"):
        from_hf({"vocab_size": 64} | config)
