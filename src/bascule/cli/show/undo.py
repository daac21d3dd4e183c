"""What an undo will do, in words and for machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bascule.cli.common import table, wrapped
from bascule.cli.show.folding import shortest
from bascule.cli.show.plan import rows_of

if TYPE_CHECKING:
    from bascule.apply.rollback.preview import UndoPreview


def show_preview(seen: UndoPreview, *, columns: int) -> str:
    """The way back as it would be gone now, for people."""
    from bascule.apply.host_status import clock_words

    made = f"made {clock_words(seen.made_at)}, from {seen.site}"
    lines = [
        wrapped(f"change {seen.number} ({seen.status.words}; {made}) will be taken back", indent=0, columns=columns)
    ]
    rows = [(row.subject, row.action) for row in rows_of(seen.plan.changes)]
    lines += table(shortest(rows), indent=2, columns=columns) or ["  nothing of the running host differs from before"]
    if seen.files:
        lines += ["", "files", *table(seen.files, indent=2, columns=columns)]
    if seen.kept:
        lines += [
            "",
            "changed by others meanwhile, or kept by the kernel",
            *table([(line,) for line in seen.kept], indent=2, columns=columns),
        ]
    if losses := shortest(seen.losses):
        lines += ["", "warnings", *table(losses, indent=2, columns=columns)]
    return "\n".join(lines)


def preview_as_json(seen: UndoPreview) -> dict[str, Any]:
    """The same for machines."""
    return {
        "steps": [{"subject": change.subject, "action": change.action} for change in seen.plan.changes],
        "losses": [{"port": port, "text": text} for port, text in seen.losses],
    }
