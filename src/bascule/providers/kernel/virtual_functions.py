"""Virtual functions of SR-IOV: whose they are (by sysfs), and what the NIC above them does not let through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

Json = Mapping[str, Any]
CLASS = Path("/sys/class/net")


def has_functions(folder: Path = CLASS) -> bool:
    """Whether any link here is one: hardly any host has them."""
    return next(folder.glob("*/device/physfn"), None) is not None


def virtual_functions(links: Iterable[Json], folder: Path = CLASS) -> dict[str, tuple[str, ...]]:
    """Each link that is one: its NIC and its number there, and what that holds back, in the words of ip-link(8).

    ``links`` are the entries of ``ip -j -d link``; nothing is said of a NIC that is in another namespace or machine.
    """
    told = {entry["ifname"]: entry.get("vfinfo_list", ()) for entry in links}
    found: dict[str, tuple[str, ...]] = {}
    for path in folder.glob("*/device/physfn"):
        name, device = path.parent.parent.name, path.parent.resolve()
        if name not in told:
            continue
        above = next(iter(sorted(one.name for one in path.glob("net/*"))), "")
        numbers = (one.name.removeprefix("virtfn") for one in path.glob("virtfn*") if one.resolve() == device)
        number = next(numbers, "")
        said = next((one for one in told.get(above, ()) if str(one.get("vf")) == number), None)
        limits = () if said is None else tuple(_limits(said))
        found[name] = (above, number, "unknown" if said is None else ", ".join(limits))
    return found


def _limits(said: Json) -> Iterable[str]:
    if said.get("spoofchk"):
        yield "spoofchk on"
    if not said.get("trust"):
        yield "trust off"
    if vlan := next((one["vlan"] for one in said.get("vlan_list", ()) if one.get("vlan")), 0):
        yield f"vlan {vlan}"
