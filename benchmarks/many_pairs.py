"""A host of many guests and many rules, as nft itself lists them, for questions about all pairs."""

from __future__ import annotations

from random import Random

from bascule.model.links import Bridge, BridgePort, Tap
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.topology.trace.network import HostNetwork, KnownNeighbour, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.lines import Rules

BRIDGES = 2
TRAFFICS = (
    Traffic(protocol="icmp"),
    *(Traffic(protocol="tcp", port=port) for port in (22, 443, 5432)),
    Traffic(protocol="udp", port=53),
)


def address(number: int) -> str:
    """The address of a guest: one half of them on each bridge."""
    return f"10.9.{number % BRIDGES * 16 + number // BRIDGES // 200}.{number // BRIDGES % 200 + 2}"


def rules(guests: int, lines: int) -> str:
    """Accept and drop by guests, small networks and services, behind the two lines that every firewall begins with."""
    random = Random(lines)

    def side() -> str:
        one = address(random.randrange(guests))
        return random.choice((one, f"{one.rpartition('.')[0]}.{int(one.rpartition('.')[2]) & 240}/28", ""))

    text = ["ct state established,related accept", "ct state invalid drop"]
    for _ in range(lines - 3):
        source, target = side(), side()
        service = random.choice(
            ("tcp dport 22", "tcp dport 443", "tcp dport 5000-6000", "udp dport 53", "tcp dport 80")
        )
        words = [f"ip saddr {source}"] if source else []
        words += [f"ip daddr {target}"] if target else []
        text.append(" ".join((*words, service, random.choice(("accept", "accept", "drop")))))
    body = "\n".join(text)
    return f"table ip fw {{\nchain forward {{\ntype filter hook forward priority 0\npolicy drop\n{body}\n}}\n}}\n"


def host(guests: int, read: Rules) -> tuple[HostNetwork, list[WireEnd]]:
    """The host, which routes between its bridges and filters on them (br_netfilter), and its guests."""
    links: dict[IfName, Link] = {}
    ends, neighbours = [], []
    for place in range(BRIDGES):
        name, own = IfName(f"br{place}"), Mac(f"02:00:00:00:ff:{place:02x}")
        here = Address(ip=f"10.9.{place * 16}.1/20")
        facts = LinkFacts(index=place + 2, carrier=True)
        links[name] = Link(name=name, options=Bridge(), up=True, mac=own, addresses=(here,), facts=facts)
    for number in range(guests):
        tap, bridge = IfName(f"tap{number}"), IfName(f"br{number % BRIDGES}")
        mac = 0x525400000000 + number
        facts = LinkFacts(index=number + 10, carrier=True, stp_port_state="forwarding")
        links[tap] = Link(name=tap, options=Tap(), up=True, master=bridge, port=BridgePort(), facts=facts)
        own_number = _number(address(number))
        router = _number(f"10.9.{number % BRIDGES * 16}.1")
        ends.append(
            WireEnd(
                name=f"guest_{number}",
                port=tap,
                mac=mac,
                addresses=((own_number, 4, 20),),
                gateways={4: router},
            )
        )
        neighbours.append(KnownNeighbour(address=own_number, link=bridge, mac=mac))
    sysctls = {"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1"}
    network = HostNetwork(
        state=HostState(links=links),
        rules=read,
        sysctls=sysctls,
        neighbours=tuple(neighbours),
    )
    return network, ends


def _number(text: str) -> int:
    one, two, three, four = map(int, text.split("."))
    return one << 24 | two << 16 | three << 8 | four
