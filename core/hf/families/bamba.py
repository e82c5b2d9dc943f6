"""Mamba-2 and attention in one model: Bamba (IBM, Princeton, CMU and UIUC 2024), Granite 4.0 (IBM 2025), with experts or without,
and Falcon-H1 (arXiv:2507.22448), where both stand side by side in every layer and factors are everywhere."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.mamba2 import Mamba2
from ...parts.position import NoPosition, Rope
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Key, Keys, Only, Unread, rounded
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one
from .like_llama import MULTIPLIERS, Family
from .nemotron_h import mamba2_sources, step_limits, write_step_limits

WORDS = {"mamba": "mamba", "linear_attention": "mamba", "attention": "attention", "full_attention": "attention"}
SCALES = ("gate", "x", "b", "c", "step")


def _frame(vocab_size: int, context: int, kv_heads: int | None, eps: float = 1e-5) -> Keys:
    """What the three say alike: sizes, attention and Mamba-2, all but the feed-forward networks."""
    return (
        *keys.sizes(vocab_size, 4_096, context, 32, eps=eps),
        *keys.attention(32, kv_heads),
        Always("mamba", kind="mamba2"),
        Key("mamba_n_heads", "mamba.heads", 128, spare=1),  # as many channels as there are
        Key("mamba_d_head", "mamba.head_dim", "auto", (int, str), none="auto"),
        Key("mamba_d_state", "mamba.state_size", 256),
        Key("mamba_n_groups", "mamba.groups", 1),
        Key("mamba_d_conv", "mamba.kernel", 4),
        Key("mamba_proj_bias", "mamba.bias", False),
        Key("mamba_conv_bias", "mamba.conv_bias", True),
        Key("hidden_act", "mamba.activation", "silu", form=keys.PLAIN_ACTIVATION),
        Unread("mamba_chunk_size num_logits_to_keep z_loss_coefficient use_mamba_kernels"),
    )


KEYS = {
    "bamba": (*_frame(128_000, 262_144, 8), *keys.feed_forward(14_336, bias=("mlp_bias", False))),
    "granitemoehybrid": (
        *_frame(32_000, 2_048, None, eps=1e-6),
        *MULTIPLIERS,
        Always("dense", kind="feed_forward"),
        Key("shared_intermediate_size", "dense.d_ff", 1_024, least=0),
        Key("hidden_act", "dense.activation", "silu", form=keys.GATED_ACTIVATION),
        Always("moe", kind="experts", router={"score": "softmax", "over": "chosen"}),
        Key("num_local_experts", "moe.count", 8, least=0, spare=0),
        Key("num_experts_per_tok", "moe.top_k", 2, least=0),
        Key("intermediate_size", "moe.d_ff", 11_008),
        Key("hidden_act", "moe.activation", "silu", form=keys.GATED_ACTIVATION),
        Key("shared_intermediate_size", "moe.shared.d_ff", 1_024, least=0, none=0),
        Only("normalization_function", "rmsnorm"),
    ),
    "falcon_h1": (
        *_frame(128_000, 8_192, 8),
        *keys.feed_forward(14_336, bias=("mlp_bias", False)),
        Key("embedding_multiplier", "embedding.scale", 1.0),
        Key("lm_head_multiplier", "head.scale", 1.0),
        Key("attention_in_multiplier", "attention.in_scale", 1.0),
        Key("attention_out_multiplier", "attention.out_scale", 1.0),
        Key("ssm_in_multiplier", "mamba.in_scale", 1.0),
        Key("ssm_out_multiplier", "mamba.out_scale", 1.0),
        rotary.Turning(),
        *keys.only(mamba_use_mlp=True, attn_layer_indices=None),
        Unread("mlp_expansion_factor"),  # intermediate_size says it
    ),
}


def _read(config: Config, model_type: str, inner: int | None = None) -> dict:
    """The fields that the keys say; Mamba-2 has `inner` channels, or mamba_expand times the stream's."""
    said, expand = keys.read(config, KEYS[model_type]), config.count("mamba_expand", 2)
    part, inner = said["mamba"], expand * said["d_model"] if inner is None else inner
    head_dim = part.setdefault("head_dim", inner // part["heads"])
    if part["heads"] * head_dim != inner:
        raise config.refuse("mamba_n_heads", f"heads of mamba_d_head {head_dim} must be {inner:,} channels together")
    part |= step_limits(config, "time_step_limit")
    return said


def _bamba(config: Config, model_type: str) -> dict:
    said, attends = _read(config, model_type), set(config.listing("attn_layer_indices", int, ()))
    config.expect("attn_rotary_emb", said["attention"]["head_dim"] // 2)
    # Half of the channels turn, whatever stands outside the rope's own dictionary.
    config.ignore("partial_rotary_factor")
    config.raw = {key: given for key, given in config.raw.items() if key != "partial_rotary_factor"}
    blocks = [["attention" if layer in attends else "mamba", "dense"] for layer in range(said["depth"])]
    return pieces.model(config, said | {"position": rotary.rope(config, said["context"], fraction=0.5)}, blocks)


def _granite(config: Config, model_type: str) -> dict:
    said = _read(config, model_type)
    key = "layers_block_type" if config.has("layers_block_type") else "layer_types"
    kinds = config.listing(key, str, ["mamba"] * said["depth"])
    config.ignore("layer_types", "layers_block_type")
    if len(kinds) != said["depth"] or not set(kinds) <= set(WORDS):
        raise config.refuse(key, f"give mamba or attention for each of the {said['depth']} layers")
    said["position"] = rotary.rope(config, said["context"])
    if config.take("position_embedding_type", str, "nope") != "rope":
        said["position"] = {"kind": "none"}
    feed = "moe" if said["moe"]["count"] else "dense"
    return pieces.model(config, said, [[WORDS[kind], feed] for kind in kinds])


def _falcon(config: Config, model_type: str) -> dict:
    said = _read(config, model_type, config.count("mamba_d_ssm", 1_024, null=None))
    attention, mamba, dense = (said[name] for name in ("attention", "mamba", "dense"))
    scale = config.take("key_multiplier", float, 1.0)
    attention |= {} if scale == 1 else {"scores": {"scale": rounded(scale * attention["head_dim"] ** -0.5)}}
    out_bias = config.take("projectors_bias", bool, False)
    mamba |= {} if out_bias == mamba["bias"] else {"out_bias": out_bias}
    gate = "last" if config.take("mamba_norm_before_gate", bool, True) else "first"
    mamba["gate"] = gate if config.take("mamba_rms_norm", bool, False) else "alone"
    scales = _factors(config, "ssm_multipliers", 5)
    if scales != [1.0] * 5:
        mamba["scales"] = dict(zip(SCALES, scales, strict=True))
    dense["gate_scale"], down = _factors(config, "mlp_multipliers", 2)
    block = [["mamba", "attention"], "dense" if down == 1 else {"parts": ["dense"], "scale": down}]
    return pieces.model(config, said, [block] * said["depth"])


def _factors(config: Config, key: str, many: int) -> list[float]:
    given = config.take(key, (list, tuple), [1.0] * many)
    if len(given) != many or not all(isinstance(x, float | int) and not isinstance(x, bool) for x in given):
        raise config.refuse(key, f"give {many} numbers")
    return [float(x) for x in given]


MIXERS = {"mamba": Mamba2 | None, "attention": Attention | None}


def _write(arch: Architecture, name: str, model_type: str) -> dict:
    """What the three say alike."""
    written, mamba = pieces.write_model(arch, name, model_type, KEYS[model_type]), arch.parts.get("mamba")
    if not mamba:
        return written
    return written | {"mamba_expand": max(mamba.inner // arch.d_model, 1)} | write_step_limits(mamba)


def _write_bamba(arch: Architecture) -> dict:
    pieces.made_of(arch, MIXERS | {"dense": FeedForward})
    rope = rotary.write_dictionary(arch.position, arch.context)
    return _write(arch, "Bamba", "bamba") | {
        "attn_layer_indices": [n for n, block in enumerate(arch.sequence) if block[0].parts == ("attention",)],
        "rope_parameters": {"partial_rotary_factor": arch.position.fraction} | rope,
    }


def _write_granite(arch: Architecture) -> dict:
    pieces.made_of(arch, MIXERS | pieces.FEEDS, Rope | NoPosition)
    turns = arch.position.kind == "rope"
    return _write(arch, "GraniteMoeHybrid", "granitemoehybrid") | {
        "layer_types": ["full_attention" if b[0].parts == ("attention",) else "linear_attention" for b in arch.sequence],
        "position_embedding_type": "rope" if turns else "nope",
    } | (rotary.write_rope(arch.position, arch.context) if turns else {})  # fmt: skip


def _write_falcon(arch: Architecture) -> dict:
    kinds = {"mamba": Mamba2, "attention": Attention, "dense": FeedForward}
    mamba, attention, dense = pieces.made_of(arch, kinds, layer=((Mamba2, Attention), FeedForward))
    if len(arch.distinct()) > 1:
        raise Unsupported("layers: this family needs equal layers; give one block")
    return _write(arch, "FalconH1", "falcon_h1") | {
        "mamba_d_ssm": mamba.inner, "mamba_rms_norm": mamba.gate != "alone", "mamba_norm_before_gate": mamba.gate != "first",
        "projectors_bias": mamba.bias if mamba.out_bias is None else mamba.out_bias,
        "key_multiplier": (attention.scores.scale or 0) * attention.head_dim**0.5 or 1.0,
        "ssm_multipliers": [scale for _, scale in mamba.scales] if mamba.scales else [1.0] * 5,
        "mlp_multipliers": [dense.gate_scale, arch.sequence[0][1].scale],
    }  # fmt: skip


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
            f"{path}.experts.gate": Source((f"{at_experts}.input_linear.weight",), lambda both: both.chunk(2, dim=1)[0]),
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
    Family("bamba", _bamba, _write_bamba, _sources, KEYS=KEYS["bamba"]),
    Family("granitemoehybrid", _granite, _write_granite, _granite_sources, _granite_ignored, KEYS=KEYS["granitemoehybrid"]),
    Family("falcon_h1", _falcon, _write_falcon, _sources, KEYS=KEYS["falcon_h1"]),
]  # fmt: skip
