"""A host that is asked about: who is who on it, from its state and the site file. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from bascule.errors import Place
from bascule.model.site import Host, Site
from bascule.model.state import HostState, Link
from bascule.model.values import Mac, bridge_name
from bascule.providers.loaded_guards import rules_on_switches
from bascule.providers.static_fdb.entries import static_entries
from bascule.topology.declared import declared_links
from bascule.topology.graph import Topology
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.model_reader import rules_of
from bascule.verify.reachability.awaited_routes import awaited_routes
from bascule.verify.reachability.participant import HostModel
from bascule.verify.reachability.parties import ObservedGuest, parties, wires


def model_host(
    network: HostNetwork,
    here: str,
    where: str,
    site: Site | None,
    host: Host | None,
    seen: Iterable[ObservedGuest] = (),
    topology: Topology | None = None,
) -> HostModel:
    """Put together who is who on a host; of a state alone the entries that stand in its bridges' tables are known."""
    if not network.fdb:
        network = replace(network, fdb=tuple(static_entries(network.state)))
    if site is not None and host is not None:
        network = replace(network, wires=wires(network, site, host), trunks=_trunks(site, host))
    known = parties(network, here, site, host, seen, topology)
    return HostModel(network=network, known=known, here=here, where=where, declared=_declared(site, host))


def _trunks(site: Site, host: Host) -> frozenset[str]:
    """The links by which networks with a tag may come into bridges that heed tags."""
    if not any(network.vlan for network in site.networks.values()):
        return frozenset()
    aware = (bridge for bridge in host.bridges.values() if bridge.vlan_aware and bridge.vlan is None)
    return frozenset(str(port.link) for bridge in aware for port in bridge.every_port)


def _declared(site: Site | None, host: Host | None) -> dict[str, str]:
    """The line of the site file from which a link's rules are made."""
    if site is None or host is None:
        return {}
    return {link: f"{place.file}:{place.line}" for link, place in rule_places(site, host).items()}


def rule_places(site: Site, host: Host) -> dict[str, Place]:
    """Where the site file says what a link's rules of ours are made from, by the link."""
    found = {str(bridge_name(name)): one.place for name, one in host.virtual_networks.items()}
    return found | {str(nic.tap): nic.place for nic in site.guest_nics(host.name)}


def of_state(state: HostState, site: Site | None = None, host: Host | None = None) -> HostNetwork:
    """A host from its state alone: saved, or wanted. Guests that do not run there have the taps that the file names."""
    if site is not None and host is not None:
        declared = declared_links(site, host).links
        taps = {nic.tap for nic in site.guest_nics(host.name) if nic.shared_nic is None}
        missing = {name: replace(link, up=True) for name, link in declared.items() if name in taps - state.links.keys()}
        state = replace(state, links={**state.links, **missing})
    links = {name: _with_mac(link, number) for number, (name, link) in enumerate(state.links.items(), 1)}
    state = replace(state, links=links)
    flows = rules_on_switches(state)
    return HostNetwork(
        state=state,
        rules=rules_of(state.tables),
        sysctls=state.sysctls,
        flows=flows,
        fdb=tuple(static_entries(state)),
        awaited=awaited_routes(state, site, host) if site is not None and host is not None else (),
    )


def _with_mac(link: Link, number: int) -> Link:
    """A link that nobody has seen yet has some MAC."""
    return link if link.mac is not None else replace(link, mac=Mac(f"02:00:5e:00:{number >> 8:02x}:{number & 255:02x}"))
