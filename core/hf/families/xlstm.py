"""xLSTM as in xLSTM 7B (arXiv:2503.13427): mLSTM and a gated feed-forward network in every block."""

import math

from torch import Tensor

from ...parts.feedforward import FeedForward
from ...parts.mlstm import MLSTM
from ...parts.position import NoPosition
from ...spec import Architecture
from ..reading import pieces
from ..reading.config import Config
from ..reading.pieces import unless
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


def read(config: Config, model_type: str) -> dict:
    config.ignore(*NEUTRAL)
    d_model = config.count("hidden_size", config.count("embedding_dim", 4_096))
    config.expect("embedding_dim", d_model)
    depth = config.depth("num_blocks", config.depth("num_hidden_layers", 32))
    config.expect("add_out_norm", True)
    config.expect("add_post_blocks_norm", True)
    config.expect("cell_norm_eps", config.raw.get("eps", 1e-6))
    config.expect("weight_mode", "single", "fused")
    bias = unless(False, bias=config.take("use_bias", bool, False))
    norm = {"kind": "rms", "eps": config.take("norm_eps", float, 1e-6)}
    own = {"norm": norm | bias} if bias else {}  # the last norm has none
    heads = config.count("num_heads", 8)
    cell = {
        "kind": "mlstm",
        "heads": heads,
        "key_dim": _head(config, "qk_dim_factor", 0.5, d_model, heads),
        "value_dim": _head(config, "v_dim_factor", 1.0, d_model, heads),
        "gate_cap": config.take("gate_soft_cap", float, 15.0),
    }
    wide, multiple = _factor(config, "ffn_proj_factor", 2.667), config.count("ffn_round_up_to_multiple_of", 64)
    d_ff = int((d_model * wide + multiple - 1) // multiple * multiple)
    parts = {
        "mlstm": cell | unless(1e-6, eps=config.take("eps", float, 1e-6)) | bias | own,
        "dense": {"kind": "feed_forward", "d_ff": d_ff} | bias | own,
    }
    value = {
        "vocab_size": config.count("vocab_size", 50_304),
        "d_model": d_model,
        "context": CONTEXT,
        "norm": norm,
        "head": {"softcap": config.take("output_logit_soft_cap", float, 30.0)},
    }
    return pieces.assemble(config, value, {"kind": "none"}, parts, [["mlstm", "dense"]] * depth)


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

    return {
        "architectures": ["xLSTMForCausalLM"], "model_type": "xlstm", "vocab_size": arch.vocab_size, "hidden_size": arch.d_model,
        "embedding_dim": arch.d_model, "num_hidden_layers": arch.depth, "num_blocks": arch.depth, "num_heads": part.heads,
        "qk_dim_factor": factor(part.heads * part.key_dim), "v_dim_factor": factor(part.heads * part.value_dim),
        "ffn_proj_factor": factor(dense.d_ff), "ffn_round_up_to_multiple_of": 1, "gate_soft_cap": part.gate_cap,
        "output_logit_soft_cap": arch.head.softcap, "norm_eps": arch.norm.eps, "eps": part.eps, "use_bias": part.bias,
    } | pieces.write_precision(arch)  # fmt: skip


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
