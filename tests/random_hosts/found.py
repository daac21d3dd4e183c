"""What stands on a host before Bascule comes: as others made it, in lines of ``ip -batch`` and of shell."""

from __future__ import annotations

from random import Random

from msgspec import Struct, field

DOCKER = """\
nft add table ip dockerish
nft 'add chain ip dockerish f { type filter hook forward priority 0; policy accept; }'
nft add rule ip dockerish f iifname docker0 counter drop
"""
FIREWALL = """\
nft add table inet mine
nft 'add chain inet mine i { type filter hook input priority 5; }'
nft add rule inet mine i iifname eth0 tcp dport 22 accept
"""
NICS = ("eth0", "eth1", "eth2")


class Found(Struct, kw_only=True):
    """Lines by the program that runs them."""

    ip: list[str] = field(default_factory=list)
    shell: list[str] = field(default_factory=list)
    taps: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)  # NICs that links of others sit on
    has_default: bool = False
    routed: set[str] = field(default_factory=set)  # NICs that routers of others are behind
    addresses: dict[str, list[str]] = field(default_factory=dict)
    speaker: dict[str, str] = field(default_factory=dict)  # of a NIC the bridge of others that it is under


def random_found(random: Random) -> Found:
    """A random one; eth0 is on 10.0.0.0/24 and fd00:0::/64, eth1 on 10.1.0.0/24 and so on."""
    found = Found()
    if random.random() < 0.15:
        bridge = random.choice(["br2", "old2"])
        options = random.choice(["", " priority 4096", " ageing_time 10000", " mcast_snooping 0"])
        found.ip += [
            f"link add {bridge} type bridge{options}",
            f"link set {bridge} up",
            f"link set eth2 master {bridge}",
        ]
        found.speaker["eth2"] = bridge
    for number, nic in enumerate(NICS):
        found.addresses[nic] = _addresses(found, random, number, found.speaker.get(nic, nic))
        _of_link(found, random, nic)
    _routes(found, random)
    _others(found, random)
    return found


def _some(random: Random, share: float, *words: str) -> str:
    return f" {random.choice(words)}" if random.random() < share else ""


def _addresses(found: Found, random: Random, number: int, nic: str) -> list[str]:
    own: list[str] = []
    for version in (4, 6):
        prefix, length = (f"10.{number}.0.", 24) if version == 4 else (f"fd00:{number}::", 64)
        for place in range(random.choice([0, 1, 1, 2, 3]) if number < 2 else random.choice([0, 0, 1])):
            address = f"{prefix}{10 + place}/{random.choice([length, length, length, length + 4])}"
            words = f"address add {address} dev {nic}{' nodad' if version == 6 else ''}"
            words += _some(random, 0.15, "noprefixroute", "metric 50", "metric 2000")
            if version == 4:
                words += _some(random, 0.1, f"label {nic}:x{place}", f"broadcast {prefix}200")
            words += _some(random, 0.1, "valid_lft 4000 preferred_lft 3000", "preferred_lft 0 valid_lft 9000")
            found.ip.append(words)
            if version == 4 and "noprefixroute" in words and address.endswith("/24"):  # as NetworkManager does
                source = address.partition("/")[0]
                found.ip.append(
                    f"route add {prefix}0/24 dev {nic} proto kernel scope link src {source} metric 10{place}"
                )
            own.append(address)
    if random.random() < 0.1:
        found.ip.append(f"address add 10.20{number}.0.1 peer 10.20{number}.0.2 dev {nic}")
    return own


