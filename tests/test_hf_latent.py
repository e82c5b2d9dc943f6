"""Families with latent attention against transformers: logits on small random weights, the round trip, what is refused."""

import pytest
import torch
from parity import check_logits, parameters, reference, stepwise
from transformers import AutoModelForCausalLM
from transformers.models.mistral4 import Mistral4Config
from transformers.models.mistral4.modeling_mistral4 import Mistral4ForCausalLM

import core
from core.hf import from_hf, to_hf

# transformers has it under mistral3 alone
AutoModelForCausalLM.register(Mistral4Config, Mistral4ForCausalLM, exist_ok=True)
SMALL = dict(
    vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=4,
    max_position_embeddings=64, kv_lora_rank=16, q_lora_rank=24, qk_rope_head_dim=8, qk_nope_head_dim=16, v_head_dim=12, pad_token_id=0,
)  # fmt: skip
ROUTED = SMALL | dict(n_routed_experts=8, num_experts_per_tok=2, moe_intermediate_size=24)
V3 = ROUTED | dict(model_type="deepseek_v3", n_group=2, topk_group=1)
GLM45 = {key: value for key, value in ROUTED.items() if "lora" not in key and not key.startswith(("qk", "v_"))} | dict(
    model_type="glm4_moe", num_attention_heads=5, num_key_value_heads=1, first_k_dense_replace=1
)
YARN = dict(rope_type="yarn", rope_theta=1e4, factor=4.0, original_max_position_embeddings=16, beta_fast=32.0, beta_slow=1.0)
AXK1 = ROUTED | dict(model_type="axk1", n_group=2, topk_group=1, n_shared_experts=1)
LITE = ROUTED | dict(model_type="glm4_moe_lite", n_shared_experts=1)
MISTRAL4 = ROUTED | dict(model_type="mistral4", n_shared_experts=1)
MINICPM3 = SMALL | dict(model_type="minicpm3")
YOUTU = SMALL | dict(model_type="youtu")
LONGCAT = {key: value for key, value in SMALL.items() if key not in ("num_hidden_layers", "intermediate_size")} | dict(
    model_type="longcat_flash", num_layers=2, ffn_hidden_size=40, moe_topk=3, n_routed_experts=8, zero_expert_num=4,
    expert_ffn_hidden_size=24, head_dim=8,
)  # fmt: skip
V2 = ROUTED | dict(model_type="deepseek_v2", n_shared_experts=2, first_k_dense_replace=1)
LOGITS = {
    "deepseek_v2, with biases": V2 | dict(mlp_bias=True, attention_bias=True),
    "deepseek_v2, with biases and no experts": V2 | dict(mlp_bias=True, first_k_dense_replace=3),
    "longcat_flash": LONGCAT,
    "longcat_flash, varied": LONGCAT | dict(zero_expert_num=12, moe_topk=5, attention_bias=True, routed_scaling_factor=1.0),
    "longcat_flash, no such experts": LONGCAT | dict(zero_expert_num=0, tie_word_embeddings=True),
    "axk1": AXK1,
    "axk1, other layers": AXK1 | dict(mlp_layer_types=["sparse", "dense", "sparse"], norm_topk_prob=False, tie_word_embeddings=True),
    "axk1, every other layer": AXK1 | dict(first_k_dense_replace=0, moe_layer_freq=2, rope_interleave=False, n_shared_experts=2),
    "glm4_moe_lite": LITE,
    "glm4_moe_lite, varied": LITE | dict(
        mlp_layer_types=["dense", "sparse", "dense"], q_lora_rank=None, attention_bias=True, n_group=2, routed_scaling_factor=1.0),
    "mistral4": MISTRAL4,
    "mistral4, varied": MISTRAL4 | dict(
        first_k_dense_replace=1, n_group=2, topk_group=1, norm_topk_prob=False, q_lora_rank=None, rms_norm_eps=1e-3,
        rope_parameters=YARN | dict(llama_4_scaling_beta=0.3, original_max_position_embeddings=8, mscale=1.0, mscale_all_dim=1.0)),
    "minicpm3": MINICPM3,
    "minicpm3, varied": MINICPM3 | dict(
        scale_emb=2.5, scale_depth=0.7, dim_model_base=12, tie_word_embeddings=False, q_lora_rank=None, v_head_dim=None,
        attention_bias=True, mlp_bias=True,
        rope_scaling=dict(rope_type="longrope", short_factor=[1.0] * 4, long_factor=[1.5] * 4, original_max_position_embeddings=32)),
    "minicpm3, nothing scaled": MINICPM3 | dict(scale_depth=None, dim_model_base=None, scale_emb=1),
    "youtu": YOUTU,
    "youtu, varied": YOUTU | dict(
        tie_word_embeddings=False, q_lora_rank=None, attention_bias=True, rope_interleave=False, rope_parameters=YARN),
    "glm4_moe, heads that do not divide the stream": GLM45 | dict(hidden_size=64),
    "glm4_moe, an odd number of channels turns": GLM45 | dict(hidden_size=52, attention_bias=True, use_qk_norm=True),
}  # fmt: skip
SARVAM = {key: value for key, value in ROUTED.items() if key not in ("n_routed_experts", "q_lora_rank")} | dict(
    model_type="sarvam_mla", num_experts=8, num_shared_experts=1, head_dim=24, q_head_dim=24, use_qk_norm=True,
    moe_router_enable_expert_bias=True, rope_scaling=YARN | dict(type="deepseek_yarn", rope_type=None, mscale=1.0, mscale_all_dim=1.0),
)  # fmt: skip
COUNTS = {
    "glm4_moe_lite, two names of a width": LITE | dict(head_dim=4),
    "kimi_k25": dict(
        model_type="kimi_k25", media_placeholder_token_id=5, vision_config={}, text_config=V3 | dict(model_type="deepseek_v3")
    ),
    "mistral3": dict(model_type="mistral3", text_config=MISTRAL4),
    "deepseek_v3, keys that change nothing": V3 | dict(num_key_value_heads=2, head_dim=32),
}


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_are_those_of_transformers(name):
    with torch.device("meta"):
        expected = parameters(reference(COUNTS[name]))
    assert core.cost(from_hf(COUNTS[name])).parameters == expected


