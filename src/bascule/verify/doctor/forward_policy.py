"""Somebody else's FORWARD chain that drops: a virtual network's own rules accept, and the guests get nowhere."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.site import Mode
from bascule.plan.virtual_network import resolved_networks
from bascule.verify.doctor.finding import Facts, Finding, Severity

FAMILIES = {4: ("ip", "inet"), 6: ("ip6", "inet")}


def look(facts: Facts) -> Iterator[Finding]:
    """Each network whose packets have to pass such a chain: what one table accepts, another may still drop."""
    if not (facts.site and facts.host):
        return
    dropping = [chain for chain in facts.chains or () if chain.hook == "forward" and chain.policy == "drop"]
    docker = any(name.startswith("DOCKER") for name in facts.chain_names)
    for one in resolved_networks(facts.site, facts.site.hosts[facts.host]):
        if one.mode is Mode.ISOLATED:
            continue
        families = {family for subnet in one.subnets for family in FAMILIES[subnet.version]}
        chains = [chain for chain in dropping if chain.family in families]
        if not chains:
            continue
        chain, whose = ("DOCKER-USER", "Docker's chain") if docker else ("FORWARD", "a chain")
        yield Finding(
            id="forward-policy",
            severity=Severity.WARNING,
            subject=one.name,
            text=f"what its guests send out or get from outside meets {whose}, which drops what it does not know",
            evidence=tuple(map(str, chains)),
            fix=f"iptables -I {chain} -i {one.bridge} -j ACCEPT; iptables -I {chain} -o {one.bridge} -j ACCEPT "
            "(the network's own rules still decide)",
        )
