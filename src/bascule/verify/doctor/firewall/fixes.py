"""The commands that let frames through, one for each family that is broken and for the named bridges alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from bascule.model.ruleset.owners import owner
from bascule.topology.management import below
from bascule.topology.trace.any_frame.passages import FramePassage, RuleVerdict
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import RuleChain, Rules
from bascule.topology.trace.rules.words import insert_words, makers
from bascule.verify import firewalld
from bascule.verify.doctor.finding import DoctorFacts

SERVICES = {67: "dhcp", 547: "dhcpv6", 53: "dns"}  # as firewalld calls them
DOCKERS = "DOCKER-USER"  # the chain that Docker leaves to the administrator, before its own


def whose_rules(network: HostNetwork, stops: Iterable[RuleVerdict]) -> str:
    """``the rules of Docker``, empty where the names of the chains say nothing; libvirt sets no policy."""
    owners = []
    for stop in stops:
        found = makers(network.rules, stop.chain)
        owners += [one for one in found if stop.by is not None or one != "libvirt"]
    return f"the rules of {' and '.join(dict.fromkeys(owners))}" if owners else ""


def bridge_fix(
    facts: DoctorFacts, network: HostNetwork, bridges: Sequence[str], passages: Sequence[FramePassage]
) -> str:
    """What lets frames between the ports of these bridges through: a command for every stop.

    An accept elsewhere repairs no drop.
    """
    stops = [(one.family, stop) for one in passages for stop in one.losing if stop.loses]
    families: dict[tuple[str, str, str], dict[str, None]] = {}
    for family, stop in stops:
        families.setdefault(stop.base.key, {})[family] = None
    lines = [line for _, stop in stops for line in _lines(facts, network, bridges, stop.base, families[stop.base.key])]
    return "; ".join(dict.fromkeys(lines))


def _lines(
    facts: DoctorFacts, network: HostNetwork, bridges: Sequence[str], chain: RuleChain, families: Iterable[str]
) -> Iterator[str]:
    if _is_firewalld(chain):
        yield from _firewalld(facts, bridges, chain)
    elif "ufw" in makers(network.rules, chain):
        yield from (f"ufw route allow in on {name} out on {name}" for name in bridges)
    elif chain.backend == "nft":
        yield from _nft(facts, bridges, chain, families)
    else:
        for name in bridges:
            own = f"-i {name}", f"-o {name}"
            if chain.family == "bridge":  # ebtables(8): -i and -o are its ports
                own = f"--logical-in {name}", f"--logical-out {name}"
            devices = {"forward": " ".join(own), "prerouting": own[0]}.get(_hook(chain), own[1])
            yield f"{insert_words(chain, _of_docker(network.rules, chain))} {devices} -j ACCEPT"


def _firewalld(facts: DoctorFacts, bridges: Sequence[str], chain: RuleChain) -> Iterator[str]:
    if _hook(chain) == "prerouting":
        yield from firewalld.NO_REVERSE_PATH
        return
    for name in bridges:
        zone = (facts.zones or {}).get(name) or facts.default_zone or "public"
        yield from firewalld.bridged(zone, name)
    yield firewalld.RELOAD


def _nft(facts: DoctorFacts, bridges: Sequence[str], chain: RuleChain, families: Iterable[str]) -> Iterator[str]:
    lost, sees = tuple(families), {"inet": 2, "bridge": 3, "netdev": 3}.get(chain.family, 1)
    only = ""
    if len(lost) < sees:  # what it does to another family is none of this fix
        only = f"meta protocol {lost[0]} " if len(lost) == 1 else f"meta protocol {{ {', '.join(lost)} }} "
    for name in bridges:
        ports = [link.name for link in facts.state.ports(name)] if facts.state else []
        named = f'"{name}"'
        if chain.family == "bridge":  # there a frame comes in by a port; `meta ibrname` is not in every kernel
            named = _set(ports)
        if _hook(chain) in {"ingress", "egress"} and facts.state and chain.base:  # it may hang on others' links as well
            under = {str(one) for port in ports for one in below(facts.state, port)}
            named = _set(one for one in chain.base.device.split(",") if one in under)
        came, left = f"iifname {named}", f"oifname {named}"
        test = {"prerouting": came, "ingress": came, "forward": f"{came} {left}"}.get(_hook(chain), left)
        yield f"{insert_words(chain)} '{test} {only}accept'"


def _set(names: Iterable[str]) -> str:
    return "{ " + ", ".join(f'"{name}"' for name in names) + " }"


def routed_fix(facts: DoctorFacts, network: HostNetwork, bridge: str, lost: Sequence[tuple[str, FramePassage]]) -> str:
    """What lets the packets of a virtual network through where others' chains drop them, each way alone."""
    lines = []
    for way, passage in lost:
        for stop in passage.losing:
            chain = stop.base
            if _is_firewalld(chain):
                lines.append(f"firewall-cmd --permanent --zone=trusted --change-interface={bridge}")
                lines.append(firewalld.RELOAD)
            elif "ufw" in makers(network.rules, chain):
                lines.append(f"ufw route allow {'in' if way == '-i' else 'out'} on {bridge}")
            elif chain.backend == "nft":
                test = _link_test(facts, chain, bridge, way)
                lines.append(f"{insert_words(chain)} '{test}accept'")
            else:
                lines.append(f"{insert_words(chain, _of_docker(network.rules, chain))} {way} {bridge} -j ACCEPT")
    return "; ".join(dict.fromkeys(lines))


