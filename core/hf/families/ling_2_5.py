"""Ling and Ring 2.5 and 2.6 (arXiv:2606.15079): layers of lightning attention to one of latent attention, Ling 2.0's experts.
Their files say bailing_hybrid as Ling 3.0's do, and their class tells them apart. Of the modules that predict further tokens
the config.json does not say what they are."""

from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...parts.latent import LatentAttention
from ...parts.lightning import LightningAttention
from ...parts.position import Rope
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from . import deepseek_v3 as v3
from . import kimi_linear, ring

TYPES = ("bailing_moe_v2_5",)
CLASS = "BailingMoeV2_5ForCausalLM"
# What other code takes for granted differs, so the file must say it.
NEEDED = """vocab_size hidden_size num_hidden_layers num_attention_heads max_position_embeddings layer_group_size group_norm_size
    kv_lora_rank q_lora_rank qk_nope_head_dim qk_rope_head_dim v_head_dim intermediate_size moe_intermediate_size num_experts
    num_experts_per_tok num_shared_experts n_group topk_group routed_scaling_factor first_k_dense_replace partial_rotary_factor""".split()
FIXED = {
    "architectures": [CLASS], "linear_silu": False, "moe_router_enable_expert_bias": True, "rms_norm_eps": 1e-6, "rope_interleave": True,
    "score_function": "sigmoid", "scoring_func": "sigmoid", "use_bias": False, "use_qkv_bias": False, "attention_bias": False,
    "use_qk_norm": True, "use_rmsnorm": True,
}  # fmt: skip

OWN = {
    "num_experts_per_token": "num_experts_per_tok",
    "num_expert_group": "n_group",
    "moe_renormalize": "norm_topk_prob",
}


def read(config: Config, model_type: str) -> dict:
    for key in NEEDED:
        if key not in config.raw:
            raise Unsupported(f"{key}: is missing; of this family every size must be said")
    for key, said in FIXED.items():
        config.expect(key, said)
    config.ignore("num_nextn_predict_layers", "mtp_loss_scaling_factor", "max_window_layers")
    config.ignore("output_dropout")
    value = pieces.sizes(config, vocab_size=..., d_model=..., context=..., tied=False, eps=1e-6)
    position = rotary.rope(config, value["context"], fraction=1.0)
    if "scaling" in position:
        raise config.refuse("rope_scaling", "it is read without scaling")
    attention = v3.latent(config, heads=...)
    heads = attention["heads"]
    config.expect("num_kv_heads_for_linear_attn", 0, heads)
    config.expect("head_dim", value["d_model"] // heads)
    config.expect("qk_head_dim", attention["nope_dim"] + attention["rope_dim"])
    config.expect("moe_shared_expert_intermediate_size", config.raw["moe_intermediate_size"])
    depth, group = config.depth("num_hidden_layers"), config.count("layer_group_size", least=2)
    if depth % group:
        raise config.refuse(
            "layer_group_size", f"{depth} layers are not whole groups, and of those left over code differs"
        )
    first = config.count("first_k_dense_replace", least=0, most=depth - 1)
    moe = kimi_linear.experts(config, count=..., d_ff=..., scale=..., groups=..., best=...)
    if moe["top_k"] == 1:  # one chosen expert keeps its score
        moe["router"].pop("normalise", None)
    parts = {
        "lightning": ring.lightning(config, value, heads, value["d_model"] // heads, position),
        "attention": attention,
        "dense": pieces.dense(config, ...),
        "moe": moe,
    }
    blocks = [
        ["lightning" if (layer + 1) % group else "attention", "dense" if layer < first else "moe"]
        for layer in range(depth)
    ]
    turned = {key: said for key, said in position.items() if key != "fraction"} | {"interleaved": True}
    return pieces.assemble(config, value, turned, parts, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"lightning": LightningAttention, "attention": LatentAttention, "dense": FeedForward | None, "moe": Experts}
    lightning, latent, dense, moe = pieces.made_of(arch, kinds)
    if not isinstance(lightning.position, Rope):
        raise Unsupported("parts.lightning.position: in this family it is a rope")
    mixers, networks = ([block[at].parts[0] for block in arch.sequence] for at in (0, 1))
    return (
        {"architectures": [CLASS], "model_type": "bailing_hybrid"}
        | pieces.write_sizes(arch)
        | v3.write_latent(latent)
        | {OWN.get(key, key): said for key, said in kimi_linear.write_experts(moe).items()}
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
        | {
            "hidden_act": pieces.write_activation(moe.activation),
            "head_dim": lightning.head_dim,
            "partial_rotary_factor": lightning.position.fraction,
            "layer_group_size": (*mixers, "attention").index("attention") + 1,
            "group_norm_size": lightning.groups,
            "first_k_dense_replace": (*networks, "moe").index("moe"),
            "intermediate_size": dense.d_ff if dense else 4 * arch.d_model,
        }
    )


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        if isinstance(part, LightningAttention):
            yield from ring.lightning_sources(path, at, part, arch.depth)
        else:
            yield from v3.latent_sources(path, at, part)

    def ff(path, at, part):
        if isinstance(part, Experts):
            return tensors.experts_sources(path, f"{at}.mlp", part, bias="gate.expert_bias")
        return tensors.dense_sources(path, f"{at}.mlp", part)

    for path, ways in tensors.llama_sources(arch, mixer, ff):
        yield path, [Source(tuple(tensors.reworded(name, ring.LING.names) for name in w.names), w.make) for w in ways]
