"""Is each guest a proper virtual server? Asked with real frames, from others on its network and from itself.

A guest is one when (1) its own MAC lives in the network's broadcast domain, (2) that MAC can be dealt with like any
NIC's, and (3) its traffic within that network is unrestricted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.model.site import GuestNic, Host, Site
from bascule.model.state import HostState
from bascule.model.values import ETHERNET_MTU, IfName, IpAddress, IpInterface, Mac, Service
from bascule.probe.ask import ask
from bascule.probe.domain import ProbeAttachment, ProbeDomain
from bascule.probe.protocols import ANSWERED_BY_ALL
from bascule.probe.question import Answer, Protocol, Question, Response
from bascule.verify.checks import Check, own_tap, ports_of_macs, read_neighbours
from bascule.verify.endpoints import EndpointAddress, Endpoints
from bascule.verify.power import NONE_OFF, GuestsOff
from bascule.verify.wire.bound_macs import bound_elsewhere
from bascule.verify.wire.lost import LostProbe, where_lost

UNSERVED_PORT = 61000  # where nobody listens: a refusal from the other side itself shows that frames pass both ways

Replies = Mapping[Question, Answer]


class _Inquiry(Struct):
    """The questions about one guest NIC. ``missing`` says why some could not be put."""

    nic: GuestNic
    goals: tuple[EndpointAddress, ...] = ()
    other: ProbeAttachment | None = None
    from_host: list[Question] = field(default_factory=list)  # ARP from the host, as the classic recipe ends
    inward: list[Question] = field(default_factory=list)  # ARP: from the other for the guest
    outward: list[Question] = field(default_factory=list)  # ARP: from the guest for the other
    lease: Question | None = None
    traffic: list[tuple[str, Question]] = field(default_factory=list)
    missing: str = ""
    unasked: str = ""
    apart: str = ""  # that it and the other have no subnet in common: only a router carries packets between them
    left_out: list[str] = field(default_factory=list)  # what could not be asked of its traffic
    impostors: list[str] = field(default_factory=list)  # others that answer for its addresses

    @property
    def questions(self) -> Iterator[Question]:
        yield from (*self.from_host, *self.inward, *self.outward, *(question for _, question in self.traffic))
        if self.lease:
            yield self.lease


def check_guests(
    site: Site, host: Host, state: HostState, probe_domain: ProbeDomain, off: GuestsOff = NONE_OFF
) -> Iterator[Check]:
    """Per guest NIC: MAC on its own port, ARP from the host, and the three properties.

    Behind a virtual network its lease and its traffic with its neighbours take the place of those. One that shares a
    NIC has no port of its own, one that gets a mirror's copies no word.
    """
    every = list(site.guest_nics(host.name))
    for name in dict.fromkeys(nic.guest for nic in every if nic.guest in off):
        yield Check(id="running", subject=name, ok=None, detail=f"is {off[name]}: nothing of it can be asked")
    namespace = probe_domain.hosts[host.name]
    yield from bound_elsewhere([nic for nic in every if nic.guest in off], namespace)
    nics = [nic for nic in every if nic.guest not in off and nic.tap not in host.listeners]
    if not nics:
        return
    endpoints = Endpoints(site, probe_domain, read_neighbours(namespace))
    inquiries = [_inquire(nic, host, state, endpoints) for nic in nics]
    questions = list(dict.fromkeys(question for inquiry in inquiries for question in inquiry.questions))
    replies = dict(zip(questions, ask(questions, patience=probe_domain.patience), strict=True))
    lost = [
        LostProbe(question, inquiry.nic)
        for inquiry in inquiries
        for question in (*inquiry.from_host, *inquiry.inward, *(one for _, one in inquiry.traffic))
        if replies[question].is_unheard
    ]
    where = where_lost(lost, host, state, probe_domain)
    replies = {question: _located(answer, where) for question, answer in replies.items()}
    known = read_neighbours(namespace)  # of whom the host's own questions found
    learned = ports_of_macs(namespace)  # afterwards: a guest that was silent has spoken now
    for inquiry in inquiries:
        if (into := _bridge(inquiry.nic, state)) is not None:
            yield own_tap(inquiry.nic, into, learned, has_spoken=any(inquiry.questions))
        inquiry.impostors = _impostors(inquiry, known, site, endpoints.probe_domain.hosts[host.name].identity)
        yield _arp_from_host(inquiry, host, replies)
        yield from (_within if inquiry.nic.virtual_network else _properties)(inquiry, replies)


def _impostors(
    inquiry: _Inquiry, known: Mapping[Mac, tuple[IpInterface, ...]], site: Site, host: tuple[int, int]
) -> list[str]:
    """Whose MAC the host's own packets to the guest's addresses went to, where that is not this NIC's."""
    if inquiry.other is None or inquiry.other.namespace.identity != host:
        return []
    own = {goal.address.ip for goal in inquiry.goals}
    guest = inquiry.nic.guest
    others = {nic.mac: nic.tap for nic in site.guests[guest].nics}
    return [
        f"{address.ip} is at {mac}, and not at {inquiry.nic.mac}: "
        + (
            f"{guest} answers for it on {others[mac]}"
            if mac in others
            else "another machine has its address and answered"
        )
        for mac, addresses in known.items()
        for address in addresses
        if mac != inquiry.nic.mac and address.ip in own
    ]


