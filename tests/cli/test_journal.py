"""``status --watch`` as a service: drift is a warning in the journal, with fields. A real journald is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel
JOURNALD = Path("/lib/systemd/systemd-journald")
# /run is this namespace's own, and so is the journal; systemd itself sets JOURNAL_STREAM for a service
SCRIPT = """
set -e
mount -t tmpfs none /run
mkdir -p /run/systemd /run/log/journal
mount -t tmpfs none /var/log
{journald} 2>/dev/null &
until [ -S /run/systemd/journal/stdout ]; do sleep 0.1; done
ip link set lo up
for name in eth0 eth1; do ip link add $name type veth peer name far-$name; ip link set far-$name up; done
{bascule} apply "$1" --here --yes --no-confirm --root "$2" >/dev/null
told() {{ journalctl --file '/run/log/journal/*/*.journal' --output json --no-pager "$@" 2>/dev/null; }}
until_told() {{ until told "$@" | grep -q .; do sleep 0.1; done; }}
systemd-cat -t bascule sh -c '
    JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/1); export JOURNAL_STREAM; exec {bascule} status --watch' &
until_told BASCULE_EVENT=status
ip link set eth1 nomaster
until_told BASCULE_EVENT=drifted
ip link set eth1 master br1
until_told BASCULE_EVENT=back
told SYSLOG_IDENTIFIER=bascule
kill %1 %2
"""
SITE = """\
site: two
networks: {a: {subnet: 10.1.0.0/24}, b: {subnet: 10.2.0.0/24}}
hosts: {h: {nics: {eth0: {network: a}, eth1: {network: b}}, bridges: {br0: {uplink: eth0}, br1: {uplink: eth1}}}}
"""


@pytest.mark.skipif(os.geteuid() != 0 or not JOURNALD.exists(), reason="needs root and systemd-journald")
@pytest.mark.skipif(shutil.which("journalctl") is None, reason="needs journalctl")
def test_drift_is_a_warning_with_fields_and_told_once(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "root").mkdir()
    script = SCRIPT.format(journald=JOURNALD, bascule=f"{sys.executable} -m bascule")
    words = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    done = subprocess.run(
        [*words, "bash", "-c", script, "bash", tmp_path / "site.yaml", tmp_path / "root"],
        env={**os.environ, "BASCULE_STATE_DIR": str(tmp_path / "state")},
        capture_output=True, text=True, timeout=HUNG_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    fields = ("BASCULE_EVENT", "BASCULE_SUBJECT", "BASCULE_CHANGE", "PRIORITY", "MESSAGE")
    assert [tuple(entry.get(name) for name in fields) for entry in entries] == [
        ("status", None, "1", "6", "no change is pending; change 1 is confirmed"),
        ("drifted", "eth1", "1", "4", "drifted; to correct it: eth1: become a port of br1"),
        ("back", "eth1", "1", "6", "no longer drifted: eth1: become a port of br1"),
    ]
