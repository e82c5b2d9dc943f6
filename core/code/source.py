"""The syntax trees of Strata's own functions, with their comments, and how a tree becomes text again."""

import ast
import io
import tokenize
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import FunctionType

WIDTH = 110  # of a line; a comment may go beyond
DOC_WIDTH = 96
TAGS = ("# fmt:", "# type:", "# noqa")  # comments to tools

Function = ast.FunctionDef | ast.Lambda


def tree(function: FunctionType) -> Function:
    """The syntax tree of a function of this project; a statement's `note` is the comment at its end, `above` those before it."""
    return _functions(function.__code__.co_filename)[function.__code__.co_name, function.__code__.co_firstlineno]


def docstring(cls: type) -> str:
    """The docstring of a class itself; empty if it has none."""
    return cls.__dict__.get("__doc__") or ""


@lru_cache(maxsize=256)
def _functions(path: str) -> dict[tuple[str, int], Function]:
    text = Path(path).read_text(encoding="utf-8")
    module = ast.parse(text)
    notes, alone = _comments(text)
    found: dict[tuple[str, int], Function] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Lambda):
            found["<lambda>", node.lineno] = node
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", None)
        last = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        if isinstance(node, ast.If) and body and body[0].lineno == node.lineno:
            last = node.lineno
        node.note = next((notes[n] for n in range(node.lineno, last + 1) if n in notes), "")  # type: ignore[attr-defined]
        node.above = []  # type: ignore[attr-defined]
        line = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]) - 1
        while line in alone:
            node.above.insert(0, alone[line])  # type: ignore[attr-defined]
            line -= 1
        if isinstance(node, ast.FunctionDef):
            found[node.name, min([node.lineno, *(d.lineno for d in node.decorator_list)])] = node
    return found


def _comments(text: str) -> tuple[dict[int, str], dict[int, str]]:
    """Comments at the end of a line, and those on a line of their own, by line."""
    notes: dict[int, str] = {}
    alone: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(TAGS):
            (alone if not token.line[: token.start[1]].strip() else notes)[token.start[0]] = token.string
    return notes, alone


def arguments(function: Function) -> ast.arguments:
    return function.args


# From a tree to text. `ast.unparse` writes a name as it is, so a string in double quotes is a name to it.


class _Quoted(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, str) and '"' not in node.value and "\\" not in repr(node.value):
            return ast.Name(f'"{node.value}"')
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if len(node.args) == 1 and not node.keywords and isinstance(node.args[0], ast.GeneratorExp):
            node.args = [ast.Name(ast.unparse(node.args[0])[1:-1])]  # without brackets of its own
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        simple = (ast.Name, ast.Constant, ast.Attribute, ast.Subscript)
        negative = isinstance(node.right, ast.UnaryOp) and isinstance(node.right.operand, ast.Constant)
        if isinstance(node.op, ast.Pow) and isinstance(node.left, simple) and (negative or isinstance(node.right, simple)):
            return ast.Name(f"{ast.unparse(node.left)}**{ast.unparse(node.right)}")
        if isinstance(node.op, ast.Pow) and negative:
            return ast.Name(f"({ast.unparse(node.left)}) ** {ast.unparse(node.right)}")
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.expr:
        return node


def expression(node: ast.AST) -> str:
    if isinstance(node, ast.Assign):
        return _simple(node)
    return ast.unparse(_Quoted().visit(copied(node)))


def walk(node: ast.AST | list) -> Iterator[ast.AST]:
    """All nodes of a tree, in any order; `ast.walk` takes several times as long."""
    left = list(node) if isinstance(node, list) else [node]
    while left:
        one = left.pop()
        yield one
        for value in one.__dict__.values():
            if isinstance(value, ast.AST):
                left.append(value)
            elif isinstance(value, list):
                left += [item for item in value if isinstance(item, ast.AST)]


def copied(node):
    """A copy of a tree; `copy.deepcopy` takes ten times as long."""
    if isinstance(node, list):
        return [copied(one) for one in node]
    if not isinstance(node, ast.AST):
        return node
    new = node.__class__.__new__(node.__class__)
    new.__dict__.update({key: copied(value) if isinstance(value, ast.AST | list) else value for key, value in node.__dict__.items()})
    return new


def lines(body: list[ast.stmt], indent: int = 0) -> Iterator[str]:
    """The lines of statements, with their comments."""
    pad = "    " * indent
    for node in body:
        for comment in getattr(node, "above", ()):
            yield pad + comment
        note = f"  {found}" if (found := getattr(node, "note", "")) else ""
        match node:
            case ast.FunctionDef():
                for decorator in node.decorator_list:
                    yield f"{pad}@{expression(decorator)}"
                yield f"{pad}def {node.name}({expression(node.args)}):{note}"
                yield from lines(node.body, indent + 1)
            case ast.ClassDef():
                yield f"{pad}class {node.name}({', '.join(map(expression, node.bases))}):"
                for index, one in enumerate(node.body):
                    if index and (isinstance(one, ast.FunctionDef) or getattr(node.body[index - 1], "doc", False)):
                        yield ""
                    yield from lines([one], indent + 1)
            case ast.If():
                yield from _branches(node, indent, note)
            case ast.For():
                yield from _wrapped(f"{pad}for {_bare(node.target)} in {expression(node.iter)}:", pad, note)
                yield from lines(node.body, indent + 1)
            case ast.While():
                yield f"{pad}while {expression(node.test)}:{note}"
                yield from lines(node.body, indent + 1)
            case ast.With():
                yield f"{pad}with {', '.join(map(expression, node.items))}:{note}"
                yield from lines(node.body, indent + 1)
            case ast.Try():
                yield f"{pad}try:"
                yield from lines(node.body, indent + 1)
                if node.finalbody:
                    yield f"{pad}finally:"
                    yield from lines(node.finalbody, indent + 1)
            case ast.Expr(value=ast.Constant(value=str() as text)) if getattr(node, "doc", False):
                yield from _doc(text, pad)
            case _:
                yield from _wrapped(pad + _simple(node), pad, note)


