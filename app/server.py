"""The app as an ASGI server: the pages, and also health, metrics, a small API and pictures."""

import asyncio
import gc
import os
import re
import socket
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from html import escape
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

# Visitors see only public models of the Hub, even if the server's machine has a token.
os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
# A thread that computes lets the others go on after so many seconds. Each message to a browser waits for that, by default 5 ms.
sys.setswitchinterval(0.0005)


def send_at_once(connection: socket.socket) -> None:
    """Set TCP_NODELAY. asyncio itself does so only for a socket that names its protocol, which Streamlit's does not; without it, a small
    message waits until the browser has acknowledged the one before, up to 40 ms."""
    if connection.family in (socket.AF_INET, socket.AF_INET6):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


asyncio.base_events._set_nodelay = send_at_once  # type: ignore[attr-defined]
ABOUT = "An explorer of large language model architectures: edit one, and the picture and the numbers follow."
STATIC = Path(st.__file__).parent / "static"
INDEX = (STATIC / "index.html").read_text(encoding="utf-8")
# The server's address, given in advance: otherwise Streamlit's page first looks for it below its own path.
BASE = "<script>window.__streamlit = {BACKEND_BASE_URL: location.origin + '/'};</script>"
# The menu of a phone, which lies over the page, closes when a page is chosen in it.
# The browser's history: the letters typed into one query make one step. A move to another page makes one step too. Streamlit alone
# would make two, because it first writes the new page's parameters to the old page's address.
HISTORY = """<script>{
const push = history.pushState;
history.pushState = function (state, title, url) {
  const to = new URL(url, location.href), here = to.pathname === location.pathname;
  const again = here ? performance.now() - window.strataTyped < 1500 : to.search && to.search === location.search;
  window.strataTyped = undefined;
  (again ? history.replaceState : push).call(history, state, title, url);
};
}</script>"""
MENU = (
    "<script>addEventListener('click', (event) => { if (innerWidth < 768 && event.target.closest('[data-testid=stSidebarNavLink]')) "
    "setTimeout(() => document.querySelector('[data-testid=stSidebarCollapseButton] button')?.click()); });</script>"
)
HERE = Path(__file__).resolve().parent
FONT = HERE / "kit" / "assets" / "inter.woff2"
LETTERS = (
    '<link rel="preload" href="/inter.woff2" as="font" type="font/woff2" crossorigin><style>@font-face{font-family:Inter;'
    'src:url(/inter.woff2) format("woff2");font-weight:100 900;font-display:swap}</style>'
)

PLAIN = (
    "<style>:root{color-scheme:light dark}body{max-width:36em;margin:18vh auto;padding:0 1.5em;font:16px/1.5 Inter,sans-serif;"
    "overflow-wrap:anywhere}</style>"
)


def warm() -> None:
    """Do what is slow the first time (load torch, the first trace) before a visitor comes."""
    import torch

    from app import facts, glossary
    from app.kit import cards
    from core.library import preset

    torch.set_num_threads(1)  # live models are tiny, and visitors share the cores
    facts.picture_file(preset("deepseek-v3"))
    for one in facts.entries():
        facts.cost(one.arch)
        cards.picture(one.arch)
    glossary.explained("")
    gc.freeze()  # objects from start-up stay, so garbage collections need not check them while visitors wait


@asynccontextmanager
async def lifespan(app: st.App):
    task = asyncio.create_task(asyncio.to_thread(warm))
    yield {"warm": task}
    task.cancel()


# ---- pages ----


async def page(request: Request) -> Response:
    """Streamlit's page, with the preview of the link: the architecture's name, figures and picture. A link that does not open
    leads to the gallery, which shows the reason."""
    import core

    title, about, picture = "Strata", ABOUT, ""
    path, asked = request.url.path, request.query_params
    try:
        if path == "/learn":
            title, about, picture = await asyncio.to_thread(preview_of_text, asked.get("article", ""))
        elif path == "/evolution":
            title, about, picture = await asyncio.to_thread(preview_of_step, asked.get("step", ""), asked.get("view", ""))
        elif asked and path != "/":
            title, about, picture = await asyncio.to_thread(preview, asked)
    except core.Unsupported:
        if path not in ("/learn", "/evolution"):
            return RedirectResponse(f"/?{request.url.query}")
    said = {"og:title": title, "og:description": about, "description": about, "og:url": str(request.url)}
    if picture:
        said |= {"og:image": f"{request.base_url}{picture}", "og:image:width": "1200", "og:image:height": "630"}
        said |= {"twitter:card": "summary_large_image"}
    head = f"<title>{escape(title)}</title>{BASE}{HISTORY}{MENU}{LETTERS}" + "".join(
        f'<meta property="{name}" content="{escape(value)}">' for name, value in said.items()
    )
    return HTMLResponse(INDEX.replace("<title>Streamlit</title>", head), headers={"Cache-Control": "no-cache"})


