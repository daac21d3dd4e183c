"""The guests of a host and their taps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bascule.draw.scene import grouping
from bascule.draw.scene.builder import SceneBuilder
from bascule.draw.scene.compare import Comparison, SeenHost, compare
from bascule.draw.scene.elements import (
    FDB_WORDS,
    GUARD_WORDS,
    Kind,
    Layer,
    LinkState,
    Node,
    Presence,
    guest_id,
    link_id,
)
from bascule.model.guarding import GuardLevel
from bascule.model.site import Guest, GuestNic, Host, MachineNic, Site
from bascule.model.state import HostState, Link
from bascule.model.values import Service, human, span_words
from bascule.policy.guards.ports import is_guarded

FEW = 3  # addresses of a guest that are drawn where there is little room


def add_guests(
    builder: SceneBuilder,
    site: Site,
    host: Host,
    groups: Iterable[Sequence[Guest]],
    observed: SeenHost | None,
    declared: HostState,
) -> None:
    """Add the guests to the scene; alike ones that the host shows in different states stand apart again.

    Each tap is wired as ``declared`` has it, the graph's links of the host.
    """
    for group in groups:
        by_look: dict[object, list[Guest]] = {}
        for guest in group:
            looks = [compare(observed, nic.tap) for nic in guest.nics]
            by_look.setdefault(
                tuple((look.presence, look.state, look.isolated, bool(look.drift)) for look in looks), []
            ).append(guest)
        for members in by_look.values():
            _add_guest(builder, site, host, members, observed, declared)


def _add_guest(
    builder: SceneBuilder,
    site: Site,
    host: Host,
    members: Sequence[Guest],
    observed: SeenHost | None,
    declared: HostState,
) -> None:
    guest = members[0]
    many = len(members) > 1
    looks = [compare(observed, nic.tap) for nic in guest.nics]
    absent = bool(looks) and all(look.presence is Presence.WANTED for look in looks)
    seen = observed is not None and bool(looks)
    addresses = _addresses(members)
    networks = {network.name if (network := site.network_of(nic)) else None for nic in guest.nics}
    builder.add(
        Node(
            id=guest_id(guest.name),
            layer=Layer.GUEST,
            kind=Kind.GUEST,
            label=f"{grouping.span([m.name for m in members])} ×{len(members)}" if many else guest.name,
            notes=(*addresses, *service_notes(guest.serves)),
            brief=tuple(
                addresses if len(addresses) <= FEW else [*addresses[: FEW - 1], f"+{len(addresses) - FEW + 1}"]
            ),
            details=_details(members),
            host=host.name,
            network=networks.pop() if len(networks) == 1 else None,
            presence=Presence.WANTED if absent else Presence.PRESENT if seen else Presence.DECLARED,
            members=tuple(m.name for m in members) if many else (),
        )
    )
    for place, nic in enumerate(guest.nics):
        taps = [member.nics[place].tap for member in members]
        _add_tap(builder, site, host, nic, looks[place], taps, observed, declared.links[nic.tap])


def _addresses(members: Sequence[Guest]) -> list[str]:
    """Every address of a guest; of many alike, for each NIC the first guest's first, and how many more there are."""
    if len(members) == 1:
        return [words for nic in members[0].nics for words in address_notes(nic)]
    notes = []
    for place in range(len(members[0].nics)):
        first, *rest = [words for guest in members for words in address_notes(guest.nics[place])] or [""]
        more = [words for words in rest if words != first]
        notes += [f"{first} +{len(more)}" if more else first] if first else []
    return notes


def address_notes(nic: GuestNic | MachineNic) -> list[str]:
    """The addresses of a NIC, and ``dhcp`` where it asks for one."""
    return [address.ip.compressed for address in nic.addresses] + (["dhcp"] if nic.dhcp else [])


def service_notes(services: Sequence[Service]) -> list[str]:
    """At most two lines: more services are counted, and stand in the details."""
    words = [str(service) for service in services]
    return words if len(words) <= 2 else [words[0], f"+{len(words) - 1} services"]


