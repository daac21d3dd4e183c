"""Somebody makes a link of his own under a name that was ours: an undo leaves it to him and marks nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.apply.hosts import ADDITION, Bed, furnish
from tests.lab import Lab

MORE = ADDITION.replace("    bridges:\n", "    bridges:\n      br9: {uplink: none, address: 10.9.0.1/24}\n")
GUEST = "guests:\n  g: {host: h, nics: [{bridge: %s, tap: vnet1}]}\n"
THEIRS = "link add br9 type bridge\naddr add 10.99.0.1/24 dev br9\nlink set br9 up\n"


def undone(bed: Bed) -> tuple[list[str], dict[str, Any]]:
    told = json.loads(bed.run("undo", "--json").stdout)
    assert told["left"] == []
    links = {link["ifname"]: link for link in json.loads(bed.ip("-j -d address show"))}
    theirs = links["br9"]
    assert "ifalias" not in theirs, "with our mark the next plan would delete it"
    assert [one["local"] for one in theirs["addr_info"] if one["family"] == "inet"] == ["10.99.0.1"]
    return told["kept"], links


def test_after_a_change_that_deleted_ours(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, MORE + GUEST % "br9")
    bed.apply("--no-confirm")
    bed.site.write_text(ADDITION + GUEST % "br3")
    bed.apply("--no-confirm")
    bed.batch(THEIRS)
    kept, links = undone(bed)
    assert kept == [
        "br9 is another link than the one that the change deleted, and stays",
        "vnet1 does not go back to br9, which is another link by now",
    ]
    assert links["vnet1"]["master"] == "br3"


def test_after_a_change_that_made_ours(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, MORE)
    bed.apply("--no-confirm")
    bed.batch("link del br9\n" + THEIRS)
    kept, _ = undone(bed)
    assert kept == ["br9 is another link than the one that the change made, and stays"]
