"""The search for models: the words that each is known by, and how well they answer a query.

The words for a technique come from its part (`title`, `short`, `also`, `forms`, traits), so a new part is found without a line here.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from .facets import OPEN
from .kinds import GROUPS, choices, group
from .parts import Part
from .parts.feedforward import Activated
from .parts.residual import Residual
from .roles import MIXERS
from .spec import Architecture
from .words import tokens

# What counts more: a name, a maker, a technique, what the model as a whole is, or a word in a sentence about it.
NAME, MAKER, TECHNIQUE, WHOLE, SENTENCE = 16, 8, 6, 4, 1
WHOLE_WORD, JOINED, BEGINNING = 1.0, 0.9, 0.5  # how a word of the query is met: "qwen3" in "qwen3", in "qwen 3", in "qwen35"
MAKERS = {  # other names of the makers
    "01.AI": "Yi", "Ai2": "Allen Institute for AI AllenAI", "Baidu": "Ernie", "ByteDance Seed": "ByteDance", "Google": "DeepMind Alphabet",
    "IBM": "Granite", "Meituan": "LongCat", "Meta": "Facebook FAIR", "Microsoft": "MSR", "Mistral AI": "Mistral", "Moonshot AI": "Kimi",
    "Qwen": "Alibaba Tongyi", "TII": "Technology Innovation Institute", "Tencent": "Hunyuan", "Xiaomi": "MiMo", "Z.ai": "Zhipu THUDM GLM",
    "Zhipu AI": "Z.ai THUDM GLM", "inclusionAI": "Ant Group", "rednote-hilab": "Xiaohongshu rednote", "xAI": "Grok",
}  # fmt: skip
SAME = {"attn": "attention", "licence": "license", "licences": "licenses"}
ASIDE = frozenset(  # what a question says beside the words that are looked for; a model's name may have one: Command A
    "a about an and any are at can do does find for has have having huggingface.co https i in is it its llm llms me model models of on "
    "one or show that the there this to use uses using what where which who with".split()
)
_ID = re.compile(r"config\.json of ([\w-][\w.-]*/[\w-][\w.-]*)", re.ASCII)


class Known(NamedTuple):
    """What a model is known by: each word and each joined pair of words with what it counts, and the phrases with theirs."""

    words: dict[str, int]
    joined: dict[str, int]
    phrases: tuple[tuple[int, tuple[str, ...]], ...]


def words(text: str) -> tuple[str, ...]:
    """The words of a text without case and punctuation; "v3.2" stays one."""
    found = re.findall(r"huggingface\.co|[^\W_]+(?:\.[0-9][^\W_]*)*", unicodedata.normalize("NFKC", text).lower())
    return tuple(SAME.get(word, word) for word in found)


def known(arch: Architecture) -> Known:
    """What an architecture is known by: its names, its maker, each part's techniques, and sentences about them."""
    found: list[tuple[int, str]] = [(NAME, arch.title), (NAME, arch.name), (MAKER, arch.family or ""), *_maker(arch.organisation or "")]
    parts = {name: arch.part(name) for name in arch.parts}
    for part in parts.values():
        found += [(TECHNIQUE, word) for word in _techniques(part)]
        found.append((SENTENCE, f"{part.label} {part.explain(arch.d_model)}"))
    found += [(WHOLE, word) for word in _whole(arch, parts.values())]
    found += [(WHOLE, name) for source in arch.sources for name in _ID.findall(source)]  # "openai/gpt-oss-20b"
    return _known([*found, (SENTENCE, arch.note or "")])


def undisclosed(entry: dict[str, Any]) -> Known:
    """The same for a model whose architecture is not disclosed."""
    return _known([(NAME, entry["title"]), *_maker(entry["organisation"]), (WHOLE, "not disclosed"), (WHOLE, "undisclosed closed")])


def score(asked: str, model: Known) -> float:
    """How well a model answers a query: 1 if the query is empty, 0 if it has no words or the model lacks one."""
    if not asked.strip():
        return 1.0
    sought, _, barred = re.sub(r"\b(?:without|not(?! disclosed)|no)\b", "without", f" {asked.lower()} ").partition(" without ")
    if barred.strip() and score(barred, model):
        return 0.0
    if not sought.strip():
        return 1.0
    said = words(sought)
    wanted = tuple(word for word in said if word not in ASIDE or model.words.get(word) == NAME) or said
    best = _best(wanted, model)
    return best and best + max((weight * _said(wanted, phrase) for weight, phrase in model.phrases), default=0.0)


def found(asked: str, archs: Iterable[Architecture], known: Callable[[Architecture], Known] = known) -> list[Architecture]:
    """The architectures that answer a query, the best first; those that answer as well stay in their order. A server gives a `known`
    that keeps what it has found."""
    if not asked.strip():
        return [*archs]
    scores = [(score(asked, known(arch)), arch) for arch in archs]
    return [arch for worth, arch in sorted(scores, key=lambda one: -one[0]) if worth]


# ---- the words of a model ----


