"""A host with guards on a real switch, by hand: apply, an attack, status, rules lost, apply again, guards off, undo."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from bascule.frames.guarding import build as b
from bascule.system.run import run
from tests.guards.segment import PARTIES, site_text
from tests.lab import open_lab
from tests.ovs.stage import require
from tests.patience import HUNG_S, patient

pytestmark = pytest.mark.kernel


def test_a_guarded_switch_from_apply_to_undo(tmp_path: Path) -> None:
    require()
    from bascule.providers.ovs.observe import observe
    from bascule.twin.switches import start

    file = tmp_path / "site.yaml"
    text = site_text().replace("up.0", "up0").replace("br0: {", "br0: {kind: openvswitch, datapath: netdev, ")
    file.write_text(text)
    with open_lab() as lab:
        host = lab.host("up0")
        for daemon in start(host, tmp_path / "ovs"):
            lab.keep(daemon.stop)
        fds = {name: lab.tap(host, name) for name in ("web.0", "db.0")}
        for name in fds:
            lab.ip(host, f"link set {name} up")
        env = {"BASCULE_STATE_DIR": str(tmp_path / "state")}
        door = f"unix:{tmp_path}/ovs/br0.mgmt"

        def bascule(*words: str, status: int = 0) -> str:
            done = lab.bascule(host, *words, env=env, hostname="h")
            assert done.returncode == status, done.stdout + done.stderr
            return " ".join(done.stdout.split())

        plan = bascule("plan", str(file))
        assert "guard web.0, db.0 by OpenFlow: load" in plan
        assert f"ovs-ofctl -O OpenFlow14 --bundle add-flows {door} - <<" in bascule("plan", str(file), "--commands")
        assert "its guards let through DHCP requests and a release in others' names: OpenFlow does not see" in plan
        bascule("apply", str(file), "--yes", "--no-confirm")
        assert json.loads(bascule("plan", str(file), "--json"))["changes"] == []
        os.set_blocking(fds["db.0"], False)
        for _ in range(12):
            os.write(fds["web.0"], b.arp(PARTIES.me.raw, 2, PARTIES.me.raw, PARTIES.router.ip4, PARTIES.other.ip4))
        end, line = (
            time.monotonic() + patient(20),
            "web.0: 12 frames with ARP for another's address or MAC: 10.0.0.1 (12)",
        )
        while line not in (told := bascule("status")) and time.monotonic() < end:
            time.sleep(0.2)
        assert line in told
        assert json.loads(bascule("status", "--json"))["drift"] == []
        assert "bridge bascule_guards" not in run(("nft", "list", "ruleset"), namespace=host).stdout

        assert "its guard stands at web.0" in bascule("verify", str(file), "--attack", "web", status=1)  # not asked
        run(("ovs-ofctl", "-O", "OpenFlow14", "add-flow", door, "cookie=0x77,priority=200,actions=NORMAL"))
        words = "somebody else's rules of OpenFlow stand among those of its guards, and may pass them over"
        assert f"{words}: cookie=0x77,table=0,priority=200 actions=NORMAL" in bascule("plan", str(file))
        assert f"what may bypass the guards: br0: {words}: cookie=0x77,table=0" in bascule("status")
        assert words in bascule("doctor", str(file), status=1)
        verified = json.loads(bascule("verify", str(file), "--json", status=1))  # its guest does not answer
        (over,) = (one for one in verified["checks"] if (one["id"], one["subject"]) == ("guard", "br0"))
        assert (over["ok"], words in over["detail"]) == (None, True)
        vsctl = ("ovs-vsctl", f"--db=unix:{tmp_path}/ovs/db.sock", f"--timeout={HUNG_S:.0f}")
        run((*vsctl, "set-controller", "br0", "tcp:127.0.0.1:6653"))
        assert "it has a controller, which may put rules of OpenFlow before those" in bascule("plan", str(file))
        run((*vsctl, "del-controller", "br0"))
        bascule("apply", str(file), "--yes", "--no-confirm")
        assert json.loads(bascule("status", "--json"))["passed_over"] == []
        run(("ovs-ofctl", "-O", "OpenFlow14", "del-flows", door))  # as a crash of ovs-vswitchd does
        assert "the site file wants a guard here, and there is none" in bascule("doctor", str(file), status=1)
        assert "guard web.0, db.0 by OpenFlow" in bascule("status", status=1)
        bascule("apply", str(file), "--yes", "--no-confirm")
        file.write_text(text.replace('"52:54:00:00:00:0a"', '"52:54:00:00:00:0a", limit: {up: 10Mbit, down: 20Mbit}'))
        assert "what web sends is not limited: the userspace datapath has no policer" in bascule("plan", str(file))
        bascule("apply", str(file), "--yes", "--no-confirm")
        limited = observe(f"{tmp_path}/ovs/db.sock").ports["web.0"]
        assert (limited.interfaces[0].ingress_policing_rate, limited.interfaces[0].ingress_policing_burst) == (
            10000,
            1000,
        )
        assert limited.qos is not None
        assert (limited.qos.type, limited.qos.other_config) == ("linux-htb", {"max-rate": "20000000"})
        assert "htb" in run(("tc", "qdisc", "show", "dev", "web.0"), namespace=host).stdout
        assert json.loads(bascule("plan", str(file), "--json"))["changes"] == []
        file.write_text(text.replace("guard: strict", "guard: off"))
        assert "delete the guards' rules" in bascule("plan", str(file))
        bascule("apply", str(file), "--yes", "--no-confirm")
        found = observe(f"{tmp_path}/ovs/db.sock")
        assert (found.flows, found.bridges["br0"].fail_mode) == ({}, None)
        free = found.ports["web.0"]
        assert (free.interfaces[0].ingress_policing_rate, free.qos) == (0, None)
        assert "NORMAL" in run(("ovs-ofctl", "-O", "OpenFlow14", "dump-flows", door)).stdout
        bascule("undo")
        found = observe(f"{tmp_path}/ovs/db.sock")
        assert "br0" in found.flows
        assert found.ports["web.0"].qos == limited.qos
        assert found.bridges["br0"].fail_mode == "secure"
