"""Names and MACs: each thing has its own."""

from __future__ import annotations

from bascule.model.values import Mac
from bascule.site.findings import Path
from bascule.site.wiring import DocumentWiring

_KINDS = {"networks": "network", "hosts": "host", "guests": "guest", "machines": "machine"}


def check_names(wiring: DocumentWiring) -> None:
    """Networks, hosts, guests and machines share one set of names: expectations and masquerades speak of them all."""
    _shared_names(wiring)
    _macs(wiring)
    _hardware(wiring)


def _shared_names(wiring: DocumentWiring) -> None:
    first: dict[str, Path] = {}
    document = wiring.document
    for section, kind in _KINDS.items():
        for name in getattr(document, section):
            path = (section, name)
            if name in first:
                other = _KINDS[str(first[name][0])]
                wiring.found.add(
                    "DUPLICATE-NAME",
                    f"{kind} '{name}' has the name of a {other}",
                    path,
                    key=True,
                    hint="rename one of them: 'expect' and 'masquerade' know them by name alone",
                    also=[(f"the {other}", first[name])],
                )
            else:
                first[name] = path
    for host, entry in document.hosts.items():
        for name in entry.virtual_networks:
            if name in document.networks:
                wiring.found.add(
                    "DUPLICATE-NAME",
                    f"virtual network '{name}' has the name of a network of the building",
                    ("hosts", host, "virtual_networks", name),
                    key=True,
                    hint="rename one of them",
                    also=[("the network", ("networks", name))],
                )


def _macs(wiring: DocumentWiring) -> None:
    first: dict[Mac, tuple[str, Path]] = {}

    def see(mac: Mac | None, label: str, path: Path) -> None:
        if mac is None:
            return
        path = (*path, "mac")
        if mac in first:
            wiring.found.add(
                "DUPLICATE-MAC",
                f"MAC {mac} of {label} is taken by {first[mac][0]}",
                path,
                hint="a switch delivers to one of two equal MACs at random; leave a guest's out to get one of its own",
                also=[("the first", first[mac][1])],
            )
        else:
            first[mac] = (label, path)

    for host, entry in wiring.document.hosts.items():
        for link, nic in entry.nics.items():
            see(nic.mac, f"NIC '{link}' of host '{host}'", ("hosts", host, "nics", link))
    for name, guest in wiring.document.guests.items():
        for index, guest_nic in enumerate(guest.nics):
            see(guest_nic.mac, f"guest '{name}'", ("guests", name, "nics", index))
    for name, machine in wiring.document.machines.items():
        for index, machine_nic in enumerate(machine.nics):
            see(machine_nic.mac, f"machine '{name}'", ("machines", name, "nics", index))


def _hardware(wiring: DocumentWiring) -> None:
    """One slot holds one NIC; one switch port holds one plug."""
    ports: dict[tuple[str, str], tuple[str, Path]] = {}
    for host, entry in wiring.document.hosts.items():
        slots: dict[str, tuple[str, Path]] = {}
        for link, nic in entry.nics.items():
            path: Path = ("hosts", host, "nics", link)
            label = f"NIC '{link}' of host '{host}'"
            if nic.path is not None:
                other, where = slots.setdefault(nic.path, (label, path))
                if where != path:
                    wiring.found.add(
                        "DUPLICATE-PORT",
                        f"{label} is pinned to path '{nic.path}', as is {other}",
                        (*path, "path"),
                        hint="one slot holds one NIC; 'bascule blink' shows which one it is",
                        also=[("the first", (*where, "path"))],
                    )
            if nic.switch is not None:
                other, where = ports.setdefault((nic.switch.name, nic.switch.port), (label, path))
                if where != path:
                    wiring.found.add(
                        "DUPLICATE-PORT",
                        f"{label} is on port '{nic.switch.port}' of switch '{nic.switch.name}', as is {other}",
                        (*path, "switch"),
                        hint="one port takes one cable",
                        also=[("the first", (*where, "switch"))],
                    )
