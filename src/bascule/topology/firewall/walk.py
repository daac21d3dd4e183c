"""What chains do to a frame of which only some things are known: every verdict that is possible, by which rule.

A test has three outcomes: it is passed, it is not, or nothing says so. A rule that may match is noted, and the walk
goes on behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct

from bascule.topology.firewall.rules import Firewall, FirewallChain, FirewallRule
from bascule.topology.firewall.xtables import NATS, NO_EFFECT, VERDICTS

Maybe = bool | None
ENDS = {"accept", "drop", "reject", "queue", "synproxy", "unknown"}
LOSES = {"drop", "reject"}
WITHOUT_EFFECT = {"counter", "log", "mangle", "notrack", "meta", "ct helper", "ct timeout", "tproxy", "dup", "flow"}
ETHER_TYPES = {"ip": {"ip", "0x0800", 0x0800}, "ip6": {"ip6", "0x86dd", 0x86DD}, "arp": {"arp", "0x0806", 0x0806}}
PROTOCOLS_OF = {"ip6": {"icmp", "igmp"}, "ip": {"icmpv6", "ipv6-icmp", "icmp6"}}  # that the family does not have
DEVICES = {"iif": "iifname", "oif": "oifname", "iifname": "iifname", "oifname": "oifname", "ibrname": "ibrname",
           "obrname": "obrname"}  # fmt: skip
NUMBERS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6", "ipv6-icmp": "icmpv6", "icmp6": "icmpv6"}


class FrameFacts(Struct, frozen=True, kw_only=True):
    """What is known of a frame. ``family`` is ip, ip6 or arp; an absent device is the empty name.

    ``known`` holds iifname, oifname, ibrname, obrname, l4proto, dport, ct state (new, if it is not said); what is not
    in it is unknown. ``ports`` are the links that it may come in or go out by inside of a bridge. ``routes`` says
    whether the host has a route over the frame's device: ``all`` a default route, ``some``, or ``none``; ``anywhere``
    the same over any device. Both are None where that is unknown.
    """

    family: str
    known: Mapping[str, str | int]
    ports: frozenset[str] = frozenset()
    is_bridged: bool = False
    routes: str | None = None
    anywhere: str | None = None
    local: Maybe = None  # whether it is for the host itself


class RuleVerdict(Struct, frozen=True, kw_only=True):
    """A verdict, and who says so: a rule of a chain, or the chain's policy where ``rule`` is None."""

    verdict: str
    chain: FirewallChain
    rule: FirewallRule | None = None

    @property
    def loses(self) -> bool:
        """Whether the frame ends here."""
        return self.verdict in LOSES

    def __str__(self) -> str:
        said = f"policy {self.verdict.upper()}" if self.rule is None else f"'{self.rule.words}'"
        return f"{said} in {self.chain}"


class ChainOutcome(Struct, frozen=True, kw_only=True):
    """All verdicts that are possible, and the one that a frame gets which matches nothing but what is certain."""

    possible: tuple[RuleVerdict, ...]
    default: RuleVerdict


def walk(firewall: Firewall, chain: FirewallChain, facts: FrameFacts) -> ChainOutcome:
    """The verdicts of a chain that the kernel calls."""
    possible: list[RuleVerdict] = []
    steps = _Steps(firewall, facts, chain.priority)
    falls = steps.possible(chain, possible, ())
    policy = RuleVerdict(verdict=chain.policy, chain=chain)
    if falls:
        possible.append(policy)
    return ChainOutcome(possible=tuple(possible), default=steps.default(chain, ()) or policy)


