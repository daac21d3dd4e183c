"""The NICs that the file names and this machine does not have: missing, renamed, or another card under the name."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.host_links import Nic
from bascule.model.links import Physical, Veth
from bascule.model.state import HostState, Link
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Each declared NIC that is not there, or that is another one than its MAC says."""
    host = facts.declared
    if host is None or facts.state is None:
        return
    known = {nic.mac for nic in host.nics.values()}
    spare = [x for x in _hardware(facts.state) if x.name not in host.nics and x.hardware_mac not in known]
    for nic in host.nics.values():
        link = facts.state.links.get(nic.name)
        holder = next((x for x in _hardware(facts.state) if nic.mac is not None and x.hardware_mac == nic.mac), None)
        if link is None:
            yield _missing(nic, holder, spare)
        elif nic.mac is not None and link.hardware_mac != nic.mac:
            where = f"; that MAC is {holder.name}'s" if holder is not None else ", and no link here has that MAC"
            yield Finding(
                id="nic",
                severity=Severity.PROBLEM,
                subject=str(nic.name),
                text=f"it is another NIC: its MAC is {link.hardware_mac}, the file says {nic.mac}{where}",
                evidence=(f"ip link show {nic.name}",),
                fix=_fix(nic, holder),
            )


def _missing(nic: Nic, holder: Link | None, spare: list[Link]) -> Finding:
    if holder is not None:
        text = f"the file's {nic.name} ({nic.mac}) is called {holder.name} here: it was renamed"
    elif nic.mac is not None:
        text = f"it is not there, and no link here has its MAC {nic.mac}: the card is gone, or its driver is not loaded"
    else:
        text = "it is not there, and the file gives no mac: to know it by under another name"
    seen = tuple(
        f"{link.name} {link.hardware_mac} is here and not in the file" for link in ([holder] if holder else spare)
    )
    return Finding(
        id="nic", severity=Severity.PROBLEM, subject=str(nic.name), text=text, evidence=seen, fix=_fix(nic, holder)
    )


def _fix(nic: Nic, holder: Link | None) -> str:
    if holder is not None:
        return (
            f"write {holder.name} for {nic.name} in the site file, or give the card its name back: a .link file of "
            f"systemd-udevd with [Match] PermanentMACAddress={nic.mac} and [Link] Name={nic.name}"
        )
    return "correct the name in the site file, or the `mac:`; `bascule survey` tells which NIC is on which network"


def _hardware(state: HostState) -> list[Link]:
    """NICs, and cables that stand for them in namespaces."""
    return [link for link in state.links.values() if isinstance(link.options, Physical | Veth) and link.mac]
