"""Mirrors of switches: whether whoever listens gets a copy of a frame that a guest really sent."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.host_links import Bridge
from bascule.model.links.mirror import Mirror
from bascule.model.site import GuestNic, Host, Site
from bascule.probe.ask import ask
from bascule.probe.capture import CaptureSession
from bascule.probe.domain import CapturePoint, ProbeDomain
from bascule.probe.question import Protocol, Question
from bascule.verify.checks import Check
from bascule.verify.endpoints import Endpoints
from bascule.verify.power import GuestsOff


def check_mirrors(site: Site, host: Host, probe_domain: ProbeDomain, off: GuestsOff) -> Iterator[Check]:
    """A check for each mirror: one of its guests asks for a neighbour, and the copies are counted where it leads."""
    endpoints = Endpoints(site, probe_domain)
    for bridge in host.bridges.values():
        for mirror in bridge.mirrors:
            yield _check(site, host, bridge, mirror, endpoints, off)


def _check(site: Site, host: Host, bridge: Bridge, mirror: Mirror, endpoints: Endpoints, off: GuestsOff) -> Check:
    subject = f"{bridge.name} to {mirror.to}"
    nics = [nic for nic in site.guest_nics(host.name) if nic.bridge == bridge.name and nic.guest not in off]
    watched = [nic for nic in nics if nic.tap in mirror.sources or (not mirror.sources and nic.tap != mirror.to)]
    question = next((found for nic in watched if (found := _question(nic, endpoints)) is not None), None)
    if question is None:
        detail = "not asked, because no guest whose frames it copies can be asked from here"
        return Check(id="mirror", subject=subject, ok=None, detail=detail)
    point = CapturePoint(node=host.name, namespace=endpoints.probe_domain.hosts[host.name], link=mirror.to)
    with CaptureSession([point], [question]) as watch:
        ask([question], watch=watch, patience=endpoints.probe_domain.patience)
        watch.drain()
        copies = [seen for seen in watch.captured if question.source.mac in {seen.frame.src, seen.frame.dst}]
    sent = sum(seen.frame.src == question.source.mac for seen in copies)
    who = question.source.endpoint
    if not sent:
        detail = f"{who} asked for {question.address}, and no copy of it came to {mirror.to}"
        return Check(id="mirror", subject=subject, ok=False, detail=detail)
    detail = f"{who} asked for {question.address}: {sent} of its frames and {len(copies) - sent} to it were copied"
    return Check(id="mirror", subject=subject, ok=True, detail=detail)


def _question(nic: GuestNic, endpoints: Endpoints) -> Question | None:
    """Who has the address of a neighbour, asked by a guest."""
    own = next((one for one in endpoints.attachments(nic.guest) if one.mac == nic.mac and one.asks("arp")), None)
    if own is None:
        return None
    for goal in endpoints.addresses(nic.guest):
        for other in endpoints.neighbours(goal, nic.guest):
            address = next((a.ip for a in other.addresses if a.version == goal.address.version), None)
            if address is not None:
                return Question(source=own, protocol=Protocol.ARP, address=address)
    return None
