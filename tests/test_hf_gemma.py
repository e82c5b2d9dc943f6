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


GEMMA4 = dict(
    model_type="gemma4_text", vocab_size=96, hidden_size=64, intermediate_size=80, num_hidden_layers=6, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, global_head_dim=24, sliding_window=8, max_position_embeddings=64, hidden_size_per_layer_input=8,
    vocab_size_per_layer_input=96,
    layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"],
)  # fmt: skip
ROUTED = dict(enable_moe_block=True, num_experts=6, top_k_experts=2, moe_intermediate_size=24, hidden_size_per_layer_input=0)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_kv_shared_layers": 3, "use_double_wide_mlp": True, "final_logit_softcapping": 30.0},
        {"attention_k_eq_v": True, "num_global_key_value_heads": 1, "tie_word_embeddings": False, "attention_bias": True},
        ROUTED,
        ROUTED | {"num_kv_shared_layers": 3, "use_double_wide_mlp": True, "hidden_activation": "silu", "hidden_size_per_layer_input": 8},
        {"layer_types": ["full_attention"] * 6, "num_kv_shared_layers": 2, "hidden_activation": "gelu"},
        {"layer_types": ["sliding_attention"] * 6, "hidden_size_per_layer_input": 0},
        {"rope_parameters": {
            "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
            "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.5, "factor": 4.0, "rope_theta": 1e5},
        }},
        {"per_layer_config": {"02": {"head_dim": 32}, "05": {"head_dim": 32}}},
        {"per_layer_config": {"2": {"num_key_value_heads": 4}, "5": {"num_key_value_heads": 4}}},
    ],
)  # fmt: skip
def test_gemma4(change):
    exact(GEMMA4 | change)


UNIFIED = {key: value for key, value in GEMMA4.items() if "per_layer" not in key} | {"model_type": "gemma4_unified_text"}


@pytest.mark.parametrize("change", [{}, {"attention_k_eq_v": True, "num_global_key_value_heads": 4, "use_bidirectional_attention": None}])
def test_gemma4_unified(change):
    exact(UNIFIED | change)


def test_gemma4_wrapped():
    text = GEMMA4 | {"num_kv_shared_layers": 3}
    arch = exact({"model_type": "gemma4", "text_config": text, "vision_config": {}, "audio_token_id": 5})
    assert arch.parts == core.from_hf(text).parts
    exact({"model_type": "gemma4_unified", "text_config": UNIFIED})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"use_bidirectional_attention": "all"}, "use_bidirectional_attention"),
        ({"num_kv_shared_layers": 5}, "num_kv_shared_layers"),
        ({"per_layer_config": {"2": {"head_dim": 32}}}, "per_layer_config"),
        ({"per_layer_config": {"2": {"intermediate_size": 32}}}, "intermediate_size"),
        ({"enable_moe_block": True}, "num_experts"),
        ({"model_type": "gemma4_unified_text"}, "hidden_size_per_layer_input"),
    ],
)
def test_gemma4_is_refused_by_name(change, word):
    with pytest.raises(Unsupported, match=word):
        core.from_hf(GEMMA4 | change)


def test_keys_that_nothing_reads_may_be_in_a_checkpoint():
    import torch

    arch = core.from_hf(GEMMA4 | {"num_kv_shared_layers": 3})
    model = core.build(arch, device="cpu")
    with torch.device("meta"):
        names = parity.reference(GEMMA4 | {"num_kv_shared_layers": 0}).state_dict()
    core.load_weights(model, {name: torch.zeros(tensor.shape) for name, tensor in names.items()})


def test_caches_are_kept_once():
    lent, own = (core.cost(core.from_hf(GEMMA4 | {"num_kv_shared_layers": n})) for n in (3, 0))
    assert own.kv_bytes_per_token == 2 * lent.kv_bytes_per_token
    edges = core.graph(lent.architecture).edges(data="beside")
    assert ("layers.2.global.k_cache", "layers.5.global_shared.k_cache", True) in edges


GEMMA3N = dict(
    model_type="gemma3n_text", vocab_size=104, hidden_size=64, intermediate_size=80, num_hidden_layers=6, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, sliding_window=8, max_position_embeddings=64, hidden_size_per_layer_input=8,
    vocab_size_per_layer_input=96, num_kv_shared_layers=3, laurel_rank=12,
    layer_types=["sliding_attention", "sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"],
    activation_sparsity_pattern=[0.9, 0.9, 0.0, 0.0, 0.0, 0.0],
)  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"num_kv_shared_layers": 0, "altup_num_inputs": 3, "altup_active_idx": 1, "altup_correct_scale": False},
        {"intermediate_size": [80, 48, 80, 48, 48, 48], "attention_bias": True, "tie_word_embeddings": False},
        {"layer_types": ["sliding_attention"] * 6, "hidden_activation": "silu", "rms_norm_eps": 1e-5, "final_logit_softcapping": 10.0},
        {"rope_theta": 5e5, "rope_local_base_freq": 5e3, "rope_scaling": {"rope_type": "linear", "factor": 2.0}},
        {"activation_sparsity_pattern": [0.5] * 6, "layer_types": ["full_attention"] * 6},
        {"rope_parameters": {"full_attention": None, "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}}},
    ],
)  # fmt: skip
def test_gemma3n(change):
    exact(GEMMA3N | change)


def test_gemma3n_wrapped():
    exact({"model_type": "gemma3n", "text_config": GEMMA3N, "audio_config": {}, "vision_config": {}})


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"activation_sparsity_pattern": [0.5]}, "activation_sparsity_pattern"),
        ({"intermediate_size": [80, 80]}, "intermediate_size"),
        ({"num_kv_shared_layers": 6}, "num_kv_shared_layers"),
        ({"altup_active_idx": 4}, "active"),
    ],
)
def test_gemma3n_is_refused_by_name(change, word):
    with pytest.raises(Unsupported, match=word):
        core.from_hf(GEMMA3N | change)


@pytest.mark.parametrize("at", ["enter", "inside", "leave", "others"])
def test_alternating_updates_flops_are_what_torch_counts(at):
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from core.parts.altup import AltUp, Router

    d, tokens, altup = 16, 6, AltUp(kind="altup", streams=3, at=at)
    width = 3 if at in ("enter", "others") else 4
    with torch.device("meta"):
        modules = (*altup.build(d, 0), altup.split(d), altup.merge(d))
        stream, x = torch.empty(1, tokens, width, d), torch.empty(1, tokens, d)
        read, write, split, merge = modules
        if at == "leave":
            write.share({"router": Router(altup, d)})
        with FlopCounterMode(display=False) as counter:
            _, *mix = read(stream)
            write(stream, x, *mix)
            merge(split(x))
    assert counter.get_total_flops() == tokens * sum(module.token_flops for module in modules)
