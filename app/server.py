"""The app as an ASGI server: the pages, and beside them health, metrics, a small API and pictures."""

import asyncio
import gc
import os
import re
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from html import escape
from pathlib import Path
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

# A visitor sees of the Hub what anybody sees, whoever is signed in where the server runs.
os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
ABOUT = "An explorer of large language model architectures: edit one, and picture and numbers follow."
STATIC = Path(st.__file__).parent / "static"
INDEX = (STATIC / "index.html").read_text(encoding="utf-8")
# Where the server is, said in advance: Streamlit's page would otherwise look for it below the page's own path first.
BASE = "<script>window.__streamlit = {BACKEND_BASE_URL: location.origin + '/'};</script>"
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
    """Pay for what is slow the first time (torch, the first trace) before a visitor does."""
    import torch

    import core
    from app import facts
    from core.library import preset

    torch.set_num_threads(1)  # live models are tiny, and visitors share the cores
    facts.picture_file(preset("deepseek-v3"))
    for name in core.presets():
        facts.cost(preset(name))
    gc.freeze()  # what start-up made stays: collections need not look at it again while visitors wait


@asynccontextmanager
async def lifespan(app: st.App):
    task = asyncio.create_task(asyncio.to_thread(warm))
    yield {"warm": task}
    task.cancel()


# ---- pages ----


async def page(request: Request) -> Response:
    """Streamlit's page, with what a link's preview shows: the architecture's name, figures and picture. A link that opens
    none leads to the gallery, which says why."""
    import core

    title, about, picture = "Strata", ABOUT, ""
    if (asked := request.query_params) and request.url.path != "/":
        params = dict(asked) | ({"m": asked.getlist("m")} if "m" in asked else {})
        try:
            title, about, picture = await asyncio.to_thread(preview, params)
        except core.Unsupported:
            return RedirectResponse(f"/?{request.url.query}")
    said = {"og:title": title, "og:description": about, "description": about, "og:url": str(request.url)}
    if picture:
        said |= {"og:image": f"{request.base_url}{picture}", "og:image:width": "1200", "og:image:height": "630"}
        said |= {"twitter:card": "summary_large_image"}
    head = f"<title>{escape(title)}</title>{BASE}{LETTERS}" + "".join(
        f'<meta property="{name}" content="{escape(value)}">' for name, value in said.items()
    )
    return HTMLResponse(INDEX.replace("<title>Streamlit</title>", head), headers={"Cache-Control": "no-cache"})


async def gallery(request: Request) -> Response:
    """The gallery is the first page."""
    return RedirectResponse(f"/?{request.url.query}" if request.url.query else "/", status_code=301)


def streamlits() -> str:
    """An expression for the paths that Streamlit answers itself: its endpoints, and the files that it has."""
    files = (path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file())
    endpoints = (
        r"_stcore/(health|metrics|host-config|agent/(interact|openapi\.json|mcp)|upload_file/[^/]+/[^/]+|bidi-components/.*)",
        r"(media|component)/.*", "auth/(login|logout)", "oauth2callback",
    )  # fmt: skip
    return "|".join((*endpoints, *(re.escape(file) for file in files if file != "index.html")))


class Elsewhere(StringConvertor):
    """A path that is neither a page nor answered by Streamlit itself, which would show its own page there. One that ends
    with a slash it redirects to the same without."""

    regex = rf"(?!({streamlits()})$)(?s:.*)[^/]"


async def nowhere(request: Request) -> Response:
    path = request.url.path[:200]
    if path.startswith("/api"):
        return JSONResponse({"error": f"Strata has no {path}"}, status_code=404)
    head = f"<title>No such page · Strata</title><meta name=viewport content='width=device-width'>{LETTERS}{PLAIN}"
    said = f"<h1>There is no page here</h1><p>Strata has no {escape(path)}.</p><p><a href='/'>To all models</a></p>"
    return HTMLResponse(f"<!doctype html><html lang=en>{head}{said}</html>", status_code=404)


def preview(params: dict[str, str | list[str]]) -> tuple[str, str, str]:
    """Title, words and the picture's path of the architecture that a link opens; Unsupported where it opens none."""
    from app.facts import subtitle
    from app.state import read, word

    arch = read(params).arch
    return f"{arch.title} · Strata", subtitle(arch), f"card/{quote(word(arch), safe='')}.png"


# ---- the API ----


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /api/\n")


async def icon(request: Request) -> Response:
    """What a browser asks for beside pages that name no icon, such as the API's answers."""
    return FileResponse(STATIC / "favicon.png", media_type="image/png")


async def letters(request: Request) -> Response:
    return FileResponse(FONT, media_type="font/woff2", headers={"Cache-Control": "public, max-age=31536000"})


def answer(make: Callable[[Request], Response], turns: AbstractAsyncContextManager | None = None) -> Callable:
    """A route that computes off the event loop, in its turn where it has to wait for one, and answers what cannot be
    represented with its sentence."""

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


def presets(request: Request) -> Response:
    import core
    from core.library import preset

    fields = {"name", "title", "organisation", "released", "licence"}
    return JSONResponse([preset(name).model_dump(mode="json", include=fields) for name in core.presets()])


def architecture(request: Request) -> Response:
    return JSONResponse(named(request).model_dump(mode="json", exclude_defaults=True))


def cost(request: Request) -> Response:
    from app.facts import cost as of
    from app.state import workload

    return JSONResponse(of(arch := named(request), workload(dict(request.query_params), arch)).to_dict())


def graph(request: Request) -> Response:
    from app.facts import graph as of
    from core.graph import to_json

    return JSONResponse(to_json(of(named(request))))


PICTURES = asyncio.Lock()  # one at a time: some 0.1 s of a core each
AN_HOUR = {"Cache-Control": "public, max-age=3600"}


def picture(request: Request) -> Response:
    from app.facts import picture_file

    svg = picture_file(named(request), request.query_params.get("theme") == "dark")
    return Response(svg, media_type="image/svg+xml", headers=AN_HOUR)


def card(request: Request) -> Response:
    from app.picture.preview import preview

    return Response(preview(named(request)), media_type="image/png", headers=AN_HOUR)


# What `st.navigation` says too, but only once main.py has run: a folder named pages would otherwise make the first
# visitor's deep link run its page alone.
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
        Route("/api/architecture/{name}", answer(architecture)),
        Route("/api/cost/{name}", answer(cost)),
        Route("/api/graph/{name}", answer(graph)),
        Route("/card/{name}.svg", answer(picture, PICTURES)),
        Route("/card/{name}.png", answer(card, PICTURES)),
        *(Route(path, nowhere) for path in ("/api/{path:path}", "/card/{path:path}", "/{path:elsewhere}")),
    ],
)
