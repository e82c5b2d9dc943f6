"""Which modules a list of names, globs and expressions means: thousands of entries, asked for many names.

Expressions are matched by RE2, in time that grows with a name's length alone, so that no expression can make a name slow.
"""

import fnmatch
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import re2

from ...spec import Unsupported

# What names begin with, alone and in wrappers: a list's entries and a checkpoint's tensors may spell them by any of these.
WRAPPED = (
    "model.", "backbone.", "model.language_model.", "language_model.model.", "language_model.backbone.", "language_model.",
    "language.model.", "language.", "llm.model.", "llm.", "thinker.model.", "thinker.",
)  # fmt: skip
_LONGEST_FIRST = sorted(WRAPPED, key=len, reverse=True)
_ABOVE = {begin[:at] for begin in WRAPPED for at in range(1, len(begin) + 1) if "." in begin[at - 1 : at + 1]}
_LONGEST = 1_000  # characters of an expression
_MOST = 512  # expressions in one list
_MEMORY = 64 << 20  # bytes that RE2 may take


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
        steps, ended = set(steps), {text for text in steps if "$" in text}
        self.begins = _expressions((*begin, *(f"(?:{text})$" for text in {*whole, *map(_with_one_end, ended)})))
        self.steps = _expressions(f"(?:{text})$" for text in steps - ended)
        wide = any(f"{entry}." in WRAPPED for entry in self.below | self.within)
        self.everything = wide or any(begin.startswith(entry) for entry in starts for begin in WRAPPED)
        self._under: dict[str, bool] = {"": False}

    def __contains__(self, name: str) -> bool:
        plain = _plain(name)
        if self.everything or plain in self.exact or plain in self.starts or self._is_under(plain):
            return True
        if plain[::-1] in self.ends:
            return True
        if self.longest > len(plain) and any(one[::-1] in self.ends for one in _spelled(name, plain)):
            return True
        return bool(self.begins and self.begins.search("\n".join(_spelled(name, plain))))

    def _is_under(self, name: str) -> bool:
        """Whether it, or what it is below, is one of `below`, ends with one of `within` or is matched by one of `steps`."""
        if not (self.below or self.within or self.steps):
            return False
        if name not in self._under:
            found, rest = name in self.below or name in self.within, name
            while self.within and not found and "." in rest:
                rest = rest.partition(".")[2]
                found = rest in self.within
            if self.steps and not found:  # all of it, or what it is below with the dot behind that
                above = name.rpartition(".")[0]
                dotted = [f"{one}." for one in _spelled(f"model.{above}", above)] if above else _ABOVE
                found = bool(self.steps.search("\n".join((*_spelled(f"model.{name}", name), *dotted))))
            self._under[name] = found or self._is_under(name.rpartition(".")[0])
        return self._under[name]


def _expressions(texts: Iterable[str]):
    """These as one expression of RE2 that matches the beginning of a line; None where there are none."""
    texts = list(dict.fromkeys(texts))
    options = re2.Options()
    options.log_errors, options.never_nl, options.max_mem = False, True, _MEMORY
    for text in texts:
        try:
            if len(text) > _LONGEST:
                raise re2.error(f"it has more than {_LONGEST:,} characters")
            re2.compile(text, options)
        except re2.error as error:
            why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
            raise Unsupported(f"{text[:60]!r} is not an expression that Strata reads ({why[:80]})") from None
    if len(texts) > _MOST:
        raise Unsupported(f"it has {len(texts):,} expressions, more than Strata reads; give at most {_MOST}")
    return re2.compile("(?m)^(?:" + "|".join(f"(?:{text})" for text in texts) + ")", options) if texts else None


def _with_one_end(text: str) -> str:
    """An expression whose $ is the end of all that it matches; Unsupported where some of it may end elsewhere."""
    outer, inner = re.sub(r"\\.", "", text), ""
    while outer != inner:
        outer, inner = re.sub(r"\([^()]*\)", "", outer), outer
    if text.count("$") > 1 or not outer.endswith("$") or "|" in outer:
        raise Unsupported(f"{text[:60]!r} is not an expression that Strata reads (it has a $ before its end)")
    return text


def _plain(entry: str) -> str:
    """An entry without what a name begins with, alone or in a wrapper."""
    return entry.removeprefix(beginning(entry))


def beginning(name: str) -> str:
    """The longest of `WRAPPED` that a name begins with, "" for none."""
    return next((begin for begin in _LONGEST_FIRST if name.startswith(begin)), "")


def _spelled(name: str, plain: str) -> Iterator[str]:
    """A name in every spelling; `plain` is it without its beginning, as multi-token-prediction modules are named. What has none,
    as the head, gets none but a wrapper's."""
    yield name
    yield plain
    for begin in WRAPPED if name != plain else WRAPPED[2:]:
        yield begin + plain


def globs(entries: Iterable[str]) -> dict[str, list[str]]:
    """Globs (fnmatch's rules) as what `Names` takes."""
    found: dict[str, list[str]] = {kind: [] for kind in ("exact", "starts", "ends", "begin", "whole")}
    for entry in entries:
        inner, open_end = entry.strip("*"), entry.endswith("*")
        if "[" in entry:
            text = fnmatch.translate(entry).removesuffix(r"\Z").replace("(?>", "(?:")  # the same, where yes or no is asked
            found["whole"].append(text.replace("(?!)", r"[^\x00-\x{10FFFF}]"))  # a set of no characters
        elif "*" in inner or "?" in inner or (entry.startswith("*") and open_end):
            text = ".*".join(re.escape(piece).replace(r"\?", ".") for piece in re.split(r"\*+", entry.rstrip("*")))
            found["begin" if open_end else "whole"].append(text)
        else:
            found["ends" if entry.startswith("*") else "starts" if open_end else "exact"].append(inner)
    return found


def is_expression(entry: str) -> bool:
    """Whether an entry has a character that means something else in an expression; a name's dots are left out of it."""
    return any(c in r"*+?[](){}|^$\\" for c in entry)


# What matches the name of one expert only where it matches those of all, read as a name, a glob or an expression: words, numbers
# of layers, .* and *, and a dot beside a letter, where no digit of an expert's number can stand.
_OF_ALL = re.compile(
    r"""(?:re:|-:)? (?:
        [A-Za-z_][\w-]*(?![\w-]) (?:(?<=layers)\\?\.(?:\d+|\\d\+)(?![\w-]))?
        | \\\. | \.?(?<!\))\* | (?<=\w)\. | \.(?=[A-Za-z_](?!\*)) | \((?:\?:)? | [)|^$]
    )*""",
    re.ASCII | re.VERBOSE,
)


def tells_experts(entry: str) -> bool:
    """Whether an entry of a list may mean some of a layer's experts and not others; where it cannot, one expert answers for all."""
    return not _OF_ALL.fullmatch(entry)


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
