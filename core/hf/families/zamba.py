"""Zamba (arXiv:2405.16712) and Zamba2 (arXiv:2411.15242): Mamba, or Mamba-2, in every layer, and before some of them a
transformer block whose weights these layers share."""

from collections.abc import Callable, Iterator

from torch import Tensor

from ...parts.mamba import Mamba
from ...parts.mamba2 import Mamba2
from ...parts.position import NoPosition, Rope
from ...parts.shared_block import SharedBlock
from ...spec import MAX_LAYERS, Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Key
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from .like_llama import Family
from .mamba import inner as inner_of
from .mamba import selective
from .nemotron_h import mamba2_sources, step_limits

ALONE = {"norm": "none"}  # the block has norms of its own inside
WORDS = ("mamba", "linear_attention", "hybrid")
NEUTRAL = (
    "use_mamba_kernels", "num_logits_to_keep", "time_step_max", "time_step_floor", "use_associative_scan", "chunk_size", "use_mem_eff_path",
    "use_conv_bias", "mamba_headdim", "kv_channels", "num_query_groups", "ffn_hidden_size", "state_size", "conv_dimension",
    "use_low_rank_mamba_proj", "use_shared_mlp_adapter", "rope_theta", "lora_rank", "use_shared_block_lora", "add_bias_linear",
)  # fmt: skip
ZAMBA = (
    *selective(
        "mamba_d_state", "mamba_dt_rank", "mamba_d_conv", "mamba_proj_bias", "mamba_conv_bias", "hidden_mamba_act"
    ),
    Key("n_mamba_heads", "mamba.heads", 2),
    inner_of("mamba_expand"),
)  # fmt: skip
ZAMBA2 = (
    Always("mamba", kind="mamba2"),
    Key("n_mamba_heads", "mamba.heads", 8),
    Key("mamba_d_state", "mamba.state_size", 64),
    Key("mamba_ngroups", "mamba.groups", 1),
    Key("mamba_d_conv", "mamba.kernel", 4),
    Key("add_bias_linear", "mamba.bias", False),
    Key("time_step_min", "mamba.step_min", 1e-3),
)


def _sizes(config: Config, d_model: int) -> dict:
    return pieces.sizes(config, vocab_size=32_000, d_model=d_model, context=4_096, tied=True, eps=1e-5)


