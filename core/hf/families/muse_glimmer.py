"""Muse Glimmer (Meta, 2026): norms before and after each part, the latter with an eps of their own, and one without weights on the
embedding; gated attention with norms of queries and keys that have no weights. Three layers in a window, with rope, to one that
sees everything, without."""

from collections.abc import Iterator

from ...parts.attention import Attention
from ...parts.feedforward import FeedForward
from ...spec import Architecture, Unsupported
from ..reading import keys, pieces
from ..reading.config import Config, wrapped
from ..reading.keys import Always, Entry, Key, Writing
from ..reading.rotary import Turning
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored
from .gemma2 import KINDS, window

TYPES = ("muse_glimmer_text", "muse_glimmer")  # muse_glimmer wraps the text model and one that sees
NOPE = {"position": {"kind": "none"}}


def read(config: Config, model_type: str) -> dict:
    if model_type == "muse_glimmer":
        config.ignore("out_hidden_size", "projector_hidden_size", "projector_hidden_act")
        return wrapped(config, read, "muse_glimmer_text")
    said = keys.read(config, KEYS)
    depth, attention = said["depth"], said.pop("attention")
    attention["qk_norm"] = {"norm": {"kind": "rms", "eps": said["norm"]["eps"], "weight": False}}
    attention["gate"] = {"bias": False} if attention["bias"] else True
    last = [(depth - 1 - layer) % 4 == 0 for layer in range(depth)]  # of each four layers, from the end
    types = pieces.layer_types(config, depth, ["full_attention" if far else "sliding_attention" for far in last], *KINDS)
    bases = config.listing("layer_rope_theta", (int, float)) or [0.0 if far else 1.0 for far in last]
    if len(bases) != depth:
        raise config.refuse("layer_rope_theta", f"it has {len(bases)} entries for {depth} layers")
    near = pieces.sight(window(config, types, 2_048))
    layers = [
        attention | (near if kind == "sliding_attention" else {}) | ({} if base else NOPE) for kind, base in zip(types, bases, strict=True)
    ]
    names = [_name(kind, base) for kind, base in zip(types, bases, strict=True)]
    return pieces.model(config, said | dict(zip(names, layers, strict=True)), [[name, "dense"] for name in names])


def _name(kind: str, base: float) -> str:
    """`local` layers have rope and `global` ones none; the others say so."""
    near = kind == "sliding_attention"
    return ("local" if base else "local_nope") if near else ("global_rope" if base else "global")


class Scale(Entry):
    """qk_scale_factor: the scale of scores, times the root of a head's width."""

    def read(self, config: Config, said: dict) -> None:
        scale = config.take("qk_scale_factor", float, 3.87) * said["attention"]["head_dim"] ** -0.5
        keys.put(said, "attention.scores.scale", scale)

    def write(self, of: Writing) -> dict:
        part = of.parts["attention"]
        return {"qk_scale_factor": round(part.scores.scale * part.head_dim**0.5, 12)}

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield "qk_scale_factor", "attention.scores.scale × √attention.head_dim", "3.87"


KEYS = (
    *keys.sizes(202_048, 6_656, 131_072, 52, eps=1e-5, unit_offset=True),
    *keys.attention(32, 2, 128),
    Scale(),
    *keys.feed_forward(19_968, "hidden_activation"),
    Always("residual", norm="sandwich"),
    Key("post_norm_eps", "residual.after_eps", 1e-8),
    Always("embedding", norm=True, weightless=True),
    Key("output_multiplier", "head.scale", 0.19611613513818404),
    Key("final_logit_softcapping", "head.softcap", 20.0),
    Turning(),
)


def write(arch: Architecture) -> dict:
    pieces.made_of(arch, {"dense": FeedForward, "local*": Attention, "global*": Attention})
    parts = pieces.mixers(arch)
    if not parts[0].scores.scale:
        raise Unsupported("parts.local.scores.scale: this family needs a scale; give one")
    ropes = [0.0 if part.position and part.position.kind == "none" else arch.position.base for part in parts]
    return pieces.write_model(arch, "MuseGlimmer", "muse_glimmer_text", KEYS, attention=parts[0]) | {
        "architectures": ["MuseGlimmerForConditionalGeneration"],
        "sliding_window": pieces.window(arch) or 2_048,
        "layer_types": pieces.write_layer_types(arch),
        "layer_rope_theta": ropes,
    }


def sources(arch: Architecture) -> Sources:
    for path, ways in tensors.llama_sources(arch):
        if path == "norm.weight":  # the one norm whose weight is stored as it is
            ways = [Source(way.names, lambda weight: weight - 1) for way in ways]
        yield path, ways
