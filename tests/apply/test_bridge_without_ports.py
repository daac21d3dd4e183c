"""A bridge whose last port has left has no MAC, and no program can give it that: the kernel takes no zero."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.apply.hosts import ADDITION, furnish
from tests.lab import Lab

ZERO = "00:00:00:00:00:00"
LEFT = "link add {0} type bridge\nlink set vnet2 master {0}\nlink set vnet2 master old0\nlink set {0} up\n"


def test_one_beside_the_change(lab: Lab, tmp_path: Path) -> None:
    """The twin begins with it, and the rehearsal is that of the same plan."""
    bed = furnish(lab, tmp_path, ADDITION)
    bed.batch(LEFT.format("br9"))
    assert ZERO in bed.ip("link show br9")
    rehearsed = bed.run("rehearse", str(bed.site), "--json")
    assert rehearsed.returncode == 0, rehearsed.stdout
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    assert json.loads(rehearsed.stdout)["plans"][0]["changes"] == plan["changes"]


def test_one_that_the_change_takes_over(lab: Lab, tmp_path: Path) -> None:
    """The change gives it a MAC, which no undo takes off again: that is said."""
    bed = furnish(lab, tmp_path, ADDITION)
    bed.batch(LEFT.format("br3"))
    assert bed.run("rehearse", str(bed.site)).returncode == 0
    bed.apply("--no-confirm")
    undone: dict[str, Any] = json.loads(bed.run("undo", "--json").stdout)
    assert undone["ok"]
    stays = "br3 keeps the MAC 02:00:00:00:00:14: before, it had none and took that of its ports"
    assert undone["kept"] == [stays]
    assert ZERO not in json.dumps(undone)
    assert "02:00:00:00:00:14" in bed.ip("link show br3")
