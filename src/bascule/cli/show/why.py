"""The answer of ``bascule why`` in one screen, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from bascule.cli.common import wrapped
from bascule.model.values import count, duration, listed
from bascule.verify.reachability.question import as_read

if TYPE_CHECKING:
    from bascule.topology.trace.answer import Blocker, Leg, Stage
    from bascule.topology.trace.large_packets import LargePacket
    from bascule.verify.reachability.fixes import Fix
    from bascule.verify.reachability.live import WhyAnswer

LEGS = {
    "l2": "the neighbour search (ARP or ND)",
    "new": "the first packet",
    "reply": "the answer",
    "too-big": "the ICMP error for a packet that is too large",
}
ANSWERS = {
    "yes": "the answer would pass",
    "no": "the answer would not pass either",
    "perhaps": "the answer would perhaps pass",
    "unknown": "it is not known whether the answer would pass",
}
SHOWN_PAIRS = 4
SIDE_BY_SIDE = 60  # columns; with fewer the name of a stage has a line of its own
ANYWHERE = "not from a known file"


def show_why(found: WhyAnswer, *, everything: bool, brief: bool, columns: int) -> str:
    """The verdict first, then what is in the way, whose it is and where it stands, then what would open it."""
    verdict = _verdict(found)
    if brief:
        return "   ".join(verdict)
    lines = ["   ".join(verdict)]
    if len(lines[0]) > columns:
        lines = [wrapped(verdict[0], indent=2, columns=columns)]
        lines += [f"  {wrapped(words, indent=2, columns=columns)}" for words in verdict[1:]]
    number = 0
    for leg in found.asked.answer.legs:
        if not everything and not _tells(leg):
            continue
        lines.append(f"\n{LEGS[leg.name]}: {_heading(found, leg)}")
        for stage in leg.stages:
            number += 1
            if everything or stage.verdict != "ok" or (leg.name != "l2" and _allows(stage)):
                lines += _stage(found, number, stage, columns)
        lines += [f"      perhaps: {wrapped(words, indent=15, columns=columns)}" for words in leg.unsure]
    for one in found.large:
        lines += _large(found, one, columns)
    lines += ["", *_end(found, columns)]
    return "\n".join(lines)


def _verdict(found: WhyAnswer) -> list[str]:
    """The result, what it is about, and what is in the way."""
    answer = found.asked.answer
    head = f"{found.asked.by.name} → {found.asked.of.name} {found.service}: {answer.result.value.upper()}"
    first = next((leg for leg in answer.legs if leg.name == "new"), None)
    back = next((leg for leg in answer.legs if leg.name == "reply"), None)
    words = "new connections"
    if first is not None and back is not None and answer.result.value != "yes":
        words += f"; {ANSWERS[as_read(back.result, found.network).value]}"
        if as_read(first.result, found.network).value == "yes" and back.result.value == "no":
            words = "the first packet arrives, its answer does not"
    if any(one.result.value == "no" for one in found.large):
        words += "; large packets get lost"
    reasons = [f"{one.code.value}: {one.subject}" for one in answer.blockers]
    return [head, f"({words})", *(["; ".join(reasons)] if reasons else [])]


def _heading(found: WhyAnswer, leg: Leg) -> str:
    """What is known of a leg: where rules could not be read, one of them may stop what else passes."""
    result = as_read(leg.result, found.network)
    read = "" if result is leg.result else f" (by the rules that were read: {leg.result.value})"
    return f"{result.value.upper()}{read}"


def _large(found: WhyAnswer, one: LargePacket, columns: int) -> Iterator[str]:
    """Where the largest packet of a direction dies that small ones pass, and what its sender hears of it."""
    sender, receiver = found.asked.by.name, found.asked.of.name
    if one.leg.name == "reply":
        sender, receiver = receiver, sender
    words = f"{one.size} bytes from {sender} to {receiver}"
    if one.result.value == "yes":
        words += f" do not fit, and ICMP tells {sender} so: it sends smaller ones"
    elif one.told is None:
        words += f"; no ICMP error tells {sender}, so connections open and then hang"
    else:
        words += f"; the host's ICMP error does not reach {sender}, so connections open and then hang"
    yield f"\nlarge packets: {one.result.value.upper()}   {wrapped(words, indent=21, columns=columns)}"
    for number, stage in enumerate((*one.leg.stages, *(one.told.stages if one.told is not None else ())), 1):
        if stage.blockers:
            yield from _stage(found, number, stage, columns)


def _tells(leg: Leg) -> bool:
    return leg.name == "new" or leg.result.value != "yes"


def _allows(stage: Stage) -> bool:
    """Whether a line of it lets the packet through by name."""
    return any(hit.verdict == "accept" for hit in stage.hits)


def _stage(found: WhyAnswer, number: int, stage: Stage, columns: int) -> Iterator[str]:
    mark = {"ok": "ok", "no": "NO", "perhaps": "perhaps", "changed": "!", "unknown": "?"}.get(stage.verdict, "")
    words = stage.words
    if not words and not stage.blockers:
        words = count(len(stage.chains), "chain") if stage.chains else ""
    if columns < SIDE_BY_SIDE:
        yield f"  {number:>2}  {stage.name}  {mark}"
        yield f"      {wrapped(f'{stage.where}  {words}', indent=6, columns=columns)}"
    else:
        shown = wrapped(f"{stage.where:<16} {words}", indent=27, columns=columns - 9)
        yield f"  {number:>2}  {stage.name:<20} {shown}  {mark}"
    for hit in stage.hits:
        if hit.verdict == "accept" and not stage.blockers:
            yield f"        {wrapped(f'{hit.chain}: {hit.line.text or hit.verdict}', indent=10, columns=columns)}"
    for blocker in stage.blockers:
        if blocker.chain is not None:
            yield from _rule(found, blocker, columns)


def _rule(found: WhyAnswer, blocker: Blocker, columns: int) -> Iterator[str]:
    chain = blocker.hit.chain if blocker.hit else blocker.chain
    assert chain is not None
    backend = "" if chain.backend == "nft" else f" of {chain.backend}"
    words = blocker.hit.line.text if blocker.hit else f"policy {chain.base.policy if chain.base else 'drop'}"
    if blocker.hit is not None and not words:
        words = f"rule with handle {blocker.hit.line.handle}"
    yield f"        {wrapped(f'{chain}{backend}: {words}', indent=10, columns=columns)}"
    place = found.place(blocker)
    yield f"        {found.owner(blocker)}, {place or ANYWHERE}"
    if blocker.hit is None and blocker.chain is not None:
        yield f"        none of its {count(len(blocker.chain.lines), 'line')} matches the packet"
    for doubt in blocker.doubts[:3]:
        words = f"{doubt.reason} ({doubt.chain}: {doubt.line.text})"
        yield f"        perhaps: {wrapped(words, indent=17, columns=columns)}"


def _end(found: WhyAnswer, columns: int) -> Iterator[str]:
    for word, fix in zip(("fix", *("or",) * 9), found.fixes, strict=False):
        for place, command in enumerate(fix.commands):
            yield f"{word if not place else '':<7} {command}"  # whole, to be pasted
        yield f"        {wrapped(_opens(fix), indent=8, columns=columns)}"
    if not found.fixes and found.result.value == "no":
        yield "fix     no single change allows this"
    for party in (found.asked.by, found.asked.of):
        if party.note:
            yield f"note    {wrapped(party.note, indent=8, columns=columns)}"
    for words in (*found.notes, *found.network.rules.unread):
        yield f"note    {wrapped(words, indent=8, columns=columns)}"
    words = f"by the model of {found.where}, {duration(found.model_s)}"
    yield f"proved  {wrapped(words, indent=8, columns=columns)}"


def _opens(fix: Fix) -> str:
    pairs = [f"{one} → {other}" for one, other in fix.opens]
    words = f"opens {count(len(pairs), 'pair')} of {fix.among}: {listed(pairs, SHOWN_PAIRS)}"
    words += f"; {count(fix.untried, 'more known endpoint')} not tried" if fix.untried else ""
    return f"{words}; {fix.remark}" if fix.remark else words


def why_as_json(found: WhyAnswer) -> dict[str, Any]:
    """DESIGN.md, section 6."""
    answer = found.asked.answer
    return {
        "from": found.asked.by.name,
        "to": found.asked.of.name,
        "service": str(found.service),
        "result": answer.result.value,
        "walks": [
            {
                "leg": leg.name,
                "result": as_read(leg.result, found.network).value,
                "unsure": list(leg.unsure),
                "stages": [one for stage in leg.stages for one in _stage_as_json(found, stage)],
            }
            for leg in answer.legs
        ],
        "blockers": [_blocker_as_json(found, one) for one in answer.blockers],
        "large_packets": [
            {
                "from": found.asked.of.name if one.leg.name == "reply" else found.asked.by.name,
                "bytes": one.size,
                "result": one.result.value,
                "told": None if one.told is None else one.told.result.value,
                "blockers": [
                    _blocker_as_json(found, blocker)
                    for blocker in (*one.leg.blockers, *(one.told.blockers if one.told is not None else ()))
                ],
            }
            for one in found.large
        ],
        "fixes": [
            {
                "words": "; ".join(fix.commands),
                "commands": list(fix.commands),
                "opens": [{"from": one, "to": other} for one, other in fix.opens],
                "untried": fix.untried,
                "remark": fix.remark,
            }
            for fix in found.fixes
        ],
        "order_dependent": any(one.code.value == "order" for one in answer.blockers),
        "notes": [party.note for party in (found.asked.by, found.asked.of) if party.note] + list(found.notes),
        "unread": list(found.network.rules.unread),
        "timings": {"model": round(found.model_s, 6)},
    }


def _stage_as_json(found: WhyAnswer, stage: Stage) -> Iterator[dict[str, Any]]:
    common = {"stage": stage.name, "where": stage.where, "family": stage.family, "hook": stage.hook}
    if not stage.chains:
        yield {**common, "verdict": stage.verdict, "words": stage.words}
        return
    for hit in stage.hits:
        yield {
            **common,
            "table": hit.chain.table,
            "chain": hit.chain.name,
            "handle": hit.line.handle,
            "line": hit.line.text,
            "verdict": hit.verdict,
            "place": found.places.of(hit.chain, hit),
        }
    for blocker in stage.blockers:
        yield {**common, "verdict": stage.verdict, **_blocker_as_json(found, blocker)}
    if not stage.hits and not stage.blockers:
        yield {**common, "verdict": stage.verdict, "words": stage.words}


def _blocker_as_json(found: WhyAnswer, blocker: Blocker) -> dict[str, Any]:
    chain = blocker.hit.chain if blocker.hit else blocker.chain
    document: dict[str, Any] = {
        "code": blocker.code.value,
        "subject": blocker.subject,
        "words": blocker.text,
        "certain": blocker.certain,
        "owner": found.owner(blocker),
        "place": found.place(blocker),
    }
    if chain is not None:
        document |= {"family": chain.family, "table": chain.table, "chain": chain.name}
        document["handle"] = blocker.hit.line.handle if blocker.hit else None
        document["line"] = blocker.hit.line.text if blocker.hit else f"policy {chain.base.policy if chain.base else ''}"
    if blocker.doubts:
        document["perhaps"] = [f"{one.reason} ({one.chain}, handle {one.line.handle})" for one in blocker.doubts]
    return document
