"""Which modules a list of names, globs and expressions means: thousands of entries, asked for many names.

Expressions are read as one automaton (Glushkov, 1961), each of whose states is a set of places in them. It takes a name
character by character, so that no expression can make a name slow, whatever it repeats.
"""

import fnmatch
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from re import _constants as sre
from re import _parser

from ..spec import Unsupported

# What names begin with, alone and in wrappers: an entry may spell them by any of these.
WRAPPED = (
    "model.", "model.language_model.", "language_model.model.", "language_model.", "language.model.", "llm.model.", "thinker.model.",
)  # fmt: skip
_BEGIN, _END = "\2", "\3"  # stand around a name; none has them
_LONGEST = 1_000  # characters of an expression
_WORK = 700_000  # steps in making states
_REPEATS = 100


class Names:
    """Names of modules; `name in names` asks for one, `model.layers.0.mlp.up_proj`, however the entries spell its beginning.

    It is one of `exact`; it is, or is below, one of `below`; one of `within` is so many of its steps, one after another; it
    begins or ends with the letters of one of `starts` and `ends`; or an expression matches its beginning (`begin`), all of it
    (`whole`), or its beginning up to the end of a step (`steps`). Raises Unsupported for expressions that cannot be read.
    """

    def __init__(
        self, *, exact: Iterable[str] = (), below: Iterable[str] = (), within: Iterable[str] = (), starts: Iterable[str] = (),
        ends: Iterable[str] = (), begin: Iterable[str] = (), whole: Iterable[str] = (), steps: Iterable[str] = (),
    ):  # fmt: skip
        self.exact, self.below, self.within = ({_plain(entry) for entry in given} for given in (exact, below, within))
        starts, ends = set(starts), set(ends)
        self.starts, self.ends = _Starts(map(_plain, starts)), _Starts(end[::-1] for end in ends)
        self.longest = max(map(len, ends), default=0)
        self.expressions = _Expressions()
        for kind, given in (("begin", begin), ("whole", whole), ("steps", steps)):
            for text in dict.fromkeys(given):
                self.expressions.add(text, kind)
        wide = any(f"{entry}." in WRAPPED for entry in self.below | self.within)
        self.everything = wide or any(begin.startswith(entry) for entry in starts for begin in WRAPPED)
        self._under: dict[str, bool] = {"": False}
        self._states: dict[str, set[int]] = {}

    def __contains__(self, name: str) -> bool:
        plain = name.removeprefix("model.")
        if self.everything or plain in self.exact or plain in self.starts or self._is_under(plain):
            return True
        if plain[::-1] in self.ends:
            return True
        if self.longest > len(plain) and any(one[::-1] in self.ends for one in _spelled(name, plain)):
            return True
        return bool(self.expressions) and self._is_expressed(name)

    def _is_under(self, name: str) -> bool:
        """Whether it, or what it is below, is one of `below` or ends with one of `within`."""
        if not self.below and not self.within:
            return False
        if name not in self._under:
            found, rest = name in self.below or name in self.within, name
            while self.within and not found and "." in rest:
                rest = rest.partition(".")[2]
                found = rest in self.within
            self._under[name] = found or self._is_under(name.rpartition(".")[0])
        return self._under[name]

    def _is_expressed(self, name: str) -> bool:
        parent, dot, leaf = name.rpartition(".")
        begun = parent + dot
        if begun not in self._states:
            spelled = _spelled(begun, begun.removeprefix("model."))
            self._states[begun] = {self.expressions.begun(one) for one in spelled}
        return any(self.expressions.ends_well(state, leaf) for state in self._states[begun])


def _plain(entry: str) -> str:
    """An entry without what a name begins with, alone or in a wrapper."""
    return entry.removeprefix(max((begin for begin in WRAPPED if entry.startswith(begin)), key=len, default=""))


def _spelled(name: str, plain: str) -> Iterator[str]:
    """A name in every spelling; `plain` is it without its beginning, as modules that predict ahead are named."""
    yield name
    for begin in ("", *WRAPPED[1:]):
        yield begin + plain


