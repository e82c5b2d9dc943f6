"""Families with linear attention against transformers: logits and states on small random weights, the round trip."""

import pytest
from parity import check_logits

from core.hf import from_hf, to_hf

NEXT = dict(
    model_type="qwen3_next", vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, max_position_embeddings=64, linear_num_value_heads=4, linear_num_key_heads=2,
    linear_key_head_dim=8, linear_value_head_dim=12, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24,
    shared_expert_intermediate_size=32,
)  # fmt: skip
DENSE = {key: value for key, value in NEXT.items() if "expert" not in key and "moe" not in key} | dict(
    model_type="qwen3_5_text"
)
MOE = NEXT | dict(model_type="qwen3_5_moe_text", vocab_size=96)
LOGITS = {
    "qwen3-next": NEXT,
    "qwen3-next, some dense": NEXT
    | dict(mlp_only_layers=[0], norm_topk_prob=False, attention_bias=True, full_attention_interval=2, linear_conv_kernel_dim=3),
    "qwen3.5": DENSE,
    "qwen3.5, other pattern": DENSE
    | dict(layer_types=["full_attention", "linear_attention", "linear_attention", "linear_attention"], tie_word_embeddings=True),
    "qwen3.5 experts": MOE,
}  # fmt: skip


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    again = from_hf(to_hf(arch))
    assert again.model_copy(update={"family": arch.family}) == arch


def test_a_wrappers_text_part_is_read():
    for model_type, text in (("qwen3_5", DENSE), ("qwen3_5_moe", MOE)):
        alone = from_hf(text)
        wrapped = from_hf({"model_type": model_type, "text_config": text, "vision_config": {"depth": 2}})
        assert wrapped.parts == alone.parts and wrapped.layers == alone.layers
