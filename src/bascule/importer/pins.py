"""What ties an imported site file to the machine that it was made of: the MAC of each NIC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from bascule.model.state import HostState
from bascule.model.values import IfName


def pin_nics(nics: Mapping[str, dict[str, Any]], state: HostState, notes: list[str]) -> None:
    """Write the hardware's MAC to every NIC that has no pin; one that several NICs wear names none of them."""
    macs = {name: link.hardware_mac for name in nics if (link := state.links.get(IfName(name))) is not None}
    worn = Counter(macs.values())
    for name, mac in macs.items():
        if mac is None or "mac" in nics[name]:
            continue
        if worn[mac] > 1:
            notes.append(f"{name}: not pinned, {mac} is the MAC of another NIC as well")
        else:
            nics[name]["mac"] = str(mac)
