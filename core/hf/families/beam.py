"""Beam (Reflection): experts, windows with rope between layers that see everything without it, a stream that keeps its size."""

from ...parts.attention import Attention
from ...parts.position import NoPosition, Rope
from ...spec import Architecture
from ..reading import pieces, rotary
from ..reading.config import Config
from ..reading.pieces import unless
from ..weights import tensors
from ..weights.checkpoint import Source, Sources
from ..weights.tensors import ignored as ignored

TYPES = ("beam",)
KINDS = {"local": "sliding_attention", "global": "full_attention"}


def read(config: Config, model_type: str) -> dict:
    value = pieces.sizes(config, vocab_size=151_936, d_model=5_120, context=8_192, tied=False, eps=1e-6)
    value["residual"] = {"norm": "sandwich", "levelled": True}
    cap = config.take("final_logit_softcapping", float, 30.0, null=None)
    value |= {} if cap is None else {"head": {"softcap": cap}}
    depth = config.depth("num_hidden_layers", 52)
    usual = ["sliding_attention" if (n + 1) % 6 and n + 1 < depth else "full_attention" for n in range(depth)]
    types = pieces.layer_types(config, depth, usual, *KINDS.values())
    part = pieces.attention(config, value["d_model"], heads=48, kv_heads=8, head_dim=128)
    part |= {"qk_norm": {}, "gate": {"bias": "head"}}
    positions = _positions(config, value["context"])
    parts = {name: part | positions[kind] for name, kind in KINDS.items()} | {
        "dense": pieces.dense(config, 20_480),
        "moe": _experts(config),
    }
    parts["local"] |= unless(None, window=config.count("sliding_window", 512, null=None))
    if "sliding_attention" in types and "window" not in parts["local"]:
        raise config.refuse("sliding_window", "some layers are of sliding_attention")
    sparse = pieces.sparse_layers(config, depth, 3)
    blocks = [
        ["local" if word == "sliding_attention" else "global", "moe" if routed else "dense"]
        for word, routed in zip(types, sparse, strict=True)
    ]
    return pieces.assemble(config, value, {"kind": "none"}, parts, blocks)


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
            found[kind] = {"temperature": {"kind": "power"}}
    given.finish()
    config.ignore("rope_parameters")
    return found


_USUAL = {"sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}


def _experts(config: Config) -> dict:
    groups, chosen = config.count("n_group", 8), config.count("topk_group", 4)
    router = {"score": "sigmoid", "selection_bias": True} | unless(
        False, normalise=config.take("norm_topk_prob", bool, True)
    )
    router |= unless(1.0, scale=config.take("routed_scaling_factor", float, 2.5))
    router |= {} if groups == 1 else {"groups": groups, "top_groups": chosen, "group_score": "top2"}
    return {
        "kind": "experts",
        "count": config.count("num_experts", 256),
        "top_k": config.count("num_experts_per_tok", 8),
        "d_ff": config.count("moe_intermediate_size", 2_560),
        "router": router,
    } | unless("swiglu", activation=pieces.activation(config))


def write(arch: Architecture) -> dict:
    kinds = {"local": Attention | None, "global": Attention | None} | pieces.FEEDS
    local, far, dense, moe = pieces.made_of(arch, kinds, NoPosition)
    part = local or far
    written = {
        "architectures": ["BeamForCausalLM"], "model_type": "beam", "attention_bias": part.bias,
        "final_logit_softcapping": arch.head.softcap, "sliding_window": local.sight.window if local else 512,
        "layer_types": pieces.write_layer_types(arch), "mlp_layer_types": pieces.write_sparse_layers(arch),
        "hidden_act": pieces.write_activation((moe or dense).activation),
        "rope_parameters": {kind: _write_position(arch.parts.get(name), arch.context) for name, kind in KINDS.items()},
    }  # fmt: skip
    if dense:
        written["intermediate_size"] = dense.d_ff
    if moe:
        written |= {
            "num_experts": moe.count, "num_experts_per_tok": moe.top_k, "moe_intermediate_size": moe.d_ff,
            "n_group": moe.router.groups, "topk_group": moe.router.top_groups, "norm_topk_prob": moe.router.normalise,
            "routed_scaling_factor": moe.router.scale,
        }  # fmt: skip
    return written | pieces.write_sizes(arch) | pieces.write_heads(part) | pieces.write_precision(arch)


def _write_position(part, context: int) -> dict | None:
    if part is None or not isinstance(part.position, Rope):
        return None
    return rotary.write_dictionary(part.position, context)


def sources(arch: Architecture) -> Sources:
    def mixer(path, at, part):
        yield from tensors.attention_sources(path, f"{at}.self_attn", part)
        yield f"{path}.gate.head_bias", [Source((f"{at}.self_attn.gate_bias",), lambda bias: bias.unsqueeze(-1))]

    yield from tensors.llama_sources(arch, mixer=mixer)
