"""A bridge that a manager has made again by our file has no mark, and is Bascule's all the same.

No file of systemd-networkd, NetworkManager or ifupdown says an alias. After each start the plan told of a lost mark,
and a bridge that left the site file stayed with the host's addresses on it and without its NIC.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.persist.readers import ask
from tests.persist.test_takeover import ENABLED, HOSTS, NICS, SITE

pytestmark = pytest.mark.kernel
LEFT = "site: kept\nhosts: {vmserver: {nics: {eth3: {}}}}\n"
SCRIPT = """\
export PATH={bin}:/usr/local/sbin:/usr/sbin:/sbin:$PATH
hostname vmserver
wants=/etc/systemd/system/multi-user.target.wants
mkdir -p $wants; rm -f $wants/networking.service $wants/NetworkManager.service $wants/systemd-networkd.service
[ -z "{unit}" ] || ln -s /lib/systemd/system/{unit}.service $wants/{unit}.service
has() {{ ip addr show dev $1 2>/dev/null | grep -q 192.168.1.10/24; }}
until_has() {{ for i in $(seq 400); do has $1 && return; sleep 0.1; done; ip addr >&2; exit 1; }}
apply="bascule apply --here --yes --no-confirm --driver none"
change() {{ $apply $1 >/tmp/said 2>&1 || {{ cat /tmp/said >&2; exit 1; }}; }}
{before}
{up}
until_has eth2
sleep 1
change /site.yaml
until_has br2
{stop}
ip link del br2; ip addr flush dev eth2
rm -rf /run/network/ifstate* /run/NetworkManager/devices /run/NetworkManager/state
{start}
until_has br2
plan="bascule plan /site.yaml --here --driver none --json"
for i in $(seq 60); do $plan >/tmp/plan; grep -q '"changes": *\\[\\]' /tmp/plan && break; sleep 1; done
echo "### alias $(cat /sys/class/net/br2/ifalias)"
cat /tmp/plan
change /left.yaml
until_has eth2
echo "### $(cat /sys/class/net/br2/ifalias 2>/dev/null || echo gone), eth2 $(has eth2 && echo has its address)"
bascule undo --yes >/dev/null
until_has br2
for i in $(seq 100); do [ -e /sys/class/net/eth2/master ] && break; sleep 0.1; done
echo "### eth2 in $(basename $(readlink /sys/class/net/eth2/master))"
"""


@pytest.mark.parametrize("name", [name for name in HOSTS if name != "netplan for NetworkManager"])
def test_a_bridge_that_a_manager_made_again_goes_with_its_line(name: str, tmp_path: Path) -> None:
    host = HOSTS[name]
    stop, start = ("stop", host.restart.removeprefix("stop; ")) if "stop; " in host.restart else ("", host.up)
    values = {"bin": Path(sys.executable).parent, "unit": ENABLED.get(name, ""), "before": host.before, "up": host.up}
    script = SCRIPT.format(stop=stop, start=start, **values)
    files = {**host.files, "site.yaml": SITE, "left.yaml": LEFT}
    seen = ask(tmp_path, host.packages, files, script, nics=NICS, timeout_s=200)
    assert seen.status == 0, seen.stdout[-2000:] + seen.stderr[-2000:]
    print(seen.stdout, seen.stderr)
    _, first, second, third = seen.stdout.split("### ")
    alias, _, plan = first.partition("\n")
    assert alias.strip() == "alias"
    told = json.loads(plan)
    assert (told["changes"], told["files"]) == ([], [])
    assert [words for words in told["mind"] if "mark" in words] == []
    assert second.strip() == "gone, eth2 has its address"
    assert third.strip() == "eth2 in br2"
