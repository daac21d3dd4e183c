"""From a site, and what was seen of its hosts, to the scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bascule.draw.scene import grouping
from bascule.draw.scene.builder import SceneBuilder
from bascule.draw.scene.compare import SeenHost
from bascule.draw.scene.elements import Arrow, Kind, Layer, Node, Scene, machine_id, network_id
from bascule.draw.scene.foreign import add_foreign
from bascule.draw.scene.guests import address_notes, service_notes
from bascule.draw.scene.hosts import add_host
from bascule.model.site import Host, Machine, Network, Site
from bascule.model.values import count, human


def build(
    site: Site,
    observed: Mapping[str, SeenHost] | None = None,
    *,
    collapse: int | None = None,
    apart: Iterable[str] = (),
) -> Scene:
    """The scene of a site; ``observed`` has the state of those hosts that somebody looked at.

    ``collapse`` puts that many alike guests (and more) into one element; those in ``apart`` and those that the file
    speaks of elsewhere always keep their own.
    """
    observed = observed or {}
    builder = SceneBuilder()
    apart = grouping.untouched(site) | set(apart)
    for host in site.hosts.values():
        seen = observed.get(host.name)
        groups = grouping.groups(site.guests_on(host.name), from_count=collapse, apart=apart)
        add_host(builder, site, host, groups, seen)
        if seen is not None:
            add_foreign(builder, host, seen.state)
    for network in site.networks.values():
        builder.add(_network(network))
    arrows = []
    for machine in site.machines.values():
        _add_machine(builder, site, machine)
        if (arrow := _arrow(site, machine)) is not None:
            arrows.append(arrow)
    return Scene(
        site=site.name,
        digest=site.source.digest,
        nodes=builder.nodes,
        edges=tuple(e for e in builder.edges.values() if e.upper in builder.nodes and e.lower in builder.nodes),
        arrows=tuple(arrows),
        networks=tuple(site.networks),
        hosts={host.name: _title(host) for host in site.hosts.values()},
        observed=frozenset(name for name in observed if name in site.hosts),
        aliases=builder.aliases,
        drift=_drift(builder, observed),
    )


def _drift(builder: SceneBuilder, observed: Mapping[str, SeenHost]) -> tuple[str, ...]:
    """What the plan would change: of the elements in their order, then what no element stands for."""
    drawn = [words for node in builder.nodes.values() for words in node.drift]
    known = set(drawn)
    rest = [f"{subject}: {words}" for seen in observed.values() for subject, words in seen.drift]
    problems = [f"no plan can be made: {words}" for seen in observed.values() for words in seen.problems]
    others = [f"{seen.other}; it was examined anyway" for seen in observed.values() if seen.other]
    return (*others, *problems, *drawn, *(words for words in rest if words not in known))


def _network(network: Network) -> Node:
    notes = [str(subnet) for subnet in network.subnets]
    if network.vlan is not None:
        notes.append(f"VLAN {network.vlan}")
    details = [f"subnet {subnet}" for subnet in network.subnets]
    details += [f"gateway {gateway}" for gateway in network.gateways]
    details.append(f"arrives tagged, VLAN {network.vlan}" if network.vlan is not None else "arrives untagged")
    return Node(
        id=network_id(network.name),
        layer=Layer.NETWORK,
        kind=Kind.NETWORK,
        label=network.name,
        notes=tuple(notes),
        details=tuple(details),
        network=network.name,
    )


def _add_machine(builder: SceneBuilder, site: Site, machine: Machine) -> None:
    notes = [words for nic in machine.nics for words in address_notes(nic)]
    details = []
    for nic in machine.nics:
        words = [str(address) for address in nic.addresses] + (["dhcp"] if nic.dhcp else [])
        details.append(
            f"on {nic.network}: {', '.join(words) or 'no address'}" + (f", MAC {nic.mac}" if nic.mac else "")
        )
    if machine.dhcp:
        notes.append("DHCP server")
        details.append(f"DHCP server on {machine.dhcp.network}: {machine.dhcp.range}")
    if machine.serves:
        details.append("serves " + " ".join(str(service) for service in machine.serves))
    notes += service_notes(machine.serves)
    if machine.masquerade:
        sources = " ".join(machine.masquerade.sources)
        notes += [f"masquerade {sources}", f"→ {machine.masquerade.to}"]
        details.append(f"{sources} may go out to {machine.masquerade.to} under the address of {machine.name}")
    notes += [f"forwards {flow}" for flow in machine.forwards or ()]
    details += [f"forwards {flow} under the senders' own addresses" for flow in machine.forwards or ()]
    if machine.may_route:
        notes.append("routing: unknown")
        details.append("the file does not say whether it routes between its networks ('forwards')")
    elif len(machine.nics) > 1 and not any(flow.is_everything for flow in machine.forwards or ()):
        notes.append("all else: stopped" if machine.let_through or machine.forwards else "forwards nothing")
    node = Node(
        id=machine_id(machine.name),
        layer=Layer.MACHINE,
        kind=Kind.MACHINE,
        label=machine.name,
        notes=tuple(notes),
        details=tuple(details),
        network=machine.nics[0].network if len({nic.network for nic in machine.nics}) == 1 else None,
    )
    builder.add(node)
    for nic in machine.nics:
        if nic.network in site.networks:
            builder.wire(network_id(nic.network), node.id, network=nic.network)


def _arrow(site: Site, machine: Machine) -> Arrow | None:
    """Who goes out through a machine: from those of its networks that are not the one that they go out to."""
    rule = machine.masquerade
    if rule is None:
        return None
    origins: list[str] = []
    for source in rule.sources:
        if source in site.networks:
            origins.append(source)
        elif source in site.guests:
            stands_on = (site.network_of(nic) for nic in site.guests[source].nics)
            origins += [network.name for network in stands_on if network is not None]
        elif source in site.machines:
            origins += [nic.network for nic in site.machines[source].nics]
        elif source in site.hosts:
            host = site.hosts[source]
            found = (site.network_of_link(host, link.name) for link in host.speakers())
            origins += [network.name for network in found if network is not None]
    own = {nic.network for nic in machine.nics}
    origins = [name for name in dict.fromkeys(origins) if name in own and name != rule.to]
    return Arrow(machine=machine_id(machine.name), sources=rule.sources, origins=tuple(origins), to=rule.to)


def _title(host: Host) -> str:
    """What stands behind a host's name: its memory, and what decides on its packets and belongs to no link."""
    words = [f"{human(host.memory)} memory"] if host.memory else []
    for number, noun in ((len(host.rules), "policy rule"), (len(host.routes), "route")):
        if number:
            words.append(count(number, noun) + (" on no single link" if noun == "route" else ""))
    return ", ".join(words)
