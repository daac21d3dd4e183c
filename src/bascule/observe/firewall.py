"""Others' firewall rules on this host, as far as they can be read: nftables, iptables of both kinds, br_netfilter."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.ruleset.rules import AnyTable, ForeignTable
from bascule.model.state import HostState
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import run
from bascule.topology.firewall.rules import Firewall, firewall, is_of_iptables

SWITCHES = {  # the family whose chains bridged frames have to pass, and the parameter that has it so
    "ip": "net/bridge/bridge-nf-call-iptables",
    "ip6": "net/bridge/bridge-nf-call-ip6tables",
    "arp": "net/bridge/bridge-nf-call-arptables",
}
OF_A_BRIDGE = {"ip": "nf_call_iptables", "ip6": "nf_call_ip6tables", "arp": "nf_call_arptables"}
LEGACY = {"ip_tables_names": "iptables-legacy-save", "ip6_tables_names": "ip6tables-legacy-save"}
TABLES = Path("/proc/thread-self/net")  # of the namespace that this thread is in


def read_firewall(state: HostState, tables: Mapping[str, AnyTable] | None = None) -> Firewall:
    """The rules of others in the namespace that we are in, whose ``state`` was observed; nothing is changed.

    Where there are no rules of iptables this starts no program, for nft's are in the state. What cannot be read is a
    gap of the answer.
    """
    gaps: list[str] = []
    if os.geteuid() != 0:
        gaps.append("nft shows its tables to root alone")
    found = state.tables if tables is None else tables
    read = firewall(found, read_saves(found, gaps), called=called_families(), gaps=gaps)
    return replace(read, called_on=_called_on(read))


def read_saves(tables: Mapping[str, AnyTable], gaps: list[str]) -> dict[str, str]:
    """What ``iptables-nft-save`` and its like print, for the families that have such tables; what fails is a gap."""
    programs = []
    for family, tool in (("ip", "iptables-nft-save"), ("ip6", "ip6tables-nft-save")):
        own = [one for one in tables.values() if one.family == family and is_of_iptables(one)]
        if any(isinstance(one, ForeignTable) and '{"xt":' in one.content for one in own):
            programs.append(tool)
    programs += [tool for names, tool in LEGACY.items() if legacy_tables(names)]
    saves = {}
    for tool in programs:
        try:
            saves[tool] = run((tool,)).stdout
        except BasculeError as error:
            gaps.append(f"rules of {tool.removesuffix('-save')} stand here: {error.problems[0].message}")
    return saves


def legacy_tables(names: str) -> tuple[str, ...]:
    """The tables of iptables' old kernel side, which nft does not show; ordinary users are not told."""
    with contextlib.suppress(OSError):
        return tuple((TABLES / names).read_text().split())
    return ()


def called_families() -> frozenset[str]:
    """The families whose chains bridged frames pass on every bridge; none where br_netfilter is not loaded."""
    return frozenset(family for family, on in switches().items() if on == "1")


def switches() -> dict[str, str]:
    """br_netfilter's switches by family, as they stand here; empty where it is not loaded."""
    seen = read_sysctls(SWITCHES.values())
    return {family: seen[key] for family, key in SWITCHES.items() if key in seen}


def _called_on(found: Firewall) -> dict[str, frozenset[str]]:
    """The families that single bridges have switched on for themselves (ip-link(8): nf_call_iptables)."""
    if not found.filters or not switches():
        return {}
    listing = run(("ip", "-d", "-j", "link", "show", "type", "bridge")).stdout
    rows = {row["ifname"]: row["linkinfo"]["info_data"] for row in json.loads(listing or "[]") if "linkinfo" in row}
    return {
        name: frozenset(family for family, option in OF_A_BRIDGE.items() if data.get(option))
        for name, data in rows.items()
    }