class _Steps:
    """The two walks through one base chain."""

    def __init__(self, firewall: Firewall, facts: FrameFacts, priority: int) -> None:
        self.firewall = firewall
        self.facts = facts
        self.priority = priority

    def possible(self, chain: FirewallChain, found: list[RuleVerdict], above: tuple[str, ...]) -> bool:
        """Note each verdict that a frame may meet; whether one may fall off the chain's end."""
        if chain.name in above:
            return True
        for rule in chain.rules:
            for sure, kind, target in self.verdicts(chain, rule):
                if kind in ENDS:
                    found.append(RuleVerdict(verdict=kind, chain=chain, rule=rule))
                    if sure:
                        return False
                elif kind == "return" and sure:
                    return True
                elif kind in {"jump", "goto"}:
                    other = self.chain(chain, target)
                    if other is None:  # an extension of iptables that is not known here: it may do anything
                        found.append(RuleVerdict(verdict="unknown", chain=chain, rule=rule))
                        continue
                    falls = self.possible(other, found, (*above, chain.name))
                    if sure and (not falls or kind == "goto"):
                        return falls
        return True

    def default(self, chain: FirewallChain, above: tuple[str, ...]) -> RuleVerdict | None:
        """The verdict on a frame that passes only those tests that it passes for certain."""
        if chain.name in above:
            return None
        for rule in chain.rules:
            for sure, kind, target in self.verdicts(chain, rule):
                if not sure:
                    continue
                if kind in ENDS:
                    return RuleVerdict(verdict=kind, chain=chain, rule=rule)
                if kind == "return":
                    return None
                other = self.chain(chain, target) if kind in {"jump", "goto"} else None
                if other is not None:
                    verdict = self.default(other, (*above, chain.name))
                    if verdict is not None or kind == "goto":
                        return verdict
        return None

    def chain(self, chain: FirewallChain, name: str) -> FirewallChain | None:
        """A chain of the same table."""
        for chains in self.firewall.tables.values():
            if chains.get(chain.name) is chain:
                return chains.get(name)
        return None

    def verdicts(self, chain: FirewallChain, rule: FirewallRule) -> Iterator[tuple[bool, str, str]]:
        """What a rule does: whether for certain, what, and the chain that it leads to."""
        sure = True
        for statement in rule.statements:
            ((kind, told),) = statement.items()
            if kind in ENDS or kind == "return":
                yield sure, kind, ""
            elif kind in {"jump", "goto"}:
                if self.chain(chain, told["target"]) is None:
                    sure = False
                yield sure, kind, told["target"]
            elif kind == "xt" and told and told.get("type") == "target":
                yield from self._extension(str(told.get("name")), sure=sure)
            elif kind == "vmap":
                yield from self._mapped(chain, told, sure=sure)
            elif kind not in WITHOUT_EFFECT:
                outcome = self.test(chain, kind, told)
                if outcome is False:
                    return
                sure = sure and outcome is True

    @staticmethod
    def _extension(name: str, *, sure: bool) -> Iterator[tuple[bool, str, str]]:
        """A target of iptables that nft shows by its name alone."""
        if name in NATS:
            yield sure, "accept", ""
        elif name not in NO_EFFECT:
            yield sure, VERDICTS.get(name, "unknown"), ""

    def _mapped(self, chain: FirewallChain, told: Any, *, sure: bool) -> Iterator[tuple[bool, str, str]]:
        data = told["data"]
        rows = self._elements(chain, data) if isinstance(data, str) else data.get("set", data)
        for value, verdict in rows if isinstance(rows, list) else ():
            outcome = self._compare(chain, told["key"], value)
            if outcome is False:
                continue
            ((kind, words),) = verdict.items()
            yield sure and outcome is True, kind, (words or {}).get("target", "")
            if outcome:
                return

    def _elements(self, chain: FirewallChain, name: str) -> Any:
        told = self.firewall.maps.get((chain.family, chain.table), {}).get(name.removeprefix("@"))
        return told.get("elem", []) if told else None

    # ---- tests

    def test(self, chain: FirewallChain, kind: str, told: Any) -> Maybe:
        """Whether the frame passes a test; None where nothing says so."""
        if kind == "match":
            outcome = self._compare(chain, told["left"], told["right"])
            return _not(outcome) if told["op"] == "!=" else outcome if told["op"] in {"==", "in"} else None
        if kind == "physdev":
            outcome = self._physdev(told["what"], told["value"])
            return _not(outcome) if told.get("negated") else outcome
        return None

    def _physdev(self, what: str, value: str) -> Maybe:
        if what == "is-bridged":
            return self.facts.is_bridged
        if what in {"in", "out"}:
            return None if any(_is_name(value.replace("+", "*"), port) for port in self.facts.ports) else False
        return None

    def _compare(self, chain: FirewallChain, left: Any, right: Any) -> Maybe:
        if isinstance(right, str) and right.startswith("@"):
            right = self._elements(chain, right)
        if right is None:
            return None
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        values = [_bare(value) for value in (right if isinstance(right, list) else [right])]
        if (name := self._port_name(left)) and name not in self.facts.known and self.facts.ports:
            hit = [any(_is_name(str(value), port) for value in values) for port in self.facts.ports]
            return all(hit) or (None if any(hit) else False)
        outcomes = {self._one(left, value) for value in values}
        return True if True in outcomes else None if None in outcomes else False

    def _one(self, left: Any, right: Any) -> Maybe:
        ((kind, told),) = left.items()
        if kind == "meta":
            return self._meta(told["key"], right)
        if kind == "payload":
            return self._payload(told, right)
        if kind == "ct":
            return self._ct(told["key"], str(right))
        if kind == "fib":
            return self._fib(told, str(right))
        return None

    def _meta(self, key: str, right: Any) -> Maybe:
        facts = self.facts
        if key == "nfproto":
            return bool({"ip": "ipv4", "ip6": "ipv6"}.get(facts.family) == right)
        if key == "protocol":
            return _is_type(facts.family, right)
        if key == "l4proto":
            return self._is_protocol(str(right))
        name = DEVICES.get(key, "")
        return _is_name(str(right), str(facts.known[name])) if name in facts.known else None

    @staticmethod
    def _port_name(left: Any) -> str:
        """The device that an expression asks for, where that may be a port of the bridge."""
        name = DEVICES.get(left.get("meta", {}).get("key", ""), "")
        return name if name in {"iifname", "oifname"} else ""

    def _is_protocol(self, wanted: str) -> Maybe:
        wanted = NUMBERS.get(wanted, wanted)
        if wanted in PROTOCOLS_OF.get(self.facts.family, ()) or self.facts.family == "arp":
            return False
        mine = self.facts.known.get("l4proto")
        return None if mine is None else mine == wanted

    def _payload(self, told: Any, right: Any) -> Maybe:
        protocol, name = told.get("protocol", ""), told.get("field", "")
        if protocol == "ether" and name == "type":
            return _is_type(self.facts.family, right)
        if protocol in {"ip", "ip6", "arp"} and protocol != self.facts.family:
            return False
        if protocol in {"tcp", "udp", "icmp", "icmpv6"} and self._is_protocol(protocol) is False:
            return False
        if protocol in {"ip", "ip6"} and name in {"protocol", "nexthdr"}:
            return self._is_protocol(str(right))
        if name == "dport" and (port := self.facts.known.get("dport")) is not None:
            return _in_range(right, port) if protocol == "th" or self._is_protocol(protocol) else None
        return None

    def _ct(self, key: str, right: str) -> Maybe:
        """A first packet: it is new, and before connection tracking (priority -200) it counts as invalid."""
        if self.facts.family == "arp":
            return False
        if key == "state":
            return right == (str(self.facts.known.get("ct state", "new")) if self.priority > -200 else "invalid")
        return False if key == "status" and right in {"dnat", "snat"} else None

    def _fib(self, told: Any, right: str) -> Maybe:
        flags = told["flags"] if isinstance(told["flags"], list) else [told["flags"]]
        if told["result"] == "type" and "daddr" in flags and right == "local":
            return self.facts.local
        routes = self.facts.routes if "iif" in flags else self.facts.anywhere
        if told["result"] in {"oif", "oifname"} and "saddr" in flags and routes:
            missing = {"none": True, "all": False}.get(routes)
            return missing if right in {"missing", "0", "False", ""} else _not(missing)
        return None


def _not(outcome: Maybe) -> Maybe:
    return None if outcome is None else not outcome


def _bare(value: Any) -> Any:
    """An element of a set without its comment and time."""
    return value["elem"]["val"] if isinstance(value, dict) and "elem" in value else value


def _is_name(pattern: str, name: str) -> bool:
    escaped = pattern.replace("[", "[[]").replace("?", "[?]")
    return fnmatchcase(name, escaped) if name else pattern == ""


def _is_type(family: str, right: Any) -> bool:
    return right in ETHER_TYPES.get(family, ())


def _in_range(right: Any, port: str | int) -> Maybe:
    if isinstance(right, dict) and "range" in right:
        first, last = right["range"]
        return bool(isinstance(first, int) and isinstance(last, int) and first <= int(port) <= last)
    return right == port if isinstance(right, int) else None
