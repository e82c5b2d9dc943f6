"""VaultGemma, Gemma 3n and Gemma 4 against transformers."""

import parity
import pytest

import core
from core.spec import Unsupported

VAULT = dict(
    model_type="vaultgemma", vocab_size=96, hidden_size=64, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=24, sliding_window=8, max_position_embeddings=64,
)  # fmt: skip


def exact(config: dict) -> core.Architecture:
    """Same logits, same count, and the config.json that is written back says the same."""
    parity.check(config)
    arch = parity.check_logits(config)
    assert core.from_hf(core.to_hf(arch)) == arch
    return arch


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attn_logit_softcapping": None, "final_logit_softcapping": None, "query_pre_attn_scalar": 100},
        {"attention_bias": True, "tie_word_embeddings": False, "hidden_activation": "gelu"},
        {"layer_types": ["full_attention"] * 3, "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}},
    ],
)  # fmt: skip
def test_vaultgemma(change):
    exact(VAULT | change)


def test_vaultgemma_keeps_its_own_name():
    assert core.to_hf(core.from_hf(VAULT))["model_type"] == "vaultgemma"
    with pytest.raises(Unsupported, match="use_bidirectional_attention"):
        core.from_hf(VAULT | {"use_bidirectional_attention": True})
