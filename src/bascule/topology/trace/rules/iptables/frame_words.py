"""The options of ebtables(8), one line at a time, as ``ebtables-save`` prints them."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence

from bascule.model.ruleset.nft_json import NotUnderstood
from bascule.topology.trace.rules.lines import Decision, Part, RuleLine, SetField
from bascule.topology.trace.rules.names import ARP_OPERATIONS, ETHER_TYPES, ICMP6_TYPES, ICMP_TYPES, PACKET_TYPES
from bascule.topology.trace.rules.names import PROTOCOLS as IP_PROTOCOLS
from bascule.topology.trace.rules.tests import AnyTest, Bits, Bounds, Constant, Field, Test, UncertainTest
from bascule.topology.trace.rules.values import mac, network

VERDICTS = {"ACCEPT": "accept", "DROP": "drop", "CONTINUE": "continue", "RETURN": "return"}
PROTOCOLS = {**ETHER_TYPES, "802_1q": 0x8100, "s-tag": 0x88A8, "802_1ad": 0x88A8}
MACS = {  # of a name its address and mask (ebtables(8), -s)
    "Unicast": (0, 1 << 40),
    "Multicast": (1 << 40, 1 << 40),
    "Broadcast": ((1 << 48) - 1, (1 << 48) - 1),
    "BGA": (0x0180C2000000, (1 << 48) - 1),
}
EVERY_BIT = (1 << 48) - 1
IGNORED = {"--limit-burst", "--log-level", "--log-prefix", "--nflog-group", "--nflog-prefix", "--nflog-range"}
IGNORED |= {"--nflog-threshold", "--ulog-prefix", "--ulog-nlgroup", "--ulog-cprange", "--ulog-qthreshold"}
SWITCHES = {"--log", "--log-ip", "--log-arp", "--log-ip6", "--nflog", "--ulog"}
MARKS = {"--mark-or": "|", "--mark-and": "&", "--mark-xor": "^"}

Read = Callable[[str], tuple[str, Sequence[Bounds]]]


def read_line(words: str, number: int = 0) -> RuleLine:
    """One line, ``-A FORWARD …``; ``number`` is its place in the chain."""
    try:
        parts = list(_parts(shlex.split(words)[2:]))
    except (NotUnderstood, ValueError, IndexError, KeyError) as error:
        parts = [UncertainTest(f"{error}"), Decision("unknown", "ebtables")]
    return RuleLine(parts=tuple(parts), handle=number, text=words)


def saved_of_ebtables(listing: str) -> str:
    """What ``ebtables-legacy -t TABLE -L`` prints, as ``ebtables-save`` would print it.

    ``ebtables-legacy-save`` itself asks ``ebtables``, which is that of nft on most hosts.
    """
    found, chain = [], ""
    for line in map(str.strip, listing.splitlines()):
        if line.startswith("Bridge table: "):
            found.append(f"*{line.removeprefix('Bridge table: ')}")
        elif line.startswith("Bridge chain: "):
            chain, _, rest = line.removeprefix("Bridge chain: ").partition(", ")
            found.append(f":{chain} {rest.rpartition(' ')[2]}")
        elif line:
            found.append(f"-A {chain} {line}")
    return "\n".join((*found, ""))


def _parts(words: Sequence[str]) -> Iterator[Part]:
    place = 0
    while place < len(words):
        word = words[place]
        if word in {"-j", "--jump"}:
            yield from _target(words[place + 1], words[place + 2 :])
            return
        if word in SWITCHES:
            place += 1
            continue
        if word == "--arp-gratuitous":  # sender and target are one address
            yield Test((Bits("^", Field("arp saddr ip"), Field("arp daddr ip")),), frozenset({(0,)}))
            place += 1
            continue
        negated = words[place + 1] == "!"
        value = words[place + 1 + negated]
        place += 2 + negated
        if word not in IGNORED:
            yield _option(word, value, negated=negated)


def _option(word: str, value: str, *, negated: bool) -> AnyTest:
    if word in {"-s", "-d", "--arp-mac-src", "--arp-mac-dst"}:
        return _mac(_MAC_KEYS[word], value, negated=negated)
    if word == "--mark":
        bits, _, mask = value.partition("/")
        left = Bits("&", Field("meta mark"), Constant(int(mask, 0) if mask else 0xFFFFFFFF))
        return Test((left,), frozenset({(int(bits, 0),)}), negated=negated)
    if word.startswith(("--802_3-", "--stp-")):  # frames of LLC, which have a length where others have a type
        return UncertainTest(f"{word} {value}") if negated else Test((Field("ether type"),), ranged=(((0, 1535),),))
    if word in {"--ip-icmp-type", "--ip6-icmp-type"}:
        return _icmp(word, value, negated=negated)
    read = _OPTIONS.get(word)
    if read is None:
        return UncertainTest(f"{word} {value}")
    key, found = read(value)
    return Test((Field(key),), ranged=tuple((one,) for one in found), negated=negated)


def _mac(key: str, value: str, *, negated: bool) -> Test:
    if value in MACS:
        bits, mask = MACS[value]
    else:
        told, _, masked = value.partition("/")
        bits, mask = _number_of(told), _number_of(masked) if masked else EVERY_BIT
    left = Field(key) if mask == EVERY_BIT else Bits("&", Field(key), Constant(mask))
    return Test((left,), frozenset({(bits,)}), negated=negated)


def _number_of(text: str) -> int:
    """A MAC whose bytes may have one digit."""
    return mac(":".join(part.zfill(2) for part in text.split(":")))


def _icmp(word: str, value: str, *, negated: bool) -> Test:
    """``128:129/0:3``: types, and codes."""
    six = word == "--ip6-icmp-type"
    names = ICMP6_TYPES if six else ICMP_TYPES
    key = "icmpv6" if six else "icmp"
    kind, _, code = value.partition("/")
    keys = (Field(f"{key} type"), Field(f"{key} code"))
    return Test(keys, ranged=((_between(kind, names), _between(code, {}) if code else (0, 255)),), negated=negated)


def _between(text: str, names: Mapping[str, int]) -> tuple[int, int]:
    low, colon, high = text.partition(":")

    def number(word: str) -> int:
        return names[word] if word in names else int(word, 0)

    return number(low), number(high) if colon else number(low)


def _named(key: str) -> Read:
    def read(value: str) -> tuple[str, Sequence[Bounds]]:
        return key, [f"{value[:-1]}*" if value.endswith("+") else value]

    return read


def _numbers(key: str, names: Mapping[str, int]) -> Read:
    def read(value: str) -> tuple[str, Sequence[Bounds]]:
        return key, [_between(value.lower(), names)]

    return read


def _ethertype(key: str) -> Read:
    def read(value: str) -> tuple[str, Sequence[Bounds]]:
        name = value.lower()
        if name == "length":
            return key, [(0, 1535)]
        number = PROTOCOLS[name] if name in PROTOCOLS else int(name, 16)
        return key, [(number, number)]

    return read


def _network(key: str) -> Read:
    def read(value: str) -> tuple[str, Sequence[Bounds]]:
        return key, [network(value)]

    return read


_MAC_KEYS = {"-s": "ether saddr", "-d": "ether daddr", "--arp-mac-src": "arp saddr ether"}
_MAC_KEYS |= {"--arp-mac-dst": "arp daddr ether"}
_OPTIONS: Mapping[str, Read] = {
    "-p": _ethertype("ether type"),
    "-i": _named("meta iifname"),
    "-o": _named("meta oifname"),
    "--logical-in": _named("meta ibrname"),
    "--logical-out": _named("meta obrname"),
    "--arp-op": _numbers("arp operation", ARP_OPERATIONS),
    "--arp-opcode": _numbers("arp operation", ARP_OPERATIONS),
    "--arp-htype": _numbers("arp htype", {"ethernet": 1}),
    "--arp-ptype": _ethertype("arp ptype"),
    "--arp-ip-src": _network("arp saddr ip"),
    "--arp-ip-dst": _network("arp daddr ip"),
    "--ip-src": _network("ip saddr"),
    "--ip-dst": _network("ip daddr"),
    "--ip-proto": _numbers("ip protocol", IP_PROTOCOLS),
    "--ip-sport": _numbers("th sport", {}),
    "--ip-dport": _numbers("th dport", {}),
    "--ip6-src": _network("ip6 saddr"),
    "--ip6-dst": _network("ip6 daddr"),
    "--ip6-proto": _numbers("meta l4proto", IP_PROTOCOLS),
    "--ip6-sport": _numbers("th sport", {}),
    "--ip6-dport": _numbers("th dport", {}),
    "--vlan-id": _numbers("vlan id", {}),
    "--vlan-encap": _ethertype("vlan type"),
    "--pkttype-type": _numbers("meta pkttype", PACKET_TYPES),
}


def _target(name: str, options: Sequence[str]) -> Iterator[Part]:
    given = dict(zip(options[::2], options[1::2], strict=False))
    after = "ACCEPT"
    if name == "mark":
        after = given.get("--mark-target", after)
        value: Bits | Constant = Constant(int(given.get("--mark-set", "0"), 0))
        for word, sign in MARKS.items():
            if word in given:
                value = Bits(sign, Field("meta mark"), Constant(int(given[word], 0)))
        yield SetField("meta mark", value)
    elif name in {"dnat", "snat"}:
        after = given.get(f"--{name}-target", after)
        side, key = ("dst", "ether daddr") if name == "dnat" else ("src", "ether saddr")
        yield SetField(key, Constant(_number_of(given[f"--to-{side}"])))
        if name == "dnat":
            yield SetField("meta pkttype", Constant(PACKET_TYPES["other"]))
    elif name == "redirect":
        after = given.get("--redirect-target", after)
        yield SetField("ether daddr", Field("meta ibrhwaddr"))
        yield SetField("meta pkttype", Constant(PACKET_TYPES["host"]))
    elif name == "arpreply":
        yield Decision("unknown", name)
        return
    else:
        after = name
    yield Decision(VERDICTS[after]) if after in VERDICTS else Decision("jump", after)
