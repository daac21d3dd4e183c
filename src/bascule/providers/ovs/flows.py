"""The guards' rules of OpenFlow: as ovs-ofctl prints them, and what leads from some to others. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping

from bascule.model.ruleset.openflow import FlowRule, LoadedRule, flow
from bascule.policy.guards.counters import StoppedFrames
from bascule.policy.guards.flows import (
    CLAIMED,
    COOKIE,
    COUNTED,
    LEARNED,
    NUMBERS,
    PORTS,
    SENDER,
    from_late_port,
    from_port,
    port_number,
)
from bascule.policy.guards.reasons import GuardReason

_NAMED = re.compile(r'(in_port=)"([^"]*)"')
_ABOUT = ("n_bytes", "idle_timeout", "hard_timeout", "idle_age", "hard_age", "importance")
_FLAGS = re.compile(r"\b(?:reset_counts|send_flow_rem|check_overlap|no_packet_counts|no_byte_counts) ")
USUAL = 32768  # the priority of a rule that says none
SHOWN_FRAGMENTS = "nx-match"  # with their ports: else the first one of a packet looks like all others
BY_KERNEL = ("", "internal")  # types of interfaces that are links of the kernel
LOCAL = "LOCAL"  # OpenFlow's name of a switch's own port


def read_flows(listing: str) -> Iterator[LoadedRule]:
    """Each rule in the output of ``ovs-ofctl --names dump-flows``."""
    for line in listing.splitlines():
        head, is_rule, actions = line.strip().partition(" actions=")
        if not is_rule:
            continue
        *told, last = _FLAGS.sub("", head).split(", ")
        fields = dict(word.partition("=")[::2] for word in told)
        if last.partition("=")[0] in _ABOUT:  # it matches everything at the usual priority
            fields |= dict([last.partition("=")[::2]])
            last = ""
        said, _, match = last.partition(",") if last.startswith("priority=") else (f"priority={USUAL}", "", last)
        one = flow(int(fields["table"]), int(said.removeprefix("priority=")), _NAMED.sub(r"\1\2", match), actions)
        yield LoadedRule(int(fields["cookie"], 16), int(fields["n_packets"]), one)


def stopped(loaded: Iterable[LoadedRule], names: Iterable[str]) -> Iterator[StoppedFrames]:
    """What the guards of some ports have stopped, with the claims that the switch has learned to count.

    Those are lower bounds: what came before it had learned is missing, but for the first. A sole claim is all of it.
    """
    ports = {port_number(name): name for name in names}
    reasons = {number: reason for reason, number in NUMBERS.items()}
    frames: dict[tuple[str, GuardReason], int] = {}
    claims: dict[tuple[str, GuardReason], list[tuple[str, int]]] = {}
    for one in loaded:
        if one.rule.table not in {COUNTED, CLAIMED} or one.cookie not in {COOKIE, LEARNED}:
            continue
        fields = dict(field.partition("=")[::2] for field in one.rule.match.split(","))
        port, reason = ports.get(int(fields["reg0"], 16)), reasons.get(int(fields["reg1"], 16))
        if port is None or reason is None:
            continue
        if one.rule.table == COUNTED and one.frames:
            frames[port, reason] = one.frames
        elif one.rule.table == CLAIMED:
            claims.setdefault((port, reason), []).append((_claim(fields), one.frames + 1))
    for (port, reason), number in frames.items():
        told = sorted(claims.get((port, reason), ()), key=lambda each: (-each[1], each[0]))
        if len(told) == 1:
            told = [(told[0][0], number)]
        yield StoppedFrames(port=port, reason=reason, frames=number, claims=tuple(told))


def _claim(fields: Mapping[str, str]) -> str:
    """The address, or the type of the frame as people write it."""
    for name in ("arp_spa", "nd_target"):
        if name in fields:
            return fields[name]
    known = next((number for word, number in _TYPES.items() if word in fields), None)
    return f"{known if known is not None else int(fields.get('dl_type', '0'), 0):#06x}"


_TYPES = {"ip": 0x0800, "ipv6": 0x86DD, "arp": 0x0806, "rarp": 0x8035, "mpls": 0x8847, "mplsm": 0x8848}


def loading(old: Collection[FlowRule], new: Collection[FlowRule], present: Collection[str]) -> str:
    """The lines of one bundle for ``ovs-ofctl add-flows``; nothing where nothing is to be done."""
    before, after = (frozenset(concrete(some, present)) for some in (old, new))
    lines = [f"delete_strict {one.key}" for one in sorted(before - after)]
    lines += [f"add cookie={COOKIE:#x},{one.key} actions={one.actions}" for one in sorted(after - before)]
    return "".join(f"{line}\n" for line in lines)


def concrete(flows: Iterable[FlowRule], present: Collection[str]) -> Iterator[FlowRule]:
    """The rules as they are loaded: of ports that are there by name, of guests that are not by their MACs."""
    flows = tuple(flows)
    macs = macs_of(flows)
    for one in flows:
        name = _port_in(one)
        if name is None or name in present or name == LOCAL or name.isdigit():
            yield one
        elif (number := _number_in(one)) is not None:
            yield from (from_late_port(mac, number) for mac in macs.get(number, ()))


def macs_of(flows: Iterable[FlowRule]) -> Mapping[int, tuple[str, ...]]:
    """The MACs that each guarded port may send from, by its number."""
    found: dict[int, tuple[str, ...]] = {}
    for one in flows:
        if one.table == SENDER and one.priority == 100:
            fields = dict(field.split("=", 1) for field in one.match.split(","))
            number = int(fields["reg0"], 16)
            found[number] = (*found.get(number, ()), fields["dl_src"])
    return found


def by_name(flows: Iterable[FlowRule], names: Iterable[str], present: Collection[str]) -> tuple[FlowRule, ...]:
    """The loaded rules as :func:`guard_flows` says them: a port that is not there has its rule as well."""
    found = set(flows)
    macs = macs_of(found)
    for name in names:
        number = port_number(name)
        late = {from_late_port(mac, number) for mac in macs.get(number, ())}
        if name not in present and late and late <= found:
            found -= late
            found.add(from_port(name, number))
    return tuple(sorted(found))


def rebound(flows: Iterable[FlowRule], names: Iterable[str], bridge: str, there: Iterable[str]) -> tuple[FlowRule, ...]:
    """The same rules for the ports that are ``there`` now, guarded ones by ``names``."""
    guarded = dict.fromkeys(names)
    kept = [one for one in flows if one.table != PORTS or not one.match]
    kept += [from_port(name, port_number(name)) for name in guarded]
    return (*kept, *(from_port(LOCAL if name == bridge else name, None) for name in there if name not in guarded))


def _port_in(one: FlowRule) -> str | None:
    if one.table != PORTS or not one.match.startswith("in_port="):
        return None
    return one.match.removeprefix("in_port=")


def _number_in(one: FlowRule) -> int | None:
    found = re.match(r"load:(0x[0-9a-f]+)->NXM_NX_REG0", one.actions)
    return int(found[1], 16) if found is not None else None
