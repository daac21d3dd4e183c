"""A survey as text for people and as JSON for machines."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bascule.cli.common import table, wrapped
from bascule.cli.show.folding import ranges
from bascule.cli.show.output_style import output_style
from bascule.model.values import count, listed
from bascule.survey.draft import draft, propose
from bascule.survey.neighbours import Port, port_words
from bascule.survey.verdicts import NicVerdict, Survey
from bascule.topology.layer2 import tag_words
from bascule.topology.loops import Loop
from bascule.topology.wires import Wire

DASH = "-"


def show_survey(survey: Survey, *, columns: int, host: str, loops: Iterable[Loop] = ()) -> str:
    """The table, each NIC with its evidence, the wires that are shared, and a draft where there is no site.

    With -q the NICs of which something is wrong, and the loops.
    """
    quiet = output_style().quiet
    parts = [] if quiet else [_table(survey, columns)]
    shown = [nic for nic in survey.nics.values() if not quiet or nic.contradicted or nic.warnings]
    parts += _nics(shown, columns, declared=survey.site is not None)
    for title, presumed in (("One wire:", False), ("Perhaps one wire ('survey --active' proves it):", True)):
        wires = [wire for wire in survey.wires if wire.presumed is presumed]
        if wires and not quiet:
            parts.append("\n".join([title, *(_wire(wire, columns) for wire in wires)]))
    for loop in loops:
        words = f"warning: a loop is closed: {loop.drawn} ({loop.why})"
        parts.append(wrapped(words, indent=2, columns=columns))
    if survey.site is None and not quiet:
        parts.append("A draft of the site file:\n\n" + draft(survey, host).rstrip())
    return "\n\n".join(parts)


def _wire(wire: Wire, columns: int) -> str:
    tags = ", ".join(tag_words(tags) for tags in wire.segments)
    kind = wire.kind if wire.kind == "plain" else f"{wire.kind}: {tags}"
    words = f"{', '.join(wire.nics)} ({kind}): {'; '.join(wire.reasons[:3])}"
    return "  " + wrapped(words, indent=4, columns=columns)


def _table(survey: Survey, columns: int) -> str:
    middle = ("network", "confidence") if survey.site else ("proposed", "heard")
    rows = [("NIC", *middle, "VLANs", "switch port")]
    proposals = propose(survey) if survey.site is None else ()
    for nic in survey.nics.values():
        tail = (_vlans(nic), nic.port.words if nic.port else DASH)
        if survey.site is None:
            names = [one.name for one in proposals for end in one.ends if end.nic == nic.nic]
            rows.append((nic.nic, listed(names, most=2) or DASH, count(nic.heard.frames, "frame"), *tail))
            continue
        name = nic.network or DASH
        sure = f"{nic.confidence:.2f} {nic.words}" if nic.network else nic.words
        rows.append((nic.nic, f"{name} !" if nic.contradicted else name, sure, *tail))
    return "\n".join(line.rstrip() for line in table(rows, indent=0, columns=columns))


def _vlans(nic: NicVerdict) -> str:
    words = [f"native {nic.native_vlan}"] if nic.native_vlan is not None else []
    if nic.vlans:
        words.append(listed(map(str, nic.vlans), most=4))
    return "; ".join(words) or DASH


def _nics(nics: list[NicVerdict], columns: int, *, declared: bool) -> list[str]:
    """A part for each NIC; those without a file of which nothing was heard are one, unless -v unfolds them."""
    silent: dict[str, list[str]] = {}
    parts: list[str] = []
    for nic in nics:
        if declared or output_style().detail > 0 or nic.evidence or nic.warnings or nic.cabling or not nic.why:
            parts.append(_nic(nic, columns, declared=declared))
        else:
            silent.setdefault(nic.why, []).append(nic.nic)
    return parts + [wrapped(f"{ranges(names)}: {why}", indent=4, columns=columns) for why, names in silent.items()]


def _nic(nic: NicVerdict, columns: int, *, declared: bool) -> str:
    lines = []
    if not declared:
        title = f"{nic.nic}:" if not nic.why else f"{nic.nic}: {nic.why}"
    elif nic.network:
        title = f"{nic.nic}: {nic.network}, {nic.words} ({nic.confidence:.2f})"
        others = [f"{name} {tag_words(tags)}" for name, tags, _ in nic.networks if name != nic.network]
        title += f"; also {listed(others)}" if others else ""
    else:
        title = f"{nic.nic}: cannot tell: {nic.why}"
    if nic.declared and nic.declared != nic.network:
        title += f" (declared {nic.declared})"
    lines.append(wrapped(title, indent=4, columns=columns))
    rows = [(f"{line.frames or ''}".rjust(6), line.kind, line.detail) for line in nic.evidence]
    lines += table(rows, indent=0, columns=columns)
    if nic.cabling is not None and nic.cabling.holds:  # else it is among the warnings
        lines.append("  " + wrapped(f"cabling {nic.cabling.text}", indent=4, columns=columns))
    lines += ["  " + wrapped(f"warning: {warning}", indent=4, columns=columns) for warning in nic.warnings]
    return "\n".join(lines)


def survey_as_json(survey: Survey, *, host: str, loops: Iterable[Loop] = ()) -> dict[str, Any]:
    """The document of ``survey --json`` behind its schema and ``ok``."""
    document: dict[str, Any] = {
        "nics": {name: _nic_json(nic) for name, nic in survey.nics.items()},
        "wires": [
            {
                "nics": list(wire.nics),
                "kind": wire.kind,
                "presumed": wire.presumed,
                "segments": [list(tags) for tags in wire.segments],
                "reasons": list(wire.reasons),
            }
            for wire in survey.wires
        ],
        "loops": [{"nics": sorted(loop.nics), "bridges": sorted(loop.bridges), "drawn": loop.drawn} for loop in loops],
    }
    if survey.site is None:
        document["proposals"] = [
            {
                "name": one.name,
                "subnets": [str(net) for net in one.subnets],
                "gateways": list(one.gateways),
                "vlan": one.vlan,
                "ends": [{"nic": end.nic, "tags": list(end.tags)} for end in one.ends],
                "feet": [{"nic": end.nic, "tags": list(end.tags)} for end in one.ends],  # as 0.1.0 called them
                "why": one.why,
            }
            for one in propose(survey)
        ]
        document["draft"] = draft(survey, host)
    return document


def _nic_json(nic: NicVerdict) -> dict[str, Any]:
    return {
        "network": nic.network,
        "confidence": nic.confidence,
        "words": nic.words,
        "why": nic.why,
        "declared": nic.declared,
        "contradicted": nic.contradicted,
        "networks": [
            {"network": name, "tags": list(tags), "confidence": confidence} for name, tags, confidence in nic.networks
        ],
        "vlans": list(nic.vlans),
        "native_vlan": nic.native_vlan,
        "switch": _port_json(nic.port),
        "cabling": {"status": nic.cabling.status, "detail": nic.cabling.words} if nic.cabling else None,
        "evidence": [{"kind": line.kind, "detail": line.detail, "frames": line.frames} for line in nic.evidence],
        "warnings": list(nic.warnings),
        "frames": nic.heard.frames,
        "seconds": round(nic.heard.seconds, 1),
        "skipped": dict(nic.heard.skips),
    }


def _port_json(port: Port | None) -> dict[str, Any] | None:
    if port is None:
        return None
    return {
        "name": port.name or None,
        "port": port_words(port.port, port.port_text) or None,
        "port_id": port.port or None,
        "via": port.via,
        "bridge": port.bridge[5:] or None,
        "stp_port": port.stp_port or None,
    }
