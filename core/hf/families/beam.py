"""Beam (Reflection): experts, windows with rope between layers that see everything without it, a stream that keeps its size."""

from ...parts.attention import Attention
from ...parts.position import NoPosition, Rope
from ...spec import Architecture
from ..reading import keys, pieces, rotary
from ..reading.config import Config
from ..reading.keys import Always, Groups, Key
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored

TYPES = ("beam",)
KINDS = {"local": "sliding_attention", "global": "full_attention"}


KEYS = (
    *keys.sizes(151_936, 5_120, 8_192, 52),
    *keys.attention(48, 8, 128, qk_norm={}, gate={"bias": "head"}),
    *keys.feed_forward(20_480),
    *keys.experts(256, 8, 2_560, names="num_experts", router={"score": "sigmoid", "selection_bias": True}),
    Groups(8, 4, alone=True),
    Key("norm_topk_prob", "moe.router.normalise", True),
    Key("routed_scaling_factor", "moe.router.scale", 2.5),
    Always("residual", norm="sandwich", levelled=True),
    Key("final_logit_softcapping", "head.softcap", 30.0, null=None),
    Always("position", kind="none"),
    Key("sliding_window", "window", 512, null=None),
)


def read(config: Config, model_type: str) -> dict:
    said = keys.read(config, KEYS)
    depth, part, positions = said["depth"], said.pop("attention"), _positions(config, said["context"])
    usual = ["sliding_attention" if (n + 1) % 6 and n + 1 < depth else "full_attention" for n in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS.values())
    said |= {name: part | positions[kind] for name, kind in KINDS.items()}
    if "sliding_attention" in types and "window" not in said:
        raise config.refuse("sliding_window", "some layers are of sliding_attention")
    said["local"] |= pieces.sight(said.get("window"))
    sparse = pieces.sparse_layers(config, depth, 3)
    blocks = [
        ["local" if word == "sliding_attention" else "global", "moe" if routed else "dense"]
        for word, routed in zip(types, sparse, strict=True)
    ]
    return pieces.model(config, said, blocks)


def _positions(config: Config, context: int) -> dict[str, dict]:
    """Of each kind of layer: a rope where rope_parameters gives one, else scores that grow with a query's position."""
    given = config.nested("rope_parameters") if config.has("rope_parameters") else Config(_USUAL)
    found = {}
    for kind in KINDS.values():
        if given.has(kind):
            inner = given.nested(kind)
            rope = {"kind": "rope", "base": inner.take("rope_theta", float)}
            inner.expect("partial_rotary_factor", 1.0)
            found[kind] = {"position": rope | rotary.rope_scaling(inner, context)}
        else:
            given.ignore(kind)
            found[kind] = {"scores": {"temperature": {"kind": "power"}}}
    given.finish()
    config.ignore("rope_parameters")
    return found


_USUAL = {"sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}


def write(arch: Architecture) -> dict:
    kinds = {"local": Attention | None, "global": Attention | None} | pieces.FEEDS
    local, far, *_ = pieces.made_of(arch, kinds, NoPosition)
    return pieces.write_model(arch, "Beam", "beam", KEYS, attention=local or far) | {
        "sliding_window": local.sight.window if local else 512,
        "layer_types": pieces.write_layer_types(arch), "mlp_layer_types": pieces.write_sparse_layers(arch),
        "rope_parameters": {kind: _write_position(arch.parts.get(name), arch.context) for name, kind in KINDS.items()},
    }  # fmt: skip


def _write_position(part, context: int) -> dict | None:
    if part is None or not isinstance(part.position, Rope):
        return None
    return rotary.write_dictionary(part.position, context)


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)
        yield f"{path}.gate.head_bias", [Source((f"{at}.self_attn.gate_bias",), lambda bias: bias.unsqueeze(-1))]

    yield from tensors.llama_sources(arch, mixer=mixer)
