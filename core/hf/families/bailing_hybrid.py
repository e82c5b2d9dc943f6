"""Ling 3.0 (inclusionAI 2026): five layers of Kimi's delta attention, with a bounded decay, to one of latent attention with a gate
for each head; DeepSeek-V3's experts. Of the modules that predict further tokens the config.json does not say what they are."""

from ...parts.experts import Experts
from ...parts.kimi_delta import KimiDelta
from ...parts.latent import LatentAttention
from ...spec import Architecture
from ..reading import classes, pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one
from . import deepseek_v3 as v3
from . import kimi_linear, ling_2_5
from .like_llama_moe import typed

TYPES = ("bailing_hybrid",)
# What the published files say beside it, and what that must be.
PUBLISHED = {
    "gated_attention_proj_granularity_type": "head_wise", "group_norm_size": 1, "linear_silu": True, "no_kda_lora": True,
    "moe_router_enable_expert_bias": True, "rope_interleave": True, "score_function": "sigmoid", "scoring_func": "sigmoid",
    "use_qk_norm": True, "use_kda_lora": False, "scale_router_input": False, "use_bias": False, "use_qkv_bias": False,
    "use_mla_nope": False, "use_nGPT": False, "up_proj_norm": False, "value_norm": False,
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if ling_2_5.CLASS in classes.names(config):
        return ling_2_5.read(config, model_type)
    value = {
        "vocab_size": config.count("vocab_size", 157_184),
        "d_model": config.count("hidden_size", 2_560),
        "context": v3.either(config, "model_max_length", "max_position_embeddings", 262_144, most=2**31),
        "norm": {"kind": "rms", "eps": config.take("rms_norm_eps", float, 1e-6)},
    }
    config.ignore("tie_word_embeddings")  # the head has a matrix of its own, whatever is said
    config.ignore("num_nextn_predict_layers", "num_mtp_layers", "mtp_loss_scaling_factor")
    for key, said in PUBLISHED.items():
        config.expect(key, said)
    config.ignore("output_dropout")
    config.expect("q_lora_rank", None)
    depth, group = config.depth("num_hidden_layers", 42), config.count("layer_group_size", 6)
    usual = ["linear_attention" if (layer + 1) % group else "full_attention" for layer in range(depth)]
    words = pieces.layer_types(config, depth, usual, "full_attention", "linear_attention")
    attention = v3.latent(config, 32, (None, 512))
    floor, safe = config.take("kda_lower_bound", float, -5.0), config.take("kda_safe_gate", bool, True)
    parts = {
        "delta": {
            "kind": "kimi_delta",
            "heads": config.count("linear_num_heads", attention["heads"]),
            "head_dim": config.count("linear_head_dim", config.count("head_dim", 128)),
            "whole": True,
        }
        | unless(4, kernel=config.count("linear_conv_kernel_dim", config.count("short_conv_kernel_size", 4)))
        | ({"floor": floor} if safe else {})
        | pieces.mixed(config),
        "attention": attention | {"gate": {"per": "head"}},
        "dense": pieces.dense(config, 6_144),
        "moe": kimi_linear.experts(config, count=512, d_ff=768, scale=2.5, groups=8, best=4),
    }
    blocks = [
        ["delta" if word == "linear_attention" else "attention", "moe" if sparse else "dense"]
        for word, sparse in zip(words, typed(2)(config, depth), strict=True)
    ]
    config.ignore("first_k_dense_replace")
    position = _rope(config, value["context"]) | {"interleaved": True}
    return pieces.assemble(config, value, position, parts, blocks)


def _rope(config: Config, context: int) -> dict:
    """DeepSeek's, with this family's base where none is given."""
    config.raw = {"rope_theta": 6e6} | {key: value for key, value in config.raw.items() if value is not None}
    return v3.rope(config, context)


def write(arch: Architecture) -> dict:
    kinds = {"delta": KimiDelta | None, "attention": LatentAttention | None} | pieces.FEEDS
    delta, latent, dense, moe = pieces.made_of(arch, kinds)
    written = (
        {"architectures": ["BailingHybridForCausalLM"], "model_type": "bailing_hybrid"}
        | {"hidden_act": pieces.write_activation((dense or moe).activation)}
        | pieces.write_sizes(arch)
        | {
            "layer_types": [
                "linear_attention" if block[0].parts == ("delta",) else "full_attention" for block in arch.sequence
            ],
            "mlp_layer_types": ["sparse" if block[1].parts == ("moe",) else "dense" for block in arch.sequence],
        }
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
    written["model_max_length"] = written.pop("max_position_embeddings")
    if latent:
        written |= {key: value for key, value in v3.write_latent(latent).items() if key != "q_lora_rank"}
    if delta:
        written |= {
            "linear_num_heads": delta.heads,
            "linear_head_dim": delta.head_dim,
            "short_conv_kernel_size": delta.kernel,
            "kda_safe_gate": delta.floor is not None,
        } | unless(None, kda_lower_bound=delta.floor)
    if dense:
        written["intermediate_size"] = dense.d_ff
    return written | (kimi_linear.write_experts(moe) if moe else {})


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
        return (tensors.experts_sources if isinstance(part, Experts) else tensors.dense_sources)(
            path, f"{at}.mlp", part
        )

    def named(**names: str) -> Sources:
        return tensors.renamed(tensors.llama_sources(arch, mixer, ff), **names)

    for ways in zip(named(), named(**published), named(**published, o_proj="dense"), strict=True):
        yield ways[0][0], [way for _, each in ways for way in each]