def _maker(name: str) -> list[tuple[int, str]]:
    return [(MAKER, name), (MAKER, next((also for maker, also in MAKERS.items() if name.startswith(maker)), ""))]


def _techniques(part: Part) -> Iterable[str]:
    """The names of what a part does: its kind and settings, with their abbreviations, and its traits."""
    yield from (type(part).title, part.short, part.label, *part.also, *part.traits())
    yield from GROUPS[group(type(part))].also
    for choice in choices(part):
        if choice.form and choice.holds(part):
            yield from (choice.title, *choice.form.also)


def _whole(arch: Architecture, parts: Collection[Part]) -> Iterable[str]:
    """What the model as a whole is: its sort, its streams, norms and positions, its month, its context, its licence, the formats of its
    weights."""
    roles = {part.role for part in parts}
    if roles.issuperset(MIXERS):
        yield "hybrid"
    if "experts" not in roles:
        yield "dense"
    if "attention" not in roles:
        yield "recurrent, without attention, attention-free"
    if arch.mtp:
        yield "multi-token prediction MTP"
    yield "tied embeddings" if arch.tied_embeddings else "untied embeddings"
    steps = [step for block in arch.distinct() for step in block]
    if any(len(step.parts) > 1 for step in steps):
        yield "parallel"
    if any(link.read.lender.endswith("_cache") for link in arch.links):
        yield "borrowed cache, KV sharing"
    yield f"{arch.norm.kind}norm"  # "layernorm", "rmsnorm"
    placed = {(step.residual or arch.residual).norm for step in steps} - {"none"}
    yield from sorted(f"{placement} norm" for placement in placed)
    for part in parts:
        if isinstance(part, Activated):
            yield part.activation
            yield f"squared {part.activation[:-1]}" if part.activation.endswith("2") else ""
    yield arch.position.kind.replace("_", " ")
    if not isinstance(arch.residual, Residual):
        yield re.sub("(?<=[a-z])(?=[A-Z])", " ", type(arch.residual).__name__)  # "Manifold Hyper Connections"
    if arch.released:
        yield from (f"{arch.released:{form}}" for form in ("%Y", "%B %Y", "%b %Y"))
    if length := arch.meant_for:
        yield f"{tokens(length)} context{', million tokens' * (length >= 1e6)}"
        if length % 1_000 == 0:  # 128,000 is 125K, and also 128K
            yield f"{length / 1e6:g}M context" if length >= 1e6 else f"{length / 1e3:g}K context"
    yield arch.licence or ""
    yield "open license, open source, open weights" if arch.licence in OPEN else ""
    yield from {name.partition("_")[0] for name in arch.precision.values()}


def _known(found: Iterable[tuple[int, str]]) -> Known:
    own: dict[str, int] = {}
    joined: dict[str, int] = {}
    phrases = []
    for weight, text in dict.fromkeys(found):
        said = words(text)
        for into, each in ((own, said), (joined, [a + b for a, b in pairwise(said)])):
            into.update({word: weight for word in each if into.get(word, 0) < weight})
        phrases += [(weight, said)] if said and weight > SENTENCE else []
    return Known(own, joined, tuple(phrases))


# ---- how a query is met ----


def _forms(word: str) -> tuple[str, ...]:
    """A word, and its singular if it may be a plural."""
    return (word, word[:-1]) if len(word) > 3 and word.endswith("s") else (word,)


def _best(wanted: tuple[str, ...], model: Known) -> float:
    """What the words of a query count together, 0 if one is nowhere. A pair may also be meant as one word, which then counts for both:
    "deep seek", "x.ai"."""
    before, now = 0.0, 1.0  # the best of the words so far, and without the last; 1 above what they count, as 0 is nothing
    for last, word in zip(("", *wanted), wanted):
        alone, both = _met(word, model), _met(last + word, model, whole=True) if last else 0.0
        before, now = now, max(now + alone if now and alone else 0.0, before + 2 * both if before and both else 0.0)
    return max(now - 1, 0.0)


def _met(word: str, model: Known, whole: bool = False) -> float:
    """What a word of the query counts for a model; `whole` if its beginning counts nothing."""
    best = max(max(WHOLE_WORD * model.words.get(form, 0), JOINED * model.joined.get(form, 0)) for form in _forms(word))
    if len(word) > 1 and not whole:
        begun = (weight for each in (model.words, model.joined) for own, weight in each.items() if own.startswith(word))
        best = max(best, BEGINNING * max(begun, default=0))
    return best


def _said(wanted: tuple[str, ...], phrase: tuple[str, ...]) -> float:
    """How much of a phrase the query says, 1 if they are the same: "deepseek v3" is DeepSeek-V3 before DeepSeek-V3.2."""
    if "".join(wanted) == "".join(phrase):
        return 1.0
    own = {*phrase, *(a + b for a, b in pairwise(phrase))}
    if not all(own.intersection(_forms(word)) for word in wanted):
        return 0.0
    return min(1.0, len("".join(wanted)) / len("".join(phrase)))
