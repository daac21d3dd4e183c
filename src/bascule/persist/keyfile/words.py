"""The words of NetworkManager's profiles: its times of a bridge, and the keys that say nothing of the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.dhcp.offers import Offer
from bascule.model.host_links import Ipv6
from bascule.persist.formats.openvswitch import BRIDGE
from bascule.persist.formats.values import parse_flag, up_to, words

TIMES = {  # field of a bridge: key, its bounds and NetworkManager's default, all in seconds (nm-setting-bridge.c)
    "forward_delay": ("forward-delay", 0, 30, 15),
    "hello_time": ("hello-time", 0, 10, 2),
    "max_age": ("max-age", 0, 40, 20),
    "ageing_time": ("ageing-time", 0, 1_000_000, 300),
}

BRIDGE_KEYS: Mapping[
    str, tuple[str, Callable[[str], int]]
] = {  # key of [bridge]: the kernel's option, and what its value means
    "priority": ("priority", up_to(65535)),
    "multicast-snooping": ("mcast_snooping", parse_flag),
    "multicast-querier": ("mcast_querier", parse_flag),
    "group-forward-mask": ("group_fwd_mask", up_to(65535)),
    "vlan-filtering": ("vlan_filtering", parse_flag),
    "vlan-default-pvid": ("vlan_default_pvid", up_to(4094)),
}

IPV6_METHODS = {
    "auto": Ipv6.AUTO,
    "dhcp": Ipv6.DHCP,
    "link-local": Ipv6.MANUAL,
    "manual": Ipv6.MANUAL,
    "ignore": Ipv6.AUTO,  # NetworkManager leaves it to the kernel, which listens
}
TYPES = {"ethernet": "", "802-3-ethernet": "", "bridge": "bridge", "bond": "bond", "vlan": "vlan", "dummy": "dummy"}
TYPES["ovs-interface"] = BRIDGE  # its internal port

UNUSED = {"never-default": Offer.GATEWAY, "ignore-auto-routes": Offer.ROUTES, "ignore-auto-dns": Offer.DNS}

SILENT = words(
    # keys that do not change what the network is
    """
    permissions autoconnect-slaves autoconnect-ports
    autoconnect-priority autoconnect-retries read-only stable-id lldp llmnr mdns flags may-fail
    mac-address-blacklist mac-address-denylist wait-device-timeout dhcp-timeout ra-timeout
    auto-negotiate interface-name-match generate-mac-address-mask multi-connect
    """
)
IDENTITY = {"id", "uuid", "type", "interface-name", "timestamp", "slave-type", "port-type"}  # of the profile itself
SILENT_SECTIONS = {"proxy", "user", "ipv4-options"}


def client_id_of(text: str, said: ClientId) -> ClientId | None:
    """The value of dhcp-client-id; None for one that is put together from the link's name or the connection."""
    if text == "mac" or (text == "duid" and said.iaid is not None):
        return replace(said, by_mac=text == "mac")
    whole = ClientId.of(text)
    return whole if whole is not None and not whole.by_mac else None
