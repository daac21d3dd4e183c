"""What stands in a host's files before Bascule comes: random facts of three NICs, in the words of each dialect."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from random import Random

from msgspec import Struct
from msgspec.structs import replace

NICS = ("eth2", "eth3", "eth4")
IFUPDOWN = "source /etc/network/interfaces.d/*\n\nauto lo\niface lo inet loopback\n"


class Way(Struct, frozen=True):
    """A static route. Table 0 is the main one."""

    to: str
    via: str
    metric: int = 0
    table: int = 0


class Facts(Struct, frozen=True, kw_only=True):
    """Of one NIC. ``gateway`` is on the link where its only address is a single one.

    A rule is whose packets ask which table, and its priority.
    """

    nic: str
    addresses: Sequence[str] = ()
    gateway: str = ""
    gateway6: str = ""
    metric: int | None = None
    routes: Sequence[Way] = ()
    rules: Sequence[tuple[str, int, int]] = ()
    dns: str = ""
    mtu: int | None = None
    mac: str = ""
    bridge: str = ""  # of the installer's, over the NIC, which has the addresses

    @property
    def link(self) -> str:
        """On which the host speaks."""
        return self.bridge or self.nic

    @property
    def is_single(self) -> bool:
        """Whether the gateway lies in no subnet of the NIC's, as at hosters."""
        return bool(self.gateway) and all(one.endswith("/32") for one in self.of(4))

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
        near = [Way(f"172.2{number}.0.0/16", f"10.{number}.0.9")]
        routed = bool(addresses) and random.random() < 0.6 and not any(one.gateway for one in found)
        found.append(
            Facts(
                nic=nic,
                addresses=addresses,
                gateway=f"10.{number}.0.1" if routed else "",
                metric=random.choice([None, None, 50, 700]) if routed else None,
                routes=near if addresses and random.random() < 0.25 else [],
                dns=f"10.{number}.0.53" if addresses and random.random() < 0.5 else "",
                mtu=1400 if random.random() < 0.2 else None,
            )
        )
    return found


def with_more(random: Random, facts: Sequence[Facts]) -> list[Facts]:
    """The same with what fewer hosts have."""
    found: list[Facts] = []
    for one in facts:
        number, more = one.nic.removeprefix("eth"), one
        if not one.addresses:
            found.append(one)
            continue
        if one.gateway and not one.routes and random.random() < 0.25:
            six = one.of(6)
            more = replace(more, addresses=[f"198.51.100.{number}/32", *six], gateway="203.0.113.1")
        elif random.random() < 0.3:
            metric, table = random.choice([(0, 0), (30, 0), (0, 120)])
            more = replace(more, routes=[*more.routes, Way(f"172.3{number}.0.0/16", f"10.{number}.0.8", metric, table)])
        if more.of(6) and random.random() < 0.4 and not any(each.gateway6 for each in found):
            more = replace(more, gateway6=f"fd00:{number}::1")
        if more.of(6) and random.random() < 0.3:
            more = replace(more, routes=[*more.routes, Way(f"fd99:{number}::/48", f"fd00:{number}::9")])
        if random.random() < 0.25:
            more = replace(more, rules=[(more.addresses[0].partition("/")[0], 120, 1000 + int(number))])
        if random.random() < 0.15:
            more = replace(more, mac=f"02:00:00:00:01:0{number}")
        elif more.mtu is None and random.random() < 0.25 and not any(each.bridge for each in found):
            more = replace(more, bridge="vmbr0")
        found.append(more)
    return found


def files(dialect: str, facts: Sequence[Facts], random: Random) -> dict[str, str]:
    """The files of a host whose NICs are so, in one or in several."""
    return {"networkd": _networkd, "netplan": _netplan, "keyfile": _keyfile}.get(dialect, _ifupdown)(facts, random)


