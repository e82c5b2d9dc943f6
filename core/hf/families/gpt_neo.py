"""GPT-Neo (Black et al. 2021): GPT-3's alternation of full attention and windows; scores are not scaled."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config, layers
from . import before_llama

TYPES = ("gpt_neo",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", positions="transformer.wpe", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1",
    ff_norm="ln_2", qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"), o="attn.attention.out_proj",
    up="mlp.c_fc", down="mlp.c_proj",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


def read(config: Config, model_type: str) -> dict:
    d_model, length = config.count("hidden_size", 2_048), config.count("max_position_embeddings", 2_048)
    depth = config.depth("num_layers", 24)
    pattern = config.take("attention_types", (list, tuple), [[["global", "local"], 12]])
    try:
        kinds = [kind for kinds, times in pattern for _ in range(min(times, depth + 1)) for kind in kinds]
    except (TypeError, ValueError):
        raise config.refuse("attention_types", "give a list of [[kinds], times]") from None
    if len(kinds) != depth or not set(kinds) <= {"global", "local"}:
        raise config.refuse("attention_types", f"give global or local for each of the {depth} layers")
    config.expect("attention_layers", kinds)  # what attention_types comes to
    config.ignore("embed_dropout", "classifier_dropout")
    part = before_llama.attention(config, d_model, "num_heads", 16) | {"out_bias": True, "scale": 1.0}
    parts = {
        "local": part | {"window": config.count("window_size", 256)},
        "global": part,
        "dense": before_llama.dense(
            config, config.count("intermediate_size", 4 * d_model), "activation_function", "gelu_new"
        ),
    }
    parts = {name: value for name, value in parts.items() if name in kinds or name == "dense"}
    value = before_llama.model(
        config, parts, [], 0, ("layer_norm_epsilon", 1e-5), "fp32", vocab_size=config.count("vocab_size", 50_257), d_model=d_model,
        context=length, position={"kind": "learned", "length": length},
        tied_embeddings=config.take("tie_word_embeddings", bool, True),
    )  # fmt: skip
    return value | {"layers": layers([[kind, "dense"] for kind in kinds])}


def write(arch: Architecture) -> dict:
    made = {"local": Attention | None, "global": Attention | None, "dense": FeedForward}
    *_, dense = pieces.made_of(arch, made, Learned)
    kinds = [block[0].parts[0] for block in arch.sequence]
    part = arch.parts[kinds[0]]
    window = next((p.window for p in arch.parts.values() if getattr(p, "window", None)), None)
    return {
        "architectures": ["GPTNeoForCausalLM"], "model_type": "gpt_neo", "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "num_layers": arch.depth, "num_heads": part.heads, "intermediate_size": dense.d_ff, "attention_types": [[kinds, 1]],
        "activation_function": before_llama.written_activation(dense.activation), "layer_norm_epsilon": arch.norm.eps,
        "max_position_embeddings": arch.position.length, "tie_word_embeddings": arch.tied_embeddings,
    } | ({"window_size": window} if window else {}) | pieces.write_precision(arch)  # fmt: skip


def ignored(name: str) -> bool:
    return name.endswith((".attention.bias", ".attention.masked_bias"))