def _located(answer: Answer, where: Mapping[Question, str]) -> Answer:
    """The answer, with the place where the question was lost."""
    found = where.get(answer.question)
    return replace(answer, lost=found) if found and answer.is_unheard else answer


def _inquire(nic: GuestNic, host: Host, state: HostState, endpoints: Endpoints) -> _Inquiry:
    site = endpoints.site
    name = site.segment_of(nic)
    own = next((attachment for attachment in endpoints.attachments(nic.guest) if attachment.mac == nic.mac), None)
    goals = tuple(
        goal
        for goal in endpoints.addresses(nic.guest)
        if (goal.attachment == own if own else goal.network == name and _is_of(nic, goal, endpoints))
    )
    inquiry = _Inquiry(nic, goals)
    if not goals:
        inquiry.missing = f"no address of {nic.guest} is known" + (" (has it a lease?)" if nic.dhcp else "")
        inquiry.outward = _arp_probe(own, name, endpoints) if own else []
        return inquiry
    if own is not None and not own.answers("arp"):
        inquiry.missing = f"{nic.guest} is not played on this NIC"
        return inquiry
    asker = _host_attachment(host, nic, state, endpoints, goals[0])
    if asker:
        inquiry.from_host = [_arp(asker, goals[0].address.ip)]
    others = sorted(
        (f for f in endpoints.neighbours(goals[0], nic.guest) if f.asks("arp") and not _shares_nic(f, host, nic)),
        # from outside, if there is one; on a virtual network that are the other guests
        key=lambda one: ((one.endpoint in site.guests) != (nic.virtual_network is not None), bool(_apart(goals, one))),
    )
    inquiry.other = other = next(iter(others), None)
    if other is None:
        inquiry.missing = f"nobody else stands on {name or nic.into} to ask from"
        return inquiry
    inquiry.apart = _apart(goals, other)
    theirs = [address for address in other.addresses if not address.is_link_local]
    inquiry.inward = [_arp(other, goal.address.ip) for goal in goals]
    if own is None:
        inquiry.unasked = f"from {nic.guest} itself: not asked, because Bascule cannot send from it"
    elif not own.asks("arp"):
        inquiry.unasked = f"from {nic.guest} itself: not asked, because it takes no questions from Bascule"
    else:
        families = {goal.address.version for goal in goals}
        inquiry.outward = [_arp(own, address.ip) for address in theirs if address.version in families]
        if nic.dhcp:
            inquiry.lease = Question(source=own, protocol=Protocol.DHCP, patience_s=4.0)
    inquiry.traffic = list(_traffic(inquiry, own, other, _mtu(nic, host, state, other, site), endpoints))
    return inquiry


def _apart(goals: Sequence[EndpointAddress], other: ProbeAttachment) -> str:
    """That no address of one is in the subnet of an address of the other, either way; empty where one is."""
    pairs = [(goal.address, theirs) for goal in goals for theirs in other.addresses if not theirs.is_link_local]
    pairs = [(one, two) for one, two in pairs if one.version == two.version]
    if not pairs or any(one.ip in two.network and two.ip in one.network for one, two in pairs):
        return ""
    one, two = pairs[0]
    return (
        f"{one} and {two} of {other.endpoint} are in different subnets: only a router carries packets between them, "
        "and nothing answered by one"
    )


