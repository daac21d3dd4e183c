"""Without a site file: the networks that the wires seem to carry, as a draft of ``networks:`` and ``nics:``. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address

from msgspec import Struct
from msgspec.structs import replace

from bascule.model.values import IpAddress, IpNetwork, count, overlap
from bascule.survey.cabling import plain_port
from bascule.survey.facts import BELIEVED, WireSegment, clusters, native_vlan
from bascule.survey.neighbours import port_words
from bascule.survey.verdicts import Survey
from bascule.topology.layer2 import CableEnd, tag_words

MOST = 8  # subnets of one network
VIDS = range(1, 4095)
VIRTUAL = ("HSRP", "VRRP", "GLBP")


class Proposal(Struct, frozen=True, kw_only=True):
    """A network that seems to exist: where it was heard, and from what its subnet and gateway were read."""

    name: str
    ends: tuple[CableEnd, ...]
    subnets: tuple[IpNetwork, ...] = ()
    gateways: tuple[str, ...] = ()
    vlan: int | None = None
    why: str = ""


def propose(survey: Survey) -> tuple[Proposal, ...]:
    """One network for each broadcast domain in which somebody speaks."""
    joined = [domain for wire in survey.wires for domain in wire.domains]
    together = {end for domain in joined for end in domain}
    alone = [
        frozenset({CableEnd(nic, tags)})
        for nic, verdict in survey.nics.items()
        for tags in verdict.segments
        if CableEnd(nic, tags) not in together
    ]
    proposals: list[Proposal] = []
    names: set[str] = set()
    for domain in sorted((*joined, *alone), key=sorted):
        ends = tuple(sorted(domain))
        segments = [seg for end in ends if (seg := survey.nics[end.nic].segments.get(end.tags)) is not None]
        proposal = _proposal(ends, segments, names)
        if proposal is not None:
            proposal = _apart(proposal, proposals)
            names.add(proposal.name)
            proposals.append(proposal)
    return tuple(proposals)


def _apart(proposal: Proposal, others: list[Proposal]) -> Proposal:
    """Without what another network has already: a site file has each subnet and each VLAN once."""
    subnets: list[IpNetwork] = []
    reasons = [proposal.why]
    for net in proposal.subnets:
        taken = next((one.name for one in others for other in one.subnets if overlap(net, other)), "")
        if taken:
            reasons.append(f"{net} as well, which {taken} has: see whether it is one wire")
        elif not any(overlap(net, other) for other in subnets):
            subnets.append(net)
    vlan = proposal.vlan
    if vlan is not None and (rival := next((one.name for one in others if one.vlan == vlan), "")):
        reasons.append(f"tagged {vlan}, as {rival}: see whether it is one network")
        vlan = None
    gateways = tuple(text for text in proposal.gateways if _is_near(ip_address(text), subnets))
    return replace(proposal, subnets=tuple(subnets), gateways=gateways, vlan=vlan, why="; ".join(reasons))


def _is_near(gateway: IpAddress, subnets: Iterable[IpNetwork]) -> bool:
    """Whether a network with these subnets can have the gateway: it is in one, or link-local beside one."""
    return any(
        net.version == gateway.version and (gateway.is_link_local or (gateway in net and _is_host(gateway, net)))
        for net in subnets
    )


def _is_host(ip: IpAddress, net: IpNetwork) -> bool:
    """Whether a NIC can have the address: it is not the network's own, nor the broadcast address."""
    return net.version == 6 or net.prefixlen >= 31 or ip not in (net.network_address, net.broadcast_address)


def _proposal(ends: tuple[CableEnd, ...], segments: list[WireSegment], taken: set[str]) -> Proposal | None:
    if all(seg.is_silent and not seg.tags for seg in segments):
        return None
    best = max(segments, key=lambda seg: (len(seg.stated), len(seg.senders)))
    nets = [(net, number, stated) for net, number, stated in clusters(best) if stated or number >= BELIEVED]
    subnets = tuple(
        net for version in (4, 6) for net in _believed([item for item in nets if item[0].version == version])
    )
    tags = {end.tags for end in ends if end.tags}
    vlan = next(iter(tags))[0] if len(tags) == 1 and all(end.tags for end in ends) else None
    vlan = vlan if vlan in VIDS else None
    doubled = next((found for found in sorted(tags) if len(found) > 1), None)
    number = vlan or next((vid for seg in segments if (vid := native_vlan(seg)) is not None), None)
    if not subnets and number is None:
        return None
    reasons = []
    for net in subnets:
        how = sorted({how for stated, how in best.stated if stated == net})
        senders = count(best.machines(ip for ip in best.senders if ip in net), "sender")
        told = " and ".join(how) + ("" if senders.startswith("0 ") else f", {senders}")
        inside = [ip for ip in best.senders if ip in net]
        source = {"arp": "ARP of ", "nd": "ND of "}.get(best.evidence_kind(inside), "")
        reasons.append(told if how else f"{source}{senders}: at least this wide")
    if doubled is not None:  # a VLAN of its own for a bridge, but what is in it still has a tag
        reasons.append(f"it comes with two tags ({tag_words(doubled)}): have the switch take one off")
    gateways, guess = _gateways(best, subnets)
    if guess:
        reasons.append(guess)
    return Proposal(
        name=_name(segments, number, subnets, taken),
        ends=ends,
        subnets=subnets,
        gateways=gateways,
        vlan=vlan,
        why="; ".join(reasons) or "no subnet could be read: too few senders",
    )


