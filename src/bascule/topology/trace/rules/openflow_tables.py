"""A frame through the tables of OpenFlow of a switch: the rules of guards, which are understood, and those of others.

Only what the guards use is followed: ``resubmit`` to another table, a number into a register, ``learn``, ``drop`` and
``NORMAL``. A rule of somebody else that the frame meets, or may meet, leaves the way open, with its cookie and table.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from bascule.model.ruleset.openflow import NOT_KNOWN, FlowRule, LoadedRule
from bascule.model.state import Link
from bascule.model.values import grouped
from bascule.policy.guards.flows import COOKIE, NUMBERS
from bascule.topology.trace.answer import Blocker, Code, Stage
from bascule.topology.trace.passage import PacketPath
from bascule.topology.trace.rules.tests import MISSING, Fields
from bascule.topology.trace.rules.values import mac

PROTOCOLS: Mapping[str, tuple[int, int | None]] = {
    "ip": (0x0800, None), "icmp": (0x0800, 1), "tcp": (0x0800, 6), "udp": (0x0800, 17),
    "ipv6": (0x86DD, None), "icmp6": (0x86DD, 58), "tcp6": (0x86DD, 6), "udp6": (0x86DD, 17),
    "arp": (0x0806, None), "rarp": (0x8035, None),
}  # fmt: skip
NAMES: Mapping[str, tuple[str, ...]] = {  # by which names of nft the same field is known
    "dl_src": ("ether saddr",), "dl_dst": ("ether daddr",),
    "nw_src": ("ip saddr",), "nw_dst": ("ip daddr",), "ipv6_src": ("ip6 saddr",), "ipv6_dst": ("ip6 daddr",),
    "nw_proto": ("meta l4proto",), "tp_src": ("th sport",), "tp_dst": ("th dport",),
    "icmp_type": ("icmp type", "icmpv6 type"), "nd_target": ("icmpv6 taddr",),
    "arp_op": ("arp operation",), "arp_sha": ("arp saddr ether",), "arp_tha": ("arp daddr ether",),
    "arp_spa": ("arp saddr ip",), "arp_tpa": ("arp daddr ip",),
    # whoever asks for a neighbour, or answers, tells its own MAC
    "nd_sll": ("ether saddr",), "nd_tll": ("ether saddr",),
}  # fmt: skip
MOST_TABLES = 64  # that a frame goes through in Open vSwitch
OWNER = "openflow cookie"  # the field of a blocker that says whose rule it is
OWN_PORT = "LOCAL"  # OpenFlow's name of the port on which the host speaks
REASONS = {number: reason for reason, number in NUMBERS.items()}  # of guards, in register 1
_LOAD = re.compile(r"load:(0x[0-9a-f]+|\d+)->NXM_NX_REG(\d)\[\]")
_RESUBMIT = re.compile(r"resubmit\(,(\d+)\)")


class FlowTableResult(Struct, frozen=True, kw_only=True):
    """What becomes of a frame: ``passes`` None is not known. ``rule`` decided; ``registers`` are the frame's then."""

    passes: bool | None
    rule: LoadedRule | None = None
    table: int = 0
    registers: Mapping[int, int]


def meet_flows(passage: PacketPath, bridge: str, link: Link | None) -> None:
    """A frame meets the rules of a bridge of Open vSwitch, where it has others than that it learns as a switch.

    ``link`` is the port that it came in by; None where the host itself sends it.
    """
    rules = passage.network.flows.get(bridge)
    if rules is None:
        return
    passage.meets_flows(rules)
    bonded = passage.network.state.ports(link.name) if link is not None else ()
    names = [OWN_PORT] if link is None else [str(link.name), *(str(one.name) for one in bonded)]
    met = {one.rule.match.removeprefix("in_port=") for one in rules}
    port = next((name for name in names if name in met), names[0])
    way = through_tables(rules, port, passage.fields)
    if way.passes:
        passage.note("openflow", f"passes the rules of OpenFlow of {bridge}", where=bridge)
        return
    asked = passage.network.traced.get((bridge, flow_words(port, passage.fields))) if way.passes is None else None
    if asked:
        passage.note("openflow", f"ofproto/trace of {bridge}: it passes the rules of OpenFlow", where=bridge)
        return
    text = f"OpenFlow decides on {bridge}: no rule of table {way.table} takes the frame, and it is dropped"
    if way.rule is not None:
        text = f"OpenFlow decides on {bridge}: {words_of(way.rule)}"
    reason = REASONS.get(way.registers.get(1, 0))
    if way.passes is False and reason is not None:
        text = f"the guard at {port} on {bridge} stops frames {reason.words}"
    elif asked is False:
        text += "; ofproto/trace: drop"
    fields = {**passage.fields, "meta iifname": port, OWNER: way.rule.cookie if way.rule is not None else None}
    sure = way.passes is False or asked is False
    depends = bool(passage.unsure)
    why = Blocker(code=Code.OPENFLOW, subject=bridge, text=text, certain=sure, depends=depends, fields=fields)
    verdict = "no" if sure else "perhaps"
    passage.stages.append(Stage(name="openflow", where=bridge, verdict=verdict, words=text, blockers=(why,)))


