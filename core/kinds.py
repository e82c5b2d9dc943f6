"""The kinds of parts as a person chooses among them, and the first values of a part that becomes another kind.

Everything comes from the classes of the parts and from the spec's schema, so a new part is listed without a line here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import gcd
from typing import Any, NamedTuple

from .parts import PARTS, Part
from .parts.base import Form, Spec
from .roles import MIXERS


class Group(NamedTuple):
    title: str
    line: str
    also: tuple[str, ...] = ()  # other names, which a search finds


# The groups in the order of the list. A part says its group if that is not its role.
GROUPS = {
    "attention": Group("Softmax", "all earlier tokens, or a window"),
    "sparse": Group("Sparse", "chooses which tokens to weigh", ("sparse attention",)),
    "recurrence": Group("Recurrent", "a state of fixed size, no cache", ("linear attention", "recurrent")),
    "feed_forward": Group("Feed-forward", "one network for every token"),
    "experts": Group("Experts", "a router picks networks for each token"),
    "embedding": Group("Embeddings", "vectors that are looked up by token"),
}
# What people mean first, in their own words.
FIRST = {
    "multi_head": "Multi-head", "grouped_query": "Grouped-query", "multi_query": "Multi-query", "latent_attention": "Latent, MLA",
    "sliding_window": "Sliding window", "gated_delta_net": "Delta net", "feed_forward": "Dense", "experts": "Mixture of experts",
}  # fmt: skip
# The names that one width has in several kinds: channels of a query or key head, and of a value head.
WIDTHS = (("head_dim", "key_dim", "nope_dim"), ("v_dim", "value_dim", "v_head_dim", "head_dim"))


@dataclass(frozen=True)
class Choice:
    """A kind of part, or a setting of a kind that has a name of its own; `name` is what `edits.swapped` takes."""

    name: str
    kind: str
    title: str
    line: str
    form: Form | None = None

    @property
    def group(self) -> str:
        return group(PARTS[self.kind])

    @property
    def words(self) -> set[str]:
        """What people call it, in small letters and digits alone."""
        cls, also = PARTS[self.kind], self.form.also if self.form else ()
        said = (self.name, self.title, *also, FIRST.get(self.name, ""))
        return set(map(_letters, said if self.form else (*said, cls.title, cls.short, cls.called, *cls.also))) - {""}

    @property
    def role(self) -> str:
        return PARTS[self.kind].role

    def keeps(self, part: Part) -> bool:
        """Whether a part gets this setting without becoming another kind."""
        if part.kind == self.kind:
            return True
        return bool(self.form and self.form.keeps in type(part).model_fields and group(type(part)) == self.group)

    def holds(self, part: Part) -> bool:
        """Whether a part is this already."""
        return self.keeps(part) and bool(not self.form or self.form.holds(part))


def group(cls: type[Part]) -> str:
    return cls.group or cls.role


def forms(kind: str) -> dict[str, Form]:
    """The settings of a kind that have names of their own, not those of a kind that it is made from."""
    return vars(PARTS[kind]).get("forms", {})


def stands(kind: str, part: Part) -> bool:
    """Whether a kind could replace this part: both mix positions, both work on each, or both look tokens up; and they read the same
    streams."""
    cls = PARTS[kind]
    return _place(cls) == _place(type(part)) and cls.of_stream is type(part).of_stream


def _place(cls: type[Part]) -> str:
    return "mixer" if cls.role in MIXERS else "embedding" if cls.role == "embedding" else "other"


@lru_cache(maxsize=1)
def _listed() -> tuple[Choice, ...]:
    """All choices, group by group; a kind whose settings have names of their own is listed by these."""
    found: list[Choice] = []
    for kind, cls in PARTS.items():
        own = forms(kind)
        found += [Choice(name, kind, form.title, form.line, form) for name, form in own.items()]
        found += [] if own else [Choice(kind, kind, cls.title, cls.line)]
    order, first = [*GROUPS], {name: n for n, name in enumerate(FIRST)}

    def place(choice: Choice) -> tuple:
        own = () if choice.form else (first.get(choice.name, len(first)), choice.title)  # settings stay in the order of their class
        return order.index(choice.group), own

    return tuple(sorted(found, key=place))


def choices(part: Part | None = None) -> tuple[Choice, ...]:
    """What could stand where this part stands, group by group; all kinds without one."""
    return tuple(choice for choice in _listed() if part is None or stands(choice.kind, part))


def choice(part: Part, name: str) -> Choice:
    """The choice of this name, a kind's or a setting's; ValueError if it cannot stand where this part stands."""
    known = {one.name: one for one in choices(part)}
    known |= {kind: Choice(kind, kind, cls.title, cls.line) for kind, cls in PARTS.items() if stands(kind, part)}
    if name not in known and len(found := meant(name, choices(part))) == 1:
        return found[0]
    if name not in known:
        raise ValueError(f"{name[:40]!r} cannot stand where a part of kind {part.kind} stands; give one of {', '.join(known)}")
    return known[name]


def meant(word: str, among: Sequence[Choice]) -> list[Choice]:
    """The choices that a word names: by name or kind, otherwise by what people call them (MLA, sliding), otherwise by the beginning of
    that. Of several, the one that people mean first, if it is among them."""
    plain = _letters(word)
    for says in (
        lambda one: word in (one.name, one.kind),
        lambda one: plain in one.words,
        lambda one: len(plain) > 2 and any(said.startswith(plain) for said in one.words),
    ):
        if found := [one for one in among if says(one)]:
            return [one for one in found if one.name in FIRST][:1] or (found[:1] if word in (found[0].name, found[0].kind) else found)
    return []


def near(word: str) -> list[str]:
    """The names of choices that are spelled almost like this word."""
    said: dict[str, str] = {}
    for one in choices():
        for each in (*one.words, *one.name.split("_")):
            said.setdefault(each, one.name)
    return list(dict.fromkeys(said[each] for each in get_close_matches(_letters(word[:40]), said, 3, cutoff=0.7)))


def _letters(words: str) -> str:
    return re.sub(r"[\W_]", "", words.lower())


# ---- names ----


def _usual(kind: str) -> str:
    return PARTS[kind].called or kind


def renamed(name: str, kind: str) -> str:
    """The name of a part that is now of this kind: a name that says another kind begins with this kind's usual name instead."""
    words = {word for each in PARTS for word in (each, _usual(each))}
    said = max((word for word in words if re.match(rf"{word}(?![a-z])", name)), key=len, default="")
    return name if said in ("", kind, _usual(kind)) else (_usual(kind) + name[len(said) :])[:32].rstrip("_")


