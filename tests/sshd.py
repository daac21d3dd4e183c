"""A real sshd in a namespace, and logins to it from another one."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from bascule.system.net.netns import Namespace
from tests.apply.hosts import wait_for
from tests.lab import called
from tests.patience import HUNG_S


class Ssh(Protocol):
    """Log in and run a command; the session is ended with the test, if it has not ended before."""

    def __call__(self, command: str, address: str = "") -> subprocess.Popen[str]: ...


@contextlib.contextmanager
def sshd(
    host: Namespace,
    client: Namespace,
    address: str,
    folder: Path,
    environment: Mapping[str, str],
    *,
    hostname: str = "",
) -> Iterator[Ssh]:
    """The daemon, whose key and folders are its own; nobody else is let in. Skips where there is none.

    ``environment`` has variables that start with BASCULE_.
    """
    daemon_path = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
    if daemon_path is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd here (apt-get install openssh-server openssh-client)")
    Path("/run/sshd").mkdir(exist_ok=True)  # its own privilege separation folder
    keys = folder / "ssh"
    keys.mkdir(mode=0o700)
    for name in ("host", "user"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", keys / name), check=True)
    shutil.copy(keys / "user.pub", keys / "authorized")
    options = {
        "HostKey": keys / "host", "AuthorizedKeysFile": keys / "authorized", "PidFile": keys / "pid",
        "StrictModes": "no", "UsePAM": "no", "PasswordAuthentication": "no", "PermitRootLogin": "prohibit-password",
        "ListenAddress": "0.0.0.0", "ClientAliveInterval": "1", "ClientAliveCountMax": "2", "AcceptEnv": "BASCULE_*",
    }  # fmt: skip
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    with host.entered(), called(hostname):
        daemon = subprocess.Popen((daemon_path, "-D", "-f", "/dev/null", *words), stderr=subprocess.DEVNULL)

    sessions: list[subprocess.Popen[str]] = []

    def log_in(command: str, address: str = address) -> subprocess.Popen[str]:
        with client.entered():
            session = subprocess.Popen(
                ("ssh", "-tt", "-F", "/dev/null", "-i", keys / "user", "-o", "StrictHostKeyChecking=no",
                 "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=3",
                 "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2", "-o", "SendEnv=BASCULE_*",
                 f"root@{address}", command),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                env={**os.environ, **environment},
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
