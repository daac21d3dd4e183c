"""From the command line's wishes to a running server, its pages and the stream, and to its clean end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from importlib.resources import files

import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from bascule.draw.formats.style import STYLE
from bascule.draw.report.style import BASE, COLOURS
from bascule.system.net.listen import listen
from bascule.web.access import AccessControl, AccessMiddleware, App
from bascule.web.address import Listen
from bascule.web.hub import MOST, Hub, HubFull
from bascule.web.source import Source
from bascule.web.watch import Watcher


def make_app(access: AccessControl, hub: Hub, watcher: Watcher) -> App:
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
    return AccessMiddleware(Starlette(routes=routes), access)


GOODBYE_S = 2  # how long requests may take to end
TOKEN_BYTES = 24


class OpenListener(Struct, frozen=True, kw_only=True):
    """An open socket, the address to open in a browser, and the token that it wants, if any."""

    sock: socket.socket
    url: str
    token: str | None
    access: AccessControl


def open_listener(
    where: Listen, *, names: Sequence[str] = (), host_name: str = "", is_secret: bool = False
) -> OpenListener:
    """Listen. Beyond loopback, behind a name (a proxy's), or where ``is_secret`` asks for it, a token is made up.

    Raises BasculeError, NotPermitted.
    """
    sock = listen(where.address, where.port)
    port = int(sock.getsockname()[1])
    is_reachable = bool(names) or not where.is_loopback
    token = secrets.token_urlsafe(TOKEN_BYTES) if is_secret or is_reachable else None
    more = () if where.is_loopback else (host_name,)
    access = AccessControl(
        names=where.names(*names, *more),
        any_ip=where.address.is_unspecified,
        token=token,
        cookie=f"bascule-{port}",  # browsers share cookies among the ports of a host
    )
    name = names[0] if names else host_name
    return OpenListener(sock=sock, url=where.url(port, name=name, token=token), token=token, access=access)


class _QuietServer(uvicorn.Server):
    """Leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(source: Source, listener: OpenListener, *, ready: Callable[[], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; ``ready`` is called when browsers may come."""
    asyncio.run(_serve(source, listener, ready))


async def _serve(source: Source, listener: OpenListener, ready: Callable[[], None]) -> None:
    hub = Hub()
    watcher = Watcher(source, hub)
    config = uvicorn.Config(
        make_app(listener.access, hub, watcher),
        log_level="critical",
        access_log=False,  # it would write the token down
        lifespan="off",
        ws="none",
        http="h11",
        loop="asyncio",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GOODBYE_S,
    )
    server = _QuietServer(config)

    def end() -> None:
        server.force_exit = server.should_exit  # at the second time
        server.should_exit = True
        hub.close()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, end)
    watcher.start()
    loop.call_soon(ready)
    try:
        await server.serve(sockets=[listener.sock])
    finally:
        watcher.stop()
