"""A real sshd on a NIC that becomes a port of Open vSwitch: the line holds, and what nobody confirms comes back."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

from bascule.system.run import run
from tests.apply.hosts import difference, journal_of, time_is_up, wait_for
from tests.apply.test_sshd import bascule
from tests.lab import Lab
from tests.ovs.stage import rows, switched
from tests.patience import HUNG_S
from tests.sshd import sshd

SITE = """\
site: cut
networks:
  lan: {subnet: [10.0.0.0/24, 'fd00::/64']}
hosts:
  h:
    nics: {eth0: {network: lan}}
    bridges: {ovs0: {kind: openvswitch, datapath: netdev, uplink: eth0, address: from-uplink}}
"""


def test_the_line_holds_and_comes_back(lab: Lab, tmp_path: Path) -> None:
    """One ping a second goes on all the time: each move costs one of them on a quiet machine."""
    bed = switched(lab, tmp_path, SITE)
    with bed.wire.entered():  # in userspace a frame is handed on as it is, and a veth leaves its checksum open
        run(("ethtool", "-K", "eth0w", "tx", "off"))
    before = bed.raw()
    with (
        sshd(bed.host, bed.wire, "10.0.0.5", tmp_path, {"BASCULE_STATE_DIR": str(bed.state)}, hostname="h") as ssh,
        bed.wire.entered(),
        subprocess.Popen(("ping", "-i", "1", "-W", "1", "10.0.0.5"), stdout=subprocess.PIPE, text=True) as ping,
    ):
        text = ssh(bascule(f"apply {bed.site} --yes --confirm-within 600s")).communicate(timeout=HUNG_S)[0]
        assert "your address stays 10.0.0.5, on ovs0" in " ".join(text.split())
        assert rows(bed).ports["eth0"].bridge == "ovs0"
        assert "10.0.0.5/24" in bed.ip("-br addr show dev ovs0")
        assert "ovs0" in ssh("ip -br addr show dev ovs0").communicate(timeout=HUNG_S)[0], "a new session over it"
        time_is_up(journal_of(bed.state))
        assert wait_for(lambda: difference(before, bed.raw()), lambda left: not left, 20) == []
        assert rows(bed).bridges == {}
        assert "by dead-man" in ssh(bascule("status")).communicate(timeout=HUNG_S)[0]
        ping.send_signal(signal.SIGINT)
        told = ping.communicate(timeout=HUNG_S)[0]
    sent, got = map(int, re.findall(r"(\d+) packets transmitted, (\d+) received", told)[0])
    assert sent - got < 8, told  # a line that waits for its neighbours' caches loses more than that
