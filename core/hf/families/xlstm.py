"""xLSTM as in xLSTM 7B (arXiv:2503.13427): mLSTM and a gated feed-forward network in every block."""

import math

from torch import Tensor

from ...parts.feedforward import FeedForward
from ...parts.mlstm import MLSTM
from ...parts.position import NoPosition
from ...spec import Architecture
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Again, Always, Key, Only, Unread, named
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import one

TYPES = ("xlstm",)
ROOTS = ("backbone.",)
CONTEXT = 8_192  # what xLSTM 7B was trained on; a config.json has no key for it
# How the same recurrence is computed and in which precision; tying, which this family does not do; and a head's width, which
# follows from two factors.
NEUTRAL = (
    "chunkwise_kernel", "sequence_kernel", "step_kernel", "mode", "chunk_size", "return_last_states", "autocast_kernel_dtype",
    "inference_state_dtype", "norm_reduction_force_float32", "max_inference_chunksize", "tie_word_embeddings", "force_bos_token_insert",
    "forward_backend_name", "gate_bias_init_range", "igate_bias_init_range", "head_dim",
)  # fmt: skip


KEYS = (
    Key("vocab_size", "vocab_size", 50_304),
    named("hidden_size/embedding_dim", "d_model", 4_096),
    Always("norm", kind="rms"),
    Key("norm_eps", "norm.eps", 1e-6),
    Always("mlstm", kind="mlstm"),
    Key("num_heads", "mlstm.heads", 8),
    Key("gate_soft_cap", "mlstm.gate_cap", 15.0),
    Key("eps", "mlstm.eps", 1e-6),
    Key("use_bias", "mlstm.bias", False),
    Always("dense", kind="feed_forward"),
    Key("use_bias", "dense.bias", False),
    Key("output_logit_soft_cap", "head.softcap", 30.0),
    Always("position", kind="none"),
    *keys.only(add_out_norm=True, add_post_blocks_norm=True),
    Again("cell_norm_eps", "mlstm.eps"),
    Only("weight_mode", "single", "fused"),
    Unread(*NEUTRAL),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    cell, dense, d_model = said["mlstm"], said["dense"], said["d_model"]
    depth = config.depth("num_blocks", config.depth("num_hidden_layers", 32))
    cell["key_dim"] = _head(config, "qk_dim_factor", 0.5, d_model, cell["heads"])
    cell["value_dim"] = _head(config, "v_dim_factor", 1.0, d_model, cell["heads"])
    wide, multiple = _factor(config, "ffn_proj_factor", 2.667), config.count("ffn_round_up_to_multiple_of", 64)
    dense["d_ff"] = int((d_model * wide + multiple - 1) // multiple * multiple)
    if cell["bias"]:  # the last norm has none
        cell["norm"] = dense["norm"] = said["norm"] | {"bias": True}
    return pieces.model(config, said | {"context": CONTEXT}, [["mlstm", "dense"]] * depth)


def _factor(config: Config, key: str, usual: float) -> float:
    factor = config.take(key, float, usual)
    if not 0 < factor < 1e4:
        raise config.refuse(key, "give a number above 0")
    return factor


def _head(config: Config, key: str, usual: float, d_model: int, heads: int) -> int:
    """A head's share of d_model times the factor that `key` gives."""
    width = int(d_model * _factor(config, key, usual))
    if width % heads or not width:
        raise config.refuse(key, f"{width:,} channels do not divide into {heads} heads")
    return width // heads


def write(arch: Architecture) -> dict:
    part, dense = pieces.made_of(arch, {"mlstm": MLSTM, "dense": FeedForward}, NoPosition)

    def factor(width: int) -> float:
        """What d_model times this is cut to."""
        plain = width / arch.d_model
        return plain if math.floor(arch.d_model * plain) == width else (width + 0.5) / arch.d_model

    return pieces.write_model(arch, "xLSTM", "xlstm", KEYS) | {
        "embedding_dim": arch.d_model, "num_hidden_layers": arch.depth, "num_blocks": arch.depth,
        "qk_dim_factor": factor(part.heads * part.key_dim), "v_dim_factor": factor(part.heads * part.value_dim),
        "ffn_proj_factor": factor(dense.d_ff), "ffn_round_up_to_multiple_of": 1,
    }  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "backbone.embeddings.weight")
    yield one("norm.weight", "backbone.out_norm.weight")
    yield one("head.weight", "lm_head.weight")
    part, dense = arch.parts["mlstm"], arch.parts["dense"]
    keys, values = part.heads * part.key_dim, part.heads * part.value_dim
    wide = {
        "qkv_opreact": dict(q=("q", keys), k=("k", keys), v=("v", values), out_gate=("ogate_preact", values)),
        "ifgate_preact": dict(input_gate=("igate_preact", part.heads), forget_gate=("fgate_preact", part.heads)),
    }
    kinds = ("weight", "bias") if part.bias else ("weight",)
    for layer in range(arch.depth):
        at, path, ff = f"backbone.blocks.{layer}", f"layers.{layer}.mlstm", f"layers.{layer}.dense"
        inner = f"{at}.mlstm_layer"
        for fused, each in wide.items():
            for kind in ("weight", "bias") if fused == "ifgate_preact" else kinds:
                yield from _either(path, inner, f"{fused}.{kind}", each)
        for kind in kinds:
            yield one(f"{path}_norm.{kind}", f"{at}.norm_mlstm.{kind}")
            yield f"{path}.head_norm.{kind}", [Source((f"{inner}.multihead_norm.{kind}",), _heads(part.heads))]
            yield one(f"{path}.o.{kind}", f"{inner}.out_proj.{kind}")
            yield one(f"{ff}_norm.{kind}", f"{at}.norm_ffn.{kind}")
            halves = dict(gate=("proj_up_gate", dense.d_ff), up=("proj_up", dense.d_ff))
            yield from _either(ff, f"{at}.ffn", f"proj_up_gate_z.{kind}", halves)
            yield one(f"{ff}.down.{kind}", f"{at}.ffn.proj_down.{kind}")


def _heads(count: int):
    return lambda flat: flat.unflatten(0, (count, -1))


def _either(path: str, at: str, fused: str, each: dict[str, tuple[str, int]]) -> Sources:
    """Tensors that a checkpoint keeps alone, or one above the other in `fused`."""
    kind, widths = fused.rpartition(".")[2], [width for _, width in each.values()]

    def cut(index: int):
        def piece(all: Tensor) -> Tensor:
            return all.split(widths)[index]

        return piece

    for index, (ours, (theirs, _)) in enumerate(each.items()):
        yield f"{path}.{ours}.{kind}", [Source((f"{at}.{theirs}.{kind}",)), Source((f"{at}.{fused}",), cut(index))]


def ignored(name: str) -> bool:
    return False
