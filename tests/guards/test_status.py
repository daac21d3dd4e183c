"""A guarded host by hand: apply, an attack, status, the table flushed by somebody, apply again, undo."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bascule.frames.guarding import build as b
from bascule.policy.guards.counters import read_counters
from bascule.policy.guards.table import KEY
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.verify.doctor import DoctorFacts, examine
from tests import prefork
from tests.guards.segment import PARTIES, site_text
from tests.lab import open_lab
from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel


def test_a_guarded_host_from_apply_to_undo(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(site_text().replace("up.0", "up0"))
    with open_lab() as lab:
        host = lab.host("up0")
        fds = {name: lab.tap(host, name) for name in ("web.0", "db.0")}
        env = {"BASCULE_STATE_DIR": str(tmp_path / "state")}

        def bascule(*words: str, status: int = 0) -> str:
            done = lab.bascule(host, *words, env=env, hostname="h")
            assert done.returncode == status, done.stdout + done.stderr
            return done.stdout

        file.write_text(site_text("off").replace("up.0", "up0"))
        bascule("apply", str(file), "--yes", "--no-confirm")
        lab.ip(host, "link set web.0 up")
        os.write(fds["web.0"], b.ether(PARTIES.other.raw, PARTIES.router.raw, 0x88B5, bytes(46)))
        assert f"{PARTIES.router.mac} dev web.0" in run(("bridge", "fdb", "show"), namespace=host).stdout
        file.write_text(site_text().replace("up.0", "up0"))
        assert "forget the MACs learned before it had a guard" in " ".join(bascule("plan", str(file)).split())
        bascule("apply", str(file), "--yes", "--no-confirm")
        assert PARTIES.router.mac not in run(("bridge", "fdb", "show"), namespace=host).stdout
        for _ in range(12):
            os.write(fds["web.0"], b.arp(PARTIES.me.raw, 2, PARTIES.me.raw, PARTIES.router.ip4, PARTIES.other.ip4))
        assert "web.0: 12 frames with ARP for another's address or MAC: 10.0.0.1 (12)" in bascule("status")
        told = json.loads(bascule("status", "--json"))["stopped"]
        assert told == [{"port": "web.0", "reason": "arp", "frames": 12, "claims": {"10.0.0.1": 12}}]
        metrics = bascule("status", "--metrics").splitlines()
        assert 'bascule_guard_stopped_frames_total{port="web.0",reason="arp"} 12' in metrics
        assert {"bascule_ok 1", "bascule_change_open 0", "bascule_change_number 2", "bascule_drift 0"} <= set(metrics)
        assert not any(line.startswith("bascule_change_left_seconds") for line in metrics)
        bascule("status", "--metrics", "--json", status=64)
        before = run(("bridge", "fdb", "show"), namespace=host).stdout
        attacked = bascule("verify", str(file), "--attack", "web")
        assert "guard strict: 86 of 86 kinds of hostile frames stopped, 45 of 45" in " ".join(attacked.split())
        heard = _drained(fds["db.0"])
        assert not [frame for frame in heard if b"\x02\x00\x5e\xa7" in frame]
        assert "bascule_attack" not in run(("nft", "list", "ruleset"), namespace=host).stdout
        assert {x.split()[0] for x in before.splitlines()} >= {
            x.split()[0] for x in run(("bridge", "fdb", "show"), namespace=host).stdout.splitlines()
        }
        assert not json.loads(bascule("status", "--json"))["drift"]
        left = _left_by_a_killed_attack(host, file, env)
        assert "table bridge bascule_attack, elements of bridge bascule_guards" in left  # its ports went with it
        assert "86 of 86" in bascule("verify", str(file), "--attack", "web")
        assert "attack" not in bascule("status")
        for listing in (
            ("ip", "link", "show"),
            ("nft", "list", "set", *KEY.split(), "macs"),
            ("nft", "list", "tables"),
        ):
            assert "attack" not in run(listing, namespace=host).stdout
        lab.ip(host, "link add bascule-attack type veth peer name p")
        run(("ip", "link", "set", "bascule-attack", "alias", f"bascule:attack {os.getpid()}"), namespace=host)
        done = lab.bascule(host, "verify", str(file), "--attack", "web", env=env, hostname="h")
        assert "error[ATTACK-RUNS]" in done.stderr
        lab.ip(host, "link del bascule-attack")
        run(("nft", "flush", "ruleset"), namespace=host)
        assert "no guard stands" in bascule("verify", str(file), "--attack", "web", status=1)
        assert "bascule_guards" in "\n".join(json.loads(bascule("status", "--json", status=1))["drift"])
        bascule("apply", str(file), "--yes", "--no-confirm")
        assert "bascule_guards" in run(("nft", "list", "ruleset"), namespace=host).stdout
        for _ in range(3):
            bascule("undo")
        assert "bascule_guards" not in run(("nft", "list", "ruleset"), namespace=host).stdout


def _left_by_a_killed_attack(host: Namespace, file: Path, env: dict[str, str]) -> str:
    """Kill one as soon as it sends, or the next where it was over too soon, and ask the doctor."""
    words = ("verify", str(file), "--host", "h", "--attack", "web")

    def is_sending() -> bool:
        with host.entered():
            return "bascule-hears" in {name for _, name in socket.if_nameindex()}

    end = time.monotonic() + HUNG_S
    while not is_sending():
        assert time.monotonic() < end
        with host.entered():
            one = prefork.start(
                *words, env={**os.environ, **env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )  # fmt: skip
        while one.poll() is None and not is_sending():
            time.sleep(0.002)
        one.kill()
        one.wait()
    with host.entered():
        found = examine(DoctorFacts(state=observe()))
    return next(x.evidence[0] for x in found if x.id == "guards" and x.subject == "bascule-attack")


def _drained(tap: int) -> list[bytes]:
    """What has come to a guest."""
    os.set_blocking(tap, False)
    found = []
    try:
        while True:
            found.append(os.read(tap, 65536))
    except BlockingIOError:
        return found


def test_counters_are_told_by_port_and_the_most_frequent_first() -> None:
    where = {"family": "bridge", "table": "bascule_guards"}
    listing = {
        "nftables": [
            {
                "set": {
                    **where,
                    "name": "stopped_mac",
                    "elem": [{"elem": {"val": "a", "counter": {"packets": 2, "bytes": 9}}}],
                }
            },
            {
                "set": {
                    **where,
                    "name": "stopped_nd",
                    "elem": [{"elem": {"val": "a", "counter": {"packets": 5, "bytes": 9}}}],
                }
            },
            {
                "set": {
                    **where,
                    "name": "claimed_nd",
                    "elem": [
                        {"elem": {"val": {"concat": ["a", "0xfe80" + 27 * "0" + "1"]}, "counter": {"packets": 5}}}
                    ],
                }
            },
            {"set": {**where, "name": "stopped_others", "elem": [{"elem": {"val": "a", "counter": {"packets": 7}}}]}},
            {"set": {**where, "name": "ports", "elem": ["a"]}},
        ]
    }
    assert [str(one) for one in read_counters(json.dumps(listing))] == [
        "a: 5 frames with neighbour discovery for another's address or MAC: fe80::1 (5)",
        "a: 2 frames from another MAC",
    ]
