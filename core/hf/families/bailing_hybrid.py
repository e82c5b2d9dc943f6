"""Ling 3.0 (inclusionAI 2026): five layers of Kimi's delta attention, with a bounded decay, to one of latent attention with a gate
for each head; DeepSeek-V3's experts. Of the modules that predict further tokens the config.json does not say what they are."""

from itertools import repeat

from ...parts.experts import Experts
from ...parts.kimi_delta import KimiDelta
from ...parts.latent import LatentAttention
from ...spec import Architecture, Unsupported
from ..reading import classes, keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Key, Of, Unread
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import kimi_linear, ling_2_5
from .like_llama_moe import typed
from .step3p5 import limit, limits

TYPES = ("bailing_hybrid",)
OWN_CLASS = "BailingMoeV3ForCausalLM"  # the class in the published files
# What the published files say beside it, and what that must be.
PUBLISHED = {
    "gated_attention_proj_granularity_type": "head_wise", "group_norm_size": 1, "linear_silu": True, "no_kda_lora": True,
    "moe_router_enable_expert_bias": True, "rope_interleave": True, "score_function": "sigmoid", "scoring_func": "sigmoid",
    "use_qk_norm": True, "use_kda_lora": False, "scale_router_input": False, "use_bias": False, "use_qkv_bias": False,
    "use_mla_nope": False, "use_nGPT": False, "up_proj_norm": False, "value_norm": False,
}  # fmt: skip


KEYS = (
    *kimi_linear.head(157_184, 2_560, 262_144, 42, 1e-6),
    *v3.latent(32, (None, 512), gate={"per": "head"}),
    *keys.feed_forward(6_144),
    *kimi_linear.experts(512, 768, 2.5, 8, 4),
    Always("delta", kind="kimi_delta", whole=True),
    Key("linear_num_heads", "delta.heads", Of("attention.heads")),
    Key("short_conv_kernel_size", "delta.kernel", 4, also="linear_conv_kernel_dim"),
    Key("hidden_act", "delta.activation", "silu", form=keys.PLAIN_ACTIVATION),
    Unread("num_nextn_predict_layers num_mtp_layers mtp_loss_scaling_factor mtp_use_kda max_window_layers output_dropout"),
    *keys.only(q_lora_rank=None, **PUBLISHED),
)


def read(config: Config, model_type: str) -> dict:
    if ling_2_5.CLASS in classes.names(config):
        return ling_2_5.read(config, model_type)
    said = keys.read(config, KEYS)
    depth, group, delta = said["depth"], config.count("layer_group_size", 6), said["delta"]
    usual = ["linear_attention" if (layer + 1) % group else "full_attention" for layer in range(depth)]
    words = pieces.layer_types(config, depth, usual, "full_attention", "linear_attention")
    delta["head_dim"] = config.count("linear_head_dim", config.count("head_dim", 128))
    floor = config.take("kda_lower_bound", float, -5.0)
    if config.take("kda_safe_gate", bool, True):
        delta["floor"] = floor
    blocks = [
        ["delta" if word == "linear_attention" else "attention", "moe" if sparse else "dense"]
        for word, sparse in zip(words, typed(2)(config, depth), strict=True)
    ]
    config.ignore("first_k_dense_replace")
    _published(config, said)
    blocks = _limited(config, said, blocks)
    said["position"] = _rope(config, said) | {"interleaved": True}
    return pieces.model(config, said, blocks)


def _published(config: Config, said: dict) -> None:
    """What the published files say twice, or what their class does not read: its rotary embedding turns all channels of `rope_dim`."""
    attention = said["attention"]
    config.expect("rotary_dim", attention["rope_dim"])
    config.expect("qk_head_dim", attention["nope_dim"] + attention["rope_dim"])
    config.expect("num_kv_heads_for_linear_attn", 0, said["delta"]["heads"])
    config.expect("moe_shared_expert_intermediate_size", said["moe"]["d_ff"])
    if OWN_CLASS in classes.names(config):
        config.raw = {key: value for key, value in config.raw.items() if key != "partial_rotary_factor"}


