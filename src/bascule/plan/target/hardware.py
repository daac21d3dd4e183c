"""Which link of the host is the NIC that the file means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from bascule.errors import BasculeError, Problem
from bascule.model.host_links import Nic
from bascule.model.site import Host
from bascule.model.state import DIES_WITH_ITS_PARENT, HostState, Link
from bascule.model.values import Mac

_BUSES = {"pci", "platform"}  # whose names are the whole of an ID_PATH; of virtio or USB it is the card's above them


def find_nics(host: Host, observed: HostState) -> None:
    """See that every declared NIC is there under its name, and is the pinned hardware.

    Raises BasculeError with all that are missing, and with the name under which a pinned one goes now.
    """
    by_mac = hardware_by_mac(observed)
    problems = [problem for nic in host.nics.values() if (problem := _problem(nic, observed, by_mac)) is not None]
    if (
        len(problems) > 1
        and {problem.code for problem in problems} == {"NIC-MISSING"}
        and len(problems) == len(host.nics)
    ):
        names = ", ".join(host.nics)
        raise BasculeError.of(
            "HOST-OTHER",
            f"this is not '{host.name}': none of its NICs is here ({names})",
            place=host.place,
            hint=f"{_have(observed)}; run it on {host.name}, or try it on a twin with 'bascule rehearse'",
        )
    if problems:
        raise BasculeError(*problems)


def _problem(nic: Nic, observed: HostState, by_mac: Mapping[Mac, Sequence[Link]]) -> Problem | None:
    link = observed.links.get(nic.name)
    pinned = pinned_link(nic, observed, by_mac)
    if pinned is not None and pinned.name != nic.name:
        pin = nic.mac or nic.path
        return Problem(
            code="NIC-RENAMED",
            message=f"the NIC with {pin} is called '{pinned.name}' on this host, not '{nic.name}'",
            place=nic.place,
            hint=f"write '{pinned.name}' in the file, or pin the old name with a .link file (systemd.link(5))",
        )
    if link is None and (other := next((x.name for x in observed.links.values() if nic.name in x.altnames), "")):
        return Problem(
            code="NIC-RENAMED",
            message=f"'{nic.name}' is another name of the NIC '{other}' on this host (altname, ip-link(8))",
            place=nic.place,
            hint=f"write '{other}' in the file",
        )
    if link is None:
        return Problem(
            code="NIC-MISSING",
            message=f"this host has no NIC '{nic.name}'",
            place=nic.place,
            hint=f"{_have(observed)}; is this the host that the file means?",
        )
    if pinned is not None or not (nic.mac or nic.path):
        return None
    if not nic.mac and link.facts.bus.partition("/")[0] not in {"", *_BUSES}:
        return None  # of what it is below, the kernel's list of links does not tell
    has, pin, was = f"has MAC {link.hardware_mac}", nic.mac, "the card replaced? then write its new MAC into the file"
    if not nic.mac:
        has, pin = f"sits at {_slot(link) or 'no bus'}", nic.path
        was = "the card moved, or another put in before it? then write where it sits now, or pin its MAC instead"
    return Problem(
        code="NIC-OTHER",
        message=f"'{nic.name}' {has} on this host, the file pins {pin}",
        place=nic.place,
        hint=f"was {was}",
    )


def _have(observed: HostState) -> str:
    names = sorted(link.name for link in observed.links.values() if link.options.kind in {"", "veth"})
    return f"it has: {', '.join(names) or 'none'}"


def hardware_by_mac(observed: HostState) -> Mapping[Mac, Sequence[Link]]:
    """The links that may be hardware, by the MAC that they were made with."""
    found: dict[Mac, list[Link]] = {}
    for link in filter(_may_be_hardware, observed.links.values()):
        mac = link.mac if link.facts.permanent_mac is None else link.facts.permanent_mac
        if mac is not None:
            found.setdefault(mac, []).append(link)
    return found


def pinned_link(nic: Nic, observed: HostState, by_mac: Mapping[Mac, Sequence[Link]]) -> Link | None:
    """The link that is the hardware which the file pins, whatever it is called; None where it is not here.

    Of several with one MAC it is the one that the file names, if it is among them, else one of hardware: bridges,
    bonds, VLANs and others that sit on a NIC wear its MAC.
    """
    found = list(by_mac.get(nic.mac, ())) if nic.mac is not None else []
    if nic.path is not None:
        there = filter(_may_be_hardware, observed.links.values())
        found += [link for link in there if fnmatchcase(_slot(link), nic.path)]  # as in a .link file, a pattern
    return min(found, key=lambda link: (link.name != nic.name, link.options.kind != ""), default=None)


def _slot(link: Link) -> str:
    """Where a NIC sits, as udev's ID_PATH says it of a card (systemd.net-naming-scheme(7))."""
    return link.facts.bus.replace("/", "-", 1)


def _may_be_hardware(link: Link) -> bool:
    return link.options.kind not in {"bridge", "bond"} | DIES_WITH_ITS_PARENT
