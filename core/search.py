"""The search for models: the words that each is known by, and how well they answer a query.

The words for a technique come from its part (`title`, `short`, `also`, `forms`, traits, `Also`), so a new part is found without a line
here. What a query asks for beside words is in asked.py.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import date
from functools import cache, lru_cache, partial
from itertools import dropwhile, pairwise
from typing import Any, NamedTuple, get_args

from .asked import Amount, Fits, Order, Piece, Word, asked, said_in, singular
from .facets import FIGURES, FITS, OPEN, TEXT, TEXTS, Entry
from .facets import entry as entry_of
from .kinds import GROUPS, choices, group
from .library import preset, presets
from .parts import PARTS, RESIDUALS, Part
from .parts.base import Also, Spec, numbers
from .parts.feedforward import Activated
from .parts.position import Scaling
from .parts.residual import Residual
from .precision import FORMATS
from .roles import MIXERS
from .spec import Architecture
from .words import figure, tokens

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
SENSES = frozenset("vision visual image images multimodal audio speech video vlm vlms omni ocr".split())
ASIDE = frozenset(  # what a question says beside the words that are looked for; a model's name may have one: Command A
    "a about an and any are at can do does find for has have having huggingface.co https i in is it its llm llms me model models of on "
    "one or released show that the there this to use uses using what where which who with year".split()
)
MOST_LETTERS = 200  # of a query that are read
_ID = re.compile(r"config\.json of ([\w-][\w.-]*/[\w-][\w.-]*)", re.ASCII)


class Known(NamedTuple):
    """What a model is known by: each word and each joined pair of words with what it counts, and the phrases with theirs; its numbers by
    noun; and its figures, which are computed when a query asks for them. `text` has all words and joined pairs, each after a space."""

    words: dict[str, int]
    joined: dict[str, int]
    phrases: tuple[tuple[int, tuple[str, ...]], ...]
    text: str = ""
    numbers: dict[str, frozenset[float]] = {}
    entry: Callable[[], Entry | None] = lambda: None


def words(text: str) -> tuple[str, ...]:
    """The words of a text without case and punctuation; "v3.2" and "r+" stay one."""
    found = re.findall(r"huggingface\.co|[^\W_]+(?:\.[0-9][^\W_]*)*\+?", unicodedata.normalize("NFKC", text).lower())
    return tuple(map(spelled, found))


def spelled(word: str) -> str:
    """A word in one of its spellings: "quantized" and "quantised"."""
    return SAME.get(word) or re.sub(r"iz(?=ation|ed$|es?$|er|ing$)", "is", word)


def known(arch: Architecture, entry: Callable[[Architecture], Entry] = entry_of) -> Known:
    """What an architecture is known by: its names, its maker, each part's techniques, sentences about them, and its numbers. A server
    gives an `entry` that keeps what it has found."""
    found: list[tuple[int, str]] = [(NAME, arch.title), (NAME, arch.name), (SENTENCE, arch.family or ""), *_maker(arch.organisation or "")]
    parts = {name: arch.part(name) for name in arch.parts}
    for part in parts.values():
        found += [(TECHNIQUE, word) for word in _techniques(part)]
        found.append((SENTENCE, f"{part.label} {part.explain(arch.d_model)}"))
    found += [(WHOLE, word) for word in _whole(arch, parts.values())]
    found += [(WHOLE, name) for source in arch.sources for name in _ID.findall(source)]  # "openai/gpt-oss-20b"
    return _known([*found, (SENTENCE, arch.note or "")], _numbers(arch, parts.values()), cache(partial(entry, arch)))


def undisclosed(entry: dict[str, Any]) -> Known:
    """The same for a model whose architecture is not disclosed."""
    return _known([(NAME, entry["title"]), *_maker(entry["organisation"]), (WHOLE, "not disclosed"), (WHOLE, "undisclosed closed")])


_BAR = re.compile(
    r"(?<!\S)(?:-(\w\S*)|(?:without|except|excluding|non(?=[\s-])|not(?! disclosed| more| less)|no(?! more| less))(?:(?<=non)-|\s+))"
)


@lru_cache(maxsize=64)
def _sides(query: str) -> tuple[str, tuple[str, ...]]:
    """What a query asks for, and each thing that the model shall not have: "-word" is one, and so is the word, phrase or amount after
    "not" and its like, and what "or", "nor" or "and" adds to it. Of a long query, what its first letters say."""
    sought, *rest = _BAR.split(query[:MOST_LETTERS].lower())
    barred: list[str] = []
    kept = [sought]
    for word, after in zip(rest[::2], rest[1::2], strict=True):
        if word:
            barred.append(word.strip(",;"))
        left = after.split()
        more = not word
        while more and (left := [*dropwhile(ASIDE.__contains__, left)]):
            many = next(many for many in (5, 4, 3, 2, 1) if many <= len(left) and (many == 1 or _one_thing(" ".join(left[:many]))))
            barred.append(" ".join(left[:many]).strip(",;"))
            more = left[many : many + 1] in (["or"], ["nor"], ["and"]) and left[many + 1 : many + 2] not in ([], ["with"])
            left = left[many + more :]
        kept += left
    words_kept = " ".join(kept).split()
    return "" if barred and ASIDE.issuperset(words_kept) else " ".join(words_kept), tuple(filter(None, barred))


def _one_thing(text: str) -> bool:
    """Whether words are a phrase that a model is known by, or one amount or machine."""
    said = tuple(map(singular, words(text)))
    return said in _phrases() or ("".join(said),) in _phrases() or len(asked(text)) == 1


@cache
def _phrases() -> frozenset[tuple[str, ...]]:
    """The phrases that the presets are known by."""
    return frozenset(tuple(map(singular, phrase)) for name in presets() for _, phrase in known(preset(name)).phrases)


def _bars(barred: str, model: Known) -> bool:
    """Whether a model has what it shall not have: all words of it in one phrase, not only as the beginning of other words unless a number
    follows ("-qwen" bars Qwen3), nor in a sentence about it."""
    pieces = asked(barred)
    said = [_word(piece) for piece in pieces if isinstance(piece, Word)]
    if not pieces or not all(_holds(piece, model) for piece in pieces if not isinstance(piece, Word)):
        return False
    if any(said_in((*said, "free"), phrase) for _, phrase in model.phrases):
        return False  # linear attention is no attention to a model that is known as attention-free
    return not said or any(_names(said, phrase) for _, phrase in model.phrases)


def _names(said: list[str], phrase: tuple[str, ...]) -> bool:
    own = {*phrase, *(a + b for a, b in pairwise(phrase))}
    begun = {re.sub(r"\d.*", "", word) for word in phrase}
    return all(not (own | begun).isdisjoint(_forms(word)) for word in said) or "".join(said) in own


def score(query: str, model: Known) -> float:
    """How well a model answers a query: 1 if the query is empty, 0 if it has no words or the model lacks one."""
    if not query.strip():
        return 1.0
    sought, barred = _sides(query)
    if any(_bars(one, model) for one in barred):
        return 0.0
    return _score(asked(sought), model) if sought else 1.0


def _score(pieces: tuple[Piece, ...], model: Known) -> float:
    said = tuple(piece for piece in pieces if isinstance(piece, Word | Amount) and _word(piece))
    rest = tuple(piece for piece in pieces if piece not in said and not isinstance(piece, Order))
    wanted = tuple(one for one in said if _word(one) not in ASIDE or model.words.get(_word(one)) == NAME)
    if not wanted and len(said) == len(pieces):
        wanted = said
    if not wanted and not rest:
        return float(bool(pieces))  # an order alone leaves out nothing
    best = _best(wanted, model) if wanted else 1.0
    more = [piece for piece in rest if not _holds(piece, model)]
    if not best or not all(_exceeds(piece, model) for piece in more):
        return 0.0
    spoken = tuple(map(_word, wanted))
    return best + WHOLE * len(rest) + max((weight * _said(spoken, phrase) for weight, phrase in model.phrases), default=0.0)


def length_of(query: str) -> int:
    """Tokens of the text whose memory a query asks the least or the most of: of `TEXTS` the longest that its context allows ("million
    tokens least memory"); `TEXT` if it names none."""
    pieces = asked(_sides(query)[0])
    context = FIGURES["context"]
    asks = any(isinstance(one, Order) and one.figure.removeprefix("-") in ("text", "cache") for one in pieces)
    least = [one.ranges[-1][0] for one in pieces if isinstance(one, Amount) and one.noun in context.nouns + context.units and asks]
    return max((n for n in TEXTS if least and n <= least[0] * 1.05), default=TEXT)


def found(query: str, archs: Iterable[Architecture], known: Callable[[Architecture], Known] = known, length: int = 0) -> list[Architecture]:
    """The architectures that answer a query: the best first, or those with the least or the most of a figure that it names, for a text of
    this length, or of `length_of` the query. Those that answer as well stay in their order. A server gives a `known` that keeps what it
    has found."""
    if not query.strip():
        return [*archs]
    models = {arch: known(arch) for arch in archs}
    pieces = asked(_sides(query)[0])
    amounts = [piece for piece in pieces if isinstance(piece, Amount) and not piece.word]
    scores = [(worth, arch) for arch, model in models.items() if (worth := score(query, model))]
    more = {arch: not all(_holds(piece, models[arch]) for piece in amounts) for _, arch in scores}  # than is asked for
    scores.sort(key=lambda one: (more[one[1]], -one[0]))
    answers = [arch for _, arch in scores]
    wanted = WHOLE * sum(not isinstance(piece, Order) for piece in pieces)
    length = length or length_of(query)
    mentions = {arch for worth, arch in scores if worth < wanted}  # "newest llama" is a Llama, not a model that is like one
    for order in (piece.figure for piece in reversed(pieces) if isinstance(piece, Order)):
        get, down = FIGURES[order.removeprefix("-")].get, -1 if order.startswith("-") else 1
        entries = {arch: models[arch].entry() for arch in answers}
        values = {arch: get(entry.at(length)) if entry else None for arch, entry in entries.items()}
        answers.sort(key=lambda arch: (arch in mentions, values[arch] is None, down * (values[arch] or 0)))
    return answers


def meant(query: str, archs: Iterable[Architecture], known: Callable[[Architecture], Known] = known) -> str:
    """What a query without an answer may mean: the same with each word that no model has as a word that is one letter away. Empty if it
    has no such words, or if one of them is near to none."""
    models = [known(arch) for arch in archs]
    sought, barred = _sides(query)
    pieces = asked(sought)
    unknown = [
        one for one in pieces if isinstance(one, Word) and 4 <= len(one.said) <= 24 and not any(_met(one, model) for model in models)
    ]
    if not unknown or len(unknown) > 3:
        return ""
    own: dict[str, int] = {}
    for model in models:
        own |= {word: weight for word, weight in model.words.items() if weight >= WHOLE and own.get(word, 0) < weight}
    instead = {one: near for one in unknown if (near := max(_near(spelled(one.said), own), key=own.__getitem__, default=""))}
    said = " ".join(instead[one] if isinstance(one, Word) and one in instead else one.said for one in pieces)
    return " without ".join((said, *barred)) if len(instead) == len(unknown) else ""


def _near(word: str, own: Iterable[str]) -> Iterator[str]:
    """The words that are one letter away: one more, one less, another one, or two that have changed places. Another digit is another
    model."""
    for other in own:
        if abs(len(other) - len(word)) > 1 or len(other) < 3:
            continue
        shorter = min(len(word), len(other))
        begins = next((n for n in range(shorter) if word[n] != other[n]), shorter)
        a, b = word[begins:], other[begins:]
        ends = next((n for n in range(min(len(a), len(b))) if a[-1 - n] != b[-1 - n]), min(len(a), len(b)))
        a, b = a[: len(a) - ends], b[: len(b) - ends]
        if re.search(r"\d", a + b):
            continue
        if len(a) <= 1 and len(b) <= 1 or len(a) == 2 and a == b[::-1]:
            yield other


def pieces(query: str) -> list[str]:
    """What a query asks for, piece by piece; each can be left out."""
    sought, barred = _sides(query)
    return [piece.said for piece in asked(sought)] + [f"without {one}" for one in barred]


def idle(query: str, archs: Iterable[Architecture], known: Callable[[Architecture], Known] = known) -> list[str]:
    """Sentences about what a query leaves out although no model here has it."""
    models = [known(arch) for arch in archs] if (barred := _sides(query)[1]) else []
    return [f"No model here is known for “{one}”, so that leaves out none" for one in barred if not any(_bars(one, m) for m in models)]


def unmet(query: str, archs: Iterable[Architecture], known: Callable[[Architecture], Known] = known) -> list[str]:
    """Sentences that say why a query may have no answer: what no model here has, and what Strata does not show."""
    archs = [*archs]
    models = [known(arch) for arch in archs]
    sought = asked(_sides(query)[0])
    told = []
    if any(isinstance(one, Word) and one.said in SENSES for one in sought):
        told.append("Only the part of a model that reads and writes text is here: not what sees images or hears speech")
    mine = tuple(spelled(one.said) for one in sought if isinstance(one, Word))
    for title, names in techniques().items():
        said = [tuple(map(Word, name)) for name in names if said_in(name, mine)]
        if said and not any(_best(name, model) for name in said for model in models):
            told.append(f"{title} can be built here, but no published model here has it")
    for piece in sought:
        if isinstance(piece, Amount) and not piece.word and not any(_holds(piece, model) for model in models):
            told.append(f"No model here has “{piece.said}”{_nearest(piece, models)}")
    dates = [arch.released for arch in archs if arch.released]
    if dates and (year := re.search(r"\b20\d\d\b", query)):
        months = [n for n in range(1, 13) if re.search(rf"\b{date(2000, n, 1):%b}", query, re.IGNORECASE)]
        if (int(year[0]), max(months, default=0)) > (max(dates).year, max(dates).month * bool(months)):
            told.append(f"The latest model here is of {max(dates):%B %Y}")
    for piece in sought:
        if isinstance(piece, Word) and piece.said not in {*ASIDE, *SENSES} and not any(_met(piece, model) for model in models):
            told += [] if told else [f"No model here is known for “{piece.said}”"]
    return told


@cache
def techniques() -> dict[str, tuple[tuple[str, ...], ...]]:
    """All techniques that can be built, used by a published model or not: their titles, each with its names as words."""
    classes: list[Any] = [*PARTS.values(), *(cls for cls in RESIDUALS.values() if cls is not Residual)]
    named = {cls.title: (*cls.also, cls.title) for cls in classes}
    named |= {cls.also[0]: cls.also for cls in get_args(get_args(Scaling)[0])}
    named |= {choice.title: (*choice.form.also, choice.title) for choice in choices() if choice.form}
    return {title: tuple(map(words, names)) for title, names in named.items()}


def _nearest(piece: Amount, models: Collection[Known]) -> str:
    """The values of the noun that come nearest to an amount, in words."""
    values = {value for model in models for value in _values(piece.noun, model)}
    least, most = piece.ranges[0]
    near = sorted(values, key=lambda value: max(least - value, value - most, 0))[:1]
    show = next(
        (one.show for one in FIGURES.values() if piece.noun in one.nouns + one.units), lambda n: figure(n) if n >= 1e6 else f"{n:,.0f}"
    )
    return f"; the nearest is {show(near[0])}" if near else ""


# ---- the words of a model ----


def _maker(name: str) -> list[tuple[int, str]]:
    return [(MAKER, name), (MAKER, next((also for maker, also in MAKERS.items() if name.startswith(maker)), ""))]


def _techniques(part: Part) -> Iterable[str]:
    """The names of what a part does: its kind and settings, with their abbreviations, and its traits."""
    yield from (type(part).title, part.short, part.label, *_also(part), *part.traits())
    yield from GROUPS[group(type(part))].also
    for choice in choices(part):
        if choice.form and choice.holds(part):
            yield from (choice.title, *choice.form.also)


def _also(value: Spec) -> Iterator[str]:
    """The other names of a value, of the values in it and of its fields that are set."""
    yield from value.also
    for name, inner in value:
        if inner:
            yield from (word for mark in type(value).model_fields[name].metadata if isinstance(mark, Also) for word in mark.words)
        if isinstance(inner, Spec):
            yield from _also(inner)


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
        yield "borrowed cache, cross-layer KV sharing"
    yield f"{arch.norm.kind}norm"  # "layernorm", "rmsnorm"
    placed = {(step.residual or arch.residual).norm for step in steps} - {"none"}
    yield from sorted(f"{placement} norm" for placement in placed)
    for part in parts:
        if isinstance(part, Activated):
            yield part.activation
            yield f"squared {part.activation[:-1]}" if part.activation.endswith("2") else ""
    yield arch.position.kind.replace("_", " ")
    yield from _also(arch.head)
    if not isinstance(arch.residual, Residual):
        yield from (arch.residual.title, *_also(arch.residual))
    if arch.released:
        yield from (f"{arch.released:{form}}" for form in ("%Y", "%B %Y", "%b %Y"))
    if length := arch.meant_for:
        yield f"{tokens(length)} context{', million tokens' * (length >= 1e6)}"
        if length % 1_000 == 0:  # 128,000 is 125K, and also 128K
            yield f"{length / 1e6:g}M context" if length >= 1e6 else f"{length / 1e3:g}K context"
    yield arch.licence or ""
    yield "open license, open source, open weights" if arch.licence in OPEN else ""
    formats = {name.partition("_")[0] for name in arch.precision.values()}
    yield from sorted(formats | {re.sub("^(mx|nv)", "", name) for name in formats})  # nvfp4 is an fp4
    if any(FORMATS[name].matrices_only for name in arch.precision.values()):
        yield "quantised, quantisation"


def _numbers(arch: Architecture, parts: Collection[Part]) -> dict[str, frozenset[float]]:
    """The numbers of a model by noun: those in its parts and its residual, and its year."""
    found: dict[str, set[float]] = {"year": {arch.released.year}} if arch.released else {}
    for value in (*parts, arch.residual):
        for noun, number in numbers(value):
            found.setdefault(noun, set()).add(number)
    return {noun: frozenset(values) for noun, values in found.items()}


def _known(found: Iterable[tuple[int, str]], numbers: dict[str, frozenset[float]] | None = None, entry: Callable = lambda: None) -> Known:
    own: dict[str, int] = {}
    joined: dict[str, int] = {}
    phrases = []
    for weight, text in dict.fromkeys(found):
        said = words(text)
        for into, each in ((own, said), (joined, [a + b for a, b in pairwise(said)])):
            into.update({word: weight for word in each if into.get(word, 0) < weight})
        phrases += [(weight, said)] if said and weight > SENTENCE else []
    return Known(own, joined, tuple(phrases), "".join(f" {word}" for word in (*own, *joined)), numbers or {}, entry)


# ---- how a query is met ----


def _values(noun: str, model: Known) -> Iterator[float]:
    """The model's figures and numbers that a noun, or a unit that stands alone, may mean."""
    figures = [one for one in FIGURES.values() if noun in one.nouns or noun in one.units]
    if not figures:
        yield from model.numbers.get(noun, ())
    elif entry := model.entry():
        yield from (value for one in figures if (value := one.get(entry)) is not None)


def _holds(piece: Piece, model: Known) -> bool:
    if isinstance(piece, Amount):
        return any(map(piece.holds, _values(piece.noun, model)))
    if isinstance(piece, Fits):
        return (entry := model.entry()) is not None and piece.option in entry.options[FITS.name]
    return True


def _exceeds(piece: Piece, model: Known) -> bool:
    """Whether a model has more than a plain amount of what is enough: who asks for 1M context can also use 10M."""
    if not isinstance(piece, Amount) or not piece.plain or not any(one.endless and piece.noun in one.nouns for one in FIGURES.values()):
        return False
    return any(value > max(most for _, most in piece.ranges) for value in _values(piece.noun, model))


def _word(piece: Piece) -> str:
    """The word that a piece may be met by; empty if it is none."""
    return spelled(piece.word if isinstance(piece, Amount) else piece.said if isinstance(piece, Word) else "")


@lru_cache(maxsize=4_096)
def _forms(word: str) -> tuple[str, ...]:
    """A word, and its singular if it may be a plural."""
    return (word, word[:-1]) if len(word) > 3 and word.endswith("s") else (word,)


def _best(wanted: tuple[Word | Amount, ...], model: Known) -> float:
    """What the words of a query count together, 0 if one is nowhere. A pair may also be meant as one word, which then counts for both:
    "deep seek", "x.ai"."""
    before, now, last = 0.0, 1.0, ""  # the best of the words so far, and without the last; 1 above what they count, as 0 is nothing
    for piece in wanted:
        word = _word(piece)
        alone, both = _met(piece, model), _counts(last + word, model) if last else 0.0
        before, now = now, max(now + alone if now and alone else 0.0, before + 2 * both if before and both else 0.0)
        last = word
        if not before and not now:
            break
    return max(now - 1, 0.0)


def _counts(word: str, model: Known) -> float:
    """What a whole word counts for a model."""
    return max(max(WHOLE_WORD * model.words.get(form, 0), JOINED * model.joined.get(form, 0)) for form in _forms(word))


def _met(piece: Word | Amount, model: Known) -> float:
    """What a piece of the query counts for a model, as a word or the beginning of one, or as an amount. A size in a name that is not the
    model's own, such as the tokens that it has read, counts little."""
    word = _word(piece)
    best = _counts(word, model)
    if len(word) > 1 and f" {word}" in model.text:
        begun = (weight for each in (model.words, model.joined) for own, weight in each.items() if own.startswith(word))
        best = max(best, BEGINNING * max(begun))
    if isinstance(piece, Amount):
        right = _holds(piece, model)
        return max(best, WHOLE) if right else min(best, SENTENCE) if best and not _about(piece, model) else best
    return best


def _about(piece: Amount, model: Known) -> bool:
    """Whether a figure is as far from the amount as a name may round it: Gemma 7B has 8.5 billion parameters."""
    entry, amount = model.entry(), sum(piece.ranges[0]) / 2
    figures = (entry.parameters, entry.active) if entry and piece.noun in FIGURES["parameters"].units else ()
    return not figures or any(amount / 1.6 < value < amount * 1.6 for value in figures)


def _said(wanted: tuple[str, ...], phrase: tuple[str, ...]) -> float:
    """How much of a phrase the query says, 1 if they are the same: "deepseek v3" is DeepSeek-V3 before DeepSeek-V3.2."""
    if "".join(wanted) == "".join(phrase):
        return 1.0
    own = {*phrase, *(a + b for a, b in pairwise(phrase))}
    if not all(own.intersection(_forms(word)) for word in wanted):
        return 0.0
    return min(1.0, len("".join(wanted)) / len("".join(phrase)))
