"""Configuration files that are not as the site file wants them are seen by verify, draw and serve, as by a plan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule import live_picture, workflow
from bascule.plan.change import Plan
from bascule.system.disk.files import read_below
from bascule.verify import live
from bascule.verify.checks import Check
from bascule.verify.state import StateChecks
from bascule.web.hub import Hub
from bascule.web.source import Source
from bascule.web.watch import Watcher
from tests.apply.hosts import ADDITION, Bed, furnish
from tests.lab import Lab, called

NETDEV, NETWORK = ("etc/systemd/network/10-br3.netdev", "etc/systemd/network/10-br3.network")
OWN = "etc/systemd/network/10-own.network"


def edited(root: Path) -> None:
    with Path(root, NETDEV).open("a") as file:
        file.write("# by hand\n")


def removed(root: Path) -> None:
    Path(root, NETWORK).unlink()


def another_speaks(root: Path) -> None:
    Path(root, OWN).write_text("[Match]\nName=eth4\n\n[Network]\nDHCP=yes\n")


def replaced(root: Path) -> None:
    Path(root, NETDEV).write_text("[NetDev]\nName=br3\nKind=bridge\nMTUBytes=1400\n")


DRIFTS: dict[Callable[[Path], None], tuple[tuple[str, str], ...]] = {
    edited: (("files", f"FILE-EDITED: 'ROOT/{NETDEV}' was edited since Bascule wrote it"),),
    removed: ((f"ROOT/{NETWORK}", "write it"),),
    another_speaks: ((f"ROOT/{OWN}", "move it aside, to ROOT/etc/bascule/"),),
    replaced: ((f"ROOT/{NETDEV}", "move it aside, to ROOT/etc/bascule/"),),
}


@pytest.fixture(scope="module")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A host whose change is made and confirmed; its files lie below ``root``."""
    lab = Lab()
    try:
        found = furnish(lab, tmp_path_factory.mktemp("files"), ADDITION.replace("h:", "h:\n    persist: networkd", 1))
        found.apply("--root", str(root_of(found)), "--confirm-within", "300s")
        assert found.run("confirm").returncode == 0
        yield found
    finally:
        lab.close()


def root_of(bed: Bed) -> Path:
    return bed.site.with_name("root")


def seen_by_each(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[tuple[str, str]]]:
    """What each verb says is not as declared, of the host and the files below its root."""
    root = str(root_of(bed))
    monkeypatch.setattr(live, "missing", lambda *_: ["NET_RAW"])  # no frames: they take their time
    monkeypatch.setenv("BASCULE_STATE_DIR", str(bed.state))
    site, host = workflow.load_for(str(bed.site), "h")
    with bed.host.entered(), called("h"):
        checks: tuple[Check, ...] = workflow.verify(str(bed.site), host="h", root=root).checks
        picture = live_picture.seen_host(site, host, root)
        served = asyncio.run(served_drift(Source(str(bed.site), "h", root)))
    return {
        "verify": [(check.subject, check.detail) for check in checks if check.ok is False],
        "draw": list(picture.drift),
        "serve": [(line.split(": ", 1)[0], line.split(": ", 1)[1]) for line in served],
    }


async def served_drift(source: Source) -> list[str]:
    drift: list[str] = Watcher(source, Hub())._look()["drift"]
    return drift


@pytest.mark.kernel
@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.__name__)
def test_a_file_that_is_not_as_wanted(drift: Callable[[Path], None], bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    root = root_of(bed)
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert seen_by_each(bed, monkeypatch) == {"verify": [], "draw": [], "serve": []}
    drift(root)
    try:
        for verb, lines in seen_by_each(bed, monkeypatch).items():
            told = [(subject.replace(str(root), "ROOT"), words.replace(str(root), "ROOT")) for subject, words in lines]
            for subject, words in DRIFTS[drift]:
                assert any(who == subject and words in what for who, what in told), (verb, told)
    finally:
        Path(root, OWN).unlink(missing_ok=True)
        for path, content in files.items():
            path.write_bytes(content)


@pytest.mark.kernel
def test_each_verb_is_told_where_the_files_are(bed: Bed) -> None:
    root, site = root_of(bed), str(bed.site)
    before = Path(root, NETWORK).read_bytes()
    removed(root)
    try:
        for words in (("verify", site), ("draw", site, "--live"), ("plan", site)):
            assert str(root / NETWORK) in bed.run(*words, "--root", str(root), "--json").stdout, words
            assert str(root) not in bed.run(*words, "--json").stdout, "it is not the machine's own /etc"
    finally:
        Path(root, NETWORK).write_bytes(before)
    alone = bed.run("draw", site, "--root", str(root))
    assert (alone.returncode, "--root goes with --live" in alone.stderr) == (64, True)


@pytest.mark.kernel
def test_of_a_file_that_may_not_be_read_nobody_knows(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(root: Path, path: str, **words: Any) -> str:
        if path == NETDEV:
            raise PermissionError(13, "Permission denied")
        return read_below(root, path, **words)

    monkeypatch.setattr("bascule.persist.files.read_below", read)
    assert seen_by_each(bed, monkeypatch) == {"verify": [], "draw": [], "serve": []}
    planned = plan_of(bed, monkeypatch)
    assert [(file.path, file.differs) for file in planned.files] == [(str(root_of(bed) / NETDEV), False)]
    found = [check for check in StateChecks(planned).rest() if check.subject == "files"]
    assert [(check.ok, check.unproven) for check in found] == [(None, True)]
    assert "could not be read (permission denied), so nobody knows" in found[0].detail


@pytest.mark.kernel
def test_another_version_of_the_site_file_is_no_difference(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    text = bed.site.read_text()
    try:
        bed.site.write_text(text + "# a remark\n")
        planned = plan_of(bed, monkeypatch)
        assert [file.differs for file in planned.files] == [False] * len(planned.files) != []
        assert seen_by_each(bed, monkeypatch) == {"verify": [], "draw": [], "serve": []}
    finally:
        bed.site.write_text(text)


def plan_of(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("BASCULE_STATE_DIR", str(bed.state))
    with bed.host.entered(), called("h"):
        return workflow.plan(str(bed.site), host="h", root=str(root_of(bed))).plan
