"""The drawings that are kept as files. ``UPDATE=1`` writes them anew, for a person to look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bascule.draw import draw
from bascule.model.site import Mode
from tests.draw import sites

FOLDER = Path(__file__).parent / "golden"

GOLDEN: dict[str, Callable[[], str]] = {
    "production-80.txt": lambda: draw(sites.production(), width=80),
    "production-120.txt": lambda: draw(sites.production(), width=120),
    "production-40.txt": lambda: draw(sites.production(), width=40),
    "production-80-ascii.txt": lambda: draw(sites.production(), width=80, ascii=True),
    "production-path.txt": lambda: draw(sites.production(), width=120, highlight=("guest_02", "customer")),
    "production-stopped.txt": lambda: draw(sites.production(), width=80, highlight=("guest_03", "customer")),
    "nat-80.txt": lambda: draw(sites.lab(Mode.NAT), width=80),
    "routed-80.txt": lambda: draw(sites.lab(Mode.ROUTED), width=80),
    "isolated-80.txt": lambda: draw(sites.lab(Mode.ISOLATED), width=80),
    "trunk-120.txt": lambda: draw(sites.trunk(), width=120),
}