def _of_link(found: Found, random: Random, nic: str) -> None:
    for share, line in (
        (0.1, f"link set {nic} mtu {random.choice([1300, 1400, 1480])}"),
        (0.1, f"link set {nic} alias of-somebody"),
        (0.1, f"link property add dev {nic} altname enp{nic[-1]}s0"),
        (0.1, f"link set {nic} txqueuelen 500"),
        (0.05, f"link set {nic} multicast off"),
        (0.05, f"link set {nic} promisc on"),
        (0.05, f"link set {nic} address 02:00:00:aa:00:0{nic[-1]}"),
        (0.1, f"neighbour add 10.{nic[-1]}.0.77 lladdr 02:11:22:33:44:55 dev {nic} nud permanent"),
        (0.05, f"neighbour add proxy 10.{nic[-1]}.0.78 dev {nic}"),
        (0.05, f"address add 239.1.1.{nic[-1]} dev {nic} autojoin"),
    ):
        if random.random() < share:
            found.ip.append(line)
    for share, line in (
        (0.1, f"echo {random.choice([0, 1, 2])} > /proc/sys/net/ipv4/conf/{nic}/rp_filter"),
        (0.1, f"echo {random.choice([1, 2])} > /proc/sys/net/ipv4/conf/{nic}/arp_ignore"),
        (0.1, f"echo 1 > /proc/sys/net/ipv4/conf/{nic}/proxy_arp"),
        (0.1, f"echo 1 > /proc/sys/net/ipv4/conf/{nic}/forwarding"),
        (0.1, f"echo {random.choice([0, 2])} > /proc/sys/net/ipv6/conf/{nic}/accept_ra"),
        (0.1, f"echo 0 > /proc/sys/net/ipv6/conf/{nic}/autoconf"),
        (0.05, f"tc qdisc replace dev {nic} root handle 7: prio"),
        (0.05, f"tc qdisc add dev {nic} clsact; tc filter add dev {nic} ingress prio 3 protocol ip matchall action ok"),
    ):
        if random.random() < share:
            found.shell.append(line)


def _routes(found: Found, random: Random) -> None:
    for number, nic in enumerate(NICS):
        near = [one for one in found.addresses[nic] if one.startswith("10.") and one.endswith("/24")]
        if near:
            _routes_of(found, random, number, found.speaker.get(nic, nic), near[0].partition("/")[0])
    if {"eth0", "eth1"} <= found.routed and random.random() < 0.2:
        found.ip.append("route add 172.20.0.0/16 nexthop via 10.0.0.1 dev eth0 nexthop via 10.1.0.1 dev eth1 weight 2")
    for share, line in (
        (0.2, "route add blackhole 172.30.0.0/16"),
        (0.1, "route add unreachable fd00:dead::/64"),
        (0.1, "route add prohibit 172.31.0.0/16 metric 9"),
    ):
        if random.random() < share:
            found.ip.append(line)
    if any(one.startswith("fd00:0::") for one in found.addresses["eth0"]) and random.random() < 0.4:
        found.ip.append("route add default via fd00:0::1 dev eth0" + _some(random, 0.3, "metric 10", "pref high"))


def _routes_of(found: Found, random: Random, number: int, nic: str, own: str) -> None:
    via = f"10.{number}.0.1"
    if random.random() < 0.6:
        metric = f" metric {100 * number}" if found.has_default else _some(random, 0.3, "metric 100")
        extra = _some(random, 0.2, "mtu 1400", "initcwnd 20", "proto static", "proto dhcp", "onlink")
        found.ip.append(f"route add default via {via} dev {nic}{metric}{extra}")
        found.has_default = True
    found.routed.add(nic)
    more = _some(random, 0.3, "metric 7", "tos 0x10", f"src {own}")
    for share, line in (
        (0.3, f"route add 172.16.{number}.0/24 via {via} dev {nic}{more}"),
        (0.2, f"route add 172.17.{number}.0/24 dev {nic} scope link"),
        (0.2, f"route add default via {via} dev {nic} table 5{number}"),
        (0.2, f"rule add from 10.{number}.0.0/24 lookup 5{number} priority 100{number}"),
        (0.1, f"rule add iif {nic} lookup 5{number} priority 110{number}"),
        (0.1, f"rule add oif {nic} lookup 5{number} priority 120{number}"),
    ):
        if random.random() < share:
            found.ip.append(line)


def _others(found: Found, random: Random) -> None:
    """Bridges, links and rules of others."""
    if random.random() < 0.3:
        found.ip += ["link add docker0 type bridge", "link set docker0 up", "address add 172.18.0.1/16 dev docker0"]
        found.shell.append(DOCKER)
    if random.random() < 0.2:
        found.ip += ["link add old0 type bridge stp_state 0 ageing_time 5000 mcast_snooping 0", "link set old0 up"]
    if random.random() < 0.2:
        found.ip += ["link add mv0 link eth2 type macvlan mode bridge", "link set mv0 up"]
        found.taken.add("eth2")
    if random.random() < 0.2:
        found.ip += ["link add dum0 type dummy", "address add 10.66.0.1/32 dev dum0", "link set dum0 up"]
    for number in range(random.choice([0, 0, 1, 2])):
        found.taps.append(f"vnet{number}")
    if random.random() < 0.2:
        found.shell.append(FIREWALL)
    if random.random() < 0.2:
        found.shell.append("echo 1 > /proc/sys/net/ipv4/ip_forward")
    if random.random() < 0.1:
        found.shell.append("echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
