"""VLANs as ip(8) and bridge(8) write them, and as names of links tell them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from bascule.model.links import Bridge
from bascule.model.state import PortVlans, default_vlans
from bascule.persist.config import LinkConfig, NetworkConfig

ADDS_VLANS_ALONE = {"networkd": "systemd-networkd before 256", "netplan": "systemd-networkd before 256"} | {
    "keyfile": "NetworkManager",
    "ifcfg": "NetworkManager",
}  # dialects whose readers give a port VLANs and take none away


def with_flags(vlan: PortVlans) -> str:
    """``10-20 pvid untagged``, as bridge(8) and NetworkManager have it."""
    return vlan.span + " pvid" * vlan.pvid + " untagged" * vlan.untagged


def bridge_commands(link: LinkConfig, name: str, bridge: LinkConfig | None = None) -> list[str]:
    """What gives a port of a bridge, or a bridge itself, its VLANs; ``name`` as the shell takes it."""
    of_bridge = " self" if link.is_bridge else ""
    out = [f"bridge vlan add dev {name} vid {with_flags(vlan)}{of_bridge}" for vlan in link.vlans]
    unwanted = unwanted_vlan(link, bridge)
    return [*out, f"bridge vlan del dev {name} vid {unwanted}"] if unwanted else out


def unwanted_vlan(link: LinkConfig, bridge: LinkConfig | None) -> int:
    """The VLAN that the kernel gives a port beside those that are wanted there, the bridge's default; 0 for none."""
    if bridge is None or not isinstance(bridge.options, Bridge) or not bridge.options.by_kernel or not link.vlans:
        return 0
    default = bridge.options.vlan_default_pvid
    return 0 if any(vlan.first <= default <= vlan.last for vlan in link.vlans) else default


def without_default_vlan(config: NetworkConfig) -> NetworkConfig:
    """The same VLANs for who adds some to a port and takes none away: bridges without a default PVID, every VLAN said.

    So do systemd-networkd up to 255 (networkd-bridge-vlan.c) and NetworkManager (nm-device-bridge.c). Where every port
    has the default VLAN, nothing changes.
    """
    links = config.links
    masters = ((link, config.over(link)) for link in links.values())
    bare = {bridge.name: unwanted for link, bridge in masters if bridge and (unwanted := unwanted_vlan(link, bridge))}
    if not bare:
        return config
    out = []
    for link in links.values():
        default = bare.get(link.name) or bare.get(link.master or link.name)
        own = default_vlans(default or 0)
        is_bare = link.name in bare and isinstance(link.options, Bridge)
        options = replace(link.options, vlan_default_pvid=0) if is_bare else link.options
        out.append(replace(link, vlans=link.vlans or own, options=options))
    return config.with_links(out)


def from_name(name: str) -> tuple[str, str]:
    """The link below a VLAN and its number, as ``eth4.30`` says them; ``vlan30`` says the number alone."""
    found = re.fullmatch(r"(.+)\.([0-9]{1,4})|vlan([0-9]{1,4})", name)
    return (found[1] or "", found[2] or found[3]) if found else ("", "")


def without(vlan: PortVlans, vid: int) -> list[PortVlans]:
    """What is left of a range of VLANs without one of them."""
    if not vlan.first <= vid <= vlan.last:
        return [vlan]
    spans = ((vlan.first, vid - 1), (vid + 1, vlan.last))
    return [PortVlans(first=first, last=last) for first, last in spans if first <= last]


def vids(vlans: Iterable[PortVlans]) -> set[tuple[int, bool]]:
    """Each VLAN of a port, and whether it is untagged there."""
    return {(vid, vlan.untagged) for vlan in vlans for vid in range(vlan.first, vlan.last + 1)}
