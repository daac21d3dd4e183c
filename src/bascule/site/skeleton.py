"""The networks of a file and the links of its hosts as a Site, before its checks: who is wired to whom is asked there.

What leads nowhere, or in a circle, leads nowhere here; its own problem says so.
"""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model import host_links as links
from bascule.model import site as m
from bascule.model.site_place import NOWHERE
from bascule.model.values import IfName
from bascule.site import document as d
from bascule.site.parsers import NO_UPLINK


def skeleton(document: d.Document) -> m.Site:
    """The site of a document that may have problems, without addresses and guests."""
    networks = {
        name: m.Network(name=name, subnets=each.subnet, vlan=each.vlan) for name, each in document.networks.items()
    }
    return m.Site(
        name=document.site, networks=networks, hosts={name: _host(name, each) for name, each in document.hosts.items()}
    )


def _host(name: str, host: d.Host) -> m.Host:
    sound = {link for *_, link, _ in host.links() if _ends(host, link)}

    def leads(link: IfName | None) -> IfName | None:
        return link if link in sound else None

    return m.Host(
        name=name,
        nics={link: links.Nic(name=link, network=each.network) for link, each in host.nics.items()},
        bonds={
            link: links.Bond(name=link, network=each.network, nics=tuple(filter(leads, each.nics)))
            for link, each in host.bonds.items()
        },
        vlans={
            link: links.VlanLink(name=link, network=each.network, link=leads(each.link) or IfName(""), id=each.id)
            for link, each in host.vlans.items()
        },
        bridges={
            link: links.Bridge(
                name=link,
                uplink=leads(each.uplink),
                uplink_unknown=None if each.uplink == "none" else NOWHERE,
                vlan=each.vlan,
                vlan_aware=each.vlan_aware and each.vlan is None,
            )
            for link, each in host.bridges.items()
        },
    )


def _ends(host: d.Host, name: str, above: tuple[str, ...] = ()) -> bool:
    """Whether what a link stands on leads down to links that stand on nothing."""
    link = host.link(name)
    return name not in above and (link is None or all(_ends(host, each, (*above, name)) for each in _below(link)))


def _below(link: d.HostLink) -> Iterator[str]:
    if isinstance(link, d.Bond):
        yield from link.nics
    elif isinstance(link, d.VlanLink):
        yield link.link
    elif isinstance(link, d.Bridge) and link.uplink is not None and link.uplink not in NO_UPLINK:
        yield link.uplink
