"""What every dialect is: two pure functions, what it reads, and what it has no word for."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_interface, ip_network
from typing import Protocol, TypeVar, cast

from msgspec import Struct

from bascule.errors import BasculeError, Problem, UsageFault
from bascule.model.values import IfName, Mac, parse_ifname
from bascule.persist.config import MAIN_TABLE, LinkConfig, NetworkConfig, StaticRoute

T = TypeVar("T")

Files = Mapping[str, str]  # a path without leading slash ("etc/sysconfig/network-scripts/ifcfg-br3") and its text
Hardware = Mapping[IfName, Mac | None]  # the NICs that are known to be there, with their MACs


class Left(Struct, frozen=True, order=True):
    """Something in a file that could not be taken over; ``line`` counts from 1, 0 stands for the whole file."""

    file: str
    line: int
    text: str
    why: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.text}: {self.why}" if self.text else f"{place}: {self.why}"


class Parsed(Struct, frozen=True, kw_only=True):
    """What the files say, and what of them could not be taken over."""

    config: NetworkConfig
    left: tuple[Left, ...] = ()


class Dialect(Protocol):
    """One configuration system. ``READS`` are glob patterns below the root, ``OWNS`` those of files that it writes."""

    NAME: str
    READS: tuple[str, ...]

    def render(self, config: NetworkConfig) -> dict[str, str]:
        """The files. Raises Inexpressible with everything that the dialect has no word for."""
        ...

    def parse(self, files: Files, hardware: Hardware | None = None) -> Parsed:
        """The meaning of the files; never raises for what stands in them."""
        ...


NAMES = ("ifcfg", "keyfile", "networkd", "netplan", "ifupdown")
RENDER_ONLY = ("commands", "brctl")


def dialect(name: str) -> Dialect:
    """A dialect by its name.

    Raises UsageFault for a name that is none.
    """
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise UsageFault(Problem(code="DIALECT", message=f"'{name}' is no dialect", hint=f"known are {known}"))
    return cast("Dialect", importlib.import_module(f"bascule.persist.{name}"))


class Inexpressible(BasculeError):
    """A dialect has no word for something that is wanted; nothing was written."""


class Gaps:
    """Collects what a dialect cannot say, so that all of it is told at once."""

    __slots__ = ("dialect", "problems")

    def __init__(self, name: str) -> None:
        self.dialect = name
        self.problems: list[Problem] = []

    def add(self, link: str, key: str, value: object, why: str = "") -> None:
        """``key`` of ``link`` has no word in this dialect."""
        reason = f": {why}" if why else ""
        self.problems.append(
            Problem(
                code="DIALECT-CANNOT",
                message=f"{self.dialect} has no word for '{key}: {value}' of {link}{reason}",
                hint="drop the key, or choose another dialect (docs/reference/dialects.md has the table)",
            )
        )

    def check(self) -> None:
        """Raises Inexpressible if there was anything."""
        if self.problems:
            raise Inexpressible(*self.problems)

    def check_names(self, config: NetworkConfig, suffixes: tuple[str, ...] = ()) -> None:
        """Names with signs that mean something else in files, though the kernel takes them."""
        for link in config.links.values():
            if not _PLAIN.fullmatch(link.name) or link.name == "lo" or link.name.endswith(suffixes or ("\0",)):
                self.add(link.name, "name", link.name, "it would mean something else in its files")
            for other in (link.master, link.parent):
                if other is not None and other not in config.links:
                    self.add(link.name, "master" if other == link.master else "link", other, "it is not configured")
            for word in link.search:
                if not DOMAIN.fullmatch(word):
                    self.add(link.name, "search", word, "it is not a domain")
            if link.pin_path is not None and not PATH.fullmatch(link.pin_path):
                self.add(link.name, "path", link.pin_path, "it is not the path of a slot")
        for pattern in config.unmanaged:
            if not _PATTERN.fullmatch(pattern):
                self.add("the host", "unmanaged", pattern, "a name, or the beginning of a name and '*'")

    def check_client_id(self, link: LinkConfig) -> None:
        """Dialects whose DHCP client puts its identifier together by itself."""
        if link.client_id is not None:
            self.add(link.name, "DHCP client identifier", link.client_id, "dhclient makes its own")


DOMAIN = re.compile(r"~?[A-Za-z0-9_][A-Za-z0-9_.-]*")
PATH = re.compile(r"[A-Za-z0-9_.:-]+")  # udev's ID_PATH: pci-0000:03:00.0
_PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~-]*\*?")


class Leftovers:
    """Collects what a parser could not take."""

    __slots__ = ("found",)

    def __init__(self) -> None:
        self.found: list[Left] = []

    def add(self, file: str, line: int, text: str, why: str) -> None:
        """One line of a file, shortened if it is huge."""
        text = text.strip()
        shown = text if len(text) <= 100 else text[:97] + "..."
        self.found.append(Left(file, line, printable(shown), why))

    def done(self) -> tuple[Left, ...]:
        """All of them in the order of files and lines, each once."""
        return tuple(sorted(set(self.found)))


def printable(text: str) -> str:
    """Control characters as escapes, so that a binary file cannot speak to the terminal."""
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in text)


# Values, as all dialects write them. Each raises ValueError with a sentence.

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_TRUE = {"yes", "true", "on", "1", "y", "t"}
_FALSE = {"no", "false", "off", "0", "n", "f"}


def parse_bool(text: str) -> bool:
    """yes/no in any of the usual spellings."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise ValueError(f"'{text}' is neither yes nor no")


