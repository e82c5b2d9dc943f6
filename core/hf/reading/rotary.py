"""Rope and the temperature of scores in a config.json, in the old form and the new: read and written."""

from collections.abc import Iterator, Mapping
from typing import Any

from ...parts.position import Dynamic, Position, Proportional, Rope, Yarn
from ...parts.temperature import StepTemperature
from ...spec import Unsupported
from .config import Config, nothing
from .keys import Entry, Writing
from .pieces import unless

_ROPE_KEYS = frozenset(
    "rope_type type rope_theta partial_rotary_factor factor original_max_position_embeddings attention_factor beta_fast beta_slow "
    "mscale mscale_all_dim truncate low_freq_factor high_freq_factor short_factor long_factor finetuned "
    "mrope_section mrope_interleaved".split()  # which axis turns which channels: for text all axes are the position
)


def rope(config: Config, context: int, *, theta: float = 10_000.0, fraction: float | None = None, magnitudes: bool = False) -> dict:
    """The position that rope_theta, rope_scaling and partial_rotary_factor, or rope_parameters in their place, describe.

    `fraction` is the family's default share of channels that turn; None where the family turns them all, whatever is said.
    With `magnitudes`, a scaled rope gives its magnitude for short texts and for long ones.
    """
    key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
    config.ignore("rope_scaling")
    inner = config.nested(key)
    if inner.raw.get("rope_type") == "proportional":
        raise inner.refuse("rope_type", "it needs a separate rope for each of layer_types")
    original = config.count("original_max_position_embeddings", None)
    base = inner.take("rope_theta", float, config.take("rope_theta", float, theta))
    share = inner.take("partial_rotary_factor", float, config.take("partial_rotary_factor", float, 1.0 if fraction is None else fraction))
    if fraction is None and share != 1:
        raise (inner if inner.has("partial_rotary_factor") else config).refuse("partial_rotary_factor", "this family rotates all channels")
    magnitude = _magnitude(inner) if magnitudes else {}
    scaling = rope_scaling(inner, context, original)
    if scaling:
        scaling["scaling"] |= magnitude
    return {"kind": "rope", "base": base} | unless(1.0, fraction=share) | scaling


class Turning(Entry):
    """The keys of a rope, as an entry of a family's list: what `rope` reads and `write_rope` writes."""

    def __init__(self, theta: float = 10_000.0, fraction: float | None = None, **always: Any):
        self.theta, self.fraction, self.always = theta, fraction, always

    def read(self, config: Config, said: dict) -> None:
        said["position"] = rope(config, said["context"], theta=self.theta, fraction=self.fraction) | self.always

    def write(self, of: Writing) -> Mapping[str, Any]:
        rope = of.arch.position
        written = write_rope(rope, of.arch.context)
        return written | ({} if self.fraction is None else {"partial_rotary_factor": rope.fraction})

    def rows(self) -> Iterator[tuple[str, str, str]]:
        yield "rope_theta", "position.base", f"{self.theta:g}"
        yield "rope_scaling, rope_parameters", "position.scaling", "none"
        if self.fraction is not None:
            yield "partial_rotary_factor", "position.fraction", f"{self.fraction:g}"


class Stepping(Turning):
    """A rope whose dictionary says too how the scores grow; `usual` is the family's dictionary where none is given."""

    def __init__(self, usual: Mapping[str, Any]):
        super().__init__()
        self.usual = usual

    def read(self, config: Config, said: dict) -> None:
        if steps := temperature(config, self.usual):
            said["attention"].setdefault("scores", {}).update(steps)
        super().read(config, said)

    def write(self, of: Writing) -> Mapping[str, Any]:
        rope = write_dictionary(of.arch.position, of.arch.context)
        return {"rope_parameters": rope | write_temperature(of.get("attention.scores.temperature"))}


def stretch(config: Config, head_dim: int, theta: float) -> None:
    """Hunyuan's dynamic rope with a fixed alpha is a plain one on a base that the alpha stretches, whatever else it says."""
    key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
    inner = config.nested(key)
    if inner.raw.get("rope_type", inner.raw.get("type")) != "dynamic" or not inner.raw.get("alpha"):
        return
    if head_dim < 4:
        raise inner.refuse("alpha", f"a head of {head_dim} channels has no base to stretch")
    base = inner.take("rope_theta", float, config.take("rope_theta", float, theta))
    base *= inner.take("alpha", float) ** (head_dim / (head_dim - 2))
    kept = {name: inner.raw[name] for name in ("partial_rotary_factor",) if name in inner.raw}
    config.raw = {**config.raw, key: {"rope_type": "default", "rope_theta": base} | kept}


