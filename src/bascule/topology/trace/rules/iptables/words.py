"""The options of iptables(8) and iptables-extensions(8), one line at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from bascule.topology.trace.rules.iptables.address_types import address_type, reverse_path
from bascule.topology.trace.rules.lines import BY_PATH, MSS, Decision, NoTrack, Part, SetField, Translate
from bascule.topology.trace.rules.names import (
    CT_STATE,
    CT_STATUS,
    DIRECTIONS,
    ICMP6_TYPES,
    ICMP_TYPES,
    PACKET_TYPES,
    PROTOCOLS,
    TCP_FLAGS,
)
from bascule.topology.trace.rules.tests import (
    AnyFlag,
    AnyTest,
    Bits,
    Bounds,
    Constant,
    Field,
    InSet,
    Test,
    UncertainTest,
)
from bascule.topology.trace.rules.values import address, mac, network

# options that say nothing of the packet
IGNORED = {"--limit-burst", "--hashlimit-burst", "--hashlimit-name", "--hashlimit-htable-expire", "--mask"}
SWITCHES = {"--syn", "--physdev-is-bridged", "--physdev-is-in", "--physdev-is-out", "-f", "--limit-iface-in"}
SWITCHES |= {"--limit-iface-out", "--invert", "--loose", "--validmark", "--accept-local"}
SWITCHES |= {"--return-nomatch", "--update-counters", "--update-subcounters"}
SWITCHES |= {
    "--rsource",
    "--rdest",
    "--rttl",
    "--reap",
    "--connlimit-saddr",
    "--connlimit-daddr",
    "--hashlimit-rate-match",
}
SWITCHES |= {"--icase", "--strict", "--next", "--contiguous", "--kerneltz", "--localtz", "--nowildcard"}
SWITCHES |= {"--soft"}
FRAGMENTS = {"--fragfirst", "--fragmore", "--fraglast", "--fragres", "--rt-0-res"}
OF_SOCKETS = {"--transparent", "--restore-skmark", "--socket-exists"}
SWITCHES |= FRAGMENTS | OF_SOCKETS
BARE = {"socket", "eui64", "osf"}  # what asks something without any option
HEADERS = {"ah", "dst", "esp", "frag", "hbh", "mh", "rt"}  # what asks for a header of its name, also without an option
RECENT = {"--set", "--update", "--rcheck", "--remove"}  # of ``recent``: what it notes, and what it asks for
TERMINAL = {"ACCEPT": "accept", "DROP": "drop", "RETURN": "return", "REJECT": "reject"}
SILENT_TARGETS = {"LOG", "NFLOG", "ULOG", "TOS", "DSCP", "CLASSIFY", "CHECKSUM", "TRACE", "SET", "TTL", "HL"}
SILENT_TARGETS |= {"AUDIT", "SECMARK", "CONNSECMARK", "TCPOPTSTRIP", "ECN", "RATEEST", "IDLETIMER", "LED"}
UNKNOWN_TARGETS = {"NFQUEUE", "QUEUE", "TPROXY", "SYNPROXY", "TARPIT", "TEE", "CLUSTERIP", "NETMAP", "DNPT", "SNPT"}
ADDRESS_TYPES = {"--src-type": "saddr", "--dst-type": "daddr"}


def parts_of(words: Sequence[str], family: str = "ip") -> tuple[list[Part], str]:
    """What a line of ip or ip6 asks and does, and its comment. Raises NotUnderstood, ValueError or IndexError."""
    parts: list[Part] = []
    comment = module = ""
    place = 0
    while place < len(words):
        word = words[place]
        negated = word == "!"
        if negated:
            place += 1
            word = words[place]
        if word in {"-j", "--jump", "-g", "--goto"}:
            parts += _target(words[place + 1], words[place + 2 :], goto=word in {"-g", "--goto"})
            return parts, comment
        if word in {"-m", "--match"}:
            module = words[place + 1]
            if module in BARE:
                parts.append(UncertainTest(f"-m {module}"))
            if module in HEADERS:
                parts.append(_no_header("", False))
            if module == "rpfilter":
                parts.append(reverse_path(words[place + 2 :]))
            place += 2
            continue
        if word in SWITCHES:
            parts += _switch(word, negated=negated)
            place += 1
            continue
        if module == "recent" and word in RECENT:
            parts += _recent(word, words[place + 1 :], negated=negated)
            place += 1
            continue
        if word == "--tcp-flags":
            parts.append(_flags(words[place + 1], words[place + 2], negated=negated))
            place += 3
            continue
        value = words[place + 1]
        place += 2
        if word == "--match-set":  # it has the directions behind the name
            parts.append(InSet.of(value, words[place], negated=negated))
            place += 1
        elif word == "--comment":
            comment = value
        elif word in ADDRESS_TYPES:
            parts.append(address_type(ADDRESS_TYPES[word], value, negated=negated, six=family == "ip6"))
        elif word not in IGNORED and module != "recent":
            parts.append(_option(word, value, module, negated=negated))
    return parts, comment


def _option(word: str, value: str, module: str, *, negated: bool) -> AnyTest:
    if word in {"--mark"}:
        return _mark("ct mark" if module == "connmark" else "meta mark", value, negated=negated)
    read = _OPTIONS.get(word)
    return read(value, negated) if read is not None else UncertainTest(f"{word} {value}")


def _ranges(key: str, found: Sequence[Bounds], *, negated: bool) -> Test:
    return Test((Field(key),), ranged=tuple((one,) for one in found), negated=negated)


def _addresses(key: str) -> Callable[[str, bool], AnyTest]:
    def read(value: str, negated: bool) -> AnyTest:  # noqa: FBT001  # one shape for all options
        field = f"ip6 {key}" if ":" in value else f"ip {key}"
        return _ranges(field, [network(one) for one in value.split(",")], negated=negated)

    return read


def _between(key: str) -> Callable[[str, bool], AnyTest]:
    def read(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
        low, _, high = value.partition("-")
        field = f"ip6 {key}" if ":" in value else f"ip {key}"
        return _ranges(field, [(address(low), address(high or low))], negated=negated)

    return read


def _name(key: str) -> Callable[[str, bool], AnyTest]:
    def read(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
        name = f"{value[:-1]}*" if value.endswith("+") else value
        return _ranges(key, [name], negated=negated)

    return read


def _ports(*keys: str) -> Callable[[str, bool], AnyTest]:
    def read(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
        found: list[Bounds] = []
        for one in value.split(","):
            low, colon, high = one.partition(":")
            found.append((int(low or 0), int(high or 65535) if colon else int(low)))
        if len(keys) > 1:
            return UncertainTest("--ports")
        return _ranges(keys[0], found, negated=negated)

    return read


def _protocol(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
    if value == "all":
        return Test((Constant(0),), frozenset({(0,)}), negated=negated)
    number = int(value) if value.isdigit() else PROTOCOLS[value]
    return _ranges("meta l4proto", [(number, number)], negated=negated)


def _states(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
    words = [word.lower() for word in value.split(",")]
    status = [CT_STATUS[word] for word in words if word in {"dnat", "snat"}]
    state = [CT_STATE[word] for word in words if word in CT_STATE]
    if status and state:  # one of the bits of either
        asked = (("ct state", state), ("ct status", status))
        either = (Bits("&", Field(key), Constant(sum(bits))) for key, bits in asked)
        return Test((Bits("|", *either),), frozenset({(0,)}), negated=not negated)
    key, bits = ("ct status", status) if status else ("ct state", state)
    return AnyFlag(Field(key), sum(bits), negated=negated)


def _status(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
    names = {"SEEN_REPLY": "seen-reply"}
    return AnyFlag(
        Field("ct status"),
        sum(CT_STATUS[names.get(word, word.lower())] for word in value.split(",")),
        negated=negated,
    )


def _direction(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
    number = DIRECTIONS[value.lower()]
    return _ranges("ct direction", [(number, number)], negated=negated)


def _recent(word: str, options: Sequence[str], *, negated: bool) -> list[Part]:
    """What a line of ``recent`` asks: ``--set`` notes the sender and holds; the others ask for what was noted."""
    if word == "--set" and not negated:
        return []
    given = dict(itertools.pairwise(options))
    often, within = given.get("--hitcount", ""), given.get("--seconds", "")
    words = f"limit by sender: {often or 1} or more" + (f" in {within} s" if within else "")
    return [UncertainTest(f"{words} (recent {given.get('--name', 'DEFAULT')})")]


def _icmp(key: str, names: Mapping[str, int]) -> Callable[[str, bool], AnyTest]:
    def read(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
        kind, _, code = value.partition("/")
        if kind in {"any", "255"}:
            return Test((Constant(0),), frozenset({(0,)}), negated=negated)
        number = int(kind) if kind.isdigit() else names[kind]
        if code and code not in {"0", "0:255"}:
            return Test((Constant(0),), frozenset({(1,)}), negated=negated)  # echoes have code 0
        return _ranges(f"{key} type", [(number, number)], negated=negated)

    return read


def _no_header(_: str, negated: bool) -> AnyTest:  # noqa: FBT001, ARG001
    """A test of a header that the packets that are asked for have not got, which fails either way."""
    return Test((Constant(0),), frozenset({(1,)}))


def _packet_type(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
    number = PACKET_TYPES["host" if value.lower() == "unicast" else value.lower()]
    return _ranges("meta pkttype", [(number, number)], negated=negated)


def _mac(value: str, negated: bool) -> AnyTest:  # noqa: FBT001
    number = mac(value)
    return _ranges("ether saddr", [(number, number)], negated=negated)


def _masked(value: str) -> tuple[int, int]:
    bits, _, mask = value.partition("/")
    return int(bits, 0), int(mask, 0) if mask else 0xFFFFFFFF


def _mark(key: str, value: str, *, negated: bool) -> AnyTest:
    bits, mask = _masked(value)
    return Test((Bits("&", Field(key), Constant(mask)),), frozenset({(bits,)}), negated=negated)


def _flags(mask: str, wanted: str, *, negated: bool) -> Test:
    def number(words: str) -> int:
        names = {"ALL": 0x3F, "NONE": 0, **{name.upper(): bit for name, bit in TCP_FLAGS.items()}}
        return sum({names[word] for word in words.split(",")})

    left = Bits("&", Field("tcp flags"), Constant(number(mask)))
    return Test((left,), frozenset({(number(wanted),)}), negated=negated)


def _switch(word: str, *, negated: bool) -> list[Part]:
    if word == "--syn":
        return [_flags("FIN,SYN,RST,ACK", "SYN", negated=negated)]
    if word == "-f":  # the packets that are asked for are whole
        return [Test((Constant(0),), frozenset({(1,)}), negated=negated)]
    if word == "--physdev-is-bridged":
        return [Test((Field("meta physbridged"),), frozenset({(1,)}), negated=negated)]
    if word in {"--physdev-is-in", "--physdev-is-out"}:
        key = "meta physin" if word.endswith("in") else "meta physout"
        return [Test((Field(key),), frozenset({("",)}), negated=not negated)]
    if word in FRAGMENTS:  # of headers that they have not got
        return [_no_header(word, negated)]
    if word.startswith("--limit-iface") or word in OF_SOCKETS:
        return [UncertainTest(word)]
    return []


_OPTIONS: Mapping[str, Callable[[str, bool], AnyTest]] = {
    "-s": _addresses("saddr"),
    "-d": _addresses("daddr"),
    "-i": _name("meta iifname"),
    "-o": _name("meta oifname"),
    "-p": _protocol,
    "--dport": _ports("th dport"),
    "--sport": _ports("th sport"),
    "--dports": _ports("th dport"),
    "--sports": _ports("th sport"),
    "--ports": _ports("th sport", "th dport"),
    "--ctstate": _states,
    "--state": _states,
    "--ctstatus": _status,
    "--ctorigsrc": lambda value, negated: _ranges("ct original ip saddr", [network(value)], negated=negated),
    "--ctorigdst": lambda value, negated: _ranges("ct original ip daddr", [network(value)], negated=negated),
    "--ctorigsrcport": _ports("ct original proto-src"),
    "--ctorigdstport": _ports("ct original proto-dst"),
    "--ctproto": _protocol,
    "--ctdir": _direction,
    "--hl-eq": lambda value, negated: _ranges("ip6 hoplimit", [(int(value), int(value))], negated=negated),
    "--rt-type": _no_header,
    "--rt-segsleft": _no_header,
    "--ahspi": _no_header,
    "--espspi": _no_header,
    "--pkt-type": _packet_type,
    "--src-range": _between("saddr"),
    "--dst-range": _between("daddr"),
    "--mac-source": _mac,
    "--physdev-in": _name("meta physin"),
    "--physdev-out": _name("meta physout"),
    "--icmp-type": _icmp("icmp", ICMP_TYPES),
    "--icmpv6-type": _icmp("icmpv6", ICMP6_TYPES),
}


def _target(name: str, options: Sequence[str], *, goto: bool) -> list[Part]:
    given = dict(zip(options[::2], options[1::2], strict=False))
    if name in TERMINAL:
        return [Decision(TERMINAL[name])]
    if name in SILENT_TARGETS:
        return []
    if name in UNKNOWN_TARGETS:
        return [Decision("unknown", name)]
    if name == "TCPMSS":
        size = given.get("--set-mss", "")
        return [SetField(MSS, Constant(int(size)) if size.isdigit() else Constant(BY_PATH))]
    if name == "MARK":
        return [_set_mark("meta mark", given)]
    if name == "CONNMARK":
        if "--save-mark" in options:
            return [SetField("ct mark", Field("meta mark") if len(options) == 1 else None)]
        if "--restore-mark" in options:
            return [SetField("meta mark", Field("ct mark") if len(options) == 1 else None)]
        return [_set_mark("ct mark", given)]
    if name == "NOTRACK" or (name == "CT" and "--notrack" in options):
        return [NoTrack()]
    if name == "CT":
        return []
    if name == "MASQUERADE":
        return [Translate("masquerade")]
    if name in {"DNAT", "SNAT"}:
        return [_nat(name.lower(), given.get("--to-destination") or given["--to-source"])]
    if name == "REDIRECT":
        port = given.get("--to-ports", "")
        unsure = "one of several ports" if "-" in port else ""
        return [Translate("redirect", port=Constant(int(port.partition("-")[0])) if port else None, unsure=unsure)]
    return [Decision("goto" if goto else "jump", name)]


def _set_mark(key: str, given: Mapping[str, str]) -> SetField:
    before = Field(key)
    for option, sign in (("--set-xmark", "^"), ("--set-mark", "|")):
        if option in given:
            bits, mask = _masked(given[option])
            kept = Bits("&", before, Constant(0xFFFFFFFF & ~mask))
            return SetField(key, Constant(bits) if mask == 0xFFFFFFFF else Bits(sign, kept, Constant(bits)))
    return SetField(key, None)


def _nat(kind: str, to: str) -> Translate:
    where, port = to, ""
    if to.startswith("["):
        where, _, port = to[1:].partition("]")
        port = port.lstrip(":")
    elif to.count(":") == 1:
        where, _, port = to.partition(":")
    low, dash, _ = where.partition("-")
    unsure = "one of several addresses" if dash else "one of several ports" if "-" in port else ""
    return Translate(
        kind,
        Constant(address(low)) if low else None,
        Constant(int(port.partition("-")[0])) if port else None,
        unsure=unsure,
    )
