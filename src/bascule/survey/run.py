"""A survey from start to end: of the live NICs, or of capture files; and whether a wire is as the file says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from mmap import mmap

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError, MissingTool, Problem, SiteFault, UsageFault
from bascule.frames.findings import Sender
from bascule.frames.pcap import Capture, NotACapture
from bascule.frames.vendors import hypervisor, maker, prefix
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.providers.observe import observe
from bascule.survey.capture import Progress, listen
from bascule.survey.choose import choose
from bascule.survey.evidence import Collector, NicTraffic
from bascule.survey.verdicts import NicVerdict, Survey, judge
from bascule.system.disk import registry
from bascule.system.net.ethtool import identify
from bascule.topology.loops import loop_problems

Captures = Mapping[str, Sequence[tuple[str, bytes | mmap]]]  # by NIC: each one's name, and its bytes


class SurveyRun(Struct, frozen=True, kw_only=True):
    """The survey, the state before it (None for captures), remarks, and the signal that ended it early (or 0)."""

    survey: Survey
    state: HostState | None = None
    remarks: tuple[str, ...] = ()
    stopped_by: int = 0


def survey_live(
    names: Iterable[str] = (),
    *,
    seconds: float = 30.0,
    site: Site | None = None,
    host: Host | None = None,
    active: bool = False,
    progress: Progress | None = None,
) -> SurveyRun:
    """Listen on this host's NICs and judge. Raises UsageFault, NotPermitted, MissingTool, CommandFailed."""
    state = observe()
    nics, remarks = choose(state, names, host)
    listening = listen(nics, state, seconds=seconds, observe=observe, active=active, progress=progress)
    return SurveyRun(
        survey=judge(listening.heard, site, host, listening.proofs, _makers(listening.heard)),
        state=state,
        remarks=remarks,
        stopped_by=listening.stopped_by,
    )


def gate_live(
    site: Site,
    host: Host,
    wanted: HostState,
    observed: HostState,
    *,
    seconds: float,
    progress: Progress | None = None,
) -> tuple[str, ...]:
    """Ask the wires of this host before a change; remarks about those that could not be told.

    Raises BasculeError with every wire that is another than the file says, with every loop over wires that were heard
    to be one, and where the listening was interrupted; and as ``survey_live`` does.
    """
    taken = survey_live(host.nics, seconds=seconds, site=site, host=host, progress=progress)
    if taken.stopped_by:
        raise BasculeError.of("INTERRUPTED", "the survey was interrupted; nothing was changed")
    said = wire_gate(taken.survey)
    if problems := (*said.problems, *loop_problems(wanted, taken.survey.wires, observed)):
        raise BasculeError(*problems)
    return (*taken.remarks, *said.remarks)


def survey_captures(
    files: Mapping[str, Iterable[tuple[str, bytes | mmap]]], *, site: Site | None = None, host: Host | None = None
) -> SurveyRun:
    """Judge capture files: for each NIC the names and contents of its files.

    Raises UsageFault with every file that is no capture, SiteFault for a NIC that the host does not declare.
    """
    if host is not None and (strangers := [nic for nic in files if nic not in host.nics]):
        have = ", ".join(host.nics) or "none"
        raise SiteFault(
            *(
                Problem(
                    code="NIC-UNKNOWN", message=f"{host.name} has no NIC '{nic}' in the file", hint=f"it has: {have}"
                )
                for nic in strangers
            )
        )
    heard: dict[str, NicTraffic] = {}
    problems = []
    for nic, captures in files.items():
        collector, notes = Collector(nic), []
        first, last = 0, 0
        for name, data in captures:
            capture = Capture(data, nic)
            try:
                for record in capture.frames():
                    collector.add(record.data)
                    if record.time_ns:
                        first = min(first or record.time_ns, record.time_ns)
                        last = max(last, record.time_ns)
            except NotACapture as wrong:
                hint = "write one with 'tcpdump -i eth4 -w eth4.pcap'"
                problems.append(Problem(code="PCAP", message=f"'{name}' cannot be judged: {wrong}", hint=hint))
            notes += [f"{name}: {note}" for note in capture.notes]
        traffic = collector.finish(seconds=(last - first) / 1e9, notes=tuple(notes))
        heard[nic] = replace(traffic, own_macs=_own_macs(traffic, host)) if host is not None else traffic
    if problems:
        raise UsageFault(*problems)
    return SurveyRun(survey=judge(heard, site, host, makers=_makers(heard)))


