"""A real sshd: the change cuts the line that it was made over, and the dead-man brings it back."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.lab import Lab
from tests.patience import HUNG_S

SITE = """\
site: cut
networks:
  lan: {subnet: [10.0.0.0/24, 'fd00::/64']}
hosts:
  h:
    nics: {eth0: {network: lan}}
    bridges: {br0: {uplink: eth0%s}}
"""

Ssh = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    return furnish(lab, tmp_path, SITE % "")


@pytest.fixture
def ssh(bed: Bed, tmp_path: Path) -> Iterator[Ssh]:
    """Log in from the wire. The daemon's key and folders are its own; nobody else is let in."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if sshd is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here (apt-get install openssh-server openssh-client)")
    Path("/run/sshd").mkdir(exist_ok=True)  # its own privilege separation folder
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name), check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    options = {
        "HostKey": folder / "host", "AuthorizedKeysFile": folder / "authorized", "PidFile": folder / "pid",
        "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PermitRootLogin": "prohibit-password",
        "ListenAddress": "10.0.0.5", "ClientAliveInterval": "1", "ClientAliveCountMax": "2", "AcceptEnv": "BASCULE_*",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    with bed.host.entered():
        daemon = subprocess.Popen((sshd, "-D", "-f", "/dev/null", *words), stderr=subprocess.DEVNULL)

    sessions: list[subprocess.Popen[str]] = []

    def log_in(command: str) -> subprocess.Popen[str]:
        with bed.wire.entered():
            session = subprocess.Popen(
                ("ssh", "-tt", "-F", "/dev/null", "-i", folder / "user", "-o", "StrictHostKeyChecking=no",
                 "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=3",
                 "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2", "-o", "SendEnv=BASCULE_STATE_DIR",
                 "root@10.0.0.5", command),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, "BASCULE_STATE_DIR": str(bed.state)},
            )  # fmt: skip
        sessions.append(session)
        return session

    try:
        if not wait_for(lambda: log_in("true").communicate(timeout=HUNG_S)[0] == "", bool, 10):
            pytest.skip(f"the sshd of this machine lets nobody in: {log_in('true').communicate()[0]}")
        yield log_in
    finally:
        for session in sessions:  # whatever a test left running, also when it failed
            with session:
                session.terminate()
        daemon.terminate()
        daemon.wait()


def bascule(words: str) -> str:
    return f"{sys.executable} -m bascule {words}"


def test_the_line_is_cut_and_comes_back(bed: Bed, ssh: Ssh) -> None:
    """The gateways answer the new addresses, so no check fails: only the line is cut, and only the dead-man is left."""
    words = "[10.0.0.77/24, 'fd00::77/64'], gateway: [10.0.0.1, 'fd00::1']"
    bed.site.write_text(SITE % f", address: {words}")
    before = bed.raw()
    session = ssh(bascule(f"apply {bed.site} --yes --confirm-within 8s"))
    applied = wait_for(bed.status, lambda found: found["status"] == "applied", 20)
    assert applied["status"] == "applied", applied
    assert 0 < applied["seconds_left"] <= 8
    assert "10.0.0.77" in bed.ip("-br addr")
    assert "10.0.0.5" not in bed.ip("-br addr")
    dead = ssh("true")
    dead.communicate(timeout=HUNG_S)
    assert dead.returncode == 255, "nobody reaches the old address now"
    told = " ".join(session.communicate(timeout=HUNG_S)[0].split())
    assert "your own line (from 10.0.0.1 to 10.0.0.5) runs over it; 10.0.0.5 goes away with it" in told
    assert session.returncode == 255, "ssh itself gave the line up"
    assert wait_for(lambda: difference(before, bed.raw()), lambda left: not left, 20) == []
    again = wait_for(lambda: ssh(bascule("status")).communicate(timeout=HUNG_S)[0], lambda text: "taken back" in text)
    assert "was taken back" in again
    assert "by dead-man: nobody confirmed it in time" in again


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
    assert "your own line (from 10.0.0.1)" in session.communicate(timeout=HUNG_S)[0]
    assert bed.run("undo").returncode == 0
