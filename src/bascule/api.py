"""Bascule for programs: the verbs as functions that take values and give values.

::

    from bascule import api

    site = api.load("examples/first.yaml")
    seen = api.rehearse(site)
    assert seen.ok, [outcome for outcome in seen.outcomes if not outcome.ok]

A site is given as the path of its file or as the Site that ``load`` made of it. Every function acts on the network
namespace that the process is in, as the command line does. What goes wrong is a BasculeError: its ``problems`` have a
code, a message, a place and a hint, its ``exit_status`` is the command line's.

The .deb and the .rpm keep the modules apart from those of the system's Python: there a program is started with
``/usr/lib/bascule/bin/python3``. Where the wheel is installed, it is the Python of that environment.
"""

from __future__ import annotations

from bascule import __version__
from bascule.errors import BasculeError, NotPermitted, Place, Problem, SiteFault, TakenBack, UsageFault
from bascule.workflow import (
    apply,
    attack,
    capacity,
    check,
    confirm,
    doctor,
    draw,
    guest_runtime,
    guests,
    import_host,
    load,
    plan,
    reach,
    ready,
    rehearse,
    render,
    seen,
    status,
    survey,
    undo,
    undo_preview,
    verify,
    why,
)

__all__ = [
    "BasculeError",
    "NotPermitted",
    "Place",
    "Problem",
    "SiteFault",
    "TakenBack",
    "UsageFault",
    "__version__",
    "apply",
    "attack",
    "capacity",
    "check",
    "confirm",
    "doctor",
    "draw",
    "guest_runtime",
    "guests",
    "import_host",
    "load",
    "plan",
    "reach",
    "ready",
    "rehearse",
    "render",
    "seen",
    "status",
    "survey",
    "undo",
    "undo_preview",
    "verify",
    "why",
]