# ---- first values ----


@lru_cache(maxsize=256)
def schema(cls: type[Spec]) -> dict:
    return cls.model_json_schema()


def carried(part: Part, kind: str) -> dict[str, Any]:
    """The fields that a part keeps as another kind: those with the same name, and widths that have another name there."""
    fields = PARTS[kind].model_fields
    full, said = part.model_dump(mode="json"), part.model_dump(mode="json", exclude_defaults=True)
    needed = [name for name, field in fields.items() if field.is_required()]
    like = {name: full[name] for name in needed if full.get(name) is not None} | {name: said[name] for name in said if name in fields}
    for name in needed:
        widths = (full[other] for names in WIDTHS if name in names for other in names if full.get(other))
        if name not in like and (width := next(widths, None)):
            like[name] = width
    if part.reach and part.role == "attention":  # a sliding window, wherever it is written
        like |= {"sight": {"window": part.reach}} if "sight" in fields and "sight" not in full else {}
        like |= {"window": part.reach} if "window" in fields else {}
    return {name: value for name, value in like.items() if name != "kind"}


def first_value(kind: str, like: dict[str, Any]) -> dict[str, Any]:
    """A part of this kind with the fields of `like`; its other fields come from their examples and defaults."""
    tree = schema(PARTS[kind])
    needed = tree.get("required", ())
    optional = {name: value for name, value in like.items() if name in tree["properties"] and name not in needed}
    return (starter(tree, tree.get("$defs", {}), like) or {"kind": kind}) | optional


def starter(object_schema: dict, defs: dict, like: dict) -> dict | None:
    """A first value: defaults are left out, other fields come from a field of the same name in `like` or from their example.

    None if a required field has no example, as for LongRoPE's lists of factors.
    """
    out: dict[str, Any] = {"kind": kind} if (kind := kind_of(object_schema)) else {}
    for name in object_schema.get("required", ()):
        if name == "kind":
            continue
        field = object_schema["properties"][name]
        known = like.get(name)
        if isinstance(known, int | float) and not isinstance(known, bool) and known <= field.get("maximum", known):
            out[name] = known
        elif "examples" in field:
            out[name] = field["examples"][0]
            served = out.get("heads", like.get("heads"))
            if name.endswith("heads") and served:  # in equal groups
                out[name] = gcd(out[name], served)
        elif "properties" in (inner := resolve(field, defs)):
            within = known if isinstance(known, dict) else like if kind_of(inner) in PARTS else {}
            out[name] = starter(inner, defs, within)
        if out.get(name) is None:
            return None
    return out


def resolve(field: dict, defs: dict) -> dict:
    return defs[field["$ref"].rsplit("/", 1)[1]] if "$ref" in field else field


def kind_of(object_schema: dict) -> str | None:
    return object_schema.get("properties", {}).get("kind", {}).get("const")
