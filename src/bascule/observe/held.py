"""Who sits on a NIC from another network namespace: a container's macvlan, macvtap or ipvlan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from bascule.errors import BasculeError, Place, Problem
from bascule.model.state import HostState
from bascule.model.values import Mac
from bascule.plan.target.unbridgeable import ON_A_NIC
from bascule.system.net.links import drivers, namespace_id
from bascule.system.net.netns import Namespace
from bascule.system.run import rows

DRIVERS = {"macvlan", "ipvlan"}  # theirs, also of the taps
CONTAINERS = {  # how a control group tells whose container a process is in
    "Docker container": r"docker[-/]([0-9a-f]{64})",
    "Podman container": r"libpod-([0-9a-f]{64})",
    "LXC container": r"lxc\.payload\.([^/]+)",
    "pod's container": r"cri-(?:containerd|o)-([0-9a-f]{64})",
    "machine": r"machine-([^/]+)\.scope",
}
PROC, DOCKER = Path("/proc"), Path("/var/lib/docker/containers")


def holders(indexes: Mapping[int, str]) -> dict[str, tuple[str, ...]]:
    """The NICs, by index in our namespace, on which links of other namespaces sit, each with what sits there.

    What cannot be looked into (another user's processes) is left out.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path, process in other_namespaces() if indexes else ():
        for index, words in _links_in(path):
            if index in indexes:
                name = indexes[index]
                found[name] = (*found.get(name, ()), f"{words} in {whose(process, path)}")
    return found


class HeldBridge(Struct, frozen=True):
    """A bridge on which a link of another namespace stands: the kernel deletes both together."""

    bridge: str
    words: str

    def problem(self, place: Place | None) -> Problem:
        """That it would go, and nobody asked for that."""
        return Problem(
            code="PORT-LEFT",
            message=f"{self.words} would be deleted with {self.bridge}, on which it is built; "
            "the file does not ask for that",
            place=place,
            hint=f"keep {self.bridge} in the file, or stop the container first",
        )


def on_bridges_that_go(before: HostState, after: HostState) -> tuple[HeldBridge, ...]:
    """What stands from other namespaces on the bridges that a change deletes."""
    gone = {x.facts.index: str(name) for name, x in before.links.items() if name not in after.links and x.is_bridge}
    return tuple(HeldBridge(name, words) for name, some in holders(gone).items() for words in some)


def other_namespaces() -> Iterator[tuple[Path, Path | None]]:
    """Each other namespace by a path to it, and the first process in it; those that only have a name come last."""
    seen = {_inode(PROC / "thread-self/ns/net")}
    processes = sorted((one for one in PROC.glob("[0-9]*")), key=lambda one: int(one.name))
    named = Path("/run/netns")
    for path, process in (
        *((one / "ns/net", one) for one in processes),
        *((one, None) for one in (named.iterdir() if named.is_dir() else ())),
    ):
        inode = _inode(path)
        if inode and inode not in seen:
            seen.add(inode)
            yield path, process


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


class LinkOnOurNic(Struct, frozen=True, kw_only=True):
    """A macvlan or ipvlan of another namespace on a NIC of ours, by the NIC's index; ``mode`` is a macvlan's."""

    index: int
    kind: str
    name: str
    whose: str
    mode: str
    mac: Mac
    addresses: tuple[str, ...]


def links_on_our_nics() -> Iterator[LinkOnOurNic]:
    """All of them, as far as they may be looked at."""
    for path, process in other_namespaces():
        for entry in _rows_in(path):
            kind, modes = entry["linkinfo"]["info_kind"], entry["linkinfo"].get("info_data", {})
            yield LinkOnOurNic(
                index=entry["link_index"],
                kind=kind,
                name=entry["ifname"],
                whose=whose(process, path),
                mode="ipvlan" if kind.startswith("ipv") else modes.get("mode", ""),
                mac=Mac(entry["address"]),
                addresses=tuple(one["local"] for one in entry.get("addr_info", ()) if one.get("scope") == "global"),
            )


def _links_in(path: Path) -> Iterator[tuple[int, str]]:
    """The links in a namespace that sit on one of another, by that one's index there."""
    for entry in _rows_in(path):
        yield entry["link_index"], f"the {entry['linkinfo']['info_kind']} {entry['ifname']}"


def _rows_in(path: Path) -> Iterator[dict[str, Any]]:
    try:
        with Namespace.open(path) as namespace:
            if not drivers(namespace) & DRIVERS:
                return  # without a program for each of a hundred containers
            with Namespace.current() as ours:
                number = namespace_id(namespace, ours)
            if number is None:
                return  # nothing in it stands on a link of ours: the kernel would have given us a number there
            entries = rows(("ip", "-j", "-d", "address"), namespace=namespace)
    except (BasculeError, OSError, ValueError):
        return
    for entry in entries:
        kind = entry.get("linkinfo", {}).get("info_kind", "")
        is_on_ours = entry.get("link_netnsid") == number  # another's has the same indexes
        if kind in ON_A_NIC and is_on_ours and "link_index" in entry:
            yield entry


def whose(process: Path | None, path: Path) -> str:
    """A namespace by its container's name, else by the process in it."""
    if process is None:
        return f"network namespace {path.name}"
    try:
        group, name = (process / "cgroup").read_text(), (process / "comm").read_text().strip()
    except OSError:
        return "another network namespace"
    for what, pattern in CONTAINERS.items():
        if found := re.search(pattern, group):
            return f"{what} {_docker_name(found[1]) if what.startswith('Docker') else found[1][:64]}"
    if (named := _named(process / "ns/net")) is not None:
        return f"network namespace {named}"
    return f"the network namespace of process {process.name} ({name})"


def _named(path: Path) -> str | None:
    """What ``ip netns`` calls a namespace."""
    inode, folder = _inode(path), Path("/run/netns")
    return next((one.name for one in (folder.iterdir() if folder.is_dir() else ()) if _inode(one) == inode), None)


def _docker_name(number: str) -> str:
    """A container's name, from Docker's own file; the beginning of its number where that cannot be read."""
    try:
        name = json.loads((DOCKER / number / "config.v2.json").read_text())["Name"]
    except (OSError, ValueError, KeyError, TypeError):
        return number[:12]
    return str(name).lstrip("/")
