"""OPT (arXiv:2205.01068) and BioGPT: learned positions whose table begins with two rows that nothing reads, biases everywhere."""

from ..spec import Architecture
from . import classic, common
from .config import Config
from .weights import Sources

TYPES = ("opt", "biogpt")
ROOTS = ("model.", "biogpt.", "output_projection.")
OFFSET = 2
LAYER = dict(
    mixer_norm="self_attn_layer_norm", ff_norm="final_layer_norm", qkv=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    o="self_attn.out_proj", up="fc1", down="fc2",
)  # fmt: skip
OPT = classic.Names(
    embedding="model.decoder.embed_tokens", positions="model.decoder.embed_positions", layer="model.decoder.layers.{}",
    norm="model.decoder.final_layer_norm", **LAYER,
)  # fmt: skip
BIOGPT = classic.Names(
    embedding="biogpt.embed_tokens", positions="biogpt.embed_positions", layer="biogpt.layers.{}", norm="biogpt.layer_norm",
    head="output_projection", **LAYER,
)  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    return (_read_opt if model_type == "opt" else _read_biogpt)(config)


def _read_opt(config: Config) -> dict:
    d_model, length = config.count("hidden_size", 768), config.count("max_position_embeddings", 2_048)
    config.expect("word_embed_proj_dim", d_model)
    config.expect("do_layer_norm_before", True)
    config.expect("_remove_final_layer_norm", False)
    config.expect("layer_norm_elementwise_affine", True)
    config.expect("layer_norm_eps", 1e-5)
    config.ignore("layerdrop", "init_std", "dropout", "activation_dropout")
    bias = config.take("enable_bias", bool, True)
    parts = {
        "attention": classic.attention(config, d_model, "num_attention_heads", 12) | common.unless(False, bias=bias),
        "dense": classic.dense(config, config.count("ffn_dim", 3_072), "activation_function", "relu", bias),
    }
    return _model(
        config, parts, d_model, length, 12, ("layer_norm_eps", 1e-5), vocab_size=config.count("vocab_size", 50_272)
    )


def _read_biogpt(config: Config) -> dict:
    d_model, length = config.count("hidden_size", 1_024), config.count("max_position_embeddings", 1_024)
    config.ignore("layerdrop", "activation_dropout", "attention_probs_dropout_prob")
    scaled = config.take("scale_embedding", bool, True)
    parts = {
        "attention": classic.attention(config, d_model, "num_attention_heads", 16) | {"bias": True},
        "dense": classic.dense(config, config.count("intermediate_size", 4_096), "hidden_act", "gelu"),
    }
    return _model(
        config, parts, d_model, length, 24, ("layer_norm_eps", 1e-12), vocab_size=config.count("vocab_size", 42_384),
        **({"embedding": {"scale": "sqrt_d_model"}} if scaled else {}),
    )  # fmt: skip


def _model(config: Config, parts: dict, d_model: int, length: int, depth: int, eps: tuple, **value) -> dict:
    return classic.model(
        config, parts, ["attention", "dense"], config.depth("num_hidden_layers", depth), eps, d_model=d_model, context=length,
        position={"kind": "learned", "length": length, "offset": OFFSET},
        tied_embeddings=config.take("tie_word_embeddings", bool, True), **value,
    )  # fmt: skip


def write(arch: Architecture) -> dict:
    attention, dense = arch.parts["attention"], arch.parts["dense"]
    shared = {
        "vocab_size": arch.vocab_size, "hidden_size": arch.d_model, "num_hidden_layers": arch.depth,
        "num_attention_heads": attention.heads, "max_position_embeddings": arch.position.length, "layer_norm_eps": arch.norm.eps,
        "tie_word_embeddings": arch.tied_embeddings,
    } | common.write_precision(arch)  # fmt: skip
    activation = classic.written_activation(dense.activation)
    if arch.family == "biogpt":
        written = {
            "intermediate_size": dense.d_ff,
            "hidden_act": activation,
            "scale_embedding": arch.embedding.scale != 1,
        }
        return {"architectures": ["BioGptForCausalLM"], "model_type": "biogpt"} | shared | written
    written = {"ffn_dim": dense.d_ff, "activation_function": activation, "enable_bias": attention.bias}
    return {"architectures": ["OPTForCausalLM"], "model_type": "opt"} | shared | written


def sources(arch: Architecture) -> Sources:
    return classic.sources(arch, BIOGPT if arch.family == "biogpt" else OPT)


def ignored(name: str) -> bool:
    return False