def _magnitude(inner: Config) -> dict:
    """Phi-3.5-MoE's short_mscale and long_mscale, which its longrope must give."""
    kind = inner.take("rope_type", str, None) or inner.take("type", str, "default")
    if kind == "default":
        inner.ignore("short_mscale", "long_mscale")
        return {}
    inner.expect("rope_type", "longrope")
    inner.expect("type", "longrope")
    magnitude = inner.take("short_mscale", float)
    inner.expect("long_mscale", magnitude)
    return {"attention_factor": magnitude}


def temperature(config: Config, usual: Mapping[str, Any] | None = None) -> dict:
    """`{temperature: ...}` as a rope dictionary's llama_4_scaling_beta gives it (Ministral 3, Mistral 4); {} without one.

    `usual` is the family's dictionary where none is given. What is left of it is for `rope` to read.
    """
    key = "rope_scaling" if config.raw.get("rope_scaling") else "rope_parameters"
    if usual and not config.raw.get(key):
        config.raw = {**config.raw, key: dict(usual)}
    inner = config.nested(key)
    scale = inner.take("llama_4_scaling_beta", float, 0.0)
    read = ("llama_4_scaling_beta", "max_position_embeddings")
    config.raw = {**config.raw, key: {name: value for name, value in inner.raw.items() if name not in read}}
    if not scale:
        return {}
    length = inner.count("original_max_position_embeddings", config.count("original_max_position_embeddings", None))
    if length is None:
        raise inner.refuse("llama_4_scaling_beta", "it needs original_max_position_embeddings beside it")
    return {"temperature": {"kind": "steps", "scale": scale, "length": length, "first": 0}}


def write_temperature(temperature: StepTemperature | None) -> dict:
    """What goes into the rope dictionary."""
    if temperature is None:
        return {}
    if not isinstance(temperature, StepTemperature):
        raise Unsupported(f"temperature: this family's scores grow in steps, not by {temperature.kind}; give kind steps")
    return {"llama_4_scaling_beta": temperature.scale, "original_max_position_embeddings": temperature.length}


def rope_scaling(inner: Config, context: int, original: int | None = None) -> dict:
    """`{scaling: ...}` from a rope dictionary, {} where nothing is scaled.

    `original` is a trained context that stands outside the dictionary, and goes before the one inside.
    """
    kind = inner.take("rope_type", str, None) or inner.take("type", str, "default")
    kind = {"deepseek_yarn": "yarn", "su": "longrope"}.get(kind, kind)  # their old names
    inner.what = f"a rope of type {kind[:40]}"
    if kind == "yarn":  # others read these; transformers' classes do not, whose attention_factor follows from the factor
        inner.ignore("attn_factor")
        inner.expect("extrapolation_factor", 1.0)
    for key in sorted(inner.left - _ROPE_KEYS):
        if not nothing(key, inner.raw[key]):
            raise inner.refuse(key, "it is not a key of a rope that the spec has")
    trained = original or inner.count("original_max_position_embeddings", context)

    def number(key: str, default: Any = ...) -> float:
        return inner.take(key, float, default)

    def optional(*keys: str) -> dict:
        return {key: number(key) for key in keys if inner.has(key)}

    match kind:
        case "default":
            return {}
        case "linear":
            scaling = {"factor": number("factor")}
        case "dynamic":
            scaling = {"factor": number("factor"), "original_context": context}
        case "llama3":
            scaling = {"factor": number("factor"), "original_context": trained}
            scaling |= {key: number(key) for key in ("low_freq_factor", "high_freq_factor")}
        case "yarn":
            scaling = {"factor": number("factor", context / trained), "original_context": trained}
            scaling |= {key: value for key, value in optional("beta_fast", "beta_slow").items() if value}
            scaling |= optional("mscale", "mscale_all_dim", "attention_factor")
            scaling |= unless(True, truncate=inner.take("truncate", bool, True))
        case "longrope":
            scaling = {"factor": number("factor", context / trained), "original_context": trained}
            scaling |= {key: inner.listing(key, (int, float), ...) for key in ("short_factor", "long_factor")}
            scaling |= optional("attention_factor")
        case "proportional":
            scaling = {"fraction": number("partial_rotary_factor", 1.0), "factor": number("factor", 1.0)}
        case _:
            raise inner.refuse(
                "rope_type" if inner.has("rope_type") else "type", "it has default, linear, dynamic, yarn, llama3, longrope, proportional"
            )
    return {"scaling": {"kind": kind} | scaling}


