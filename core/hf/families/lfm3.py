"""LFM3 (Liquid AI 2026): LFM2's short convolutions between attention in a window and attention to everything, gated by head."""

from ...parts.convolution import ShortConvolution
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Has, Key
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("lfm3",)
WORDS = ("conv", "sliding_attention", "full_attention")
ROPES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    "full_attention": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.5},
}


KEYS = (
    *keys.sizes(128_000, 2_048, 128_000, 24, tied=True, eps=1e-5, eps_key="norm_eps"),
    *keys.attention(16, 4, 128, qk_norm={}),
    Has("use_attention_gate", "attention.gate", True, on={"per": "head", "bias": False}),
    Always("convolution", kind="short_convolution"),
    Key("conv_L_cache", "convolution.kernel", 7),
    Key("conv_bias", "convolution.bias", False),
    Always("dense", kind="feed_forward"),
    Key("intermediate_size", "dense.d_ff", 7_680),
    Key("use_sandwich_norm", "residual.norm", True, form=keys.SANDWICH),
    Key("sliding_window", "window", 256, null=None),
)


def read(config: Config, model_type: str) -> dict:
    _relabel(config)
    said = keys.read(config, KEYS)
    said["norm"]["eps"] = config.take("norm_eps", float, config.take("rms_norm_eps", float, 1e-5))
    depth = said["depth"]
    usual = ["full_attention" if n % 4 == 2 else "conv" if n % 4 or not n else "sliding_attention" for n in range(depth)]
    words = pieces.layer_types(config, depth, usual, *WORDS)
    far, near = reversed(rotary.ropes(config, said["context"], 1e6, 1e4, usual=ROPES))
    attends = [word for word in words if word != "conv"]
    said["position"] = position = far if "full_attention" in words or not attends else near
    local, attention = {"position": near} if near != position else {}, said.pop("attention")
    parts, kinds = pieces.windowed(attends, attention, said.get("window"), local) if attends else ({}, [])
    order = iter(kinds)
    mixers = ["convolution" if word == "conv" else next(order) for word in words]
    return pieces.model(config, said | parts, [[mixer, "dense"] for mixer in mixers])


def _relabel(config: Config) -> None:
    """The published files call the rope that turns some channels `default`. The publisher's code and the trained weights read it as
    `proportional`; transformers' class forgets the fraction (as NVIDIA's port notes)."""
    ropes = config.raw.get("rope_parameters")
    full = ropes.get("full_attention") if isinstance(ropes, dict) else None
    if isinstance(full, dict) and full.get("rope_type", "default") == "default" and full.get("partial_rotary_factor") not in (None, 1):
        config.raw = {**config.raw, "rope_parameters": {**ropes, "full_attention": full | {"rope_type": "proportional"}}}


def write(arch: Architecture) -> dict:
    made = {"convolution": ShortConvolution | None, "dense": FeedForward} | pieces.WINDOWED
    pieces.made_of(arch, made)
    mixers = [arch.parts[block[0].parts[0]] for block in arch.sequence]
    attention = next((part for part in mixers if part.kind == "attention"), None)
    words = {"short_convolution": "conv", "attention": "full_attention"}
    written = pieces.write_model(arch, "Lfm3", "lfm3", KEYS, attention=attention) | {
        "layer_types": ["sliding_attention" if part.kind == "attention" and part.sight.window else words[part.kind] for part in mixers],
        "sliding_window": pieces.window(arch), "rms_norm_eps": arch.norm.eps,
    }  # fmt: skip
    return written | rotary.write_ropes(*pieces.near_and_far(arch), arch.context)


def sources(arch: Architecture) -> Sources:
    sandwich = arch.residual.norm == "sandwich"
    norms = {"input_layernorm": "operator_norm"}
    norms["pre_feedforward_layernorm" if sandwich else "post_attention_layernorm"] = "ffn_norm"
    if sandwich:
        norms |= {"post_attention_layernorm": "post_operator_norm", "post_feedforward_layernorm": "post_ffn_norm"}

    def mixer(path, at, part):
        if isinstance(part, ShortConvolution):
            for ours, theirs in (("project", "in_proj"), ("convolve", "conv"), ("o", "out_proj")):
                for kind in ("weight", "bias") if part.bias else ("weight",):
                    yield one(f"{path}.{ours}.{kind}", f"{at}.conv.{theirs}.{kind}")
            return
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)

    def ff(path, at, part):
        for ours, theirs in (("gate", "w1"), ("up", "w3"), ("down", "w2")):
            yield one(f"{path}.{ours}.weight", f"{at}.feed_forward.{theirs}.weight")

    for path, ways in tensors.renamed(tensors.llama_sources(arch, mixer, ff), **norms):
        yield (path, ways) if path != "norm.weight" else one("norm.weight", "model.embedding_norm.weight")