def _networkd(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in facts:
        lines = ["# by hand", "[Match]", f"Name={one.link}", ""]
        own = [f"MTUBytes={one.mtu}"] if one.mtu else []
        own += [f"MACAddress={one.mac}"] if one.mac else []
        lines += ["[Link]", *own, ""] if own else []
        lines += ["[Network]", *(f"Address={address}" for address in one.addresses)]
        lines += [f"DNS={one.dns}"] if one.dns else []
        if random.random() < 0.3:
            lines.append("LinkLocalAddressing=no")
        lines += [f"Gateway={one.gateway6}"] if one.gateway6 else []
        if one.gateway and one.metric is None and random.random() < 0.5 and not one.is_single:
            lines.append(f"Gateway={one.gateway}")
        elif one.gateway:
            lines += ["", "[Route]", f"Gateway={one.gateway}", *([f"Metric={one.metric}"] if one.metric else [])]
            lines += ["GatewayOnLink=yes"] if one.is_single else []
        for way in one.routes:
            lines += ["", "[Route]", f"Destination={way.to}", f"Gateway={way.via}"]
            lines += [f"Metric={way.metric}"] if way.metric else []
            lines += [f"Table={way.table}"] if way.table else []
        for source, table, priority in one.rules:
            lines += ["", "[RoutingPolicyRule]", f"From={source}", f"Table={table}", f"Priority={priority}"]
        name = random.choice([f"20-{one.link}", f"50-{one.link}", "lan-" + one.link])
        found[f"etc/systemd/network/{name}.network"] = "\n".join(lines) + "\n"
        if one.bridge:
            found["etc/systemd/network/vm.netdev"] = f"[NetDev]\nName={one.bridge}\nKind=bridge\n"
            found["etc/systemd/network/port.network"] = f"[Match]\nName={one.nic}\n\n[Network]\nBridge={one.bridge}\n"
    return found


def _netplan(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    parts: list[list[str]] = []
    above: list[str] = []
    for one in facts:
        lines = [f"    {one.link}:", f"      optional: {random.choice(['true', 'false'])}  # of the wires"]
        if one.addresses:
            lines.append(f"      addresses: [{', '.join(one.addresses)}]")
        if one.mtu:
            lines.append(f"      mtu: {one.mtu}")
        if one.dns:
            lines.append(f"      nameservers: {{addresses: [{one.dns}], search: [lab.example]}}")
        if one.mac:
            lines.append(f"      macaddress: {one.mac}")
        ways = [*one.routes]
        ways += [Way("default", one.gateway, one.metric or 0)] if one.gateway else []
        ways += [Way("default", one.gateway6)] if one.gateway6 else []
        if ways:
            lines.append(f"      routes: [{', '.join(_of_netplan(way, one) for way in ways)}]")
        if one.rules:
            rules = (f"{{from: {source}, table: {table}, priority: {rank}}}" for source, table, rank in one.rules)
            lines.append(f"      routing-policy: [{', '.join(rules)}]")
        if one.bridge:
            above = [*lines, f"      interfaces: [{one.nic}]", "      parameters: {stp: false, forward-delay: 0}"]
            lines = [f"    {one.nic}: {{}}"]
        parts.append(lines)
    head = ["# by the installer", "network:", "  version: 2", "  ethernets:"]
    if not parts:
        return {"etc/netplan/00-installer.yaml": "network: {version: 2}\n"}
    if random.random() < 0.5:
        parts = [[line for part in parts for line in part]]
    parts[-1] += ["  bridges:", *above] if above else []
    return {f"etc/netplan/{n}0-lan.yaml": "\n".join([*head, *part]) + "\n" for n, part in enumerate(parts, 1)}


def _of_netplan(way: Way, facts: Facts) -> str:
    words = [f"to: {way.to}", f"via: '{way.via}'"]
    words += [f"metric: {way.metric}"] if way.metric else []
    words += [f"table: {way.table}"] if way.table else []
    words += ["on-link: true"] if facts.is_single and way.via == facts.gateway else []
    return f"{{{', '.join(words)}}}"


def _keyfile(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, one in enumerate(facts):
        own = uuid.UUID(int=random.getrandbits(128), version=4)
        lines = ["[connection]", f"id=wired {one.link}", f"uuid={own}", "type=ethernet", f"interface-name={one.link}"]
        if one.bridge:
            lines[3] = "type=bridge"
            lines += ["", "[bridge]", "stp=false"]
            port = ["[connection]", "id=port", f"uuid={uuid.UUID(int=own.int ^ 1)}", "type=ethernet"]
            port += [f"interface-name={one.nic}", f"master={one.bridge}", "slave-type=bridge"]
            found["etc/NetworkManager/system-connections/port.nmconnection"] = "\n".join(port) + "\n"
        lines += ["", "[ethernet]", *([f"mtu={one.mtu}"] if one.mtu else [])]
        lines += [f"cloned-mac-address={one.mac}"] if one.mac else []
        for version, section in ((4, "ipv4"), (6, "ipv6")):
            addresses = one.of(version)
            lines += ["", f"[{section}]", f"method={'manual' if addresses else 'disabled'}"]
            lines += [f"address{place}={address}" for place, address in enumerate(addresses, 1)]
            if not addresses:
                continue
            gateway = one.gateway if version == 4 else one.gateway6
            lines += [f"gateway={gateway}"] if gateway else []
            for place, way in enumerate((way for way in one.routes if (":" in way.to) == (version == 6)), 1):
                lines.append(f"route{place}={way.to},{way.via}{f',{way.metric}' if way.metric else ''}")
                lines += [f"route{place}_options=table={way.table}"] if way.table else []
            if version == 4:
                lines += [f"route-metric={one.metric}"] if one.metric else []
                for place, (source, table, rank) in enumerate(one.rules, 1):
                    lines.append(f"routing-rule{place}=priority {rank} from {source} table {table}")
                lines += [f"dns={one.dns};"] if one.dns else []
        found[f"etc/NetworkManager/system-connections/lan{number}.nmconnection"] = "\n".join(lines) + "\n"
    return found


def _ifupdown(facts: Sequence[Facts], random: Random) -> dict[str, str]:
    apart = random.random() < 0.5
    found = {"etc/network/interfaces": IFUPDOWN}
    for one in facts:
        lines = ["", f"# the wire of {one.nic}"]
        lines += [f"iface {one.nic} inet manual", ""] if one.bridge else []
        lines += [f"auto {one.link}"]
        if not one.addresses:
            lines += [f"iface {one.link} inet manual", *([f"    mtu {one.mtu}"] if one.mtu else [])]
        for place, address in enumerate(one.addresses):
            lines += [f"iface {one.link} {'inet6' if ':' in address else 'inet'} static", f"    address {address}"]
            if place == 0:
                ports = [f"    bridge-ports {one.nic}", "    bridge-stp off", "    bridge-fd 0"]
                lines += ports if one.bridge else []
                lines += [f"    mtu {one.mtu}"] if one.mtu else []
                lines += [f"    hwaddress {one.mac}"] if one.mac else []
                lines += _default_way(one)
                lines += [f"    metric {one.metric}"] if one.metric and not one.is_single else []
                lines += [f"    dns-nameservers {one.dns}"] if one.dns else []
                lines += [f"    up {_of_ip(way, one.link)}" for way in one.routes if ":" not in way.to]
                for source, table, rank in one.rules:
                    for when, verb in (("up", "add"), ("down", "del")):
                        lines.append(f"    {when} ip rule {verb} from {source} table {table} priority {rank} || true")
            if [address] == one.of(6)[:1]:
                lines += [f"    gateway {one.gateway6}"] if one.gateway6 else []
                lines += [f"    up {_of_ip(way, one.link)}" for way in one.routes if ":" in way.to]
        path = f"etc/network/interfaces.d/{one.link}" if apart else "etc/network/interfaces"
        found[path] = found.get(path, "") + "\n".join(lines) + "\n"
    return found


def _default_way(facts: Facts) -> list[str]:
    metric = f" metric {facts.metric}" if facts.metric else ""
    if facts.is_single:
        return [f"    up ip route add default via {facts.gateway} dev {facts.link} onlink{metric}"]
    return [f"    gateway {facts.gateway}"] if facts.gateway else []


def _of_ip(way: Way, nic: str) -> str:
    words = f"ip{' -6' if ':' in way.to else ''} route add {way.to} via {way.via} dev {nic}"
    return words + (f" metric {way.metric}" if way.metric else "") + (f" table {way.table}" if way.table else "")
