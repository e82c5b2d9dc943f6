"""DBRX (Databricks, 2024): sixteen experts of which each token passes four, queries, keys and values cut at a limit.

The rope's base stands in attn_config in its own config.json, where transformers 5 no longer looks for it.
"""

from torch import Tensor

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("dbrx",)
ROOTS = ("transformer.",)


def read(config: Config, model_type: str) -> dict:
    d_model, context, depth = (
        config.count("d_model", 2_048),
        config.count("max_seq_len", 2_048),
        config.depth("n_layers", 24),
    )
    heads = config.count("n_heads", 16)
    if d_model % heads:
        raise config.refuse("n_heads", f"a stream of {d_model:,} does not divide into so many heads")
    own, ffn = config.nested("attn_config"), config.nested("ffn_config")
    clip, base = own.take("clip_qkv", float, None), own.take("rope_theta", float, 10_000.0)
    own.ignore("tie_word_embeddings")
    config.ignore("emb_pdrop", "num_key_value_heads")
    config.expect("tie_word_embeddings", False)
    attention = {
        "kind": "attention",
        "heads": heads,
        "kv_heads": own.count("kv_n_heads", 1),
        "head_dim": d_model // heads,
    }
    own.finish()
    value = {
        "vocab_size": config.count("vocab_size", 32_000),
        "d_model": d_model,
        "context": context,
        "norm": {"kind": "layer", "bias": False},
    }
    parts = {"attention": attention | pieces.unless(None, clip=clip), "moe": _experts(ffn, d_model)}
    ffn.finish()
    return pieces.assemble(
        config, value, rotary.rope(config, context, theta=base), parts, [["attention", "moe"]] * depth
    )


def _experts(ffn: Config, d_model: int) -> dict:
    ffn.ignore("moe_jitter_eps", "moe_loss_weight", "hidden_size", "tie_word_embeddings")
    ffn.expect("uniform_expert_assignment", False)
    power = ffn.take("moe_normalize_expert_weights", float, 1.0, null=None)
    if power not in (None, 1.0):
        raise ffn.refuse("moe_normalize_expert_weights", "weights are divided by their sum (1) or not at all (null)")
    named = ffn.nested("ffn_act_fn")
    activation = pieces.activation(named, "name")
    named.finish()
    part = {
        "kind": "experts",
        "count": ffn.count("moe_num_experts", 4),
        "top_k": ffn.count("moe_top_k", 1),
        "d_ff": ffn.count("ffn_hidden_size", 3_584),
        "router": {"score": "softmax"} | pieces.unless(False, normalise=power == 1),
    }
    return part | pieces.unless("swiglu", activation=activation)


def write(arch: Architecture) -> dict:
    attention, moe = pieces.made_of(arch, {"attention": Attention, "moe": Experts})
    return {
        "architectures": ["DbrxForCausalLM"], "model_type": "dbrx", "vocab_size": arch.vocab_size, "d_model": arch.d_model,
        "max_seq_len": arch.context, "n_layers": arch.depth, "n_heads": attention.heads, "tie_word_embeddings": False,
        "attn_config": {"kv_n_heads": attention.kv_heads, "clip_qkv": attention.clip, "rope_theta": arch.position.base},
        "ffn_config": {
            "ffn_act_fn": {"name": pieces.write_activation(moe.activation)}, "ffn_hidden_size": moe.d_ff, "moe_num_experts": moe.count,
            "moe_top_k": moe.top_k, "moe_normalize_expert_weights": 1.0 if moe.router.normalise else None,
        },
    } | rotary.write_rope(arch.position, arch.context) | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "transformer.wte.weight")
    yield one("norm.weight", "transformer.norm_f.weight")
    yield one("head.weight", "lm_head.weight")
    for index, block in enumerate(arch.sequence):
        at, ours = f"transformer.blocks.{index}", f"layers.{index}"
        for step, name in zip(block, ("norm_1", "norm_2"), strict=True):
            yield one(f"{ours}.{step.parts[0]}_norm.weight", f"{at}.norm_attn_norm.{name}.weight")
            part = arch.part(step.parts[0])
            own = _attention if isinstance(part, Attention) else _moe
            yield from own(f"{ours}.{step.parts[0]}", at, part)


def _attention(ours: str, at: str, part: Attention) -> Sources:
    widths = [part.heads * part.head_dim, part.kv_heads * part.head_dim, part.kv_heads * part.head_dim]
    for third, name in enumerate("qkv"):
        take = lambda all, third=third: all.split(widths)[third]  # noqa: E731
        yield one(f"{ours}.{name}.weight", f"{at}.norm_attn_norm.attn.Wqkv.weight", make=take)
    yield one(f"{ours}.o.weight", f"{at}.norm_attn_norm.attn.out_proj.weight")


def _moe(ours: str, at: str, part: Experts) -> Sources:
    """Experts one below the other in a matrix, their way back turned."""

    def apart(all: Tensor) -> Tensor:
        return all.unflatten(0, (part.count, part.d_ff))

    yield one(f"{ours}.router.weight", f"{at}.ffn.router.layer.weight")
    yield one(f"{ours}.experts.gate", f"{at}.ffn.experts.mlp.w1", make=apart)
    yield one(f"{ours}.experts.up", f"{at}.ffn.experts.mlp.v1", make=apart)
    yield one(f"{ours}.experts.down", f"{at}.ffn.experts.mlp.w2", make=lambda all: apart(all).mT)


def ignored(name: str) -> bool:
    return name.endswith("rotary_emb.inv_freq")
