"""The pages and the stream."""

from __future__ import annotations

from collections.abc import AsyncIterator
from importlib.resources import files

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bascule.draw.formats.style import STYLE
from bascule.draw.report.style import BASE, COLOURS
from bascule.web.access import AccessControl, AccessMiddleware, App
from bascule.web.hub import MOST, Hub, HubFull
from bascule.web.watch import Watcher


def make_app(guard: AccessControl, hub: Hub, watcher: Watcher) -> App:
    """The application behind its guard."""
    static = files("bascule.web") / "static"
    page = (static / "page.html").read_bytes()
    script = (static / "page.js").read_bytes()
    icon = (static / "icon.svg").read_bytes()
    style = (COLOURS + BASE + STYLE).encode() + (static / "page.css").read_bytes()

    def file(path: str, content: bytes, kind: str) -> Route:
        async def send(_: Request) -> Response:
            return Response(content, media_type=kind)

        return Route(path, send, methods=["GET"])

    async def events(_: Request) -> Response:
        try:
            box = hub.join()
        except HubFull:
            words = f"{MOST} browsers watch already; close one\n"
            return PlainTextResponse(words, status_code=503, headers={"retry-after": "5"})

        async def stream() -> AsyncIterator[bytes]:
            async for event in hub.listen(box):
                yield event

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    async def ask(_: Request) -> Response:
        if watcher.source.site_file is None:
            return JSONResponse({"started": False, "why": "there is no site file, so nothing is expected"}, 404)
        if not watcher.ask():
            return JSONResponse({"started": False, "why": "the questions are being asked already"}, 409)
        return JSONResponse({"started": True}, 202)

    routes = [
        file("/", page, "text/html"),
        file("/page.js", script, "text/javascript"),
        file("/page.css", style, "text/css"),
        file("/icon.svg", icon, "image/svg+xml"),
        Route("/events", events, methods=["GET"]),
        Route("/ask", ask, methods=["POST"]),
    ]
    return AccessMiddleware(Starlette(routes=routes), guard)
