"""What a machine or a host lets through that came in by one of its NICs and leaves by another. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from bascule.model.kernel_parameters import FORWARDING
from bascule.model.site import Mode, Site
from bascule.model.values import Service, is_within
from bascule.topology.endpoints import Endpoint, EndpointKind, EndpointNic
from bascule.topology.graph import Topology


class Forwarding(Struct, frozen=True, kw_only=True):
    """Whether a router forwards; None where the file does not say. ``hides``: under its own address."""

    allowed: bool | None
    hides: bool = False
    why: str = ""


def forwarding(
    topology: Topology,
    router: Endpoint,
    came_in: EndpointNic,
    out: EndpointNic,
    sender: tuple[Endpoint, EndpointNic],
    goal: Endpoint,
    service: Service | None,
) -> Forwarding:
    """Whether a packet goes on; ``sender`` is whose address it bears, with the NIC that it left by."""
    if router.kind is EndpointKind.GUEST:
        return Forwarding(allowed=None, why=f"the file does not say whether {router.name} forwards")
    if router.kind is EndpointKind.HOST:
        return _host_forwards(topology, router, came_in, out, goal, service)
    machine = topology.site.machines[router.name]
    if machine.may_route:
        return Forwarding(allowed=None, why=f"the file does not say whether {router.name} forwards")
    rule = machine.masquerade
    is_outward = rule is not None and out.segment == rule.to and came_in.segment != rule.to
    if rule is not None and is_outward and _is_named(topology.site, rule.sources, *sender):
        return Forwarding(allowed=True, hides=True)
    for flow in machine.forwards or ():
        leaves = came_in.segment in flow.sources or _is_named(topology.site, flow.sources, *sender)
        arrives = out.segment in flow.targets or any(
            _is_named(topology.site, flow.targets, goal, nic) for nic in goal.nics
        )
        fits = service is None or flow.service is None or flow.service.covers(service)
        if fits and (leaves or not flow.sources) and (arrives or not flow.targets):
            return Forwarding(allowed=True)
    why = f"it does not forward what comes from {sender[0].name} to {out.segment}"
    return Forwarding(allowed=False, why=why)


def _is_named(site: Site, sources: tuple[str, ...], sender: Endpoint, nic: EndpointNic) -> bool:
    """Whether an endpoint's address on a NIC is one of those that a machine names."""
    if sender.name in sources or any(sender.name in hidden_behind(site, name) for name in sources):
        return True
    nets = [subnet for name in sources if name in site.networks for subnet in site.networks[name].subnets]
    return any(is_within(place, net) for place in nic.places() for net in nets)


def hidden_behind(site: Site, name: str) -> Iterator[str]:
    """The host under whose address a guest of a NAT network is seen."""
    if (guest := site.guests.get(name)) is None:
        return
    for nic in guest.nics:
        network = site.hosts[guest.host].virtual_networks.get(nic.virtual_network or "")
        if network is not None and network.mode is Mode.NAT:
            yield guest.host


def _host_forwards(
    topology: Topology,
    host: Endpoint,
    came_in: EndpointNic,
    out: EndpointNic,
    goal: Endpoint,
    service: Service | None,
) -> Forwarding:
    """What the modes of its virtual networks say."""
    known = topology.site.hosts[host.name].virtual_networks
    names = [topology.virtual_bridges.get((host.name, nic.link), "") for nic in (came_in, out)]
    inner, outer = (known.get(name) for name in names)
    for one in (inner, outer):
        if one is not None and one.mode is Mode.ISOLATED:
            return Forwarding(allowed=False, why=f"network {one.name} is isolated")
    if inner is None and outer is None:
        if any(one.mode is not Mode.ISOLATED for one in known.values()):
            why = f"{host.name} routes for its virtual networks; whether for others the file does not say"
            return Forwarding(allowed=None, why=why)
        state = topology.states.get(host.name) if host.name in topology.observed else None
        if state is not None and all(state.sysctls.get(key, "0") == "0" for key in FORWARDING.values()):
            return Forwarding(allowed=False, why="its forwarding is off")
        return Forwarding(allowed=None, why=f"the file does not say whether {host.name} forwards")
    if outer is not None and outer.mode is Mode.NAT and outer is not inner:
        return Forwarding(allowed=False, why=no_forward(goal.name, service))
    return Forwarding(allowed=True, hides=inner is not None and inner.mode is Mode.NAT and inner is not outer)


def no_forward(guest: str, service: Service | None) -> str:
    """Why nothing from outside reaches a guest of a NAT network."""
    asked = f" for {service}" if service else ""
    return f"nothing gets in through masquerade, and no port is forwarded to {guest}{asked}"
