"""Families whose class came with their weights, against the one in transformers that computes the same: the same random weights
under both names give the same logits; published totals; the round trip; what is refused."""

import pytest
import torch
from parity import TOLERANCE, double_precision, perturb, reference, stepwise

import core
from core.hf import BY_TYPE, from_hf, to_hf
from core.hf.families import multimodal_own_code
from core.hf.weights import mtp
from core.model import build_mtp

SMALL = dict(
    vocab_size=64, hidden_size=64, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
    max_position_embeddings=64,
)  # fmt: skip
ALONE = {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
LLAMA = SMALL | dict(model_type="llama", rms_norm_eps=1e-5)
MHA = LLAMA | dict(num_key_value_heads=4)
EPS = dict(rms_norm_eps=1e-5)


def pieces(state: dict, names: dict[str, str]) -> dict:
    """A state dict with pieces of its names replaced, in this order."""
    out = {}
    for name, tensor in state.items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        out[name] = tensor
    return out


def fused(state: dict, at: str, to: str, groups: int | None = None) -> dict:
    """Query, key and value as one tensor: one above the other, or group by group."""
    out = dict(state)
    for name in [n for n in state if f"{at}.q_proj." in n]:
        q, k, v = (out.pop(name.replace("q_proj", f"{part}_proj")) for part in "qkv")
        if groups:
            rows = [t.reshape(groups, -1, *t.shape[1:]) for t in (q, k, v)]
            whole = torch.cat(rows, dim=1).flatten(0, 1)
        else:
            whole = torch.cat((q, k, v))
        out[name.replace(f"{at}.q_proj", to)] = whole
    return out


def halves(state: dict, to: str) -> dict:
    out = dict(state)
    for name in [n for n in state if "gate_proj" in n]:
        out[name.replace("gate_proj", to)] = torch.cat((out.pop(name), out.pop(name.replace("gate_proj", "up_proj"))))
    return out


CHATGLM = dict(
    model_type="chatglm", padded_vocab_size=64, hidden_size=64, ffn_hidden_size=48, num_layers=2, num_attention_heads=4,
    kv_channels=16, multi_query_attention=True, multi_query_group_num=2, add_qkv_bias=True, seq_length=64, rope_ratio=5,
    rmsnorm=True, post_layer_norm=True, add_bias_linear=False, original_rope=True,
)  # fmt: skip
GLM = SMALL | dict(
    model_type="glm", head_dim=16, rms_norm_eps=1e-5, attention_bias=True, rope_theta=5e4, pad_token_id=0, tie_word_embeddings=False,
)  # fmt: skip
LING = SMALL | EPS | dict(
    head_dim=24, moe_intermediate_size=24, num_experts=8, num_experts_per_tok=3, num_shared_experts=2, first_k_dense_replace=1,
    use_bias=False, use_qkv_bias=True,
)  # fmt: skip
LING_2 = LING | dict(model_type="bailing_moe_v2", n_group=4, topk_group=2, use_qkv_bias=False, use_qk_norm=True, routed_scaling_factor=1.5)
DOTS = {key: value for key, value in LING.items() if not key.startswith(("num_experts", "num_shared", "use_"))} | dict(
    model_type="dots1", n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=2, n_group=4, topk_group=2, norm_topk_prob=True,
    routed_scaling_factor=1.5, rope_theta=6e5,
)  # fmt: skip
LING_NAMES = {
    "embed_tokens": "word_embeddings", "self_attn.o_proj": "attention.dense", "self_attn.q_norm": "attention.query_layernorm",
    "self_attn.k_norm": "attention.key_layernorm", "e_score_correction_bias": "expert_bias", "self_attn.": "attention.",
}  # fmt: skip
OPENELM = dict(
    model_type="openelm", vocab_size=64, model_dim=64, num_transformer_layers=2, head_dim=16, max_context_length=64, num_gqa_groups=2,
    ffn_multipliers=0.75, ffn_dim_divisor=16, normalize_qk_projections=True, share_input_output_layers=True,
)  # fmt: skip
PUZZLE = LLAMA | dict(intermediate_size=256)
# Name -> its config, that of the type which computes the same, and that one's state dict in its names.
SAME = {
    "aquila": (SMALL | EPS | dict(model_type="aquila"), LLAMA, lambda s: s),
    "baichuan, rope": (
        ALONE | EPS | dict(model_type="baichuan", model_max_length=64), MHA, lambda s: fused(s, "self_attn", "self_attn.W_pack"),
    ),
    "bailing_moe_v2": (LING_2, DOTS, lambda s: pieces(fused(experts(s), "self_attn", "attention.query_key_value"), LING_NAMES)),
    "bailing_moe": (
        LING | dict(model_type="bailing_moe", num_shared_experts=0, first_k_dense_replace=0, use_qkv_bias=False),
        LLAMA | dict(model_type="mixtral", head_dim=24, intermediate_size=24, num_local_experts=8, num_experts_per_tok=3, rope_theta=1e4),
        lambda s: pieces(fused(experts(s), "self_attn", "attention.query_key_value"), LING_NAMES),
    ),
    "sarvam_moe": (
        LING_2 | dict(model_type="sarvam_moe", n_group=1, topk_group=1), DOTS | dict(n_group=1, topk_group=1, rope_theta=1e4),
        lambda s: pieces(fused(experts(s), "self_attn", "attention.query_key_value"), LING_NAMES),
    ),
    "orion": (
        SMALL | EPS | dict(model_type="orion"), SMALL | dict(model_type="stablelm", partial_rotary_factor=1.0, layer_norm_eps=1e-5),
        lambda s: s,
    ),
    "chatglm": (
        CHATGLM, GLM,
        lambda s: pieces(fused(s, "self_attn", "self_attention.query_key_value"), {
            "gate_up_proj": "dense_h_to_4h", "down_proj": "dense_4h_to_h", "self_attn.o_proj": "self_attention.dense",
            "model.embed_tokens": "transformer.embedding.word_embeddings", "model.norm": "transformer.encoder.final_layernorm",
            "model.": "transformer.encoder.", "lm_head": "transformer.output_layer"}),
    ),
    "exaone": (
        dict(model_type="exaone", vocab_size=64, hidden_size=64, intermediate_size=48, num_layers=2, num_attention_heads=4, head_dim=16,
             num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=False),
        LLAMA,
        lambda s: pieces(s, {
            "model.embed_tokens": "transformer.wte", "model.layers": "transformer.h", "model.norm": "transformer.ln_f",
            "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.attention.out_proj", "self_attn":
            "attn.attention", "gate_proj": "c_fc_0", "up_proj": "c_fc_1", "down_proj": "c_proj"}),
    ),
    "internlm": (ALONE | EPS | dict(model_type="internlm"), MHA | dict(attention_bias=True), lambda s: s),
    "internlm2": (
        SMALL | EPS | dict(model_type="internlm2", bias=False, rope_scaling=dict(type="dynamic", factor=2.0)),
        LLAMA | dict(rope_scaling=dict(rope_type="dynamic", factor=2.0)),
        lambda s: pieces(fused(s, "self_attn", "attention.wqkv", groups=2), {
            "embed_tokens": "tok_embeddings", "lm_head": "output", "input_layernorm": "attention_norm", "post_attention_layernorm":
            "ffn_norm", "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1", "mlp.up_proj": "feed_forward.w3",
            "mlp.down_proj": "feed_forward.w2"}),
    ),
    "minicpm": (
        SMALL | EPS | dict(model_type="minicpm", scale_emb=3, scale_depth=1.4, dim_model_base=16),
        LLAMA | dict(model_type="granite", embedding_multiplier=3.0, residual_multiplier=1.4 / 2**0.5, logits_scaling=4.0,
                     attention_multiplier=0.25, tie_word_embeddings=True),
        lambda s: s,
    ),
    "nemotron-nas": (
        ALONE | EPS | dict(model_type="nemotron-nas", block_configs=[
            {"attention": {"n_heads_in_group": 2, "no_op": False, "replace_with_linear": False}, "ffn": {"ffn_mult": 5.9}}] * 2),
        PUZZLE, lambda s: s,
    ),
    "deci": (ALONE | EPS | dict(model_type="deci", num_key_value_heads_per_layer=[2, 2]), LLAMA, lambda s: s),
    "openelm": (
        OPENELM,
        LLAMA | dict(model_type="qwen3", head_dim=16, rms_norm_eps=1e-6, tie_word_embeddings=True),
        lambda s: pieces(halves(fused(s, "self_attn", "attn.qkv_proj"), "proj_1"), {
            "model.embed_tokens": "transformer.token_embeddings", "model.": "transformer.", "self_attn.o_proj": "attn.out_proj",
            "self_attn": "attn", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "mlp": "ffn",
            "down_proj": "proj_2"}),
    ),
    "phi-msft": (
        dict(model_type="phi-msft", vocab_size=64, n_embd=64, n_layer=2, n_head=4, n_positions=64, rotary_dim=8, n_inner=48),
        ALONE | dict(model_type="phi", partial_rotary_factor=0.5),
        lambda s: pieces(fused(s, "self_attn", "mixer.Wqkv"), {
            "model.embed_tokens": "transformer.embd.wte", "model.layers": "transformer.h", "model.final_layernorm": "lm_head.ln",
            "lm_head.weight": "lm_head.linear.weight", "lm_head.bias": "lm_head.linear.bias", "lm_head.ln.weight": "lm_head.ln.weight",
            "input_layernorm": "ln", "self_attn.dense": "mixer.out_proj"}),
    ),
    "qwen": (
        {key: value for key, value in ALONE.items() if key != "intermediate_size"} | dict(
            model_type="qwen", intermediate_size=96, kv_channels=16, layer_norm_epsilon=1e-5, seq_length=64, no_bias=True),
        MHA | dict(model_type="qwen2"),
        lambda s: pieces(fused(s, "self_attn", "attn.c_attn"), {
            "model.embed_tokens": "transformer.wte", "model.layers": "transformer.h", "model.norm": "transformer.ln_f",
            "input_layernorm": "ln_1", "post_attention_layernorm": "ln_2", "self_attn.o_proj": "attn.c_proj", "gate_proj": "w2",
            "up_proj": "w1", "down_proj": "c_proj"}),
    ),
    "skywork": (SMALL | EPS | dict(model_type="skywork"), LLAMA, lambda s: s),
    "stablelm_epoch": (
        SMALL | dict(model_type="stablelm_epoch", rope_pct=0.5, norm_eps=1e-5),
        SMALL | dict(model_type="stablelm", partial_rotary_factor=0.5),
        lambda s: s,
    ),
    "xverse": (SMALL | EPS | dict(model_type="xverse"), LLAMA, lambda s: s),
    "PanguEmbedded": (SMALL | dict(model_type="PanguEmbedded"), LLAMA | dict(attention_bias=True, rope_theta=1.6e7), lambda s: s),
    "Yi": (
        SMALL | dict(model_type="Yi"), LLAMA | dict(rope_theta=5e6),
        lambda s: pieces(s, {"input_layernorm": "ln1", "post_attention_layernorm": "ln2"}),
    ),
}  # fmt: skip


def experts(state: dict) -> dict:
    """Stacked experts, one by one."""
    out = dict(state)
    for name in [n for n in state if n.endswith("experts.gate_up_proj")]:
        for e, both in enumerate(out.pop(name)):
            for half, tensor in zip(("gate", "up"), both.chunk(2), strict=True):
                out[name.replace("gate_up_proj", f"{e}.{half}_proj.weight")] = tensor
        for e, down in enumerate(out.pop(name.replace("gate_up_proj", "down_proj"))):
            out[name.replace("gate_up_proj", f"{e}.down_proj.weight")] = down
    return out


@pytest.mark.parametrize("name", SAME)
def test_logits_are_those_of_the_type_that_computes_the_same(name):
    config, other, rename = SAME[name]
    torch.manual_seed(0)
    theirs = reference(other)
    perturb(theirs)
    arch = from_hf(config)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == config["model_type"]
    ours = core.build(arch, device="cpu")
    core.load_weights(ours, rename(theirs.state_dict()))
    tokens = torch.randint(64, (2, 24))
    with torch.inference_mode():
        expected, logits = theirs(tokens, use_cache=False).logits, ours(tokens)
    assert expected.std() > 1e-2
    assert (logits - expected).abs().max() <= TOLERANCE
    with double_precision(), torch.inference_mode():
        ours = ours.double()
        assert (ours(tokens) - stepwise(ours, tokens)).abs().max() <= 1e-6


PLAIN = dict(hidden_act="silu", torch_dtype="bfloat16", tie_word_embeddings=False, use_cache=True)
BAICHUAN_2 = PLAIN | dict(model_type="baichuan", rms_norm_eps=1e-6, vocab_size=125_696, z_loss_weight=0, model_max_length=4_096)
CHATGLM_3 = dict(
    model_type="chatglm", add_bias_linear=False, add_qkv_bias=True, apply_query_key_layer_scaling=True, bias_dropout_fusion=True,
    apply_residual_connection_post_layernorm=False, attention_softmax_in_fp32=True, ffn_hidden_size=13_696, fp32_residual_connection=False,
    hidden_size=4_096, kv_channels=128, layernorm_epsilon=1e-5, multi_query_attention=True, multi_query_group_num=2, rmsnorm=True,
    num_attention_heads=32, num_layers=28, original_rope=True, padded_vocab_size=65_024, post_layer_norm=True, seq_length=8_192,
)  # fmt: skip
MINICPM = dict(
    model_type="minicpm", hidden_size=2_304, intermediate_size=5_760, num_hidden_layers=40, num_attention_heads=36, vocab_size=122_753,
    scale_emb=12, dim_model_base=256, scale_depth=1.4, rms_norm_eps=1e-5,
)  # fmt: skip
QWEN = PLAIN | dict(
    model_type="qwen", bf16=True, hidden_size=4_096, intermediate_size=22_016, kv_channels=128, max_position_embeddings=32_768,
    no_bias=True, num_attention_heads=32, num_hidden_layers=32, onnx_safe=None, rotary_emb_base=10_000, rotary_pct=1.0,
    scale_attn_weights=True, seq_length=8_192, use_dynamic_ntk=True, use_flash_attn="auto", use_logn_attn=True, vocab_size=151_936,
)  # fmt: skip
OPENELM_270M = dict(
    model_type="openelm", num_transformer_layers=16, model_dim=1_280, head_dim=64, num_gqa_groups=4, normalize_qk_projections=True,
    share_input_output_layers=True, ffn_multipliers=[0.5, 4.0], qkv_multipliers=[0.5, 1.0],
)  # fmt: skip
# Published config.json's and the sizes of their files, over the bytes of a parameter.
PUBLISHED = {
    "THUDM/chatglm3-6b": (CHATGLM_3, 6_243_584_000),
    "THUDM/glm-4-9b": (CHATGLM_3 | dict(num_layers=40, padded_vocab_size=151_552, rope_ratio=500, seq_length=131_072), 9_399_951_360),
    "baichuan-inc/Baichuan2-13B-Base": (
        BAICHUAN_2 | dict(hidden_size=5_120, intermediate_size=13_696, num_attention_heads=40, num_hidden_layers=40), 13_896_668_160),
    "baichuan-inc/Baichuan2-7B-Base": (
        BAICHUAN_2 | dict(hidden_size=4_096, intermediate_size=11_008, num_attention_heads=32, num_hidden_layers=32,
                          max_position_embeddings=4_096), 7_505_973_248),
    "internlm/internlm2_5-7b": (
        PLAIN | dict(model_type="internlm2", bias=False, intermediate_size=14_336, num_key_value_heads=8, vocab_size=92_544),
        7_737_708_544),
    "Qwen/Qwen-7B": (QWEN, 7_721_324_544),
    "openbmb/MiniCPM-2B-sft-bf16": (MINICPM, 2_724_880_896),
    "openbmb/MiniCPM-MoE-8x2B": (MINICPM | dict(num_experts=8, num_experts_per_tok=2), 13_873_291_776),
    "microsoft/phi-2": (
        dict(model_type="phi-msft", n_embd=2_560, n_layer=32, n_head=32, rotary_dim=32, vocab_size=51_200, activation_function="gelu_new"),
        2_779_683_840),
    "LGAI-EXAONE/EXAONE-3.0-7.8B-Instruct": (
        dict(model_type="exaone", hidden_size=4_096, intermediate_size=14_336, num_layers=32, num_attention_heads=32, num_key_value_heads=8,
             head_dim=128, tie_word_embeddings=False), 7_818_448_896),
    "apple/OpenELM-270M": (OPENELM_270M, 271_527_168),
    "apple/OpenELM-450M": (OPENELM_270M | dict(num_transformer_layers=20, model_dim=1_536), 457_179_136),
    "apple/OpenELM-1_1B": (OPENELM_270M | dict(num_transformer_layers=28, model_dim=2_048), 1_079_891_456),
    "01-ai/Yi-6B": (dict(model_type="Yi", hidden_size=4_096), 6_061_035_520),
    "stabilityai/stablelm-3b-4e1t": (dict(model_type="stablelm_epoch", num_attention_heads=32, num_heads=32), 2_795_443_200),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_published_files(name):
    config, parameters = PUBLISHED[name]
    arch = from_hf(config)
    assert core.cost(arch).parameters == parameters
    assert from_hf(to_hf(arch)) == arch


def test_rows_of_unit_length_give_baichuan_2_its_logits():
    arch = from_hf(BAICHUAN_2 | dict(hidden_size=32, intermediate_size=16, num_attention_heads=4, num_hidden_layers=1))
    assert arch.head.unit == "tokens" and arch.position.kind == "alibi"
    live = core.build(core.shrink(arch), device="cpu")
    x = torch.randn(1, 3, live.arch.d_model)
    rows = live.head.weight / live.head.weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(live.head(x), x @ rows.T)


def test_qwen_grows_its_base_in_steps_of_the_trained_context():
    """alpha = 2 ** ceil(log2(length / seq_length) + 1) - 1, and the base grows with it."""
    rope = from_hf(QWEN).position
    for length, alpha in [(4_096, 1), (8_192, 1), (8_193, 3), (16_384, 3), (16_385, 7), (32_768, 7)]:
        base = 1e4 * alpha ** (128 / 126)
        expected = base ** -(torch.arange(0, 128, 2) / 128)
        torch.testing.assert_close(rope.frequencies(128, torch.tensor(length)), expected)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        (CHATGLM_3 | dict(rmsnorm=False), "rmsnorm"),
        (CHATGLM_3 | dict(num_hidden_layers=12), "num_hidden_layers"),
        (CHATGLM_3 | dict(rope_theta=5e5), "rope_theta"),
        (CHATGLM_3 | dict(position_encoding_2d=True), "position_encoding_2d"),
        (BAICHUAN_2 | dict(num_hidden_layers=2, hidden_size=64, intermediate_size=8, num_attention_heads=4, head_dim=8), "head_dim"),
        (QWEN | dict(no_bias=False), "no_bias"),
        (MINICPM | dict(sparse_config={"block_size": 64}), "sparse_config"),
        (LING_2 | dict(use_bias=True), "use_bias"),
        (dict(model_type="exaone", intermediate_size=8, num_layers="many"), "num_layers"),
    ],
)
def test_what_the_spec_cannot_say_is_refused_by_name(config, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(config)


ARCTIC = SMALL | dict(
    model_type="arctic", num_local_experts=8, num_experts_per_tok=2, moe_layer_frequency=1, parallel_attn_mlp_res=True, use_residual=True,
)  # fmt: skip


def test_arctic_s_experts_read_what_attention_reads_and_join_after_the_dense_network():
    arch = from_hf(ARCTIC)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "arctic"
    live = core.build(arch, device="cpu")
    names = {}
    for name, parameter in live.named_parameters():
        names[name] = torch.randn_like(parameter) / 8
    stored = {}
    for path, ways in BY_TYPE["arctic"].sources(arch):
        if len(ways[-1].names) > 1:
            stored |= dict(zip(ways[-1].names, names[path], strict=True))
        else:
            stored[ways[0].names[0]] = names[path]
    assert "model.layers.0.residual_layernorm.weight" in stored and "model.layers.0.block_sparse_moe.experts.3.w2.weight" in stored
    core.load_weights(live, stored)
    layer, positions = live.layers[0], torch.arange(5)
    x = torch.randn(1, 5, 64)
    with torch.inference_mode():
        h = x + layer.attention(layer.attention_norm(x), positions)
        expected = h + layer.dense(layer.dense_norm(h)) + layer.moe(layer.moe_norm(x))
        torch.testing.assert_close(layer(x, positions), expected)
    torch.testing.assert_close(layer.moe_norm.weight, stored["model.layers.0.post_attention_layernorm.weight"])
    assert core.cost(arch).parameters == sum(tensor.numel() for tensor in stored.values())


def test_arctic_without_experts_in_some_layers():
    arch = from_hf(ARCTIC | dict(num_hidden_layers=4, moe_layer_frequency=2, parallel_attn_mlp_res=False, use_residual=None))
    assert arch.pattern == "2 × ([attention, wide], [attention, moe])" and from_hf(to_hf(arch)) == arch


GROK = SMALL | dict(model_type="grok-1", num_experts=8)


def test_grok_1():
    """Names as copies on the Hub have them; its sums by hand in numbers that its own code gives."""
    arch = from_hf(GROK)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "grok-1"
    names = {name for _, ways in BY_TYPE["grok-1"].sources(arch) for way in ways for name in way.names}
    assert {"model.layers.0.moe_block.experts.7.linear_v.weight", "model.layers.1.post_moe_norm.scale", "model.norm.scale"} <= names
    assert core.cost(from_hf(dict(model_type="grok-1", is_causal=True))).parameters + 131_072 * 6_144 == 316_490_127_360


@pytest.mark.parametrize(
    ("attention", "ffn", "key"),
    [
        ({"n_heads_in_group": 3}, {"ffn_mult": 1.0}, "block_configs.0.attention.n_heads_in_group"),
        ({"replace_with_linear": True}, {"ffn_mult": 1.0}, "block_configs.0.attention.replace_with_linear"),
        ({"no_op": True}, {"no_op": True}, "block_configs"),
        ({"n_heads_in_group": 2}, {"ffn_mult": 1.0, "gated": 3}, "block_configs.0.ffn.gated"),
    ],
)
def test_layers_that_the_spec_does_not_have_are_refused(attention, ffn, key):
    with pytest.raises(core.Unsupported, match=rf"^{key}: "):
        from_hf(ALONE | dict(model_type="nemotron-nas", block_configs=[{"attention": attention, "ffn": ffn}] * 2))


def test_layers_without_one_of_their_parts():
    listed = [
        {"attention": {"n_heads_in_group": 2}, "ffn": {"ffn_mult": 6.0}},
        {"attention": {"no_op": True}, "ffn": {"ffn_mult": 12.0}},
        {"attention": {"n_heads_in_group": 4}, "ffn": {"no_op": True}},
    ]
    arch = from_hf(ALONE | dict(model_type="nemotron-nas", num_hidden_layers=3, block_configs=listed))
    assert arch.pattern == "[attention2, dense256], [dense512], [attention1]"
    assert from_hf(to_hf(arch)) == arch


def test_ling_2_goes_by_the_type_of_its_first_generation():
    """Its published files say bailing_moe; the name of their class tells them apart."""
    said = LING_2 | dict(model_type="bailing_moe", architectures=["BailingMoeV2ForCausalLM"])
    words = {"name": "x", "title": "x", "family": None, "model_type": None}
    assert from_hf(said).model_copy(update=words) == from_hf(LING_2).model_copy(update=words)
    assert from_hf(to_hf(from_hf(said))) == from_hf(said)
    with pytest.raises(core.Unsupported, match=r"^n_group: |^use_qk_norm: "):
        from_hf(said | dict(architectures=["BailingMoeForCausalLM"]))


LLAVA = dict(mm_hidden_size=1_024, mm_projector_type="mlp2x_gelu", mm_vision_tower="clip", image_aspect_ratio="pad", use_mm_proj=True)
MINICPM_V = dict(
    model_type="minicpmv", query_num=64, slice_mode=True, slice_config={"max_slice_nums": 9}, vision_config={"hidden_size": 32}
)
KIMI = dict(model_type="deepseek_v3", n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1, first_k_dense_replace=1)
# A wrapper -> the language model that is read from it.
SEEING = {
    "OpenGVLab/InternVL2-8B": (
        dict(model_type="internvl_chat", downsample_ratio=0.5, ps_version="v2", select_layer=-1, template="internlm2-chat", use_llm_lora=0,
             llm_config=SMALL | dict(model_type="internlm2", bias=False, attn_implementation="flash_attention_2", pruned_heads={})),
        SMALL | dict(model_type="internlm2", bias=False),
    ),
    "moonshotai/Kimi-VL-A3B-Instruct": (
        dict(model_type="kimi_vl", media_placeholder_token_id=60, vision_config={"hidden_size": 32}, vocab_size=64,
             text_config=SMALL | KIMI),
        SMALL | KIMI,
    ),
    "deepseek-ai/Janus-Pro-7B": (
        dict(model_type="multi_modality", aligner_config={"a": 1}, language_config=SMALL | dict(model_type="llama")),
        SMALL | dict(model_type="llama"),
    ),
    "liuhaotian/llava-v1.5-7b": (SMALL | LLAVA | dict(model_type="llava_llama"), SMALL | dict(model_type="llama")),
    "openbmb/MiniCPM-V-2": (
        SMALL | MINICPM_V | dict(scale_emb=12, scale_depth=1.4, dim_model_base=32, hidden_size=2_304, max_slice_nums=9),
        SMALL | dict(model_type="minicpm", scale_emb=12, scale_depth=1.4, dim_model_base=32, hidden_size=2_304),
    ),
    "openbmb/MiniCPM-V-2_6": (SMALL | MINICPM_V | dict(version=2.6), SMALL | dict(model_type="qwen2")),
    "microsoft/Phi-3.5-vision-instruct": (
        SMALL | dict(model_type="phi3_v", embd_layer={"a": 1}, img_processor={"a": 1}, original_max_position_embeddings=32, pad_token_id=0,
                     rope_scaling=dict(type="su", short_factor=[1.0] * 8, long_factor=[2.0] * 8)),
        SMALL | dict(model_type="phi3", original_max_position_embeddings=32, pad_token_id=0,
                     rope_scaling=dict(type="longrope", short_factor=[1.0] * 8, long_factor=[2.0] * 8)),
    ),
    "rednote-hilab/dots.ocr": (
        SMALL | dict(model_type="dots_ocr", attention_bias=True, image_token_id=60, vision_config={"a": 1}),
        SMALL | dict(model_type="qwen2"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEEING)
def test_a_wrapper_s_language_model_is_what_is_read(name):
    wrapper, text = SEEING[name]
    alone = from_hf(text)
    same = dict(name=alone.name, title=alone.title, family=alone.family, model_type=alone.model_type)
    arch = from_hf(wrapper)
    assert arch.model_copy(update=same) == alone
    assert from_hf(to_hf(arch)) == arch


@pytest.mark.parametrize("name", multimodal_own_code.TYPES)
def test_every_wrapper_has_a_language_model(name):
    text = SMALL | {"model_type": "qwen2"}
    if name == "deepseek_vl_v2":  # its own class alone
        text = SMALL | {"use_mla": False, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1}
    key, _ = multimodal_own_code.INSIDE.get(name, (None, None))
    config = {"model_type": name, key: text} if key else SMALL | {"model_type": name, "version": "2.6"}
    assert from_hf(config).d_model == 64
    if key:
        with pytest.raises(core.Unsupported, match=key):
            from_hf({"model_type": name})
        with pytest.raises(core.Unsupported, match="use_llm_lora"):
            from_hf(config | {"use_llm_lora": 16})


OCR = dict(
    architectures=["DeepseekV2ForCausalLM"], first_k_dense_replace=1, hidden_size=1_280, intermediate_size=6_848, kv_lora_rank=None,
    lm_head=True, max_position_embeddings=8_192, moe_intermediate_size=896, n_group=1, n_routed_experts=64, n_shared_experts=2,
    num_attention_heads=10, num_experts_per_tok=6, num_hidden_layers=12, num_key_value_heads=10, q_lora_rank=None, qk_nope_head_dim=0,
    qk_rope_head_dim=0, rm_head=False, topk_group=1, topk_method="greedy", use_mla=False, v_head_dim=0, vocab_size=129_280,
)  # fmt: skip
VL2 = dict(
    first_k_dense_replace=1, hidden_size=2_560, intermediate_size=12_288, lm_head=False, max_position_embeddings=4_096, n_group=1,
    model_type="deepseek_v2", moe_intermediate_size=1_536, n_routed_experts=72, n_shared_experts=2, norm_topk_prob=True,
    num_experts_per_tok=6, q_lora_rank=None, routed_scaling_factor=2.0, scoring_func="sigmoid", topk_group=1, topk_method="noaux_tc",
    vocab_size=129_280,
)  # fmt: skip


def test_deepseek_s_models_that_see():
    """DeepSeek-OCR's decoder has plain attention (arXiv:2510.18234: 3B, of which 570M at work), DeepSeek-VL2's V3's router."""
    outer = dict(model_type="deepseek_vl_v2", tile_tag="2D", candidate_resolutions=[[1_024, 1_024]], vision_config={"a": 1})
    ocr = from_hf(outer | OCR | dict(language_config=OCR))  # which says it twice
    assert ocr.parts["attention"].head_dim == 128 and ocr.parts["moe"].router.score == "softmax"
    assert core.cost(ocr).active_parameters - ocr.vocab_size * ocr.d_model == pytest.approx(570e6, rel=0.01)
    vl2 = from_hf(outer | dict(language_config=VL2))
    assert vl2.parts["attention"].kv_rank == 512 and vl2.parts["moe"].router.selection_bias and vl2.parts["moe"].router.scale == 2
    with pytest.raises(core.Unsupported, match="topk_method"):
        from_hf(outer | dict(language_config=OCR | dict(topk_method="noaux_tc")))
    with pytest.raises(core.Unsupported, match="hidden_size"):
        from_hf(outer | dict(language_config=OCR, hidden_size=64))


@pytest.mark.parametrize("text", ["internlm2", "qwen2"])
def test_weights_below_a_wrapper_s_names(text):
    config = SMALL | dict(model_type=text)
    alone = core.build(from_hf(config), device="cpu")
    arch = from_hf(dict(model_type="internvl_chat", llm_config=config))
    for family, _ in core.hf.families_of(from_hf(config)):
        names = {way.names[0] for _, ways in family.sources(arch) for way in ways[:1]}
        break
    seen = {f"language_model.{name}": name for name in names} | {"mlp1.0.weight": "", "vision_model.encoder.layers.0.norm1.weight": ""}
    family, plain = core.hf.family_for(arch, seen)
    assert text in family.TYPES or text == "qwen2"
    assert {name for name in plain if not family.ignored(name)} == names
    assert sum(p.numel() for p in alone.parameters()) == sum(p.numel() for p in core.build(arch, device="cpu").parameters())


def test_a_file_without_a_type_is_of_its_class_s():
    named = from_hf(SMALL | dict(model_type="minicpm", scale_emb=12))
    assert from_hf(SMALL | dict(architectures=["MiniCPMForCausalLM"], scale_emb=12)) == named
    with pytest.raises(core.Unsupported, match="model_type: is missing"):
        from_hf(SMALL | dict(architectures=["UnheardForCausalLM"]))


def test_pangu_takes_the_best_of_every_group():
    config = SMALL | dict(
        model_type="PanguProMoE", num_experts=16, num_experts_per_tok=8, moe_intermediate_size=24, shared_expert_intermediate_size=40
    )  # fmt: skip
    arch = from_hf(config)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "PanguProMoE"
    assert arch.parts["attention"].bias and arch.parts["attention"].out_bias is None
    part = arch.parts["moe"]
    moe = part.build(arch.d_model)
    with torch.no_grad():
        for parameter in moe.parameters():
            parameter.normal_(0, 0.2)
        x = torch.randn(1, 5, 64)
        scores = (x @ moe.router.weight.T).softmax(dim=-1)[0]
        expected = moe.shared(x)[0].clone()
        for t in range(5):
            for group in range(8):
                e = 2 * group + int(scores[t, 2 * group + 1] > scores[t, 2 * group])
                h = torch.nn.functional.silu(moe.experts.gate[e] @ x[0, t]) * (moe.experts.up[e] @ x[0, t])
                expected[t] += scores[t, e] * moe.router.expert_scale[e] * (moe.experts.down[e] @ h)
        torch.testing.assert_close(moe(x)[0], expected)
    later = from_hf(config | dict(mlp_only_layers=[0], intermediate_size=48))
    assert [block[1].parts[0] for block in later.sequence] == ["dense", "moe"] and from_hf(to_hf(later)) == later
    with pytest.raises(core.Unsupported, match="num_experts_per_tok"):
        from_hf(config | dict(num_experts_per_tok=4))
    with pytest.raises(core.Unsupported, match="param_sink_number"):
        from_hf(config | dict(param_sink_number=128))


GROK_2 = dict(
    architectures=["Grok1ForCausalLM"], model_type="git", vocab_size=131_072, hidden_size=8_192, intermediate_size=32_768, head_dim=128,
    moe_intermediate_size=16_384, max_position_embeddings=131_072, num_experts_per_tok=2, num_local_experts=8, residual_moe=True,
    num_attention_heads=64, num_key_value_heads=8, num_hidden_layers=64, rms_norm_eps=1e-5, hidden_act="gelu",
    embedding_multiplier_scale=90.50966799187809, output_multiplier_scale=0.5, final_logit_softcapping=50, attn_logit_softcapping=30.0,
    router_logit_softcapping=30.0, rope_theta=208_533_496, attn_temperature_len=1_024, sliding_window_size=-1, global_attn_every_n=1,
    rope_type="original", original_max_position_embeddings=8_192, scaling_factor=16.0, extrapolation_factor=1.0, attn_factor=1.0,
    beta_fast=8, beta_slow=1,
)  # fmt: skip


def test_grok_2_is_its_preset():
    arch, preset = from_hf(GROK_2), core.load("grok-2.5")
    about = {*core.spec.METADATA, "precision"}
    assert arch.model_dump(exclude=about) == preset.model_dump(exclude=about)
    assert to_hf(preset)["model_type"] == "git" and from_hf(to_hf(arch)) == arch
    with pytest.raises(core.Unsupported, match="architectures"):  # GIT, which describes images
        from_hf(dict(model_type="git", architectures=["GitForCausalLM"]))
    with pytest.raises(core.Unsupported, match="rope_type"):
        from_hf(GROK_2 | dict(rope_type="yarn"))


JAIS = dict(
    model_type="jais", vocab_size=64, n_embd=48, n_head=6, n_inner=40, n_layer=2, n_positions=64, activation_function="swiglu",
    position_embedding_type="alibi", mup_scale_qk_dot_by_d=True, mup_embeddings_scale=9.0, mup_output_alpha=2.0, mup_width_scale=0.25,
)  # fmt: skip


def test_jais_as_its_paper_has_it():
    """Against the formulas: GPT-2's layers, ALiBi by powers of two and those between, c_fc times SiLU of c_fc2, muP's multipliers."""
    arch = from_hf(JAIS)
    assert from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "jais"
    torch.manual_seed(0)
    state = {"transformer.wte.weight": torch.randn(64, 48)}
    shapes = {"attn.c_attn": (48, 144), "attn.c_proj": (48, 48), "mlp.c_fc": (48, 40), "mlp.c_fc2": (48, 40), "mlp.c_proj": (40, 48)}
    for layer in range(2):
        for name, shape in shapes.items():
            state[f"transformer.h.{layer}.{name}.weight"] = torch.randn(shape) * 0.2
            state[f"transformer.h.{layer}.{name}.bias"] = torch.randn(shape[1])
        for norm in ("ln_1", "ln_2"):
            state |= {f"transformer.h.{layer}.{norm}.{kind}": torch.randn(48) for kind in ("weight", "bias")}
    state |= {f"transformer.ln_f.{kind}": torch.randn(48) for kind in ("weight", "bias")}
    ours = core.build(arch, device="cpu")
    core.load_weights(ours, state)
    tokens = torch.randint(64, (1, 12))

    def norm(x, name):
        return torch.nn.functional.layer_norm(x, (48,), state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    def linear(x, name):
        return x @ state[f"{name}.weight"] + state[f"{name}.bias"]

    slopes = torch.tensor([2.0**-2, 2.0**-4, 2.0**-6, 2.0**-8, 2.0**-1, 2.0**-3])  # four, then every other of eight
    distance = (torch.arange(12)[:, None] - torch.arange(12)).float()
    mask = torch.zeros(12, 12).masked_fill(distance < 0, -torch.inf) - slopes[:, None, None] * distance
    x = 9 * state["transformer.wte.weight"][tokens[0]]
    for at in ("transformer.h.0", "transformer.h.1"):
        q, k, v = linear(norm(x, f"{at}.ln_1"), f"{at}.attn.c_attn").unflatten(-1, (3, 6, 8)).permute(1, 2, 0, 3)  # (3, H, T, 8)
        mixed = ((q @ k.mT / 8 + mask).softmax(dim=-1) @ v).transpose(0, 1).flatten(1)
        x = x + linear(mixed, f"{at}.attn.c_proj")
        h = norm(x, f"{at}.ln_2")
        x = x + linear(linear(h, f"{at}.mlp.c_fc") * torch.nn.functional.silu(linear(h, f"{at}.mlp.c_fc2")), f"{at}.mlp.c_proj")
    logits = 0.5 * norm(x, "transformer.ln_f") @ state["transformer.wte.weight"].T
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens)[0], logits, atol=1e-4, rtol=1e-4)
    btlm = from_hf(JAIS | dict(model_type="btlm"))
    assert (
        btlm.model_copy(update={word: getattr(arch, word) for word in core.spec.METADATA}) == arch and to_hf(btlm)["model_type"] == "btlm"
    )
    with pytest.raises(core.Unsupported, match="alibi_scaling"):
        from_hf(JAIS | dict(alibi_scaling={"factor": 2.0}))


def test_mimo_predicts_ahead():
    """Qwen2's layers; a module whose join reads the stream first, then the token."""
    config = SMALL | dict(model_type="mimo", attention_bias=True, num_nextn_predict_layers=1)
    arch = from_hf(config)
    assert arch.mtp and from_hf(to_hf(arch)) == arch and to_hf(arch)["model_type"] == "mimo"
    plain = from_hf(SMALL | dict(model_type="qwen2"))
    assert arch.parts == plain.parts and arch.layers == plain.layers
    family = BY_TYPE["mimo"]
    torch.manual_seed(0)
    names = {name for _, ways in mtp.sources(family, arch) for name in ways[0].names}
    assert "model.mtp_layers.0.self_attn.q_proj.bias" in names and "model.mtp_layers.0.mlp.down_proj.weight" in names
    join = torch.randn(64, 128)
    ways = dict(mtp.sources(family, arch))["0.join.weight"]
    assert ways[0].names == ("model.mtp_layers.0.input_proj.weight",)
    token, stream = torch.randn(64), torch.randn(64)
    torch.testing.assert_close(ways[0].make(join) @ torch.cat((token, stream)), join @ torch.cat((stream, token)))
    published = dict(
        model_type="mimo", attention_bias=True, head_dim=128, hidden_size=4_096, intermediate_size=11_008, max_position_embeddings=32_768,
        max_window_layers=36, num_attention_heads=32, num_hidden_layers=36, num_key_value_heads=8, num_nextn_predict_layers=1,
        rms_norm_eps=1e-5, rope_theta=640_000, sliding_window=32_768, use_sliding_window=False, vocab_size=151_680,
    )  # fmt: skip
    arch = from_hf(published)
    modules = sum(parameter.numel() for parameter in build_mtp(arch).parameters())
    assert core.cost(arch).parameters + modules == 7_833_409_536  # of the files of XiaomiMiMo/MiMo-7B-Base


def test_plamo_s_heads_share_keys_by_turns():
    """Against the formulas: one norm for both branches; key heads are tiled, so that query head i reads key i modulo their number."""
    config = {key: said for key, said in SMALL.items() if key != "num_key_value_heads"} | dict(model_type="plamo", n_shared_head=2)
    arch = from_hf(config | dict(num_key_value_heads=4))  # which its class keeps, and does not read
    assert arch == from_hf(config) == from_hf(to_hf(arch)) and to_hf(arch)["model_type"] == "plamo"
    assert arch.parts["attention"].kv_heads == 2 and from_hf(config | dict(vocab_size=65)).vocab_size == 65
    torch.manual_seed(0)
    shapes = {
        "self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64), "self_attn.o_proj": (64, 64),
        "mlp.gate_proj": (48, 64), "mlp.up_proj": (48, 64), "mlp.down_proj": (64, 48),
    }  # fmt: skip
    state = {name: torch.randn(64, 64) for name in ("model.embed_tokens.weight", "lm_head.weight")} | {"model.norm.weight": torch.randn(64)}
    for layer in range(2):
        at = f"model.layers.layers.{layer}"
        state |= {f"{at}.{name}.weight": torch.randn(shape) * 0.2 for name, shape in shapes.items()}
        state[f"{at}.norm.weight"] = torch.randn(64)
    ours = core.build(arch, device="cpu")
    core.load_weights(ours, state)
    tokens = torch.randint(64, (1, 12))

    def norm(x, name):
        return torch.nn.functional.rms_norm(x, (64,), state[f"{name}.weight"], 1e-6)

    def turned(x):  # (H, T, 16)
        angles = torch.arange(12)[:, None] * 10_000.0 ** (-torch.arange(8) / 8)
        first, second = x.chunk(2, dim=-1)
        return torch.cat((first * angles.cos() - second * angles.sin(), second * angles.cos() + first * angles.sin()), dim=-1)

    mask = torch.full((12, 12), -torch.inf).triu(1)
    x = state["model.embed_tokens.weight"][tokens[0]]
    for at in ("model.layers.layers.0", "model.layers.layers.1"):
        h = norm(x, f"{at}.norm")
        q, k, v = ((h @ state[f"{at}.self_attn.{n}_proj.weight"].T).unflatten(-1, (-1, 16)).transpose(0, 1) for n in "qkv")
        scores = turned(q) @ turned(k.repeat(2, 1, 1)).mT / 4 + mask
        mixed = (scores.softmax(dim=-1) @ v.repeat(2, 1, 1)).transpose(0, 1).flatten(1)
        gate, up = (h @ state[f"{at}.mlp.{n}_proj.weight"].T for n in ("gate", "up"))
        dense = (torch.nn.functional.silu(gate) * up) @ state[f"{at}.mlp.down_proj.weight"].T
        x = x + mixed @ state[f"{at}.self_attn.o_proj.weight"].T + dense
    logits = norm(x, "model.norm") @ state["lm_head.weight"].T
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens)[0], logits, atol=1e-3, rtol=1e-3)
    with pytest.raises(core.Unsupported, match="n_shared_head"):
        from_hf(config | dict(n_shared_head=3))
    with pytest.raises(core.Unsupported, match="rope_theta"):
        from_hf(config | dict(rope_theta=1e6))


def test_four_bits_from_before_files_named_the_method():
    config = (
        ALONE
        | EPS
        | dict(model_type="baichuan", model_max_length=64, quantization_config=dict(load_in_4bit=True, bnb_4bit_quant_type="nf4"))
    )
    named = config["quantization_config"] | dict(quant_method="bitsandbytes")
    assert from_hf(config) == from_hf(config | dict(quantization_config=named)) and "nf4_fp32" in from_hf(config).precision.values()
