"""The status of this host as Prometheus reads it: the text exposition format 0.0.4."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bascule.apply.host_status import HostStatus

_Samples = Iterable[tuple[dict[str, str], float]]


def metrics(now: HostStatus) -> str:
    """One text with all metrics; what is not known has no sample."""
    drift: _Samples = [] if now.unseen else [({}, len(now.drift))]
    is_open = now.status is not None and now.status.is_open
    return "".join((
        _metric("bascule_ok", "gauge", "1 while nobody must act; 0: drift, or an unfinished change", [({}, now.ok)]),
        _metric("bascule_change_open", "gauge", "1 while a change waits to be kept or taken back", [({}, is_open)]),
        _metric(
            "bascule_change_number", "gauge", "The number of the last change that stands", _known(now.number)
        ),
        _metric(
            "bascule_change_made_timestamp_seconds", "gauge", "When that change was made", _known(now.made_at or None)
        ),
        _metric(
            "bascule_change_left_seconds", "gauge", "Seconds until the open change is taken back", _known(now.left_s)
        ),
        _metric("bascule_drift", "gauge", "Differences from the confirmed change", drift),
        _metric("bascule_left", "gauge", "Things that an undo could not put back", [({}, len(now.left))]),
        _metric(
            "bascule_guard_stopped_frames_total",
            "counter",
            "Frames that the guard of a guest's port stopped",
            [({"port": x.port, "reason": str(x.reason)}, x.frames) for x in now.stopped],
        ),
    ))  # fmt: skip


def _known(value: float | None) -> _Samples:
    return [] if value is None else [({}, value)]


def _metric(name: str, kind: str, meaning: str, samples: _Samples) -> str:
    lines = [f"# HELP {name} {meaning}.", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{{{inside}}} {float(value):.17g}" if inside else f"{name} {float(value):.17g}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
