"""The app as an ASGI server: the pages, and beside them health, metrics, a small API and pictures."""

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import streamlit as st
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


def warm() -> None:
    """Pay for what is slow the first time (torch, the first trace) before a visitor does."""
    import core
    from app import facts
    from core.library import preset

    for name in core.presets():
        facts.cost(preset(name))
    facts.pictures(preset("deepseek-v3"), "")


@asynccontextmanager
async def lifespan(app: st.App):
    task = asyncio.create_task(asyncio.to_thread(warm))
    yield {"warm": task}
    task.cancel()


def refusal(error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, status_code=422)


async def health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _arch(request: Request):
    """The architecture that a request names: a preset's name or a share token, never a file."""
    import core
    from core.library import preset
    from core.share import PREFIX

    name = request.path_params["name"]
    return core.decode(name) if name.startswith(PREFIX) else preset(name)


def _answer(make):
    """A route that computes off the event loop and answers what cannot be represented with its sentence."""

    async def route(request: Request) -> Response:
        import core

        try:
            return await asyncio.to_thread(make, request)
        except core.Unsupported as error:
            return refusal(error)

    return route


def presets(request: Request) -> Response:
    import core
    from core.library import preset

    fields = {"name", "title", "organisation", "released", "licence"}
    return JSONResponse([preset(name).model_dump(mode="json", include=fields) for name in core.presets()])


def architecture(request: Request) -> Response:
    return JSONResponse(_arch(request).model_dump(mode="json", exclude_defaults=True))


def cost(request: Request) -> Response:
    from pydantic import ValidationError

    import core
    from app.facts import cost as of
    from core.spec import sentence

    try:
        workload = core.Workload.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise core.Unsupported(sentence(error)) from None
    return JSONResponse(of(_arch(request), workload).to_dict())


def graph(request: Request) -> Response:
    from app.facts import graph as of
    from core.graph import to_json

    return JSONResponse(to_json(of(_arch(request))))


def card(request: Request) -> Response:
    from app.facts import picture_file

    return Response(
        picture_file(_arch(request)), media_type="image/svg+xml", headers={"Cache-Control": "public, max-age=3600"}
    )


async def robots(request: Request) -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /api/\n")


app = st.App(
    "main.py",
    lifespan=lifespan,
    routes=[
        Route("/health", health),
        Route("/metrics", metrics),
        Route("/robots.txt", robots),
        Route("/api/presets", _answer(presets)),
        Route("/api/architecture/{name}", _answer(architecture)),
        Route("/api/cost/{name}", _answer(cost)),
        Route("/api/graph/{name}", _answer(graph)),
        Route("/card/{name}.svg", _answer(card)),
    ],
)
