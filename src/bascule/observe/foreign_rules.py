"""Others' firewall rules as texts that the programs which read them take back: for a twin of this host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from bascule.errors import BasculeError
from bascule.model.kernel_parameters import AS_VLAN, VLAN_TAGGED, bridge_nf
from bascule.model.ruleset.owners import owner
from bascule.model.ruleset.rules import ForeignTable
from bascule.model.state import HostState
from bascule.observe.firewall import OF_A_BRIDGE, SWITCHES, read_firewall
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import run
from bascule.system.xtables import LEGACY, legacy_of_frames, legacy_tables
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.iptables.ip_sets import ASKS, CHANGES

SAVERS = {"ip": "iptables-nft", "ip6": "ip6tables-nft", "bridge": "ebtables-nft", "arp": "arptables-nft"}
MORE_SWITCHES = (VLAN_TAGGED, AS_VLAN, bridge_nf("filter-pppoe-tagged"))
OF_A_PROCESS = ("owner", "persist")  # flags of a table that the kernel removes with the program that loaded it
FLAGS = re.compile(r"^\tflags (.*)\n", re.MULTILINE)
TABLE = re.compile(r"^table (\S+) (\S+) \{.*?^\}\n", re.MULTILINE | re.DOTALL)


class RulesText(Struct, frozen=True, kw_only=True):
    """What a program reads to make rules anew; ``words`` says what and whose they are."""

    words: str
    program: tuple[str, ...]
    text: str


class ForeignRules(Struct, frozen=True, kw_only=True):
    """Others' rules in the order in which they were made, and br_netfilter's switches.

    ``on_bridges`` are the options by which single bridges call the chains of IP. ``gaps`` says what could not be read.
    """

    texts: tuple[RulesText, ...] = ()
    switches: Mapping[str, str] = {}
    on_bridges: Mapping[str, tuple[str, ...]] = {}
    gaps: tuple[str, ...] = ()


def read_foreign_rules(state: HostState) -> ForeignRules:
    """Those of the namespace that we are in, whose ``state`` was observed; nothing is changed."""
    gaps: list[str] = [] if os.geteuid() == 0 else ["nft shows its tables to root only"]
    tables = [table for table in state.tables.values() if isinstance(table, ForeignTable)]
    network = read_firewall(state)
    texts = [*_tables(tables, network, gaps), *_legacy(gaps)]
    texts = [*_sets(texts, gaps), *texts]
    return ForeignRules(
        texts=tuple(texts),
        switches=read_sysctls((*SWITCHES.values(), *MORE_SWITCHES)),
        on_bridges={
            name: tuple(one for one in OF_A_BRIDGE.values() if one.removeprefix("nf_call_") in some)
            for name, some in network.calls.items()
        },
        gaps=tuple(gaps),
    )


def _tables(tables: list[ForeignTable], network: HostNetwork, gaps: list[str]) -> Iterator[RulesText]:
    """Each table by nft, or by the program of iptables that made it, where it has what only that one knows."""
    if not tables:
        return
    native: dict[str, str] = {}
    listing = _output(("nft", "-s", "list", "ruleset"), "tables of nft", gaps)
    for found in TABLE.finditer(listing):
        native[f"{found[1]} {found[2]}"] = found[0]
    for table in tables:
        own = (name for family, kept, name in network.rules.chains if (family, kept) == (table.family, table.name))
        owners = dict.fromkeys(filter(None, (owner(table.name, name) for name in own)))
        words = f"{table.key} ({' and '.join(owners)})" if owners else table.key
        if '{"xt":' in table.content:
            if table.family not in SAVERS:
                gaps.append(f"{words} has rules of iptables' extensions, which cannot be exported")
                continue
            tool = SAVERS[table.family]
            one, more = ((), ()) if table.family == "arp" else (("-t", table.name), ("-n",))  # arptables has one table
            text = _output((f"{tool}-save", *one), words, gaps)
            if text:
                yield RulesText(words=words, program=(f"{tool}-restore", *more), text=text)
        elif table.key in native:
            yield RulesText(words=words, program=("nft", "-f", "-"), text=FLAGS.sub(_flags, native[table.key]))
        elif listing:
            gaps.append(f"{words} was not listed")


def _flags(found: re.Match[str]) -> str:
    """A table's flags without those by which it would be gone as soon as it is loaded: firewalld 2.1 sets them."""
    left = [one for one in found[1].replace(",", " ").split() if one not in OF_A_PROCESS]
    return f"\tflags {','.join(left)}\n" if left else ""


def _legacy(gaps: list[str]) -> Iterator[RulesText]:
    for names, tool in LEGACY.items():
        if legacy_tables(names):
            words = f"rules of {tool.removesuffix('-save')}"
            text = _output((tool,), words, gaps)
            if text:
                yield RulesText(words=words, program=(tool.replace("-save", "-restore"),), text=text)
    gaps.extend(f"rules of {tool} cannot be exported" for tool in legacy_of_frames())


def _sets(texts: list[RulesText], gaps: list[str]) -> Iterator[RulesText]:
    """The sets of ipset(8), where rules ask for them: without its sets a whole table is not taken."""
    if any(ASKS in one.text or CHANGES.search(one.text) for one in texts):
        text = _output(("ipset", "save"), "sets of ipset", gaps)
        if text:
            yield RulesText(words="sets of ipset", program=("ipset", "restore"), text=text)


def _output(argv: tuple[str, ...], words: str, gaps: list[str]) -> str:
    try:
        return run(argv).stdout
    except BasculeError as error:
        gaps.append(f"{words} could not be read: {error.problems[0].message}")
        return ""
