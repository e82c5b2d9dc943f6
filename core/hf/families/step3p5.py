"""Step 3.5 Flash and the language model of Step 3.7 Flash (StepFun, arXiv:2602.10604): a gate on every head, more query heads in
a window than elsewhere, a rope for each kind of layer, and an activation that is cut in the last layers.

Lists that say something of every layer go on to the multi-token-prediction modules.
"""

from ...parts.attention import Attention
from ...parts.base import Spec
from ...parts.experts import Experts
from ...parts.feedforward import FeedForward
from ...spec import Architecture, Unsupported
from ..reading import pieces, rotary
from ..reading.config import Config, wrapped
from ..reading.pieces import unless
from ..weights import mtp, tensors
from ..weights.checkpoint import Source, Sources
from . import deepseek_v3 as v3

TYPES = ("step3p5", "step3p7")  # the second wraps the first and one that sees images
KINDS = ("full_attention", "sliding_attention")
ALWAYS = dict(
    use_head_wise_attn_gate=True, use_qk_norm=True, zero_centered=True, sink=False, use_moe=True, moe_layer_offset=0, moe_every_n_layer=1,
    norm_expert_weight=True, moe_router_activation="sigmoid", use_moe_router_bias=True, att_impl_type="GQA",
    yarn_only_types=["full_attention"],    use_bidirectional_attention=False, moe_dynamic_exp_p=1,
)  # fmt: skip
AHEAD = mtp.Names(norm="layers.{layer}.transformer.shared_head.norm", copies={"head": "layers.{layer}.transformer.shared_head.output"})
PUBLISHED = {
    "mlp.gate.e_score_correction_bias": "moe.router_bias", "mlp.gate.weight": "moe.gate.weight", "mlp.shared_experts": "share_expert",
    "mlp.experts.down_proj": "moe.down_proj.weight",
}  # fmt: skip


def read(config: Config, model_type: str) -> dict:
    if model_type == "step3p7":
        config.ignore("projector_bias", "projector_config", "understand_projector_stride", "image_token_len", "patch_token_len")
        return wrapped(config, read, "step3p5")
    for key, says in ALWAYS.items():
        config.expect(key, says)
    config.ignore("hidden_act", "need_fp32_gate", "max_seq_len")  # the activation is a swish whatever hidden_act says
    config.expect("use_rope_layers", [])
    value = pieces.sizes(config, vocab_size=128_815, d_model=4_096, context=128_000, tied=False, eps=1e-5)
    value["norm"] |= {"unit_offset": True}
    depth = config.depth("num_hidden_layers", 45)
    ahead = config.count("num_nextn_predict_layers", 0, least=0, most=16)
    types = _listed(config, "layer_types", str, depth, ahead, "mtp_layer_types") or ["full_attention"] * (depth + ahead)
    for word in types:
        if word not in KINDS:
            raise config.refuse("layer_types", f"{word[:40]!r} is not one of {', '.join(KINDS)}")
    attentions = _attention(config, types, value["context"])
    mixers, order = pieces.named_kinds([attentions[word] for word in types])
    feeds, ends = _feeds(config, depth, ahead)
    blocks = [[mixer, feed] for mixer, feed in zip(order, ends, strict=True)]
    modules = mtp.each(blocks[depth:], copies=("head",))
    return pieces.assemble(config, value, attentions["far"], mixers | feeds, blocks[:depth], **modules)


def _listed(config: Config, key: str, kind: type | tuple, depth: int, ahead: int, more: str | None = None) -> list | None:
    """A list with an entry for every layer and every module that predicts ahead, which may stand in `more` or be missing."""
    given, rest = config.listing(key, kind), config.listing(more, kind) if more else None
    if given is None:
        return None
    if len(given) == depth:
        given = [*given, *(rest or [given[-1]] * ahead)]
    if len(given) != depth + ahead:
        raise config.refuse(key, f"give an entry for each of the {depth} layers")
    return list(given)