def _is_of(nic: GuestNic, goal: EndpointAddress, endpoints: Endpoints) -> bool:
    return goal.address in nic.addresses or goal.address in endpoints.learned.get(nic.mac, ())


def _arp_probe(own: ProbeAttachment, segment: str | None, endpoints: Endpoints) -> list[Question]:
    """A probe of a guest without an address (RFC 5227), by which its bridge learns its MAC."""
    ends = (one for name in endpoints.names for one in endpoints.attachments(name) if one.network == segment)
    near = (address.ip for one in ends if one != own for address in one.addresses if address.version == 4)
    return [_arp(own, address) for address in list(near)[:1]] if own.asks("arp") else []


def _arp(attachment: ProbeAttachment, address: IpAddress) -> Question:
    return Question(source=attachment, protocol=Protocol.ARP, address=address)


def _host_attachment(
    host: Host, nic: GuestNic, state: HostState, endpoints: Endpoints, goal: EndpointAddress
) -> ProbeAttachment | None:
    """The host's own NIC on the guest's network; where it has none, the bridge itself asks, without an address."""
    for attachment in endpoints.attachments(host.name):
        if endpoints.shares(attachment, goal) and not _shares_nic(attachment, host, nic):
            return attachment
    name = _bridge(nic, state)
    bridge = state.links.get(name) if name else None
    if bridge is None or bridge.mac is None or nic.vlan is not None:
        return None  # of a VLAN-aware bridge the host sees the untagged frames
    return ProbeAttachment(
        endpoint=host.name, namespace=endpoints.probe_domain.hosts[host.name], link=bridge.name, mac=bridge.mac,
        network=goal.network,
    )  # fmt: skip


def _shares_nic(attachment: ProbeAttachment, host: Host, nic: GuestNic) -> bool:
    """Whether the attachment is the host's own on a NIC that the guest shares: they cannot talk to each other."""
    return (attachment.endpoint, attachment.link) == (host.name, nic.shared_nic)


def _bridge(nic: GuestNic, state: HostState) -> IfName | None:
    """The bridge of a NIC that has one; libvirt may have given a virtual network's another name than we."""
    tap = state.links.get(nic.tap)
    return tap.master if nic.virtual_network and tap and tap.master else nic.master


def _mtu(nic: GuestNic, host: Host, state: HostState, other: ProbeAttachment, site: Site) -> int:
    """The largest IP packet of the way, in bytes: what tap, bridge and uplink take, and the other end."""
    bridge = host.bridges.get(nic.bridge) if nic.bridge else None
    ports = bridge.ports_out if bridge else ()
    names = [name for name in (nic.tap, _bridge(nic, state) or IfName(nic.into), *ports) if name]
    machine, guest = site.machines.get(other.endpoint), site.guests.get(other.endpoint)
    theirs = [own.mtu or ETHERNET_MTU for own in machine.nics if own.network == other.network] if machine else []
    names += [own.tap for own in guest.nics if own.mac == other.mac] if guest else []
    names += [other.link] if other.endpoint == host.name else []
    return min((*theirs, *(state.links[name].mtu for name in names if name in state.links)), default=ETHERNET_MTU)


def _traffic(
    inquiry: _Inquiry, own: ProbeAttachment | None, other: ProbeAttachment, mtu: int, endpoints: Endpoints
) -> Iterator[tuple[str, Question]]:
    site, guest = endpoints.site, inquiry.nic.guest
    serves = site.guests[guest].serves
    if own is None or not own.answers("udp"):
        left_out = [s for s in serves if s.protocol == "udp" and not ANSWERED_BY_ALL.issuperset((s.first, s.last))]
        serves = tuple(service for service in serves if service not in left_out)
        if left_out:
            why = "only its clients know its questions" if own is None else f"{guest} serves no UDP here"
            inquiry.left_out.append(f"{', '.join(map(str, left_out))} not asked, because {why}")
    silent = [attachment.endpoint for attachment in (other, own) if attachment and not attachment.asks("udp")]
    if silent:
        inquiry.left_out.append(f"UDP from {' and '.join(silent)} not asked, because it cannot ask so")
    for goal in inquiry.goals:
        if any(address.version == goal.address.version for address in other.addresses):
            yield from _pings_and_ports(other, guest, goal.address.ip, serves, mtu, every=own is not None)
    if own is None or not own.asks("icmp"):
        return
    machine = site.machines.get(other.endpoint) or site.guests.get(other.endpoint)
    for address in other.addresses:
        if not address.is_link_local and any(address.version == mine.version for mine in own.addresses):
            yield from _pings_and_ports(
                own, other.endpoint, address.ip, machine.serves if machine else (), mtu, every=True
            )


