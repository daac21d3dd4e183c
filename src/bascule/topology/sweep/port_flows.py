"""What the rules of OpenFlow of guards say of one port: two of whom they say the same walk together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator

from bascule.model.ruleset.openflow import FlowRule, LoadedRule
from bascule.model.values import Mac, link_local
from bascule.policy.guards.flows import LEARNED
from bascule.topology.trace.network import WireEnd
from bascule.topology.trace.packet import text_of

NUMBER = re.compile(r"load:(0x[0-9a-f]+|\d+)->NXM_NX_REG0\[\]")  # by which later tables know the port

OF_ONE_PORT = {"in_port", "reg0"}


class PortFlows:
    """The rules of one bridge, by port."""

    def __init__(self, loaded: Iterable[LoadedRule]) -> None:
        rules = [one.rule for one in loaded if one.cookie != LEARNED]
        self._numbers: dict[str, str] = {}
        self._own: dict[str, list[FlowRule]] = {}
        self._named: dict[str, Counter[Hashable]] = {}
        for rule in rules:
            words = dict(_words(rule))
            port, number = words.get("in_port", ""), NUMBER.search(rule.actions)
            if port and number:
                self._numbers[port] = str(int(number[1], 0))
            if key := port or _number(words.get("reg0", "")):
                self._own.setdefault(key, []).append(rule)
            for name, said in words.items():
                self._named.setdefault(said, Counter())[rule.table, name] += 1

    def of(self, end: WireEnd) -> Hashable:
        """The rules of its port, its own MAC, addresses and numbers put in general words; and what others say of it.

        A guard knows its link-local address, too, which is made of the MAC.
        """
        port = str(end.port)
        number = self._numbers.get(port, "")
        mac = Mac(end.mac.to_bytes(6).hex(":"))
        names = {str(link_local(mac)): "link-local", mac: "MAC"}
        names |= {text_of(version, own): "address" for own, version, _ in end.addresses}
        own = [*self._own.get(port, ()), *(self._own.get(number, ()) if number else ())]
        said = []
        for rule in own:
            words = tuple((name, names.get(value, value)) for name, value in _words(rule) if name not in OF_ONE_PORT)
            said.append((rule.table, rule.priority, words, NUMBER.sub("", rule.actions)))
        others = (tuple(sorted(self._named.get(name, {}).items())) for name in names)
        return tuple(sorted(said)), tuple(others)


def _words(rule: FlowRule) -> Iterator[tuple[str, str]]:
    for word in rule.match.split(","):
        name, _, said = word.partition("=")
        yield name, said


def _number(text: str) -> str:
    return str(int(text, 0)) if text else ""