def globs(entries: Iterable[str]) -> dict[str, list[str]]:
    """Globs (fnmatch's rules) as what `Names` takes."""
    found: dict[str, list[str]] = {kind: [] for kind in ("exact", "starts", "ends", "begin", "whole")}
    for entry in entries:
        inner, open_end = entry.strip("*"), entry.endswith("*")
        if "[" in entry:
            found["whole"].append(fnmatch.translate(entry).replace("(?>", "(?:"))  # the same, where yes or no is asked
        elif "*" in inner or "?" in inner or (entry.startswith("*") and open_end):
            text = ".*".join(re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", entry.rstrip("*")))
            found["begin" if open_end else "whole"].append(text)
        else:
            found["ends" if entry.startswith("*") else "starts" if open_end else "exact"].append(inner)
    return found


def is_expression(entry: str) -> bool:
    """Whether an entry has a character that means something else in an expression; a name's dots are left out of it."""
    return any(c in r"*+?[](){}|^$\\" for c in entry)


class _Starts:
    """Whether a text begins with one of many."""

    def __init__(self, words: Iterable[str]):
        self.words: list[str] = []  # in order, none the beginning of another
        for word in sorted(words):
            if not (self.words and word.startswith(self.words[-1])):
                self.words.append(word)

    def __contains__(self, text: str) -> bool:
        at = bisect_right(self.words, text)  # the one that it begins with stands right before it
        return at > 0 and text.startswith(self.words[at - 1])


_DEAD, _FOUND = 0, 1  # states that no further character changes
# Of a piece of an expression: whether it may match nothing, the places it begins with, and those it ends with.
_Node = tuple[bool, frozenset[int], frozenset[int]]
_NOTHING: _Node = (True, frozenset(), frozenset())


class _Expressions:
    """Expressions side by side as one automaton. A place is where one character of one of them is taken; a state is a set of
    places, by its number."""

    def __init__(self):
        self.takes: list[str | Callable[[str], bool]] = []  # a place's one character, or whether it takes a character
        self.follow: list[set[int]] = []  # the places that may come after each
        self.last: set[int] = set()  # places that end an expression
        self.dotted: set[int] = set()  # those that end one where they take a dot
        self.work = self.marks = self.own_marks = 0
        begin = self._star(self._place(_BEGIN))  # an expression that says no ^ begins behind it
        self.anything = self._then(begin, self._star(self._place(lambda c: True)))  # one for all that begin so
        self.begin, self.first = begin, set(self.anything[1])
        self.states: list[frozenset[int]] = [frozenset(), frozenset()]
        self.numbers: dict[frozenset[int], int] = {frozenset(): _DEAD}
        self.after: dict[int, set[int]] = {}
        self.known: dict[tuple[int, str], int] = {}  # the state after a state and a text
        self.beginnings: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self.last)

    def add(self, text: str, kind: str) -> None:
        """An expression in Python's syntax that matches a name's beginning, `whole` of it, or its beginning in `steps`."""
        try:
            if len(text) > _LONGEST:
                raise ValueError(f"it has more than {_LONGEST:,} characters")
            tree = _parser.parse(text)
            if tree.state.flags & ~(re.UNICODE | re.DOTALL):
                raise ValueError("it has flags")
            tree, self.own_marks = list(tree), 0
            shared = bool(tree) and _is_anything(*tree[0])
            own = self._all(tree[shared:])
            node = self._then(self.anything if shared else self.begin, own)
            if kind != "begin":
                node = self._then(node, self._place(lambda c: c == _END or (kind == "steps" and c == ".")))
            if kind == "steps":
                self.dotted |= own[2]
            if node[0] or node[2] & self.anything[2]:  # it matches no letters at all, and so every name
                node = self._then(self.begin, self._place(_BEGIN))
        except (ValueError, re.error, OverflowError, RecursionError) as error:
            raise Unsupported(f"{text[:60]!r} is not an expression that Strata reads ({str(error)[:80]})") from None
        self.first |= node[1]
        self.last |= node[2]

    def ends_well(self, state: int, leaf: str) -> bool:
        """Whether a name that ends so after this state is one of those."""
        return self._walked(state, leaf + _END * (self.marks + 1)) == _FOUND

    def begun(self, text: str) -> int:
        """The state after a beginning that ends at a dot, or after nothing."""
        if text not in self.beginnings:
            if text:
                parent, dot, step = text[:-1].rpartition(".")
                self.beginnings[text] = self._walked(self.begun(parent + dot), step + ".")
            else:
                self.beginnings[text] = self._walked(self._state(self.first, _BEGIN), _BEGIN * self.marks)
        return self.beginnings[text]

    def _walked(self, state: int, text: str) -> int:
        """The state after a text, which is a step of many names."""
        known = self.known.get((state, text))
        if known is None:
            known = state
            for c in text:
                if known <= _FOUND:
                    break
                if (known, c) not in self.known:
                    if known not in self.after:
                        self.after[known] = set().union(*(self.follow[place] for place in self.states[known]))
                    self.known[known, c] = self._state(self.after[known], c)
                known = self.known[known, c]
            self.known[state, text] = known
        return known

    def _state(self, places: set[int], c: str) -> int:
        """The state in which those of these places are that take a character."""
        self._count(len(places))
        takes = self.takes
        here = frozenset(p for p in places if (takes[p] == c if isinstance(takes[p], str) else takes[p](c)))
        if here & self.last or (c == "." and here & self.dotted):
            return _FOUND
        if here not in self.numbers:
            self.numbers[here] = len(self.states)
            self.states.append(here)
        return self.numbers[here]

    def _count(self, work: int) -> None:
        self.work += work + 1
        if self.work > _WORK:
            raise Unsupported("it has more expressions than Strata reads")

    # ---- an expression's places ----

    def _place(self, takes: str | Callable[[str], bool]) -> _Node:
        at = len(self.follow)
        self.takes.append(takes)
        self.follow.append(set())
        return False, frozenset([at]), frozenset([at])

    def _then(self, a: _Node, b: _Node) -> _Node:
        self._join(a[2], b[1])
        return a[0] and b[0], a[1] | b[1] if a[0] else a[1], a[2] | b[2] if b[0] else b[2]

    def _star(self, a: _Node) -> _Node:
        self._join(a[2], a[1])
        return True, a[1], a[2]

    def _join(self, ends: frozenset[int], begins: frozenset[int]) -> None:
        self._count(8 + len(ends) * len(begins))
        for place in ends:
            self.follow[place] |= begins

    def _all(self, tree: Iterable) -> _Node:
        node = _NOTHING
        for op, value in tree:
            node = self._then(node, self._one(op, value))
        return node

    def _one(self, op, value) -> _Node:
        match op:
            case sre.AT if value in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING, sre.AT_END, sre.AT_END_STRING):
                self.own_marks += 1
                self.marks = max(self.marks, self.own_marks)
                if self.marks > _REPEATS:
                    raise ValueError(f"at most {_REPEATS} beginnings and ends")
                return self._place(_BEGIN if value in (sre.AT_BEGINNING, sre.AT_BEGINNING_STRING) else _END)
            case sre.LITERAL:
                return self._place(chr(value))
            case sre.NOT_LITERAL | sre.ANY | sre.IN:
                takes = _character(op, value)
                return self._place(lambda c: c not in (_BEGIN, _END) and takes(c))
            case sre.SUBPATTERN if not (value[1] | value[2]) & ~re.DOTALL:
                return self._all(value[3])
            case sre.BRANCH:
                branches = [self._all(branch) for branch in value[1]]
                return any(b[0] for b in branches), *(frozenset().union(*(b[n] for b in branches)) for n in (1, 2))
            case sre.MAX_REPEAT | sre.MIN_REPEAT:
                return self._repeat(*value)
            case sre.ASSERT_NOT if not value[1]:  # a set of no characters
                return False, frozenset(), frozenset()
        raise ValueError(f"{str(op).lower().replace('_', ' ')} is not read")

    def _repeat(self, least: int, most: int, tree: Iterable) -> _Node:
        endless = most == sre.MAXREPEAT
        if max(least, 0 if endless else most) > _REPEATS:
            raise ValueError(f"at most {_REPEATS} repeats")
        node = _NOTHING
        for _ in range(least):
            node = self._then(node, self._all(tree))
        if endless:
            return self._then(node, self._star(self._all(tree)))
        for _ in range(most - least):
            _, first, last = self._all(tree)
            node = self._then(node, (True, first, last))
        return node


