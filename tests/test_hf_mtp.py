"""Modules that predict further tokens: transformers' own as the oracle, the names that published files have, copies of tables."""

import pytest
import torch
from parity import TOLERANCE, perturb, reference
from transformers.modeling_layers import MtpModel

import core
from core.hf import family_for, mtp
from core.model import build_mtp, parameters
from core.spec import edited
from core.verify import compare

SMALL = dict(vocab_size=64, hidden_size=32, num_hidden_layers=2, max_position_embeddings=64, num_attention_heads=4)
ROUTED = dict(n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, n_shared_experts=1, first_k_dense_replace=1)
LATENT = dict(q_lora_rank=16, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=8, v_head_dim=8, n_group=1, topk_group=1)
DEEPSEEK = dict(model_type="deepseek_v3", num_key_value_heads=4, intermediate_size=48, num_nextn_predict_layers=2) | SMALL | ROUTED | LATENT
GLM = dict(model_type="glm4_moe", intermediate_size=48, num_key_value_heads=2, head_dim=8, num_nextn_predict_layers=1) | SMALL | ROUTED


@pytest.mark.parametrize("config", [DEEPSEEK, GLM], ids=["deepseek_v3", "glm4_moe"])
def test_modules_compute_what_transformers_do(config):
    torch.manual_seed(0)
    main, arch, depth = reference(config), core.from_hf(config), config["num_hidden_layers"]
    theirs = MtpModel(main, arch.mtp.count).eval()
    perturb(main), perturb(theirs)
    tensors = dict(main.state_dict())
    for name, tensor in theirs.state_dict().items():
        if name.startswith("layers."):
            _, module, rest = name.split(".", 2)
            rest = rest.removeprefix("mtp_block.").replace("post_norm", "shared_head.norm")
            tensors[f"model.layers.{depth + int(module)}.{rest}"] = tensor
    for module in range(arch.mtp.count):  # as the published files repeat them
        at = f"model.layers.{depth + module}"
        tensors |= {f"{at}.embed_tokens.weight": tensors["model.embed_tokens.weight"]}
        tensors |= {f"{at}.shared_head.head.weight": tensors["lm_head.weight"]}
    model, ours = core.build(arch, device="cpu"), build_mtp(arch, device="cpu")
    core.load_weights(model, tensors)
    core.load_weights(ours, tensors)
    assert parameters(ours) == sum(p.numel() for p in theirs.layers.parameters()) == core.cost(arch).mtp_parameters
    tokens = torch.randint(64, (2, 9))
    positions = torch.arange(8)
    with torch.inference_mode():
        stream = model.norm(model.stream(tokens[:, :-1]))
        for module in range(arch.mtp.count):
            given = dict(input_ids=tokens[:, 1:], position_ids=positions[None])
            expected = theirs.forward_layer(module, stream, mtp_cache=None, **given)
            got = ours[module](stream, model.embedding(tokens[:, 1:]), positions)
            assert expected.std() > 1e-2 and (got - expected).abs().max() <= TOLERANCE
            stream = expected