def parse_number(text: str, low: int = 0, high: int = 2**32 - 1) -> int:
    """A decimal whole number within bounds."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise ValueError(f"'{text}' is not a whole number")
    if not low <= int(text) <= high:
        raise ValueError(f"{int(text)} is not in {low}–{high}")
    return int(text)


def parse_mtu(text: str) -> int:
    """An MTU in bytes: 68 (RFC 791) to 65,535."""
    return parse_number(text, 68, 65535)


def parse_address(text: str, prefix: str | None = None) -> str:
    """An address with its prefix length in one spelling; without one it stands alone (/32, /128)."""
    text = text.strip()
    if "%" in text:
        raise ValueError(f"'{text}' has a zone")
    if prefix is not None and "/" not in text:
        text = f"{text}/{prefix.strip()}"
    try:
        return ip_interface(text).with_prefixlen
    except ValueError:
        raise ValueError(f"'{text}' is not an IP address with a prefix length") from None


def parse_ip(text: str) -> str:
    """An address without prefix length in one spelling."""
    try:
        if "%" in text:
            raise ValueError
        return str(ip_address(text.strip()))
    except ValueError:
        raise ValueError(f"'{text}' is not an IP address") from None


def parse_prefix(text: str, mask: str | None = None) -> str:
    """A route's destination in one spelling; host bits are cut off, as the tools do."""
    text = text.strip()
    if "%" in text:
        raise ValueError(f"'{text}' has a zone")
    if mask and "/" not in text:
        text = f"{text}/{mask}"
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(f"'{text}' is not an IP network") from None


def words(text: str) -> frozenset[str]:
    """A set of words, written down as a paragraph."""
    return frozenset(text.split())


def default_of(gateway: str) -> str:
    """The default destination in the gateway's family."""
    return "::/0" if ":" in gateway else "0.0.0.0/0"


def seconds(ticks: int) -> str:
    """Kernel ticks (100 are a second) as seconds, with decimals only where needed."""
    whole, rest = divmod(ticks, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)


def ticks(text: str, limit: int = 2**31) -> int:
    """Seconds, possibly with decimals, as kernel ticks."""
    if not _SECONDS.fullmatch(text.strip()):
        raise ValueError(f"'{text}' is not a number of seconds")
    value = round(float(text) * 100)
    if not 0 <= value <= limit:
        raise ValueError(f"{text} s is out of bounds")
    return value


def parse_table(text: str) -> int:
    """A routing table by number or by one of the kernel's names."""
    known = {"main": MAIN_TABLE, "local": 255, "default": 253}
    return known.get(text.strip()) or parse_number(text, 1)


def route_words(route: StaticRoute, dev: str) -> str:
    """A route as ip-route(8) takes it behind ``ip route add``."""
    out = [route.dst if not route.dst.endswith("/0") else "default"]
    if route.gateway:
        out += ["via", route.gateway]
    out += ["dev", dev]
    if route.metric:
        out += ["metric", str(route.metric)]
    if route.table != MAIN_TABLE:
        out += ["table", str(route.table)]
    if route.prefsrc:
        out += ["src", route.prefsrc]
    if route.onlink:
        out.append("onlink")
    return " ".join(out)


def parse_route_words(given: list[str], *, ipv6: bool = False) -> tuple[StaticRoute, str]:
    """The words behind ``ip route add`` as a route and its ``dev`` ("" if none is named)."""
    if not given:
        raise ValueError("a route without destination")
    dst, rest = given[0], given[1:]
    values: dict[str, str] = {}
    onlink = False
    while rest:
        key = rest.pop(0)
        if key == "onlink":
            onlink = True
        elif key in {"via", "dev", "metric", "table", "src"} and rest:
            values[key] = rest.pop(0)
        elif key in {"proto", "scope"} and rest:
            rest.pop(0)  # who made it, and what follows from the gateway
        else:
            raise ValueError(f"'{key}' of a route is not taken")
    gateway = parse_ip(values["via"]) if "via" in values else ""
    if dst == "default":
        dst = "::/0" if ipv6 or ":" in gateway else "0.0.0.0/0"
    route = StaticRoute(
        dst=parse_prefix(dst),
        gateway=gateway,
        metric=parse_number(values.get("metric", "0")),
        table=parse_table(values.get("table", "main")),
        prefsrc=parse_ip(values["src"]) if "src" in values else "",
        onlink=onlink,
    )
    return route, str(parse_ifname(values["dev"])) if "dev" in values else ""


def taking(left: Leftovers, file: str, line: int, text: str, parse: Callable[[], T]) -> T | None:
    """``parse()``, or None and an entry among the leftovers if it raised ValueError."""
    try:
        return parse()
    except ValueError as wrong:
        left.add(file, line, text, str(wrong))
        return None
