"""Edits in the words of the programs that own the rules: firewalld's policies and zones, libvirt's forward mode. Pure.

What is put into these programs' chains by hand is gone when they load them again; newer ones refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.ruleset.owners import owner
from bascule.topology.trace.answer import Blocker
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.packet import text_of
from bascule.topology.trace.rules.lines import Decision, RuleChain, RuleLine, Rules
from bascule.topology.trace.rules.tests import AnyFlag, Field, Test
from bascule.verify import firewalld
from bascule.verify.reachability.places import ZONE, LibvirtForward

HOOKS = {  # of firewalld's chains: from where, to where, and which chain leads to such policies
    "forward": ("ANY", "ANY", "filter_FORWARD_POLICIES_pre"),
    "input": ("ANY", "HOST", "filter_INPUT_POLICIES_pre"),
    "output": ("HOST", "ANY", "filter_OUTPUT_POLICIES_pre"),
}
TO_GUESTS = {"LIBVIRT_FWI", "guest_input"}  # libvirt's chains, of its iptables and of its nftables backend
FROM_GUESTS = {"LIBVIRT_FWO", "guest_output"}

Lines = tuple[RuleLine, ...]


class Edit(Struct, frozen=True):
    """Commands, and what the host is after them."""

    commands: tuple[str, ...]
    apply: Callable[[HostNetwork], HostNetwork]


def is_firewallds(chain: RuleChain) -> bool:
    """Whether firewalld made it, with its nftables backend."""
    return chain.backend == "nft" and owner(chain.table, chain.name) == "firewalld"


def of_firewalld(blocker: Blocker, chain: RuleChain, rules: Rules, *, exact: bool) -> Edit | None:
    """A policy for exactly this packet, or forwarding within the zone of the bridge."""
    hook = chain.base.hook if chain.base is not None else ""
    if hook == "prerouting" and blocker.hit is not None:
        line = blocker.hit.line
        return Edit(firewalld.NO_REVERSE_PATH, with_lines(blocker.hit.chain, lambda lines: _without(lines, line)))
    if hook not in HOOKS:
        return None
    return _policy(blocker, chain, rules, hook) if exact else _zone(blocker, chain, rules, hook)


def _policy(blocker: Blocker, chain: RuleChain, rules: Rules, hook: str) -> Edit | None:
    ingress, egress, leads = HOOKS[hook]
    start = rules.chains.get((chain.key[0], chain.table, leads))
    version = 6 if "ip6 saddr" in blocker.fields else 4
    family = "ip6" if version == 6 else "ip"
    keys = (f"{family} saddr", f"{family} daddr", "th dport")
    values = {key: blocker.fields[key] for key in keys if isinstance(blocker.fields.get(key), int | tuple)}
    if start is None or keys[0] not in values or keys[1] not in values:
        return None
    one, other = (text_of(version, values[key]) for key in keys[:2])
    if "th dport" in values:
        protocol, port = "tcp" if "tcp dport" in blocker.fields else "udp", values["th dport"]
        port = f"{port[0]}-{port[1]}" if isinstance(port, tuple) else str(port)
        what, name = f"port port={port} protocol={protocol}", f"allow-{protocol}-{port}"
    else:
        what, name = f"protocol value={'ipv6-icmp' if version == 6 else 'icmp'}", "allow-icmp"
    taken = {known.rpartition("_policy_")[2] for _, _, known in rules.chains}
    name = next(free for free in (name, *(f"{name}-{n}" for n in range(2, 100))) if free not in taken)
    rule = f"rule family=ipv{version} source address={one} destination address={other} {what} accept"
    line = _accept({**values})
    commands = (*firewalld.policy(name, ingress, egress, rule), firewalld.RELOAD)
    return Edit(commands, with_lines(start, lambda lines: (line, *lines)))


def _zone(blocker: Blocker, chain: RuleChain, rules: Rules, hook: str) -> Edit | None:
    bridge = blocker.fields.get("meta iifname")
    found = ZONE.fullmatch(blocker.hit.chain.name) if blocker.hit is not None else None
    if hook != "forward" or found is None or bridge != blocker.fields.get("meta oifname"):
        return None
    zone, family = found[1], chain.key[0]
    zones = rules.chains.get((family, chain.table, "filter_FORWARD_ZONES"))
    allow = rules.chains.get((family, chain.table, f"filter_FWD_{zone}_allow"))
    if zones is None or allow is None or zone.startswith("policy_"):
        return None
    into = _line({"meta iifname": bridge}, Decision("goto", f"filter_FWD_{zone}"))
    within = _accept({"meta oifname": bridge})
    dispatch, forward = (
        with_lines(zones, lambda lines: (into, *lines)),
        with_lines(allow, lambda lines: (*lines, within)),
    )
    commands = (*firewalld.bridged(zone, str(bridge)), firewalld.RELOAD)
    return Edit(commands, lambda network: forward(dispatch(network)))


def of_libvirt(blocker: Blocker, forward: Callable[[str], LibvirtForward | None], mode: str) -> Edit | None:
    """Another forward mode of the network whose rules stop it: route lets others in, open has no rules at all."""
    if blocker.hit is None or blocker.hit.chain.name not in TO_GUESTS | FROM_GUESTS:
        return None
    key = "meta oifname" if blocker.hit.chain.name in TO_GUESTS else "meta iifname"
    bridge = str(blocker.fields.get(key))
    found = forward(bridge)
    if found is None or found.mode not in {"nat", "route", ""} or not found.is_plain or found.mode == mode:
        return None
    if mode == "route" and found.mode != "nat":
        return None
    old, new = f"<forward mode='{found.mode}'", f"<forward mode='{mode}'"
    if not found.mode:
        old, new = "<bridge ", f"{new}/><bridge "
    commands = (
        f'EDITOR="sed -i \\"s|{old}|{new}|\\"" virsh net-edit {found.name}',
        f"virsh net-destroy {found.name}",
        f"virsh net-start {found.name}",
    )
    return Edit(commands, lambda network: _with_mode(network, bridge, mode))


def of_ufw(blocker: Blocker, chain: RuleChain, rules: Rules, options: Sequence[str], line: RuleLine) -> Edit | None:
    """The line in ufw's words (ufw(8)), which it keeps: behind the administrator's others, or before what stops it."""
    hook = chain.base.hook if chain.base is not None else ""
    user = next(
        (
            one
            for name in (f"ufw-user-{hook}", f"ufw6-user-{hook}")
            if (one := rules.chains.get((chain.key[0], chain.table, name))) is not None
        ),
        None,
    )
    if user is None or hook not in {"forward", "input"} or any(option.startswith("-m") for option in options):
        return None
    told = {words[0]: words[1:] for option in options if "icmp" not in option for words in [option.split()]}
    first = blocker.hit is not None and "-user-" in blocker.hit.chain.name  # also of the chains that limits lead to
    parts = ["ufw", *(["route"] if hook == "forward" else []), *(["prepend"] if first else []), "allow"]
    parts += [f"{way} on {told[flag][0]}" for flag, way in (("-i", "in"), ("-o", "out")) if flag in told]
    parts += [f"proto {told['-p'][0]}"] if "-p" in told else []
    if {"-s", "-d", "-p"} & told.keys():
        parts.append(f"from {told['-s'][0] if '-s' in told else 'any'} to {told['-d'][0] if '-d' in told else 'any'}")
    parts += [f"port {told['-p'][2]}"] if "-p" in told else []
    return Edit((" ".join(parts),), with_lines(user, lambda lines: (line, *lines) if first else (*lines, line)))


def _with_mode(network: HostNetwork, bridge: str, mode: str) -> HostNetwork:
    """Without the rules of a network, but for what mode route keeps: there new packets for its subnet may enter."""
    own = {key: one for key, one in network.rules.chains.items() if owner(one.table, one.name) == "libvirt"}
    lines = [line for one in own.values() if one.name in TO_GUESTS | FROM_GUESTS for line in one.lines]
    found = (re.search(r"(?:-[sd]|[sd]addr) (\S+)", line.text) for line in lines if _names(line, bridge))
    subnet = next((one[1] for one in found if one), bridge)
    chains = dict(network.rules.chains)
    for key, chain in own.items():
        if chain.name in TO_GUESTS | FROM_GUESTS and mode == "route":
            kept = tuple(_stateless(line) if _names(line, bridge) else line for line in chain.lines)
        else:
            gone = (subnet,) if mode == "route" else (subnet, bridge)  # of mode route: masquerading alone
            kept = tuple(line for line in chain.lines if not any(_names(line, word) for word in gone))
        chains[key] = replace(chain, lines=kept)
    return replace(network, rules=network.rules.with_chains(chains))


def _names(line: RuleLine, word: str) -> bool:
    return re.search(rf"(?<![\w.:/-]){re.escape(word)}(?![\w.:/-])", line.text) is not None


def _stateless(line: RuleLine) -> RuleLine:
    """The same of new packets too."""
    asks = [isinstance(part, AnyFlag) and part.key == Field("ct state") for part in line.parts]
    return replace(line, parts=tuple(part for part, gone in zip(line.parts, asks, strict=True) if not gone))


def test_of(key: str, value: Any) -> Test:
    """Whether a field has a value, or lies within bounds."""
    bounds = ((value,),) if isinstance(value, tuple) else ()
    return Test((Field(key),), frozenset() if bounds else frozenset({(value,)}), bounds)


def _line(values: Mapping[str, object], decision: Decision) -> RuleLine:
    tests = [test_of(key, value) for key, value in values.items()]
    return RuleLine(parts=(*tests, decision), text=decision.name)


def _accept(values: Mapping[str, object]) -> RuleLine:
    return _line(values, Decision("accept"))


def _without(lines: Sequence[RuleLine], gone: RuleLine) -> Lines:
    return tuple(line for line in lines if line != gone)


def with_lines(chain: RuleChain, change: Callable[[Lines], Lines]) -> Callable[[HostNetwork], HostNetwork]:
    """The host with other lines in a chain."""

    def apply(network: HostNetwork) -> HostNetwork:
        own = network.rules.chains[chain.key]
        chains = {**network.rules.chains, chain.key: replace(own, lines=change(own.lines))}
        return replace(network, rules=network.rules.with_chains(chains))

    return apply
