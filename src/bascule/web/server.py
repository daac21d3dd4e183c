"""From the command line's wishes to a running server, and to its clean end."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

import uvicorn
from msgspec import Struct

from bascule.system.net.listen import listen
from bascule.web.access import AccessControl
from bascule.web.address import Listen
from bascule.web.app import make_app
from bascule.web.hub import Hub
from bascule.web.source import Source
from bascule.web.watch import Watcher

GOODBYE_S = 2  # how long requests may take to end
TOKEN_BYTES = 24


class OpenListener(Struct, frozen=True, kw_only=True):
    """An open socket, the address to open in a browser, and the token that it wants, if any."""

    sock: socket.socket
    url: str
    token: str | None
    guard: AccessControl


def open_door(
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
    guard = AccessControl(
        names=where.names(*names, *more),
        any_ip=where.address.is_unspecified,
        token=token,
        cookie=f"bascule-{port}",  # browsers share cookies among the ports of a host
    )
    name = names[0] if names else host_name
    return OpenListener(sock=sock, url=where.url(port, name=name, token=token), token=token, guard=guard)


class _QuietServer(uvicorn.Server):
    """Leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def serve(source: Source, door: OpenListener, *, ready: Callable[[], None]) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP; ``ready`` is called when browsers may come."""
    asyncio.run(_serve(source, door, ready))


async def _serve(source: Source, door: OpenListener, ready: Callable[[], None]) -> None:
    hub = Hub()
    watcher = Watcher(source, hub)
    config = uvicorn.Config(
        make_app(door.guard, hub, watcher),
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
        await server.serve(sockets=[door.sock])
    finally:
        watcher.stop()