def _is_anything(op, value) -> bool:
    return (
        op in (sre.MAX_REPEAT, sre.MIN_REPEAT)
        and value[:2] == (0, sre.MAXREPEAT)
        and list(value[2]) == [(sre.ANY, None)]
    )


_CATEGORIES = {
    sre.CATEGORY_DIGIT: str.isdecimal, sre.CATEGORY_SPACE: str.isspace, sre.CATEGORY_WORD: lambda c: c.isalnum() or c == "_",
    sre.CATEGORY_NOT_DIGIT: lambda c: not c.isdecimal(), sre.CATEGORY_NOT_SPACE: lambda c: not c.isspace(),
    sre.CATEGORY_NOT_WORD: lambda c: not (c.isalnum() or c == "_"),
}  # fmt: skip


def _character(op, value) -> Callable[[str], bool]:
    """Which characters one step of an expression takes."""
    match op:
        case sre.LITERAL:
            return lambda c: ord(c) == value
        case sre.NOT_LITERAL:
            return lambda c: ord(c) != value
        case sre.ANY:
            return lambda c: True
        case sre.RANGE:
            return lambda c: value[0] <= ord(c) <= value[1]
        case sre.CATEGORY if value in _CATEGORIES:
            return _CATEGORIES[value]
        case sre.IN:
            negated = value[0][0] is sre.NEGATE
            items = [_character(*item) for item in value[negated:]]
            return lambda c: any(takes(c) for takes in items) != negated
    raise ValueError(f"{str(op).lower()} is not read")