def write_dictionary(position: Rope, context: int) -> dict:
    """A whole rope dictionary: the base, and how it is scaled."""
    return {"rope_theta": _turning(position).base} | write_rope_scaling(position, context)


def _turning(position: Any) -> Rope:
    if not isinstance(position, Rope):
        raise Unsupported(f"position: this family needs a rope, not {position.kind}")
    return position


def write_rope(position: Rope, context: int) -> dict:
    """rope_theta, rope_scaling and partial_rotary_factor: the form that every version of transformers reads."""
    position = _turning(position)
    written = {"rope_theta": position.base} | unless(1.0, partial_rotary_factor=position.fraction)
    return written | ({"rope_scaling": write_rope_scaling(position, context)} if position.scaling else {})


def write_rope_scaling(position: Rope, context: int) -> dict:
    """The rope dictionary's own keys, without base and fraction."""
    scaling = position.scaling
    if scaling is None:
        return {"rope_type": "default"}
    if isinstance(scaling, Proportional):
        return {"rope_type": scaling.kind, "partial_rotary_factor": scaling.fraction, "factor": scaling.factor}
    if isinstance(scaling, Dynamic) and scaling.original_context != context:
        raise Unsupported(f"dynamic scaling from {scaling.original_context:,} tokens: a config.json scales from its context, {context:,}")
    written = scaling.model_dump(mode="json", exclude_defaults=not isinstance(scaling, Yarn), exclude_none=True)
    written.pop("kind")
    trained = written.pop("original_context", None)
    if trained and not isinstance(scaling, Dynamic):
        written["original_max_position_embeddings"] = trained
    if scaling.kind == "llama3":
        written |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    return {"rope_type": scaling.kind} | written


def ropes(
    config: Config, context: int, far: float, near: float, fraction: float | None = None, usual: Mapping[str, Mapping] | None = None
) -> tuple[dict, dict]:
    """The rope of layers in a window, and of those that see everything; `near` and `far` are their usual bases.

    `fraction` is the share of channels that turn where nothing is said; None where the family turns them all, always.
    `usual` stands in for absent rope_parameters in families that have no older form.
    """
    if usual and not config.raw.get("rope_parameters"):
        for key in ("rope_theta", "rope_scaling"):
            if config.has(key):
                raise config.refuse(key, "this family needs rope_parameters with a rope for each of its layer types")
        config = Config({**config.raw, "rope_parameters": usual})
    if config.raw.get("rope_parameters") and config.raw.get("rope_scaling"):
        raise config.refuse("rope_scaling", "rope_parameters is given too; give one of them")
    kinds = ("sliding_attention", "full_attention")
    given = config.nested("rope_parameters")
    inner = {kind: given.nested(kind) for kind in kinds}
    given.ignore("original_max_position_embeddings")  # Laguna says it beside the two as well as in one of them
    given.finish()
    if config.raw.get("rope_scaling"):
        inner["full_attention"] = config.nested("rope_scaling")
        if not inner["full_attention"].has("rope_type"):
            raise config.refuse("rope_scaling", "transformers ignores `type` here; give rope_type")
    config.ignore("rope_scaling")
    bases = {"sliding_attention": near, "full_attention": config.take("rope_theta", float, far)}
    found: list[dict[str, Any]] = []
    for kind in kinds:
        if kind in given.raw and given.raw[kind] is None:
            found.append({"kind": "none"})
            continue
        if inner[kind].raw.get("rope_type") == "proportional":  # its own partial_rotary_factor
            base = inner[kind].take("rope_theta", float, bases[kind])
            found.append({"kind": "rope", "base": base} | rope_scaling(inner[kind], context))
            continue
        if fraction is None:
            inner[kind].expect("partial_rotary_factor", 1.0)
        scaled = inner[kind].raw.get("rope_type", "default") != "default"
        share = inner[kind].take("partial_rotary_factor", float, 1.0 if scaled else fraction or 1.0)
        rope = {"kind": "rope", "base": inner[kind].take("rope_theta", float, bases[kind])}
        found.append(rope | unless(1.0, fraction=share) | rope_scaling(inner[kind], context))
    near_rope, far_rope = found
    return near_rope, far_rope


def write_ropes(near: Position, far: Position, context: int) -> dict:
    """The newer form, which alone can say both whole."""
    both = {"sliding_attention": near, "full_attention": far}
    return {
        "rope_parameters": {
            kind: unless(1.0, partial_rotary_factor=rope.fraction) | write_dictionary(rope, context) if isinstance(rope, Rope) else None
            for kind, rope in both.items()
        }
    }
