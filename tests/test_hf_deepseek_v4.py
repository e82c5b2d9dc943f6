"""DeepSeek-V4 and its kin against transformers, and the streams that they mix."""

import parity
import pytest
import torch
from parity import check_logits
from torch.utils.flop_counter import FlopCounterMode

import core
from core.hf import from_hf, to_hf
from core.parts.base import entry_pairs
from core.parts.gated_streams import GatedStreams
from core.parts.hyper_connections import HyperConnections
from core.parts.manifold_hyper import ManifoldHyperConnections
from core.verify import compare

SLIDING, SPARSE, HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
V4 = dict(
    model_type="deepseek_v4", vocab_size=64, hidden_size=32, moe_intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
    head_dim=16, q_lora_rank=24, num_experts_per_tok=2, n_routed_experts=8, max_position_embeddings=64, sliding_window=7, o_groups=2,
    o_lora_rank=12, index_n_heads=8, index_head_dim=16, index_topk=3, partial_rotary_factor=0.5, hc_sinkhorn_iters=4,
    compress_rates={SPARSE: 3, HEAVY: 5}, layer_types=[SLIDING, SPARSE, HEAVY], mlp_layer_types=["hash_moe", "moe", "moe"],
)  # fmt: skip
YARN = dict(type="yarn", factor=16, original_max_position_embeddings=32, beta_fast=32, beta_slow=1)
LOGITS = {
    "all kinds": V4,
    "yarn": V4 | dict(rope_scaling=YARN, rope_theta=5_000.0, compress_rope_theta=40_000.0),
    "ropes named": V4
    | dict(
        rope_parameters={
            "main": dict(rope_type="default", rope_theta=500.0, partial_rotary_factor=0.25),
            "compress": YARN | dict(rope_type="yarn", rope_theta=900.0, partial_rotary_factor=0.25),
        }
    ),
    "one stream less": V4 | dict(hc_mult=3, hc_eps=1e-3, rms_norm_eps=1e-4),
    "sigmoid, tied": V4 | dict(scoring_func="sigmoid", tie_word_embeddings=True, routed_scaling_factor=1.0, mlp_bias=True),
    "a small limit": V4 | dict(swiglu_limit=0.3, hidden_act="gelu"),
    "windows alone": V4 | dict(layer_types=[SLIDING] * 3, mlp_layer_types=["moe"] * 3),
    "many groups": V4 | dict(o_groups=4, num_attention_heads=8, qk_rope_head_dim=4, partial_rotary_factor=None),
    "older words": {k: v for k, v in V4.items() if k not in ("layer_types", "mlp_layer_types", "compress_rates")}
    | dict(compress_ratios=[0, 4, 128, 0], num_hash_layers=2, compress_rate_hca=6),
}  # fmt: skip
QWEN4 = dict(
    model_type="qwen4_exp_text", vocab_size=64, hidden_size=32, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=2,
    head_dim=16, linear_key_head_dim=8, linear_value_head_dim=8, linear_num_key_heads=2, linear_num_value_heads=4,
    moe_intermediate_size=24, shared_expert_intermediate_size=16, num_experts=8, num_experts_per_tok=2, hc_count=3, hc_lowrank=6,
    indexer_n_heads=8, indexer_kv_heads=1, indexer_head_dim=16, indexer_budget=6, indexer_compress_ratio=3, max_position_embeddings=64,
    rope_parameters=dict(rope_type="default", rope_theta=1e4, partial_rotary_factor=0.5),
)  # fmt: skip
NGRAMS = QWEN4 | dict(ple_layer_ids=[2], ngram_vocab_size_base=90, heads_per_ngram=2, ple_embed_dim=24, eos_token_id=5, split_ngram_parts=4)
KINDS = ["indexed_attention", "full_attention", "linear_attention", "linear_attention"]
LOGITS |= {
    "qwen4": QWEN4,
    "qwen4 sigmoid": QWEN4 | dict(output_gate_type="sigmoid", norm_topk_prob=False, attention_bias=True, tie_word_embeddings=True),
    "qwen4 other layers": QWEN4 | dict(layer_types=KINDS, rms_norm_eps=1e-3, indexer_compress_ratio=2, indexer_head_dim=32),
    "qwen4 more attention": QWEN4 | dict(full_attention_interval=2, hc_count=2),
    "qwen4 n-grams": NGRAMS,
    "qwen4 n-grams as they come": QWEN4 | dict(ple_layer_ids=[1], ngram_vocab_size_base=50, eos_token_id=[63, 2]),
    "qwen4 n-grams twice": NGRAMS | dict(
        ple_layer_ids=[3, 1, 3], ngram_size=4, heads_per_ngram=3, ple_embed_dim=36, ple_conv_kernel_size=3, ngram_vocab_size_base=10,
        make_ngram_vocab_size_divisible_by=7, seed=0, hc_count=2, rms_norm_eps=1e-3),
    "qwen4 pairs of tokens": NGRAMS | dict(ngram_size=2, ple_conv_kernel_size=2, layer_types=KINDS, ple_layer_ids=[3, 4], eos_token_id=0),
    "qwen4 wrapped n-grams": dict(model_type="qwen4_exp", text_config=NGRAMS, tie_word_embeddings=False),
    "qwen4 wrapped": dict(model_type="qwen4_exp", text_config=QWEN4, tie_word_embeddings=False),
}  # fmt: skip
HY4 = dict(
    model_type="hy_v4", vocab_size=64, hidden_size=32, intermediate_size=40, moe_intermediate_size=24, num_hidden_layers=4,
    num_attention_heads=4, n_routed_experts=8, num_experts_per_tok=2, kv_lora_rank=16, q_lora_rank=24, qk_rope_head_dim=8,
    qk_nope_head_dim=16, v_head_dim=12, index_topk=6, index_head_dim=16, index_n_heads=8, max_position_embeddings=64,
    swiglu_limit=0.5, pad_token_id=0,
)  # fmt: skip
LOGITS |= {
    "hy4": HY4,
    "hy4 varied": HY4
    | dict(
        hc_mult=2, hc_magnitude=1.5, hc_eps=1e-3, rms_norm_eps=1e-3, attention_bias=True, n_shared_experts=2, norm_topk_prob=False,
        tie_word_embeddings=True, indexer_types=["full", "full", "shared", "shared"], mlp_layer_types=["sparse"] * 3 + ["dense"],
    ),
    "hy4 in groups": HY4 | dict(n_group=2, topk_group=1, rope_parameters=YARN | dict(rope_type="yarn", rope_theta=1e4, mscale_all_dim=1.0)),
}  # fmt: skip
STREAMS = {
    "static": HyperConnections(kind="hyper", streams=3),
    "manifold": ManifoldHyperConnections(kind="manifold_hyper"),
    "each to itself": ManifoldHyperConnections(kind="manifold_hyper", iterations=0),
    "gated": GatedStreams(kind="gated_streams", rank=6),
}


