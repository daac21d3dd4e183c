"""A bridge of the host's own, under NetworkManager: named by a site file, left out again, and both taken back.

Its own profiles come back when the file does not name it any more, and NetworkManager goes by them. When undo gives it
ours again it would activate those anew, and take the NIC off the bridge.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.persist.readers import ask
from tests.persist.test_takeover import HOSTS, NICS

FOLDER = "etc/NetworkManager/system-connections"
OWN = {
    f"{FOLDER}/vm.nmconnection": "[connection]\nid=vm\nuuid=11111111-1111-1111-1111-111111111113\ntype=bridge\n"
    "interface-name=vmbr0\n\n[bridge]\nstp=false\n\n[ipv4]\nmethod=manual\naddress1=192.168.1.10/24\n\n"
    "[ipv6]\nmethod=disabled\n",
    f"{FOLDER}/port.nmconnection": "[connection]\nid=port\nuuid=11111111-1111-1111-1111-111111111114\ntype=ethernet\n"
    "interface-name=eth2\nmaster=vmbr0\nslave-type=bridge\n",
}
NAMED = """\
site: s
hosts: {kvm: {nics: {eth2: {}}, bridges: {vmbr0: {uplink: eth2}}, persist: keyfile}}
"""
LEFT_OUT = "site: s\nhosts: {kvm: {nics: {eth3: {}}, bridges: {br3: {uplink: eth3}}, persist: keyfile}}\n"
SCRIPT = """\
export PATH={bin}:/usr/local/sbin:/usr/sbin:/sbin:$PATH
hostname kvm
{before}
start
told() {{ sleep 4; grep INTERFACE /sys/class/net/eth2/master/uevent || echo alone; }}
until ip addr show vmbr0 2>/dev/null | grep -q 192.168.1.10; do sleep 0.1; done
apply="bascule apply --here --yes --no-confirm --driver none"
for file in named left-out; do
    $apply /$file.yaml >/tmp/said 2>&1 || {{ cat /tmp/said >&2; exit 1; }}
done
told
for undo in second first; do
    bascule undo >/tmp/said 2>&1 || {{ cat /tmp/said >&2; exit 1; }}
    told
done
"""


@pytest.mark.kernel
def test_its_nic_stays_in_it(tmp_path: Path) -> None:
    host = HOSTS["keyfile"]
    script = SCRIPT.format(bin=Path(sys.executable).parent, before=host.before)
    tree = {**OWN, "named.yaml": NAMED, "left-out.yaml": LEFT_OUT}
    seen = ask(tmp_path, host.packages, tree, script, nics=NICS, timeout_s=90)
    assert seen.status == 0, seen.stdout + seen.stderr
    assert seen.stdout.split() == ["INTERFACE=vmbr0"] * 3
    assert "192.168.1.10/24" in seen.addresses("vmbr0")