def _pings_and_ports(
    attachment: ProbeAttachment, name: str, address: IpAddress, serves: Sequence[Service], mtu: int, *, every: bool
) -> Iterator[tuple[str, Question]]:
    """ICMP small and as large as the MTU, TCP and UDP. ``every``: also to a port where nobody listens."""
    head = f"{attachment.endpoint} → {name}"
    base = Question(source=attachment, protocol=Protocol.ICMP, address=address, via=attachment.link)
    yield f"{head} icmp", base
    yield f"{head} {mtu} bytes", replace(base, size=mtu)
    serves = [service for service in serves if attachment.asks(service.protocol)]
    asked = {Protocol(s.protocol) for s in serves if s.ports}
    for service in serves:
        for port in dict.fromkeys((service.first, service.last)) if service.ports else ():
            yield f"{head} {service.protocol}/{port}", replace(base, protocol=Protocol(service.protocol), port=port)
    for protocol in (Protocol.TCP, Protocol.UDP):
        if every and protocol not in asked and attachment.asks(protocol):
            yield f"{head} {protocol}", replace(base, protocol=protocol, port=UNSERVED_PORT)


# what came of it


def _arp_from_host(inquiry: _Inquiry, host: Host, replies: Replies) -> Check:
    """The last line of the classic recipe: the host's ARP cache has the guest's own MAC on the right NIC."""
    nic = inquiry.nic
    if not inquiry.from_host:
        where = "is not there" if nic.vlan is None else f"hears nothing of VLAN {nic.vlan} itself"
        if nic.shared_nic:
            where = "is shared by macvtap, which passes nothing between host and guest"
        own = "other NIC" if nic.shared_nic else "NIC"
        why = inquiry.missing or f"{host.name} has no {own} on its network, and {nic.into} {where}"
        return Check(id="arp-from-host", subject=nic.guest, ok=None, detail=f"not asked, because {why}")
    question = inquiry.from_host[0]
    answer = replies[question]
    if not answer.ok:
        detail = f"{question.address} asked from {question.source.link}: {answer.words}"
        return Check(id="arp-from-host", subject=nic.guest, ok=False, detail=detail)
    line = f"{question.address} ether {answer.mac} {question.source.link}"
    if answer.mac != nic.mac:
        return Check(id="arp-from-host", subject=nic.guest, ok=False, detail=f"{line}, should be {nic.mac}")
    return Check(id="arp-from-host", subject=nic.guest, ok=True, detail=line)


def _within(inquiry: _Inquiry, replies: Replies) -> Iterator[Check]:
    """Behind a virtual network: a lease where one is wanted, and unrestricted traffic with a neighbour there."""
    nic = inquiry.nic
    if inquiry.missing:
        detail = f"not asked, because {inquiry.missing}"
        yield Check(id="traffic-within", subject=nic.guest, ok=None, detail=detail)
        return
    if inquiry.lease:
        ok, held, words = _lease(inquiry, inquiry.lease, replies)
        yield Check(id="lease", subject=nic.guest, ok=ok and held, detail=words)
    faults, words = _unrestricted(inquiry, replies)
    detail = "; ".join(filter(None, [*(faults or [words]), inquiry.unasked, *inquiry.left_out]))
    yield Check(id="traffic-within", subject=nic.guest, ok=not faults, detail=detail)


