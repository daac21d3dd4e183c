"""A real sshd: the change cuts the line that it was made over, and the dead-man brings it back."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apply.hosts import Bed, difference, furnish, journal_of, time_is_up, wait_for
from tests.lab import Lab
from tests.patience import HUNG_S
from tests.sshd import Ssh, sshd

SITE = """\
site: cut
networks:
  lan: {subnet: [10.0.0.0/24, 'fd00::/64']}
hosts:
  h:
    nics: {eth0: {network: lan}}
    bridges: {br0: {uplink: eth0%s}}
"""


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    return furnish(lab, tmp_path, SITE % "")


@pytest.fixture
def ssh(bed: Bed, tmp_path: Path) -> Iterator[Ssh]:
    with sshd(bed.host, bed.wire, "10.0.0.5", tmp_path, {"BASCULE_STATE_DIR": str(bed.state)}, hostname="h") as log_in:
        yield log_in


def bascule(words: str) -> str:
    return f"{sys.executable} -m bascule {words}"


def test_the_line_is_cut_and_comes_back(bed: Bed, ssh: Ssh) -> None:
    """The gateways answer the new addresses, so no check fails: only the line is cut, and only the dead-man is left."""
    words = "[10.0.0.77/24, 'fd00::77/64'], gateway: [10.0.0.1, 'fd00::1']"
    bed.site.write_text(SITE % f", address: {words}")
    before = bed.raw()
    session = ssh(bascule(f"apply {bed.site} --yes --confirm-within 600s"))
    applied = wait_for(bed.status, lambda found: found["status"] == "applied", 20)
    assert applied["status"] == "applied", applied
    assert 0 < applied["seconds_left"] <= 600
    assert "10.0.0.77" in bed.ip("-br addr")
    assert "10.0.0.5" not in bed.ip("-br addr")
    dead = ssh("true")
    dead.communicate(timeout=HUNG_S)
    assert dead.returncode == 255, "nobody reaches the old address now"
    time_is_up(journal_of(bed.state))
    told = " ".join(session.communicate(timeout=HUNG_S)[0].split())
    assert "your own connection (from 10.0.0.1 to 10.0.0.5) runs over it; 10.0.0.5 is removed with it" in told
    assert session.returncode == 255, "ssh itself gave the line up"
    assert wait_for(lambda: difference(before, bed.raw()), lambda left: not left, 20) == []
    again = wait_for(lambda: ssh(bascule("status")).communicate(timeout=HUNG_S)[0], lambda text: "taken back" in text)
    assert "was taken back" in again
    assert "by dead-man: nobody confirmed it in time" in " ".join(again.split())


def test_the_line_holds_where_the_address_moves(bed: Bed, ssh: Ssh) -> None:
    bed.site.write_text(SITE % ", address: from-uplink")
    session = ssh(bascule(f"apply {bed.site} --yes --confirm-within 30s") + " && " + bascule("confirm"))
    text = session.communicate(timeout=HUNG_S)[0]
    assert session.returncode == 0, text
    assert "your address stays 10.0.0.5, on br0" in text
    assert "is confirmed" in text
    time.sleep(0.2)
    assert bed.status()["status"] == "confirmed"


def test_under_sudo_the_line_is_found_all_the_same(bed: Bed, ssh: Ssh) -> None:
    """sudo drops SSH_CONNECTION; the session above it still has it."""
    bed.site.write_text(SITE % ", address: from-uplink")
    session = ssh("env -u SSH_CONNECTION " + bascule(f"apply {bed.site} --yes --confirm-within 30s") + "; exit $?")
    assert "your own connection (from 10.0.0.1)" in session.communicate(timeout=HUNG_S)[0]
    assert bed.run("undo").returncode == 0
