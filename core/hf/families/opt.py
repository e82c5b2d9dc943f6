"""OPT (arXiv:2205.01068), BioGPT and XGLM (arXiv:2112.10668): biases everywhere, positions that begin with the third row of a
table that is learned, or made of sinusoids."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned, Sinusoidal
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..weights.checkpoint import Sources
from . import before_llama

TYPES = ("opt", "biogpt", "xglm")
ROOTS = ("model.", "biogpt.", "output_projection.")
OFFSET = 2
LAYER = dict(
    mixer_norm="self_attn_layer_norm", ff_norm="final_layer_norm", qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    o="self_attn.out_proj", up="fc1", down="fc2",
)  # fmt: skip
OPT = before_llama.Names(
    embedding="model.decoder.embed_tokens", positions="model.decoder.embed_positions", layer="model.decoder.layers.{}",
    norm="model.decoder.final_layer_norm", projections=("model.decoder.project_in", "model.decoder.project_out"), **LAYER,
)  # fmt: skip
XGLM = before_llama.Names(embedding="model.embed_tokens", layer="model.layers.{}", norm="model.layer_norm", **LAYER)
BIOGPT = before_llama.Names(
    embedding="biogpt.embed_tokens", positions="biogpt.embed_positions", layer="biogpt.layers.{}", norm="biogpt.layer_norm",
    head="output_projection", **LAYER,
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    return READERS[model_type](config)


def _read_opt(config: Config) -> dict:
    d_model, length = config.count("hidden_size", 768), config.count("max_position_embeddings", 2_048)
    width = config.count("word_embed_proj_dim", d_model)
    before, affine = (
        config.take("do_layer_norm_before", bool, True),
        config.take("layer_norm_elementwise_affine", bool, True),
    )
    last = not config.take("_remove_final_layer_norm", bool, False) and before
    config.expect("layer_norm_eps", 1e-5)
    config.ignore("layerdrop", "dropout", "activation_dropout")
    bias = config.take("enable_bias", bool, True)
    parts = {
        "attention": before_llama.attention(config, d_model, "num_attention_heads", 12)
        | pieces.unless(False, bias=bias),
        "dense": before_llama.dense(config, config.count("ffn_dim", 3_072), "activation_function", "relu", bias),
    }
    value = _model(
        config, parts, d_model, length, 12, ("layer_norm_eps", 1e-5), vocab_size=config.count("vocab_size", 50_272),
        **({} if width == d_model else {"embedding": {"width": width}}), **({} if before else {"residual": {"norm": "post"}}),
        **({} if last else {"head": {"norm": False}}),
    )  # fmt: skip
    value["norm"] |= {} if affine else {"weight": False, "bias": False}
    return value


def _read_biogpt(config: Config) -> dict:
    d_model, length = config.count("hidden_size", 1_024), config.count("max_position_embeddings", 1_024)
    config.ignore("layerdrop", "activation_dropout")
    config.ignore("layer_norm_eps")  # its norms are LayerNorm's own
    parts = {
        "attention": before_llama.attention(config, d_model, "num_attention_heads", 16) | {"bias": True},
        "dense": before_llama.dense(config, config.count("intermediate_size", 4_096), "hidden_act", "gelu"),
    }
    return _model(
        config, parts, d_model, length, 24, ("", 1e-5), vocab_size=config.count("vocab_size", 42_384), **_scaled(config),
    )  # fmt: skip


def _read_xglm(config: Config) -> dict:
    d_model, length = config.count("d_model", 1_024), config.count("max_position_embeddings", 2_048)
    config.expect("add_cross_attention", False)
    config.expect("pad_token_id", 0, 1)  # the row of another one would be a position's
    config.ignore("layerdrop", "dropout", "activation_dropout")
    parts = {
        "attention": before_llama.attention(config, d_model, "attention_heads", 16) | {"bias": True},
        "dense": before_llama.dense(config, config.count("ffn_dim", 4_096), "activation_function", "gelu"),
    }
    config.expect("layer_norm_eps", 1e-5)
    return _model(
        config, parts, d_model, length, 24, ("layer_norm_eps", 1e-5), vocab_size=config.count("vocab_size", 256_008), layers="num_layers",
        position={"kind": "sinusoidal", "inclusive": True, "offset": OFFSET}, **_scaled(config),
    )  # fmt: skip


READERS = {"opt": _read_opt, "biogpt": _read_biogpt, "xglm": _read_xglm}


def _scaled(config: Config) -> dict:
    return {"embedding": {"scale": "sqrt_d_model"}} if config.take("scale_embedding", bool, True) else {}


def _model(
    config: Config, parts: dict, d_model: int, length: int, depth: int, eps: tuple, layers: str = "num_hidden_layers", **value
) -> dict:  # fmt: skip
    position = {"kind": "learned", "length": length, "offset": OFFSET}
    return before_llama.model(
        config, parts, ["attention", "dense"], config.depth(layers, depth), eps, d_model=d_model, context=length,
        tied_embeddings=config.take("tie_word_embeddings", bool, True), **({"position": position} | value),
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned | Sinusoidal)
    shared = {
        "vocab_size": arch.vocab_size, "hidden_size": arch.d_model, "num_hidden_layers": arch.depth,
        "num_attention_heads": attention.heads, "max_position_embeddings": arch.context, "layer_norm_eps": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | pieces.write_precision(arch)  # fmt: skip
    activation, scaled = before_llama.written_activation(dense.activation), arch.embedding.scale != 1
    if arch.position.kind == "sinusoidal":
        ours = {"hidden_size": "d_model", "num_hidden_layers": "num_layers", "num_attention_heads": "attention_heads"}
        written = {"ffn_dim": dense.d_ff, "activation_function": activation, "scale_embedding": scaled}
        shared = {ours.get(key, key): value for key, value in shared.items()}
        return {"architectures": ["XGLMForCausalLM"], "model_type": "xglm"} | shared | written
    if arch.model_type == "biogpt":
        written = {"intermediate_size": dense.d_ff, "hidden_act": activation, "scale_embedding": scaled}
        return {"architectures": ["BioGptForCausalLM"], "model_type": "biogpt"} | shared | written
    before = arch.residual.norm == "pre"
    written = {
        "ffn_dim": dense.d_ff, "activation_function": activation, "enable_bias": attention.bias, "word_embed_proj_dim": arch.table_width,
        "do_layer_norm_before": before, "layer_norm_elementwise_affine": arch.norm.weight,
        "_remove_final_layer_norm": before and not arch.head.norm,
    }  # fmt: skip
    return {"architectures": ["OPTForCausalLM"], "model_type": "opt"} | shared | written


def sources(arch: Architecture) -> Sources:
    names = XGLM if arch.position.kind == "sinusoidal" else BIOGPT if arch.model_type == "biogpt" else OPT
    return before_llama.sources(arch, names)


def ignored(name: str) -> bool:
    return False