def _attention(config: Config, types: list[str], context: int) -> dict[str, dict]:
    """The attention of each kind of layer, and `far`: the rope that is the model's."""
    kv = "num_key_value_heads" if config.has("num_key_value_heads") else "num_attention_groups"
    part = {
        "kind": "attention",
        "heads": config.count("num_attention_heads", 64),
        "kv_heads": config.count(kv, 8),
        "head_dim": config.count("head_dim", 128),
        "qk_norm": {},
        "gate": {"per": "head", "bias": False},
    } | unless(False, bias=config.take("attention_bias", bool, False))
    config.expect("num_attention_groups", part["kv_heads"])
    scalar = config.positive("query_pre_attn_scalar", part["head_dim"])
    part |= {} if scalar == part["head_dim"] else {"scores": {"scale": scalar**-0.5}}
    other = config.nested("attention_other_setting")
    heads = config.count("num_sliding_attention_heads", other.count("num_attention_heads", part["heads"]))
    other.expect("attention_type", "sliding_attention")
    other.expect("num_attention_groups", part["kv_heads"])
    other.expect("head_dim", part["head_dim"])
    other.expect("true_head_dim", part["head_dim"])
    other.finish()
    layers = config.nested("per_layer_config")
    for layer in list(layers.raw):
        own = layers.nested(layer)
        own.expect("num_attention_heads", heads)
        own.finish()
    ropes = _ropes(config, types, context)
    far = ropes["full_attention"]
    found = {"full_attention": part, "far": far}
    if "sliding_attention" in types:
        near = {} if ropes["sliding_attention"] == far else {"position": ropes["sliding_attention"]}
        found["sliding_attention"] = part | {"heads": heads} | pieces.sight(config.count("sliding_window")) | near
    config.ignore("sliding_window")
    return found


def _ropes(config: Config, types: list[str], context: int) -> dict[str, dict]:
    """A rope for each kind of layer: a dictionary each, or lists with an entry for every layer."""
    given = config.take("rope_parameters", dict, {})
    if any(kind in given for kind in KINDS):
        config.ignore("rope_theta", "partial_rotary_factors", "rope_scaling")
        near, far = rotary.ropes(config, context, 1e4, 1e4, fraction=1.0)
        return {"full_attention": far, "sliding_attention": near}
    config.expect("rope_parameters", {})
    scaling = config.nested("rope_scaling")
    found = {}
    for kind in KINDS:
        base, share = (_of_kind(config, key, kind, types, usual) for key, usual in (("rope_theta", 1e4), ("partial_rotary_factors", 1.0)))
        inner = Config(scaling.raw if kind == "full_attention" else {}, "rope_scaling")
        found[kind] = {"kind": "rope", "base": base} | unless(1.0, fraction=share) | rotary.rope_scaling(inner, context)
    return found


def _of_kind(config: Config, key: str, kind: str, types: list[str], usual: float) -> float:
    """What a list says of the layers of one kind, or a number of all."""
    if not isinstance(config.raw.get(key), list):
        return config.take(key, float, usual)
    given = config.listing(key, (int, float))
    said = {float(number) for number, word in zip(given, types, strict=False) if word == kind}
    if len(given) < len(types) and len(given) < config.count("num_hidden_layers", 45) or len(said) > 1:
        raise config.refuse(key, f"give a number for each layer, the same for all of {kind}")
    return said.pop() if said else usual


def _feeds(config: Config, depth: int, ahead: int) -> tuple[dict[str, dict], list[str]]:
    """The parts that may follow attention, and which one does in each layer and module; an activation that is cut has a name
    of its own."""
    words = _listed(config, "mlp_layer_types", str, depth, ahead, "mtp_mlp_layer_types")
    if words is None:
        chosen = _moe_layers(config, depth)
        words = ["sparse" if layer in chosen else "dense" for layer in range(depth + ahead)]
    if not set(words) <= {"sparse", "dense"}:
        raise config.refuse("mlp_layer_types", "give sparse or dense for each layer")
    none = [0.0] * (depth + ahead)
    routed = limits(config, "swiglu_limits", depth, ahead) or none
    shared = limits(config, "swiglu_limits_shared", depth, ahead) or none
    bias = unless(False, bias=config.take("mlp_bias", bool, False))
    dense, moe = {"kind": "feed_forward", "d_ff": config.count("intermediate_size", 11_264)} | bias, _experts(config)
    parts, order = {}, []
    for word, cut, cut_shared in zip(words, routed, shared, strict=True):
        if word == "dense":
            name, part = f"dense{cut_shared:g}" if cut_shared else "dense", dense | _cut(cut_shared)
        else:
            name = "moe" + (f"{cut:g}" if cut else "") + (f"_shared{cut_shared:g}" if cut_shared else "")
            own = {"activation": "swiglu"} if cut and not cut_shared else _cut(cut_shared)
            beside = {"shared": moe["shared"] | bias | ({} if cut == cut_shared else own)} if "shared" in moe else {}
            part = moe | _cut(cut) | beside
        name = name.replace(".", "p")
        parts[name] = part
        order.append(name)
    return parts, order


def limit(part: Spec | None) -> float:
    """Where a part's activation is cut, 0 where it is not."""
    return part.clamp if part is not None and part.activation == "capped_swiglu" else 0.0


def _cut(limit: float) -> dict:
    return {"activation": "capped_swiglu", "clamp": limit} if limit else {}


