"""On which links the administrator's own line to this host runs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

from bascule.errors import CommandFailed, NotPermitted
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.system.run import run
from bascule.topology.management import management_path


class Management(Struct, frozen=True, kw_only=True):
    """The line: who sits at the far end, which of our addresses he talks to, and the links that carry it."""

    peer: str
    address: str
    device: IfName
    gateway: str = ""
    links: frozenset[str] = frozenset()


def ssh_connection() -> tuple[str, str, str] | None:
    """The peer's and our address of the SSH session that we were started in, and our port.

    sudo and su drop SSH_CONNECTION (sshd(8)), so the processes above us are asked as well.
    """
    found = _connection(os.environ)
    pid = os.getppid()
    while found is None and pid > 1:
        found = _connection(_environment(pid))
        pid = _parent(pid)
    return found


def _connection(environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    words = environment.get("SSH_CONNECTION", "").split()
    return (words[0], words[2], words[3]) if len(words) == 4 else None


def _environment(pid: int) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(entry.partition("=")[::2] for entry in text.split("\0") if "=" in entry)


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def management(state: HostState) -> Management | None:
    """The administrator's line through this network namespace; None where he sits at the console or elsewhere."""
    connection = ssh_connection()
    if connection is None:
        return None
    peer, _, zone = connection[0].partition("%")
    address = connection[1].partition("%")[0]
    if not any(a.ip.partition("/")[0] == address for link in state.links.values() for a in link.addresses):
        return None  # that session ends in another namespace
    try:
        ip_address(peer)
        words = ("ip", "-j", "route", "get", peer, "from", address, *(("oif", zone) if zone else ()))
        route = json.loads(run(words).stdout)[0]
    except (ValueError, IndexError, CommandFailed, NotPermitted):
        return None
    device = IfName(route.get("dev", ""))
    if device not in state.links or route.get("type") == "local" or device == "lo":
        return None
    return Management(
        peer=peer,
        address=address,
        device=device,
        gateway=route.get("gateway", ""),
        links=management_path(state, device),
    )
