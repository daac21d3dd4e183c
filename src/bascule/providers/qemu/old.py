"""Checkpoints of version 0.1.0, which kept the guests' part in a file of its own, read as parts of states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from bascule.providers.qemu.state import QemuGuest, QemuState


def parts_from_besides(
    kept: Mapping[str, Any], made: Mapping[str, Any] | None, folder: str
) -> tuple[QemuState, QemuState, QemuState | None]:
    """The parts before, wanted and right after the change; None where it never got so far.

    ``kept`` and ``made`` are what stands under ``guests`` in ``besides.json`` and ``besides-made.json``; ``folder`` is
    where bare QEMU guests are kept.
    """
    before = QemuState(folder=folder, guests=_guests(kept["guests"]))
    touched = {name: replace(guest, definition={}) for name, guest in before.guests.items()}
    new = {name: QemuGuest(definition={}) for name in kept["made"]}
    applied = QemuState(folder=folder, guests=_guests(made["guests"])) if made else None
    return before, replace(before, guests={**touched, **new}), applied


def _guests(rows: Mapping[str, Any]) -> dict[str, QemuGuest]:
    return {name: QemuGuest(**row) for name, row in rows.items()}
