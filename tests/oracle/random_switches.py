"""What else than nft's rules a random host has: forwarding databases, policy routing, rules of iptables."""

from __future__ import annotations

from random import Random

from tests.oracle.lab import GUESTS, PORTS

BRIDGED = [guest for guest in GUESTS if guest.bridge]
LINKS = ("br0", "br1", "px", "py")
FORGET = ["fdb flush dev br0 dynamic nopermanent", "fdb flush dev br1 dynamic nopermanent"]
EMPTY = "".join(
    f"*{table}\n{''.join(f':{chain} ACCEPT{chr(10)}' for chain in chains.split())}COMMIT\n"
    for table, chains in (
        ("filter", "INPUT FORWARD OUTPUT"),
        ("mangle", "PREROUTING INPUT FORWARD OUTPUT POSTROUTING"),
        ("nat", "PREROUTING INPUT OUTPUT POSTROUTING"),
    )
)
"""What iptables-restore makes every table empty with."""


def port_flags(random: Random, *, learns: bool) -> list[str]:
    """Flags of the bridges' ports; with ``learns`` false some learn and flood nothing, or are locked."""
    lines = []
    for guest in BRIDGED:
        words = [f"isolated {_on(random, 0.15)} hairpin {_on(random, 0.1)}"]
        kind = "plain" if learns else random.choice(("plain", "plain", "silent", "locked"))
        words.append({"plain": "learning on flood on locked off", "silent": "learning off flood off locked off",
                      "locked": "learning off flood on locked on"}[kind])  # fmt: skip
        lines.append(f"link set {guest.port} type bridge_slave {' '.join(words)}")
    return lines


def _on(random: Random, often: float) -> str:
    return "on" if random.random() < often else "off"


def static_entries(random: Random) -> list[str]:
    """Entries of forwarding databases, some of which lead to a wrong port."""
    lines = []
    for guest in BRIDGED:
        if random.random() < 0.6:
            ports = [other.port for other in BRIDGED if other.bridge == guest.bridge]
            port = guest.port if random.random() < 0.8 else random.choice(ports)
            lines.append(f"fdb replace {guest.mac} dev {port} master static")
    return lines


def policy_routes(random: Random) -> tuple[list[str], list[str]]:
    """Rules and tables of policy routing, at times a second uplink in the first one's subnet; and what undoes them."""
    lines = [
        "route add default via 10.9.2.16 dev px table 101",
        "route add 10.9.0.0/24 dev br0 table 102",
        "route add default via 10.9.3.17 dev py table 102",
        "route add unreachable default table 103",
        "route add blackhole 10.9.1.0/24 table 104",
        "-6 route add default via fd09:0:0:2::16 dev px table 101",
        "-6 route add fd09:0:0:1::/64 dev px table 102",
        "-6 route add unreachable default table 103",
    ]
    undo = [f"route flush table {number}" for number in (101, 102, 103, 104)]
    undo += [f"-6 route flush table {number}" for number in (101, 102, 103)]
    if random.random() < 0.5:
        lines.append("address add 10.9.2.2/24 dev py")
        undo.append("address del 10.9.2.2/24 dev py")
    if random.random() < 0.3:  # without one the host asks for no neighbour of what it hands on
        lines.append("address del fe80::a1/64 dev br1")
        undo.append("address add fe80::a1/64 dev br1 nodad")
    for number in range(random.randint(1, 4)):
        six = random.random() < 0.3
        guest = random.choice(GUESTS)
        own = guest.v6 if six else guest.v4
        marked = f"fwmark {random.randint(1, 3)}"
        selector = random.choice((f"from {own}", f"to {own}", f"iif {random.choice(LINKS)}", marked,
                                  f"from {guest.host6 if six else guest.host4}", "not from all fwmark 0x1/0x1",
                                  f"to {'fd09:0:0:1::/64' if six else '10.9.1.0/24'} iif br0"))  # fmt: skip
        rule = f"rule add pref {200 + number} {selector} lookup {random.choice((101, 101, 102, 102, 103, 104))}"
        lines.append(f"-6 {rule}" if six else rule)
        undo.append(("-6 " if six else "") + f"rule del pref {200 + number}")
    return lines, undo


