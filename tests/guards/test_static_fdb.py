"""A guest whose MACs stand in the bridge's table: entered, mended, taken back; nothing unknown reaches it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.frames.guarding import build as b
from bascule.providers.static_fdb.state import script, udev_text
from bascule.questions import host_model
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.topology.declared import declared_links
from tests.guards.segment import PARTIES, site_text
from tests.lab import Lab, open_lab

pytestmark = pytest.mark.kernel
INSIDE = "52:54:00:00:11:11"
ME, OTHER, ROUTER = PARTIES.me, PARTIES.other, PARTIES.router


class Stage(Struct):
    """A host with web and db as taps of ours."""

    lab: Lab
    host: Namespace
    taps: dict[str, int]
    file: Path

    def bascule(self, *words: str, status: int = 0) -> str:
        """Run it on the host."""
        env = {"BASCULE_STATE_DIR": str(self.file.parent / "state")}
        done = self.lab.bascule(self.host, *words, env=env, hostname="h")
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def apply(self, fdb: str) -> None:
        """The site with this at web's NIC."""
        self.file.write_text(site_text("strict", fdb).replace("up.0", "up0"))
        self.bascule("apply", str(self.file), "--yes", "--no-confirm")

    def static(self) -> list[str]:
        """The entries that somebody made at web's port."""
        lines = run(("bridge", "fdb", "show", "brport", "web.0"), namespace=self.host).stdout.splitlines()
        return sorted(line.split()[0] for line in lines if line.endswith("static"))

    def flags(self) -> tuple[bool, bool]:
        """Whether web's port learns, and is flooded."""
        told = json.loads(run(("ip", "-j", "-d", "link", "show", "web.0"), namespace=self.host).stdout)
        port = told[0]["linkinfo"]["info_slave_data"]
        return bool(port["learning"]), bool(port["flood"])

    def heard(self, frame: bytes) -> bool:
        """Whether web gets what the other guest sends."""
        os.write(self.taps["db.0"], frame)
        found = False
        while True:
            try:
                found |= os.read(self.taps["web.0"], 65536).startswith(frame[:42])
            except BlockingIOError:
                return found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_lab() as lab:
        host = lab.host("up0")
        taps = {name: lab.tap(host, name) for name in ("web.0", "db.0")}
        for name, fd in taps.items():
            os.set_blocking(fd, False)
            lab.ip(host, f"link set {name} up")
        yield Stage(lab, host, taps, tmp_path_factory.mktemp("fdb") / "site.yaml")


def test_entries_stand_are_mended_and_taken_back(stage: Stage) -> None:
    stage.apply("")
    assert (stage.static(), stage.flags()) == ([], (True, True))
    stage.apply(f"fdb: static, macs: ['{INSIDE}']")
    assert (stage.static(), stage.flags()) == ([ME.mac, INSIDE], (False, False))
    stage.bascule("plan", str(stage.file), "--exit-code")
    imported = stage.bascule("import")
    assert f"web.0: static entries in its bridge's table: {ME.mac}, {INSIDE}; 'fdb: static' at the" in imported
    assert "db.0: has a guard (strict); 'guard: strict' at the guest's NIC keeps it" in imported
    body = b.udp(OTHER.ip4, ME.ip4, 9, 9, b"x")
    assert stage.heard(b.ipv4(OTHER.raw, ME.raw, OTHER.ip4, ME.ip4, b.UDP, body))  # though web has never sent anything
    run(("nft", "delete", "table", "bridge", "bascule_guards"), namespace=stage.host)
    unknown = b"\2\0\0\0\0\x77"
    assert not stage.heard(b.ipv4(OTHER.raw, unknown, OTHER.ip4, ME.ip4, b.UDP, body))
    os.write(stage.taps["web.0"], b.ether(OTHER.raw, ROUTER.raw, b.ARP, bytes(46)))
    assert ROUTER.mac not in run(("bridge", "fdb", "show", "brport", "web.0"), namespace=stage.host).stdout
    run(("bridge", "fdb", "del", ME.mac, "dev", "web.0", "master"), namespace=stage.host)
    assert any("web.0" in words for words in json.loads(stage.bascule("status", "--json", status=1))["drift"])
    stage.bascule("apply", str(stage.file), "--yes", "--no-confirm")
    assert stage.static() == [ME.mac, INSIDE]
    for _ in range(2):
        stage.bascule("undo")
    assert (stage.static(), stage.flags()) == ([], (True, True))


def test_udev_enters_them_when_a_tap_has_become_a_port(stage: Stage) -> None:
    text = udev_text({"web.0": (ME.mac,)})
    assert text is not None and udev_text({}) is None
    assert text.splitlines()[1].startswith(
        'ACTION=="add", SUBSYSTEM=="net", KERNEL=="web.0", RUN+="/usr/bin/systemd-run'
    )
    assert script("web.0", [ME.mac]).replace("$", "$$") in text
    stage.apply("fdb: learned")
    stage.lab.ip(stage.host, "link set web.0 nomaster")
    with stage.host.entered():
        one = subprocess.Popen(("sh", "-c", script("web.0", [ME.mac])))
    time.sleep(0.3)
    assert one.poll() is None
    stage.lab.ip(stage.host, "link set web.0 master br0")
    assert one.wait(20) == 0
    assert (stage.static(), stage.flags()) == ([ME.mac], (False, False))


def test_the_model_has_the_entries_that_are_wanted_and_of_a_saved_state_those_that_stood() -> None:
    text = site_text("strict", "fdb: static")
    declared = parse(text.encode(), "site.yaml")
    host = declared.hosts["h"]
    wanted = host_model(declared, host, wanted=True)
    assert [(one.port, one.bridge) for one in wanted.network.fdb] == [("web.0", "br0")]
    saved = host_model(declared, host, state=declared_links(declared, host))
    assert saved.network.fdb == ()
