"""An ovs-vswitchd that runs and does nothing: stopped by a signal, or without the lock of its database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.host.live import LiveHost
from bascule.model.values import IfName
from bascule.providers.effects import ObserveScope
from bascule.providers.observe import begin, look
from bascule.system import openvswitch
from bascule.system.openvswitch import Daemons, ask, daemons
from tests.apply.hosts import Bed
from tests.lab import Lab
from tests.ovs.stage import rows, switched, vsctl

STOPPED = "ovs-vswitchd is stopped, by a signal or a debugger"


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Iterator[Bed]:
    """A host whose change stands; its ovs-vswitchd goes on when the test ends."""
    bed = switched(lab, tmp_path)
    assert bed.apply("--no-confirm").returncode == 0
    yield bed
    held(bed, signal.SIGCONT)


def held(bed: Bed, number: signal.Signals) -> None:
    """Stop ovs-vswitchd, or let it go on."""
    found = daemons(bed.host)
    assert found is not None
    os.kill(int(found.pid), number)


def test_the_processes_are_looked_through_once(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be thousands, and a verb asks for the daemons a dozen times; one that has ended is not believed."""
    looked: list[int] = []
    every = openvswitch._processes
    monkeypatch.setattr(openvswitch, "_processes", lambda: every() if looked.append(1) is None else ())  # type: ignore[func-returns-value]
    openvswitch._met.clear()
    first = [openvswitch.daemons(bed.host) for _ in range(3)]
    assert first[0] is not None
    assert (len(set(first)), len(looked)) == (1, 1)
    openvswitch._met[bed.host.identity] |= {openvswitch.SWITCH: 1}  # it has ended, and another has its number
    assert (openvswitch.daemons(bed.host), len(looked)) == (first[0], 2)


def test_a_stopped_one_is_said_by_every_verb_and_nothing_is_called_taken_back(bed: Bed) -> None:
    """Nobody waits for it, and the way back is finished when it goes on."""
    held(bed, signal.SIGSTOP)
    for verb in ("plan", "verify"):
        told = bed.run(verb, str(bed.site))
        assert told.returncode == 1
        assert f"error[OPENVSWITCH-DEAD]: the database of Open vSwitch answers, but {STOPPED}" in told.stderr
    state = json.loads(bed.run("status", "--json").stdout)
    assert (state["ok"], state["unseen"]) == (False, [f"ovs: {STOPPED}"])
    found = json.loads(bed.run("doctor", str(bed.site), "--json").stdout)["findings"]
    assert STOPPED in next(one["text"] for one in found if one["id"] == "openvswitch-dead")
    back = bed.run("undo")
    assert back.returncode == 1
    assert "NOT completely taken back" in back.stdout + back.stderr
    assert STOPPED in back.stdout + back.stderr
    assert json.loads(bed.run("status", "--json").stdout)["status"] == "failed"
    assert not rows(bed).bridges  # that alone is no way back
    held(bed, signal.SIGCONT)
    assert bed.run("undo").returncode == 0
    assert "was taken back" in bed.run("status").stdout


def test_the_kernel_is_asked_again_where_it_had_still_to_do_what_it_was_told(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listings were begun before, while the internal port had its old MAC."""
    root, mac = rows(bed).seen.root, "02:00:00:00:00:99"
    lag = Daemons.lag

    def going_on(self: Daemons, asked: int, done: int) -> str:
        held(bed, signal.SIGCONT)
        now = daemons(bed.host)
        assert now is not None
        return lag(now, asked, done)

    monkeypatch.setattr(Daemons, "lag", going_on)
    held(bed, signal.SIGSTOP)
    changed = ("set", "Bridge", "ovs3", f'other_config:hwaddr="{mac}"')
    ask(rows(bed).socket, ["Open_vSwitch", {"op": "mutate", "table": "Open_vSwitch", "where": [
        ["_uuid", "==", ["uuid", root]]], "mutations": [["next_cfg", "+=", 1]]}])  # fmt: skip
    vsctl(bed, "--no-wait", *changed)
    begun = begin(LiveHost(bed.host))
    begun.texts()
    seen = look(ObserveScope(where=LiveHost(bed.host)), begun).links[IfName("ovs3")]
    assert (seen.mac, seen.up) == (mac, True)


def test_one_without_its_lock_answers_and_has_not_done_what_was_asked(bed: Bed) -> None:
    """Its count of changes is behind: it would do them when it has its lock again."""
    words = ("ovsdb-client", "steal", f"unix:{bed.state.parent}/ovs/db.sock", "ovs_vswitchd")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert "locked" in holder.stdout.readline()
        vsctl(bed, "--no-wait", "set", "Open_vSwitch", ".", "next_cfg=100")
        told = bed.run("plan", str(bed.site))
        assert "changes of its database: changes in it have no effect" in told.stderr
        assert told.returncode == 1
        found = json.loads(bed.run("doctor", str(bed.site), "--json").stdout)["findings"]
        (dead,) = [one for one in found if one["id"] == "openvswitch-dead"]
        assert "changes of 100 are done (cur_cfg, next_cfg)" in " ".join(dead["evidence"])
        holder.terminate()
    assert bed.run("plan", str(bed.site)).returncode == 0
