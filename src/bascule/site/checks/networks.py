"""The networks of the building and the virtual ones: subnets, gateways, tags."""

from __future__ import annotations

from ipaddress import ip_interface

from bascule.model.values import IpAddress, IpNetwork, is_onlink
from bascule.site import document as d
from bascule.site.findings import Path, suggest
from bascule.site.wiring import DocumentWiring


def check_networks(wiring: DocumentWiring) -> None:
    """Gateways are in their subnets, tags are unique, and references to networks lead somewhere."""
    _gateways(wiring)
    _tags(wiring)
    document = wiring.document
    for host, entry in document.hosts.items():
        for key, _, link_name, link in entry.links():
            if isinstance(link, d.WiredLink):
                known_network(wiring, link.network, ("hosts", host, key, link_name, "network"))
    for name, machine in document.machines.items():
        for index, machine_nic in enumerate(machine.nics):
            known_network(wiring, machine_nic.network, ("machines", name, "nics", index, "network"))


def known_network(wiring: DocumentWiring, name: str | None, path: Path) -> bool:
    """Whether the name is a network's; a problem is noted if not (and not already known to be broken)."""
    networks = wiring.document.networks
    if name is None or name in networks or wiring.found.is_broken(("networks", name)):
        return name in networks
    hint = suggest(name, networks, kind="network")
    if any(name in host.virtual_networks for host in wiring.document.hosts.values()):
        hint = f"'{name}' is a virtual network; NICs and machines stand on networks of the building"
    wiring.found.add("UNKNOWN-NAME", f"network '{name}' is not declared", path, hint=hint)
    return False


def is_edge(address: IpAddress, subnet: IpNetwork) -> str | None:
    """'network' or 'broadcast' for the two IPv4 addresses of a subnet that no NIC can have (RFC 3021 frees /31)."""
    if subnet.version == 4 and subnet.prefixlen < 31:
        if address == subnet.network_address:
            return "network"
        if address == subnet.broadcast_address:
            return "broadcast"
    return None


def _gateways(wiring: DocumentWiring) -> None:
    for name, network in wiring.document.networks.items():
        families: dict[int, Path] = {}
        for index, gateway in enumerate(network.gateway):
            path: Path = ("networks", name, "gateway", index)
            inside = next((s for s in network.subnet if s.version == gateway.version and gateway in s), None)
            if not network.subnet:
                message = f"network '{name}' has a gateway but no subnet"
                wiring.found.add("GATEWAY", message, path, hint="add the subnet that the gateway is in")
            elif (
                inside is None
                and not gateway.is_link_local
                and not is_onlink(gateway, map(ip_interface, network.subnet))
            ):
                of = " and ".join(str(s) for s in network.subnet)
                wiring.found.add(
                    "GATEWAY",
                    f"gateway {gateway} is outside {of}, the subnet of network '{name}'",
                    path,
                    hint="a gateway is a neighbour: it has an address in the same subnet",
                )
            edge = inside and is_edge(gateway, inside)
            if edge:
                wiring.found.add("GATEWAY", f"gateway {gateway} is the {edge} address of {inside}", path)
            if gateway.version in families:
                wiring.found.add(
                    "GATEWAY",
                    f"network '{name}' has two IPv{gateway.version} gateways",
                    path,
                    hint="keep the one that guests should use",
                    also=[("the first", families[gateway.version])],
                )
            families.setdefault(gateway.version, path)


def _tags(wiring: DocumentWiring) -> None:
    tagged: dict[int, str] = {}
    for name, network in wiring.document.networks.items():
        if network.vlan is None:
            continue
        if network.vlan in tagged:
            wiring.found.add(
                "DUPLICATE-VLAN",
                f"networks '{name}' and '{tagged[network.vlan]}' both arrive with VLAN {network.vlan}",
                ("networks", name, "vlan"),
                hint="one VLAN is one network: give one of them its own number",
                also=[("the first", ("networks", tagged[network.vlan], "vlan"))],
            )
        tagged.setdefault(network.vlan, name)
