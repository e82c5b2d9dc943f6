"""GPT-Neo (Black et al. 2021): GPT-3's alternation of full attention and windows; scores are not scaled."""

from functools import partial

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Key, Of, Unread
from . import before_llama

TYPES = ("gpt_neo",)
ROOTS = ("transformer.",)
NAMES = before_llama.Names(
    embedding="transformer.wte", positions="transformer.wpe", layer="transformer.h.{}", norm="transformer.ln_f", mixer_norm="ln_1",
    ff_norm="ln_2", qkv=("attn.attention.q_proj", "attn.attention.k_proj", "attn.attention.v_proj"), o="attn.attention.out_proj",
    up="mlp.c_fc", down="mlp.c_proj",
)  # fmt: skip
sources = partial(before_llama.sources, names=NAMES)


KEYS = (
    *keys.sizes(50_257, 2_048, 2_048, 24, tied=True, names="hidden_size max_position_embeddings num_layers", **before_llama.LAYER_EPS),
    before_llama.LEARNED,
    *before_llama.heads("num_heads", 16, out_bias=True, scores={"scale": 1.0}),
    *before_llama.dense(Of("d_model", times=4), "activation_function", "gelu_new"),
    Key("window_size", "local.sight.window", 256),
    Unread("embed_dropout classifier_dropout"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, pattern = said["depth"], config.take("attention_types", (list, tuple), [[["global", "local"], 12]])
    try:
        kinds = [kind for kinds, times in pattern for _ in range(min(times, depth + 1)) for kind in kinds]
    except (TypeError, ValueError):
        raise config.refuse("attention_types", "give a list of [[kinds], times]") from None
    if len(kinds) != depth or not set(kinds) <= {"global", "local"}:
        raise config.refuse("attention_types", f"give global or local for each of the {depth} layers")
    config.expect("attention_layers", kinds)  # what attention_types comes to
    said |= {"global": said["attention"], "local": said["attention"] | said["local"]}
    return pieces.model(config, said, [[kind, "dense"] for kind in kinds], "fp32")


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"local": Attention | None, "global": Attention | None, "dense": FeedForward}, Learned)
    kinds = [block[0].parts[0] for block in arch.sequence]
    written = pieces.write_model(arch, "GPTNeo", "gpt_neo", KEYS, attention=arch.parts[kinds[0]])
    return written | {"attention_types": [[kinds, 1]]}


def ignored(name: str) -> bool:
    return name.endswith((".attention.bias", ".attention.masked_bias"))
