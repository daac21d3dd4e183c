"""On which links to listen: pure. On the ports of a bridge, not the bridge; on the members of a bond, not the bond."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from bascule.errors import Problem, UsageFault
from bascule.model.links import Bond, Loopback, Physical, Tap, Veth, Vlan
from bascule.model.site import Host
from bascule.model.state import HostState, Link
from bascule.model.values import IfName


def choose(state: HostState, names: Iterable[str], host: Host | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The NICs to listen on and remarks about what was put in place of what.

    Without names: those that the site's host declares and has, and all hardware. Raises UsageFault with every name
    that is no link here.
    """
    asked = list(dict.fromkeys(names))
    if not asked:
        declared = [name for name in host.nics if name in state.links] if host is not None else []
        chosen = tuple(dict.fromkeys((*declared, *sorted(link.name for link in _hardware(state)))))
        if not chosen:
            raise UsageFault.of(
                "NO-NIC", "this host has no NIC to listen on", hint="name the links: bascule survey eth4"
            )
        return chosen, ()
    missing = [name for name in asked if name not in state.links]
    if missing:
        raise UsageFault(*(_missing(name, state) for name in missing))
    found: list[str] = []
    remarks: list[str] = []
    for name in asked:
        below = list(_below(state.links[IfName(name)], state))
        if below != [name]:
            link = state.links[IfName(name)]
            what = link.options.noun or "no NIC"
            if not below:
                without = " without a NIC under it" if link.options.noun else ""
                raise UsageFault.of("NO-NIC", f"'{name}' is {what}{without}")
            remarks.append(f"{name} is {what}: listening on {', '.join(below)}")
        found += below
    return tuple(dict.fromkeys(found)), tuple(remarks)


def _hardware(state: HostState) -> list[Link]:
    links = [link for link in state.links.values() if link.mac is not None]
    physical = [link for link in links if isinstance(link.options, Physical)]
    if physical:
        return physical
    cables = [
        link for link in links if isinstance(link.options, Veth) and link.options.is_link
    ]  # a container's or a namespace's NICs
    return [link for link in cables if link.parent is None] or cables


def _below(link: Link, state: HostState) -> Iterator[str]:
    if isinstance(link.options, Vlan) and (parent := state.parent_of(link)) is not None:
        yield from _below(parent, state)
    elif isinstance(link.options, Bond):
        yield from (port.name for port in state.ports(link.name))
    elif link.is_bridge:
        ports = [port for port in state.ports(link.name) if not isinstance(port.options, Tap)]
        hardware = [port for port in ports if not isinstance(port.options, Veth)]
        for port in hardware or ports:
            yield from _below(port, state)
    elif not isinstance(link.options, Loopback):
        yield link.name


def _missing(name: str, state: HostState) -> Problem:
    near = difflib.get_close_matches(name, state.links, n=1)
    have = ", ".join(sorted(link for link in state.links if link != "lo"))
    return Problem(
        code="NO-LINK",
        message=f"this host has no link '{name}'",
        hint=f"did you mean '{near[0]}'?" if near else f"it has: {have}" if have else "it has none but the loopback",
    )
