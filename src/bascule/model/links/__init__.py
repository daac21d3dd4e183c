"""The kinds of links. A new kind is one file here and one entry in KINDS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bascule.model.links.bond import KEYS as BOND_KEYS
from bascule.model.links.bond import LOSES_GUESTS, Bond
from bascule.model.links.bridge import PORTS_MAX, Bridge, BridgePort
from bascule.model.links.openvswitch import InternalPort, OpenVSwitch, OpenVSwitchBond, PatchPort
from bascule.model.links.options import LinkOptions
from bascule.model.links.plain import Dummy, Loopback, Macvtap, Other, Physical, Tap, Veth
from bascule.model.links.vlan import Vlan

__all__ = [
    "BONDS",
    "BOND_KEYS",
    "BRIDGES",
    "KINDS",
    "LOSES_GUESTS",
    "PORTS_MAX",
    "Bond",
    "Bridge",
    "BridgePort",
    "Dummy",
    "InternalPort",
    "LinkOptions",
    "Loopback",
    "Macvtap",
    "OpenVSwitch",
    "OpenVSwitchBond",
    "Other",
    "PatchPort",
    "Physical",
    "Tap",
    "Veth",
    "Vlan",
    "read_kind",
]

KINDS: Mapping[str, type[LinkOptions]] = {
    cls.kind: cls
    for cls in (
        *(Physical, Loopback, Bridge, OpenVSwitch, OpenVSwitchBond, InternalPort, PatchPort, Vlan, Bond, Tap, Veth),
        *(Macvtap, Dummy),
    )
}

BRIDGES: Mapping[str, type[Bridge]] = {cls.said: cls for cls in (Bridge, OpenVSwitch)}  # by the site file's word
BONDS: Mapping[str, type[Bond]] = {cls.said: cls for cls in (Bond, OpenVSwitchBond)}


def read_kind(kind: str, info: Mapping[str, Any]) -> LinkOptions:
    """The options of a link from the kernel's name for its kind and iproute2's ``info_data``."""
    known = KINDS.get(kind)
    return known.read(info) if known else Other(info_kind=kind)
