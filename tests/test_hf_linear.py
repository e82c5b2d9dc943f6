"""Families with linear attention against transformers: logits and states on small random weights, the round trip."""

import random

import parity
import pytest
from parity import check, check_logits

import core
from core.hf import from_hf, to_hf

NEXT = dict(
    model_type="qwen3_next", vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, head_dim=16, max_position_embeddings=64, linear_num_value_heads=4, linear_num_key_heads=2,
    linear_key_head_dim=8, linear_value_head_dim=12, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=24,
    shared_expert_intermediate_size=32,
)  # fmt: skip
DENSE = {key: value for key, value in NEXT.items() if "expert" not in key and "moe" not in key} | dict(model_type="qwen3_5_text")
MOE = NEXT | dict(model_type="qwen3_5_moe_text", vocab_size=96)
COMMON = dict(
    vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=5, num_attention_heads=4, max_position_embeddings=64,
    pad_token_id=0,
)  # fmt: skip
KIMI = {key: value for key, value in COMMON.items() if key != "max_position_embeddings"} | dict(
    model_type="kimi_linear", num_key_value_heads=4, model_max_length=64, kv_lora_rank=16, qk_nope_head_dim=8, qk_rope_head_dim=4,
    v_head_dim=12, linear_head_dim=8, linear_num_heads=3, num_experts=8, num_experts_per_token=2, moe_intermediate_size=24,
)  # fmt: skip
OLMO = COMMON | dict(model_type="olmo_hybrid", num_key_value_heads=2)
LING = {key: value for key, value in KIMI.items() if not key.startswith("linear")} | dict(
    model_type="bailing_hybrid", num_hidden_layers=6, head_dim=8, num_experts=16
)
MINIMAX = COMMON | dict(model_type="minimax", num_key_value_heads=2, num_local_experts=4, block_size=7)
LOGITS = {
    "qwen3-next": NEXT,
    "qwen3-next, some dense": NEXT
    | dict(mlp_only_layers=[0], norm_topk_prob=False, attention_bias=True, full_attention_interval=2, linear_conv_kernel_dim=3),
    "qwen3.5": DENSE,
    "qwen3.5, other pattern": DENSE
    | dict(hidden_act="relu",
           layer_types=["full_attention", "linear_attention", "linear_attention", "linear_attention"], tie_word_embeddings=True),
    "qwen3.5 experts": MOE,
    "qwen3.5 experts, one kind of layer": MOE | dict(hidden_act="gelu", num_hidden_layers=1, layer_types=["linear_attention"]),
    "kimi": KIMI,
    "kimi, by the checkpoint's own keys": KIMI
    | dict(
        q_lora_rank=12, attention_bias=True, num_expert_group=2, topk_group=1, num_shared_experts=2, moe_renormalize=False,
        linear_attn_config=dict(head_dim=12, num_heads=2, short_conv_kernel_size=3, kda_layers=[1, 2, 4], full_attn_layers=[3, 5]),
    ),
    "kimi, one kind of layer": KIMI | dict(hidden_act="gelu", num_hidden_layers=1, mlp_layer_types=["sparse"]),
    "olmo": OLMO,
    "olmo, fewer key heads, no beta past one": OLMO
    | dict(
        linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8, linear_value_head_dim=12, rms_norm_eps=1e-3,
        linear_allow_neg_eigval=False, attention_bias=True, tie_word_embeddings=True,
    ),
    "olmo, nothing turns": OLMO
    | dict(hidden_act="gelu_new", num_hidden_layers=2,
           linear_conv_kernel_dim=3, rope_parameters=dict(rope_theta=None, rope_type="default")),
    "ling": LING,
    "ling, unbounded decay": LING
    | dict(
        linear_num_heads=3, attention_bias=True, num_expert_group=2, topk_group=1, num_shared_experts=2, moe_renormalize=False,
        layer_group_size=2, kda_safe_gate=False, rope_theta=500.0, short_conv_kernel_size=3, first_k_dense_replace=0,
    ),
    "ling, one kind of layer": LING | dict(hidden_act="relu", num_hidden_layers=2, layer_group_size=1),
    "minimax": MINIMAX,
    "minimax, factors of its own": MINIMAX
    | dict(
        hidden_act="gelu", head_dim=8, full_attn_alpha_factor=3.5565588200778455, full_attn_beta_factor=0.7, linear_attn_alpha_factor=2,
        linear_attn_beta_factor=2.3, mlp_alpha_factor=0.5, mlp_beta_factor=3, rms_norm_eps=1e-3, tie_word_embeddings=True,
        sliding_window=5, layer_types=[*["linear_attention"] * 3, "full_attention", "linear_attention"],
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def constants_stay(monkeypatch):
    """MiniMax keeps its paces as buffers that a state dict has: no weights, so they stay what they are."""
    build = parity.reference

    def reference(*args, **settings):
        model = build(*args, **settings)
        for module in model.modules():
            if hasattr(module, "slope_rate"):
                module._non_persistent_buffers_set.update(module._buffers)
        return model

    monkeypatch.setattr(parity, "reference", reference)


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_those_of_transformers(name):
    arch = check_logits(LOGITS[name])
    again = from_hf(to_hf(arch))
    assert again.model_copy(update={"family": arch.family}) == arch


@pytest.mark.parametrize("model_type", ["minimax_m1", "minimax_text_01"])
def test_minimax_is_read_by_its_authors_keys(model_type):
    names = {"full_attention": "full_attn", "linear_attention": "linear_attn", "mlp": "mlp"}
    factors = {ours: 2.0 for name in names.values() for ours in (f"{name}_alpha_factor", f"{name}_beta_factor")}
    theirs = {f"layernorm_{name}_{factor}": 2.0 for name in names for factor in ("alpha", "beta")}
    published = MINIMAX | theirs | dict(model_type=model_type, attn_type_list=[1, 0, 1, 0, 1], postnorm=True, rotary_dim=12)
    published |= dict(shared_intermediate_size=0, shared_moe_mode="sigmoid")
    assert from_hf(published).parts == from_hf(MINIMAX | factors).parts
    half = from_hf(published | dict(rotary_dim=6))
    assert half.position.fraction == 0.5 and from_hf(to_hf(half)).position == half.position


def test_a_wrappers_text_part_is_read():
    for model_type, text in (("qwen3_5", DENSE), ("qwen3_5_moe", MOE)):
        alone = from_hf(text)
        wrapped = from_hf({"model_type": model_type, "text_config": text, "vision_config": {"depth": 2}})
        assert wrapped.parts == alone.parts and wrapped.layers == alone.layers


SWEEP = {  # keys that change the count, and what to
    "qwen3_next": (NEXT, dict(
        linear_num_value_heads=[2, 8], linear_num_key_heads=[1], linear_key_head_dim=[4, 16], linear_value_head_dim=[8, 16],
        linear_conv_kernel_dim=[2], num_experts=[4], shared_expert_intermediate_size=[16], mlp_only_layers=[[1], [0, 3]],
        decoder_sparse_step=[2], head_dim=[8, 32], attention_bias=[True], num_hidden_layers=[1, 6], tie_word_embeddings=[True],
    )),
    "qwen3_5_text": (DENSE, dict(
        linear_num_value_heads=[2, 8], linear_num_key_heads=[1], linear_key_head_dim=[4, 16], linear_value_head_dim=[8, 16],
        full_attention_interval=[2, 3], head_dim=[8, 32], attention_bias=[True], num_hidden_layers=[1, 6], intermediate_size=[56],
    )),
    "kimi_linear": (KIMI, dict(
        linear_num_heads=[1, 4], linear_head_dim=[4, 16], linear_conv_kernel_dim=[2], q_lora_rank=[12], attention_bias=[True],
        num_experts=[4, 16], num_shared_experts=[0, 2], moe_intermediate_size=[16], first_k_dense_replace=[0, 3],
        num_hidden_layers=[1, 9], v_head_dim=[8], kv_lora_rank=[8], tie_word_embeddings=[True],
    )),
    "olmo_hybrid": (OLMO, dict(
        linear_num_key_heads=[2], linear_num_value_heads=[8], linear_key_head_dim=[4, 16], linear_value_head_dim=[8, 16],
        linear_conv_kernel_dim=[2], num_key_value_heads=[1, None], attention_bias=[True], num_hidden_layers=[2, 9],
        tie_word_embeddings=[True],
    )),
    "bailing_hybrid": (LING, dict(
        head_dim=[4, 16], short_conv_kernel_size=[2], attention_bias=[True], num_experts=[32], num_shared_experts=[0, 2],
        layer_group_size=[2, 3], first_k_dense_replace=[0, 3], num_hidden_layers=[1, 9], v_head_dim=[8], tie_word_embeddings=[True],
    )),
    "minimax": (MINIMAX, dict(
        head_dim=[8, 16], num_key_value_heads=[1, 4], num_local_experts=[2, 8], num_hidden_layers=[1, 6], tie_word_embeddings=[True],
        intermediate_size=[24], mlp_alpha_factor=[2], hidden_size=[32],
    )),
}  # fmt: skip


@pytest.mark.parametrize("model_type", SWEEP)
def test_counts_over_a_sweep_of_the_keys(model_type):
    base, varied = SWEEP[model_type]
    dice = random.Random(model_type)
    seen = set()
    for _ in range(14):
        chosen = dice.sample(sorted(varied), dice.randint(1, 4))
        seen.add(core.cost(check(base | {key: dice.choice(varied[key]) for key in chosen})).parameters)
    assert len(seen) > 6


def test_published_files_fill_kimi_too():
    """Their own names: a convolution for each of queries, keys and values, experts one by one as w1, w2, w3."""
    arch = from_hf(KIMI)
    theirs = parity.reference(KIMI).state_dict()
    published = {}
    for name, tensor in theirs.items():
        name = name.replace("forget_gate.", "")
        sparse = ".mlp." in name and f"{name.partition('.mlp.')[0]}.mlp.gate.weight" in theirs
        name = name.replace(".mlp.", ".block_sparse_moe.") if sparse else name
        if name.endswith("self_attn.conv1d.weight"):
            for letter, piece in zip("qkv", tensor.chunk(3), strict=True):
                published[name.replace("conv1d", f"{letter}_conv1d")] = piece
        elif name.endswith("experts.gate_up_proj"):
            for expert, both in enumerate(tensor):
                for own, half in zip(("w1", "w3"), both.chunk(2), strict=True):
                    published[name.replace("gate_up_proj", f"{expert}.{own}.weight")] = half
        elif name.endswith("experts.down_proj"):
            for expert, down in enumerate(tensor):
                published[name.replace("down_proj", f"{expert}.w2.weight")] = down
        else:
            published[name] = tensor
    one, other = core.build(arch, device="cpu"), core.build(arch, device="cpu")
    core.load_weights(one, theirs)
    core.load_weights(other, published)
    assert all(a.equal(b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_lings_published_keys_change_nothing():
    beside = dict(no_kda_lora=True, linear_silu=True, use_qk_norm=True, group_norm_size=1, router_dtype="fp32", rope_interleave=True)
    assert from_hf(LING | beside) == from_hf(LING)


REFUSED = {
    "group_norm_size": LING | dict(group_norm_size=8),
    "hidden_act": KIMI | dict(hidden_act="mish"),
    "num_experts": KIMI | dict(num_local_experts=4),
    "kda_layers": KIMI | dict(linear_attn_config=dict(kda_layers=[1, 2], full_attn_layers=[3])),
    "linear_attn_config.mystery": KIMI | dict(linear_attn_config=dict(mystery=1)),
    "mla_use_nope": KIMI | dict(mla_use_nope=False),
    "layer_types": OLMO | dict(num_hidden_layers=2, layer_types=["linear_attention"] * 2),
    "mlp_alpha_factor": MINIMAX | dict(mlp_alpha_factor=0),
    "rotary_dim": MINIMAX | dict(rotary_dim=8),
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_cannot_be_said_is_refused_by_its_key(key):
    with pytest.raises(core.Unsupported, match=key.replace("num_experts", "num_(local_)?experts")):
        from_hf(REFUSED[key])


def test_deep_layers_of_lightning_attention_forget_less():
    part = from_hf(MINIMAX).part("lightning")
    first, middle, last = (part.slopes(layer, 5) for layer in (0, 2, 4))
    assert (first > middle).all() and (middle > last).all() and (last >= 0).all()
    assert first[0].item() == pytest.approx(2 ** (-8 / 4), rel=1e-4)


def test_experts_of_ling_whose_activations_are_cut_are_parts_of_their_own():
    """As sglang has it; the class in transformers has no limits, which change neither a tensor nor its size."""
    limits = {"expert_swiglu_limit_list": [0, 0, 0, 0, 4, 4], "share_expert_swiglu_limit_list": [0, 0, 0, 5, 5, 7]}
    arch, plain = core.from_hf(LING | limits), core.from_hf(LING)
    assert [block[-1].parts[0] for block in arch.sequence][2:] == ["moe", "moe0_shared5", "moe4_shared5", "moe4_shared7"]
    cut = arch.part("moe4_shared7")
    assert (cut.activation, cut.clamp, cut.beside_all.activation, cut.beside_all.clamp) == ("capped_swiglu", 4, "capped_swiglu", 7)
    assert arch.part("moe0_shared5").activation == "swiglu" and arch.part("moe0_shared5").beside_all.clamp == 5
    assert core.from_hf(core.to_hf(arch)) == arch and core.cost(arch).parameters == core.cost(plain).parameters
    published = {"architectures": ["BailingMoeV3ForCausalLM"], "partial_rotary_factor": 0.5, "rotary_dim": 4, "qk_head_dim": 12}
    assert core.from_hf(LING | published) == plain, "its rotary embedding turns all of them"
    for wrong in ({"rotary_dim": 2}, {"partial_rotary_factor": 0.5}, {"expert_swiglu_limit_list": [4]}):
        with pytest.raises(core.Unsupported, match=next(iter(wrong))):
            core.from_hf(LING | wrong)
