"""DeciLM and Nemotron's models found by search (Puzzle, arXiv:2411.19146): in each layer attention and the feed-forward network have
a size of their own, or are not there. Their class came with their weights."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights.tensors import ignored as ignored
from ..weights.tensors import llama_sources as sources  # noqa: F401

TYPES = ("nemotron-nas", "deci")
STEP = 256  # feed-forward widths are rounded up to multiples of this
SUBBLOCK = ("replace_with_linear", "sparsify", "window_length", "num_sink_tokens", "use_prefill_window_in_sink_attention", "unshifted_sink",
            "is_mamba", "mamba", "llama4", "moe", "hidden_act")  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=32_000, d_model=4_096, context=2_048, tied=False, eps=1e-6)
    d_model, depth = value["d_model"], config.depth("num_hidden_layers", 32)
    heads = config.count("num_attention_heads", 32)
    if d_model % heads:
        raise config.refuse("num_attention_heads", f"hidden_size {d_model:,} does not divide into so many heads")
    config.expect("head_dim", d_model // heads)
    biases = {name: unless(False, bias=config.take(f"{name}_bias", bool, False)) for name in ("attention", "mlp")}
    activation = unless("swiglu", activation=pieces.activation(config))
    config.ignore("num_key_value_heads")  # what each layer says goes before it
    groups, widths = _listed(config, heads, depth, d_model) if config.has("block_configs") else _deci(config, heads, depth)
    parts, blocks = {}, []
    alike, even = len({*groups} - {0}) == 1, len({*widths} - {0}) == 1
    for kv_heads, width in zip(groups, widths, strict=True):
        block = []
        if kv_heads:
            block.append("attention" if alike else f"attention{kv_heads}")
            shape = {"heads": heads, "kv_heads": kv_heads, "head_dim": d_model // heads}
            parts[block[-1]] = {"kind": "attention"} | shape | biases["attention"]
        if width:
            block.append("dense" if even else f"dense{width}")
            parts[block[-1]] = {"kind": "feed_forward", "d_ff": width} | activation | biases["mlp"]
        blocks.append(block)
    return pieces.assemble(config, value, rotary.rope(config, value["context"]), parts, blocks)


def _deci(config: Config, heads: int, depth: int) -> tuple[list[int], list[int]]:
    """DeciLM-7B: a number of keys and values for each layer, one width for all."""
    groups = config.listing("num_key_value_heads_per_layer", int, [heads] * depth)
    if len(groups) != depth or not all(1 <= kv_heads <= heads for kv_heads in groups):
        raise config.refuse("num_key_value_heads_per_layer", f"give heads for each of the {depth} layers")
    return groups, [config.count("intermediate_size", 11_008)] * depth


def _listed(config: Config, heads: int, depth: int, d_model: int) -> tuple[list[int], list[int]]:
    """Heads of keys and values, and widths, of each layer that has either; 0 where it has no such part."""
    given = config.listing("block_configs", dict)
    config.ignore("intermediate_size")
    if len(given) != depth:
        raise config.refuse("block_configs", f"it has {len(given)} entries for {depth} layers")
    groups, widths = [], []
    for layer, raw in enumerate(given):
        if layer and groups and raw == given[layer - 1]:
            groups.append(groups[-1]), widths.append(widths[-1])
            continue
        block = Config(raw, f"block_configs.{layer}")
        attention, dense = block.nested("attention"), block.nested("ffn")
        block.finish()
        for part in (attention, dense):
            for key in SUBBLOCK:
                part.expect(key, False, [])
        share = attention.count("n_heads_in_group", None)
        widen = dense.take("ffn_mult", float, None)
        there = [not part.take("no_op", bool, False) for part in (attention, dense)]
        attention.finish(), dense.finish()
        if there[0] and (share is None or heads % share):
            raise attention.refuse("n_heads_in_group", f"give a divisor of {heads} heads")
        if there[1] and (widen is None or not 0 < widen < 1_000):
            raise dense.refuse("ffn_mult", "give a factor of the width")
        if not any(there):  # what it reads, it gives: it is not there
            continue
        groups.append(heads // share if there[0] else 0)
        widths.append(_width(widen, d_model) if there[1] else 0)
    if not groups:
        raise config.refuse("block_configs", "no layer has any part")
    return groups, widths


def _width(factor: float, d_model: int) -> int:
    return -(-max(1, int(2 * factor * d_model / 3)) // STEP) * STEP


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention*": Attention, "dense*": FeedForward}, layer=())
    if any(len(step.parts) > 1 for block in arch.distinct() for step in block):
        raise Unsupported("layers: this family has its parts in sequence; give no parallel parts")
    mixers = [next((arch.parts[n] for s in b for n in s.parts if arch.parts[n].mixes), None) for b in arch.sequence]
    dense = [next((arch.parts[n] for s in b for n in s.parts if not arch.parts[n].mixes), None) for b in arch.sequence]
    mixer, wide = next(filter(None, mixers), None), next(filter(None, dense), None)
    if not mixer or not wide:
        raise Unsupported("layers: this family needs layers with attention and layers with a feed-forward network; give both")
    listed = [
        {
            "attention": {"n_heads_in_group": m.heads // m.kv_heads} if m else {"no_op": True},
            "ffn": {"ffn_mult": 1.5 * d.d_ff / arch.d_model} if d else {"no_op": True},
        }
        for m, d in zip(mixers, dense, strict=True)
    ]
    if arch.model_type == "deci" or any(d and d.d_ff % STEP for d in dense):  # no factor says such a width
        if None in mixers or any(d != wide for d in dense):
            raise Unsupported(f"layers: this family needs widths that are multiples of {STEP}")
        listed = None
    each = {"block_configs": listed} if listed else {"num_key_value_heads_per_layer": [m.kv_heads for m in mixers]}
    return (
        {"architectures": ["DeciLMForCausalLM"], "model_type": "nemotron-nas" if listed else "deci"}
        | pieces.write_sizes(arch)
        | {"num_attention_heads": mixer.heads, "attention_bias": mixer.bias, "mlp_bias": wide.bias}
        | pieces.write_dense(wide)
        | each
        | rotary.write_rope(arch.position, arch.context)
        | pieces.write_precision(arch)
    )
