"""The steps between two states of the switches: their words one by one, their rows in one transaction. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from bascule.model.guarding import rate_words
from bascule.model.state import HostState, PortVlans
from bascule.model.values import IfName
from bascule.plan.change import Command, Risk
from bascule.plan.step import PLUG_S, Phase, Step, step
from bascule.providers.ovs.guard_steps import guard_steps
from bascule.providers.ovs.overlay import vlans_of
from bascule.providers.ovs.state import (
    GUARDS,
    HWADDR,
    LIMIT,
    MOST,
    REOPENED,
    SECURE,
    BridgeRow,
    InterfaceRow,
    PortRow,
    SwitchState,
)
from bascule.providers.ovs.transaction import transaction

PATIENCE_S = 100  # how long ovs-vswitchd may take to do what its database says
# measured with the userspace datapath by benchmarks/switches.py
OPEN_S = 0.2  # until it has opened the ports of a transaction, however many
CLOSE_S, CLOSE_EACH_S = 0.1, 0.015  # until it has let go of ports, which it does one after another
LONGEST_WORD = 128 << 10  # bytes, MAX_ARG_STRLEN of linux/binfmts.h
SEND = """\
import json, socket, sys
told = b""
with socket.socket(socket.AF_UNIX) as server:
    server.connect(sys.argv[1])
    server.sendall(sys.stdin.buffer.read())
    while not told.endswith(b"}") or told.count(b"{") > told.count(b"}"):
        told += server.recv(1 << 20) or sys.exit("no answer")
