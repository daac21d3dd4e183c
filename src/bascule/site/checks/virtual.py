"""Virtual networks: subnets where the mode needs them, and port forwards."""

from __future__ import annotations

from bascule.site import document as d
from bascule.site.findings import Path, suggest
from bascule.site.wiring import DocumentWiring


def check_virtual(wiring: DocumentWiring) -> None:
    """Each mode has what it needs, and each forward leads to a guest behind it."""
    for host, entry in wiring.document.hosts.items():
        taken: dict[tuple[str, int], Path] = {}
        for name, virtual in entry.virtual_networks.items():
            path: Path = ("hosts", host, "virtual_networks", name)
            if virtual.mode in {"nat", "routed"} and not virtual.subnet:
                wiring.found.add(
                    "MISSING-KEY",
                    f"virtual network '{name}' has mode {virtual.mode} but no subnet",
                    path,
                    key=True,
                    hint="add one that is used nowhere else, like subnet: 192.168.122.0/24",
                )
            if virtual.forwards and virtual.mode not in {"nat", "routed"}:
                reason = "lets nothing in" if virtual.mode == "isolated" else "leaves all packets alone"
                wiring.found.add(
                    "FORWARD",
                    f"virtual network '{name}' has forwards, but mode {virtual.mode} {reason}",
                    (*path, "forwards"),
                    hint="forwards belong to mode nat or routed",
                )
            for index, forward in enumerate(virtual.forwards):
                _forward(wiring, host, name, forward, (*path, "forwards", index), taken)


def _forward(
    wiring: DocumentWiring, host: str, network: str, forward: d.Forward, path: Path, taken: dict[tuple[str, int], Path]
) -> None:
    found = wiring.found
    guest = wiring.document.guests.get(forward.to)
    if guest is None and not found.is_broken(("guests", forward.to)):
        behind = [
            name
            for name, each in wiring.document.guests.items()
            if each.host == host and any(nic.network == network for nic in each.nics)
        ]
        hint = suggest(forward.to, behind, kind="guest on that network")
        found.add("UNKNOWN-NAME", f"guest '{forward.to}' is not declared", (*path, "to"), hint=hint)
    elif guest is not None and (guest.host != host or not any(nic.network == network for nic in guest.nics)):
        found.add(
            "FORWARD",
            f"guest '{forward.to}' has no NIC on virtual network '{network}'",
            (*path, "to"),
            hint=f"a forward leads to a guest behind it: give the guest a NIC with 'network: {network}'",
            also=[("the guest", ("guests", forward.to))],
        )
    elif guest is not None and not any(nic.address for nic in guest.nics if nic.network == network):
        found.add(
            "FORWARD",
            f"guest '{forward.to}' has no address on virtual network '{network}' that a port could lead to",
            (*path, "to"),
            hint="give its NIC there an 'address'; 'dhcp' will do",
            also=[("the guest", ("guests", forward.to))],
        )
    service = forward.service
    if service.first != service.last:
        message = f"a forward leads to one port, not to {service}"
        found.add("FORWARD", message, (*path, "service"), hint="write one forward for each port")
    key = (service.protocol, forward.host)
    if key in taken:
        found.add(
            "FORWARD",
            f"{service.protocol} port {forward.host} of host '{host}' is forwarded twice",
            (*path, "host"),
            hint="take another port of the host",
            also=[("the first", (*taken[key], "host"))],
        )
    taken.setdefault(key, path)
    own = next(
        (i for i, s in enumerate(wiring.document.hosts[host].serves) if s.protocol == key[0] and key[1] in s.ports),
        None,
    )
    if own is not None:
        found.add(
            "FORWARD",
            f"{service.protocol} port {forward.host} is forwarded, but host '{host}' serves it itself",
            (*path, "host"),
            hint="take another port of the host",
            also=[("served here", ("hosts", host, "serves", own))],
        )
