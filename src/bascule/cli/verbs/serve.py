"""``bascule serve``: the live picture in the browser."""

from __future__ import annotations

import platform
import sys

import click

from bascule.cli.common import host_option, json_option, root_option, say, say_fine, stay
from bascule.errors import MissingTool

LISTEN = "127.0.0.1:8474"
BEYOND = """warning: other machines can open this address. The page shows the MACs, addresses and traffic of every
guest and can send probes; therefore it needs the token in the address above. Nothing is
encrypted: where others share the wire, prefer the default address and ssh -L"""


@click.command()
@click.argument("site_file", metavar="[SITE]", required=False, type=click.Path(dir_okay=True))
@host_option
@root_option
@json_option
@click.option("--listen", "where", metavar="ADDRESS:PORT", default=LISTEN, show_default=True, help="Where to listen.")
@click.option(
    "--name", "names", metavar="NAME", multiple=True, help="A further host name that browsers may use for this server."
)
@click.option("--token", "is_secret", is_flag=True, help="Ask for a token on loopback, too.")
def command(
    *,
    site_file: str | None,
    host: str | None,
    root: str | None,
    as_json: bool,
    where: str,
    names: tuple[str, ...],
    is_secret: bool,
) -> int:
    """Show this host in the browser: the picture, drift, carrier, learned MACs, traffic, and expectations on demand.

    Changes nothing. Sends probes only when somebody presses the button. Listens on loopback; on any other address it
    asks for a token, which it makes up and prints; so it does behind a --name. Ctrl-C ends it.

    Example: bascule serve site.yaml
    """
    _require()
    from bascule.cli.entry import emit
    from bascule.web.address import parse_listen
    from bascule.web.server import open_listener, serve
    from bascule.web.source import Source

    place = parse_listen(where)
    source = Source(site_file, host, root)
    own = platform.node()
    listener = open_listener(place, names=names, host_name=own, is_secret=is_secret)

    def ready() -> None:
        if as_json:
            emit("serve", {"ok": True, "url": listener.url, "token": listener.token})
        else:
            print(listener.url)
        sys.stdout.flush()
        port = listener.sock.getsockname()[1]
        if place.is_loopback and not names:
            to = f"[{place.address}]" if place.address.version == 6 else str(place.address)
            say_fine(f"only this machine can open it; from another: ssh -L {port}:{to}:{port} {own}")
        else:
            say(BEYOND)
        say_fine("it reads only; Ctrl-C ends it")

    stay()
    serve(source, listener, ready=ready)
    say_fine("ended")
    return 0


def _require() -> None:
    """Raises MissingTool where the extra is not installed."""
    try:
        import starlette
        import uvicorn  # noqa: F401  # both are looked for, so that one message names what is missing
    except ImportError as error:
        hint = "install them: pip install starlette uvicorn; with pipx: pipx inject bascule starlette uvicorn"
        message = f"'bascule serve' needs starlette and uvicorn, and there is no '{error.name}' here"
        raise MissingTool.of("EXTRA", message, hint=hint) from error
    _ = starlette
