"""The commands that let frames through, one for each family that is broken and for the named bridges alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bascule.model.ruleset.owners import owner
from bascule.topology.trace.any_frame import FramePassage, RuleVerdict
from bascule.topology.trace.network import HostNetwork
from bascule.topology.trace.rules.lines import RuleChain, Rules
from bascule.topology.trace.rules.words import makers, tool_of
from bascule.verify import firewalld
from bascule.verify.doctor.finding import DoctorFacts

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
    stops = [stop for one in passages for stop in one.stops or one.may_stop if stop.loses]
    lines = [line for stop in stops for line in _lines(facts, network, bridges, stop)]
    return "; ".join(dict.fromkeys(lines))


def _lines(facts: DoctorFacts, network: HostNetwork, bridges: Sequence[str], stop: RuleVerdict) -> Iterator[str]:
    chain = stop.base
    if _is_firewalld(chain):
        yield from _firewalld(facts, bridges, chain)
    elif "ufw" in makers(network.rules, chain):
        yield from (f"ufw route allow in on {name} out on {name}" for name in bridges)
    elif chain.backend == "nft":
        yield from _nft(facts, bridges, chain)
    else:
        tool = tool_of(chain)
        docker = _hook(chain) == "forward" and _has_dockers(network.rules, chain)
        where = DOCKERS if docker else chain.name
        table = "" if chain.table == "filter" else f"-t {chain.table} "
        for name in bridges:
            devices = {"forward": f"-i {name} -o {name}", "prerouting": f"-i {name}"}.get(_hook(chain), f"-o {name}")
            yield f"{tool} {table}-I {where} {devices} -j ACCEPT"


def _firewalld(facts: DoctorFacts, bridges: Sequence[str], chain: RuleChain) -> Iterator[str]:
    if _hook(chain) == "prerouting":
        yield from firewalld.NO_REVERSE_PATH
        return
    for name in bridges:
        zone = (facts.zones or {}).get(name) or facts.default_zone or "public"
        yield from firewalld.bridged(zone, name)
    yield firewalld.RELOAD


def _nft(facts: DoctorFacts, bridges: Sequence[str], chain: RuleChain) -> Iterator[str]:
    for name in bridges:
        names = f'"{name}"'
        if chain.family == "bridge":  # there a frame comes in by a port; `meta ibrname` is not in every kernel
            ports = [f'"{link.name}"' for link in facts.state.ports(name)] if facts.state else []
            names = "{ " + ", ".join(ports) + " }"
        tests = {"prerouting": f"iifname {names}", "postrouting": f"oifname {names}"}
        test = tests.get(_hook(chain), f"iifname {names} oifname {names}")
        yield f"nft insert rule {chain.family} {chain.table} {chain.name} '{test} accept'"


def routed_fix(network: HostNetwork, bridge: str, lost: Sequence[tuple[str, FramePassage]]) -> str:
    """What lets the packets of a virtual network through where others' chains drop them, each way alone."""
    lines = []
    for way, passage in lost:
        for stop in passage.stops:
            chain = stop.base
            name = "iifname" if way == "-i" else "oifname"
            if _is_firewalld(chain):
                lines.append(f"firewall-cmd --permanent --zone=trusted --change-interface={bridge}")
                lines.append(firewalld.RELOAD)
            elif "ufw" in makers(network.rules, chain):
                lines.append(f"ufw route allow {'in' if way == '-i' else 'out'} on {bridge}")
            elif chain.backend == "nft":
                lines.append(f"nft insert rule {chain.family} {chain.table} {chain.name} '{name} \"{bridge}\" accept'")
            else:
                tool = tool_of(chain)
                where = DOCKERS if _has_dockers(network.rules, chain) else chain.name
                lines.append(f"{tool} -I {where} {way} {bridge} -j ACCEPT")
    return "; ".join(dict.fromkeys(lines))


def input_fix(
    facts: DoctorFacts, network: HostNetwork, bridge: str, lost: Sequence[tuple[FramePassage, str, int]]
) -> str:
    """What lets guests ask these ports of the host, from this bridge alone."""
    lines, reload = list[str](), list[str]()
    for passage, protocol, port in lost:
        for stop in passage.stops or passage.may_stop:
            chain = stop.base
            if _is_firewalld(chain):
                service = {67: "dhcp", 547: "dhcpv6", 53: "dns"}[port]
                zone = (facts.zones or {}).get(bridge) or facts.default_zone or "public"
                lines.append(f"firewall-cmd --permanent --zone={zone} --change-interface={bridge}")
                lines.append(f"firewall-cmd --permanent --zone={zone} --add-service={service}")
                reload.append(firewalld.RELOAD)
            elif "ufw" in makers(network.rules, chain):
                lines.append(f"ufw allow in on {bridge} to any port {port} proto {protocol}")
            elif chain.backend == "nft":
                rule = f"'iifname \"{bridge}\" {protocol} dport {port} accept'"
                lines.append(f"nft insert rule {chain.family} {chain.table} {chain.name} {rule}")
            else:
                tool = tool_of(chain)
                lines.append(f"{tool} -I {chain.name} -i {bridge} -p {protocol} --dport {port} -j ACCEPT")
    return "; ".join(dict.fromkeys((*lines, *reload)))


def _is_firewalld(chain: RuleChain) -> bool:
    return owner(chain.table, chain.name) == "firewalld"


def _hook(chain: RuleChain) -> str:
    return chain.base.hook if chain.base else ""


def _has_dockers(rules: Rules, chain: RuleChain) -> bool:
    return (chain.key[0], chain.table, DOCKERS) in rules.chains