def limits(config: Config, key: str, depth: int, ahead: int) -> list[float] | None:
    """Where each layer's activation is cut, 0 where it is not."""
    given = config.take(key, list, None)
    if given is None:
        return None
    numbers = [0.0 if limit is None else limit for limit in given[: depth + ahead]]
    if not all(type(n) in (int, float) and 0 <= n <= 1e6 for n in numbers) or len(numbers) not in (depth, depth + ahead):
        raise config.refuse(key, f"give a number or null for each of the {depth} layers")
    return [*map(float, numbers), *[0.0] * (depth + ahead - len(numbers))]


def _moe_layers(config: Config, depth: int) -> set[int]:
    """moe_layers_enum: numbers of layers, in a list or in words; usually all but the first three."""
    given = config.take("moe_layers_enum", (str, list, tuple), None)
    if given is None:
        return set(range(3, depth))
    pieces = given.split(",") if isinstance(given, str) else given
    numbers = {str(piece).strip() for piece in pieces[:4_096]} - {""}
    if not all(number.isdecimal() and len(number) < 5 for number in numbers):
        raise config.refuse("moe_layers_enum", "give numbers of layers")
    return {int(number) for number in numbers}


def _experts(config: Config) -> dict:
    def either(*keys: str, usual: int) -> int:
        key = next((key for key in keys if config.has(key)), keys[0])
        value = config.count(key, usual, least=0 if "share" in key else 1)
        for alias in keys:
            config.expect(alias, value)
        return value

    shared = either("share_expert_dim", "share_expert_dims", usual=1_280)
    router = {"score": "sigmoid", "normalise": True, "selection_bias": True}
    router |= unless(1.0, scale=config.take("moe_router_scaling_factor", float, 1.0))
    return {
        "kind": "experts",
        "count": either("n_routed_experts", "moe_num_experts", "num_local_experts", "num_experts", usual=288),
        "top_k": either("num_experts_per_tok", "moe_top_k", usual=8),
        "d_ff": config.count("moe_intermediate_size", 1_280),
        "router": router,
    } | ({"shared": {"d_ff": shared}} if shared else {})


def write(arch: Architecture) -> dict:
    feeds = {"dense*": FeedForward, "moe*": Experts}
    pieces.made_of(arch, {"attention": Attention | None, "local*": Attention, "global*": Attention} | feeds)
    mixers, moe = pieces.mixers(arch), next((part for part in arch.parts.values() if part.kind == "experts"), None)
    dense = next((part for part in arch.parts.values() if part.kind == "feed_forward"), None)
    full = next((part for part in mixers if not part.sight.window), mixers[0])
    local = next((part for part in mixers if part.sight.window), full)
    near, far = pieces.near_and_far(arch)
    blocks = [*arch.sequence, *(arch.mtp.each if arch.mtp else ())]
    if any(len(block) != 2 for block in blocks):
        raise Unsupported("mtp.block: this family needs attention and the part after it; give these two")
    beside = [arch.parts[block[1].parts[0]] for block in blocks]

    return (
        {"architectures": ["Step3p5ForCausalLM"], "model_type": "step3p5"}
        | pieces.write_sizes(arch)
        | pieces.write_heads(full)
        | {
            "num_sliding_attention_heads": local.heads,
            "attention_bias": full.bias,
            "query_pre_attn_scalar": pieces.write_scalar(full),
            "sliding_window": pieces.window(arch),
            "layer_types": [KINDS[bool(arch.parts[block[0].parts[0]].sight.window)] for block in blocks],
            "mlp_layer_types": ["sparse" if part.kind == "experts" else "dense" for part in beside],
            "num_nextn_predict_layers": v3.write_mtp(arch),
            "mlp_bias": dense.bias if dense else bool(moe.shared and moe.shared.bias),
            "swiglu_limits": [limit(part) if part.kind == "experts" else 0.0 for part in beside],
            "swiglu_limits_shared": [
                limit(part if part.kind == "feed_forward" else part.beside_all if part.shared else None) for part in beside
            ],
        }
        | (_write_experts(moe) if moe else {})
        | ({"intermediate_size": dense.d_ff} if dense else {})
        | rotary.write_ropes(near, far, arch.context)
        | pieces.write_precision(arch)
    )


def _write_experts(moe: Experts) -> dict:
    return {
        "n_routed_experts": moe.count,
        "num_experts_per_tok": moe.top_k,
        "moe_intermediate_size": moe.d_ff,
        "share_expert_dim": moe.shared.d_ff if moe.shared else 0,
        "moe_router_scaling_factor": moe.router.scale,
    }


def sources(arch: Architecture) -> Sources:
    for path, ways in tensors.also_named(tensors.llama_sources(arch), PUBLISHED):
        leaf = path.rpartition(".")[2]
        if leaf in ("gate", "up") and path.endswith(f".experts.{leaf}"):
            at = ways[0].names[0].replace("mlp.experts.gate_up_proj", f"moe.{leaf}_proj.weight")
            ways = [*ways, Source((at,))]
        yield path, ways


ignored = tensors.ignored
