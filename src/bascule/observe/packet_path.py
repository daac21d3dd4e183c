"""What of this host a packet's way depends on: one look by programs that run side by side; nothing is changed."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.kernel_parameters import AS_VLAN, FORWARDING, VLAN_TAGGED, bridge_nf, conf
from bascule.model.ruleset.dormant import has_flags, without_hooks
from bascule.model.ruleset.openflow import LoadedRule
from bascule.model.sightings import FdbEntry, fdb_entries, own_macs
from bascule.model.state import HostState
from bascule.model.values import IpAddress, Mac
from bascule.observe.bridge_tables import switch_entries
from bascule.observe.firewall import HOOKS, balanced_services, calls_of, nft_savers, read_firewall, read_saves
from bascule.observe.neighbours import NEIGHBOURS, sightings
from bascule.providers.kernel.observe import PROGRAMS, read
from bascule.providers.registry import SWITCH_PROVIDERS
from bascule.system.net.fdb import FDB
from bascule.system.net.netlink import NetlinkMonitor
from bascule.system.net.netns import Namespace
from bascule.system.net.sysctl import read_sysctls
from bascule.system.run import Running, read_rows, rows, run
from bascule.topology.trace.network import HostNetwork, KnownNeighbour, LearnedMac
from bascule.topology.trace.rules.hooks import read_hooks
from bascule.topology.trace.rules.lines import CHANGING, Rules
from bascule.topology.trace.rules.reading import Listings, needs_extensions, read_rules
from bascule.topology.trace.rules.values import address, mac

OWN = (
    ("nft", "-j", "list", "ruleset"),
    ("nft", "-a", "list", "ruleset"),
    FDB,
    NEIGHBOURS,
    ("tc", "-j", "qdisc", "show"),
    HOOKS,
)
OPTIONAL = {"nft", "tc", "bridge", HOOKS}  # nft 0.9.8 and older know of no hooks
EVERYWHERE = (
    *FORWARDING.values(),
    bridge_nf("call-iptables"),
    bridge_nf("call-ip6tables"),
    VLAN_TAGGED,
    AS_VLAN,
)
OF_A_LINK = (
    *("forwarding", "rp_filter", "arp_ignore", "arp_filter", "proxy_arp", "proxy_arp_pvlan", "accept_local"),
    *("route_localnet", "src_valid_mark"),
)
INGRESS = {"clsact", "ingress"}
FAMILY = re.compile(r'"family":\s*"(\w+)"')
MOST_READINGS = 4  # of a host whose tables change while they are read


def read_network(namespace: Namespace | None = None) -> HostNetwork:
    """A host as a packet finds it. Raises MissingTool, NotPermitted, CommandFailed.

    What of its firewalls cannot be read is named in the rules' ``unread``. Where nft's tables change meanwhile, it is
    read again, for what several programs printed would not be of one moment.
    """
    for _ in range(MOST_READINGS):
        with namespace.entered() if namespace else contextlib.nullcontext():
            monitor = NetlinkMonitor()
        with monitor:
            found = _read_once(namespace)
            if not monitor.rules_changed():
                return found
    return replace(found, rules=Rules(found.rules.chains, (*found.rules.unread, CHANGING), found.rules.tracking))


def _read_once(namespace: Namespace | None) -> HostNetwork:
    with Running((*PROGRAMS, *OWN), namespace=namespace, optional=OPTIONAL) as running:
        texts = running.texts()
    state = read(lambda: texts[: len(PROGRAMS)], namespace=namespace)
    for provider in SWITCH_PROVIDERS:
        state = provider.lay_over(provider.with_part(state, provider.effects().look(namespace)))
    nft, words, fdb, neighbours, queues, called = texts[len(PROGRAMS) :]
    nft = without_hooks(nft, words) if has_flags(nft) else nft
    hooks = read_hooks(called)
    links = read_rows(texts[0])
    with namespace.entered() if namespace else contextlib.nullcontext():
        listings = _listings(nft, words)
        balanced = balanced_services()
    try:
        rules = read_rules(listings)
    except ValueError as error:
        raise BasculeError.of("NFT-JSON", f"{error}", hint="Bascule reads nft 1.0 and newer; see 'nft -v'") from error
    return HostNetwork(
        state=state,
        rules=rules,
        sysctls=read_sysctls(_parameters(state), namespace=namespace),
        calls={str(link["ifname"]): _calls(link) for link in links if _calls(link)},
        fdb=tuple(learned_macs((*fdb_entries(read_rows(fdb)), *switch_entries(namespace)))),
        own_macs={bridge: frozenset(map(mac, own)) for bridge, own in own_macs(read_rows(fdb)).items()},
        flows=rules_of_switches(state, namespace),
        neighbours=tuple(_neighbours(read_rows(neighbours))),
        traffic_control=_filters(read_rows(queues), namespace),
        called=hooks.others,
        passed_over=hooks.passed_over,
        balanced=balanced,
    )


def rules_of_switches(state: HostState, namespace: Namespace | None = None) -> dict[str, tuple[LoadedRule, ...]]:
    """The rules of each switch of a state that does more than to learn, as they stand in a namespace."""
    asked = ((provider.effects(), part) for provider in SWITCH_PROVIDERS if (part := provider.part(state)) is not None)
    return {bridge: rules for effects, part in asked for bridge, rules in effects.rules(namespace, part).items()}


def network_here(state: HostState) -> HostNetwork:
    """The host of the namespace that we are in, in an observed ``state``, with what stands on its switches.

    What its bridges and neighbours have told of themselves is left out. This starts no program but those that tell of
    rules of iptables and of switches.
    """
    sysctls = read_sysctls(_parameters(state))
    return replace(read_firewall(state, own=True), sysctls=sysctls, flows=rules_of_switches(state))


def _listings(nft: str, words: str) -> Listings:
    """What nft printed, with what the programs of iptables say where nft hides something."""
    hiding = set(FAMILY.findall(nft)) if needs_extensions(nft) else set()
    found = read_saves(nft_savers(hiding), nft, words)
    if nft:
        return found
    try:
        run(("nft", "-j", "list", "ruleset"))
        why = "nft printed nothing"
    except BasculeError as error:
        why = error.problems[0].message
    return replace(found, unread=(f"the rules of nft could not be read: {why}", *found.unread))


def _filters(queues: Sequence[Mapping[str, Any]], namespace: Namespace | None) -> dict[str, str]:
    """The kinds of tc's filters by link; a queue for them alone filters nothing."""
    found: dict[str, str] = {}
    for one in queues:
        if one.get("kind") not in INGRESS:
            continue
        sides = ("ingress", "egress") if one["kind"] == "clsact" else ("ingress",)
        asked = [("tc", "-j", "filter", "show", "dev", one["dev"], side) for side in sides]
        filters = [row for argv in asked for row in rows(argv, namespace=namespace)]
        kinds = dict.fromkeys(str(row["kind"]) for row in filters if "options" in row)
        if kinds:
            found[str(one["dev"])] = ", ".join(kinds)
    return found


