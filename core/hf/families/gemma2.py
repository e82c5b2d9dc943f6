"""Gemma 2 (arXiv:2408.00118): norms before and after each part, every other layer in a window, capped scores and logits;
and VaultGemma (arXiv:2510.15001), which has the norms before alone."""

from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored

TYPES = ("gemma2", "vaultgemma")
KINDS = ("full_attention", "sliding_attention")


def read(config: Config, model_type: str) -> dict:
    value = gemma(config, vocab_size=256_000, context=8_192, softcap=30.0)
    attention = gemma_attention(config, value["d_model"])
    attention |= pieces.unless(None, softcap=config.take("attn_logit_softcapping", float, 50.0, null=None))
    depth = config.depth("num_hidden_layers", 26)
    usual = ["full_attention" if layer % 2 else "sliding_attention" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS)
    config.ignore("sliding_window_size")  # an older name, which nothing reads
    mixers, order = pieces.windowed(types, attention, window(config, types))
    parts = mixers | {"dense": gemma_dense(config)}
    if model_type == "vaultgemma":
        del value["residual"]
    return pieces.assemble(
        config, value, rotary.rope(config, value["context"]), parts, [[name, "dense"] for name in order]
    )


def write(arch: Architecture) -> dict:
    name, kind = ("Gemma2", "gemma2") if arch.residual.norm == "sandwich" else ("VaultGemma", "vaultgemma")
    named = {"architectures": [f"{name}ForCausalLM"], "model_type": kind}
    return named | write_gemma(arch) | rotary.write_rope(arch.position, arch.context)


def sources(arch: Architecture) -> Sources:
    vault = {} if arch.residual.norm == "sandwich" else {"post_attention_layernorm": "pre_feedforward_layernorm"}
    return tensors.renamed(tensors.llama_sources(arch), **vault)


# ---- what Gemma 2 and 3 share ----


def gemma(config: Config, *, vocab_size: int, context: int, softcap: float | None) -> dict:
    """Sizes, the scaled embedding, norms stored as their distance from one, a cap on the logits."""
    value = pieces.sizes(config, vocab_size=vocab_size, d_model=2_304, context=context, tied=True, eps=1e-6)
    config.expect("use_bidirectional_attention", False)
    cap = config.take("final_logit_softcapping", float, softcap, null=None)
    value["norm"] |= {"unit_offset": True}
    value |= {"embedding": {"scale": "sqrt_d_model"}, "residual": {"norm": "sandwich"}}
    return value if cap is None else value | {"head": {"softcap": cap}}


def gemma_attention(config: Config, d_model: int) -> dict:
    part = pieces.attention(config, d_model, heads=8, kv_heads=4, head_dim=256)
    scalar = config.positive("query_pre_attn_scalar", 256.0)
    return part | pieces.unless(part["head_dim"] ** -0.5, scale=scalar**-0.5)


def gemma_dense(config: Config) -> dict:
    config.ignore("hidden_act")  # an older name, which nothing reads
    return pieces.dense(config, 9_216, act="hidden_activation", default="gelu_pytorch_tanh")


def window(config: Config, types: list[str], usual: int = 4_096) -> int | None:
    length = config.count("sliding_window", usual, null=None)
    if length is None and "sliding_attention" in types:
        raise config.refuse("sliding_window", "some layers are of sliding_attention")
    return length


def write_gemma(arch: Architecture) -> dict:
    *_, dense = pieces.made_of(arch, pieces.WINDOWED | {"dense": FeedForward})
    part, types = pieces.mixers(arch)[0], pieces.write_layer_types(arch)
    dense = pieces.write_dense(dense)
    dense["hidden_activation"] = dense.pop("hidden_act")
    return (
        pieces.write_sizes(arch)
        | pieces.write_heads(part)
        | dense
        | {
            "attention_bias": part.bias,
            "query_pre_attn_scalar": round(pieces.write_scalar(part)),
            "attn_logit_softcapping": part.scores.softcap,
            "final_logit_softcapping": arch.head.softcap,
            "sliding_window": pieces.window(arch) or 4_096,
            "layer_types": types,
        }
        | pieces.write_precision(arch)
    )
