"""What a machine forwards: its names lead somewhere, and it stands in between."""

from __future__ import annotations

from bascule.site import document as d
from bascule.site.findings import Path
from bascule.site.groups import is_endpoint, is_group, members, unknown_name
from bascule.site.wiring import DocumentWiring


def check_forwards(wiring: DocumentWiring) -> None:
    """Each machine that says what it forwards."""
    for name, machine in wiring.document.machines.items():
        path: Path = ("machines", name, "forwards")
        networks = {nic.network for nic in machine.nics}
        if machine.forwards and len(networks) < 2 and not any(nic.routes for nic in machine.nics):
            on = f"network '{min(networks)}' only" if networks else "no network"
            message = f"machine '{name}' forwards between networks, but stands on {on}"
            wiring.found.add("FORWARDS", message, path, hint="give it a NIC on the other network, or remove 'forwards'")
            continue
        for index, flow in enumerate(machine.forwards or ()):
            _flow(wiring, name, flow, (*path, index))


def flow_ends(wiring: DocumentWiring, names: tuple[str, ...]) -> tuple[str, ...]:
    """The endpoints and networks of one side; nothing where it is everybody."""
    if any(_is_all(wiring, name) for name in names):
        return ()
    ends = ((name,) if name in wiring.document.networks else members(wiring, name) for name in names)
    return tuple(dict.fromkeys(one for some in ends for one in some))


def _is_all(wiring: DocumentWiring, name: str) -> bool:
    document = wiring.document
    return name == d.FORWARD_ALL and not is_endpoint(document, name) and name not in document.networks


def _flow(wiring: DocumentWiring, machine: str, flow: d.Flow, path: Path) -> None:
    document, found = wiring.document, wiring.found
    for key, names in (("from", flow.from_), ("to", flow.to)):
        for name in names:
            where = (*path, key)
            if name == machine:
                message = f"machine '{machine}' forwards for others, and '{name}' is that machine"
                found.add("FORWARDS", message, where, hint="what it answers itself belongs under 'serves'")
                continue
            if not (_is_all(wiring, name) or is_endpoint(document, name) or is_group(document, name)):
                unknown_name(wiring, name, where, networks=True)
    if flow.from_ == flow.to and len(flow.to) == 1 and flow.to[0] in document.networks:
        message = f"within '{flow.to[0]}' nothing passes machine '{machine}'"
        found.add("FORWARDS", message, path, hint="name two networks")
    if flow.service and flow.service.protocol == "arp":
        message = "ARP never leaves a network, so nobody forwards it"
        found.add("FORWARDS", message, (*path, "service"), hint="name icmp or a port, or leave the service out")
