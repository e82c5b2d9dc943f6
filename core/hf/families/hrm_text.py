"""HRM-Text (Sapient; arXiv:2605.20613): two stacks of layers, one run several times for each run of the other, with one set of
weights each. Instructions that see both ways (prefix_lm) are a matter of the mask that a text comes with, and not read."""

from itertools import groupby

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import MAX_LAYERS, Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config
from ..reading.keys import Always, Unread
from ..reading.pieces import unless
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Sources
from ..weights.tensors import ignored as ignored
from ..weights.tensors import one

TYPES = ("hrm_text",)


KEYS = (
    *keys.sizes(151_808, 1_536, 2_048, 16, weight=False),
    *keys.attention(12, head_dim=128, gate=True),
    *keys.feed_forward(4_096, bias=("mlp_bias", False)),
    Always("residual", kind="hierarchy"),
    Always("head", norm=False),
    Turning(),
    Unread("L_bp_cycles prefix_lm"),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth = config.count("num_layers_per_stack", said["depth"])
    fast, slow = config.count("L_cycles", 3), config.count("H_cycles", 2)
    if depth * (fast + 1) * slow > MAX_LAYERS:
        key = "num_layers_per_stack" if config.has("num_layers_per_stack") else "num_hidden_layers"
        raise config.refuse(key, f"all runs of both stacks are more than {MAX_LAYERS:,} layers")
    spread = config.take("initializer_range", float, 0.02)
    scale = config.take("embedding_scale", float, 1 / spread if spread > 0 else None)
    if not scale or scale <= 0:
        raise config.refuse("embedding_scale", "give a number above 0")
    said["embedding"] = {"scale": scale}
    said["residual"]["eps"] = said["norm"]["eps"]
    kinds = {name: said.pop(name) for name in ("attention", "dense")}
    if kinds["attention"]["kv_heads"] != kinds["attention"]["heads"]:
        raise config.refuse("num_key_value_heads", "this family has as many as heads")
    again = {"tied": True, "sets": depth}
    said |= {f"{stack}_{kind}": part | again for stack in ("low", "high") for kind, part in kinds.items()}
    low, high = (_stack(stack, depth, said["residual"]) for stack in ("low", "high"))
    blocks = (low * fast + high) * slow
    value = pieces.model(config, said, blocks)
    runs = [{"repeat": len([*alike]), "blocks": [block]} for block, alike in groupby(blocks)]
    return value | {"layers": runs} if len(runs) <= 128 else value


def _stack(stack: str, depth: int, residual: dict) -> list[list[dict]]:
    """The layers of a stack: the first part begins it and the last one ends it."""
    own = residual | unless("fast", writes="fast" if stack == "low" else "slow")

    def step(n: int, kind: str, edge: dict) -> dict:
        return {"parts": [f"{stack}_{kind}"], "residual": own | edge}

    return [
        [step(n, "attention", unless(False, enter=n == 0)), step(n, "dense", unless(False, leave=n + 1 == depth))] for n in range(depth)
    ]


def write(arch: Architecture) -> dict:
    stacks = ("low_attention", "high_attention"), ("low_dense", "high_dense")
    kinds = dict.fromkeys(stacks[0], Attention) | dict.fromkeys(stacks[1], FeedForward)
    attention, _, dense, _ = pieces.made_of(arch, kinds)
    depth = attention.sets
    stacks = [block[0].parts[0] for block in arch.sequence]
    fast, slow = (stacks.count(f"{stack}_attention") // depth for stack in ("low", "high"))
    if not slow or fast % slow:
        raise Unsupported("layers: this family runs the low stack equally often for each run of the high one; give equal repeats")
    return pieces.write_model(arch, "HrmText", "hrm_text", KEYS, attention=attention, dense=dense) | {
        "num_layers_per_stack": depth, "H_cycles": slow, "L_cycles": fast // slow, "embedding_scale": arch.embedding_scale,
    }  # fmt: skip


def sources(arch: Architecture) -> Sources:
    yield one("embedding.weight", "model.embed_tokens.weight")
    yield from tensors.head_source(arch, "model.embed_tokens.weight")
    yield one("split.start", "model.z_L_init")
    for layer, block in enumerate(arch.sequence):
        for name in (step.parts[0] for step in block):
            part, stack = arch.part(name), "L" if name.startswith("low") else "H"
            path, at = f"layers.{layer}.{name}", f"model.{stack}_module.layers.{layer % part.sets}"
            yield from tensors.part_sources(path, at, part)
            if part.mixes and part.bias:
                yield one(f"{path}.gate.bias", f"{at}.self_attn.gate_proj.bias")
