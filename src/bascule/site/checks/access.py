"""Expectations and masquerades: their names lead somewhere, and asking them proves something."""

from __future__ import annotations

from collections.abc import Iterable

from bascule.model.values import Service
from bascule.site import document as d
from bascule.site.checks.networks import known_network
from bascule.site.findings import Path
from bascule.site.groups import SECTIONS, Pair, is_endpoint, is_group, members, pairs, unknown_name
from bascule.site.wiring import DocumentWiring, SpeakerNic


def check_access(wiring: DocumentWiring) -> None:
    """Each expectation by itself, then against the others; each masquerade."""
    for path, entry in wiring.checked.expectations():
        known = [
            _known(wiring, name, (*path, key))
            for key, names in (("from", entry.from_), ("to", entry.to))
            for name in names
        ]
        if all(known):
            _alone(wiring, entry, path)
        _seen_as(wiring, entry, path)
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in questions(wiring):
        _provable(wiring, pair)
        groups.setdefault((pair.source, pair.target), []).append(pair)
    for group in groups.values():
        _against(wiring, group)
    for name, machine in wiring.document.machines.items():
        if machine.masquerade:
            _masquerade(wiring, name, machine.masquerade)


def _alone(wiring: DocumentWiring, entry: d.Expect, path: Path) -> None:
    """An expectation of known names asks somebody about somebody else."""
    ends = [{one for name in names for one in members(wiring, name)} for names in (entry.from_, entry.to)]
    for key, names, end in (("from", entry.from_, ends[0]), ("to", entry.to, ends[1])):
        if not end and not any(_partly_broken(wiring, name) for name in names):
            message = f"{_listed(names)} matches nobody in this file"
            wiring.found.add("EXPECT-EMPTY", message, (*path, key), hint="name somebody, or remove the expectation")
    if ends[0] == ends[1] and len(ends[0]) == 1:
        message = f"'{min(ends[0])}' is asked whether it reaches itself"
        wiring.found.add("EXPECT-SELF", message, path, hint="name two different ends")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def questions(wiring: DocumentWiring) -> list[Pair]:
    """The questions; of a group that a port must not reach, those members that serve it, unless none does."""
    known = {name for section in SECTIONS for name in getattr(wiring.document, section)}
    found = [
        pair for pair in pairs(wiring) if pair.source != pair.target and known.issuperset((pair.source, pair.target))
    ]
    served = [_is_question(wiring, pair) for pair in found]
    some = {pair.path for pair, is_served in zip(found, served, strict=True) if is_served}
    return [pair for pair, is_served in zip(found, served, strict=True) if is_served or pair.path not in some]


def _is_question(wiring: DocumentWiring, pair: Pair) -> bool:
    service = service_of(pair.entry)
    needs_none = "to" not in pair.grouped or pair.entry.verdict == "reach" or not service.first
    return needs_none or _served(wiring, pair.target, service)


def service_of(entry: d.Expect) -> Service:
    """What is asked; icmp if nothing is said."""
    return entry.service or Service("icmp")


def _known(wiring: DocumentWiring, name: str, path: Path) -> bool:
    """Whether the name is an endpoint or a group in the document."""
    return is_group(wiring.document, name) or _endpoint(wiring, name, path)


def _endpoint(wiring: DocumentWiring, name: str, path: Path) -> bool:
    """Whether the name is a host, guest or machine that stands in the document."""
    document = wiring.document
    if is_endpoint(document, name):
        return True
    unknown_name(wiring, name, path)
    return False


