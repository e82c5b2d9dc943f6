"""LFM3 (Liquid AI 2026): LFM2's short convolutions between attention in a window and attention to everything, gated by head."""

from ...parts.convolution import ShortConvolution
from ...parts.feedforward import FeedForward
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
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


def read(config: Config, model_type: str) -> dict:
    d_model, context = config.count("hidden_size", 2_048), config.count("max_position_embeddings", 128_000)
    depth = config.depth("num_hidden_layers", 24)
    usual = [
        "full_attention" if n % 4 == 2 else "conv" if n % 4 or not n else "sliding_attention" for n in range(depth)
    ]
    words = pieces.layer_types(config, depth, usual, *WORDS)
    attention = pieces.attention(config, d_model, heads=16, kv_heads=4, head_dim=128) | {"qk_norm": {}}
    if config.take("use_attention_gate", bool, True):
        attention["gate"] = {"per": "head", "bias": False}
    far, near = reversed(rotary.ropes(config, context, 1e6, 1e4, usual=ROPES))
    window = config.count("sliding_window", 256, null=None)
    attends = [word for word in words if word != "conv"]
    position = far if "full_attention" in words or not attends else near
    local = {"position": near} if near != position else {}
    parts, kinds = pieces.windowed(attends, attention, window, local) if attends else ({}, [])
    order = iter(kinds)
    mixers = ["convolution" if word == "conv" else next(order) for word in words]
    kernel = config.count("conv_L_cache", 7)
    parts["convolution"] = {"kind": "short_convolution", "kernel": kernel} | unless(
        False, bias=config.take("conv_bias", bool, False)
    )
    parts["dense"] = {"kind": "feed_forward", "d_ff": config.count("intermediate_size", 7_680)}
    value = {
        "vocab_size": config.count("vocab_size", 128_000),
        "d_model": d_model,
        "context": context,
        "tied_embeddings": config.take("tie_word_embeddings", bool, True),
        "norm": {"kind": "rms", "eps": config.take("norm_eps", float, config.take("rms_norm_eps", float, 1e-5))},
    }
    if config.take("use_sandwich_norm", bool, True):
        value["residual"] = {"norm": "sandwich"}
    config.ignore("rms_norm_eps")
    return pieces.assemble(config, value, position, parts, [[mixer, "dense"] for mixer in mixers])


def write(arch: Architecture) -> dict:
    made = {"convolution": ShortConvolution | None, "dense": FeedForward} | pieces.WINDOWED
    convolution, dense, *_ = pieces.made_of(arch, made)
    mixers = [arch.parts[block[0].parts[0]] for block in arch.sequence]
    attention = next((part for part in mixers if part.kind == "attention"), None)
    words = {"short_convolution": "conv", "attention": "full_attention"}
    near, far = pieces.near_and_far(arch)
    written = {
        "architectures": ["Lfm3ForCausalLM"], "model_type": "lfm3", "norm_eps": arch.norm.eps,
        "layer_types": ["sliding_attention" if part.kind == "attention" and part.sight.window else words[part.kind] for part in mixers],
        "use_sandwich_norm": arch.residual.norm == "sandwich", "intermediate_size": dense.d_ff,
        "sliding_window": pieces.window(arch),
    } | pieces.write_sizes(arch) | rotary.write_ropes(near, far, arch.context) | pieces.write_precision(arch)  # fmt: skip
    if convolution:
        written |= {"conv_L_cache": convolution.kernel, "conv_bias": convolution.bias}
    written |= pieces.write_heads(attention)
    if attention:
        written["attention_bias"] = attention.bias
        written["use_attention_gate"] = attention.gate is not None
    return written


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
