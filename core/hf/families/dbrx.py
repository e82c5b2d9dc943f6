"""DBRX (Databricks, 2024): sixteen experts of which each token passes four, queries, keys and values cut at a limit.

The rope's base stands in attn_config in its own config.json, where transformers 5 no longer looks for it.
"""

from torch import Tensor

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Key, Only, Unread
from ..weights.checkpoint import Sources
from ..weights.tensors import one
from . import before_llama

TYPES = ("dbrx",)
ROOTS = ("transformer.",)


KEYS = (
    *keys.sizes(32_000, 2_048, 2_048, 24, names="d_model max_seq_len n_layers", kind="layer", bias=False, eps_key="", eps=1e-5),
    *before_llama.heads("n_heads", 16),
    Only("tie_word_embeddings", False),
    Unread("emb_pdrop num_key_value_heads"),
)
ATTENTION = (
    Key("kv_n_heads", "attention.kv_heads", 1),
    Key("clip_qkv", "attention.clip", None, float),
    Key("rope_theta", "position.base", 10_000.0),
    Unread("tie_word_embeddings"),
)
EXPERTS = (
    *keys.experts(4, 1, 3_584, names="moe_num_experts", chosen="moe_top_k", width="ffn_hidden_size", act="", router={"score": "softmax"}),
    Only("uniform_expert_assignment", False),
    Unread("moe_jitter_eps moe_loss_weight hidden_size tie_word_embeddings"),
)
NAMED = (Key("name", "moe.activation", "silu", form=keys.GATED_ACTIVATION),)


def read(config: Config, model_type: str) -> dict:
    said, own, ffn = keys.read(config, KEYS), config.nested("attn_config"), config.nested("ffn_config")
    keys.read(own, ATTENTION, said)
    own.finish()
    keys.read(ffn, EXPERTS, said)
    power, named = ffn.take("moe_normalize_expert_weights", float, 1.0, null=None), ffn.nested("ffn_act_fn")
    if power not in (None, 1.0):
        raise ffn.refuse("moe_normalize_expert_weights", "weights are divided by their sum (1) or not at all (null)")
    said["moe"]["router"]["normalise"] = power == 1
    keys.read(named, NAMED, said)
    named.finish(), ffn.finish()
    said["position"] = rotary.rope(config, said["context"], theta=said["position"]["base"])
    return pieces.model(config, said, [["attention", "moe"]] * said["depth"])


def write(arch: Architecture) -> dict:
    _, moe = pieces.made_of(arch, {"attention": Attention, "moe": Experts})
    power = {"moe_normalize_expert_weights": 1.0 if moe.router.normalise else None}
    ffn = keys.write(arch, EXPERTS) | {"ffn_act_fn": keys.write(arch, NAMED)} | power
    written = pieces.write_model(arch, "Dbrx", "dbrx", KEYS) | rotary.write_rope(arch.position, arch.context)
    return written | {"tie_word_embeddings": False, "attn_config": keys.write(arch, ATTENTION), "ffn_config": ffn}


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
