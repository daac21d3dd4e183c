"""Whether somebody on the wire has an address already that a plan is to add: asked before anything is changed.

By ARP probe (RFC 5227: three in a row, a second apart, from no address) and by neighbour solicitation for IPv6 (RFC
4862, 5.4, asks once and waits a second). All addresses are asked at once, so it takes the same time for any number, and
none where no address is new, such as for one that moves from a NIC to its bridge.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_interface

from msgspec import Struct

from bascule.apply.prepare import PreparedPlan
from bascule.errors import BasculeError, Place, Problem
from bascule.frames.vendors import hypervisor, maker, virtual_gateway
from bascule.model.values import IfName, IpInterface, Mac
from bascule.plan.change import Note
from bascule.plan.guest_ports import wires_of
from bascule.probe.domain import ProbeAttachment
from bascule.probe.question import Protocol, Question
from bascule.system.net.fdb import read_fdb
from bascule.system.net.netns import Namespace

EVERY_S = 1.0  # RFC 5227's PROBE_MIN
NO_WIRE = "{} has no wire yet"
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
    had = {a.ip.partition("/")[0] for link in observed.links.values() for a in link.addresses}
    for name, link in wanted.links.items():
        for address in link.addresses:
            if address.ip.partition("/")[0] in had or address.is_link_local or address.dynamic or name == "lo":
                continue
            declared = next((of[name] for of in (host.nics, host.bridges, host.bonds, host.vlans) if name in of), None)
            place = declared.place if declared is not None else None
            yield NewAddress(ip_interface(address.ip), name, _asked_on(prepared, name), place)


def _asked_on(prepared: PreparedPlan, name: IfName) -> IfName | None:
    """The link itself, or, for a bridge that is only to be made, the NIC that will be its uplink."""
    below = sorted(wires_of(prepared.wanted, name, prepared.host.nics))
    ports = [port for port in below if (link := prepared.wanted.links.get(IfName(port))) and link.master == name]
    for candidate in (name, *ports):
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
        words = f"nobody was asked yet whether {', '.join(addresses)} {'is' if len(addresses) == 1 else 'are'} taken: "
        words += (
            f"apply asks on {asked_on} first" if asked_on else f"{NO_WIRE.format(link)}, so apply cannot ask either"
        )
        notes.append(Note(kind="warning", subject=link, text=words))
    return tuple(notes)


def refuse_taken(prepared: PreparedPlan) -> tuple[str, ...]:
    """Ask for every new address; what could not be asked, a line for each. Raises BasculeError where one is taken."""
    new = list(new_addresses(prepared))
    if (asked := [(one, one.asked_on) for one in new if one.asked_on is not None]) and (
        problems := tuple(_problems(prepared, asked))
    ):
        raise BasculeError(*problems)
    lost = [one for one in new if one.asked_on is None and _has_wires(prepared, one.link)]
    return tuple(f"nobody could be asked whether {x.address.ip} is taken: {NO_WIRE.format(x.link)}" for x in lost)


def _problems(prepared: PreparedPlan, asked: list[tuple[NewAddress, IfName]]) -> Iterator[Problem]:
    from bascule.probe.ask import ask

    links = prepared.observed.links
    with Namespace.current() as here:
        questions = [
            Question(
                source=ProbeAttachment(endpoint="this host", namespace=here, link=link, mac=links[link].mac or Mac("")),
                protocol=Protocol.ARP,
                address=one.address.ip,
                patience_s=WAIT_S,
                every_s=EVERY_S,
            )
            for one, link in asked
        ]
        answers = ask(questions)
    for (one, link), answer in zip(asked, answers, strict=True):
        if answer.ok and answer.mac is not None:
            yield Problem(
                code="ADDRESS-TAKEN",
                message=f"{one.address.ip} is to be added to {one.link}, but {answer.mac} has it: "
                f"it answered on {link}{_who(prepared, answer.mac)}",
                place=one.place,
                hint="choose a free address, or take this one from that machine first",
            )


def _who(prepared: PreparedPlan, mac: Mac) -> str:
    """What is known of a MAC: whose NIC it is, who made it, and where the bridges have heard it."""
    guest = next((f"guest {nic.guest}" for nic in prepared.site.guest_nics(prepared.host.name) if nic.mac == mac), "")
    router = virtual_gateway(mac)
    made = f"{router.protocol} group {router.group}" if router else hypervisor(mac) or maker(mac)
    heard = [f"{entry.bridge} has heard it on {entry.port}" for entry in read_fdb() if entry.mac == mac]
    words = [word for word in (guest, made, *heard[:1]) if word]
    return f" ({', '.join(words)})" if words else ""
