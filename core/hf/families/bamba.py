"""Mamba-2 and attention in one model: Bamba (IBM, Princeton, CMU and UIUC 2024), Granite 4.0 (IBM 2025), with experts or without,
and Falcon-H1 (arXiv:2507.22448), where both stand side by side in every layer and factors are everywhere."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...parts.mamba2 import Mamba2
from ...parts.position import NoPosition, Rope
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from .like_llama import Family
from .nemotron_h import mamba2_sources, step_limits, write_step_limits

WORDS = {"mamba": "mamba", "linear_attention": "mamba", "attention": "attention", "full_attention": "attention"}
SCALES = ("gate", "x", "b", "c", "step")


def _sizes(config: Config, *, vocab_size: int, context: int, eps: float = 1e-5) -> dict:
    config.ignore("mamba_chunk_size", "num_logits_to_keep", "z_loss_coefficient", "use_mamba_kernels")
    return pieces.sizes(config, vocab_size=vocab_size, d_model=4_096, context=context, tied=False, eps=eps)


def _mamba(config: Config, inner: int) -> dict:
    """Mamba-2 of `inner` channels, by the keys that the three share."""
    heads = config.count("mamba_n_heads", 128)
    head_dim = config.take("mamba_d_head", (int, str), "auto")
    head_dim = inner // heads if head_dim == "auto" else config.count("mamba_d_head")
    if heads * head_dim != inner:
        raise config.refuse("mamba_n_heads", f"heads of mamba_d_head {head_dim:,} must be {inner:,} channels together")
    part = {"kind": "mamba2", "heads": heads, "head_dim": head_dim, "state_size": config.count("mamba_d_state", 256)}
    part |= unless(1, groups=config.count("mamba_n_groups", 1)) | unless(4, kernel=config.count("mamba_d_conv", 4))
    part |= unless(False, bias=config.take("mamba_proj_bias", bool, False))
    part |= unless(True, conv_bias=config.take("mamba_conv_bias", bool, True))
    return part | pieces.mixed(config) | step_limits(config, "time_step_limit")


def _bamba(config: Config, model_type: str) -> dict:
    value, depth = _sizes(config, vocab_size=128_000, context=262_144), config.depth("num_hidden_layers", 32)
    attends = set(config.listing("attn_layer_indices", int, ()))
    attention = pieces.attention(config, value["d_model"], heads=32, kv_heads=8)
    config.expect("attn_rotary_emb", attention["head_dim"] // 2)
    # Half of the channels turn, whatever stands outside the rope's own dictionary.
    config.ignore("partial_rotary_factor")
    config.raw = {key: given for key, given in config.raw.items() if key != "partial_rotary_factor"}
    parts = {
        "mamba": _mamba(config, config.count("mamba_expand", 2) * value["d_model"]),
        "attention": attention,
        "dense": pieces.dense(config, 14_336, biased="mlp_bias"),
    }
    blocks = [["attention" if layer in attends else "mamba", "dense"] for layer in range(depth)]
    return pieces.assemble(config, value, rotary.rope(config, value["context"], fraction=0.5), parts, blocks)


def _granite(config: Config, model_type: str) -> dict:
    value = _sizes(config, vocab_size=32_000, context=2_048, eps=1e-6)
    value["embedding"] = {"scale": config.take("embedding_multiplier", float, 1.0)}
    value["head"] = {"scale": 1 / config.positive("logits_scaling", 1.0)}
    value["residual"] = {"scale": config.take("residual_multiplier", float, 1.0)}
    depth = config.depth("num_hidden_layers", 32)
    key = "layers_block_type" if config.has("layers_block_type") else "layer_types"
    kinds = config.listing(key, str, ["mamba"] * depth)
    config.ignore("layer_types", "layers_block_type")
    if len(kinds) != depth or not set(kinds) <= set(WORDS):
        raise config.refuse(key, f"give mamba or attention for each of the {depth} layers")
    attention = pieces.attention(config, value["d_model"], heads=32)
    attention["scale"] = config.take("attention_multiplier", float, 1.0)
    shared = config.count("shared_intermediate_size", 1_024, least=0)
    routed = config.count("num_local_experts", 8, least=0)
    dense = pieces.dense(config, 11_008)
    parts = {"mamba": _mamba(config, config.count("mamba_expand", 2) * value["d_model"]), "attention": attention}
    if routed:
        parts["moe"] = dense | {
            "kind": "experts",
            "count": routed,
            "top_k": config.count("num_experts_per_tok", 2),
            "router": {"score": "softmax", "over": "chosen"},
        } | ({"shared": {"d_ff": shared}} if shared else {})  # fmt: skip
    else:
        config.ignore("num_experts_per_tok")
        parts["dense"] = dense | {"d_ff": config.count("shared_intermediate_size", 1_024)}
    position = rotary.rope(config, value["context"])
    config.expect("normalization_function", "rmsnorm")
    if config.take("position_embedding_type", str, "nope") != "rope":
        position = {"kind": "none"}
    blocks = [[WORDS[kind], "moe" if routed else "dense"] for kind in kinds]
    return pieces.assemble(config, value, position, parts, blocks)


def _falcon(config: Config, model_type: str) -> dict:
    value = _sizes(config, vocab_size=128_000, context=8_192)
    value["embedding"] = {"scale": _factor(config, "embedding_multiplier")}
    value["head"] = {"scale": _factor(config, "lm_head_multiplier")}
    config.expect("mamba_use_mlp", True)
    config.expect("attn_layer_indices", None)
    config.ignore("mlp_expansion_factor")  # intermediate_size says it
    attention = pieces.attention(config, value["d_model"], heads=32, kv_heads=8)
    keys = _factor(config, "key_multiplier")
    attention |= {} if keys == 1 else {"scale": _rounded(keys * attention["head_dim"] ** -0.5)}
    attention |= unless(1.0, in_scale=_factor(config, "attention_in_multiplier"))
    attention |= unless(1.0, out_scale=_factor(config, "attention_out_multiplier"))
    inner = config.count("mamba_d_ssm", 1_024, null=None)
    expand = config.count("mamba_expand", 2)
    mamba = _mamba(config, expand * value["d_model"] if inner is None else inner)
    out_bias = config.take("projectors_bias", bool, False)
    mamba |= {} if out_bias == mamba.get("bias", False) else {"out_bias": out_bias}
    gate = "last" if config.take("mamba_norm_before_gate", bool, True) else "first"
    mamba |= unless("first", gate=gate if config.take("mamba_rms_norm", bool, False) else "alone")
    mamba |= unless(1.0, in_scale=_factor(config, "ssm_in_multiplier"))
    mamba |= unless(1.0, out_scale=_factor(config, "ssm_out_multiplier"))
    scales = _factors(config, "ssm_multipliers", 5)
    if scales != [1.0] * 5:
        mamba["scales"] = dict(zip(SCALES, scales, strict=True))
    gate, down = _factors(config, "mlp_multipliers", 2)
    dense = pieces.dense(config, 14_336, biased="mlp_bias") | unless(1.0, gate_scale=gate)
    parts = {"mamba": mamba, "attention": attention, "dense": dense}
    block = [["mamba", "attention"], "dense" if down == 1 else {"parts": ["dense"], "scale": down}]
    depth = config.depth("num_hidden_layers", 32)
    given = {"parts": parts, "layers": [{"repeat": depth, "blocks": [block]}]}
    position = rotary.rope(config, value["context"])
    return value | {"position": position} | given | pieces.precision(config, parts)


def _factor(config: Config, key: str) -> float:
    return config.take(key, float, 1.0)


def _factors(config: Config, key: str, many: int) -> list[float]:
    given = config.take(key, (list, tuple), [1.0] * many)
    if len(given) != many or not all(isinstance(x, float | int) and not isinstance(x, bool) for x in given):
        raise config.refuse(key, f"give {many} numbers")
    return [float(x) for x in given]


def _rounded(x: float) -> float:
    """Twelve digits: what `write` makes of them reads back as the same."""
    return float(f"{x:.12g}")


MIXERS = {"mamba": Mamba2 | None, "attention": Attention | None}


def _write(
    arch: Architecture, name: str, mamba: Mamba2 | None, attention: Attention | None, feed: FeedForward | Experts
) -> dict:
    """What the three say alike."""
    written = {"architectures": [f"{name}ForCausalLM"], "model_type": name.lower()}
    written |= pieces.write_sizes(arch) | pieces.write_precision(arch)
    written["hidden_act"] = pieces.write_activation(feed.activation)
    written |= pieces.write_heads(attention) | ({"attention_bias": attention.bias} if attention else {})
    if not mamba:
        written["mamba_n_heads"] = 1  # as many channels as there are
    else:
        written |= {
            "mamba_n_heads": mamba.heads, "mamba_d_head": mamba.head_dim, "mamba_d_state": mamba.state_size,
            "mamba_n_groups": mamba.groups, "mamba_d_conv": mamba.kernel, "mamba_expand": max(mamba.inner // arch.d_model, 1),
            "mamba_conv_bias": mamba.conv_bias, "mamba_proj_bias": mamba.bias, **write_step_limits(mamba),
        }  # fmt: skip
    return written


def _write_bamba(arch: Architecture) -> dict:
    mamba, attention, dense = pieces.made_of(arch, MIXERS | {"dense": FeedForward})
    rope = rotary.write_dictionary(arch.position, arch.context)
    return _write(arch, "Bamba", mamba, attention, dense) | {
        "intermediate_size": dense.d_ff, "mlp_bias": dense.bias,
        "attn_layer_indices": [n for n, block in enumerate(arch.sequence) if block[0].parts == ("attention",)],
        "rope_parameters": {"partial_rotary_factor": arch.position.fraction} | rope,
    }  # fmt: skip


def _write_granite(arch: Architecture) -> dict:
    mamba, attention, dense, moe = pieces.made_of(arch, MIXERS | pieces.FEEDS, Rope | NoPosition)
    written = _write(arch, "GraniteMoeHybrid", mamba, attention, moe or dense) | {
        "layer_types": ["full_attention" if b[0].parts == ("attention",) else "linear_attention" for b in arch.sequence],
        "position_embedding_type": "nope" if arch.position.kind == "none" else "rope",
        "embedding_multiplier": arch.embedding.scale, "logits_scaling": 1 / arch.head.scale, "residual_multiplier": arch.residual.scale,
        "attention_multiplier": attention.scores.scale if attention else 1.0,
    }  # fmt: skip
    if moe:
        shared = moe.shared.d_ff if moe.shared else 0
        written |= {"num_local_experts": moe.count, "num_experts_per_tok": moe.top_k, "intermediate_size": moe.d_ff}
    else:
        shared = dense.d_ff
        written["num_local_experts"] = 0
    rope = {} if arch.position.kind == "none" else rotary.write_rope(arch.position, arch.context)
    return written | {"shared_intermediate_size": shared} | rope


def _write_falcon(arch: Architecture) -> dict:
    kinds = {"mamba": Mamba2, "attention": Attention, "dense": FeedForward}
    mamba, attention, dense = pieces.made_of(arch, kinds, layer=((Mamba2, Attention), FeedForward))
    if len(arch.distinct()) > 1:
        raise Unsupported("layers: in this family all layers are alike")
    return _write(arch, "FalconH1", mamba, attention, dense) | {
        "model_type": "falcon_h1", "intermediate_size": dense.d_ff, "mlp_bias": dense.bias,
        "mamba_d_ssm": mamba.inner, "mamba_rms_norm": mamba.gate != "alone", "mamba_norm_before_gate": mamba.gate != "first",
        "projectors_bias": mamba.bias if mamba.out_bias is None else mamba.out_bias, "embedding_multiplier": arch.embedding.scale,
        "lm_head_multiplier": arch.head.scale, "key_multiplier": (attention.scores.scale or 0) * attention.head_dim**0.5 or 1.0,
        "attention_in_multiplier": attention.in_scale, "attention_out_multiplier": attention.out_scale,
        "ssm_in_multiplier": mamba.in_scale, "ssm_out_multiplier": mamba.out_scale,
        "ssm_multipliers": [scale for _, scale in mamba.scales] if mamba.scales else [1.0] * 5,
        "mlp_multipliers": [dense.gate_scale, arch.sequence[0][1].scale],
    } | rotary.write_rope(arch.position, arch.context)  # fmt: skip


def _sources(arch: Architecture) -> Sources:
    """Names of Bamba and Falcon-H1."""

    def ff(path, at, part):
        yield from tensors.dense_sources(path, f"{at}.feed_forward", part)

    named = tensors.renamed(tensors.llama_sources(arch, _mixer, ff), post_attention_layernorm="pre_ff_layernorm")
    for path, ways in named:
        yield (path, ways) if path != "norm.weight" else one("norm.weight", "model.final_layernorm.weight")


def _granite_sources(arch: Architecture) -> Sources:
    """transformers' names, and those of the published files for the experts."""

    def ff(path, at, part):
        if part.kind != "experts":
            yield from shared(path, at, part)
            return
        at_experts = f"{at}.block_sparse_moe"
        published = {
            f"{path}.router.weight": Source((f"{at_experts}.router.layer.weight",)),
            f"{path}.experts.gate": Source(
                (f"{at_experts}.input_linear.weight",), lambda both: both.chunk(2, dim=1)[0]
            ),
            f"{path}.experts.up": Source((f"{at_experts}.input_linear.weight",), lambda both: both.chunk(2, dim=1)[1]),
            f"{path}.experts.down": Source((f"{at_experts}.output_linear.weight",)),
        }
        routed = part.model_copy(update={"shared": None})
        for name, ways in tensors.experts_sources(path, at_experts, routed, router="router"):
            yield name, [*ways, published[name]]
        if part.shared:
            yield from shared(f"{path}.shared", at, part)

    def shared(path, at, part):
        own = tensors.dense_sources(path, f"{at}.shared_mlp", part)
        yield from tensors.renamed(own, gate_up_proj="input_linear", down_proj="output_linear")

    return tensors.llama_sources(arch, _mixer, ff)


def _mixer(path: str, at: str, part) -> Sources:
    if isinstance(part, Mamba2):
        yield from mamba2_sources(path, f"{at}.mamba", part)
    else:
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)


def _granite_ignored(name: str) -> bool:
    """A shared network of no width is in the file all the same."""
    return ".shared_mlp." in name or tensors.ignored(name)


FAMILIES = [
    Family("bamba", _bamba, _write_bamba, _sources),
    Family("granitemoehybrid", _granite, _write_granite, _granite_sources, _granite_ignored),
    Family("falcon_h1", _falcon, _write_falcon, _sources),
]