def _makers(heard: Mapping[str, NicTraffic]) -> Mapping[str, str]:
    """Who made the NICs that are heard, for those whom the table of common makers does not have."""
    macs = {fact.src for traffic in heard.values() for facts in traffic.facts.values() for fact in facts}
    return registry.makers({prefix(mac) for mac in macs if not hypervisor(mac) and not maker(mac)} - {""})


def _own_macs(heard: NicTraffic, host: Host) -> frozenset[str]:
    """Who speaks with an address of the host: a capture has what went out, too."""
    addresses = [a for link in host.links() for a in link.addresses]
    mine = {str(address.ip) for address in addresses}
    return frozenset(src for said, src, _ in heard.of(Sender) if said.ip in mine)


def blink(
    nics: Sequence[str], seconds: int, *, remark: Callable[[str], object], begun: Callable[[str], object]
) -> dict[str, Problem | None]:
    """Let the LED at each NIC's port blink, of all hardware without names; for each NIC what hindered it, if anything.

    ``remark`` gets what is put in place of what, ``begun`` each NIC while it blinks. Raises UsageFault for a link that
    is not there, MissingTool without ethtool, and CommandFailed where it fails.
    """
    chosen, remarks = choose(observe(), nics)
    for words in remarks:
        remark(words.replace("listening on", "blinking"))
    found: dict[str, Problem | None] = {}
    for nic in chosen:
        try:
            identify(nic, seconds, lambda nic=nic: begun(nic))  # type: ignore[misc]  # each its own
            found[nic] = None
        except MissingTool as cannot:
            if cannot.problems[0].code == "TOOL-MISSING":
                raise
            found[nic] = cannot.problems[0]
    return found


class WireGate(Struct, frozen=True, kw_only=True):
    """What a survey says to a change: problems stop it, remarks are for the reader (wires that cannot be told)."""

    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()


def wire_gate(survey: Survey) -> WireGate:
    """A problem for every NIC on a wrong wire, a remark for every declared one that could not be recognised."""
    problems = []
    remarks = []
    for nic in survey.nics.values():
        declared = survey.host.nics.get(IfName(nic.nic)) if survey.host is not None else None
        place = declared.place if declared is not None else None
        if nic.wrong:
            hint = f"move the cable, or correct the file; 'bascule survey {nic.nic}' shows the evidence"
            problems.append(
                Problem(
                    code="WRONG-WIRE", message=f"{nic.nic}: {nic.warnings[0]}", place=place, hint=_where(nic) or hint
                )
            )
        if nic.cabling is not None and not nic.cabling.holds:
            problems.append(
                Problem(
                    code="WRONG-CABLE",
                    message=f"{nic.nic} is {nic.cabling.words}"
                    if nic.cabling.status != "wrong VLAN"
                    else f"{nic.nic}: {nic.cabling.words}",
                    place=place,
                    hint="correct the cable, the switch, or 'switch:' in the file",
                )
            )
        if nic.declared is not None and nic.network != nic.declared and not nic.wrong:
            why = nic.why or f"it hears {nic.network}, and nothing of {nic.declared}"
            remarks.append(f"{nic.nic}: cannot tell whether it is on {nic.declared}: {why}")
    return WireGate(problems=tuple(problems), remarks=tuple(remarks))


def _where(nic: NicVerdict) -> str:
    if nic.cabling is not None and nic.cabling.other:
        return f"the cables of {nic.nic} and {nic.cabling.other} are swapped"
    return ""