def _simple(node: ast.stmt) -> str:
    match node:
        case ast.Assign():
            return " = ".join([*map(_bare, node.targets), _bare(node.value)])
        case ast.Return(value=ast.expr() as value):
            return f"return {_bare(value)}"
    return expression(node)


def _bare(node: ast.expr) -> str:
    """A tuple without its parentheses."""
    if isinstance(node, ast.Tuple) and len(node.elts) > 1:
        return ", ".join(map(expression, node.elts))
    return expression(node)


def _branches(node: ast.If, indent: int, note: str, word: str = "if") -> Iterator[str]:
    pad = "    " * indent
    yield f"{pad}{word} {expression(node.test)}:{note}"
    yield from lines(node.body, indent + 1)
    if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        yield from _branches(node.orelse[0], indent, "", "elif")
    elif node.orelse:
        yield f"{pad}else:"
        yield from lines(node.orelse, indent + 1)


def _doc(text: str, pad: str) -> Iterator[str]:
    """A docstring. In a paragraph of items, which begin with "- ", and in one of code, four spaces in, lines stay lines."""
    text = text.strip()
    if '"""' in text or text.endswith(('"', "\\")):  # a title may hold what would end the docstring, and begin code
        text = text.replace('"', "'").rstrip("\\")
    mark = 'r"""' if "\\" in text else '"""'
    first, *others = text.split("\n\n")
    words = mark + " ".join(first.split())
    if not others and len(pad) + len(words) + 3 <= DOC_WIDTH:
        yield f'{pad}{words}"""'
        return
    found = _filled_lines(words, pad)
    for other in others:
        found.append("")
        for line in other.split("\n"):
            found += [pad + line] if line.startswith("    ") else _filled_lines(line, pad, "  " * line.startswith("- "))
    yield from found[:-1]
    yield from [found[-1], f'{pad}"""'] if others else [f'{found[-1]}"""']


def _filled_lines(words: str, pad: str, hanging: str = "") -> list[str]:
    import textwrap

    width = DOC_WIDTH - len(pad) - 3
    return [pad + line for line in textwrap.wrap(words, width, subsequent_indent=hanging, break_long_words=False, break_on_hyphens=False)]


def _wrapped(line: str, pad: str, note: str) -> Iterator[str]:
    """A line, or several if it is too long: broken at the commas of its widest outer bracket."""
    if len(line) <= WIDTH:
        yield line + note
        return
    start, stop = _outer(line)
    if not start:
        yield line + note
        return
    inner = pad + "    "
    yield line[:start] + note
    for piece in _filled(_pieces(line[start:stop]), WIDTH - len(inner)):
        yield from _wrapped(inner + piece, inner, "")
    yield pad + line[stop:]


def _outer(line: str) -> tuple[int, int]:
    """The longest stretch inside a pair of outermost brackets."""
    best, depth, begin, quote = (0, 0), 0, 0, ""
    for place, sign in enumerate(line):
        if quote:
            quote = "" if sign == quote and line[place - 1] != "\\" else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([{":
            depth += 1
            begin = place + 1 if depth == 1 else begin
        elif sign in ")]}":
            depth -= 1
            if depth == 0 and place - begin > best[1] - best[0]:
                best = begin, place
    return best


def _filled(pieces: list[str], width: int) -> list[str]:
    """Many short pieces, such as the rows of a table, side by side."""
    if len(pieces) < 9:
        return pieces
    found = [pieces[0]]
    for piece in pieces[1:]:
        if len(found[-1]) + 1 + len(piece) <= width:
            found[-1] += f" {piece}"
        else:
            found.append(piece)
    return found


def _pieces(text: str) -> list[str]:
    """The text cut after its outer commas, or before the loops of a generator."""
    found, depth, begin, quote = [], 0, 0, ""
    loops = _loops(text)
    if loops:
        return [text[a:b].strip() for a, b in zip([0, *loops], [*loops, len(text)])]
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and depth == 0:
            found.append(text[begin : place + 1].strip())
            begin = place + 1
    if text[begin:].strip():
        found.append(text[begin:].strip() + ("," if found else ""))
    return found


def _loops(text: str) -> list[int]:
    """Where the loops of a generator without brackets of its own begin."""
    found, depth, quote = [], 0, ""
    for place, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        depth += (sign in "([{") - (sign in ")]}")
        if not quote and depth == 0 and text.startswith(" for ", place):
            found.append(place)
    return found


def code_lines(body: list[ast.stmt]) -> str:
    return "\n".join(lines(body))


Made = Callable[[], ast.expr]