def flow_words(port: str, fields: Fields) -> str:
    """A frame as ovs-appctl(8) takes it for ``ofproto/trace``; a port out of a range is its first one."""
    words = [f"in_port={port}"]
    kinds = {each: word for word, each in PROTOCOLS.items()}
    protocol, kind = fields.get("meta l4proto"), fields.get("meta protocol")
    word = next((kinds[each] for each in ((kind, protocol), (kind, None)) if each in kinds), None)
    words += [word] if word is not None else []
    for name, known in NAMES.items():
        value = next((fields[each] for each in known if each in fields), None)
        value = value[0] if isinstance(value, tuple) else value
        if not isinstance(value, int) or name in {"nw_proto", "nd_sll", "nd_tll"}:
            continue
        if name in {"dl_src", "dl_dst", "arp_sha", "arp_tha"}:
            words.append(f"{name}={value.to_bytes(6).hex(':')}")
        elif name.startswith(("ipv6_", "nd_")):
            words.append(f"{name}={ipaddress.IPv6Address(value)}")
        elif name in {"nw_src", "nw_dst", "arp_spa", "arp_tpa"}:
            words.append(f"{name}={ipaddress.IPv4Address(value)}")
        else:
            words.append(f"{name}={value}")
    return ",".join(words)


def traces_to_ask(blockers: Iterable[Blocker]) -> set[tuple[str, str]]:
    """What ofproto/trace is to be asked: each bridge and frame of which these rules do not tell."""
    some = [one for one in blockers if one.code is Code.OPENFLOW and not one.certain and one.fields]
    some = [one for one in some if "tp_src=" not in one.text]  # a client's own port is any of thousands
    return {(one.subject, flow_words(str(one.fields["meta iifname"]), one.fields)) for one in some}


def through_tables(rules: Iterable[LoadedRule], port: str, fields: Fields) -> FlowTableResult:
    """The way of a frame that came in by a port, as far as rules of ours tell it."""
    tables = grouped((one.rule.table, one) for one in sorted(rules, key=lambda each: -each.rule.priority))
    table, registers = 0, dict[int, int]()
    for _ in range(MOST_TABLES):
        met, is_sure = _met(tables.get(table, ()), port, fields, registers)
        if met is None:
            return FlowTableResult(passes=False, table=table, registers=registers)
        if not is_sure or (met.cookie != COOKIE and met.rule.actions != "NORMAL"):
            return FlowTableResult(passes=None, rule=met, table=table, registers=registers)
        actions = met.rule.actions
        if actions == "NORMAL":
            return FlowTableResult(passes=True, rule=met, table=table, registers=registers)
        registers |= {int(register): int(value, 0) for value, register in _LOAD.findall(actions)}
        further = _RESUBMIT.findall(actions)
        if not further:
            return FlowTableResult(passes=False, rule=met, table=table, registers=registers)
        table = int(further[0])
    return FlowTableResult(passes=None, table=table, registers=registers)


def _met(
    rules: Iterable[LoadedRule], port: str, fields: Fields, registers: Mapping[int, int]
) -> tuple[LoadedRule | None, bool]:
    """The first rule of a table that the frame meets, or may meet."""
    for one in rules:
        verdicts = [_holds(word, port, fields, registers) for word in filter(None, one.rule.match.split(","))]
        if False not in verdicts:
            return one, None not in verdicts
    return None, True


def _holds(word: str, port: str, fields: Fields, registers: Mapping[int, int]) -> bool | None:
    """Whether one part of a rule's match holds; None where nobody can say."""
    name, _, said = word.partition("=")
    if not said:
        return _is_of(PROTOCOLS.get(name), fields)
    if name == "in_port":
        return said == port
    if name.startswith("reg"):
        return registers.get(int(name.removeprefix("reg")), 0) == int(said, 0)
    if name == "vlan_tci":
        return "vlan id" in fields if said == "0x1000/0x1000" else None
    if name == "nw_frag":
        return said == "no"  # a packet is asked about whole
    if name == "nw_ttl":
        return True if fields.get("icmpv6 type") in range(133, 137) and said == "255" else None
    if name == "dl_type":
        return _is_of((int(said, 0), None), fields)
    known = [fields[each] for each in NAMES.get(name, ()) if each in fields]
    if not known:
        return None if name not in NAMES else False
    return _equals(known[0], said)


def _is_of(kind: tuple[int, int | None] | None, fields: Fields) -> bool | None:
    if kind is None:
        return None
    protocol = fields.get("meta protocol")
    if protocol is None:
        return None
    return protocol == kind[0] and (kind[1] is None or fields.get("meta l4proto") == kind[1])


def _equals(value: Any, said: str) -> bool | None:
    number, mask = _number(said)
    if isinstance(value, tuple):  # a range of ports
        return None if value[0] <= number <= value[1] else False
    if value is None or value is MISSING or not isinstance(value, int):
        return None
    return value & mask == number & mask


def _number(said: str) -> tuple[int, int]:
    """A value of OpenFlow and its mask, all bits where there is none."""
    value, _, mask = said.partition("/")
    if value.count(":") == 5 and "::" not in value:
        full = (1 << 48) - 1
        return mac(value), mac(mask) if mask else full
    if ":" in value or "." in value:
        network = ipaddress.ip_network(said, strict=False)
        return int(network.network_address), int(network.netmask)
    return int(value, 0), int(mask, 0) if mask else -1


def words_of(one: LoadedRule) -> str:
    """A rule as people find it again: its cookie, table and match."""
    rule: FlowRule = one.rule
    if rule.actions.startswith(NOT_KNOWN):
        return rule.actions
    return f"cookie={one.cookie:#x},{rule.key} actions={rule.actions}"
