"""LFM2, dense and with experts (Liquid AI, arXiv:2511.23404): gated short convolutions, and attention in some layers."""

from ...parts.attention import Attention
from ...parts.convolution import ShortConvolution
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Entry, Key, Keys, Unread
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import one

TYPES = ("lfm2", "lfm2_moe")


def _keys(d_model: int, *own: Entry) -> Keys:
    return (
        *keys.sizes(65_536, d_model, 128_000, 32, tied=True, eps=1e-5, eps_key="norm_eps"),
        Always("convolution", kind="short_convolution"),
        Key("conv_L_cache", "convolution.kernel", 3),
        Key("conv_bias", "convolution.bias", False),
        Always("attention", kind="attention", qk_norm={}),
        *keys.heads(32, 8),
        *own,
        Turning(1e6),
        Unread("theta block_dim block_mlp_init_scale block_norm_eps block_out_init_scale block_use_swiglu block_use_xavier_init"),
        Unread("conv_dim conv_dim_out conv_use_xavier_init num_heads use_pos_enc"),
    )


KEYS = {
    "lfm2": _keys(2_560),
    "lfm2_moe": _keys(
        2_048,
        *keys.experts(32, 4, 1_792, names="num_experts", act="", router={"score": "sigmoid"}),
        Key("norm_topk_prob", "moe.router.normalise", True),
        Key("routed_scaling_factor", "moe.router.scale", 1.0),
        Key("use_expert_bias", "moe.router.selection_bias", True),
        Key("num_dense_layers", "leading", 2, least=0),
    ),
}


def read(config: Config, model_type: str) -> dict:
    routed = model_type == "lfm2_moe"
    said = keys.read(config, KEYS[model_type])
    depth, first = said["depth"], said.get("leading", said["depth"])
    said["tied_embeddings"] = config.take("tie_embedding", bool, said["tied_embeddings"])
    said["dense"] = {"kind": "feed_forward", "d_ff": _d_ff(config, routed)}
    attends = config.listing("full_attn_idxs", int)
    everywhere = set(range(depth)) if attends is None else set(attends)
    usual = ["full_attention" if layer in everywhere else "conv" for layer in range(depth)]
    types = pieces.layer_types(config, depth, usual, "full_attention", "conv")
    mixers = ["attention" if word == "full_attention" else "convolution" for word in types]
    blocks = [[mixer, "dense" if layer < first else "moe"] for layer, mixer in enumerate(mixers)]
    return pieces.model(config, said, blocks)


def _d_ff(config: Config, routed: bool) -> int:
    """intermediate_size, or two thirds of it rounded up to a multiple where the config says so."""
    width = config.count("block_ff_dim", config.count("intermediate_size", 7_168 if routed else 12_288))
    config.ignore("intermediate_size")
    if routed or not config.take("block_auto_adjust_ff_dim", bool, True):
        config.ignore("block_ffn_dim_multiplier", "block_multiple_of", "block_auto_adjust_ff_dim")
        return width
    width = int(config.take("block_ffn_dim_multiplier", float, 1.0) * int(2 * width / 3))
    multiple = config.count("block_multiple_of", 256)
    return -(-width // multiple) * multiple


def write(arch: Architecture) -> dict:
    made = {"convolution": ShortConvolution | None, "attention": Attention | None} | pieces.FEEDS
    _, _, dense, moe = pieces.made_of(arch, made)
    name, model_type = ("Lfm2Moe", "lfm2_moe") if moe else ("Lfm2", "lfm2")
    written = pieces.write_model(arch, name, model_type, KEYS[model_type], leading=pieces.first_routed(arch)) | {
        "layer_types": ["full_attention" if block[0].parts == ("attention",) else "conv" for block in arch.sequence]
    }
    written |= {"intermediate_size": dense.d_ff} if dense else {}
    return written | ({} if moe else {"block_auto_adjust_ff_dim": False})


def sources(arch: Architecture) -> Sources:
    names = {
        "input_layernorm": "operator_norm", "post_attention_layernorm": "ffn_norm", "o_proj": "out_proj", "q_norm": "q_layernorm",
        "k_norm": "k_layernorm", "gate_proj": "w1", "up_proj": "w3", "down_proj": "w2",
    }  # fmt: skip

    def mixer(path, at, part):
        if not isinstance(part, ShortConvolution):
            yield from tensors.renamed(tensors.attention_sources(path, f"{at}.self_attn", part), **names)
            return
        for ours, theirs in (("project", "in_proj"), ("convolve", "conv"), ("o", "out_proj")):
            for kind in ("weight", "bias") if part.bias else ("weight",):
                yield one(f"{path}.{ours}.{kind}", f"{at}.conv.{theirs}.{kind}")

    def ff(path, at, part):
        at = f"{at}.feed_forward"
        if part.kind == "experts":
            yield from tensors.experts_sources(path, at, part, names=("w1", "w3", "w2"), bias="expert_bias")
        else:
            yield from tensors.renamed(tensors.dense_sources(path, at, part), **names)

    norms = {key: names[key] for key in ("input_layernorm", "post_attention_layernorm")}
    for path, ways in tensors.renamed(tensors.llama_sources(arch, mixer, ff), **norms):
        yield (path, ways) if path != "norm.weight" else one("norm.weight", "model.embedding_norm.weight")


def ignored(name: str) -> bool:
    return tensors.ignored(name)
