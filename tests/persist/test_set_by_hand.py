"""What somebody set by hand beside a manager's files is there after the change and after undo, though it reads them.

systemd-networkd takes away routes and rules that no file says, and undo said that the host was as before.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.persist.readers import ask
from tests.persist.test_takeover import HOSTS, NICS, SITE

SCRIPT = """\
export PATH={bin}:/usr/local/sbin:/usr/sbin:/sbin:$PATH
hostname vmserver
{before}
{up}
until ip -4 route show dev eth2 2>/dev/null | grep -q default; do sleep 0.1; done
sleep 2
ip addr add 192.168.1.11/24 dev eth2
ip route add 10.99.0.0/16 via 192.168.1.7 dev eth2
ip route add default via 192.168.1.1 dev eth2 table 99
ip rule add from 192.168.1.11 lookup 99 priority 500
ip neigh replace 192.168.1.9 lladdr 02:00:00:00:00:99 nud permanent dev eth2
told() {{
    ip -4 -o addr show $1 | sed 's/ *valid_lft.*//;s/^[0-9]*: *//'; ip route show; ip route show table 99
    ip rule; ip neigh show nud permanent
}}
told eth2 >/tmp/before
apply="bascule apply /site.yaml --here --yes --no-confirm --driver none"
$apply >/tmp/applied 2>&1 || {{ cat /tmp/applied >&2; exit 1; }}
sleep 3
told br2 | sed 's/br2/eth2/g;s/ proto bascule//;s/ proto 98//' >/tmp/changed
bascule undo >/tmp/said 2>&1 || {{ cat /tmp/said >&2; exit 1; }}
sleep 3
told eth2 >/tmp/after
diff /tmp/before /tmp/after && cat /tmp/changed
cat /tmp/before /tmp/applied /tmp/said >&2
"""
BY_HAND = (
    "inet 192.168.1.11/24", "10.99.0.0/16 via 192.168.1.7 dev eth2", "default via 192.168.1.1 dev eth2",
    "500:\tfrom 192.168.1.11 lookup 99", "192.168.1.9 dev eth2 lladdr 02:00:00:00:00:99 PERMANENT",
)  # fmt: skip
TAKES_AWAY = ("networkd", "netplan")


@pytest.mark.kernel
@pytest.mark.parametrize("manager", HOSTS)
def test_what_somebody_set_by_hand_is_there_after_the_change_and_after_undo(manager: str, tmp_path: Path) -> None:
    host = HOSTS[manager]
    script = SCRIPT.format(bin=Path(sys.executable).parent, before=host.before, up=host.up)
    seen = ask(tmp_path, host.packages, {**host.files, "site.yaml": SITE}, script, nics=NICS, timeout_s=90)
    assert seen.status == 0, seen.stdout + seen.stderr
    assert [words for words in BY_HAND if words not in seen.stdout] == [], seen.stdout + seen.stderr
    assert "rule 500 from 192.168.1.11 lookup 99 is gone" not in seen.stderr
    # what it takes away at which reading is its own affair
    assert ("/etc/systemd/networkd.conf.d/foreign.conf keeps it" in seen.stderr) == (manager in TAKES_AWAY)


@pytest.mark.kernel
@pytest.mark.parametrize("manager", TAKES_AWAY)
def test_what_is_said_to_keep_it_keeps_it(manager: str, tmp_path: Path) -> None:
    """systemd-networkd takes nothing away then, and nothing is said."""
    host = HOSTS[manager]
    script = SCRIPT.format(bin=Path(sys.executable).parent, before=host.before, up=host.up)
    setting = "[Network]\nManageForeignRoutes=no\nManageForeignRoutingPolicyRules=no\n"
    files = {**host.files, "site.yaml": SITE, "etc/systemd/networkd.conf.d/foreign.conf": setting}
    seen = ask(tmp_path, host.packages, files, script, nics=NICS, timeout_s=90)
    assert seen.status == 0, seen.stdout + seen.stderr
    assert [words for words in BY_HAND if words not in seen.stdout] == [], seen.stdout + seen.stderr
    assert "taken away by" not in seen.stderr