answer = json.loads(told)
wrong = [one for one in answer["result"] or [answer] if one and one.get("error")]
sys.exit(json.dumps(wrong) if wrong else 0)"""
DONE = (f"--timeout={PATIENCE_S}", "wait-until", "Open_vSwitch", ".")


def steps(old: SwitchState, new: SwitchState, before: HostState, after: HostState) -> list[Step]:
    """All steps; the last has the transaction. It comes first where a bridge of the kernel gets the name of another."""
    found = [*_bridges(old, new), *_ports(old, new, before, after), *_mirrors(old, new)]
    rules = [*_reopened(old, new), *guard_steps(old, new, after)]
    if not found:
        return rules
    successors = (after.links.get(IfName(name)) for name in old.bridges.keys() - new.bridges.keys())
    phase = Phase.REMAKE if any(link is not None and link.options.by_kernel for link in successors) else Phase.SWITCH
    parameters = transaction(old, new)
    words = json.dumps(parameters, separators=(",", ":"))
    done = (f"--db=unix:{old.socket}", *DONE, f"cur_cfg>={old.seen.next_cfg + 1}")
    commands = (
        Command(
            "ovsdb-client", ("transact", f"unix:{old.socket}", words), by_hand=_by_hand(old.socket, parameters, words)
        ),
        Command("ovs-vsctl", done, patience_s=PATIENCE_S),
    )
    found = [replace(one, phase=phase) for one in found]
    return [*found[:-1], replace(found[-1], commands=commands), *rules]


def _by_hand(socket: str, parameters: list[Any], words: str) -> str:
    """The transaction to the socket itself (RFC 7047, 4.1.3) where it is too long for a program; "" where it is not."""
    if len(words) < LONGEST_WORD:
        return ""
    told = json.dumps({"method": "transact", "params": parameters, "id": 0}, indent=0)  # a terminal takes no long lines
    return f"python3 -c {shlex.quote(SEND)} {shlex.quote(socket)} <<'.'\n{told}\n."


def _reopened(old: SwitchState, new: SwitchState) -> Iterator[Step]:
    for name in sorted(old.unheard - new.unheard):
        why = "it is closed" if name in old.seen.halfway else "it listens on an earlier link of this name"
        words = f"let Open vSwitch open it again: {why}"
        yield step(Phase.SWITCHED, name, words, *reopen(old.socket, name), risk=Risk.CHANGES, about="master")


def reopen(socket: str, interface: str) -> tuple[Command, Command]:
    """An interface is opened anew where its row gets another type; a row that comes back at once is not."""
    where = (f"--db=unix:{socket}", f"--timeout={PATIENCE_S}", "set", "Interface", interface)
    return Command("ovs-vsctl", (*where, f"type={REOPENED}")), Command("ovs-vsctl", (*where, 'type=""'))


def _bridges(old: SwitchState, new: SwitchState) -> Iterator[Step]:
    for name in sorted(old.bridges.keys() | new.bridges.keys()):
        before, after = old.bridges.get(name), new.bridges.get(name)
        if before is None and after is not None:
            mac = after.other_config.get(HWADDR)
            words = "create a bridge of Open vSwitch" + (f" with MAC {mac}" if mac else "")
            yield step(Phase.SWITCH, name, words)
        elif before is not None and after is None:
            left = ", ".join(port.name for port in old.ports_of(name) if port.name != name and _is_left(port, new))
            words = "delete bridge of Open vSwitch" + (f", which leaves {left} without a switch" if left else "")
            pause = _close_s(old, new) if left else 0.0
            yield step(Phase.SWITCH, name, words, risk=Risk.DETACHES, outage_s=pause)
        elif before is not None and after is not None and (words := _changed(before, after)):
            stops = (before.stp_enable, before.rstp_enable) != (after.stp_enable, after.rstp_enable)
            moved = before.datapath_type != after.datapath_type
            shut = before.fail_mode != after.fail_mode == SECURE and GUARDS not in after.external_ids
            risk = Risk.DETACHES if stops or moved or shut else Risk.CHANGES
            yield step(Phase.SWITCH, name, words, risk=risk, about="options")


def _close_s(old: SwitchState, new: SwitchState) -> float:
    """How long ports that leave their switch pass no frame."""
    leaving = sum(name not in new.ports or new.ports[name].bridge != row.bridge for name, row in old.ports.items())
    return CLOSE_S + CLOSE_EACH_S * leaving


def _is_left(port: PortRow, new: SwitchState) -> bool:
    return port.name not in new.ports


def _changed(before: BridgeRow, after: BridgeRow) -> str:
    return ", ".join(
        f"set {column} to {_value(getattr(after, column))}"
        for column in BridgeRow.columns
        if getattr(before, column) != getattr(after, column)
    )


def _value(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in sorted(value.items())) or "nothing"
    return str(value).lower() if isinstance(value, bool) else str(value or "nothing")


def _ports(old: SwitchState, new: SwitchState, links: HostState, wanted: HostState) -> Iterator[Step]:
    leaving_s = _close_s(old, new)
    for name in sorted(old.ports.keys() | new.ports.keys()):
        before, after = old.ports.get(name), new.ports.get(name)
        on = (after or before).bridge  # type: ignore[union-attr]  # one of them is there
        if name == on and (before is None or after is None):
            continue  # comes and goes with its bridge
        if before is None and after is not None:
            bond = f", bond {after.bond_mode or 'active-backup'}" if len(after.interfaces) > 1 else ""
            told, link = bond + _vlan_words(after), links.links.get(IfName(name))
            worked = link is not None and (link.master is not None or bool(link.addresses))
            pause = OPEN_S if worked else 0.0
            peer = after.interfaces[0].options.get("peer")
            words = f"create a patch port of {on}, which leads to {peer}" if peer else f"become a port of {on}{told}"
            yield step(Phase.SWITCH, name, words, outage_s=pause, about="master")
        elif before is not None and after is None:
            if on in new.bridges:
                is_there = any(IfName(one.name) in links.links for one in before.interfaces)
                gone = f"leave {on}" if is_there else f"leave {on}: there is no such link any more"
                risk = Risk.DETACHES if is_there else Risk.ADDITION
                joins = (wanted.links.get(IfName(one.name)) for one in before.interfaces)  # the next step's bridge
                pause = leaving_s if any(link is not None and link.master is not None for link in joins) else 0.0
                yield step(Phase.SWITCH, name, gone, risk=risk, outage_s=pause, about="master")
        elif before is not None and after is not None:
            yield from _altered(before, after, leaving_s)


def _altered(before: PortRow, after: PortRow, leaving_s: float) -> Iterator[Step]:
    name = after.name
    if before.bridge != after.bridge:
        words = f"become a port of {after.bridge} (from {before.bridge})"
        yield step(Phase.SWITCH, name, words, risk=Risk.DETACHES, outage_s=leaving_s, about="master")
    columns = {c for c in PortRow.columns if getattr(before, c) != getattr(after, c)}
    if columns & {"tag", "trunks", "vlan_mode"}:
        words = _vlan_words(after).removeprefix(", ") or "all VLANs"
        yield step(Phase.SWITCH, name, words, risk=Risk.DETACHES, outage_s=PLUG_S, about="vlans")
    for column in sorted(columns - {"tag", "trunks", "vlan_mode"}):
        words = f"set {column} to {_value(getattr(after, column))}"
        yield step(Phase.SWITCH, name, words, risk=Risk.CHANGES, about="port")
    if before.qos != after.qos:
        most = after.qos.other_config.get(MOST, "") if after.qos is not None else ""
        words = f"limit what it gets to {rate_words(int(most))}" if most.isdigit() else "no limit of what it gets"
        yield step(Phase.SWITCH, name, words, risk=Risk.CHANGES, about="options")
    members = [{one.name for one in port.interfaces} for port in (before, after)]
    if members[0] != members[1]:
        words = f"bonds {', '.join(sorted(members[1]))}"
        yield step(Phase.SWITCH, name, words, risk=Risk.CHANGES, about="options")
    for old, new in zip(before.interfaces, after.interfaces, strict=False):
        rate = new.ingress_policing_rate
        if old.name == new.name and _policing(old) != _policing(new):
            burst = rate_words(1000 * new.ingress_policing_burst)
            words = f"limit what it sends to {rate_words(1000 * rate)}, {burst} at once"
            words = words if rate else "no limit of what it sends"
            yield step(Phase.SWITCH, name, words, risk=Risk.CHANGES, about="options")
        if old.name == new.name and old.mtu_request != new.mtu_request:
            words = f"MTU {new.mtu_request} bytes" if new.mtu_request else "MTU of the smallest port"
            yield step(Phase.SWITCH, name, words, risk=Risk.CHANGES, about="mtu")
        limited = _policing(old) != _policing(new) or before.qos != after.qos  # and told above
        for column in ("type", "options", "external_ids") if old.name == new.name else ():
            was, value = getattr(old, column), getattr(new, column)
            if was != value and not (limited and column != "type" and {**was, LIMIT: ""} == {**value, LIMIT: ""}):
                words = f"set {column} of its interface to {_value(value)}"
                yield step(Phase.SWITCH, new.name, words, risk=Risk.CHANGES, about="options")


def _policing(one: InterfaceRow) -> tuple[int, int]:
    return one.ingress_policing_rate, one.ingress_policing_burst


def _vlan_words(port: PortRow) -> str:
    """``, VLAN 20 untagged``; nothing of a port that carries all."""
    if port.tag is None and not port.trunks:
        return ""
    return ", " + ", ".join(map(_one, vlans_of(port)))


def _one(vlan: PortVlans) -> str:
    if vlan.first == vlan.last == 0:
        return "untagged"
    return f"VLAN {vlan.span}" + (" untagged" if vlan.untagged else " tagged")


def _mirrors(old: SwitchState, new: SwitchState) -> Iterator[Step]:
    for key in sorted(old.mirrors.keys() | new.mirrors.keys()):
        before, after = old.mirrors.get(key), new.mirrors.get(key)
        if before == after:
            continue
        on = key.partition("/")[0]
        if after is not None:
            yield step(Phase.SWITCH, on, after.words, risk=Risk.CHANGES, about="options")
        elif on in new.bridges and before is not None:
            yield step(Phase.SWITCH, on, f"no {before.words} any more", risk=Risk.CHANGES, about="options")
