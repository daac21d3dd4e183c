"""Whether the guards hold: each kind of hostile and of legitimate frame is sent from each guarded port."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from msgspec import Struct

from bascule.frames.guarding import build as b
from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.build import Parties, Party
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.frames.guarding.sample import Sample
from bascule.model.guarding import GuardLevel
from bascule.model.site import GuestNic, Host, Site
from bascule.model.values import IpAddress, Mac, link_local
from bascule.observe.bridge_tables import read_fdb
from bascule.policy.guards.ports import GuardedPort, guarded_ports
from bascule.probe.domain import ProbeAttachment, ProbeDomain
from bascule.providers.loaded_guards import unseen_frames
from bascule.system.net.netns import Namespace
from bascule.verify.checks import Check
from bascule.verify.guards.sending import sending

ROUTER = Mac("02:00:5e:10:00:01")  # of a gateway whose MAC nobody knows
ABSENT4, ABSENT6 = IPv4Address("203.0.113.253"), IPv6Address("2001:db8:ffff::fd")  # where there is no address


class AttackedPort(Struct, frozen=True, kw_only=True):
    """A guarded port with whoever is behind it, and where one sees what gets through.

    ``snoops``: its bridge sends multicast to those alone who asked for it, so that it does not arrive, guard or not.
    """

    port: GuardedPort
    host: Namespace
    inside: ProbeAttachment
    others: tuple[ProbeAttachment, ...]
    parties: Parties
    snoops: bool = False

    def is_seen(self, sample: Sample) -> bool:
        """Whether what becomes of such frames can be seen."""
        return not self.snoops or not all(_is_multicast(frame) for frame in sample.frames(self.parties))


def check_guards(site: Site, host: Host, probe_domain: ProbeDomain) -> Iterator[Check]:
    """A check for each guarded port of a host, asked with frames of its own guest."""
    nics = {nic.tap: nic for nic in site.guest_nics(host.name)}
    for port in guarded_ports(site, host):
        if port.waits:
            continue
        inside = _inside(port, probe_domain)
        if inside is None or inside.agent is not None:
            detail = "its guest is off" if inside is None else "frames cannot be sent in the place of this guest"
            yield Check(id="guard", subject=port.guest, ok=None, detail=detail)
            continue
        others = tuple(
            one
            for some in probe_domain.attachments.values()
            for one in some
            if one.network == inside.network
            and one.mac not in port.macs
            and one.agent is None
            and one.network
            and one.mac not in port.other_macs
        )
        if not others:
            yield Check(id="guard", subject=port.guest, ok=None, detail="nobody else is there to be attacked")
            continue
        parties = _parties(site, inside, _hearing(site, others))
        shown = tuple(one for one in others if one.mac in {parties.other.mac, parties.router.mac})
        where = probe_domain.hosts[host.name]
        yield attack_from(
            AttackedPort(
                port=port,
                host=where,
                inside=inside,
                others=shown,
                parties=parties,
                snoops=is_snooped(host, nics[port.name]) or _snoops_somewhere(site, inside.network),
            )
        )


def is_snooped(host: Host, nic: GuestNic) -> bool:
    """Whether the file has the NIC's bridge send multicast to those alone who asked for it."""
    bridge = host.bridges.get(nic.bridge) if nic.bridge else None
    return bridge is not None and bool(bridge.snooping)


def _snoops_somewhere(site: Site, network: str | None) -> bool:
    """Whether a bridge of any host on a network does so: the others may be behind it."""
    bridges = ((host, bridge) for host in site.hosts.values() for bridge in host.bridges.values() if bridge.snooping)
    return any(found.name == network for host, each in bridges if (found := site.network_of_link(host, each.name)))


def _inside(port: GuardedPort, probe_domain: ProbeDomain) -> ProbeAttachment | None:
    return next((one for one in probe_domain.attachments.get(port.guest, ()) if one.mac in port.macs), None)


def _hearing(site: Site, others: Sequence[ProbeAttachment]) -> list[ProbeAttachment]:
    """First those to whom a bridge floods what is for a MAC that it does not know."""
    nics = (nic for guest in site.guests.values() for nic in guest.nics)
    told = {nic.mac for nic in nics if nic.guarding.fdb == "static"}
    return sorted(others, key=lambda one: one.mac in told)


def _parties(site: Site, inside: ProbeAttachment, others: Sequence[ProbeAttachment]) -> Parties:
    network = site.networks.get(inside.network or "")
    gateways = network.gateways if network is not None else ()
    router = next((one for one in others if {a.ip for a in one.addresses} & set(gateways)), None)
    mac = router.mac if router is not None else ROUTER
    played = [*gateways, *(a.ip for a in (router.addresses if router is not None else ()))]
    other = next((one for one in others if one is not router), others[0])
    return Parties(
        me=_party(inside.mac, [a.ip for a in inside.addresses]),
        other=_party(other.mac, [a.ip for a in other.addresses]),
        router=_party(mac, played),
    )


