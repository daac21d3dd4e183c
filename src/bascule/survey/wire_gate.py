"""``apply --survey``: a wire that is another than the file says stops the change. Pure."""

from __future__ import annotations

from msgspec import Struct

from bascule.errors import Problem
from bascule.model.values import IfName
from bascule.survey.verdicts import NicVerdict, Survey


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
