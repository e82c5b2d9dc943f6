"""RecurrentGemma (arXiv:2404.07839): Griffin's RG-LRU in two layers of three, attention in a window in the third."""

import math

import torch

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.rglru import RGLRU
from ...spec import MAX_LAYERS, Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Key, Of, Unread
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("recurrent_gemma",)
CONTEXT = 8_192  # what it was trained on; a config.json has no key for it


HALF = keys.Form(lambda width: width // 2, lambda width: 2 * width)
KEYS = (
    Key("vocab_size", "vocab_size", 256_000),
    Key("hidden_size", "d_model", 2_560),
    Key("num_hidden_layers", "depth", 26, most=MAX_LAYERS),
    Key("tie_word_embeddings", "tied_embeddings", True),
    Always("norm", kind="rms", unit_offset=True),
    Key("rms_norm_eps", "norm.eps", 1e-6),
    Key("logits_soft_cap", "head.softcap", 30.0),
    *keys.attention(10),
    Always("recurrence", kind="rg_lru"),
    Key("lru_width", "recurrence.width", Of("d_model")),
    Key("conv1d_width", "recurrence.kernel", 4),
    Key("hidden_activation", "recurrence.activation", "gelu_pytorch_tanh", form=keys.PLAIN_ACTIVATION),
    Always("dense", kind="feed_forward", bias=True),
    Key("intermediate_size", "dense.d_ff", 7_680, least=2, form=HALF),  # both projections up together
    Key("hidden_activation", "dense.activation", "gelu_pytorch_tanh", form=keys.GATED_ACTIVATION),
    *keys.only(embeddings_scale_by_sqrt_dim=True),
    Unread("w_init_variance_scale final_w_init_variance_scale"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    attention, unit = said["attention"], said["recurrence"]
    window = config.count("sliding_window", config.count("attention_window_size", 2_048))
    config.expect("attention_window_size", window)
    attention |= pieces.sight(window) | ({} if attention["bias"] else {"out_bias": True})
    unit["blocks"] = attention["heads"]
    said |= {"context": CONTEXT, "embedding": {"scale": _scale(said["d_model"])}}
    said["position"] = rotary.rope(config, CONTEXT, fraction=0.5)
    if "scaling" in said["position"]:
        raise Unsupported("rope_parameters: this family's rope has no scaling; give rope_type default")
    blocks = [["recurrence" if recurs else "attention", "dense"] for recurs in _recurs(config, said["depth"])]
    return pieces.model(config, said, blocks)


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
    unit, attention, _ = pieces.made_of(arch, kinds)
    written = pieces.write_model(arch, "RecurrentGemma", "recurrent_gemma", KEYS)
    words = ["recurrent" if block[0].parts == ("recurrence",) else "attention" for block in arch.sequence]
    if unit and not attention:
        written |= {"num_attention_heads": unit.blocks, "head_dim": arch.d_model // unit.blocks}
    if attention:
        written["attention_window_size"] = attention.sight.window
    position = {"rope_theta": arch.position.base, "partial_rotary_factor": arch.position.fraction}
    return written | {"block_types": words, "rope_parameters": position | {"rope_type": "default"}}


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