def _party(mac: Mac, addresses: Iterable[IpAddress]) -> Party:
    four: IPv4Address = ABSENT4
    six: IPv6Address = ABSENT6
    for address in addresses:
        if isinstance(address, IPv4Address):
            four = address if four is ABSENT4 else four
        elif not address.is_link_local:
            six = address if six is ABSENT6 else six
    return Party(mac=mac, ip4=four, ip6=six, local=link_local(mac))


def attack_from(stand: AttackedPort) -> Check:
    """Send every kind of frame by the port, and judge what arrived at the others and what the bridge learned."""
    hostile = [one for one in ATTACKS if _is_forbidden(one, stand.port) and stand.is_seen(one)]
    legitimate = [one for one in LEGITIMATE if _can_be_sent(one, stand.parties) and stand.is_seen(one)]
    if stand.port.guarding.nested:
        _send(stand, [_guests_inside(stand.port.guarding.nested)])
    got_through = [one.name for one, arrived in _send(stand, hostile) if arrived]
    learned = _learned(stand)
    lost = [one.name for one, arrived in _send(stand, legitimate) if not arrived]
    if legitimate and len(lost) == len(legitimate):
        words = f"guard {stand.port.guarding.level}: none of {len(lost)} kinds of legitimate frames passed, "
        words += "so that nothing can be said of hostile ones"
        return Check(id="guard", subject=stand.port.guest, ok=False, detail=words)
    known = unseen_frames(stand.port.guarding) if stand.port.by_flows else {}
    untold = [name for name in got_through if name in known]
    got_through = [name for name in got_through if name not in known]
    stopped = len(hostile) - len(got_through) - len(untold)
    words = f"guard {stand.port.guarding.level}: {stopped} of {len(hostile)} kinds of hostile "
    words += f"frames stopped, {len(legitimate) - len(lost)} of {len(legitimate)} kinds of legitimate ones passed"
    for what, names in (("not stopped", got_through), ("lost", lost)):
        words += f"; {what}: {', '.join(names)}" if names else ""
    words += f"; OpenFlow cannot tell (plan says why): {', '.join(untold)}" if untold else ""
    words += "; its bridge snoops multicast, of which nothing can be told" if stand.snoops else ""
    words += f"; the bridge learned {', '.join(learned)} at its port" if learned else ""
    return Check(id="guard", subject=stand.port.guest, ok=not (got_through or lost or learned), detail=words)


def _is_multicast(frame: bytes) -> bool:
    return bool(frame[0] & 1) and frame[:6] != b"\xff" * 6


def _guests_inside(number: int) -> Sample:
    """So many guests inside have spoken, and none is left to be learned: an attacker is one too many."""

    def frames(p: Parties) -> Iterable[bytes]:
        for count in range(number):
            mac = b"\x02\0\x5e\x11" + count.to_bytes(2, "big")
            yield b.arp(mac, 1, mac, b.UNSPECIFIED4, p.me.ip4)

    return Sample("guests inside", frames, "")


def _is_forbidden(sample: Sample, port: GuardedPort) -> bool:
    """Whether this guard must stop it: not what the guest may do, and not what only its addresses would tell."""
    permissions = port.guarding.may | ({"group"} if port.guarding.routers else set())
    if sample.permission and sample.permission in permissions:
        return False
    return port.guarding.level is GuardLevel.STRICT or not sample.by_address


def _can_be_sent(sample: Sample, parties: Parties) -> bool:
    """Whether the guest and the other have the addresses that such a frame has in it."""
    absent = {ABSENT4.packed, ABSENT6.packed}
    if not any(one in absent for party in (parties.me, parties.other) for one in (party.ip4.packed, party.ip6.packed)):
        return True
    return not any(some in frame for frame in sample.frames(parties) for some in absent)


def _send(stand: AttackedPort, samples: Sequence[Sample]) -> list[tuple[Sample, bool]]:
    """Each sample, and whether a frame of it (of a legitimate one: every frame) arrived at somebody else's."""
    must_pass = [one for one in LEGITIMATE if _can_be_sent(one, stand.parties) and stand.is_seen(one)]
    frames_of = [[b.numbered(frame, n) for frame in one.frames(stand.parties)] for n, one in enumerate(samples)]
    with sending(stand.inside, stand.others, [x for one in must_pass for x in one.frames(stand.parties)]) as sender:
        for place, (sample, frames) in enumerate(zip(samples, frames_of, strict=True)):
            frames_of[place] = [frame for frame in frames if sender.send(frame)]
            for frame in sample.rest(stand.parties) if sample.rest is not None else ():
                sender.send(b.numbered(frame, place))
            sender.wait()
        made = list(zip(samples, frames_of, strict=True))
        sender.finish([frame for one, frames in made if one.reason is None for frame in frames])
        return [(one, (any if one.reason else all)(map(sender.has_arrived, frames))) for one, frames in made]


def _learned(stand: AttackedPort) -> list[str]:
    """MACs of others that the bridge believes to be behind the port."""
    entries = read_fdb(stand.host)
    own = set(stand.port.every_mac)
    inside = "02:00:5e:11:" if stand.port.guarding.nested else "none"
    return sorted(
        entry.mac
        for entry in entries
        if entry.port == stand.port.name and entry.mac not in own and not entry.mac.startswith(inside)
    )