class LostService(Struct, frozen=True):
    """A service of the host's own that guests ask for, and whether what is lost is their question or its answer."""

    name: str
    passage: FramePassage
    protocol: str
    port: int
    is_answer: bool

    def __str__(self) -> str:
        return f"{self.protocol}/{self.port} ({self.name}, {self.passage.words})"


def input_fix(facts: DoctorFacts, network: HostNetwork, bridge: str, lost: Sequence[LostService]) -> str:
    """What lets guests ask these ports of the host from this bridge, and be answered, and nothing else."""
    lines, reload = list[str](), list[str]()
    for service in lost:
        way, end = ("out", "s") if service.is_answer else ("in", "d")
        for stop in service.passage.losing:
            chain, port, protocol = stop.base, service.port, service.protocol
            if _is_firewalld(chain):
                if service.is_answer:
                    continue  # it has no words for what the host itself sends but policies of the administrator's own
                zone = (facts.zones or {}).get(bridge) or facts.default_zone or "public"
                lines.append(f"firewall-cmd --permanent --zone={zone} --change-interface={bridge}")
                lines.append(f"firewall-cmd --permanent --zone={zone} --add-service={SERVICES[port]}")
                reload.append(firewalld.RELOAD)
            elif "ufw" in makers(network.rules, chain):
                lines.append(
                    f"ufw allow {way} on {bridge} {'from' if end == 's' else 'to'} any port {port} proto {protocol}"
                )
            elif chain.backend == "nft":
                test = f"{_link_test(facts, chain, bridge)}{protocol} {end}port {port}"
                lines.append(f"{insert_words(chain)} '{test} accept'")
            else:
                side = {"s": "-o", "d": "-i"}[end]
                lines.append(f"{insert_words(chain)} {side} {bridge} -p {protocol} --{end}port {port} -j ACCEPT")
    return "; ".join(dict.fromkeys((*lines, *reload)))


def _link_test(facts: DoctorFacts, chain: RuleChain, bridge: str, way: str = "") -> str:
    """How a chain of nft asks for packets that come in, or go out, by a bridge."""
    named, hook = f'"{bridge}"', _hook(chain)
    if chain.family == "bridge":
        named = _set(link.name for link in facts.state.ports(bridge)) if facts.state else named
    if hook in {"ingress", "egress"}:
        return ""  # it hangs on some links alone
    out = way == "-o" or hook in {"output", "postrouting"}
    return f"{'oifname' if out else 'iifname'} {named} "


def _is_firewalld(chain: RuleChain) -> bool:
    return owner(chain.table, chain.name) == "firewalld"


def _hook(chain: RuleChain) -> str:
    return chain.base.hook if chain.base else ""


def _of_docker(rules: Rules, chain: RuleChain) -> str:
    """The chain that Docker leaves to the administrator, where it has one before its own; else nothing."""
    has_one = _hook(chain) == "forward" and (chain.key[0], chain.table, DOCKERS) in rules.chains
    return DOCKERS if has_one else ""