def test_runs_of_tokens_are_looked_up_as_longcat_does():
    """Its class is in no library that could be asked: the places in the tables by hand, a text at a time."""
    config = LONGCAT | dict(model_type="longcat_flash_ngram", emb_neighbor_num=3, emb_split_num=2, ngram_vocab_size_ratio=5, eos_token_id=2)
    arch = from_hf(config)
    assert from_hf(to_hf(arch)) == arch
    live = core.build(arch, device="cpu")
    assert parameters(live) == core.cost(arch).parameters
    texts = [[7, 19, 3, 2], [2], [11, 5, 63, 0, 9]]
    tokens = torch.tensor([[token for text in texts for token in text]])
    expected = []
    for text in texts:
        for at, token in enumerate(text):
            x = live.embedding.weight[token].clone()
            for i, (table, up) in enumerate(zip(live.ngrams.tables, live.ngrams.ups, strict=True)):
                run = text[max(0, at - 1 - i // 2) : at + 1][::-1]
                place = sum(one * 64**back for back, one in enumerate(run)) % (5 * 64 + 1 + 2 * i)
                x += up.weight @ table.weight[place]
            expected.append(x / 5)
    with torch.inference_mode():
        found = live.ngrams(live.embedding(tokens), tokens)
        assert (found[0] - torch.stack(expected)).abs().max() < 1e-6
        live.double()
        assert (live(tokens) - stepwise(live, tokens, prompt=2)).abs().max() < 1e-6


def test_sarvam_is_deepseek_v3_in_other_words():
    """Its class is in no library that could be asked."""
    other = V3 | dict(n_group=1, topk_group=1, q_lora_rank=None, n_shared_experts=1, first_k_dense_replace=1, num_nextn_predict_layers=0)
    other |= dict(rope_scaling=YARN | dict(mscale=1.0, mscale_all_dim=1.0))
    words = {"name": "x", "title": "x", "family": None, "model_type": None}
    arch = from_hf(SARVAM)
    assert arch.model_copy(update=words) == from_hf(other).model_copy(update=words)
    assert from_hf(to_hf(arch)) == arch