@pytest.fixture
def tables(monkeypatch):
    """transformers' tables of experts begin as zeros, which would say nothing."""
    plain = parity.reference

    def reference(config, *args):
        model = plain(config, *args)
        for name, table in model.named_buffers():
            if name.endswith("tid2eid"):
                table.copy_(torch.rand(len(table), model.config.n_routed_experts).argsort()[:, : table.shape[1]])
        return model

    monkeypatch.setattr(parity, "reference", reference)


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name, tables):
    arch = check_logits(LOGITS[name])
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("swiglu_limit", 0.0),
        ("scoring_func", "softmax"),
        ("compress_rates", {SPARSE: 3, HEAVY: 5, "full_attention": 2}),
        ("hc_mult", 1),
        ("rope_parameters", dict(rope_type="dynamic", factor=2.0)),
        ("layer_types", [SLIDING, SPARSE, "full_attention"]),
        ("mlp_layer_types", ["dense", "moe", "moe"]),
        ("o_groups", 3),
        ("kv_lora_rank", 8),
    ],
)
def test_what_the_spec_cannot_say_is_refused(key, value):
    with pytest.raises(core.Unsupported):
        from_hf(V4 | {key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ple_layer_ids", [4]),
        ("ple_layer_ids", [0]),
        ("eos_token_id", 64),
        ("eos_token_id", []),
        ("ngram_size", 9),
        ("ple_embed_dim", 25),
        ("indexer_budget", 7),
        ("indexer_kv_heads", 2),
        ("indexer_n_heads", None),
        ("output_gate_type", "relu"),
        ("layer_types", ["sliding_attention"] * 4),
    ],
)
def test_what_qwen4_cannot_be_is_refused(key, value):
    with pytest.raises(core.Unsupported, match=key):
        from_hf(NGRAMS | {key: value})


