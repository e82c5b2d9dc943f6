"""A picture as a file that looks the same everywhere: explicit colours, texts as outlines of the app's font.

CairoSVG, resvg and Inkscape do not support custom properties or fonts from a style sheet, so a file uses neither.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from functools import cache, lru_cache
from io import BytesIO
from unicodedata import category

import uharfbuzz as hb
from fontTools.ttLib import TTFont

from ..kit.theme import ASSETS, palette
from .pen import CLASSES, MARKS, TEXT, text_width

FONT = ASSETS / "inter.woff2"
SVG, XLINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
ET.register_namespace("", SVG[1:-1])
ET.register_namespace("xlink", XLINK[1:-1])
FALLBACK = "sans-serif, Noto Sans, DejaVu Sans, Liberation Sans, Arial"  # resvg finds fonts only by their exact names
PAINT = """
import sys, resvg_py
svg, width = sys.stdin.buffer.read().decode(), int(sys.argv[1])
sys.stdout.buffer.write(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=width, skip_system_fonts=True)))
"""
# Attributes for clicks, keys and the style sheet.
INTERACTIVE = ("class", "style", "data-node", "data-of", "data-layer", "data-zoom", "data-repeat", "data-inner", "tabindex", "role")


def standalone(svg: str, dark: bool = False, boxes: bool = False) -> str:
    """A pen's drawing as a file: each element's style as attributes, on the palette's page colour.

    Characters that the app's font lacks stay text, in a font of the viewer; with `boxes` each becomes a box, which needs no font.
    """
    root = ET.fromstring(svg)
    for sheet in root.findall(f"{SVG}style"):
        root.remove(sheet)
    for parent in list(root.iter()):
        for sign in parent.findall(f"{SVG}g[@data-open]"):
            parent.remove(sign)
    outlines: dict[str, str] = {}
    for parent in list(root.iter()):
        for i, element in enumerate(parent):
            style = _style(element, dark)
            if element.tag == f"{SVG}text":
                parent[i] = _outlined(element, style, outlines, boxes)
            else:
                for name in INTERACTIVE:
                    element.attrib.pop(name, None)
                element.attrib.update(style)
    glyphs = ET.Element(f"{SVG}defs")
    glyphs.extend(ET.Element(f"{SVG}path", {"id": name, "d": path}) for name, path in outlines.items())
    page = {"width": root.get("width", ""), "height": root.get("height", ""), "fill": palette(dark)["page"]}
    root[:0] = [glyphs, ET.Element(f"{SVG}rect", page)]
    del root.attrib["class"]
    root.set("role", "img")
    return ET.tostring(root, encoding="unicode")


def pdf(svg: str, title: str) -> bytes:
    """A standalone picture without texts as a PDF of one page of its size."""
    from fpdf import FPDF  # slow to load
    from fpdf.svg import SVGObject

    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for tip in parent.findall(f"{SVG}title"):
            parent.remove(tip)
    drawing = SVGObject(ET.tostring(root, encoding="unicode"))
    page = FPDF(unit="pt", format=(float(root.get("width", 0)), float(root.get("height", 0))))
    page.set_title(title)
    page.set_margin(0)
    page.add_page()
    drawing.draw_to_page(page)
    return bytes(page.output())


def png(svg: str, width: int) -> bytes:
    """A standalone picture as a PNG of this width in pixels. In a process of its own: resvg lets no other thread run for 0.1 s."""
    return subprocess.run([sys.executable, "-c", PAINT, str(width)], input=svg.encode(), stdout=subprocess.PIPE, check=True).stdout


def _style(element: ET.Element, dark: bool) -> dict[str, str]:
    """The style of an element from its tag, its classes and its own style, by property."""
    said = [TEXT] if element.tag == f"{SVG}text" else []
    said += [CLASSES[name] for name in element.get("class", "").split() if name in CLASSES]
    return dict(_declarations(";".join([*said, element.get("style", "")]), dark))


@lru_cache(maxsize=1024)
def _declarations(css: str, dark: bool) -> tuple[tuple[str, str], ...]:
    css = re.sub(r"var\(--([\w-]+)\)", lambda found: palette(dark)[found[1]], css)
    return tuple((name, value) for name, _, value in (line.partition(":") for line in css.split(";")) if name)


# ---- words ----


def _outlined(text: ET.Element, style: dict[str, str], outlines: dict[str, str], boxes: bool) -> ET.Element:
    """A text as outlines; each outline is stored once in `outlines`."""
    words = re.sub("[ \t\r\n]+", " ", text.text or "").strip(" ")
    size, weight = float(style.pop("font-size", "16px")[:-2]), int(style.pop("font-weight", "400"))
    anchor, _ = style.pop("text-anchor", "start"), style.pop("font-family")
    group = ET.Element(f"{SVG}g", {"role": "img", "aria-label": words, **style})
    at, scale = 0.0, size / _face().upem
    kinds = "".join(map(_kind, words))
    for found in re.finditer("u([um ]*[um])?|[km ]+", kinds):  # a phrase with missing characters is not split
        run, lacking = words[found.start() : found.end()], found[0].startswith("u")
        width = text_width(run, size) if lacking else 0.0  # it is scaled to this width in any font
        if lacking and not boxes:
            form = {"font-family": FALLBACK, "font-size": f"{size:g}", "font-weight": str(weight)}
            piece = ET.SubElement(group, f"{SVG}text", {"x": f"{at:.2f}", **form, "textLength": f"{width:.2f}"})
            piece.text = run
        else:
            letters = zip(run, found[0], strict=True)
            said = ("□" if kind == "u" else letter for letter, kind in letters if kind != "m" or _has(letter))
            placed, advance = _shaped("".join(said), weight)
            width = width or advance * scale
            turned = f"translate({at:.2f} 0) scale({width / max(advance, 1):.6g} {-scale:.6g})"
            piece = ET.SubElement(group, f"{SVG}g", {"transform": turned})
            for glyph, x, y in placed:
                if path := _outline(glyph, weight):
                    name = f"g{glyph}-{weight}"
                    outlines[name] = path
                    where = {"x": str(x)} | ({"y": str(y)} if y else {})
                    ET.SubElement(piece, f"{SVG}use", {f"{XLINK}href": f"#{name}", **where})
        at += width
    left = float(text.get("x", "0")) - {"start": 0, "middle": at / 2, "end": at}[anchor]
    group.set("transform", f"{text.get('transform', '')} translate({left:.2f} {text.get('y', '0')})".strip())
    return group


@cache
def _face() -> hb.Face:
    font, plain = TTFont(FONT), BytesIO()
    font.flavor = None  # uncompressed
    font.save(plain)
    return hb.Face(plain.getvalue())


@cache
def _font(weight: int) -> hb.Font:
    font = hb.Font(_face())
    font.set_variations({"wght": weight})
    return font


@cache
def _letters() -> frozenset[int]:
    return frozenset(_face().unicodes)


def _has(letter: str) -> bool:
    return ord(letter) in _letters()


def _kind(letter: str) -> str:
    """A space; a mark, which goes with the letter before it; a known character ("k"), or one that the font lacks ("u")."""
    return " " if letter == " " else "m" if category(letter) in MARKS else "k" if _has(letter) else "u"


@lru_cache(maxsize=8192)
def _shaped(words: str, weight: int) -> tuple[tuple[tuple[int, int, int], ...], int]:
    """The glyphs of a run with their positions, and the total width, in the font's units."""
    run = hb.Buffer()
    run.add_str(words)
    run.guess_segment_properties()
    hb.shape(_font(weight), run)
    at, placed = 0, []
    for glyph, place in zip(run.glyph_infos, run.glyph_positions, strict=True):
        placed.append((glyph.codepoint, at + place.x_offset, place.y_offset))
        at += place.x_advance
    return tuple(placed), at


@cache  # a few hundred glyphs, three weights
def _outline(glyph: int, weight: int) -> str:
    pen = _Outline()
    _font(weight).draw_glyph_with_pen(glyph, pen)
    return "".join(pen.path)


class _Outline:
    """An outline as a path in whole units of the font, with each point relative to the one before."""

    def __init__(self):
        self.path: list[str] = []
        self.x = self.y = 0

    def _to(self, command: str, *points: tuple[float, float]) -> None:
        steps = [(round(x) - self.x, round(y) - self.y) for x, y in points]
        self.path.append(command + " ".join(f"{x} {y}" for x, y in steps).replace(" -", "-"))
        self.x, self.y = self.x + steps[-1][0], self.y + steps[-1][1]

    def moveTo(self, point):
        self._to("m", point)
        self.start = self.x, self.y

    def lineTo(self, point):
        self._to("l", point)

    def qCurveTo(self, control, point):
        self._to("q", control, point)

    def curveTo(self, *points):
        self._to("c", *points)

    def closePath(self):
        self.path.append("z")
        self.x, self.y = self.start