def _believed(nets: list[tuple[IpNetwork, int, bool]]) -> list[IpNetwork]:
    """The stated prefixes; of the guessed ones only the most populated."""
    return [net for net, _, stated in nets if stated][:MOST] or [net for net, _, _ in nets[:1]]


def _name(segments: list[WireSegment], vid: int | None, subnets: tuple[IpNetwork, ...], taken: set[str]) -> str:
    named = next((seg.vlan_names[vid] for seg in segments if vid in seg.vlan_names), "") if vid is not None else ""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", named).strip("-._")
    if not plain or plain.lower() in ("default", "vlan1"):
        plain = f"vlan{vid}" if vid is not None else "net"
        if vid is None and subnets and subnets[0].version == 4:
            parts = str(subnets[0].network_address).split(".")[: max(1, (subnets[0].prefixlen + 7) // 8)]
            plain = "net-" + "-".join(parts)
    name, number = plain[:60], 2
    while name in taken:
        name, number = f"{plain[:57]}-{number}", number + 1
    return name


def _gateways(seg: WireSegment, subnets: tuple[IpNetwork, ...]) -> tuple[tuple[str, ...], str]:
    """A gateway for each IP version: one that is stated or kept up, else the address that most senders ask for.

    The words say where one is a guess.
    """
    found: dict[int, str] = {}
    guess = ""
    for net in subnets:
        if net.version in found:
            continue
        near = [(how, ip) for ip, how, _ in seg.gateways if _is_near(ip, [net])]
        near.sort(key=lambda item: (item[0] in VIRTUAL, item[1].is_link_local, int(item[1])))
        if near:
            found[net.version] = str(near[0][1])
            continue
        askers: dict[IpAddress, set[IpAddress]] = {}
        for sender, target in seg.pairs:
            if sender in net and target in net and _is_host(target, net):
                askers.setdefault(target, set()).add(sender)
        most = sorted(askers.items(), key=lambda item: (-len(item[1]), str(item[0])))
        if most and len(most[0][1]) >= 2 and (len(most) == 1 or len(most[0][1]) > len(most[1][1])):
            gateway, asking = most[0]
            found[net.version] = str(gateway)
            if len(asking) < BELIEVED:
                guess = f"gateway {gateway} is a guess: {count(len(asking), 'sender')} ask for it"
    return tuple(found.values()), guess


def draft(survey: Survey, host: str) -> str:
    """The draft as YAML of the site file's form, with the reasons as comments."""
    proposals = propose(survey)
    lines = [
        "# A draft from what was heard: read it, rename the networks, then complete it.",
        "site: surveyed",
        "networks:",
    ]
    if not proposals:
        lines[-1] = "networks: {}"
    for one in proposals:
        keys = []
        if one.subnets:
            keys.append(f"subnet: {_value([str(net) for net in one.subnets])}")
        if one.gateways:
            keys.append(f"gateway: {_value(list(one.gateways))}")
        if one.vlan is not None:
            keys.append(f"vlan: {one.vlan}")
        lines.append(f"  {one.name}: {{{', '.join(keys)}}}  # {one.why}")
    lines += ["hosts:", f"  {host}:", "    nics:"]
    cabled: set[tuple[str, str]] = set()  # a port takes one cable: a second NIC that hears it stands behind something
    said = ""
    for nic, verdict in survey.nics.items():
        mine = [(end.tags, one.name) for one in proposals for end in one.ends if end.nic == nic]
        mine.sort()
        keys = [f"network: {mine[0][1]}"] if mine else []
        port = port_words(verdict.port.port, verdict.port.port_text) if verdict.port is not None else ""
        cable = (verdict.port.name.lower(), plain_port(port)) if verdict.port is not None and port else ("", "")
        if verdict.port is not None and verdict.port.name and port and cable not in cabled:
            cabled.add(cable)
            keys.append(f"switch: {{name: {_quoted(verdict.port.name)}, port: {_quoted(port)}}}")
        more = [f"{name} tagged {tags[0]}" for tags, name in mine[1:] if tags]
        why = "" if mine else verdict.why or "too few senders to name a network"
        remark = f"  # also {', '.join(more)}" if more else f"  # {why}" if why and why != said else ""
        said = why  # the same of the NICs that follow is said once
        lines.append(f"      {nic}: {{{', '.join(keys)}}}{remark}")
    return "\n".join(lines) + "\n"


def _value(texts: list[str]) -> str:
    quoted = [_quoted(text) for text in texts]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _quoted(text: str) -> str:
    """Plain where YAML cannot misread it, else in double quotes: a stranger chose a switch's name."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*|[0-9.]+/[0-9]+|[0-9a-f:]+::?/[0-9]+", text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