def test_the_shipped_precision_is_read_and_written():
    fp8 = dict(quant_method="fp8", fmt="e4m3", scale_fmt="ue8m0", weight_block_size=[128, 128], activation_scheme="dynamic")
    arch = from_hf(V4 | dict(quantization_config=fp8, expert_dtype="fp4"))
    assert arch.format("moe.experts.gate", (8, 24, 32)) == "mxfp4" and arch.format("streams.weight", (8, 8)) == "fp32"
    assert arch.format("sparse.q.weight", (64, 24)) == arch.format("moe.shared.up.weight", (24, 32)) == "fp8_ue8m0"
    assert arch.format("sparse.compress.kv.weight", (32, 32)) == arch.format("moe.router.weight", (8, 32)) == "bf16"
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("ratio", [1, 3, 4])
@pytest.mark.parametrize("most", [None, 1, 5])
def test_entry_pairs_are_counted(ratio, most):
    for past in range(12):
        for new in range(1, 9):
            seen = ((p + 1) // ratio for p in range(past, past + new))
            assert entry_pairs(new, past, ratio, most) == sum(n if most is None else min(n, most) for n in seen)


@pytest.mark.parametrize("name", STREAMS)
def test_streams_cost_what_torch_counts(name):
    residual, d, tokens = STREAMS[name], 24, 7
    with torch.device("meta"):
        modules = (*residual.build(d, 0), residual.merge(d))
        read, write, merge = modules
        stream = torch.empty(1, tokens, residual.streams, d)
    with FlopCounterMode(display=False) as counter:
        x, *mix = read(stream)
        merge(write(stream, x, *mix))
    assert counter.get_total_flops() == tokens * sum(module.token_flops for module in modules)


def test_sinkhorn_brings_the_mix_near_a_doubly_stochastic_matrix():
    residual = ManifoldHyperConnections(kind="manifold_hyper", iterations=20)
    torch.manual_seed(0)
    read, _ = residual.build(16, 0)
    torch.nn.init.normal_(read.weight, std=0.1)
    _, take, mix = read(torch.randn(2, 5, 4, 16))
    assert (mix.sum(-1) - 1).abs().max() < 1e-3 and (mix.sum(-2) - 1).abs().max() < 1e-3
    assert take.min() > 0 and take.max() < 2


def test_what_a_layer_chose_is_an_arrow_to_those_that_follow():
    graph = core.graph(from_hf(HY4))
    arrows = [(a, b) for a, b, beside in graph.edges(data="beside") if beside]
    assert arrows == [("layers.1.attention.indexer", "layers.2.following.indexer")]


def published(depth: int, experts: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The tensors of DeepSeek-V4-Pro's files, as their headers name and type them, of fewer layers and experts."""
    d, f, found = 7_168, 3_072, {}

    def narrow(name: str, out: int, wide: int) -> None:
        found[f"{name}.weight"] = "F8_E4M3", (out, wide)
        found[f"{name}.scale"] = "F8_E8M0", (-(-out // 128), -(-wide // 128))

    def four_bits(name: str, out: int, wide: int) -> None:
        found[f"{name}.weight"], found[f"{name}.scale"] = ("I8", (out, wide // 2)), ("F8_E8M0", (out, wide // 32))

    def compressor(name: str, ratio: int, wide: int, dim: int) -> None:
        found[f"{name}.ape"], found[f"{name}.norm.weight"] = ("F32", (ratio, wide)), ("BF16", (dim,))
        found[f"{name}.wgate.weight"] = found[f"{name}.wkv.weight"] = "BF16", (wide, d)

    def layer(at: str, ratio: int, hashed: bool) -> None:
        found[f"{at}.attn_norm.weight"] = found[f"{at}.ffn_norm.weight"] = "BF16", (d,)
        for site in ("attn", "ffn"):
            found[f"{at}.hc_{site}_fn"], found[f"{at}.hc_{site}_base"] = ("F32", (24, 4 * d)), ("F32", (24,))
            found[f"{at}.hc_{site}_scale"] = "F32", (3,)
        found[f"{at}.attn.attn_sink"], found[f"{at}.attn.kv_norm.weight"] = ("F32", (128,)), ("BF16", (512,))
        found[f"{at}.attn.q_norm.weight"] = "BF16", (1_536,)
        for name, out, wide in (
            ("wkv", 512, d), ("wo_a", 16_384, 4_096), ("wo_b", d, 16_384), ("wq_a", 1_536, d), ("wq_b", 65_536, 1_536)
        ):  # fmt: skip
            narrow(f"{at}.attn.{name}", out, wide)
        if ratio:
            compressor(f"{at}.attn.compressor", ratio, 1_024 if ratio == 4 else 512, 512)
        if ratio == 4:
            compressor(f"{at}.attn.indexer.compressor", 4, 256, 128)
            found[f"{at}.attn.indexer.weights_proj.weight"] = "BF16", (64, d)
            narrow(f"{at}.attn.indexer.wq_b", 8_192, 1_536)
        found[f"{at}.ffn.gate.weight"] = "BF16", (experts, d)
        name, said = ("tid2eid", ("I64", (129_280, 6))) if hashed else ("bias", ("F32", (experts,)))
        found[f"{at}.ffn.gate.{name}"] = said
        for w, out, wide in (("w1", f, d), ("w2", d, f), ("w3", f, d)):
            narrow(f"{at}.ffn.shared_experts.{w}", out, wide)
            for expert in range(experts):
                four_bits(f"{at}.ffn.experts.{expert}.{w}", out, wide)

    found["embed.weight"] = found["head.weight"] = "BF16", (129_280, d)
    found["norm.weight"] = "BF16", (d,)
    found["hc_head_fn"], found["hc_head_base"], found["hc_head_scale"] = (("F32", (4, 4 * d)), ("F32", (4,)), ("F32", (1,)))
    for n in range(depth):
        layer(f"layers.{n}", 4 if n > 1 and n % 2 == 0 else 128, n < 3)
    layer("mtp.0", 0, False)
    narrow("mtp.0.e_proj", d, d), narrow("mtp.0.h_proj", d, d)
    for name in ("enorm", "hnorm", "norm"):
        found[f"mtp.0.{name}.weight"] = "BF16", (d,)
    for name, shape in (("fn", (4, 4 * d)), ("base", (4,)), ("scale", (1,))):
        found[f"mtp.0.hc_head_{name}"] = "F32", shape
    return found


def test_the_published_file_is_what_its_preset_says():
    """Names, shapes and types of every tensor, as the headers of deepseek-ai/DeepSeek-V4-Pro have them; 5 of its 61 layers."""
    config = to_hf(core.load("deepseek-v4-pro")) | dict(num_hidden_layers=5, n_routed_experts=8)
    arch = from_hf(config | {key: config[key][:5] for key in ("layer_types", "mlp_layer_types")})
    verified = compare("headers", arch, published(arch.depth, 8))
    assert verified.exact, verified.differences[:5]
    assert verified.parameters == verified.expected_parameters and verified.bytes == verified.expected_bytes
