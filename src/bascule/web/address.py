"""Where to listen, and the names by which a browser may speak to us. Pure."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct

from bascule.errors import UsageFault

LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Listen(Struct, frozen=True):
    """An address and a port; port 0 stands for any free one."""

    address: IPv4Address | IPv6Address
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.address.is_loopback

    def url(self, port: int, *, name: str = "", token: str | None = None) -> str:
        """What to open in a browser: ``name`` stands in where we listen on every address."""
        host = str(self.address)
        if self.address.is_unspecified:
            host = name or "localhost"
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/" + (f"?token={token}" if token else "")

    def names(self, *more: str) -> frozenset[str]:
        """The host names, without a port, that a browser may have in its address bar."""
        own = LOOPBACK if self.is_loopback or self.address.is_unspecified else ()
        own = (*own, str(self.address))
        return frozenset(name.lower().rstrip(".") for name in (*own, *more) if name)


def parse_listen(text: str) -> Listen:
    """``127.0.0.1:8474``, ``[::1]:8474``, ``localhost:8474`` or a port alone. Raises UsageFault."""
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = "127.0.0.1", text
    elif host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _wrong(text, f"write an IPv6 address in brackets: [{host}]:{port}")
    if host == "localhost":
        host = "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise _wrong(text, "the port is a number up to 65535, as in 127.0.0.1:8474")
    try:
        address = ip_address(host)
    except ValueError:
        raise _wrong(text, "the address is written in numbers, as in 127.0.0.1:8474; 0.0.0.0 is every one") from None
    return Listen(address, int(port))


def _wrong(text: str, hint: str) -> UsageFault:
    return UsageFault.of("USAGE", f"--listen '{text}' is not ADDRESS:PORT", hint=hint)


def host_of(header: str) -> str:
    """The name in a Host header, without its port, in lower case; nothing where it is malformed."""
    name = header.strip().lower()
    if name.startswith("["):
        inner, bracket, rest = name[1:].partition("]")
        return inner if bracket and (not rest or rest.startswith(":")) else ""
    name, _, port = name.partition(":")
    return name.rstrip(".") if not port or port.isdigit() else ""