def _provable(wiring: DocumentWiring, pair: Pair) -> None:
    """Ends without an address cannot ask or answer; a port that nobody serves never answers, whatever the network."""
    found, entry, path, service = wiring.found, pair.entry, pair.path, service_of(pair.entry)
    for name, key in ((pair.source, "from"), (pair.target, "to")):
        if key not in pair.grouped and not _has_address(wiring, name) and not _partly_broken(wiring, name):
            verb = "ask" if key == "from" else "answer"
            found.add(
                "EXPECT-SILENT",
                f"'{name}' has no address in this file, so it cannot {verb}",
                (*path, key),
                hint="give one of its NICs an address, or remove the expectation",
                also=[(f"'{name}'", _where(wiring, name))],
            )
    if service.first and not _served(wiring, pair.target, service) and not _partly_broken(wiring, pair.target):
        outcome = "'reach' would always fail" if entry.verdict == "reach" else "'no-reach' would prove nothing"
        served = ", ".join(str(s) for s in _serves(wiring, pair.target)) or "nothing"
        found.add(
            "EXPECT-SERVICE",
            f"'{pair.target}' does not serve {service}, so {outcome}",
            (*path, "service"),
            hint=f"it serves {served}; add '{service}' to its 'serves', or ask for another port",
            also=[(f"'{pair.target}'", _where(wiring, pair.target))],
        )
    _past_macvtap(wiring, pair)
    if service.protocol == "arp" and entry.verdict == "reach" and _apart(wiring, pair.source, pair.target):
        found.add(
            "EXPECT-SERVICE",
            f"'{pair.source}' and '{pair.target}' share no network, and ARP never leaves one",
            (*path, "service"),
            hint="ask for icmp or a port instead",
        )


def _past_macvtap(wiring: DocumentWiring, pair: Pair) -> None:
    """Macvtap hands no frames between a host and its guest; only another NIC, round the switch, does."""
    document = wiring.document
    both = ((pair.source, pair.target), (pair.target, pair.source))
    host, name = next(((h, g) for h, g in both if h in document.hosts and g in document.guests), (None, None))
    if host is None or name is None or pair.entry.verdict != "reach" or document.guests[name].host != host:
        return
    shared = {nic.direct for nic in document.guests[name].nics}
    own = {f.path[3] for f in wiring.by_owner.get(host, ()) if f.addresses or f.dhcp}
    if None not in shared and own and own <= shared:
        wiring.found.add(
            "EXPECT-MACVTAP",
            f"'{pair.source}' and '{pair.target}' share NIC {' and '.join(map(str, shared))} through macvtap, "
            "which passes nothing between a host and its guest",
            pair.path,
            hint="plug the guest into a bridge, or give the host an address on another NIC",
            also=[("the guest", ("guests", name))],
        )


def _partly_broken(wiring: DocumentWiring, name: str) -> bool:
    return any(p[:2] in {(section, name) for section in SECTIONS} for p in wiring.found.broken)


def _where(wiring: DocumentWiring, name: str) -> Path:
    return next((section, name) for section in SECTIONS if name in getattr(wiring.document, section))


def _has_address(wiring: DocumentWiring, name: str) -> bool:
    def has_address(speaker: SpeakerNic) -> bool:
        virtual = (
            speaker.path[2] == "virtual_networks" and speaker.segment is not None and bool(speaker.segment.subnets)
        )
        return bool(speaker.addresses) or speaker.dhcp is not None or speaker.unwritten or virtual

    return any(has_address(speaker) for speaker in wiring.by_owner.get(name, ()))


def _apart(wiring: DocumentWiring, one: str, other: str) -> bool:
    segments = [[speaker.segment for speaker in wiring.by_owner.get(name, ())] for name in (one, other)]
    if None in segments[0] or None in segments[1]:
        return False  # something stands on a wire that the file does not know
    keys = [{segment.key for segment in each if segment} for each in segments]
    return not keys[0] & keys[1]


def _serves(wiring: DocumentWiring, name: str) -> tuple[Service, ...]:
    entry = getattr(wiring.document, str(_where(wiring, name)[0]))[name]
    services: tuple[Service, ...] = entry.serves
    if isinstance(entry, d.Host):  # a forwarded port is answered for the guest behind it
        forwards = [f for virtual in entry.virtual_networks.values() for f in virtual.forwards]
        services += tuple(Service(f.service.protocol, f.host, f.host) for f in forwards)
    elif isinstance(entry, d.Machine) and entry.dhcp is not None:  # its dnsmasq answers for both
        services += (Service("udp", 53, 53), Service("tcp", 53, 53), Service("udp", 67, 67))
    return services


