"""``--highlight A:B``: which way is meant, and what a rehearsal saw of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bascule.errors import UsageFault

if TYPE_CHECKING:
    from bascule.draw.scene.highlight import Highlight

Question = tuple[str, str, str]  # source, target, service

WITNESS_MAX = 64 << 20  # bytes of a rehearsal's JSON


def ends(highlight: str) -> Question:
    """Two names with a colon between them, and perhaps a service after another; raises UsageFault."""
    source, colon, rest = highlight.partition(":")
    target, _, service = rest.partition(":")
    if not (source and colon and target):
        hint = "two names with a colon between them: --highlight guest_02:customer"
        raise UsageFault.of("USAGE", f"--highlight '{highlight}' is not A:B", hint=hint)
    return source, target, service


def choose(meant: Question, questions: Sequence[tuple[Question, bool | None]]) -> int:
    """The place of the question that is meant: of several, the first that did not hold. Raises UsageFault."""
    source, target, service = meant
    found = [i for i, (q, _) in enumerate(questions) if q[:2] == (source, target) and service in {"", q[2]}]
    if not found:
        known = ", ".join(":".join(question) for question, _ in questions)
        words = f"'{source}' to '{target}'" + (f" by {service}" if service else "")
        hint = f"it asks: {known}" if known else "it expects nothing"
        raise UsageFault.of("HIGHLIGHT", f"the site file asks nothing from {words}", hint=hint)
    return next((place for place in found if questions[place][1] is False), found[0])


def from_rehearsal(path: str, meant: Question) -> tuple[Highlight, str]:
    """The way that ``bascule rehearse --json`` wrote down, and the hash of the site file that it is about.

    Raises UsageFault.
    """
    from bascule.draw.answers import REACHED
    from bascule.draw.scene.highlight import Highlight
    from bascule.system.disk.files import read_bytes

    try:
        document: Any = json.loads(read_bytes(path, limit=WITNESS_MAX, what="saved rehearsal"))
        listed = document["expectations"]
        questions = [((str(e["from"]), str(e["to"]), str(e["service"])), e["ok"]) for e in listed]
        chosen = listed[choose(meant, questions)]
        hops = tuple((str(hop["node"]), str(hop["link"])) for hop in chosen["witness"]["hops"])
        reached = REACHED.get(chosen["observed"])
        sentence = str(chosen["witness"]["sentence"])
        digest = str(document.get("sha256", ""))
    except (ValueError, KeyError, TypeError) as error:
        hint = "write it with: bascule rehearse SITE --json > FILE"
        message = f"'{path}' is not what 'bascule rehearse --json' prints"
        raise UsageFault.of("WITNESS", message, hint=hint) from error
    if not hops:
        message = f"the rehearsal saw no frame from '{meant[0]}' to '{meant[1]}': {sentence}"
        raise UsageFault.of("WITNESS", message, hint="without --witness the way is what the file says")
    return Highlight(source=meant[0], target=meant[1], hops=hops, reached=reached, sentence=sentence), digest