def _shared(config: Config, d_model: int, *, heads: int, kv_heads: int | None, d_ff: int, bias: bool = False) -> dict:
    """The shared block: its attention is as wide as stream and embedding together."""
    config.expect("attention_hidden_size", 2 * d_model)
    heads = config.count("num_attention_heads", heads)
    key = "attention_head_dim" if config.has("attention_head_dim") else "head_dim"
    head_dim = config.count(key, 2 * d_model // heads)
    config.ignore("attention_head_dim", "head_dim")
    attention = {
        "heads": heads,
        "kv_heads": config.count("num_key_value_heads", heads if kv_heads is None else kv_heads),
        "head_dim": head_dim,
        "scores": {"scale": (head_dim / 2) ** -0.5},
    }
    feed_forward = keys.read(config, keys.feed_forward(d_ff, usual="gelu"))["dense"] | unless(False, bias=bias)
    return {"kind": "shared_block", "attention": attention, "feed_forward": feed_forward}


def _kinds(config: Config, usual: list[str]) -> list[bool]:
    """Which layers have the shared block."""
    key = "layers_block_type"
    words = config.listing(key, str, usual)
    if not 0 < len(words) <= MAX_LAYERS or not set(words) <= set(WORDS):
        raise config.refuse(key, f"give one of {', '.join(WORDS)} for each layer")
    config.expect("num_hidden_layers", len(words))
    return [word == "hybrid" for word in words]


def _read_zamba(config: Config, model_type: str) -> dict:
    config.ignore(*NEUTRAL, "time_step_min")
    value = _sizes(config, 3_712)
    d_model, depth = value["d_model"], config.depth("num_hidden_layers", 76)
    period, offset = config.count("attn_layer_period", 6), config.count("attn_layer_offset", 4, least=0)
    usual = ["mamba", "mamba", "hybrid", *("hybrid" if n % period == offset else "mamba" for n in range(depth - 3))]
    part = keys.read(config, ZAMBA, {"d_model": d_model})["mamba"]
    shared = _shared(config, d_model, heads=16, kv_heads=16, d_ff=14_848) | unless(True, tied=value["tied_embeddings"])
    step = {"parts": ["shared"], "aside": True, "residual": ALONE}
    blocks = [[step, "mamba"] if hybrid else ["mamba"] for hybrid in _kinds(config, usual)]
    return pieces.assemble(config, value, {"kind": "none"}, {"mamba": part, "shared": shared}, blocks)


def _read_zamba2(config: Config, model_type: str) -> dict:
    bias = config.take("add_bias_linear", bool, False)
    turns = config.take("use_mem_rope", bool, False)
    value = _sizes(config, 2_560)
    d_model = value["d_model"]
    if config.take("use_long_context", bool, False):
        value["context"] = 16_384
    inner, heads = config.count("mamba_expand", 2) * d_model, config.count("n_mamba_heads", 8)
    if inner % heads:
        raise config.refuse("n_mamba_heads", f"{inner:,} channels do not divide into so many heads")
    config.expect("mamba_headdim", inner // heads)
    config.expect("gated_linear_unit", True)
    config.expect("expansion_factor", config.raw.get("mamba_expand", 2))
    part = keys.read(config, ZAMBA2)["mamba"] | {"head_dim": inner // heads}
    part |= unless(value["norm"]["eps"], out_eps=1e-5)
    if "step_max" in step_limits(config, "time_step_limit"):
        raise config.refuse("time_step_limit", "to its class time_step_min is the least step, and there is no largest")
    shared = _shared(config, d_model, heads=32, kv_heads=None, d_ff=4 * d_model, bias=bias)
    adapters = config.take("use_shared_attention_adapter", bool, False)
    if adapters and shared["attention"]["kv_heads"] != shared["attention"]["heads"]:
        raise config.refuse("num_key_value_heads", "adapters are as wide as all query heads")
    if adapters and shared["attention"]["heads"] * shared["attention"]["head_dim"] != 2 * d_model:
        raise config.refuse("attention_head_dim", "adapters are as wide as two streams, and so must all heads be")
    shared |= {"adapter_rank": config.count("adapter_rank", 128)} | unless(False, attention_adapters=adapters)
    usual = "m mmmmmh mmmmmh mmmmmh mmmmmh mmmmmh mmmmmh mmmmmh mmmmh mmmh mm".replace(" ", "")
    hybrid = _kinds(config, [{"m": "mamba", "h": "hybrid"}[letter] for letter in usual])
    config.expect("hybrid_layer_ids", [n for n, it in enumerate(hybrid) if it])
    count = config.count("num_mem_blocks", 1, most=32)
    if not value["tied_embeddings"]:  # transformers then ties nothing at all
        if sum(hybrid) > count:
            raise config.refuse("tie_word_embeddings", "each use would have a block with the adapters of all")
        shared["tied"] = False
    names = ["shared"] if count == 1 else [f"shared{n}" for n in range(1, count + 1)]
    blocks, uses = [], 0
    for it in hybrid:
        step = {"parts": [names[uses % count]], "aside": True, "residual": ALONE}
        blocks.append([step, "mamba"] if it else ["mamba"])
        uses += it
    position = rotary.rope(config, value["context"]) if turns else {"kind": "none"}
    config.expect("gated_linear_unit", True)
    config.ignore(*NEUTRAL, "rope_scaling", "rope_parameters")
    return pieces.assemble(config, value, position, {"mamba": part} | dict.fromkeys(names, shared), blocks)


def _blocks(arch: Architecture) -> list[str | None]:
    """The shared block of each layer that has one."""
    return [block[0].parts[0] if len(block) == 2 else None for block in arch.sequence]


def _write(arch: Architecture, name: str) -> dict:
    """What the two say alike."""
    blocks = _blocks(arch)
    if "mamba" in blocks:
        raise Unsupported("layers: this family has the shared block before the state space, once in a layer; give such layers")
    shared = next((arch.parts[name] for name in blocks if name), None)
    written = {"architectures": [f"{name}ForCausalLM"], "model_type": name.lower()} | pieces.write_precision(arch)
    written |= pieces.write_sizes(arch)
    written["layers_block_type"] = ["hybrid" if name else "linear_attention" for name in blocks]
    if not shared:
        return written | pieces.write_heads(None)
    heads = pieces.write_heads(shared.attention)
    written |= {"attention_head_dim": heads.pop("head_dim")}
    return written | heads | pieces.write_dense(shared.feed_forward)


def _write_zamba(arch: Architecture) -> dict:
    part, _ = pieces.made_of(arch, {"mamba": Mamba, "shared": SharedBlock | None}, NoPosition, ())
    written = _write(arch, "Zamba") | keys.write(arch, ZAMBA)
    return written | {"mamba_expand": part.inner // arch.d_model}


def _write_zamba2(arch: Architecture) -> dict:
    (part,) = pieces.made_of(arch, {"mamba": Mamba2, "shared*": SharedBlock}, Rope | NoPosition, ())
    names = list(dict.fromkeys(name for name in _blocks(arch) if name))
    if len({arch.parts[name] for name in names}) > 1:
        raise Unsupported("parts: this family needs equal shared blocks")
    written = _write(arch, "Zamba2") | keys.write(arch, ZAMBA2) | {
        "mamba_expand": part.inner // arch.d_model, "num_mem_blocks": max(len(names), 1), "use_mem_rope": arch.position.kind == "rope",
    }  # fmt: skip
    if names:
        shared = arch.parts[names[0]]
        written |= {"adapter_rank": shared.adapter_rank, "use_shared_attention_adapter": shared.attention_adapters}
    return written | (rotary.write_rope(arch.position, arch.context) if arch.position.kind == "rope" else {})


def _sources(arch: Architecture, mamba: Callable, block: str, shared: Callable) -> Sources:
    """`mamba` gives the sources of a state space and `shared` those of one use of a shared block, which a layer keeps under
    the name `block`, and which a file may have where it is used first alone."""
    yield one("embedding.weight", "model.embed_tokens.weight")
    yield one("norm.weight", "model.final_layernorm.weight")
    yield from tensors.head_source(arch, "model.embed_tokens.weight")
    first: dict[str, int] = {}
    uses = 0
    for index, name in enumerate(_blocks(arch)):
        at, path = f"model.layers.{index}", f"layers.{index}"
        if name:
            yield one(f"{path}.{name}.leave.weight", f"{at}.linear.weight")
            places = [f"model.layers.{layer}.{block}" for layer in (index, first.setdefault(name, index))]
            for ours, theirs, make in shared(arch.parts[name], uses):
                yield f"{path}.{name}.{ours}", [Source((f"{place}.{theirs}",), make) for place in places]
            uses, at = uses + 1, f"{at}.mamba_decoder"
        yield one(f"{path}.mamba_norm.weight", f"{at}.input_layernorm.weight")
        yield from mamba(f"{path}.mamba", f"{at}.mamba", arch.parts["mamba"])


def _whole(tensor: Tensor) -> Tensor:
    return tensor


NORMS = (("attention_norm.weight", "input_layernorm.weight", _whole), ("feed_forward_norm.weight", "pre_ff_layernorm.weight", _whole))


def _zamba_shared(part, use: int) -> Iterator[tuple[str, str, Callable]]:
    yield from NORMS
    for name in "qkvo":
        yield f"attention.{name}.weight", f"self_attn.{name}_proj.weight", _whole
    for name in ("gate", "up", "down"):
        yield f"feed_forward.{name}.weight", f"feed_forward.{name}_proj.weight", _whole


def _zamba2_shared(part, use: int) -> Iterator[tuple[str, str, Callable]]:
    yield from NORMS
    yield "attention.o.weight", "self_attn.o_proj.weight", _whole
    for name in "qkv":
        ours = f"attention.{name}.plain" if part.attention_adapters else f"attention.{name}"
        yield f"{ours}.weight", f"self_attn.{name}_proj.weight", _whole
        for n, half in enumerate(("down", "up") if part.attention_adapters else ()):
            theirs = f"self_attn.linear_{name}_adapter_list.{use}.{n}.weight"
            yield f"attention.{name}.adapter_{half}.weight", theirs, _whole
    for n, half in enumerate(("down", "up")):
        theirs = f"feed_forward.gate_up_proj_adapter_list.{use}.{n}.weight"
        yield f"adapter_{half}.weight", theirs, _whole
    for kind in ("weight", "bias") if part.feed_forward.bias else ("weight",):
        for n, name in enumerate(("gate", "up")):
            theirs = f"feed_forward.gate_up_proj.{kind}"
            yield f"feed_forward.{name}.{kind}", theirs, lambda both, n=n: both.chunk(2)[n]
        yield f"feed_forward.down.{kind}", f"feed_forward.down_proj.{kind}", _whole


def _zamba_mamba(path: str, at: str, part) -> Sources:
    """Rows of x and of the gate take turns, and what heads have for themselves is one tensor."""
    for kind in ("weight", "bias") if part.bias else ("weight",):
        turns = f"{at}.in_proj.{kind}"
        yield one(f"{path}.project.{kind}", turns, make=lambda t: t.unflatten(0, (-1, 2)).transpose(0, 1).flatten(0, 1))
        yield one(f"{path}.o.{kind}", f"{at}.out_proj.{kind}")
    for kind in ("weight", "bias") if part.conv_bias else ("weight",):
        yield one(f"{path}.convolve.{kind}", f"{at}.conv1d.{kind}")
    yield one(f"{path}.select.weight", f"{at}.x_proj_weight")
    for kind in ("weight", "bias"):
        yield one(f"{path}.step.{kind}", f"{at}.dt_proj_{kind}")
    for name in ("A_log", "D"):
        yield one(f"{path}.scan.{name}", f"{at}.{name}", make=lambda heads: heads.flatten(0, 1))


def _zamba_sources(arch: Architecture) -> Sources:
    return _sources(arch, _zamba_mamba, "shared_transf", _zamba_shared)


def _zamba2_sources(arch: Architecture) -> Sources:
    return _sources(arch, mamba2_sources, "shared_transformer", _zamba2_shared)


def _ignored(name: str) -> bool:
    """Where a block is used again a file may hold all its adapters once more."""
    return "_adapter_list." in name or tensors.ignored(name)


FAMILIES = [
    Family("zamba", _read_zamba, _write_zamba, _zamba_sources, KEYS=ZAMBA),
    Family("zamba2", _read_zamba2, _write_zamba2, _zamba2_sources, _ignored, KEYS=ZAMBA2),
]