async def gallery(request: Request) -> Response:
    """The gallery is the first page."""
    return RedirectResponse(f"/?{request.url.query}" if request.url.query else "/", status_code=301)


def streamlits() -> str:
    """A regular expression for the paths that Streamlit answers itself: its endpoints and its files."""
    files = (path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
    endpoints = (
        r"_stcore/(health|metrics|host-config|agent/(interact|openapi\.json|mcp)|upload_file/[^/]+/[^/]+|bidi-components/.*)",
        r"(media|component)/.*", "auth/(login|logout)", "oauth2callback",
    )  # fmt: skip
    return "|".join((*endpoints, *(re.escape(file) for file in files if file != "index.html")))


class Elsewhere(StringConvertor):
    """A path that is neither a page nor one of Streamlit's, where Streamlit would show its own page. Streamlit redirects a path that
    ends with a slash to the same path without it."""

    regex = rf"(?!({streamlits()})$)(?s:.*)[^/]"


async def nowhere(request: Request) -> Response:
    path = request.url.path[:200]
    if path.startswith("/api"):
        return JSONResponse({"error": f"Strata has no {path}"}, status_code=404)
    head = f"<title>No such page · Strata</title><meta name=viewport content='width=device-width'>{LETTERS}{PLAIN}"
    said = f"<h1>There is no page here</h1><p>Strata has no {escape(path)}.</p><p><a href='/'>To all models</a></p>"
    return HTMLResponse(f"<!doctype html><html lang=en>{head}{said}</html>", status_code=404)


def preview(asked: QueryParams) -> tuple[str, str, str]:
    """Title, text and picture path of the architecture that a link opens; Unsupported if it does not open."""
    from app.facts import subtitle
    from app.state import REPEATED, mended, read, word

    several = {name: asked.getlist(name) for name in REPEATED if name in asked}
    state = read(mended({**asked, **several})[0])
    arch = state.arch
    if len(state.archs) > 1:
        titles = [one.title for one in state.archs]
        words = f"What differs between {', '.join(titles[:-1])} and {titles[-1]}, and what each difference costs."
        return f"{' · '.join(titles)} · Strata", words, f"card/{quote(word(arch), safe='')}.png"
    return f"{arch.title} · Strata", subtitle(arch), f"card/{quote(word(arch), safe='')}.png"


def preview_of_text(name: str) -> tuple[str, str, str]:
    """The same of an article, or of the list of all; Unsupported if there is no such article."""
    from app.article import article
    from app.state import word

    if not name:
        return "Learn · Strata", "What changed from model to model, and what each change costs.", ""
    found = article(name)
    return f"{found.title} · Strata", found.lead, f"card/{quote(word(found.models[found.first]), safe='')}.png"


def preview_of_step(name: str, view: str) -> tuple[str, str, str]:
    """The same of a step since GPT-2, of all, or of the field's habits; Unsupported if there is no such step."""
    from app.kit.evolution import common
    from app.state import word
    from core.evolution import evolution

    chain = evolution()
    if view == "habits":
        return "What the field does by now · Strata", common(), ""
    one = chain.step(name) if name else None
    card = f"card/{quote(word((one or chain[-1]).after), safe='')}.png"
    if one is None:
        return "From GPT-2 to today · Strata", chain.sentence, card
    return f"{one.idea.title} · Strata", f"{one.idea.replaces} {one.moves}.", card


# ---- the API ----


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /api/\n")


async def icon(request: Request) -> Response:
    """The icon that a browser requests for pages that name none, such as answers of the API."""
    return FileResponse(STATIC / "favicon.png", media_type="image/png")


async def letters(request: Request) -> Response:
    return FileResponse(FONT, media_type="font/woff2", headers={"Cache-Control": "public, max-age=31536000"})


def answer(make: Callable[[Request], Response], turns: AbstractAsyncContextManager | None = None) -> Callable:
    """A route that computes outside the event loop, if needed one request at a time, and answers Unsupported input
    with its message."""

    async def route(request: Request) -> Response:
        import core

        try:
            async with turns or nullcontext():
                return await asyncio.to_thread(make, request)
        except core.Unsupported as error:
            return JSONResponse({"error": str(error)}, status_code=422)

    return route


def named(request: Request):
    """The architecture that a request names: a preset's name or a share token, never a file."""
    import core
    from core.library import preset
    from core.share import PREFIX

    name = request.path_params["name"]
    return core.decode(name) if name.startswith(PREFIX) else preset(name)


def asked(request: Request) -> list:
    """The models of a query, filters and an order, which are given as in the gallery's links."""
    import core
    from app.finding import accepts, read

    if unknown := request.query_params.keys() - (known := accepts()):
        raise core.Unsupported(f"{min(unknown)[:40]!r} is not known; give some of {', '.join(known)}")
    finding, problem = read({name: request.query_params.getlist(name) for name in request.query_params})
    if problem:
        raise core.Unsupported(problem)
    return finding.models()


def presets(request: Request) -> Response:
    from core.facets import record

    return JSONResponse([*map(record, asked(request))])


def models(request: Request) -> Response:
    """The same as a file for a spreadsheet."""
    import csv
    import io

    from app.facts import entries
    from core.facets import record

    rows, out = [*map(record, asked(request))], io.StringIO()
    writer = csv.writer(out)
    writer.writerow(rows[0] if rows else record(entries()[0]))
    writer.writerows([" ".join(value) if isinstance(value, list) else value for value in row.values()] for row in rows)
    headers = {"Content-Disposition": 'attachment; filename="models.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def architecture(request: Request) -> Response:
    return JSONResponse(named(request).model_dump(mode="json", exclude_defaults=True))


def cost(request: Request) -> Response:
    from app.facts import cost as of
    from app.state import workload

    return JSONResponse(of(arch := named(request), workload(dict(request.query_params), arch)).to_dict())


def compare(request: Request) -> Response:
    """Two to four architectures, each a preset's name or a share token in an `m` of its own."""
    import core
    from app.facts import compared
    from app.state import MOST, of_word, workload

    words = request.query_params.getlist("m")
    if not 2 <= len(words) <= MOST:
        raise core.Unsupported(f"m: give it 2 to {MOST} times, each a preset's name or a token (not {len(words)} times)")
    archs = tuple(map(of_word, words))
    return JSONResponse(compared(archs, workload(dict(request.query_params), *archs)).to_dict())


def graph(request: Request) -> Response:
    from app.facts import graph as of
    from core.graph import to_json

    return JSONResponse(to_json(of(named(request))))


COMPARISONS = asyncio.Lock()  # one at a time: each prices up to a hundred architectures
PICTURES = asyncio.Lock()  # one at a time: each takes about 0.1 s of a core
AN_HOUR = {"Cache-Control": "public, max-age=3600"}


def picture(request: Request) -> Response:
    from app.facts import picture_file
    from app.state import workload

    asked, arch = dict(request.query_params), named(request)
    svg = picture_file(arch, asked.get("theme") == "dark", by=(by := asked.get("by", "")), workload=workload(asked, arch) if by else None)
    return Response(svg, media_type="image/svg+xml", headers=AN_HOUR)


def card(request: Request) -> Response:
    from app.picture.preview import preview

    return Response(preview(named(request)), media_type="image/png", headers=AN_HOUR)


# `st.navigation` also sets this, but only after main.py has run: otherwise, since there is a folder named pages, the first
# visitor's deep link would run only its page.
PagesManager.uses_pages_directory = False

register_url_convertor("elsewhere", Elsewhere())

app = st.App(
    HERE / "main.py",
    lifespan=lifespan,
    routes=[
        *(Route(path, gallery) for path in ("/gallery", "/gallery/")),
        *(Route(path, page) for path in ("/", *(f"/{file.stem}" for file in HERE.glob("pages/*.py")))),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/robots.txt", robots),
        Route("/inter.woff2", letters),
        Route("/favicon.ico", icon),
        Route("/api/presets", answer(presets)),
        Route("/gallery.csv", answer(models)),
        Route("/api/architecture/{name}", answer(architecture)),
        Route("/api/cost/{name}", answer(cost)),
        Route("/api/graph/{name}", answer(graph)),
        Route("/api/compare", answer(compare, COMPARISONS)),
        Route("/card/{name}.svg", answer(picture, PICTURES)),
        Route("/card/{name}.png", answer(card, PICTURES)),
        *(Route(path, nowhere) for path in ("/api/{path:path}", "/card/{path:path}", "/{path:elsewhere}")),
    ],
)
