"""Many changes through one run of ``ip -batch`` or ``bridge -batch``, and the ways that ``ip route get`` names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from bascule.model.values import IpAddress
from bascule.system.net.netns import Namespace
from bascule.system.run import read_rows, rows, run

_FAILED = re.compile(r"Command failed -:(\d+)")
PROTOCOLS = {  # of routes and rules (rt_names.c of iproute2, rtnetlink.h)
    "unspec": 0, "redirect": 1, "kernel": 2, "boot": 3, "static": 4, "gated": 8, "ra": 9, "mrt": 10, "zebra": 11,
    "bird": 12, "dnrouted": 13, "xorp": 14, "ntk": 15, "dhcp": 16, "mrouted": 17, "keepalived": 18, "babel": 42,
    "openr": 99, "bgp": 186, "isis": 187, "ospf": 188, "rip": 189, "eigrp": 192,
}  # fmt: skip
_NAMED = re.compile(r"^((?:route|rule) .*?\bproto(?:col)? )(\S+)", re.MULTILINE)


class BatchError(Struct, frozen=True):
    """The line that failed (counted from 0; None when the tool did not say) and the kernel's reason."""

    line: int | None
    reason: str


def batch(tool: str, text: str, *, namespace: Namespace | None = None, keep: Sequence[int] = ()) -> BatchError | None:
    """Feed the lines to the tool, which stops at the first that fails; None when all went through.

    Protocols of routes are given by number: iproute2 keeps that of the last name where it puts the next number, too, so
    behind ``proto static`` and ``proto 66`` a second ``proto static`` of the same batch is 66 (rtnl_rtprot_a2n, 6.1).

    Raises MissingTool.
    """
    text = _NAMED.sub(lambda found: f"{found[1]}{PROTOCOLS.get(found[2], found[2])}", text)
    result = run((*tool.split(), "-batch", "-"), stdin=text, namespace=namespace, check=False, keep=keep)
    if result.status == 0:
        return None
    found = _FAILED.search(result.stderr)
    reasons = [line for line in result.stderr.splitlines() if line.strip() and not _FAILED.search(line)]
    reason = "; ".join(reasons) or f"{tool} ended with status {result.status}"
    return BatchError(
        int(found[1]) - 1 if found else None, reason.removeprefix("RTNETLINK answers: ").removeprefix("Error: ")
    )


def masters_of_links(namespace: Namespace | None) -> dict[str, str]:
    """The master of each link, "" where it has none. Raises as ``run`` does."""
    return {row["ifname"]: row.get("master", "") for row in rows(("ip", "-j", "link", "show"), namespace=namespace)}


def batch_lines(tool: str, lines: Iterable[str], *, namespace: Namespace | None = None) -> BatchError | None:
    """The same for a change in each line; nothing is run where there is none."""
    text = "".join(f"{line}\n" for line in lines)
    return batch(tool, text, namespace=namespace) if text else None


Way = Mapping[str, Any]
"""A row of ``ip -j route get``: ``dev``, ``gateway``, ``table``, ``type``; empty where there is no way."""


def route_to(address: str, *words: str, namespace: Namespace | None = None) -> Way:
    """The way to one address; ``words`` say more of the packet. Raises MissingTool or NotPermitted."""
    done = run(("ip", "-j", "route", "get", address, *words), namespace=namespace, check=False)
    found = read_rows(done.stdout) if done.status == 0 else []
    return found[0] if found else {}


def routes_to(
    addresses: Sequence[IpAddress],
    namespace: Namespace,
    sources: Mapping[IpAddress, IpAddress] = MappingProxyType({}),
    *,
    by: Mapping[IpAddress, str] = MappingProxyType({}),
) -> dict[str, Way]:
    """The ways to many addresses; those without one are left out.

    ``sources`` are the addresses that the packets come from, where that is asked for; ``by`` are the links that a
    packet is meant for, without which a link-local address may be anywhere.
    """
    if not addresses:
        return {}
    words = ((("from", sources.get(to)), ("oif", by.get(to))) for to in addresses)
    ends = ("".join(f" {key} {value}" for key, value in some if value is not None) for some in words)
    lines = "".join(f"route get {to}{end}\n" for to, end in zip(addresses, ends, strict=True))
    done = run(("ip", "-j", "-force", "-batch", "-"), stdin=lines, namespace=namespace, check=False)
    found = (row for line in done.stdout.splitlines() for row in read_rows(line.strip()))
    return {row["dst"]: row for row in found if "dev" in row}
