"""The app as an ASGI server: the pages, and beside them health, metrics, a small API and pictures."""

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from html import escape
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from streamlit.runtime.pages_manager import PagesManager

# A visitor sees of the Hub what anybody sees, whoever is signed in where the server runs.
os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] = "1"
PAGES = ("/", "/gallery", "/workbench")
ABOUT = "An explorer of large language model architectures: edit one, and picture and numbers follow."
INDEX = (Path(st.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
# Where the server is, said in advance: Streamlit's page would otherwise look for it below the page's own path first.
BASE = "<script>window.__streamlit = {BACKEND_BASE_URL: location.origin + '/'};</script>"
FONT = Path(__file__).resolve().parent / "views" / "assets" / "inter.woff2"
LETTERS = (
    '<link rel="preload" href="/inter.woff2" as="font" type="font/woff2" crossorigin><style>@font-face{font-family:Inter;'
    'src:url(/inter.woff2) format("woff2");font-weight:100 900;font-display:swap}</style>'
)


def warm() -> None:
    """Pay for what is slow the first time (torch, the first trace) before a visitor does."""
    import torch

    import core
    from app import facts
    from core.library import preset

    torch.set_num_threads(1)  # live models are tiny, and visitors share the cores
    facts.picture_of(preset("deepseek-v3"))
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
    """Streamlit's page, with what a link's preview shows: the architecture's name, figures and picture."""
    title, about, picture = "Strata", ABOUT, ""
    if request.query_params:
        title, about, picture = await asyncio.to_thread(preview, dict(request.query_params)) or (title, about, picture)
    head = f"<title>{escape(title)}</title>{BASE}{LETTERS}" + "".join(
        f'<meta property="{name}" content="{escape(value)}">'
        for name, value in (
            ("og:title", title),
            ("og:description", about),
            ("description", about),
            ("og:image", picture),
        )
        if value
    )
    return HTMLResponse(INDEX.replace("<title>Streamlit</title>", head), headers={"Cache-Control": "no-cache"})


def preview(params: dict[str, str]) -> tuple[str, str, str] | None:
    """Title, words and picture of the architecture that a link opens; None where it opens none."""
    import core
    from app.facts import subtitle
    from app.state import read

    if not params.keys() & {"a", "preset"}:
        return None
    try:
        arch = read(params).arch
    except core.Unsupported:
        return None
    return f"{arch.title} · Strata", subtitle(arch), f"/card/{params.get('a') or arch.name}.svg"


# ---- the API ----


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /api/\n")


async def letters(request: Request) -> Response:
    return FileResponse(FONT, media_type="font/woff2", headers={"Cache-Control": "public, max-age=31536000"})


def answer(make: Callable[[Request], Response]) -> Callable:
    """A route that computes off the event loop, and answers what cannot be represented with its sentence."""

    async def route(request: Request) -> Response:
        import core

        try:
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


def card(request: Request) -> Response:
    from app.facts import picture_file

    headers = {"Cache-Control": "public, max-age=3600"}
    return Response(picture_file(named(request)), media_type="image/svg+xml", headers=headers)


# What `st.navigation` says too, but only once main.py has run: a folder named pages would otherwise make the first
# visitor's deep link run its page alone.
PagesManager.uses_pages_directory = False

app = st.App(
    "main.py",
    lifespan=lifespan,
    routes=[
        *(Route(path, page) for path in PAGES),
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/robots.txt", robots),
        Route("/inter.woff2", letters),
        Route("/api/presets", answer(presets)),
        Route("/api/architecture/{name}", answer(architecture)),
        Route("/api/cost/{name}", answer(cost)),
        Route("/api/graph/{name}", answer(graph)),
        Route("/card/{name}.svg", answer(card)),
    ],
)
