"""Guests that share a NIC of their host: a macvlan in bridge mode on it, inside of the guest's namespace.

A macvtap is a macvlan with a character device for the hypervisor; on the wire they behave alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.errors import MissingTool
from bascule.model.values import IfName
from bascule.observe.kernel_support import kernel_makes
from bascule.system.net import links, rtnetlink
from bascule.system.net.netns import Namespace
from bascule.topology.endpoints import EndpointNic
from bascule.twin.wiring import Wiring


def shared(wiring: Wiring) -> Iterator[tuple[str, EndpointNic]]:
    """The guests' NICs without a bridge, each with its guest."""
    return ((end.name, nic) for end in wiring.guests.values() for nic in end.nics if nic.bridge is None)


def share(wiring: Wiring, hosts: Mapping[str, str], namespaces: Mapping[str, Namespace]) -> None:
    """Give them to their guests; ``hosts`` maps each guest to its host. The NICs are up by now.

    Raises MissingTool where the kernel has no macvlan, else as Rtnetlink.send.
    """
    messages: dict[str, list[rtnetlink.Message]] = {}
    for guest, nic in shared(wiring):
        if nic.plug is None:
            continue
        host = hosts[guest]
        parent = links.index_of(namespaces[host], nic.plug.into)
        end = rtnetlink.VethEnd(name=nic.link, mac=nic.mac, namespace=namespaces[guest])
        messages.setdefault(host, []).append(rtnetlink.add_macvlan(end, parent))
    if messages and not kernel_makes(lambda parent: rtnetlink.add_macvlan(rtnetlink.VethEnd(name=IfName("m")), parent)):
        raise MissingTool.of(
            "KERNEL-MACVLAN",
            "guests share a NIC (direct), and this kernel has no macvlan links to play that with",
            hint="modprobe macvlan, or rehearse on a machine whose kernel has it",
        )
    for host, some in messages.items():
        rtnetlink.change(namespaces[host], some)
