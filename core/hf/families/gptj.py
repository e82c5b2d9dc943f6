"""GPT-J (Wang and Komatsuzaki 2021) and CodeGen (arXiv:2203.13474): attention and feed-forward side by side behind one norm,
rotary embedding of neighbours, biases in the feed-forward network and the head alone."""

from ...parts.attention import Attention
from ...parts.base import Mixer
from ...parts.feedforward import Activated, FeedForward
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("gptj", "codegen")
ROOTS = ("transformer.",)
SHARDS = 4  # CodeGen's fused matrix keeps the order of the four chips that it was trained on


def read(config: Config, model_type: str) -> dict:
    d_model, context = config.count("n_embd", 4_096), config.count("n_positions", 2_048)
    attention = before_llama.attention(config, d_model, "n_head", 16)
    turned = config.count("rotary_dim", 64, null=None)
    if turned is None or turned > attention["head_dim"]:
        raise config.refuse("rotary_dim", f"give 2 to {attention['head_dim']}, the channels of a head")
    if model_type == "codegen" and attention["heads"] % SHARDS:
        raise config.refuse("n_head", f"CodeGen's heads stand in {SHARDS} equal groups")
    config.ignore("n_ctx")  # n_positions alone decides
    config.ignore("rotary", "scale_attn_weights")
    parts = {
        "attention": attention,
        "dense": before_llama.dense(config, config.count("n_inner", 4 * d_model), "activation_function", "gelu_new"),
    }
    position = {"kind": "rope", "interleaved": True} | pieces.unless(1.0, fraction=turned / attention["head_dim"])
    return before_llama.model(
        config, parts, [["attention", "dense"]], config.depth("n_layer", 28), ("layer_norm_epsilon", 1e-5),
        vocab_size=config.count("vocab_size", 50_400), d_model=d_model, context=context, position=position, head={"bias": True},
        tied_embeddings=config.take("tie_word_embeddings", bool, False),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, layer=((Mixer, Activated),))
    model_type = "codegen" if arch.model_type == "codegen" else "gptj"
    return {
        "architectures": [{"codegen": "CodeGenForCausalLM", "gptj": "GPTJForCausalLM"}[model_type]], "model_type": model_type,
        "vocab_size": arch.vocab_size, "n_embd": arch.d_model, "n_layer": arch.depth, "n_head": attention.heads,
        "n_positions": arch.context, "n_inner": dense.d_ff, "rotary_dim": arch.position.dim(attention.head_dim),
        "activation_function": before_llama.written_activation(dense.activation), "layer_norm_epsilon": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip


def sources(arch: Architecture) -> Sources:
    fused = arch.family == "codegen"
    names = before_llama.Names(
        embedding="transformer.wte", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1", split=_sharded,
        qkv="attn.qkv_proj" if fused else ("attn.q_proj", "attn.k_proj", "attn.v_proj"), o="attn.out_proj", up="mlp.fc_in",
        down="mlp.fc_out",
    )  # fmt: skip
    return before_llama.sources(arch, names)


def _sharded(name: str, part: Attention):
    """Query, value and key of each chip, in this order."""
    return lambda fused: fused.unflatten(0, (SHARDS, 3, -1))[:, "qvk".index(name)].flatten(0, 1)


def ignored(name: str) -> bool:
    return name.endswith((".attn.bias", ".attn.masked_bias", ".attn.causal_mask", "embed_positions"))