def _served(wiring: DocumentWiring, name: str, service: Service) -> bool:
    """Whether every asked port is among the served ones, in one entry or in several."""
    ports: set[int] = set()
    for each in _serves(wiring, name):
        if each.covers(service):
            return True
        if each.protocol == service.protocol:
            ports |= set(range(max(each.first, service.first), min(each.last, service.last) + 1))
    return ports >= set(service.ports)


def _seen_as(wiring: DocumentWiring, entry: d.Expect, path: Path) -> None:
    if entry.seen_as is None:
        return
    where = (*path, "seen_as")
    _endpoint(wiring, entry.seen_as, where)
    if entry.verdict == "no-reach":
        message = "'seen_as' has no meaning with no-reach: nothing arrives that could be seen"
        wiring.found.add("EXPECT-SEEN-AS", message, where, hint="remove it, or expect 'reach'")
    elif service_of(entry).protocol == "arp":
        message = "'seen_as' has no meaning with arp, which is never masqueraded"
        wiring.found.add("EXPECT-SEEN-AS", message, where, hint="remove it")


def _against(wiring: DocumentWiring, group: list[Pair]) -> None:
    for index, pair in enumerate(group):
        path, entry, service = pair.path, pair.entry, service_of(pair.entry)
        for first in group[:index]:
            earlier, other = first.path, first.entry
            if not service.overlaps(service_of(other)):
                continue
            both = f"'{pair.source}' to '{pair.target}'"
            if entry.verdict != other.verdict:
                message = f"{both}, {service}: '{entry.verdict}' contradicts '{other.verdict}' for {service_of(other)}"
            elif entry.seen_as and other.seen_as and entry.seen_as != other.seen_as:
                message = f"{both}, {service}: seen as '{entry.seen_as}' contradicts '{other.seen_as}'"
            elif not (pair.grouped or first.grouped) and (
                service_of(other).covers(service) or service.covers(service_of(other))
            ):
                message = f"{both}, {service}: expected already"
                also = [("the first", earlier)]
                wiring.found.add("EXPECT-REPEATED", message, path, hint="remove one of them", also=also)
                break
            else:
                continue
            also = [("the first", earlier)]
            wiring.found.add("EXPECT-CONTRADICTION", message, path, hint="remove the wrong one", also=also)
            break


def _masquerade(wiring: DocumentWiring, name: str, entry: d.Masquerade) -> None:
    document, found = wiring.document, wiring.found
    path: Path = ("machines", name, "masquerade")
    speakers = wiring.by_owner.get(name, [])
    stands_on = {speaker.segment.network for speaker in speakers if speaker.segment and speaker.segment.network}
    if known_network(wiring, entry.to, (*path, "to")) and entry.to not in stands_on:
        message = f"machine '{name}' masquerades to network '{entry.to}', on which it has no NIC"
        found.add("MASQUERADE", message, (*path, "to"), hint=_nic_hint(stands_on))
    inside = stands_on - {entry.to}
    for index, source in enumerate(entry.from_):
        where = (*path, "from", index)
        if source in document.networks:
            on: set[str | None] = {source}
        elif is_endpoint(document, source):
            on = _networks_of(wiring, source)
        else:
            unknown_name(wiring, source, where, networks=True)
            continue
        if source == name or source == entry.to:
            message = f"machine '{name}' masquerades '{source}', which is already outside"
            found.add("MASQUERADE", message, where, hint="name who is inside")
        elif None not in on and not on & inside:
            message = f"machine '{name}' masquerades '{source}', but has no NIC on its network"
            found.add("MASQUERADE", message, where, hint=_nic_hint(inside))


def _nic_hint(networks: set[str]) -> str:
    return f"it stands on {', '.join(sorted(networks))}" if networks else "give it a NIC there"


def _networks_of(wiring: DocumentWiring, name: str) -> set[str | None]:
    """The networks of the building from which an endpoint's packets come; None for a wire that is not known."""
    networks: set[str | None] = set()
    for speaker in wiring.by_owner.get(name, ()):
        if speaker.segment is not None and speaker.segment.key[0] == "virtual":
            if speaker.kind == "guests":  # behind the host, which passes it on
                networks |= _networks_of(wiring, speaker.segment.key[1])
        elif speaker.segment is None or not speaker.segment.closed:
            networks.add(speaker.segment.network if speaker.segment else None)
    return networks
