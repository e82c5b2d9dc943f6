"""Muse Glimmer against transformers, whose text model has its head, scaled and capped, in the wrapper alone."""

import parity
import pytest
import torch

import core
from core.spec import Unsupported

GLIMMER = dict(
    model_type="muse_glimmer_text", vocab_size=96, hidden_size=64, intermediate_size=80, num_hidden_layers=5, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, sliding_window=8, max_position_embeddings=64,
)  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5}
KINDS = ["sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"attention_bias": True, "hidden_activation": "gelu", "head_dim": 24, "tie_word_embeddings": True},
        {"layer_types": [*KINDS, *KINDS, "full_attention"], "layer_rope_theta": [0, 0, 1e4, 1e4, 0]},
        {"layer_types": ["full_attention"] * 5, "rope_parameters": LINEAR},
        {"qk_scale_factor": 1.5, "post_norm_eps": 1e-3, "rms_norm_eps": 1e-4, "output_multiplier": 0.5, "final_logit_softcapping": 5.0},
    ],
)  # fmt: skip
@torch.inference_mode()
def test_muse_glimmer(change):
    config = GLIMMER | change
    arch = parity.check(config)
    assert core.from_hf(core.to_hf(arch)) == arch
    theirs, ours = parity.reference(config), core.build(arch, device="cpu")
    parity.perturb(theirs)
    core.load_weights(ours, theirs.state_dict())
    tokens = torch.randint(96, (2, parity.TOKENS))
    logits = theirs(tokens, use_cache=False).logits * arch.head.scale
    capped = arch.head.softcap * torch.tanh(logits / arch.head.softcap)
    assert capped.std() > 1e-2 and (ours(tokens) - capped).abs().max() <= parity.TOLERANCE
    with parity.double_precision():
        ours = ours.double()
        assert (ours(tokens) - parity.stepwise(ours, tokens)).abs().max() <= 1e-6


def test_its_wrapper_is_read_and_a_wrong_list_is_refused():
    wrapped = {"model_type": "muse_glimmer", "text_config": GLIMMER, "vision_config": {}, "image_token_id": 92}
    text, named = core.from_hf(GLIMMER), {"name", "title", "family", "model_type"}
    assert core.from_hf(wrapped).model_dump(exclude=named) == text.model_dump(exclude=named)
    with pytest.raises(Unsupported, match="layer_rope_theta"):
        core.from_hf(GLIMMER | {"layer_rope_theta": [0, 1]})
