"""Whether somebody on the wire has an address already that a plan is to add: asked before anything is changed.

By ARP probe (RFC 5227: three in a row, a second apart, from no address) and by neighbour solicitation for IPv6 (RFC
4862, 5.4, asks once and waits a second). All addresses are asked at once, so it takes the same time for any number, and
none where no address is new, such as for one that moves from a NIC to its bridge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from typing import TypeVar

from msgspec import Struct

from bascule.apply.prepare import PreparedPlan
from bascule.errors import BasculeError, Place, Problem
from bascule.frames.vendors import hypervisor, maker, virtual_gateway
from bascule.model.links.bond import Bond
from bascule.model.state import Address, HostState
from bascule.model.values import IfName, IpAddress, IpInterface, Mac
from bascule.observe.bridge_tables import read_fdb
from bascule.plan.change import Note
from bascule.plan.guest_ports import wires_of
from bascule.probe.control_addresses import controls
from bascule.probe.domain import ProbeAttachment
from bascule.probe.question import Protocol, Question
from bascule.system.net.netns import Namespace

T = TypeVar("T")
EVERY_S = 1.0  # RFC 5227's PROBE_MIN
NO_WIRE = "{} has no carrier yet"
WAIT_S = 4.0  # three probes, and its ANNOUNCE_WAIT of 2 s after the last one


class NewAddress(Struct, frozen=True):
    """An address that a plan adds, and the link by which its wire is asked; None where nobody can be asked yet."""

    address: IpInterface
    link: IfName
    asked_on: IfName | None
    place: Place | None


def new_addresses(prepared: PreparedPlan) -> Iterator[NewAddress]:
    """The addresses that are on no link of the host yet."""
    observed, wanted, host = prepared.observed, prepared.wanted, prepared.host
    had = {a.local for link in observed.links.values() for a in link.addresses}
    for name, link in wanted.links.items():
        for address in link.addresses:
            declared = host.link(name)
            written = declared is not None and address.ip in map(str, declared.addresses)
            if address.is_link_local:  # the kernel's own are of the MAC, and each link may have the same one
                is_new = written and all(a.ip != address.ip for a in _before(observed, name))
            else:
                is_new = address.local not in had and not address.dynamic and name != "lo"
            if not is_new:
                continue
            place = declared.place if declared is not None else None
            yield NewAddress(ip_interface(address.ip), name, _asked_on(prepared, name), place)


def _before(observed: HostState, name: IfName) -> tuple[Address, ...]:
    return observed.links[name].addresses if name in observed.links else ()


def _asked_on(prepared: PreparedPlan, name: IfName) -> IfName | None:
    """The link itself, or, for a bridge that is only to be made, the NIC that will be its uplink, or a bond's first."""
    wanted = prepared.wanted.links
    below = [IfName(one) for one in sorted(wires_of(prepared.wanted, name, prepared.host.nics)) if one in wanted]
    ports = [port for port in below if wanted[port].master == name and port not in prepared.host.listeners]
    bonds = [port for port in ports if isinstance(wanted[port].options, Bond)]
    members = [one for one in below if wanted[one].master in bonds]
    for candidate in (name, *ports, *members):
        link = prepared.observed.links.get(IfName(candidate))
        if link is not None and link.up and link.facts.carrier and link.mac is not None:
            return IfName(candidate)
    return None


def _has_wires(prepared: PreparedPlan, link: IfName) -> bool:
    """Whether anybody outside can have an address of a link: not on a bridge without a port, a virtual network's."""
    return not prepared.wanted.links[link].is_bridge or bool(wires_of(prepared.wanted, link, prepared.host.nics))


