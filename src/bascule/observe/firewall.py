"""Others' firewall rules on this host, as far as they can be read: nftables, iptables of both kinds, br_netfilter."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.kernel_parameters import VLAN_TAGGED, bridge_nf
from bascule.model.ruleset.rules import AnyTable, ForeignTable
from bascule.model.state import HostState
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import rows, run
from bascule.system.xtables import LEGACY, legacy_tables, tables_of_ebtables
from bascule.topology.trace.network import BalancedService, HostNetwork
from bascule.topology.trace.rules.hooks import read_hooks
from bascule.topology.trace.rules.iptables.frame_words import saved_of_ebtables
from bascule.topology.trace.rules.iptables.ip_sets import ASKS
from bascule.topology.trace.rules.model_reader import rules_of
from bascule.topology.trace.rules.nft_reader import read_text
from bascule.topology.trace.rules.reading import Listings, needs_extensions, with_saves
from bascule.topology.trace.rules.values import address

SWITCHES = {  # the family whose chains bridged frames have to pass, and the parameter that has it so
    "ip": bridge_nf("call-iptables"),
    "ip6": bridge_nf("call-ip6tables"),
    "arp": bridge_nf("call-arptables"),
}
OF_A_BRIDGE = {"ip": "nf_call_iptables", "ip6": "nf_call_ip6tables", "arp": "nf_call_arptables"}
SAVERS = {"ip": "iptables-nft-save", "ip6": "ip6tables-nft-save", "bridge": "ebtables-nft-save"}
TABLES = Path("/proc/thread-self/net")  # of the namespace that this thread is in
HOOKS = ("nft", "list", "hooks")
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


def read_firewall(state: HostState, tables: Mapping[str, AnyTable] | None = None, *, own: bool = False) -> HostNetwork:
    """A host of this ``state`` with the rules of others that stand in the namespace that we are in; nothing is changed.

    Where there are no rules of iptables this starts no program, for nft's are in ``tables`` (those of the state, if
    they are not given), with our ``own`` if that is asked for. What cannot be read is named in the rules' ``unread``.
    """
    gaps: list[str] = []
    if os.geteuid() != 0:
        gaps.append("nft shows its tables to root only")
    given = state.tables if tables is None else tables
    others = {key: one for key, one in given.items() if isinstance(one, ForeignTable)}
    programs = nft_savers({one.family for one in others.values() if needs_extensions(one.content)})
    devices = _devices(gaps) if any(map(_hangs_on_links, others.values())) else {}
    rules = with_saves(rules_of(given if own else others, gaps, devices), read_saves(programs))
    filters = rules.filters
    on = switches()
    return HostNetwork(
        state=state,
        rules=rules,
        sysctls=read_sysctls((*SWITCHES.values(), VLAN_TAGGED)) if on else {},
        calls=_bridges_that_call() if filters and on else {},
    )


def _hangs_on_links(table: ForeignTable) -> bool:
    return any(f'"hook":"{hook}"' in table.content for hook in ("ingress", "egress"))


def _devices(gaps: list[str]) -> Mapping[tuple[str, str, str], str]:
    """The links of chains at the hooks ingress and egress, which nft's JSON leaves out (measured, nft 1.0.6)."""
    try:
        return read_text(run(("nft", "list", "chains")).stdout)[1]
    except BasculeError as error:
        gaps.append(f"which links nft's chains hang on: {error.problems[0].message}")
        return {}


def with_hooks(network: HostNetwork) -> HostNetwork:
    """The same with what netfilter calls in the namespace that we are in beside all tables, where the kernel tells."""
    try:
        found = read_hooks(run(HOOKS, check=False).stdout)
    except BasculeError:
        return network
    return replace(network, called=found.others, passed_over=found.passed_over, balanced=balanced_services())


def nft_savers(families: Collection[str]) -> tuple[str, ...]:
    """The programs that say what nft's JSON hides of rules of iptables and ebtables in tables of these families."""
    return tuple(tool for family, tool in SAVERS.items() if family in families)


def read_saves(programs: tuple[str, ...], nft: str = "", nft_text: str = "") -> Listings:
    """What the ``-save`` programs print, those of legacy where its tables stand; one that fails is named."""
    unread = []
    saves = {}
    for tool in (*programs, *(tool for names, tool in LEGACY.items() if legacy_tables(names))):
        try:
            saves[tool] = run((tool,)).stdout
        except BasculeError as error:
            unread.append(f"rules of {tool.removesuffix('-save')} stand here: {error.problems[0].message}")
    bridged = []
    for table in tables_of_ebtables():
        try:
            bridged.append(saved_of_ebtables(run(("ebtables-legacy", "-t", table, "-L")).stdout))
        except BasculeError as error:
            unread.append(f"the table {table} of ebtables-legacy stands here: {error.problems[0].message}")
    sets = ""
    if any(ASKS in text for text in saves.values()):
        with contextlib.suppress(BasculeError):  # then each line that asks for one stays a doubt
            sets = run(("ipset", "save")).stdout
    return Listings(
        nft=nft,
        nft_text=nft_text,
        iptables_nft=saves.get("iptables-nft-save", ""),
        ip6tables_nft=saves.get("ip6tables-nft-save", ""),
        iptables_legacy=saves.get("iptables-legacy-save", ""),
        ebtables_nft=saves.get("ebtables-nft-save", ""),
        ebtables_legacy="".join(bridged),
        ip6tables_legacy=saves.get("ip6tables-legacy-save", ""),
        ipset=sets,
        unread=tuple(unread),
    )


def balanced_services() -> tuple[BalancedService, ...]:
    """The services of IPVS in the namespace that we are in, as the kernel lists them: in hexadecimal numbers."""
    found = []
    with contextlib.suppress(OSError):
        for line in (TABLES / "ip_vs").read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] in PROTOCOLS:
                where, _, port = words[1].rpartition(":")
                number = address(where.strip("[]")) if ":" in where else int(where, 16)
                found.append(BalancedService(protocol=PROTOCOLS[words[0]], address=number, port=int(port, 16)))
    return tuple(found)


def switches() -> dict[str, str]:
    """br_netfilter's switches by family, as they stand here; empty where it is not loaded."""
    seen = read_sysctls(SWITCHES.values())
    return {family: seen[key] for family, key in SWITCHES.items() if key in seen}


def _bridges_that_call() -> dict[str, frozenset[str]]:
    """The programs whose chains single bridges have switched on for themselves (ip-link(8): nf_call_iptables)."""
    listed = rows(("ip", "-d", "-j", "link", "show", "type", "bridge"))
    found = {row["ifname"]: calls_of(row["linkinfo"]["info_data"]) for row in listed if "linkinfo" in row}
    return {name: calls for name, calls in found.items() if calls}


def calls_of(told: Mapping[str, object]) -> frozenset[str]:
    """``iptables``, ``ip6tables`` and ``arptables``, where a bridge's own options call them for its frames."""
    return frozenset(option.removeprefix("nf_call_") for option in OF_A_BRIDGE.values() if told.get(option))
