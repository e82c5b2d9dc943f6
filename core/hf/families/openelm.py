"""OpenELM (arXiv:2404.14619): heads and feed-forward widths grow from layer to layer. Its class came with its weights."""

import math
from collections.abc import Sequence
from itertools import product

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture, Unsupported
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources

TYPES = ("openelm",)
ROOTS = ("transformer.",)


def read(config: Config, model_type: str) -> dict:
    d_model, context = config.count("model_dim", 2_048), config.count("max_context_length", 2_048)
    depth, dim = config.depth("num_transformer_layers", 12), config.count("head_dim", 128)
    groups, tied = config.count("num_gqa_groups", 1), config.take("share_input_output_layers", bool, False)
    config.expect("normalization_layer_name", "rms_norm")
    config.expect("tie_word_embeddings", tied)
    config.ignore("rope_max_length")
    gated = config.take("ffn_with_glu", bool, True)
    activation = pieces.activation(config, "activation_fn_name", "swish", gated=gated)
    heads = [
        _divisible(d_model * share, dim * groups) // dim for share in _shares(config, "qkv_multipliers", 1.0, depth, d_model, False)
    ]  # fmt: skip
    step = config.count("ffn_dim_divisor", 256)
    widths = [_divisible(share * d_model, step) for share in _shares(config, "ffn_multipliers", 4.0, depth, d_model, True)]
    for key, said in (("num_query_heads", heads), ("num_kv_heads", [h // groups for h in heads])):
        config.expect(key, said)
    norms = {"qk_norm": {}} if config.take("normalize_qk_projections", bool, False) else {}
    mixers = {h: {"kind": "attention", "heads": h, "kv_heads": h // groups, "head_dim": dim} | norms for h in heads}
    dense = {w: {"kind": "feed_forward", "d_ff": w} | unless("swiglu", activation=activation) for w in widths}
    parts = {_name("attention", h, mixers): part for h, part in mixers.items()}
    parts |= {_name("dense", w, dense): part for w, part in dense.items()}
    blocks = [
        [_name("attention", h, mixers), _name("dense", w, dense)] for h, w in zip(heads, widths, strict=True)
    ]  # fmt: skip
    value = {
        "vocab_size": config.count("vocab_size", 32_000),
        "d_model": d_model,
        "context": context,
        "tied_embeddings": tied,
        "norm": {"kind": "rms", "eps": 1e-6},
    }
    position = {"kind": "rope", "base": config.take("rope_freq_constant", float, 1e4)}
    return pieces.assemble(config, value, position, parts, blocks)


def _name(word: str, width: int, kinds: dict) -> str:
    """`dense`, or `dense2048` where there are several."""
    return word if len(kinds) == 1 else f"{word}{width}"


def _shares(config: Config, key: str, usual: float, depth: int, d_model: int, each: bool) -> Sequence[float]:
    """One number for all layers, the first and the last of a straight line rounded to hundredths, or one for `each` layer."""
    given = config.take(key, (int, float, list, tuple), usual)
    shares = [given] if isinstance(given, int | float) else given
    if not all(isinstance(s, int | float) and not isinstance(s, bool) and 0 < s * d_model < 2**20 for s in shares):
        raise config.refuse(key, "give shares of model_dim")
    if len(shares) == 2:
        return _straight(*shares, depth)
    if len(shares) == 1 and not isinstance(given, list | tuple):
        return list(shares) * depth
    if each and len(shares) == depth:
        return shares
    raise config.refuse(key, f"give one number, two{f', or {depth}' if each else ''}")


def _straight(start: float, end: float, depth: int) -> list[float]:
    rise = (end - start) / max(depth - 1, 1)
    return [round(layer * rise + start, 2) for layer in range(depth - 1)] + [round(end if depth > 1 else start, 2)]


def _divisible(width: float, step: int) -> int:
    """The multiple of `step` nearest to the width, not more than a tenth below it."""
    near = max(step, int(width + step / 2) // step * step)
    return near + step if near < 0.9 * width else near


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention*": Attention, "dense*": FeedForward})
    mixers = pieces.mixers(arch)
    dense = [arch.parts[block[1].parts[0]] for block in arch.sequence]
    first = mixers[0]
    if not isinstance(arch.position.base, float) or arch.position.scaling:
        raise Unsupported("position: this family's rope has only a base; remove other fields")
    widths = [part.d_ff for part in dense]
    return {
        "architectures": ["OpenELMForCausalLM"], "model_type": "openelm", "vocab_size": arch.vocab_size, "model_dim": arch.d_model,
        "num_transformer_layers": arch.depth, "max_context_length": arch.context, "head_dim": first.head_dim,
        "num_gqa_groups": first.heads // first.kv_heads, "normalize_qk_projections": first.qk_norm is not None,
        "share_input_output_layers": arch.tied_embeddings, "ffn_with_glu": dense[0].gated,
        "activation_fn_name": {"silu": "swish"}.get(name := pieces.write_activation(dense[0].activation), name),
        "ffn_dim_divisor": math.gcd(*widths), "ffn_multipliers": [width / arch.d_model for width in widths],
        "qkv_multipliers": line([mixer.heads for mixer in mixers], first.head_dim, first.heads // first.kv_heads, arch.d_model),
        "rope_freq_constant": arch.position.base,
    } | pieces.write_precision(arch)  # fmt: skip


def line(heads: list[int], dim: int, groups: int, d_model: int) -> list[float]:
    """The first and the last share of a straight line that gives each layer these heads."""
    steps = [step / 20 for step in range(1, 81)]
    for start, end in product(steps, steps):
        if _divisible(d_model * start, dim * groups) == heads[0] * dim and _divisible(d_model * end, dim * groups) == heads[-1] * dim:
            line = _straight(start, end, len(heads))
            if [_divisible(d_model * share, dim * groups) // dim for share in line] == heads:
                return [start, end]
    raise Unsupported("parts: this family's heads grow linearly from layer to layer")


def sources(arch: Architecture) -> Sources:
    gated = arch.parts[arch.sequence[0][1].parts[0]].gated
    names = {
        "model.embed_tokens": "transformer.token_embeddings", "model.": "transformer.", "self_attn.o_proj": "attn.out_proj",
        "self_attn.": "attn.", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "mlp.gate_up_proj" if gated else "mlp.up_proj": "ffn.proj_1", "mlp.down_proj": "ffn.proj_2",
    }  # fmt: skip
    for path, ways in tensors.llama_sources(arch):
        yield path, [Source(tuple(tensors.reworded(name, names) for name in way.names), way.make) for way in ways]


ignored = tensors.ignored