def _properties(inquiry: _Inquiry, replies: Replies) -> Iterator[Check]:
    names = ("in-broadcast-domain", "like-any-nic", "unrestricted-within")
    if inquiry.missing:
        for name in names:
            yield Check(id=name, subject=inquiry.nic.guest, ok=None, detail=f"not asked, because {inquiry.missing}")
        return
    for name, judge in zip(names, (_in_domain, _like_any_nic, _unrestricted), strict=True):
        faults, words = judge(inquiry, replies)
        parts = [*(faults or [words]), inquiry.unasked, *(inquiry.left_out if judge is _unrestricted else ())]
        detail = "; ".join(filter(None, parts))
        ok: bool | None = not faults
        if faults and judge is _unrestricted and inquiry.apart and not inquiry.impostors:
            ok, detail = None, "; ".join(filter(None, (inquiry.apart, *inquiry.left_out)))
        yield Check(id=name, subject=inquiry.nic.guest, ok=ok, detail=detail, unproven=ok is None)


def _in_domain(inquiry: _Inquiry, replies: Replies) -> tuple[list[str], str]:
    """(1) A broadcast from another endpoint reaches it, and its broadcast reaches the other: both are answered."""
    nic, other = inquiry.nic, inquiry.other
    assert other is not None  # _properties has ruled it out
    faults = []
    for question in (*inquiry.inward, *inquiry.outward):
        answer = replies[question]
        if not answer.ok:
            faults.append(f"broadcast of {question.source.endpoint} for {question.address}: {answer.words}")
    if inquiry.outward:
        return faults, f"broadcasts of {other.endpoint} reach {nic.mac}, and its own reach {other.endpoint}"
    return faults, f"broadcasts of {other.endpoint} reach {nic.mac}"


def _like_any_nic(inquiry: _Inquiry, replies: Replies) -> tuple[list[str], str]:
    """(2) Its address belongs to its own MAC, and it finds the others' MACs; DHCP answers this MAC."""
    nic, other = inquiry.nic, inquiry.other
    assert other is not None  # _properties has ruled it out
    faults = [*_wrong_macs(inquiry.inward, replies, nic.mac), *_wrong_macs(inquiry.outward, replies, other.mac)]
    addresses = ", ".join(str(goal.address.ip) for goal in inquiry.goals)
    words = [f"{addresses} is at {nic.mac} for {other.endpoint}"]
    if inquiry.outward:
        words.append(f"{inquiry.outward[0].address} is at {other.mac} for {nic.guest}")
    if inquiry.lease:
        ok, _, said = _lease(inquiry, inquiry.lease, replies)
        (words if ok else faults).append(said)
    elif nic.dhcp:
        words.append("address by DHCP")
    else:
        words.append("static address")
    return faults, ", ".join(words)


def _lease(inquiry: _Inquiry, question: Question, replies: Replies) -> tuple[bool, bool, str]:
    """Whether a server answers the guest's MAC, whether it offers an address that the guest has, and both in words."""
    answer = replies[question]
    if not answer.ok:
        return False, False, f"DHCP for {inquiry.nic.mac}: {answer.words}"
    held = any(answer.offered == goal.address.ip for goal in inquiry.goals)
    return True, held, f"DHCP server {answer.address} offers {'it ' if held else ''}{answer.offered}"


def _wrong_macs(questions: Sequence[Question], replies: Replies, mac: Mac) -> Iterator[str]:
    for question in questions:
        answer = replies[question]
        if not answer.ok:
            yield f"{question.source.endpoint} asks for {question.address}: {answer.words}"
        elif answer.mac != mac:
            yield f"{question.address} is at {answer.mac} for {question.source.endpoint}, should be at {mac}"


def _unrestricted(inquiry: _Inquiry, replies: Replies) -> tuple[list[str], str]:
    """(3) ICMP, TCP and UDP pass in and out, and frames as large as the MTU."""
    faults = [f"{label}: {replies[q].words}" for label, q in inquiry.traffic if not _passed(replies[q])]
    faults += inquiry.impostors
    labels: dict[str, list[str]] = {}
    for label, _ in inquiry.traffic:
        *way, what = label.split(" ", 3)
        labels.setdefault(" ".join(way), []).append(what)
    return faults, "; ".join(f"{way}: {', '.join(dict.fromkeys(whats))}" for way, whats in labels.items())


def _passed(answer: Answer) -> bool:
    """A reply; where nobody listens, a refusal by the other side itself shows as well that frames pass both ways."""
    return answer.ok or (answer.question.port == UNSERVED_PORT and answer.response is Response.REFUSED)
