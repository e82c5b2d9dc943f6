"""RecurrentGemma (arXiv:2404.07839): Griffin's RG-LRU in two layers of three, attention in a window in the third."""

import math

import torch

from ...parts.attention import Attention
from ...parts.feedforward import GATED, FeedForward
from ...parts.rglru import RGLRU
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("recurrent_gemma",)
CONTEXT = 8_192  # what it was trained on; a config.json has no key for it


def read(config: Config, model_type: str) -> dict:
    d_model, depth = config.count("hidden_size", 2_560), config.depth("num_hidden_layers", 26)
    act = pieces.activation(config, "hidden_activation", "gelu_pytorch_tanh")
    window = config.count("sliding_window", config.count("attention_window_size", 2_048))
    config.expect("attention_window_size", window)
    kept = pieces.attention(config, d_model, heads=10) | {"window": window}
    wide = config.count("intermediate_size", 7_680, least=2)  # both projections up together
    unit = {"kind": "rg_lru", "width": config.count("lru_width", d_model), "blocks": kept["heads"]}
    unit |= unless(4, kernel=config.count("conv1d_width", 4))
    parts = {
        "recurrence": unit | unless("gelu_tanh", activation=GATED[act]),
        "attention": kept if kept.get("bias") else kept | {"out_bias": True},
        "dense": {"kind": "feed_forward", "d_ff": wide // 2, "bias": True} | unless("swiglu", activation=act),
    }
    config.expect("embeddings_scale_by_sqrt_dim", True)
    config.ignore("w_init_variance_scale", "final_w_init_variance_scale")
    value = {
        "vocab_size": config.count("vocab_size", 256_000),
        "d_model": d_model,
        "context": CONTEXT,
        "tied_embeddings": config.take("tie_word_embeddings", bool, True),
        "embedding": {"scale": _scale(d_model)},
        "norm": {"kind": "rms", "eps": config.take("rms_norm_eps", float, 1e-6), "unit_offset": True},
        "head": {"softcap": config.take("logits_soft_cap", float, 30.0)},
    }
    blocks = [["recurrence" if recurs else "attention", "dense"] for recurs in _recurs(config, depth)]
    position = rotary.rope(config, CONTEXT, fraction=0.5)
    if "scaling" in position:
        raise Unsupported("rope_parameters: this family's rope is not scaled; rope_type can only be default")
    return pieces.assemble(config, value, position, parts, blocks)


def _scale(d_model: int) -> float | str:
    """The root of d_model as bf16 holds it, in which the family keeps it."""
    rounded = float(torch.tensor(math.sqrt(d_model), dtype=torch.bfloat16))
    return "sqrt_d_model" if rounded == math.sqrt(d_model) else rounded


def _recurs(config: Config, depth: int) -> list[bool]:
    """Which layers recur: block_types again and again."""
    pattern = config.listing("block_types", str) or ["recurrent", "recurrent", "attention"]
    config.expect("_block_types", pattern)
    config.expect("embeddings_scale_by_sqrt_dim", True)
    for word in pattern:
        if word not in ("recurrent", "attention"):
            raise config.refuse("block_types", f"{word[:40]!r} is not one of recurrent, attention")
    words = [pattern[layer % len(pattern)] for layer in range(depth)]
    for key in ("layers_block_type", "layer_types"):  # what follows from it
        config.expect(key, ["linear_attention" if w == "recurrent" else "sliding_attention" for w in words], words)
    return [word == "recurrent" for word in words]


def write(arch: Architecture) -> dict:
    kinds = {"recurrence": RGLRU | None, "attention": Attention | None, "dense": FeedForward}
    unit, attention, dense = pieces.made_of(arch, kinds)
    written = {
        "architectures": ["RecurrentGemmaForCausalLM"], "model_type": "recurrent_gemma", "vocab_size": arch.vocab_size,
        "hidden_size": arch.d_model, "num_hidden_layers": arch.depth, "rms_norm_eps": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings, "logits_soft_cap": arch.head.softcap, "intermediate_size": 2 * dense.d_ff,
        "hidden_activation": pieces.write_activation(dense.activation),
        "block_types": ["recurrent" if block[0].parts == ("recurrence",) else "attention" for block in arch.sequence],
    }  # fmt: skip
    if unit:
        written |= {"lru_width": unit.width, "conv1d_width": unit.kernel, "num_attention_heads": unit.blocks}
        written["head_dim"] = arch.d_model // unit.blocks
    if attention:
        written |= pieces.write_heads(attention)
        written |= {"attention_bias": attention.bias, "attention_window_size": attention.sight.window}
    position = {"rope_theta": arch.position.base, "partial_rotary_factor": arch.position.fraction}
    return written | {"rope_parameters": position | {"rope_type": "default"}} | pieces.write_precision(arch)


def sources(arch: Architecture) -> Sources:
    names = {
        "input_layernorm": "temporal_pre_norm", "post_attention_layernorm": "channel_pre_norm", "self_attn": "temporal_block",
        "mlp": "mlp_block", "norm": "final_norm",
    }  # fmt: skip
    yield from tensors.renamed(tensors.llama_sources(arch, mixer=_mixer), **names)


def _mixer(path: str, at: str, part) -> Sources:
    if not isinstance(part, RGLRU):
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)
        return
    at = f"{at}.temporal_block"
    for ours, theirs in (("up", "linear_x"), ("convolve", "conv_1d"), ("out_gate", "linear_y"), ("o", "linear_out")):
        for kind in ("weight", "bias"):
            yield one(f"{path}.{ours}.{kind}", f"{at}.{theirs}.{kind}")
    for ours, theirs in (("input_gate", "input_gate"), ("fade_gate", "recurrent_gate")):
        for kind in ("weight", "bias"):
            yield one(f"{path}.{ours}.{kind}", f"{at}.rg_lru.{theirs}_{kind}")
    yield one(f"{path}.unit.a", f"{at}.rg_lru.recurrent_param")
