"""Many changes through one run of ``ip -batch`` or ``bridge -batch``, and what the kernel says of a way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from bascule.system.net.netns import Namespace
from bascule.system.run import rows, run

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


def way_to(address: str, *words: str, namespace: Namespace | None = None) -> Mapping[str, Any]:
    """By which link and router the kernel would send to an address, and from which of its own (``ip route get``).

    Raises MissingTool, NotPermitted, and CommandFailed where it has no way there.
    """
    return rows(("ip", "-j", "route", "get", address, *words), namespace=namespace)[0]