def _limited(config: Config, said: dict, blocks: list[list[str]]) -> list[list[str]]:
    """The blocks with a name of its own for each kind of experts whose activations are cut. The lists say by layer where; the class in
    the published files does not read them, but the models were trained so, and sglang's has it (models/bailing_moe.py)."""
    routed, shared = (limits(config, f"{name}_swiglu_limit_list", said["depth"], 0) for name in ("expert", "share_expert"))
    named = []
    for (mixer, feed), cut, beside in zip(blocks, routed or repeat(0.0), shared or repeat(0.0), strict=False):
        if feed == "moe" and (cut or beside):
            feed = f"moe{cut:g}_shared{beside:g}".replace(".", "p")
            own = {"activation": "capped_swiglu", "clamp": beside} if beside else {"activation": said["moe"].get("activation", "swiglu")}
            said[feed] = said["moe"] | ({"activation": "capped_swiglu", "clamp": cut} if cut else {})
            said[feed] |= {"shared": said["moe"]["shared"] | own} if said["moe"].get("shared") else {}
        named.append([mixer, feed])
    return named


def _rope(config: Config, said: dict) -> dict:
    """DeepSeek's, with this family's base where none is given."""
    config.raw = {"rope_theta": 6e6} | {key: value for key, value in config.raw.items() if value is not None}
    return keys.read(config, (v3.LatentTurning(),), said)["position"]


def write(arch: Architecture) -> dict:
    kinds = {"delta": KimiDelta | None, "attention": LatentAttention | None} | pieces.FEEDS | {"moe*": Experts}
    delta, _, dense, moe = pieces.made_of(arch, kinds)
    feeds = [arch.parts[block[-1].parts[0]] for block in arch.sequence]
    cut = any(isinstance(part, Experts) and part is not moe for part in feeds)
    if cut and not moe:
        raise Unsupported("parts.moe: is missing; this family writes the experts whose activations are not cut first")
    written = pieces.write_model(arch, "BailingHybrid", "bailing_hybrid", (*KEYS, v3.LatentTurning()))
    written |= {
        "hidden_act": keys.write_activation((dense or moe).activation),
        "layer_types": ["linear_attention" if block[0].parts == ("delta",) else "full_attention" for block in arch.sequence],
        "mlp_layer_types": pieces.write_sparse_layers(arch),
    }
    if cut:
        sparse = [part if isinstance(part, Experts) else None for part in feeds]
        written |= {"architectures": [OWN_CLASS], "expert_swiglu_limit_list": [*map(limit, sparse)]}
        written["share_expert_swiglu_limit_list"] = [limit(part.beside_all if part and part.shared else None) for part in sparse]
        written["mlp_layer_types"] = ["sparse" if part else "dense" for part in sparse]
    written.pop("q_lora_rank", None)
    if delta:
        written |= {"linear_head_dim": delta.head_dim, "kda_safe_gate": delta.floor is not None}
        written |= unless(None, kda_lower_bound=delta.floor)
    return written


def sources(arch: Architecture) -> Sources:
    """As transformers has them, and as the published files do."""
    published = {"self_attn": "attention", "embed_tokens": "word_embeddings", "e_score_correction_bias": "expert_bias"}

    def mixer(path, at, part):
        if isinstance(part, KimiDelta):
            yield from kimi_linear.delta_sources(path, at, part)
            return
        yield from v3.latent_sources(path, at, part)
        yield one(f"{path}.gate.weight", f"{at}.self_attn.g_proj.weight")

    def ff(path, at, part):
        return (tensors.experts_sources if isinstance(part, Experts) else tensors.dense_sources)(path, f"{at}.mlp", part)

    def named(**names: str) -> Sources:
        return tensors.renamed(tensors.llama_sources(arch, mixer, ff), **names)

    for ways in zip(named(), named(**published), named(**published, o_proj="dense"), strict=True):
        yield ways[0][0], [way for _, each in ways for way in each]