def _calls(link: Mapping[str, Any]) -> frozenset[str]:
    return calls_of(link.get("linkinfo", {}).get("info_data", {}))


def _parameters(state: HostState) -> Iterable[str]:
    yield from EVERYWHERE
    links = [link.name for link in state.links.values() if link.addresses or link.is_bridge]
    for link in ("all", *links):
        for name in OF_A_LINK:
            yield conf(4, link, name)


def learned_macs(entries: Iterable[FdbEntry]) -> Iterable[LearnedMac]:
    """The forwarding database as a walk asks for it."""
    for one in entries:
        yield LearnedMac(
            mac=mac(one.mac),
            port=one.port,
            bridge=one.bridge,
            vlan=one.vlan or 0,
            static=one.static,
            sticky=one.sticky,
        )


def known_macs() -> dict[IpAddress, Mac]:
    """The MACs that this host knows for addresses, on whichever link."""
    return {one.address: one.mac for one in sightings()}


def _neighbours(rows: Sequence[Mapping[str, Any]]) -> Iterable[KnownNeighbour]:
    for row in rows:
        if "lladdr" in row and row["lladdr"].count(":") == 5:
            yield KnownNeighbour(address=address(row["dst"]), link=row["dev"], mac=mac(row["lladdr"]))
        elif {"FAILED", "INCOMPLETE"} & set(row.get("state", ())):
            yield KnownNeighbour(address=address(row["dst"]), link=row["dev"], mac=0, failed=True)