def iptables(random: Random) -> str:
    """Rules of iptables by the matches that hosts have most."""
    chains = {
        "filter": ("FORWARD", "FORWARD", "INPUT", "OUTPUT"),
        "mangle": ("PREROUTING", "FORWARD", "POSTROUTING"),
        "nat": ("PREROUTING", "POSTROUTING"),
    }
    text = []
    for table in random.sample(list(chains), random.randint(1, 2)):
        policy = random.choice(("ACCEPT", "ACCEPT", "DROP")) if table == "filter" else "ACCEPT"
        own = table == "filter"
        text.append(f"*{table}")
        text += [f":{chain} {policy if chain == 'FORWARD' else 'ACCEPT'}" for chain in dict.fromkeys(chains[table])]
        text += [":own -"] if own else []
        for _ in range(random.randint(1, 5)):
            chain = random.choice((*chains[table], "own") if own else chains[table])
            text.append(f"-A {chain} {_tests(random, chain)} {_target(random, table, chain, own=own)}")
        text.append("COMMIT")
    return "\n".join(text) + "\n"


def _tests(random: Random, chain: str) -> str:
    guest = random.choice(GUESTS)
    sign = random.choice(("", "", "! "))
    words = [
        f"{sign}-s {guest.v4}/32",
        f"{sign}-d 10.9.{random.randint(0, 2)}.0/24",
        f"-p udp -m udp {sign}--dport {random.choice(PORTS)}",
        f"-p udp -m multiport {sign}--dports 53,80:90",
        "-m conntrack --ctstate RELATED,ESTABLISHED",
        "-m conntrack --ctstate NEW",
        f"-m iprange {sign}--src-range 10.9.0.11-10.9.0.13",
        f"-m addrtype {sign}--dst-type LOCAL",
        f"-m mark {sign}--mark 0x1/0x3",
        "-m comment --comment said",
        "-p tcp -m tcp --dport 80",
        "-p icmp -m icmp --icmp-type 8",
    ]
    if chain in {"FORWARD", "INPUT", "PREROUTING", "own"}:
        words += [f"{sign}-i {random.choice(LINKS)}", f"-m mac {sign}--mac-source {guest.mac}"]
    if chain in {"FORWARD", "own"}:
        words += [f"{sign}-o {random.choice(LINKS)}", f"-m physdev {sign}--physdev-in {random.choice(BRIDGED).port}",
                  f"-m physdev {sign}--physdev-is-bridged"]  # fmt: skip
    if chain == "own":
        words = [one for one in words if not one.startswith(("-i", "-o", "! -i", "! -o", "-m mac", "-m physdev"))]
    found = random.choice(words) if random.random() < 0.7 else ""
    return "" if found.startswith("-p") and chain in {"PREROUTING", "POSTROUTING"} else found  # DNAT has a -p


def _target(random: Random, table: str, chain: str, *, own: bool) -> str:
    if table == "nat":
        if chain == "POSTROUTING":
            return "-j MASQUERADE"
        return f"-p udp -m udp --dport 80 -j DNAT --to-destination {random.choice(GUESTS).v4}"
    if table == "mangle":
        return random.choice(("-j MARK --set-xmark 0x1/0xffffffff", "-j DROP", "-j ACCEPT"))
    return random.choice(("-j ACCEPT", "-j DROP", "-j RETURN", *(["-j own"] if own and chain != "own" else [])))


