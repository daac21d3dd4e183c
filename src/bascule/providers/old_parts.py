"""Parts of a change that version 0.1.0 wrote down beside the states, as parts of states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct


class OldParts(Struct, frozen=True, kw_only=True):
    """The parts before, as wanted, and right after the change, each by its provider's name."""

    before: Mapping[str, Any]
    wanted: Mapping[str, Any]
    applied: Mapping[str, Any] | None = None


def parts(kept: Mapping[str, Any], made: Mapping[str, Any]) -> OldParts:
    """From the documents ``besides.json`` and ``besides-made.json`` of a checkpoint."""
    found: dict[str, tuple[Any, Any, Any]] = {}
    if "servers" in kept:
        from bascule.providers.dnsmasq.old import parts_from_besides as servers

        before, wanted = servers(kept["servers"])
        found["dnsmasq"] = (before, wanted, None)
    driver = kept.get("guests", {}).get("driver")
    if driver == "libvirt":
        from bascule.providers.libvirt.old import parts_from_besides as guests

        found["libvirt"] = guests(kept["guests"], made.get("guests"))
    elif driver == "qemu":
        from bascule.guests.paths import qemu_folder
        from bascule.providers.qemu.old import parts_from_besides as bare_guests

        found["qemu"] = bare_guests(kept["guests"], made.get("guests"), str(qemu_folder()))
    after = {name: applied or wanted for name, (_, wanted, applied) in found.items()}
    return OldParts(
        before={name: before for name, (before, _, _) in found.items()},
        wanted={name: wanted for name, (_, wanted, _) in found.items()},
        applied=after if made else None,
    )
