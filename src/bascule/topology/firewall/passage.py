"""Whether others' rules let frames pass: between a bridge's ports, into the host, and between two networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from msgspec import Struct

from bascule.model.links import Bridge
from bascule.model.state import HostState
from bascule.topology.firewall.rules import Firewall, FirewallChain
from bascule.topology.firewall.walk import FrameFacts, RuleVerdict, walk

FAMILIES = ("ip", "ip6")
WORDS = {"ip": "IPv4", "ip6": "IPv6", "arp": "ARP"}
FAMILY_OF = {4: "ip", 6: "ip6"}  # by the version of IP
DEFAULT_ROUTES = {"0.0.0.0/0", "::/0"}


class Possibility(StrEnum):
    """Whether frames pass: yes, no, or some of them (or nothing is known for certain)."""

    YES = "yes"
    NO = "no"
    PERHAPS = "perhaps"


class Passage(Struct, frozen=True, kw_only=True):
    """What becomes of new frames of a family.

    ``stops`` are the verdicts that a frame meets which no rule speaks of, so that it is lost; ``may_stop`` are rules
    that lose some frames or whose test is not understood, ``lets`` rules that let some through, ``gaps`` what could
    not be read. ``chains`` says how many chains they pass.
    """

    family: str
    result: Possibility
    stops: tuple[RuleVerdict, ...] = ()
    may_stop: tuple[RuleVerdict, ...] = ()
    lets: tuple[RuleVerdict, ...] = ()
    chains: int = 0
    gaps: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The family as people say it."""
        return WORDS[self.family]


def bridged_frames(firewall: Firewall, state: HostState, bridge: str) -> tuple[Passage, ...]:
    """What becomes of frames between the ports of a bridge, for IPv4, IPv6 and ARP.

    They pass the chains of family bridge, and those of ip, ip6 and inet where br_netfilter calls them: there they come
    in and go out by the bridge itself.
    """
    ports = frozenset(str(link.name) for link in state.ports(bridge))
    return tuple(_bridged(firewall, state, bridge, ports, family) for family in (*FAMILIES, "arp"))


def _bridged(firewall: Firewall, state: HostState, bridge: str, ports: frozenset[str], family: str) -> Passage:
    inside = {"ibrname": bridge, "obrname": bridge}
    stages: list[tuple[FirewallChain, FrameFacts]] = []
    for hook in ("prerouting", "forward", "postrouting"):
        known = dict(inside)
        if hook == "prerouting":
            known["obrname"] = known["oifname"] = ""
        facts = FrameFacts(family=family, known=known, ports=ports, is_bridged=True, local=False)
        stages += [(chain, facts) for chain in firewall.at(hook, ("bridge",))]
        if family in FAMILIES and firewall.calls(family, bridge):
            devices = {
                "prerouting": {"iifname": bridge, "oifname": ""},
                "forward": {"iifname": bridge, "oifname": bridge},
                "postrouting": {"iifname": "", "oifname": bridge},
            }[hook]
            facts = FrameFacts(
                family=family, known=devices, ports=ports, is_bridged=True, local=False,
                routes=routes_over(state, family, bridge), anywhere=routes_over(state, family),
            )  # fmt: skip
            stages += [(chain, facts) for chain in firewall.at(hook, (family, "inet"))]
    return _passage(firewall, family, stages)


def into_host(firewall: Firewall, state: HostState, link: str, family: str, protocol: str, port: int) -> Passage:
    """What becomes of a guest's question to a port of the host itself, coming in by a link."""
    facts = FrameFacts(
        family=family, known={"iifname": link, "oifname": "", "l4proto": protocol, "dport": port}, local=True,
        ports=frozenset(str(one.name) for one in state.ports(link)),
    )  # fmt: skip
    chains = [chain for hook in ("prerouting", "input") for chain in firewall.at(hook, (family, "inet"))]
    return _passage(firewall, family, [(chain, facts) for chain in chains])


def routed(firewall: Firewall, family: str, *, into: str = "", out: str = "", state: str = "new") -> Passage:
    """What becomes of packets that the host forwards from a link, or to one; the other side is any other link.

    ``state`` is what connection tracking says of them: new, or established for the answers.
    """
    known: dict[str, str | int] = {name: link for name, link in (("iifname", into), ("oifname", out)) if link}
    known["ct state"] = state
    facts = FrameFacts(family=family, known=known, local=False)
    return _passage(firewall, family, [(chain, facts) for chain in firewall.at("forward", (family, "inet"))])


def _passage(firewall: Firewall, family: str, stages: Iterable[tuple[FirewallChain, FrameFacts]]) -> Passage:
    stops: list[RuleVerdict] = []
    may_stop: list[RuleVerdict] = []
    lets: list[RuleVerdict] = []
    surely_lost, number = False, 0
    for chain, facts in stages:
        number += 1
        outcome = walk(firewall, chain, facts)
        passing = [one for one in outcome.possible if one.verdict == "accept"]
        losing = [one for one in outcome.possible if one.verdict != "accept"]
        surely_lost = surely_lost or not (passing or any(not one.loses for one in losing))
        if outcome.default.loses:
            stops.append(outcome.default)
            lets += [one for one in passing if one.rule is not None]
        may_stop += [one for one in losing if one != outcome.default]
        if not outcome.default.loses and outcome.default.rule is not None and outcome.default.verdict == "accept":
            lets.append(outcome.default)
    result = (
        Possibility.NO
        if surely_lost
        else Possibility.PERHAPS
        if stops or may_stop or firewall.gaps
        else Possibility.YES
    )
    return Passage(
        family=family, result=result, stops=tuple(stops), may_stop=_once(may_stop),
        lets=_once(lets), chains=number, gaps=firewall.gaps,
    )  # fmt: skip


def _once(verdicts: Iterable[RuleVerdict]) -> tuple[RuleVerdict, ...]:
    return tuple({str(one): one for one in verdicts}.values())


def routes_over(state: HostState, family: str, link: str = "") -> str:
    """Whether the host has a default route (``all``), another one (``some``), or ``none``; over a link, if named."""
    is_ipv6 = family == "ip6"
    mine = [one for one in state.routes if one.is_ipv6 == is_ipv6 and (not link or one.dev == link)]
    links = [one for one in state.links.values() if not link or one.name == link]
    if any(route.dst in DEFAULT_ROUTES for route in mine):
        return "all"
    return "some" if mine or any((":" in a.ip) == is_ipv6 for one in links for a in one.addresses) else "none"


def own_bridges(state: HostState) -> Iterator[str]:
    """The bridges of a host that are no container program's nor libvirt's: what an administrator put guests on."""
    for link in state.links.values():
        name = str(link.name)
        taken = name.startswith(("docker", "virbr", "lxcbr", "lxdbr", "incusbr", "cni", "podman")) or (
            name.startswith("br-") and len(name) == 15 and all(c in "0123456789abcdef" for c in name[3:])
        )
        if isinstance(link.options, Bridge) and not taken:
            yield name
