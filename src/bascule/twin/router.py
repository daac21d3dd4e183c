"""What a machine on several networks lets through, as nft text (pure).

Who may go out is known by its address, as on a real firewall: the set holds the addresses that the file gives and,
once the leases are there, those that DHCP gave. Everything else is dropped on its way through.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import collapse_addresses, ip_network

from bascule.model.site import Machine, Mode, Site
from bascule.model.values import IpNetwork

TABLE = "bascule_twin"


def sources(site: Site, machine: Machine, leases: Mapping[str, Iterable[IpNetwork]] | None = None) -> list[IpNetwork]:
    """The addresses behind ``masquerade: from``; ``leases`` maps an endpoint to what DHCP gave it."""
    if machine.masquerade is None:
        return []
    found: list[IpNetwork] = []
    for name in machine.masquerade.sources:
        if name in site.networks:
            found += site.networks[name].subnets
        found += [ip_network(address) for address in (*declared_addresses(site, name), *_behind(site, name))]
        found += (leases or {}).get(name, ())
    return found


def _behind(site: Site, name: str) -> list[str]:
    """The addresses under which a guest in a NAT network is seen: its host's."""
    guest = site.guests.get(name)
    own = site.hosts[guest.host].virtual_networks if guest else {}
    nics = guest.nics if guest else ()
    is_hidden = any(nic.virtual_network and own[nic.virtual_network].mode is Mode.NAT for nic in nics)
    return declared_addresses(site, guest.host) if guest and is_hidden else []


def declared_addresses(site: Site, name: str) -> list[str]:
    """The addresses that the file gives an endpoint, without prefix length."""
    found: list[str] = []
    if name in site.guests:
        found += [str(a.ip) for nic in site.guests[name].nics for a in nic.addresses]
    if name in site.machines:
        found += [str(a.ip) for foot in site.machines[name].nics for a in foot.addresses]
    if name in site.hosts:
        host = site.hosts[name]
        found += [str(a.ip) for card in host.nics.values() for a in card.addresses]
        found += [str(a.ip) for bridge in host.bridges.values() for a in bridge.addresses]
    return found


def ruleset(outward: Iterable[str], allowed: Iterable[IpNetwork]) -> str:
    """Forward only what comes from ``allowed`` and leaves by a link of ``outward``, and that under its address."""
    allowed = tuple(allowed)
    out = "{ " + ", ".join(f'"{link}"' for link in outward) + " }"
    lines = [f"table inet {TABLE} {{"]
    for version in (4, 6):
        lines += [f"\tset from{version} {{", f"\t\ttype ipv{version}_addr", "\t\tflags interval", "\t\tauto-merge"]
        if elements := _elements(allowed, version):
            lines.append(f"\t\telements = {{ {elements} }}")
        lines.append("\t}")
    lines += [
        "\tchain forward {",
        "\t\ttype filter hook forward priority filter; policy drop;",
        "\t\tct state established,related accept",
        f"\t\tiifname != {out} oifname {out} ip saddr @from4 accept",
        f"\t\tiifname != {out} oifname {out} ip6 saddr @from6 accept",
        "\t}",
        "\tchain postrouting {",
        "\t\ttype nat hook postrouting priority srcnat; policy accept;",
        f"\t\toifname {out} ip saddr @from4 masquerade",
        f"\t\toifname {out} ip6 saddr @from6 masquerade",
        "\t}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def additions(addresses: Iterable[IpNetwork]) -> str:
    """The nft lines that let further addresses out; empty if there are none."""
    addresses = tuple(addresses)
    return "".join(
        f"add element inet {TABLE} from{version} {{ {elements} }}\n"
        for version in (4, 6)
        if (elements := _elements(addresses, version))
    )


def _elements(networks: Iterable[IpNetwork], version: int) -> str:
    chosen = [network for network in networks if network.version == version]
    return ", ".join(str(network) for network in collapse_addresses(chosen))  # type: ignore[type-var]  # one family
