"""Values as all dialects write them. Each ``parse_…`` raises ValueError with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from ipaddress import ip_address, ip_interface, ip_network

from bascule.model.host_links import MAIN_TABLE, TEMPORARY, Ipv6Privacy
from bascule.model.state import DEFAULT_DST
from bascule.model.values import parse_vid
from bascule.persist.config import StaticRoute

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_TRUE = {"yes", "true", "on", "1", "y", "t"}
_TABLES: ContextVar[Mapping[str, int]] = ContextVar("names of routing tables")
_FALSE = {"no", "false", "off", "0", "n", "f"}
OPEN_MODES = {"default", "default-or-eui64", "2", "3"}  # left to NetworkManager's own defaults
OWN_IPV6 = "how the link makes its IPv6 addresses has no word in a site file"


def is_false(text: str) -> bool:
    """Whether it is one of the words for no."""
    return text.lower() in _FALSE


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


def parse_flag(text: str) -> int:
    """yes/no as the kernel has it: 1 or 0."""
    return int(parse_bool(text))


def up_to(high: int) -> Callable[[str], int]:
    """What reads a whole number from 0 to ``high``."""
    return partial(parse_number, high=high)


def parse_tagging(text: str) -> str:
    """The protocol of a VLAN's tag: 802.1Q or 802.1ad, in capitals or not."""
    known = {"802.1q": "802.1Q", "802.1ad": "802.1ad"}
    if text.lower() not in known:
        raise ValueError(f"'{text}' is neither 802.1q nor 802.1ad")
    return known[text.lower()]


def parse_vids(text: str) -> tuple[int, int]:
    """``10`` or ``10-20``: the first VLAN and the last."""
    first, dash, last = text.partition("-")
    low, high = parse_vid(first), parse_vid(last if dash else first)
    if low > high:
        raise ValueError(f"'{text}' is not a range of VLANs")
    return low, high


def parse_mask(text: str) -> int:
    """A whole number, which may be written in hexadecimal as the kernel takes it: 0x8."""
    return int(text, 16) if re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text) else parse_number(text)


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


ROUTE_TYPES = words("blackhole unreachable prohibit throw local multicast nat anycast")  # other than unicast


def default_of(gateway: str) -> str:
    """The default destination in the gateway's family."""
    return DEFAULT_DST[6 if ":" in gateway else 4]


def seconds(ticks: int) -> str:
    """Kernel ticks (100 are a second) as seconds, with decimals only where needed."""
    whole, rest = divmod(ticks, 100)
    return f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)


def ticks(text: str) -> int:
    """Seconds, possibly with decimals, as kernel ticks."""
    if not _SECONDS.fullmatch(text.strip()):
        raise ValueError(f"'{text}' is not a number of seconds")
    value = round(float(text) * 100)
    if not 0 <= value <= 2**31:
        raise ValueError(f"{text} s is out of bounds")
    return value


def parse_table(text: str) -> int:
    """A routing table by number, by one of the kernel's names or by one of the host's own (``named_tables``)."""
    name = text.strip()
    known = {"main": MAIN_TABLE, "local": 255, "default": 253, **_TABLES.get({})}
    if name[:1].isalpha() and name not in known:
        raise ValueError(f"'{name}' is not the number of a routing table, and the host's rt_tables have no such name")
    return known.get(name) or parse_number(text, 1)


@contextmanager
def named_tables(known: Mapping[str, int]) -> Iterator[None]:
    """Within it, configurations are read as on a host that gives these names to routing tables."""
    token = _TABLES.set(known)
    try:
        yield
    finally:
        _TABLES.reset(token)


def parse_privacy(text: str) -> Ipv6Privacy:
    """The use of temporary IPv6 addresses by the kernel's number: 0 has none, 1 has them, 2 prefers them."""
    number = parse_number(text, 0, 2)
    return next(word for word, known in TEMPORARY.items() if known == number)


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


TUNING = words(  # of a route, by ip-route(8): how packets go by it, not where
    """
    mtu advmss window rtt rttvar rto_min cwnd ssthresh initcwnd initrwnd hoplimit quickack congctl features pref
    """
)
