"""What stands in a host's files before Bascule comes: random facts of three NICs, in the words of each dialect."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from random import Random

from msgspec import Struct

NICS = ("eth2", "eth3", "eth4")
IFUPDOWN = "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n"


class Facts(Struct, frozen=True, kw_only=True):
    """Of one NIC. A route is destination and gateway, as is ``gateway`` with the default destination."""

    nic: str
    addresses: Sequence[str] = ()
    gateway: str = ""
    metric: int | None = None
    routes: Sequence[tuple[str, str]] = ()
    dns: str = ""
    mtu: int | None = None

    def of(self, version: int) -> list[str]:
        """Its addresses of this IP version."""
        return [one for one in self.addresses if (":" in one) == (version == 6)]


def random_facts(random: Random) -> list[Facts]:
    """Some NICs have an address, one at most the default route."""
    found: list[Facts] = []
    for number, nic in enumerate(NICS, 2):
        kind = random.random()
        if kind < 0.2:
            continue
        addresses = [] if kind < 0.35 else [f"10.{number}.0.10/24"]
        if addresses and random.random() < 0.3:
            addresses.append(random.choice([f"10.{number}.0.11/24", f"10.{number}7.0.11/16", f"203.0.113.{number}/32"]))
        if kind > 0.35 and random.random() < 0.4:
            addresses.append(f"fd00:{number}::10/64")
        routed = bool(addresses) and random.random() < 0.6 and not any(one.gateway for one in found)
        found.append(
            Facts(
                nic=nic,
                addresses=addresses,
                gateway=f"10.{number}.0.1" if routed else "",
                metric=random.choice([None, None, 50, 700]) if routed else None,
                routes=[(f"172.2{number}.0.0/16", f"10.{number}.0.9")] if addresses and random.random() < 0.25 else [],
                dns=f"10.{number}.0.53" if addresses and random.random() < 0.5 else "",
                mtu=1400 if random.random() < 0.2 else None,
            )
        )
    return found


def files(dialect: str, facts: Sequence[Facts], random: Random) -> dict[str, str]:
    """The files of a host whose NICs are so, in one or in several."""
    return {"networkd": _networkd, "netplan": _netplan, "keyfile": _keyfile}.get(dialect, _ifupdown)(facts, random)


def _networkd(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in facts:
        lines = ["# by hand", "[Match]", f"Name={one.nic}", ""]
        if one.mtu:
            lines += ["[Link]", f"MTUBytes={one.mtu}", ""]
        lines += ["[Network]", *(f"Address={address}" for address in one.addresses)]
        lines += [f"DNS={one.dns}"] if one.dns else []
        if random.random() < 0.3:
            lines.append("LinkLocalAddressing=no")
        if one.gateway and one.metric is None and random.random() < 0.5:
            lines.append(f"Gateway={one.gateway}")
        elif one.gateway:
            lines += ["", "[Route]", f"Gateway={one.gateway}", *([f"Metric={one.metric}"] if one.metric else [])]
        for to, via in one.routes:
            lines += ["", "[Route]", f"Destination={to}", f"Gateway={via}"]
        name = random.choice([f"20-{one.nic}", f"50-{one.nic}", "lan-" + one.nic])
        found[f"etc/systemd/network/{name}.network"] = "\n".join(lines) + "\n"
    return found


def _netplan(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    parts: list[list[str]] = []
    for one in facts:
        lines = [f"    {one.nic}:", f"      optional: {random.choice(['true', 'false'])}  # of the wires"]
        if one.addresses:
            lines.append(f"      addresses: [{', '.join(one.addresses)}]")
        if one.mtu:
            lines.append(f"      mtu: {one.mtu}")
        if one.dns:
            lines.append(f"      nameservers: {{addresses: [{one.dns}], search: [lab.example]}}")
        routes = [f"{{to: {to}, via: {via}}}" for to, via in one.routes]
        if one.gateway:
            metric = f", metric: {one.metric}" if one.metric else ""
            routes.append(f"{{to: default, via: {one.gateway}{metric}}}")
        if routes:
            lines.append(f"      routes: [{', '.join(routes)}]")
        parts.append(lines)
    head = ["# by the installer", "network:", "  version: 2", "  ethernets:"]
    if not parts:
        return {"etc/netplan/00-installer.yaml": "network: {version: 2}\n"}
    if random.random() < 0.5:
        return {"etc/netplan/00-installer.yaml": "\n".join([*head, *(line for part in parts for line in part)]) + "\n"}
    return {f"etc/netplan/{n}0-lan.yaml": "\n".join([*head, *part]) + "\n" for n, part in enumerate(parts, 1)}


def _keyfile(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, one in enumerate(facts):
        own = uuid.UUID(int=random.getrandbits(128), version=4)
        lines = ["[connection]", f"id=wired {one.nic}", f"uuid={own}", "type=ethernet", f"interface-name={one.nic}"]
        lines += ["", "[ethernet]", *([f"mtu={one.mtu}"] if one.mtu else [])]
        for version, section in ((4, "ipv4"), (6, "ipv6")):
            addresses = one.of(version)
            lines += ["", f"[{section}]", f"method={'manual' if addresses else 'disabled'}"]
            lines += [f"address{place}={address}" for place, address in enumerate(addresses, 1)]
            if version == 4 and addresses:
                lines += [f"gateway={one.gateway}"] if one.gateway else []
                lines += [f"route-metric={one.metric}"] if one.metric else []
                lines += [f"route{place}={to},{via}" for place, (to, via) in enumerate(one.routes, 1)]
                lines += [f"dns={one.dns};"] if one.dns else []
        found[f"etc/NetworkManager/system-connections/lan{number}.nmconnection"] = "\n".join(lines) + "\n"
    return found


def _ifupdown(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    apart = random.random() < 0.5
    found = {"etc/network/interfaces": IFUPDOWN}
    for one in facts:
        lines = ["", f"# the wire of {one.nic}", f"auto {one.nic}"]
        if not one.addresses:
            lines += [f"iface {one.nic} inet manual", *([f"    mtu {one.mtu}"] if one.mtu else [])]
        for place, address in enumerate(one.addresses):
            lines += [f"iface {one.nic} {'inet6' if ':' in address else 'inet'} static", f"    address {address}"]
            if place == 0:
                lines += [f"    mtu {one.mtu}"] if one.mtu else []
                lines += [f"    gateway {one.gateway}"] if one.gateway else []
                lines += [f"    metric {one.metric}"] if one.metric else []
                lines += [f"    dns-nameservers {one.dns}"] if one.dns else []
                lines += [f"    up ip route add {to} via {via} dev {one.nic}" for to, via in one.routes]
        path = f"etc/network/interfaces.d/{one.nic}" if apart else "etc/network/interfaces"
        found[path] = found.get(path, "") + "\n".join(lines) + "\n"
    return found


def addresses(facts: Sequence[Facts]) -> Mapping[str, Sequence[str]]:
    """By NIC."""
    return {one.nic: one.addresses for one in facts}
