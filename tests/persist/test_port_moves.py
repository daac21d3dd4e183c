"""A NIC that leaves a bridge which stays: no manager puts it back by what its files said until then.

To systemd-networkd a port that leaves is a link that is gone and another that comes, and it configures that by the
files that it has read (systemd issue 29896, where its author calls this expected; seen with 252).
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

from tests.persist.readers import ask
from tests.persist.test_takeover import ENABLED, HOSTS, NICS, SITE

pytestmark = pytest.mark.kernel
HELD = SITE.replace("    bridges:\n", "      eth3: {network: internal}\n    bridges:\n      br3: {uplink: eth3}\n")
MOVED = HELD.replace("br3: {uplink: eth3}", "br3: {uplink: none}\n      br4: {uplink: eth3}")
FREE = HELD.replace("      eth3: {network: internal}\n", "      eth3: {network: internal, address: 192.168.1.11/24}\n")
FREE = FREE.replace("br3: {uplink: eth3}", "br3: {uplink: none}")
NONE = MOVED.replace("    nics:", "    persist: none\n    nics:", 1)
SCRIPT = """\
export PATH={bin}:/usr/local/sbin:/usr/sbin:/sbin:$PATH
wants=/etc/systemd/system/multi-user.target.wants
mkdir -p $wants; rm -f $wants/networking.service $wants/NetworkManager.service $wants/systemd-networkd.service
[ -z "{unit}" ] || ln -s /lib/systemd/system/{unit}.service $wants/{unit}.service
{before}
{up}
for i in $(seq 600); do ip -4 route show default | grep -q 'dev eth2' && break; sleep 0.1; done
change() {{ bascule apply $1 --here --yes --driver none $2 >/tmp/said 2>&1 || {{ cat /tmp/said >&2; exit 1; }}; }}
tell() {{
    sleep 1
    echo "$1: $(basename "$(readlink /sys/class/net/eth3/master)")"
    ip -br address show eth3 >&2
}}
change /site.yaml --no-confirm; tell held
change /moved.yaml '--confirm-within 1h'; tell moved
bascule undo --yes >/dev/null; tell undone
change /moved.yaml --no-confirm; bascule undo --yes >/tmp/said || cat /tmp/said >&2; tell rashly
change /moved.yaml '--confirm-within 1s'
for i in $(seq 80); do bascule status --json | grep -q '"taken-back"' && break; sleep 0.5; done; tell unconfirmed
{unkept}
change /moved.yaml --no-confirm; tell confirmed
change /site.yaml --no-confirm; tell returned
change /free.yaml '--confirm-within 1h'; tell free
bascule confirm >/dev/null; tell kept
[ ! -e /run/systemd/network/00-bascule-change.network ] || echo left
{reload}; sleep 2
{restart}; sleep 3
bascule plan /free.yaml --here --driver none --json
"""
UNKEPT = "change /none.yaml --no-confirm; tell unkept; bascule undo --yes >/dev/null; tell again"
PLACES = [
    "held: br3", "moved: br4", "undone: br3", "rashly: br3", "unconfirmed: br3", "unkept: br4", "again: br3",
    "confirmed: br4", "returned: br3", "free:", "kept:",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTS if os.environ.get("BASCULE_SOAK") else ("netplan", "keyfile"))
def test_a_nic_that_leaves_a_bridge_stays_where_the_change_put_it(name: str, tmp_path: Path) -> None:
    host = HOSTS[name]
    # without files of ours NetworkManager goes by its own, as the plan warns
    unkept = "" if name == "keyfile" else UNKEPT
    said = re.findall(r"tell (\w+)", SCRIPT + unkept)
    script = SCRIPT.format(
        unkept=unkept,
        bin=Path(sys.executable).parent,
        unit=ENABLED.get(name, ""),
        **{key: getattr(host, key) for key in ("before", "up", "reload", "restart")},
    )
    files = {**host.files, "site.yaml": HELD, "moved.yaml": MOVED, "free.yaml": FREE, "none.yaml": NONE}
    seen = ask(tmp_path, host.packages, files, script, nics=NICS, timeout_s=200)
    assert seen.status == 0, seen.stdout + seen.stderr
    print(seen.stdout, seen.stderr)
    places, _, plan = seen.stdout.partition("{")
    assert [line.strip() for line in places.splitlines()] == [place for place in PLACES if place.split(":")[0] in said]
    after = json.loads("{" + plan)
    assert [f"{change['subject']}: {change['action']}" for change in after["changes"]] == []
    assert "192.168.1.11/24" in seen.addresses("eth3")
