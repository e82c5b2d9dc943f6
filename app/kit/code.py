"""The PyTorch that an architecture runs, of one part or of the whole model, with the lines that the edits changed marked."""

import ast
import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from difflib import SequenceMatcher
from html import escape

import streamlit as st

import core
from core.code.boxes import boxes
from core.kept import kept

from .. import state as page
from ..facts import code_file, graph
from .component import copy_button
from .page import lead

MARK = re.compile(r"([_^])(\([^()]*\)|\w+?(?=[_^⊤]|\b))")
READS = "•"  # marks a line that reads a changed constant
EQUATION = "#: "  # begins a line of the code with an equation
KINDS = {tokenize.STRING: "s", tokenize.NUMBER: "n", tokenize.COMMENT: "c"}


def show_code(state: page.State, part: str | None = None) -> None:
    """The code of a part, or of the whole model; it can be copied and downloaded."""
    try:
        text = core.code(state.arch, part)
    except core.Unsupported as problem:
        lead(str(problem))
        return
    was = before(state, part) if state.arch != state.base else text
    marks, gone = changed(text, was)
    many = text.count("\n")
    said = f"{many:,} lines, with this model's values put in and branches that cannot run left out."
    if state.arch != state.base:
        removed = f" and removed {gone:,} others" if gone else ""
        reads = sum(sign == READS for sign in marks.values())
        also = f"; {reads:,} more ({READS}) read a constant that changed" if reads else ""
        said += f" Your edits changed {len(marks) - reads:,} of them{removed}{also}." if was else " All are new."
    lead(said)
    lit = boxes_of(state.arch, part, text)
    st.html(equations(text, lit) + page_of(text, tuple(marks.items()), tuple(lit.items())))
    with st.container(horizontal=True):
        copy_button(text, f"copy:{part}", "Copy the code")
        st.download_button(
            "model.py", lambda: code_file(state.arch), "model.py", icon=":material/download:", key=f"get:code:{part}", on_click="ignore",
            help="The whole model as one file that needs torch alone",
        )  # fmt: skip


def before(state: page.State, part: str | None) -> str:
    """The same code at the start; empty if there was none, as for a part that became another one."""
    try:
        return core.code(state.base, part)
    except core.Unsupported:
        return ""


def changed(text: str, was: str) -> tuple[dict[int, str], int]:
    """The lines that are new (+), other than before (~) or read a constant that is other than before (•), counted from 0, and how many
    lines of before have none in their place."""
    now, old = text.splitlines(), was.splitlines()
    pieces = [piece for piece in SequenceMatcher(None, old, now, autojunk=False).get_opcodes() if piece[0] != "equal"]
    signs = {"insert": "+", "replace": "~"}
    marks = {line: signs[what] for what, _, _, start, stop in pieces if what in signs for line in range(start, stop) if now[line].strip()}
    gone = sum(max(0, len([line for line in old[a:b] if line.strip()]) - (d - c)) for _, a, b, c, d in pieces)
    tree, before = ast.parse(text), constants(ast.parse(was))
    moved: set[str] = set()
    for key, value in constants(tree).items():  # those that follow from others come after them
        if key in before and (ast.dump(value) != ast.dump(before[key]) or names(value) & moved):
            moved.add(key)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in moved:
            marks.setdefault(node.lineno - 1, READS)
    return marks, gone


def constants(tree: ast.Module) -> dict[str, ast.expr]:
    return {node.targets[0].id: node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)}


def names(tree: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def boxes_of(arch: core.Architecture, part: str | None, text: str) -> dict[int, str]:
    """The boxes in the picture that a line of the code of a part, or of the whole model, lights, by line."""
    g = graph(arch)
    nodes: dict[str, list[str]] = {}
    above = [f"{data['path']}." for _, data in g.nodes(data=True) if data.get("part") == part] if part else [""]
    for node, data in g.nodes(data=True):
        for one in above:
            if data["path"].startswith(one):
                nodes.setdefault(data["path"][len(one) :], []).append(node)
    layers = frozenset() if part else frozenset(node for node, data in g.nodes(data=True) if data["kind"] == "block")
    found = {line: [node for path in paths for node in nodes.get(path, ())] for line, paths in boxes(text, layers).items()}
    return {line: " ".join(some) for line, some in found.items() if some}


def equations(text: str, lit: dict[int, str]) -> str:
    """The paper's equations in the code, each once, as a list whose rows lead to their lines; it is folded on a phone."""
    first: dict[str, int] = {}
    for n, line in enumerate(text.splitlines()):
        if line.lstrip().startswith(EQUATION):
            first.setdefault(line.lstrip().removeprefix(EQUATION), n + 1)
    rows = (
        f'<div class="row" data-line="{n}" data-box="{escape(lit.get(n, ""))}"><i>{n + 1}</i><b></b><span>{equation(words)}</span></div>'
        for words, n in first.items()
    )
    listed = f'<div class="code equations" tabindex="0" role="region" aria-label="Equations">{"".join(rows)}</div>'
    return f'<details class="equations"><summary>{len(first)} equation{"s" * (len(first) > 1)}</summary>{listed}</details>' if first else ""


@kept(8_000_000)
def page_of(text: str, marks: tuple[tuple[int, str], ...], lit: tuple[tuple[int, str], ...] = ()) -> str:
    """The code as HTML: a row for each line, with its number, its mark, its words in colours and the boxes that it lights."""
    signs, lights, rows = dict(marks), dict(lit), []
    for n, (plain, line) in enumerate(zip(text.splitlines(), coloured(text))):
        box = lights.get(n + plain.lstrip().startswith(EQUATION), "")  # an equation belongs to the line below it
        said = f' data-box="{escape(box)}"' if box else ""
        said += " data-made" if said and plain.lstrip().startswith("self.") else ""  # in __init__
        number = f"<i>{n + 1}</i><b>{signs.get(n, '')}</b>"
        rows.append(f'<div class="row{" new" if signs.get(n, READS) != READS else ""}"{said}>{number}<span>{line or " "}</span></div>')
    return f'<div class="code" tabindex="0" role="region" aria-label="Code">{"".join(rows)}</div>'


def equation(words: str) -> str:
    """An equation as the paper writes it: `q^C_t` with its marks above and below."""

    def mark(found: re.Match) -> str:
        tag, inner = ("sub", "sup")[found[1] == "^"], found[2].strip("()")
        return f"<{tag}>{inner}</{tag}>"

    return f"<em>{re.sub(MARK, mark, escape(words)).replace('⊤', '<sup>⊤</sup>')}</em>"


def coloured(text: str) -> Iterator[str]:
    """Each line of Python as HTML."""
    lines = text.splitlines()
    spans: dict[int, list[tuple[int, int, str]]] = {}
    last = ""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        kind = KINDS.get(token.type, "")
        if token.type == tokenize.NAME:
            kind = "k" if keyword.iskeyword(token.string) else "d" if last in ("def", "class") else ""
            last = token.string
        if kind:
            (first, begin), (final, end) = token.start, token.end
            for row in range(first, final + 1):
                stop = end if row == final else len(lines[row - 1])
                spans.setdefault(row - 1, []).append((begin if row == first else 0, stop, kind))
    for number, line in enumerate(lines):
        pieces, at = [], 0
        for start, stop, kind in spans.get(number, ()):
            pieces += [escape(line[at:start]), f'<span class="{kind}">{escape(line[start:stop])}</span>']
            at = stop
        if line.lstrip().startswith(EQUATION):
            yield line[: line.index("#")] + equation(line.lstrip().removeprefix(EQUATION))
        else:
            yield "".join(pieces) + escape(line[at:])
