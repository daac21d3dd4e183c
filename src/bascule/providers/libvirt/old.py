"""Checkpoints of version 0.1.0, which kept the guests' part in a file of its own, read as parts of states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from bascule.model.domain import DomainText, NetworkText
from bascule.providers.libvirt.state import UNKNOWN, LibvirtState


def parts_from_besides(
    kept: Mapping[str, Any], made: Mapping[str, Any] | None
) -> tuple[LibvirtState, LibvirtState, LibvirtState | None]:
    """The parts before, wanted and right after the change; None where it never got so far.

    ``kept`` and ``made`` are what stands under ``guests`` in ``besides.json`` and ``besides-made.json``.
    """
    domains = {row["name"]: DomainText(**row) for row in kept["guests"]}
    networks = {name: NetworkText(**row) for name, row in kept["networks"].items() if row}
    before = LibvirtState(uri=kept["uri"], domains=domains, networks=networks)
    after = {row["name"]: DomainText(**row) for row in (made or {}).get("guests", ())}
    new = {
        name: DomainText(name=name, running=False, persistent=True, autostart=False, now=UNKNOWN, next=UNKNOWN)
        for name in kept["made"]
    }
    touched = {name: replace(domain, next=UNKNOWN) for name, domain in domains.items()}
    networks_made = {
        name: NetworkText(name=name, active=True, persistent=True, autostart=True, now=UNKNOWN, next=UNKNOWN)
        for name in kept["networks"]
    }
    wanted = replace(before, domains={**touched, **new}, networks=networks_made)
    if not made:
        return before, wanted, None
    rows = made.get("networks", {})
    applied = replace(before, domains=after, networks={name: NetworkText(**row) for name, row in rows.items()})
    return before, wanted, applied
