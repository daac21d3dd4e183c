"""From wiring to the kernel: namespaces, switches and cables."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping

from bascule.errors import MissingTool, NotPermitted, Problem
from bascule.model.kernel_parameters import FORWARDING, conf, dotted
from bascule.model.values import IfName
from bascule.observe.kernel_support import kernel_makes
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.system.net.rtnetlink import Message, Rtnetlink
from bascule.system.net.sysctl import read_sysctls, write_sysctl
from bascule.topology.endpoints import Endpoint
from bascule.twin.wiring import Cable, Wiring

FABRIC = "the building"  # no endpoint can be called so
Tagging = Callable[[Mapping[str, int]], None]  # takes the index of each network's bridge


def make_namespaces(names: Iterable[str]) -> dict[str, Namespace]:
    """One empty namespace per name.

    Raises NotPermitted where this user may not have so many.
    """
    made: dict[str, Namespace] = {}
    wanted = tuple(names)
    try:
        for name in wanted:
            made[name] = Namespace.new(name)
    except OSError as refusal:
        for namespace in made.values():
            namespace.close()
        problem = Problem(
            code="NAMESPACES",
            message=f"the kernel refused network namespace {len(made) + 1} of {len(wanted)}: {refusal.strerror}",
            hint="it allows so many: sysctl user.max_net_namespaces",
        )
        raise NotPermitted(problem) from refusal
    return made


def lay(wiring: Wiring, namespaces: Mapping[str, Namespace], lay_tags: Tagging | None = None) -> None:
    """The switches in the building, and every cable from them to hosts and machines.

    ``lay_tags`` brings tagged networks to their cables where the kernel has no VLAN links.
    """
    building = namespaces[FABRIC]
    switches = wiring.switches
    with Rtnetlink(building) as rtnl:
        rtnl.send(rtnetlink.add_bridge(bridge) for bridge in switches.values())
        rtnl.send(message for bridge in switches.values() for message in rtnetlink.addrgenmode_none(bridge))
        rtnl.send(rtnetlink.set_link(bridge, up=True) for bridge in switches.values())
        masters = {name: links.index_of(building, bridge) for name, bridge in switches.items()}
        rtnl.send(_cable(cable, masters, namespaces[cable.node]) for cable in wiring.cables)
        rtnl.send(message for cable in wiring.cables for message in rtnetlink.addrgenmode_none(cable.port))
        rtnl.send(rtnetlink.set_link(cable.port, up=True) for cable in wiring.cables)
        if any(cable.tagged for cable in wiring.cables):
            if lay_tags is None or kernel_makes(_vlan_link):
                _lay_vlans(wiring, building, rtnl, masters)
            else:
                lay_tags(masters)


def _vlan_link(parent: int) -> Message:
    return rtnetlink.add_vlan("b.2", parent, 2, None)


def _cable(cable: Cable, masters: Mapping[str, int], namespace: Namespace) -> Message:
    master = masters[cable.native] if cable.native else None
    return rtnetlink.add_veth(
        rtnetlink.VethEnd(name=cable.port, mtu=cable.passes, master=master),
        rtnetlink.VethEnd(name=cable.link, mac=cable.mac, mtu=cable.mtu, namespace=namespace),
    )


def _lay_vlans(wiring: Wiring, building: Namespace, rtnl: Rtnetlink, masters: Mapping[str, int]) -> None:
    tagged = [cable for cable in wiring.cables if cable.tagged]
    if not kernel_makes(_vlan_link):
        networks = ", ".join(f"'{name}'" for name in sorted({name for cable in tagged for name in cable.tagged}))
        raise MissingTool.of(
            "KERNEL-VLAN",
            f"network {networks} arrives tagged, and this kernel has no 802.1Q links to play that with",
            hint="modprobe 8021q, or rehearse on a machine whose kernel has it",
        )
    messages: list[Message] = []
    for number, (cable, network) in enumerate((x, network) for x in tagged for network in x.tagged):
        vid = wiring.vids[network]
        name = f"{cable.port}.{vid}" if len(f"{cable.port}.{vid}") <= 15 else f"vlan{number}.{vid}"
        parent = links.index_of(building, cable.port)
        messages += [
            rtnetlink.add_vlan(name, parent, vid, masters[network]),
            *rtnetlink.addrgenmode_none(name),
            rtnetlink.set_link(name, up=True),
        ]
    rtnl.send(messages)


def settle(end: Endpoint, namespace: Namespace, *, routes: bool = False) -> None:
    """Bring an end's links up and give it its declared addresses and default routes.

    One that ``routes`` has link-local addresses, too: by them it looks for whom it hands IPv6 packets to.
    """
    if not end.nics:
        return
    with Rtnetlink(namespace) as rtnl:
        present = links.link_names(namespace)
        messages: list[Message] = [rtnetlink.set_link("lo", up=True)]
        indexes: dict[IfName, int] = {}
        for nic in end.nics:
            if nic.link not in present:
                continue
            indexes[nic.link] = links.index_of(namespace, nic.link)
            if not (routes and any(address.version == 6 for address in nic.addresses)):
                messages += rtnetlink.addrgenmode_none(nic.link)
            messages.append(rtnetlink.set_link(nic.link, up=True))
            messages += [rtnetlink.add_address(indexes[nic.link], address) for address in nic.addresses]
        messages += [rtnetlink.add_route(indexes[link], gateway) for link, gateway in end.routes if link in indexes]
        messages += [
            rtnetlink.add_route(indexes[nic.link], route.via, route.to)
            for nic in end.nics
            for route in nic.routes
            if nic.link in indexes and route.via is not None
        ]
        rtnl.send(messages)


def trust_addresses(namespace: Namespace) -> None:
    """No duplicate address detection on links to come: for a second, the host could not use what it was given.

    Where /proc/sys is read-only, IPv6 has to wait.
    """
    with contextlib.suppress(OSError):
        for whose in ("all", "default"):
            write_sysctl(conf(6, whose, "accept_dad"), "0", namespace=namespace)


def set_forwarding(namespace: Namespace, on: Mapping[int, bool]) -> None:
    """Whether it routes, by IP version.

    Said either way, because a new namespace takes over what the machine around it has.

    Raises NotPermitted where /proc/sys is read-only and the value is not right already.
    """
    values = {FORWARDING[version]: str(int(routes)) for version, routes in on.items()}
    for key, now in read_sysctls(values, namespace=namespace).items():
        value = values[key]
        if now == value:
            continue  # not written, so a read-only /proc/sys only hurts where it must
        try:
            write_sysctl(key, value, namespace=namespace)
        except OSError as refusal:
            name = dotted(key)
            problem = Problem(
                code="SYSCTL-READ-ONLY",
                message=f"{name} of '{namespace.name}' cannot be set to {value}: {refusal.strerror} (/proc/sys)",
                hint="a container mounts /proc/sys read-only: start it with --privileged, or rehearse outside of it",
            )
            raise NotPermitted(problem) from refusal
