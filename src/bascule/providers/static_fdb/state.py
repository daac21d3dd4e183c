"""Entries of a bridge's table that stand by the site file, and the words that make them; pure.

A bridge forgets who has been silent for five minutes, and then sends what is for him to everybody. Where a guest's MACs
stand in its table, its port need not learn, and nothing unknown need be flooded to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, field

from bascule.model.sightings import FdbEntry
from bascule.model.site import Host, Site
from bascule.policy.guards.ports import guarded_ports
from bascule.providers.boot_files import HEADER

UDEV_FILE = "/etc/udev/rules.d/71-bascule-fdb.rules"
TRIES, PAUSE_S = 100, 0.1  # until a tap that has appeared is a port of its bridge


class StaticFdb(Struct, frozen=True, kw_only=True):
    """The MACs by port; ``udev`` is the text of udev's rule, which enters them when a tap appears."""

    entries: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    udev: str | None = None


def declared_entries(site: Site, host: Host) -> dict[str, tuple[str, ...]]:
    """The MACs that the file has stand in the tables of a host's bridges, by the guest's tap."""
    return {
        str(port.name): tuple(sorted(map(str, port.macs)))
        for port in guarded_ports(site, host)
        if port.guarding.fdb == "static" and not port.by_flows
    }


def entering(port: str, macs: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The calls that enter MACs at a port, in place of what was learned of them elsewhere."""
    yield from (("bridge", "fdb", "replace", mac, "dev", port, "master", "static") for mac in macs)


def leaving(port: str, macs: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """The calls that take them away."""
    yield from (("bridge", "fdb", "del", mac, "dev", port, "master") for mac in macs)


def forgetting(port: str) -> tuple[str, ...]:
    """The call by which the bridge forgets what it learned at a port; entries that were made stay."""
    return "ip", "link", "set", "dev", port, "type", "bridge_slave", "fdb_flush"


def static_macs(entries: Iterable[FdbEntry]) -> dict[str, tuple[str, ...]]:
    """The entries that somebody made, by port."""
    found: dict[str, set[str]] = {}
    for entry in entries:
        if entry.static:
            found.setdefault(entry.port, set()).add(entry.mac)
    return {port: tuple(sorted(macs)) for port, macs in sorted(found.items())}


def script(port: str, macs: Iterable[str]) -> str:
    """What is done with a tap that has just appeared: it is not a port of a bridge yet."""
    first, *others = (" ".join(call) for call in entering(port, macs))
    wait = f"n=0; until {first} 2>/dev/null; do n=$((n+1)); [ $n -lt {TRIES} ] || exit 0; sleep {PAUSE_S}; done"
    flags = f"bridge link set dev {port} learning off flood off"
    return "; ".join([wait, *others, flags])


def udev_text(entries: Mapping[str, tuple[str, ...]]) -> str | None:
    """They are entered when a tap appears, whoever makes it and when: at boot, plugged in again, after a move.

    Udev ends what a rule starts with the rule, so that systemd runs it.
    """
    if not entries:
        return None
    lines = [HEADER + "\n"]
    for port, macs in sorted(entries.items()):
        words = script(port, macs).replace("$", "$$")
        lines.append(
            f'ACTION=="add", SUBSYSTEM=="net", KERNEL=="{port}", '
            f"RUN+=\"/usr/bin/systemd-run --no-block --collect /bin/sh -c '{words}'\"\n"
        )
    return "".join(lines)
