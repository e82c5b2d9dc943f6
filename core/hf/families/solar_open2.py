"""Solar Open 2 (Upstage 2026, its technical report): gated attention without positions in every fourth layer from the first, Kimi's
delta attention with eigenvalues down to −1 in the others, DeepSeek-V3's experts in all."""

from ...parts.attention import Attention
from ...parts.experts import Experts
from ...parts.kimi_delta import KimiDelta
from ...parts.position import NoPosition
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Groups, Has, Key, Of, Unread
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from .kimi_linear import delta_sources

TYPES = ("solar_open2",)
KEYS = (
    *keys.sizes(196_608, 4_096, 1_048_576, 48, eps=1e-5),
    Always("attention", kind="attention"),
    *keys.heads(64, 8, 128),
    Has("use_qk_norm", "attention.qk_norm", False, on={}),
    Has("use_gqa_gate", "attention.gate", True, on={"bias": False}),
    *keys.experts(320, 8, 1_280, router={"score": "sigmoid", "selection_bias": True}),
    keys.shared(1),
    Key("norm_topk_prob", "moe.router.normalise", True),
    Key("routed_scaling_factor", "moe.router.scale", 1.0),
    Groups(1, 1, alone=True),
    Always("delta", kind="kimi_delta"),
    Key("hidden_act", "delta.activation", "silu", form=keys.PLAIN_ACTIVATION),
    Key("kda_use_full_proj", "delta.whole", False),
    Key("kda_allow_neg_eigval", "delta.negative", True),
    Always("position", kind="none"),
    Unread("rope_theta rope_scaling rope_parameters partial_rotary_factor"),  # nothing turns
    *keys.only(attention_bias=False, use_rope=False, use_gqa_gate_bias=False, first_k_dense_replace=0),
)
LINEAR = (
    Key("num_heads", "delta.heads", Of("attention.heads")),
    Key("head_dim", "delta.head_dim", Of("attention.head_dim")),
    Key("short_conv_kernel_size", "delta.kernel", 4),
)


def read(config: Config, model_type: str) -> dict:
    said, linear = keys.read(config, KEYS), config.nested("linear_attn_config")
    depth, delta = said["depth"], said["delta"]
    keys.read(linear, LINEAR, said)
    linear.expect("num_kv_heads", delta["heads"])
    linear.finish()
    config.ignore("intermediate_size")  # of dense layers, and there are none
    every = config.count("gqa_interval", 3) + 1
    full = config.listing("gqa_layers", int)
    if full is not None and not set(full) <= set(range(depth)):
        raise config.refuse("gqa_layers", f"give numbers of layers from 0 to {depth - 1:,}")
    full = set(range(0, depth, every)) if full is None else set(full)
    usual = ["full_attention" if layer in full else "linear_attention" for layer in range(depth)]
    words = pieces.layer_types(config, depth, usual, "full_attention", "linear_attention")
    return pieces.model(config, said, [["attention" if word == "full_attention" else "delta", "moe"] for word in words])


def write(arch: Architecture) -> dict:
    kinds = {"delta": KimiDelta | None, "attention": Attention, "moe": Experts}
    delta, attention, moe = pieces.made_of(arch, kinds, NoPosition)
    written = pieces.write_model(arch, "SolarOpen2", "solar_open2", KEYS, delta=delta, attention=attention, moe=moe) | {
        "hidden_act": keys.write_activation(moe.activation),
        "gqa_layers": [n for n, block in enumerate(arch.sequence) if block[0].parts == ("attention",)],
    }
    return written | ({"linear_attn_config": keys.write(arch, LINEAR, delta=delta)} if delta else {})


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        if isinstance(part, KimiDelta):
            return delta_sources(path, at, part)
        return tensors.attention_sources(path, f"{at}.self_attn", part)

    return tensors.llama_sources(arch, mixer)