def _details(members: Sequence[Guest]) -> tuple[str, ...]:
    details = ["serves " + " ".join(str(service) for service in members[0].serves)] if members[0].serves else []
    for guest in members:
        prefix = f"{guest.name}: " if len(members) > 1 else ""
        if guest.memory and not prefix:
            details.append(f"memory {human(guest.memory)}")
        for nic in guest.nics:
            words = [str(address) for address in nic.addresses] + (["dhcp"] if nic.dhcp else [])
            details.append(f"{prefix}{nic.tap} on {nic.into}: MAC {nic.mac}" + "".join(f", {w}" for w in words))
    return tuple(details)


MOST_VLANS = 4


def vlan_words(words: Sequence[str]) -> str:
    """``VLAN 10,20-29``: at most so many of them, and how many more there are."""
    more = f" +{len(words) - MOST_VLANS}" if len(words) > MOST_VLANS else ""
    return f"VLAN {','.join(words[:MOST_VLANS])}{more}" if words else ""


def _vlans(nic: GuestNic) -> str:
    """``VLAN 10``, ``VLAN 10-19,30``; the native one of a trunk stands first."""
    words = [span_words(*span) for span in nic.vlans]
    if nic.vlan is not None:
        words.insert(0, f"{nic.vlan} native" if nic.vlans else str(nic.vlan))
    return vlan_words(words)


def _guard_details(nic: GuestNic) -> list[str]:
    guarding = nic.guarding
    words = [GUARD_WORDS[guarding.level]]
    also = [*map(str, guarding.also), *(f"{one.protocol} {one.group}" for one in guarding.routers)]
    words += [f"also {', '.join(also)}"] if also else []
    words += [FDB_WORDS] if guarding.fdb == "static" else []
    return words + ([f"may {', '.join(sorted(guarding.may))}"] if guarding.may else [])


def _add_tap(
    builder: SceneBuilder,
    site: Site,
    host: Host,
    nic: GuestNic,
    look: Comparison,
    taps: Sequence[str],
    observed: SeenHost | None,
    declared: Link,
) -> None:
    network = site.network_of(nic)
    name = network.name if network and not nic.vlans else None
    direct = nic.shared_nic is not None
    vlans = _vlans(nic)
    details = [f"MAC {nic.mac} (the guest's)"]
    if vlans:
        details.append(("trunk with " if nic.vlans else "access to ") + vlans)
    if is_guarded(nic):
        details += _guard_details(nic)
    node = Node(
        id=link_id(host.name, nic.tap),
        layer=Layer.TAP,
        kind=Kind.MACVTAP if direct else Kind.TAP,
        label=nic.tap if len(taps) == 1 else f"{len(taps)} taps",
        notes=tuple(words for words in ("macvtap" if direct else "", vlans) if words),
        details=(*details, *look.details),
        host=host.name,
        network=name,
        presence=look.presence,
        state=look.state if look.presence is not Presence.WANTED else LinkState.UNKNOWN,
        guard=nic.guarding.level if is_guarded(nic) else GuardLevel.OFF,
        static_fdb=nic.guarding.fdb == "static",
        isolated=look.isolated,
        drift=look.drift,
        members=tuple(taps) if len(taps) > 1 else (),
    )
    builder.add(node)
    for tap in taps[1:]:
        builder.aliases[link_id(host.name, tap)] = node.id
    there = Presence.PRESENT if look.presence is Presence.DRIFTED else look.presence  # what drifted is the other end
    builder.wire(guest_id(nic.guest), node.id, network=name, presence=there)
    end = link_id(host.name, str(declared.master or declared.parent or nic.into))  # a mirror's copies are no frames
    into = builder.aliases.get(end, end)
    link = observed.state.links.get(nic.tap) if observed else None
    actual = None
    if look.misplaced and link is not None and (link.master or link.parent):
        actual = link_id(host.name, str(link.parent if direct else link.master))
    moved = actual is not None and builder.aliases.get(actual, actual) != into
    builder.wire(node.id, into, network=name, presence=Presence.WANTED if look.misplaced else there, state=look.state)
    if moved and actual is not None:
        builder.wire(node.id, builder.aliases.get(actual, actual), presence=Presence.DRIFTED, state=look.state)
