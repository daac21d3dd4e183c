"""The cost of a verb that no clock blurs: how many programs it starts, and which heavy modules it imports.

A verb that starts more than stands here has become slower for everybody; if it must, change the figure and say why.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from bascule.system.net.netlink import NetlinkMonitor
from bascule.system.net.netns import Namespace
from tests.cli.cost import Cost, cost
from tests.cli.test_rehearse import ROOT
from tests.lab import Lab

SITE_FILE = frozenset({"pydantic", "yaml"})
NOTHING: frozenset[str] = frozenset()
LOOK = {"ip": 7, "nft": 1}  # once at everything: links, addresses, routes and rules of two families, tables
TWICE, THRICE = {"ip": 14, "nft": 2}, {"ip": 21, "nft": 3}


def plus(programs: dict[str, int], **more: int) -> dict[str, int]:
    return {name: programs.get(name, 0) + more.get(name, 0) for name in {**programs, **more}}


STORY = [  # a host is changed and put back; the programs that each verb may start at most, and what it imports
    ("--help", {}, NOTHING),
    ("schema", {}, frozenset({"pydantic"})),
    ("check SITE", {}, SITE_FILE),
    ("plan SITE", plus(LOOK, tc=1), SITE_FILE),  # what acts on frames of a NIC that becomes a port
    ("plan SITE --json", plus(LOOK, tc=1), SITE_FILE),
    ("draw SITE", {}, SITE_FILE),
    ("draw --live", LOOK, NOTHING),
    ("render SITE --dialect networkd -o OUT", {}, SITE_FILE),
    ("render SITE --dialect keyfile -o OUT", {}, SITE_FILE),
    ("import --root OUT --dialect networkd", {}, SITE_FILE),
    ("import", plus(LOOK, **LOOK), SITE_FILE),  # the second look finds the plan of what was imported empty
    ("status", {}, NOTHING),  # nothing was ever changed, so nothing can have drifted
    # before and after, for the kernel told of no change in between; three batches; a dead-man
    ("apply SITE --yes --no-confirm", plus(TWICE, ip=3, python=1, tc=1), SITE_FILE),
    ("plan SITE", LOOK, SITE_FILE),
    ("verify SITE", plus(LOOK, ip=5, bridge=1), SITE_FILE),  # its neighbours, where its packets would go, and went
    ("status", LOOK, NOTHING),
    # what it would do, two batches, a look that proves it; once more where the kernel tells of something meanwhile
    ("undo", plus(THRICE, ip=2, bridge=1), NOTHING),
    # and once more if the kernel still tells of the undo, whose links settle for a second
    ("apply SITE --yes --confirm-within 60s", plus(THRICE, ip=3, python=1, tc=2), SITE_FILE),
    ("confirm", {}, NOTHING),
    ("undo", plus(THRICE, ip=2, bridge=1), NOTHING),
]
SAME_FOR_ANY_SIZE = ["plan SITE", "import", "apply SITE --yes --no-confirm", "status", "undo"]


def site(bridges: int) -> str:
    lines = ["site: cost", "networks: {n: {subnet: 10.0.0.0/16}}", "hosts:", "  h:", "    nics:"]
    lines += [f"      e{i}: {{}}" for i in range(bridges)]
    lines += ["    bridges:", *(f"      br{i}: {{uplink: e{i}}}" for i in range(bridges)), "guests:"]
    lines += [f"  g{i}: {{host: h, nics: [{{bridge: br{i}, tap: t{i}}}]}}" for i in range(bridges)]
    return "\n".join(lines) + "\n"


def told(lab: Lab, folder: Path, bridges: int, lines: Iterable[str]) -> list[Cost]:
    """What each line costs on a host of so many bridges, each with a NIC and a tap."""
    host = lab.host(*(f"e{i}" for i in range(bridges)))
    for i in range(bridges):
        lab.tap(host, f"t{i}")
    with host.entered(), NetlinkMonitor() as settling:
        while settling.wait(1.2):  # the kernel tells of a new link's carrier once in a second
            pass
    folder.mkdir()
    (folder / "site.yaml").write_text(site(bridges))
    places = {"SITE": str(folder / "site.yaml"), "OUT": str(folder / "out")}
    argvs = [[places.get(word, word) for word in line.split()] for line in lines]
    return [_cost(folder, *argv, namespace=host) for argv in argvs]


def _cost(folder: Path, *words: str, namespace: Namespace | None = None) -> Cost:
    return cost(*words, log=folder / "log", namespace=namespace, env={"BASCULE_STATE_DIR": str(folder / "state")})


def test_programs_and_imports_of_each_verb(lab: Lab, tmp_path: Path) -> None:
    faults = []
    costs = told(lab, tmp_path / "one", 1, (line for line, _, _ in STORY))
    for (line, most, modules), found in zip(STORY, costs, strict=True):
        assert found.status == 0 or line == "verify SITE", f"{line}: {found.said}"  # nobody answers for the guest
        faults += [
            f"{line} starts {name} {number} times, not {most.get(name, 0)}"
            for name, number in found.programs.items()
            if number > most.get(name.rstrip("0123456789."), 0)
        ]
        if found.modules != modules:
            faults.append(f"{line} imports {sorted(found.modules)}, not {sorted(modules)}")
    assert not faults


def test_a_larger_host_takes_no_more_programs(lab: Lab, tmp_path: Path) -> None:
    small, large = (told(lab, tmp_path / str(size), size, SAME_FOR_ANY_SIZE) for size in (2, 12))
    for line, few, many in zip(SAME_FOR_ANY_SIZE, small, large, strict=True):
        assert (few.status, many.status) == (0, 0), line
        assert many.modules == few.modules, line
        looks = [few.programs, many.programs] if line == "undo" else []  # one may have looked once more, see above
        assert many.programs == few.programs or plus(min(looks, key=_number), **LOOK) == max(looks, key=_number), line


def _number(programs: dict[str, int]) -> int:
    return sum(programs.values())


def test_a_rehearsal_starts_few_programs(lab: Lab, tmp_path: Path) -> None:
    found = _cost(tmp_path, "rehearse", str(ROOT / "examples" / "first.yaml"), namespace=lab.namespace("anywhere"))
    assert found.status == 0, found.said
    # the way back is the real one: it looks once more, before and after; verify asks for the way of its answers, too
    assert found.programs["ip"] <= 44
    assert sum(found.programs.values()) <= 50
    assert found.modules == SITE_FILE


@pytest.mark.parametrize("verb", ["guest list", "doctor", "survey e0 --seconds 0.5", "blink e0 --seconds 1"])
def test_no_verb_imports_what_another_one_needs(lab: Lab, tmp_path: Path, verb: str) -> None:
    found = _cost(tmp_path, *verb.split(), namespace=lab.host("e0"))
    assert not found.modules & {"asyncio", "scapy", "starlette", "uvicorn"}
    if not verb.startswith(("guest", "doctor")):
        assert found.modules == NOTHING
