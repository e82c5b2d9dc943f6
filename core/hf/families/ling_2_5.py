"""Ling and Ring 2.5 and 2.6 (arXiv:2606.15079): layers of lightning attention to one of latent attention, Ling 2.0's experts.
Their files say bailing_hybrid as Ling 3.0's do, and their class tells them apart. Of the modules that predict further tokens
the config.json does not say what they are."""

from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...parts.latent import LatentAttention
from ...parts.lightning import LightningAttention
from ...parts.position import Rope
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Unread
from ..reading.rotary import Turning
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

KEYS = (
    *keys.sizes(..., ..., ..., ...),
    *v3.latent(...),
    *keys.feed_forward(...),
    *kimi_linear.experts(..., ..., ..., ..., ..., normalise="norm_topk_prob/moe_renormalize"),
    Turning(fraction=1.0),
    Key("first_k_dense_replace", "leading", least=0),
    Key("layer_group_size", "every", least=2),
    Unread("num_nextn_predict_layers mtp_loss_scaling_factor max_window_layers output_dropout"),
)
OWN = {"num_experts_per_token": "num_experts_per_tok", "num_expert_group": "n_group"}


def read(config: Config, model_type: str) -> dict:
    for key in NEEDED:
        if key not in config.raw:
            raise Unsupported(f"{key}: is missing; this family needs every size")
    for key, fixed in FIXED.items():
        config.expect(key, fixed)
    said = keys.read(config, KEYS)
    attention, moe, position, depth, group = (said[name] for name in ("attention", "moe", "position", "depth", "every"))
    heads, width = attention["heads"], said["d_model"] // attention["heads"]
    if "scaling" in position:
        raise config.refuse("rope_scaling", "it is read without scaling")
    config.expect("num_kv_heads_for_linear_attn", 0, heads)
    config.expect("head_dim", width)
    config.expect("rotary_dim", round(position.get("fraction", 1) * width))
    config.expect("qk_head_dim", attention["nope_dim"] + attention["rope_dim"])
    config.expect("moe_shared_expert_intermediate_size", config.raw["moe_intermediate_size"])
    if depth % group:
        raise config.refuse("layer_group_size", f"{depth} layers are not whole groups, and of those left over code differs")
    if said["leading"] >= depth:
        raise config.refuse("first_k_dense_replace", f"give 0 to {depth - 1:,}")
    moe["router"]["normalise"] &= moe["top_k"] > 1  # one chosen expert keeps its score
    said["lightning"] = ring.lightning(config, said, heads, width, position)
    said["position"] = {key: value for key, value in position.items() if key != "fraction"} | {"interleaved": True}
    blocks = [
        ["lightning" if (layer + 1) % group else "attention", "dense" if layer < said["leading"] else "moe"] for layer in range(depth)
    ]
    return pieces.model(config, said, blocks)


def write(arch: Architecture) -> dict:
    kinds = {"lightning": LightningAttention, "attention": LatentAttention, "dense": FeedForward | None, "moe": Experts}
    lightning, _, dense, moe = pieces.made_of(arch, kinds)
    if not isinstance(lightning.position, Rope):
        raise Unsupported("parts.lightning.position: this family needs a rope; give one")
    every = next((n for n, block in enumerate(arch.sequence) if block[0].parts == ("attention",)), arch.depth) + 1
    written = pieces.write_model(arch, CLASS, "bailing_hybrid", KEYS, leading=pieces.first_routed(arch), every=every)
    return {OWN.get(key, key): said for key, said in written.items()} | {
        "architectures": [CLASS], "head_dim": lightning.head_dim, "group_norm_size": lightning.groups,
        "partial_rotary_factor": lightning.position.fraction, "hidden_act": keys.write_activation(moe.activation),
        "intermediate_size": dense.d_ff if dense else 4 * arch.d_model,
    }  # fmt: skip


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
