"""The inside of a guest that is a namespace of this machine: a container, or whoever is played by one."""

from __future__ import annotations

from ipaddress import ip_interface

from msgspec import Struct

from bascule.errors import BasculeError
from bascule.model.values import IfName, IpInterface
from bascule.observe.held import other_namespaces
from bascule.system.net.links import drivers, namespace_id
from bascule.system.net.netns import Namespace
from bascule.system.run import rows


class InnerLink(Struct, frozen=True, kw_only=True):
    """The other end of a veth pair, in another namespace, which whoever takes it has to close."""

    namespace: Namespace
    link: IfName
    addresses: tuple[IpInterface, ...]


def behind_veth(index: int) -> InnerLink | None:
    """Who is behind the veth with this index here; None where no process and no name leads there, or it may not."""
    with Namespace.current() as ours:
        for path, _ in other_namespaces():
            try:
                namespace = Namespace.open(path)
            except OSError:
                continue
            if (found := _other_end(namespace, ours, index)) is not None:
                return found
            namespace.close()
    return None


def _other_end(namespace: Namespace, ours: Namespace, index: int) -> InnerLink | None:
    try:
        if "veth" not in drivers(namespace) or (number := namespace_id(namespace, ours)) is None:
            return None
        entries = rows(("ip", "-j", "-d", "address"), namespace=namespace)
    except (BasculeError, OSError, ValueError):
        return None
    for entry in entries:
        if (entry.get("link_netnsid"), entry.get("link_index")) == (number, index):
            told = [one for one in entry.get("addr_info", ()) if one.get("scope") != "link"]
            addresses = tuple(ip_interface(f"{one['local']}/{one['prefixlen']}") for one in told)
            return InnerLink(namespace=namespace, link=IfName(entry["ifname"]), addresses=addresses)
    return None
