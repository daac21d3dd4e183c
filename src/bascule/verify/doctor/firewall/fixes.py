"""The commands that let frames through, one for each family that is broken and for the named bridges alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bascule.topology.firewall.passage import Passage
from bascule.topology.firewall.rules import Firewall, FirewallChain
from bascule.topology.firewall.walk import RuleVerdict
from bascule.verify.doctor.finding import Facts

TOOLS = {"ip": "iptables", "ip6": "ip6tables"}
DOCKERS = "DOCKER-USER"  # the chain that Docker leaves to the administrator, before its own


def whose_rules(firewall: Firewall, stops: Iterable[RuleVerdict]) -> str:
    """``the rules of Docker``, empty where the names of the chains say nothing; libvirt sets no policy."""
    owners = []
    for stop in stops:
        found = firewall.owners(stop.chain)
        owners += [one for one in found if stop.rule is not None or one != "libvirt"]
    return f"the rules of {' and '.join(dict.fromkeys(owners))}" if owners else ""


def bridge_fix(facts: Facts, firewall: Firewall, bridges: Sequence[str], passages: Sequence[Passage]) -> str:
    """What lets frames between the ports of these bridges through: a command for every stop.

    An accept elsewhere repairs no drop.
    """
    stops = [(one.family, stop) for one in passages for stop in one.stops or one.may_stop if stop.loses]
    lines = [line for family, stop in stops for line in _lines(facts, firewall, bridges, family, stop)]
    return "; ".join(dict.fromkeys(lines))


def _lines(facts: Facts, firewall: Firewall, bridges: Sequence[str], family: str, stop: RuleVerdict) -> Iterator[str]:
    chain = firewall.base(stop.chain)
    if chain.owner == "firewalld":
        yield from _firewalld(facts, bridges, chain)
    elif "ufw" in firewall.owners(chain):
        yield from (f"ufw route allow in on {name} out on {name}" for name in bridges)
    elif chain.tool == "nft":
        yield from _nft(facts, bridges, chain)
    else:
        tool = TOOLS[family] if "legacy" not in chain.tool else chain.tool
        docker = chain.hook == "forward" and DOCKERS in firewall.table(chain)
        where = DOCKERS if docker else chain.name
        table = "" if chain.table.partition("\0")[0] == "filter" else f"-t {chain.table} "
        for name in bridges:
            devices = {"forward": f"-i {name} -o {name}", "prerouting": f"-i {name}"}.get(chain.hook, f"-o {name}")
            yield f"{tool} {table}-I {where} {devices} -j ACCEPT"


def _firewalld(facts: Facts, bridges: Sequence[str], chain: FirewallChain) -> Iterator[str]:
    if chain.hook == "prerouting":
        yield "IPv6_rpfilter=no in /etc/firewalld/firewalld.conf, then firewall-cmd --complete-reload"
        return
    for name in bridges:
        zone = (facts.zones or {}).get(name) or facts.default_zone or "public"
        yield f"firewall-cmd --permanent --zone={zone} --change-interface={name}"
        yield f"firewall-cmd --permanent --zone={zone} --add-forward"
    yield "firewall-cmd --reload"


def _nft(facts: Facts, bridges: Sequence[str], chain: FirewallChain) -> Iterator[str]:
    for name in bridges:
        names = f'"{name}"'
        if chain.family == "bridge":  # there a frame comes in by a port; `meta ibrname` is not in every kernel
            ports = [f'"{link.name}"' for link in facts.state.ports(name)] if facts.state else []
            names = "{ " + ", ".join(ports) + " }"
        tests = {"prerouting": f"iifname {names}", "postrouting": f"oifname {names}"}
        test = tests.get(chain.hook, f"iifname {names} oifname {names}")
        yield f"nft insert rule {chain.family} {chain.table} {chain.name} '{test} accept'"


def routed_fix(firewall: Firewall, bridge: str, lost: Sequence[tuple[str, Passage]]) -> str:
    """What lets the packets of a virtual network through where others' chains drop them, each way alone."""
    lines = []
    for way, passage in lost:
        for stop in passage.stops:
            chain = firewall.base(stop.chain)
            name = "iifname" if way == "-i" else "oifname"
            if chain.owner == "firewalld":
                lines.append(f"firewall-cmd --permanent --zone=trusted --change-interface={bridge}")
                lines.append("firewall-cmd --reload")
            elif "ufw" in firewall.owners(chain):
                lines.append(f"ufw route allow {'in' if way == '-i' else 'out'} on {bridge}")
            elif chain.tool == "nft":
                lines.append(f"nft insert rule {chain.family} {chain.table} {chain.name} '{name} \"{bridge}\" accept'")
            else:
                tool = TOOLS[passage.family] if "legacy" not in chain.tool else chain.tool
                where = DOCKERS if DOCKERS in firewall.table(chain) else chain.name
                lines.append(f"{tool} -I {where} {way} {bridge} -j ACCEPT")
    return "; ".join(dict.fromkeys(lines))


def input_fix(facts: Facts, firewall: Firewall, bridge: str, lost: Sequence[tuple[Passage, str, int]]) -> str:
    """What lets guests ask these ports of the host, from this bridge alone."""
    lines = []
    for passage, protocol, port in lost:
        for stop in passage.stops or passage.may_stop:
            chain = firewall.base(stop.chain)
            if chain.owner == "firewalld":
                service = {67: "dhcp", 547: "dhcpv6", 53: "dns"}[port]
                zone = (facts.zones or {}).get(bridge) or "libvirt"
                lines.append(f"firewall-cmd --permanent --zone={zone} --change-interface={bridge}")
                lines.append(f"firewall-cmd --permanent --zone={zone} --add-service={service}")
            elif "ufw" in firewall.owners(chain):
                lines.append(f"ufw allow in on {bridge} to any port {port} proto {protocol}")
            elif chain.tool == "nft":
                rule = f"'iifname \"{bridge}\" {protocol} dport {port} accept'"
                lines.append(f"nft insert rule {chain.family} {chain.table} {chain.name} {rule}")
            else:
                tool = TOOLS[passage.family] if "legacy" not in chain.tool else chain.tool
                lines.append(f"{tool} -I {chain.name} -i {bridge} -p {protocol} --dport {port} -j ACCEPT")
    return "; ".join(dict.fromkeys(lines))