def ebtables(random: Random) -> str:
    """Rules of ebtables by the matches of ebtables(8) that the lab's frames can meet."""
    text = []
    for table in random.sample(("filter", "nat"), random.randint(1, 2)):
        chains = {"filter": ("FORWARD", "FORWARD", "INPUT", "OUTPUT"), "nat": ("PREROUTING", "POSTROUTING")}[table]
        text.append(f"*{table}")
        for chain in dict.fromkeys(chains):
            drops = table == "filter" and random.random() < 0.1
            text.append(f":{chain} {'DROP' if drops else 'ACCEPT'}")
        text.append(f":own {random.choice(('ACCEPT', 'DROP', 'RETURN', 'RETURN'))}")
        for _ in range(random.randint(1, 5)):
            chain = random.choice((*chains, "own"))
            words = [_frame_test(random, chain) for _ in range(random.choice((0, 1, 1, 2)))]
            protocols = dict.fromkeys(word.split(" --")[0] for word in words if word.startswith("-p "))
            options = [part for word in words for part in word.split() if part.startswith("-") and part != "-p"]
            if len(protocols) < 2 and len(options) == len(set(options)):  # each option once
                tests = [word.partition(" --")[1] + word.partition(" --")[2] if word.startswith("-p ") else word
                         for word in words]  # fmt: skip
                text.append(" ".join((f"-A {chain}", *protocols, *tests, f"-j {_frame_target(random, table, chain)}")))
        text.append("COMMIT")
    return "\n".join(text) + "\n"


def _frame_test(random: Random, chain: str) -> str:
    guest, sign = random.choice(BRIDGED), random.choice(("", "", "! "))
    words = [
        f"-s {sign}{guest.mac}",
        f"-d {sign}{guest.mac}",
        "-s 02:00:00:00:00:10/ff:ff:ff:ff:ff:fc",
        f"-d {random.choice(('Unicast', 'Multicast', 'Broadcast', 'BGA'))}",
        f"-p {sign}{random.choice(('IPv4', 'ARP', 'IPv6', '802_1Q'))}",
        f"-p IPv4 --ip-src {sign}{guest.v4}",
        "-p IPv4 --ip-dst 10.9.0.8/29",
        f"-p IPv4 --ip-proto udp --ip-dport {sign}{random.choice(('53', '80:90', '400:500'))}",
        "-p IPv4 --ip-proto tcp --ip-sport 80",
        f"-p IPv6 --ip6-dst {sign}{guest.v6}",
        "-p IPv6 --ip6-proto udp --ip6-dport 53:80",
        "-p IPv6 --ip6-proto ipv6-icmp --ip6-icmp-type 135:136/0:255",
        "-p IPv4 --ip-proto icmp --ip-icmp-type 8",
        "-p ARP --arp-op Request",
        f"-p ARP --arp-ip-dst {guest.v4}",
        f"-p ARP --arp-mac-src {sign}{guest.mac}",
        f"--mark {sign}{random.choice(('1', '1/3', '2/2'))}",
        f"--pkttype-type {sign}{random.choice(('host', 'broadcast', 'multicast', 'otherhost'))}",
        "-p 802_1Q --vlan-id 0",
        "--stp-type 1",
        f"--among-src {random.choice(('', '! '))}{guest.mac}={guest.v4},02:00:00:00:00:77",
    ]
    if chain in {"FORWARD", "INPUT", "PREROUTING"}:
        words += [f"-i {sign}{random.choice((guest.port, 'p+'))}"] * 2
    if chain in {"FORWARD", "OUTPUT", "POSTROUTING"}:
        words += [f"-o {sign}{random.choice((guest.port, 'p+'))}"] * 2
    return random.choice(words)


def _frame_target(random: Random, table: str, chain: str) -> str:
    guest = random.choice(BRIDGED)
    words = (
        ["ACCEPT", "DROP", "CONTINUE"] + ([] if chain == "own" else ["own"]) + (["RETURN"] if chain == "own" else [])
    )
    words.append(f"mark --mark-{random.choice(('set', 'or', 'xor', 'and'))} {random.randint(1, 3)} --mark-target "
                 f"{random.choice(('CONTINUE', 'ACCEPT'))}")  # fmt: skip
    if table == "nat" and chain == "PREROUTING":
        words += [f"dnat --to-dst {guest.mac} --dnat-target {random.choice(('ACCEPT', 'CONTINUE'))}"]
        words += ["redirect --redirect-target ACCEPT"]
    if table == "nat" and chain == "POSTROUTING":
        words += [f"snat --to-src {guest.mac} --snat-target ACCEPT"]
    return random.choice(words)
