"""The table of what each dialect can say, found by trying: ``python -m bascule.persist.reference``."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from msgspec.structs import replace

from bascule.model.dhcp.identity import ClientId
from bascule.model.dhcp.offers import Offer
from bascule.model.dialects import persistent
from bascule.model.host_links import HostRoute, Ipv6, RouteHop
from bascule.model.links import Bond, Bridge, BridgePort, Dummy, OpenVSwitch, OpenVSwitchBond, Vlan
from bascule.model.links.wake_on_lan import MAGIC
from bascule.model.state import PortVlans
from bascule.model.values import IfName, Mac
from bascule.persist.config import LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.dialect import dialect, dialects
from bascule.persist.foreign.carried import as_said_by
from bascule.persist.formats.gaps import Inexpressible
from bascule.persist.formats.openvswitch import is_switch

HEAD = """\
<!-- Made by `python -m bascule.persist.reference`; a test fails when it is stale. -->

# What each dialect can say

`bascule render` and `bascule apply` write a host's network in the words of its configuration system. Each line below
was tried: the files were written, read back, and came out the same. Where a dialect does not support something, it is
an error that names the key and the dialect before anything is written (`DIALECT-CANNOT`). *Database* stands where Open
vSwitch keeps a row by itself and the files say nothing of it: nothing is lost, and `apply` and `render` name it.

| dialect | files | read by |
|---|---|---|
"""

NOTES = """
## What to know about each

"""

FOOT = """\
* **Who asks by DHCP.** Where systemd-networkd or NetworkManager has a lease that goes over to another link, `bascule
  apply` reads from it who the link is to its server, and writes that down for the link that gets it. networkd says it
  with `ClientIdentifier=`, `IAID=`, `DUIDType=` and `DUIDRawData=`, a keyfile with `dhcp-client-id` and `dhcp-iaid`;
  netplan knows `dhcp-identifier: mac` alone, so the rest stands in a drop-in. `bascule import` notes it, since a site
  file has no key for it. ifupdown and ifcfg leave it to dhclient: it goes by the MAC, or by what its lease file says.
* **Hardware pins** are udev `.link` files (`/etc/systemd/network/10-NAME.link`) for keyfile, networkd and ifupdown,
  `match` and `set-name` for netplan, `HWADDR` for ifcfg.
* **The guests' taps** (`vnet*`, `tap*`, `macvtap*` and the names in the site file) are marked as not theirs for
  NetworkManager (`/etc/NetworkManager/conf.d/90-bascule-unmanaged.conf`) and networkd
  (`05-bascule-unmanaged.network`).

