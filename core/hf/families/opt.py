"""OPT (arXiv:2205.01068), BioGPT and XGLM (arXiv:2112.10668): biases everywhere, positions that begin with the third row of a
table that is learned, or made of sinusoids."""

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...parts.position import Learned, Sinusoidal
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Form, Key, Of, Only, Rule, Unread
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


SCALED = Key("scale_embedding", "embedding.scale", True, form=keys.SQRT_D_MODEL)
TRAINING = Unread("layerdrop dropout activation_dropout")
INSIDE = Always("position", kind="learned", offset=OFFSET)


def _opt_norms(config: Config, said: dict) -> None:
    without = config.take("_remove_final_layer_norm", bool, False)
    said["head"] = {"norm": said["residual"]["norm"] == "pre" and not without}


def _learned(config: Config, said: dict) -> None:
    said["position"]["length"] = said["context"]


KEYS = {
    "opt": (
        *keys.sizes(50_272, 768, 2_048, 12, tied=True, kind="layer", eps_key="", eps=1e-5),
        Key("word_embed_proj_dim", "embedding.width", Of("d_model")),
        Key("do_layer_norm_before", "residual.norm", True, form=Form(lambda on: "pre" if on else "post", lambda norm: norm == "pre")),
        Rule(_opt_norms),
        Key("layer_norm_elementwise_affine", "norm.weight", True),
        Key("enable_bias", "attention.bias", True),
        *before_llama.heads("num_attention_heads", 12),
        *before_llama.dense(3_072, "activation_function", "relu", bias=("enable_bias", True), width="ffn_dim"),
        Only("layer_norm_eps", 1e-5, written=True), INSIDE, Rule(_learned), TRAINING,
        *keys.only(learned_embeddings=True, scale_embeddings=False),  # Galactica's
    ),
    "biogpt": (
        *keys.sizes(42_384, 1_024, 1_024, 24, tied=True, kind="layer", eps_key="", eps=1e-5),
        *before_llama.heads("num_attention_heads", 16, bias=True),
        *before_llama.dense(4_096, "hidden_act", "gelu"),
        Unread("layer_norm_eps"), SCALED, INSIDE, Rule(_learned), TRAINING,  # its norms are LayerNorm's own
    ),
    "xglm": (
        *keys.sizes(
            256_008, 1_024, 2_048, 24, tied=True, kind="layer", eps_key="", eps=1e-5, names="d_model max_position_embeddings num_layers"
        ),
        *before_llama.heads("attention_heads", 16, bias=True),
        *before_llama.dense(4_096, "activation_function", "gelu", width="ffn_dim"),
        Always("position", kind="sinusoidal", inclusive=True, offset=OFFSET),
        Only("layer_norm_eps", 1e-5, written=True), SCALED, *keys.only(add_cross_attention=False), TRAINING,
        Only("pad_token_id", 0, 1),  # the row of another one would be a position's
    ),
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS[model_type])
    if model_type == "opt":
        said["norm"]["bias"] = said["norm"]["weight"]
        if said["embedding"]["width"] == said["d_model"]:
            del said["embedding"]
    return pieces.model(config, said, [["attention", "dense"]] * said["depth"])


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"attention": Attention, "dense": FeedForward}, Learned | Sinusoidal)
    if arch.position.kind == "sinusoidal":
        return pieces.write_model(arch, "XGLM", "xglm", KEYS["xglm"])
    if arch.model_type == "biogpt":
        return pieces.write_model(arch, "BioGpt", "biogpt", KEYS["biogpt"]) | {"layer_norm_eps": arch.norm.eps}
    written = pieces.write_model(arch, "OPT", "opt", KEYS["opt"]) | {"word_embed_proj_dim": arch.table_width}
    return written | {"_remove_final_layer_norm": arch.residual.norm == "pre" and not arch.head.norm}


def sources(arch: Architecture) -> Sources:
    names = XGLM if arch.position.kind == "sinusoidal" else BIOGPT if arch.model_type == "biogpt" else OPT
    return before_llama.sources(arch, names)


def ignored(name: str) -> bool:
    return False
