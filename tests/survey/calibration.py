"""How often a claim of some confidence is right: over the corpus, and over wires drawn by chance with what misleads.

``python -m tests.survey.calibration`` prints the table that stands in docs/explanation/what-a-frame-proves.md.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from typing import NamedTuple

from bascule.frames.codecs import arp, ethernet
from bascule.survey.evidence import Collector
from bascule.survey.verdicts import judge
from tests.survey import test_corpus
from tests.survey.frames import HSRP, UDP, dhcp_offer, ip_frame, lldp, pvst
from tests.survey.hearing import site

BINS = ((0.95, 1.0), (0.90, 0.95), (0.80, 0.90), (0.70, 0.80), (0.60, 0.70))
WIRES, SEED = 1500, 17
FOREIGN = "foreign"  # a wire that the file does not declare
SITE = """
site: calibration
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  public: {subnet: 129.230.0.0/16, gateway: 129.230.0.1}
  storage: {subnet: 10.30.0.0/24, gateway: 10.30.0.1, vlan: 30}
  backup: {subnet: 10.50.0.0/24, gateway: 10.50.0.254, vlan: 50}
  lab: {subnet: 10.30.4.0/22}
hosts: {h: {nics: {eth4: {network: office}}}}
"""
SUBNETS = {
    "office": IPv4Network("192.168.1.0/24"),
    "public": IPv4Network("129.230.0.0/16"),
    "storage": IPv4Network("10.30.0.0/24"),
    "backup": IPv4Network("10.50.0.0/24"),
    "lab": IPv4Network("10.30.4.0/22"),
    FOREIGN: IPv4Network("172.20.0.0/22"),
}
GATEWAYS = {"office": "192.168.1.1", "public": "129.230.0.1", "storage": "10.30.0.1", "backup": "10.50.0.254"}
VIDS = {"office": 1, "public": 7, "storage": 30, "backup": 50, "lab": 31, FOREIGN: 40}


class Claim(NamedTuple):
    """What was said of a wire, how sure, and what is there."""

    said: str
    confidence: float
    truth: str | None

    @property
    def right(self) -> bool:
        return self.said == self.truth


def of_the_corpus() -> Iterator[Claim]:
    """Every claim of the corpus; a case says by ``truth`` what is there where its document does not."""
    for name, case in test_corpus.CASES.items():
        if "refused" in case or case.get("site") == "":
            continue
        told = {nic: part["network"] for nic, part in case["expect"].get("nics", {}).items() if "network" in part}
        told |= case.get("truth", {})
        for nic, verdict in test_corpus.surveyed(case).nics.items():
            if verdict.network is not None:
                assert nic in told, f"{name} does not say what is on {nic}, where {verdict.network} is claimed"
                yield Claim(verdict.network, verdict.confidence, told[nic])


def of_chance(wires: int = WIRES, seed: int = SEED) -> Iterator[Claim]:
    """Claims of wires of which nobody knows beforehand what is heard on them."""
    about, chance = site(SITE), random.Random(seed)
    for _ in range(wires):
        truth = chance.choice([*SUBNETS, FOREIGN])
        collector = Collector("eth4")
        for frame in _wire(truth, chance):
            collector.add(frame)
        verdict = judge({"eth4": collector.finish(seconds=30, carrier=True)}, *about).nics["eth4"]
        if verdict.network is not None:
            yield Claim(verdict.network, verdict.confidence, truth)


def _wire(truth: str, chance: random.Random) -> Iterator[bytes]:
    """Half a minute of a wire: some of its machines, what its devices state, and now and then somebody misplaced."""
    yield from _machines(truth, chance.choice((0, 1, 1, 2, 3, 5, 12)), chance)
    others = [name for name in SUBNETS if name != truth]
    if chance.random() < 0.35:  # configured for another network, or moved and not yet told
        yield from _machines(chance.choice(others), chance.choice((1, 1, 1, 2, 3)), chance)
    if chance.random() < 0.3:
        yield from _states(truth)
    if chance.random() < 0.01:  # somebody's home router in the wrong socket
        yield from _states(chance.choice(others))
    if truth in GATEWAYS and chance.random() < 0.2:
        hello = UDP(sport=1985, dport=1985) / HSRP(virtualIP=GATEWAYS[truth])
        yield ip_frame(hello, src=str(IPv4Address(GATEWAYS[truth]) + 1), dst="224.0.0.2")
    if chance.random() < 0.3:
        yield pvst(VIDS[truth])
    if chance.random() < 0.3:
        yield lldp(pvid=VIDS[truth] if chance.random() < 0.98 else VIDS[chance.choice(others)])


def _machines(network: str, number: int, chance: random.Random) -> Iterator[bytes]:
    net = SUBNETS[network]
    hosts = [net[chance.randrange(2, net.num_addresses - 1)] for _ in range(number)]
    gateway = IPv4Address(GATEWAYS.get(network, str(net[1])))
    if number and chance.random() < 0.25:
        hosts.append(gateway)
    for ip in hosts:
        target = gateway if chance.random() < 0.7 else net[chance.randrange(2, net.num_addresses - 1)]
        mac = b"\x3c\xec\xef" + ip.packed[1:]
        for _ in range(chance.randint(1, 4)):
            yield arp.build(arp.REQUEST, mac, ip, target, dst=ethernet.BROADCAST)


def _states(network: str) -> Iterator[bytes]:
    net = SUBNETS[network]
    yield dhcp_offer(str(net[99]), GATEWAYS.get(network, str(net[1])), str(net.netmask))


def table(claims: list[Claim]) -> str:
    """The table of the documentation."""
    lines = ["| confidence | claims | right | share |", "|---|---|---|---|"]
    for least, most in BINS:
        inside = [claim for claim in claims if least <= claim.confidence < most]
        right = sum(claim.right for claim in inside)
        share = f"{100 * right / len(inside):.1f} %" if inside else "-"
        lines.append(f"| {least:.2f} to {most - 0.01:.2f} | {len(inside)} | {right} | {share} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    every = [*of_the_corpus(), *of_chance()]
    print(table(every), end="")
    for claim in every:
        if not claim.right and claim.confidence >= 0.8:
            print(claim)