`bascule render --dialect commands` says all of it as `ip` commands, and once more with `brctl` and `ifconfig` where
those suffice. Every file that Bascule writes begins with `# Written by bascule`. A foreign one that speaks for a link
of yours is moved aside as a part of the change, whole, and comes back with it; what it says of others stays in its
place
([how, in each dialect](../tutorial/one-nic.md#what-happens-to-a-file-that-configures-other-links-as-well)).
What it says of a link of yours and the site file does not (addresses, routes, name servers, an MTU or a MAC) is kept
where the host has it after the change, and listed as not carried over where it has not.

Of several IPv6 addresses that fit as well the host speaks with the newest, and systemd-networkd and ifupdown set those
of a file from the first to the last. Their files and netplan's have a link's IPv6 addresses in that order, the one that
leads at the end; those of NetworkManager begin with it.
"""

ETH = IfName("eth4")
BR = IfName("br3")
DUID = "0004" + "ab" * 16  # of type UUID


def _nic(**fields: Any) -> NetworkConfig:
    return NetworkConfig.of([LinkConfig(name=ETH, **fields)])


def _bridge(**fields: Any) -> NetworkConfig:
    return NetworkConfig.of([LinkConfig(name=BR, options=Bridge(**fields)), LinkConfig(name=ETH, master=BR)])


def _port(**fields: Any) -> NetworkConfig:
    port = LinkConfig(name=ETH, master=BR, port=BridgePort(**fields))
    return NetworkConfig.of([LinkConfig(name=BR, options=Bridge()), port])


def _vlan(name: str, protocol: str = "802.1Q") -> NetworkConfig:
    link = LinkConfig(name=IfName(name), options=Vlan(id=30, protocol=protocol), parent=ETH)
    return NetworkConfig.of([LinkConfig(name=ETH), link])


def _bond(**fields: Any) -> NetworkConfig:
    bond = LinkConfig(name=IfName("bond0"), options=Bond(**fields))
    return NetworkConfig.of([bond, LinkConfig(name=ETH, master=bond.name)])


def _vlan_aware(*, untagged: bool = True) -> NetworkConfig:
    own = (PortVlans(first=1, last=1, pvid=True, untagged=True),) if untagged else ()
    vlans = (*own, PortVlans(first=20, last=29))
    bridge = LinkConfig(name=BR, options=Bridge(vlan_filtering=1))
    return NetworkConfig.of([bridge, LinkConfig(name=ETH, master=BR, vlans=vlans)])


def _switch(vlans: tuple[PortVlans, ...] = (), **fields: Any) -> NetworkConfig:
    bridge = LinkConfig(name=IfName("ovs0"), options=OpenVSwitch(**fields))
    return NetworkConfig.of([bridge, LinkConfig(name=ETH, master=bridge.name, vlans=vlans)])


def _switch_bond() -> NetworkConfig:
    bridge = LinkConfig(name=IfName("ovs0"), options=OpenVSwitch())
    options = OpenVSwitchBond(mode="balance-tcp", lacp="active", ad_lacp_rate="fast")
    bond = LinkConfig(name=IfName("bond0"), options=options, master=bridge.name)
    members = (LinkConfig(name=IfName(name), master=bond.name) for name in ("eth4", "eth5"))
    return NetworkConfig.of([bridge, bond, *members])


def probes() -> Iterator[tuple[str, NetworkConfig]]:
    """Everything that Bascule can want of a host, one thing at a time."""
    yield "a static IPv4 address", _nic(addresses=("192.0.2.5/24",))
    yield "several addresses, IPv4 and IPv6", _nic(addresses=("192.0.2.5/24", "192.0.2.6/24", "2001:db8::5/64"))
    yield "DHCP", _nic(dhcp4=True)
    yield "DHCP: the MAC as client identifier", _nic(dhcp4=True, client_id=ClientId(by_mac=True))
    yield "DHCP: IAID and DUID that the server knows", _nic(dhcp4=True, client_id=ClientId(iaid=7, duid=DUID))
    yield from _unused()
    yield "DHCP beside a static IPv4 address", _nic(dhcp4=True, addresses=("192.0.2.5/24",))
    yield "IPv6 by router advertisement", _nic(ipv6=Ipv6.AUTO)
    yield (
        "default gateway",
        _nic(addresses=("192.0.2.5/24",), routes=(StaticRoute(dst="0.0.0.0/0", gateway="192.0.2.1"),)),
    )
    yield (
        "a single address (/32), its gateway on the link",
        _nic(addresses=("192.0.2.5/32",), routes=(StaticRoute(dst="0.0.0.0/0", gateway="198.51.100.1", onlink=True),)),
    )
    yield from _routes()
    yield (
        "name servers and search domains",
        _nic(addresses=("192.0.2.5/24",), dns=("192.0.2.1",), search=("example.org",)),
    )
    yield "MTU", _nic(mtu=9000)
    yield "wake-on-LAN of a NIC that is known by its MAC", _nic(wol=MAGIC, pin_mac=Mac("52:54:00:28:23:af"))
    yield "a MAC of its own", _nic(mac=Mac("52:54:00:28:23:af"))
    yield "NIC pinned by MAC", _nic(pin_mac=Mac("52:54:00:28:23:af"))
    yield "NIC pinned by slot", _nic(pin_path="pci-0000:03:00.0")
    yield "not brought up at boot", _nic(onboot=False)
    yield "bridge: STP", _bridge(stp_state=1)
    yield "bridge: forward delay 0", _bridge(forward_delay=0)
    yield "bridge: a delay in fractions of a second", _bridge(stp_state=1, forward_delay=250)
    yield "bridge: hello, maximal and ageing time", _bridge(stp_state=1, hello_time=100, max_age=1000, ageing_time=0)
    yield "bridge: priority", _bridge(priority=4096)
    yield "bridge: multicast snooping off", _bridge(mcast_snooping=0)
    yield "bridge: multicast querier", _bridge(mcast_querier=1)
    yield "bridge: VLAN filtering", _bridge(vlan_filtering=1)
    yield "bridge: another default PVID", _bridge(vlan_filtering=1, vlan_default_pvid=99)
    yield from _ports()
    default = BridgePort()
    for name in BridgePort.__struct_fields__:
        before = getattr(default, name)
        value = not before if isinstance(before, bool) else 50
        yield f"port: {name}", _port(**{name: value})
    yield from _bonds()
    yield "VLAN eth4.30", _vlan("eth4.30")
    yield "VLAN with a name like vlan30", _vlan("vlan30")
    yield "VLAN with any name", _vlan("storage")
    yield "VLAN of 802.1ad (Q-in-Q)", _vlan("eth4.30", "802.1ad")
    yield from _rarer()
    yield "guests' taps left alone", replace(_bridge(), unmanaged=("tap*", "vnet*"))


def _bonds() -> Iterator[tuple[str, NetworkConfig]]:
    lacp = _bond(mode="802.3ad", miimon=100, ad_lacp_rate="fast", xmit_hash_policy="layer3+4")
    yield "bond: 802.3ad, fast LACP, hash policy", lacp
    yield "bond: members that must have carrier, choice of aggregates", _bond(min_links=2, ad_select="count")
    yield (
        "bond: watched by ARP",
        _bond(mode="active-backup", arp_interval=1000, arp_ip_target=("10.0.0.1", "10.0.0.2"), arp_validate="all"),
    )
    again = _bond(mode="active-backup", miimon=100, num_peer_notif=3, resend_igmp=2, all_slaves_active=1)
    yield "bond: what is sent after a fail-over, frames on inactive members", again
    yield "bond: MAC of the active member", _bond(mode="active-backup", miimon=100, fail_over_mac="active")
    yield "bond: packets for each member", _bond(packets_per_slave=7)
    yield "bond: interval of learning packets", _bond(mode="balance-alb", lp_interval=3)
    yield "bond: up and down delay", _bond(mode="active-backup", miimon=100, updelay=200, downdelay=200)


def can_say(name: str, config: NetworkConfig) -> bool:
    """Whether a dialect says it; raises AssertionError if it says it and reads something else."""
    try:
        files = dialect(name).render(config)
    except Inexpressible:
        return False
    parsed = dialect(name).parse(files)
    if parsed.config != as_said_by(config, name) or parsed.left:
        raise AssertionError(f"{name} does not read what it wrote: {config}")
    return True


def _unused() -> Iterator[tuple[str, NetworkConfig]]:
    yield "DHCPv6", _nic(ipv6=Ipv6.DHCP)
    for offer, key in ((Offer.GATEWAY, "default route"), (Offer.ROUTES, "other routes"), (Offer.DNS, "name servers")):
        yield f"DHCP, not its {key} (`use_{offer}: false`)", _nic(dhcp4=True, unused=frozenset({(offer, 4)}))
        yield f"advertisements, not their {key}", _nic(ipv6=Ipv6.AUTO, unused=frozenset({(offer, 6)}))


def _routes() -> Iterator[tuple[str, NetworkConfig]]:
    yield (
        "routes with metric, table and source",
        _nic(
            addresses=("192.0.2.5/24",),
            routes=(StaticRoute(dst="10.0.0.0/8", gateway="192.0.2.9", metric=50, table=100, prefsrc="192.0.2.5"),),
        ),
    )
    nowhere = HostRoute(to=ip_network("10.0.0.0/8"), type="blackhole", metric=50, table=100)
    yield "routes that lead nowhere", replace(_nic(addresses=("192.0.2.5/24",)), routes=(nowhere,))
    hops = (RouteHop(router=ip_address(f"192.0.2.{n}"), link=IfName("eth4"), weight=n) for n in (1, 2))
    several = HostRoute(to=ip_network("0.0.0.0/0"), hops=tuple(hops))
    yield "a route by several routers", replace(_nic(addresses=("192.0.2.5/24",)), routes=(several,))


def _ports() -> Iterator[tuple[str, NetworkConfig]]:
    yield "bridge: group forward mask (LACP, LLDP and the like between its ports)", _bridge(group_fwd_mask=8)
    yield "bridge: VLANs of a port", _vlan_aware()
    yield "bridge: a port that takes nothing without a tag (`pvid: none`)", _vlan_aware(untagged=False)


def _rarer() -> Iterator[tuple[str, NetworkConfig]]:
    yield "Open vSwitch: a bridge with its uplink", _switch()
    said: dict[str, Any] = {"rstp": 1, "stp_state": 1, "fail_mode": "secure", "mcast_snooping": 1}
    yield "Open vSwitch: RSTP, fail mode, multicast snooping", _switch(**said)
    yield "Open vSwitch: STP", _switch(stp_state=1)
    yield "Open vSwitch: datapath in userspace", _switch(datapath="netdev")
    vlans = (PortVlans(first=10, last=10, pvid=True, untagged=True), PortVlans(first=20, last=29))
    yield "Open vSwitch: VLANs of its uplink", _switch(vlans)
    yield "Open vSwitch: a bond of its own", _switch_bond()
    yield "dummy link", NetworkConfig.of([LinkConfig(name=IfName("dummy0"), options=Dummy())])


def cell(name: str, config: NetworkConfig) -> str:
    """Whether a dialect says it, in the table."""
    switched = any(is_switch(link) for link in config.links.values())
    if switched and dialect(name).openvswitch:
        files = dialect(name).render(config)
        return "yes" if dialect(name).parse(files).config == config else "database"
    return "yes" if can_say(name, config) else "–"


def page() -> str:
    """The whole page."""
    names = persistent()
    files = [f"| `{each.name}` | {each.files} | {each.readers} |" for each in dialects() if each.files]
    table = ["| | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for what, config in probes():
        cells = [cell(name, config) for name in names]
        table.append(f"| {what} | " + " | ".join(cells) + " |")
    notes = [f"* **{each.name}**. {each.notes}" for each in dialects() if each.notes]
    return HEAD + "\n".join(files) + "\n\n" + "\n".join(table) + "\n" + NOTES + "\n".join(notes) + "\n" + FOOT


if __name__ == "__main__":
    print(page(), end="")
