"""What the site file says that machines hand on between their NICs, as addresses and networks. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from bascule.model.site import Machine, Site
from bascule.topology.routers import hidden_behind
from bascule.topology.trace.network import AddressGroup, ForwardedTraffic
from bascule.verify.reachability.participant import Participant


def handed_on(site: Site, machine: Machine, known: Mapping[str, Participant]) -> tuple[ForwardedTraffic, ...] | None:
    """What a machine lets through; None where the file does not say whether it routes at all."""
    rule = machine.masquerade
    if rule is None and machine.forwards is None:
        return None
    found: list[ForwardedTraffic] = []
    if rule is not None:
        to = AddressGroup(networks=frozenset({rule.to}))
        found.append(ForwardedTraffic(sources=_group(site, rule.sources, known), targets=to, hides=True))
    for flow in machine.forwards or ():
        service = flow.service
        found.append(
            ForwardedTraffic(
                sources=_group(site, flow.sources, known) if flow.sources else None,
                targets=_group(site, flow.targets, known) if flow.targets else None,
                protocol=service.protocol if service else "",
                first=service.first if service else 0,
                last=service.last if service else 65535,
            )
        )
    return tuple(found)


def _group(site: Site, names: Iterable[str], known: Mapping[str, Participant]) -> AddressGroup:
    names = tuple(names)
    ranges: list[tuple[int, int, int]] = []
    for name in names:
        network = site.networks.get(name)
        ranges += [(one.version, int(one[0]), int(one[-1])) for one in (network.subnets if network else ())]
        for other in (name, *hidden_behind(site, name)):
            party = known.get(other)
            ranges += [(version, number, number) for version, number in (party.addresses if party else ())]
    return AddressGroup(networks=frozenset(name for name in names if name in site.networks), ranges=tuple(ranges))