def asking_notes(prepared: PreparedPlan) -> tuple[Note, ...]:
    """What a plan, which sends nothing, leaves unproven: which new addresses `apply` asks for, and which it cannot."""
    by_link: dict[tuple[IfName, IfName | None], list[str]] = {}
    for one in new_addresses(prepared):
        if one.asked_on is not None or _has_wires(prepared, one.link):
            by_link.setdefault((one.link, one.asked_on), []).append(str(one.address.ip))
    notes = []
    for (link, asked_on), addresses in by_link.items():
        addresses.sort(key=lambda ip: ":" in ip)  # IPv4 first, as people write them
        words = f"not yet checked whether {', '.join(addresses)} {'is' if len(addresses) == 1 else 'are'} taken: "
        words += (
            f"apply asks on {asked_on} first" if asked_on else f"{NO_WIRE.format(link)}, so apply cannot ask either"
        )
        notes.append(Note(kind="warning", subject=link, text=words))
    return tuple(notes)


def refuse_taken(prepared: PreparedPlan) -> tuple[str, ...]:
    """Ask for every new address; what could not be asked, a line for each. Raises BasculeError where one is taken."""
    new = list(new_addresses(prepared))
    taken = list(_answered(prepared, [(x.address.ip, x.asked_on, x) for x in new if x.asked_on is not None]))
    proxied = _proxied(prepared, taken)
    problems = [
        Problem(
            code="ADDRESS-TAKEN",
            message=f"{one.address.ip} is to be added to {one.link}, but {mac} has it: "
            f"it answered on {one.asked_on}{_who(prepared, mac)}",
            place=one.place,
            hint="choose a free address, or remove this one from that machine first",
        )
        for one, mac in taken
        if (one.asked_on, mac) not in proxied
    ]
    if problems:
        raise BasculeError(*problems)
    lost = [one for one in new if one.asked_on is None and _has_wires(prepared, one.link)]
    return (
        *(f"could not check whether {x.address.ip} is taken: {NO_WIRE.format(x.link)}" for x in lost),
        *(
            f"unknown whether {x.address.ip} is taken: {mac} answers on {x.asked_on} for every address (proxy ARP)"
            for x, mac in taken
        ),
    )


def _proxied(prepared: PreparedPlan, taken: Sequence[tuple[NewAddress, Mac]]) -> set[tuple[IfName | None, Mac]]:
    """Who answers for addresses all over a subnet as well, as a provider's router does: that they do says nothing."""
    others = {(one.asked_on, mac): controls(one.address) for one, mac in taken}
    asked = [(address, key[0], (key, address)) for key, some in others.items() for address in some]
    answered = {about for about, mac in _answered(prepared, asked) if about[0][1] == mac}
    return {key for key, some in others.items() if some and all((key, address) in answered for address in some)}


def _answered(prepared: PreparedPlan, asked: Sequence[tuple[IpAddress, IfName | None, T]]) -> Iterator[tuple[T, Mac]]:
    """Ask for addresses, each by a link; what each was about, and the MAC, where somebody answered."""
    if not asked:
        return
    from bascule.probe.ask import ask

    links = prepared.observed.links
    with Namespace.current() as here:
        questions = [
            Question(
                source=ProbeAttachment(endpoint="this host", namespace=here, link=link, mac=links[link].mac or Mac("")),
                protocol=Protocol.ARP,
                address=address,
                patience_s=WAIT_S,
                every_s=EVERY_S,
            )
            for address, link, _ in asked
            if link is not None
        ]
        answers = ask(questions)
    for (_, _, about), answer in zip(asked, answers, strict=True):
        if answer.ok and answer.mac is not None:
            yield about, answer.mac


def _who(prepared: PreparedPlan, mac: Mac) -> str:
    """What is known of a MAC: whose NIC it is, who made it, and where the bridges have heard it."""
    guest = next((f"guest {nic.guest}" for nic in prepared.site.guest_nics(prepared.host.name) if nic.mac == mac), "")
    router = virtual_gateway(mac)
    made = f"{router.protocol} group {router.group}" if router else hypervisor(mac) or maker(mac)
    heard = [f"{entry.bridge} has heard it on {entry.port}" for entry in read_fdb() if entry.mac == mac]
    words = [word for word in (guest, made, *heard[:1]) if word]
    return f" ({', '.join(words)})" if words else ""
