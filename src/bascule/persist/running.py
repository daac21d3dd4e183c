"""The kernel's state as a configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bascule.model.host_links import MAIN_TABLE
from bascule.model.links import Bond, Bridge, Other, Physical, Veth, Vlan
from bascule.model.state import HostState, Link, PortVlans, Route
from bascule.model.values import IfName
from bascule.persist.config import Ipv6, LinkConfig, NetworkConfig, StaticRoute
from bascule.persist.formats.rules import kernel_rule

FOREIGN = re.compile(  # bridges that other programs make, name and remove as they please
    r"docker[0-9]+|br-[0-9a-f]{12}|virbr[0-9]+(-nic)?|lxcbr[0-9]+|lxdbr[0-9]+|incusbr[0-9]+|cni[0-9]+|podman[0-9]+"
    r"|cbr[0-9]+|cilium_.*|flannel.*|ovs-system"
)
GUEST_END = re.compile(r"veth[0-9a-z]+|lxc.*|cali.*|vb-.*|ve-.*|fwln.*|fwpr.*|fwbr.*")
MADE_ELSEWHERE = {"kernel", "ra", "dhcp", "redirect", "zebra", "bird", "bgp", "ospf", "isis", "rip"}


def running_config(state: HostState) -> tuple[NetworkConfig, tuple[str, ...]]:
    """What the kernel has, and the links that were left out, each with the reason."""
    links: dict[IfName, LinkConfig] = {}
    left: list[str] = []
    routes = routes_by_link(state)
    for name, link in state.links.items():
        reason = _left_out(link, state)
        if reason is None:
            links[name] = link_config(link, state, routes)
        elif reason:
            left.append(f"{name}: {reason}")
    for name, each in list(links.items()):
        if each.master is not None and each.master not in links:
            del links[name]
    rules = []
    for rule in state.rules:
        try:
            rules.append(kernel_rule(rule))
        except ValueError as wrong:
            left.append(f"rule {rule.priority}: {' '.join(rule.words)}: {wrong}")
    return NetworkConfig.of(links.values(), rules=rules), tuple(left)


def makes_no_ipv6(link: Link) -> bool:
    """Whether the link makes itself no IPv6 address. NetworkManager keeps the kernel from it and makes its own."""
    return link.addrgenmode == "none" and not any(address.is_link_local for address in link.addresses)


def _left_out(link: Link, state: HostState) -> str | None:
    """None for a link that belongs to the host's configuration, else why it does not ("": not worth a word)."""
    master = state.links.get(link.master) if link.master else None
    if master is not None and FOREIGN.fullmatch(master.name):
        return ""
    if FOREIGN.fullmatch(link.name):
        return "left out, another program makes and removes it"
    if isinstance(link.options, Bridge | Bond | Vlan):
        return None
    if isinstance(link.options, Physical):
        return None if link.mac is not None else ""  # tunnels' fallback links and the like have no MAC
    if isinstance(link.options, Veth) and not GUEST_END.fullmatch(link.name):
        return None  # the NIC of a host that is itself a namespace or a container
    kind = link.options.info_kind if isinstance(link.options, Other) else link.options.kind
    return "" if kind in {"loopback", "tun", "veth", "macvtap"} else f"left out, links of kind '{kind}' are not taken"


def routes_by_link(state: HostState) -> Mapping[str, Sequence[Route]]:
    """The routes that somebody wrote down, by the link that they lead over."""
    found: dict[str, list[Route]] = {}
    for route in state.routes:
        if route.protocol not in MADE_ELSEWHERE and route.kind == "unicast":
            found.setdefault(route.dev, []).append(route)
    return found


def link_config(link: Link, state: HostState, written: Mapping[str, Sequence[Route]]) -> LinkConfig:
    """One link of a state as a configuration; ``written`` are the state's routes by link."""
    options = link.options if isinstance(link.options, Bridge | Bond | Vlan) else Physical()
    master = state.links.get(link.master) if link.master else None
    own = tuple(a for a in link.addresses if not a.dynamic and not a.is_link_local and a.scope != "link")
    routes = tuple(
        StaticRoute(
            dst=route.dst,
            gateway=route.gateway,
            # 1024 is what the kernel writes where an IPv6 route names no metric (IP6_RT_PRIO_USER)
            metric=0 if route.is_ipv6 and route.metric == 1024 else route.metric,
            table=MAIN_TABLE if route.table == "main" else int(route.table) if route.table.isdigit() else MAIN_TABLE,
            prefsrc=route.prefsrc,
            onlink="onlink" in route.flags,
        )
        for route in written.get(link.name, ())
    )
    ra = state.sysctls.get(f"net/ipv6/conf/{link.name}/accept_ra", "1") != "0"
    mode = Ipv6.OFF if makes_no_ipv6(link) else Ipv6.AUTO if ra else Ipv6.LINK_LOCAL
    port = link.port if master is not None and master.is_bridge else None
    if port is not None:
        port = type(port)(**{**port.as_json(), "cost": None})  # follows from the speed
    parent = state.links.get(link.parent) if link.parent else None
    return LinkConfig(
        name=link.name,
        options=options,
        master=link.master if master is not None else None,
        parent=link.parent if isinstance(options, Vlan) else None,
        mac=link.mac if options.kind and (parent is None or link.mac != parent.mac) else None,
        mtu=link.mtu if link.mtu != 1500 else None,
        dhcp4=any(a.dynamic and ":" not in a.ip for a in link.addresses),
        ipv6=mode,
        addresses=tuple(a.ip for a in own),
        routes=routes,
        port=port,
        vlans=_vlans(link, master),
        onboot=link.up,
    )


def _vlans(link: Link, master: Link | None) -> tuple[PortVlans, ...]:
    """A port's VLANs where they are not the bridge's default."""
    if master is None or not isinstance(master.options, Bridge) or not master.options.vlan_filtering:
        return ()
    pvid = master.options.vlan_default_pvid
    default = (PortVlans(first=pvid, last=pvid, pvid=True, untagged=True),) if pvid else ()
    return () if tuple(link.vlans) == default else tuple(link.vlans)
