"""Databases that are old, that do not answer, that are full; a port that another bridge has; a thousand ports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import CommandFailed
from bascule.model.state import HostState
from bascule.plan.change import Change
from bascule.providers.ovs import execute
from bascule.providers.ovs import observe as ovs_observe
from bascule.providers.ovs.diff import steps
from bascule.providers.ovs.observe import observe
from bascule.providers.ovs.state import BridgeRow, InterfaceRow, PortRow, SwitchState
from bascule.providers.ovs.transaction import transaction
from bascule.system import clock, openvswitch
from bascule.system.openvswitch import ask
from bascule.twin import switches as twin
from bascule.twin.switches import FOLDERS, SCHEMA, start
from tests.apply.hosts import Bed, difference, journal_of, time_is_up, wait_for
from tests.lab import Lab
from tests.ovs.stage import SWITCHED, require, rows, switched, vsctl
from tests.ovs.test_host import reach, told
from tests.patience import HUNG_S

LACKING = {  # of real versions
    "Port": ("protected",),
    "Interface": ("mtu_request", "ingress_policing_rate", "ingress_policing_burst", "error"),
    "Bridge": ("rstp_enable", "mcast_snooping_enable"),
}
AND_MORE = {"Port": ("bond_updelay", "qos"), "Interface": ("ofport",), "Bridge": ("mirrors",), "QoS": ("other_config",)}


def write_old_schema(folder: Path, *lacking: dict[str, tuple[str, ...]]) -> None:
    """The schema of a version that lacks some columns."""
    schema = json.loads(next(there / SCHEMA for there in FOLDERS if (there / SCHEMA).exists()).read_text())
    for table, columns in (one for each in lacking for one in each.items()):
        for column in columns:
            del schema["tables"][table]["columns"][column]
    del schema["cksum"]
    (folder / SCHEMA).write_text(json.dumps(schema))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """A database of a version that lacks some columns, with nobody who does what it says; its process."""
    require()
    write_old_schema(tmp_path, LACKING, AND_MORE)
    subprocess.run(("ovsdb-tool", "create", tmp_path / "db", tmp_path / SCHEMA), check=True)
    path = f"{tmp_path}/db.sock"
    words = ("ovsdb-server", f"--remote=punix:{path}", f"--unixctl={tmp_path}/ctl", "-vconsole:off", f"{tmp_path}/db")
    with subprocess.Popen(words) as server:
        try:  # its socket is there a moment before it listens
            subprocess.run(("ovs-vsctl", "--retry", f"--db=unix:{path}", "--no-wait", "init"), check=True)
            yield path, server.pid
        finally:
            server.send_signal(signal.SIGCONT)
            server.terminate()


def with_ports(state: SwitchState, number: int) -> SwitchState:
    """One bridge with so many ports."""
    names = ["big", *(f"p{n}" for n in range(number - 1))]
    kinds = [InterfaceRow(name=name, type="internal") for name in names]
    ports = {one.name: PortRow(name=one.name, bridge="big", interfaces=(one,), tag=7) for one in kinds}
    return replace(state, bridges={"big": BridgeRow(name="big", datapath_type="netdev")}, ports=ports)


def test_an_older_version_is_read_without_what_it_lacks(base: tuple[str, int]) -> None:
    """A thousand ports go through one transaction; what there is no column for is refused, and nothing is done."""
    path, _ = base
    empty = observe(path)
    made = with_ports(empty, 1000)
    results = ask(path, transaction(empty, made))
    assert not [one for one in results if one and one.get("error")]
    seen = observe(path)
    assert (len(seen.ports), seen.ports["p998"].tag) == (1000, 7)
    protected = replace(seen, ports={**seen.ports, "p1": replace(seen.ports["p1"], protected=True)})
    change = Change(subject="p1", action="set protected to true", reason="")
    with pytest.raises(CommandFailed) as refused:
        execute._transact(path, transaction(seen, protected), change)
    (problem,) = refused.value.problems
    assert (problem.code, "No column protected" in problem.message) == ("OPENVSWITCH-REFUSED", True)
    assert observe(path).ports == seen.ports
    gone = ask(path, transaction(seen, replace(seen, bridges={}, ports={})))
    assert not [one for one in gone if one and one.get("error")], "an undo waits for no column that there is not"
    assert observe(path).bridges == {}


def test_a_transaction_that_is_longer_than_a_word_can_be_is_printed_so_that_a_shell_takes_it(
    base: tuple[str, int],
) -> None:
    """A program is given no word of more than 128 KiB; the same goes to the socket, and waits for what was observed."""
    path, _ = base
    empty = observe(path)
    *_, last = steps(empty, with_ports(empty, 1000), HostState(), HostState())
    printed = str(last.commands[0])
    assert max(map(len, printed.splitlines())) < 4096, "what a terminal takes in one line"
    for status, why in ((0, ""), (1, "constraint violation")):
        done = subprocess.run(("sh",), input=printed, capture_output=True, text=True)
        assert (done.returncode, done.stdout, why in done.stderr) == (status, "", True), done.stderr
        assert len(observe(path).ports) == 1000
    few = steps(empty, with_ports(empty, 3), HostState(), HostState())[-1].commands[0]
    assert str(few).startswith("ovsdb-client transact unix:")


@pytest.mark.parametrize(
    ("column", "key"),
    [("rstp_enable", "uplink: eth4, rstp: true"), ("protected", ""), ("ingress_policing_burst", "")],
)
def test_what_an_older_version_lacks_is_refused_by_the_plan(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: str, key: str
) -> None:
    """With the line of the file; without such a key it is applied, seen and undone like any other."""
    require()
    write_old_schema(tmp_path, LACKING)
    monkeypatch.setattr(twin, "FOLDERS", (tmp_path,))
    guest = {"protected": "isolated: true", "ingress_policing_burst": "limit: {up: 10Mbit}"}.get(column, "")
    asks = SWITCHED.replace("uplink: eth4", key or "uplink: eth4").replace(
        "tap: vnet1", f"tap: vnet1, {guest}".rstrip(", ")
    )
    bed = switched(lab, tmp_path, asks)
    done = bed.run("plan", str(bed.site))
    assert f"needs the column '{column}' of the table" in done.stderr
    assert (done.returncode, f"{bed.site}:12" in done.stderr) == (1, True)
    if column == "rstp_enable":
        bed.site.write_text(SWITCHED)
        before = bed.raw()
        bed.apply("--no-confirm")
        assert json.loads(bed.run("plan", str(bed.site), "--json").stdout)["changes"] == []
        assert bed.status()["ok"]
        assert bed.run("undo").returncode == 0
        assert wait_for(lambda: difference(before, bed.raw()), lambda one: not one) == []


def test_a_data_base_of_something_else_is_named(base: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a column that nothing can be seen without, the message says which."""
    for result, words in (
        ([{"rows": [{}]}] * 6, "this version of it has no column '_uuid'"),
        ([{"error": "syntax error", "details": "No table named QoS."}], "it says 'No table named QoS.'"),
    ):
        monkeypatch.setattr(ovs_observe, "ask", lambda *_, result=result: result)
        with pytest.raises(CommandFailed, match=words):
            observe(base[0])


def test_nobody_waits_for_one_who_has_ended(base: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """The database takes the change, and ovs-vswitchd, which would do it, is not there any more."""
    monkeypatch.setattr(execute, "IDLE_S", HUNG_S)
    begun = time.monotonic()
    empty = observe(base[0])
    assert told(empty, with_ports(empty, 3)) == "OPENVSWITCH-DEAD"
    assert time.monotonic() - begun < HUNG_S


def test_a_data_base_that_is_stopped_is_named_at_once(base: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvswitch, "ANSWER_S", HUNG_S)
    path, pid = base
    os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(
        CommandFailed, match="cannot be asked: its process is stopped, by a signal or a debugger"
    ) as refused:
        observe(path)
    assert refused.value.problems[0].code == "OPENVSWITCH"
    assert time.monotonic() - begun < HUNG_S


SILENT = "import socket, sys, time; s = socket.socket(1); s.bind(sys.argv[1]); s.listen(); print(1, flush=True); {}"


@pytest.mark.parametrize("does", ["time.sleep(60)", "exec('while True: pass')"])
def test_a_data_base_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    """One who does nothing is given up, and one who works is waited for; who waits says so."""
    monkeypatch.setattr(openvswitch, "ANSWER_S", 1.5)
    works = "while" in does
    monkeypatch.setattr(openvswitch, "MOST_S", 3.0 if works else HUNG_S)
    told: list[str] = []
    monkeypatch.setattr(clock, "_watching", [told.append])
    words = (sys.executable, "-c", SILENT.format(does), f"{tmp_path}/db.sock")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as silent:
        assert silent.stdout is not None
        silent.stdout.readline()
        begun = time.monotonic()
        with pytest.raises(CommandFailed, match=r"cannot be asked: no answer within \d s"):
            observe(f"{tmp_path}/db.sock")
        silent.kill()
    assert (3.0 if works else 0.0) < time.monotonic() - begun < HUNG_S
    assert told == [f"waiting for the answer of Open vSwitch at {tmp_path}/db.sock"]


def test_what_came_or_went_since_it_was_read_is_named(base: tuple[str, int]) -> None:
    """The index of names refuses a row that somebody else made meanwhile; ports of a bridge that has gone are none."""
    path, _ = base
    old = observe(path)
    new = with_ports(old, 3)
    ask(path, transaction(old, new))
    change = Change(subject="big", action="create a bridge of Open vSwitch", reason="")
    with pytest.raises(CommandFailed, match="'[bp].*' of Open vSwitch has come since it was read; nothing was done"):
        execute._transact(path, transaction(old, new), change)
    seen = observe(path)
    subprocess.run(("ovs-vsctl", f"--db=unix:{path}", "--no-wait", "del-br", "big"), check=True)
    more = replace(seen, ports=with_ports(seen, 4).ports)
    with pytest.raises(CommandFailed, match="has been changed since it was read; nothing was done"):
        execute._transact(path, transaction(seen, more), change)
    assert not observe(path).ports


def test_a_full_disk_a_port_of_another_bridge_and_a_lock(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is refused with the database's own words, and nothing of it is done.

    Where somebody else has ovs-vswitchd's lock, it stands still, and that is said.
    """
    folder = tmp_path / "ovs"
    folder.mkdir()
    subprocess.run(("mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder), check=True)
    lab.keep(lambda: subprocess.run(("umount", "-l", folder), check=False))
    bed = switched(lab, tmp_path)
    vsctl(bed, "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    vsctl(bed, "add-port", "br-int", "eth4")
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    (moved,) = [one for one in plan["changes"] if one["subject"] == "eth4" and "port of ovs3" in one["action"]]
    assert moved["action"] == "become a port of ovs3 (from br-int)"
    seen = rows(bed)
    with pytest.raises(OSError, match="No space"), (folder / "full").open("wb", buffering=0) as filled:
        while True:
            filled.write(bytes(4096))
    names = [f"p{number}" for number in range(100)]
    more = {name: PortRow(name=name, bridge="br-int", interfaces=(InterfaceRow(name=name),), tag=9) for name in names}
    with pytest.raises(CommandFailed, match="cannot write its database .* No space left on device.; nothing was done"):
        reach(seen, replace(seen, ports={**seen.ports, **more}))
    (folder / "full").unlink()
    assert rows(bed).ports == seen.ports
    with subprocess.Popen(
        ("ovsdb-client", "steal", f"unix:{folder}/db.sock", "ovs_vswitchd"), stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "locked" in holder.stdout.readline()
        one = PortRow(name="vnet2", bridge="br-int", interfaces=(InterfaceRow(name="vnet2"),))
        with bed.host.entered(), pytest.raises(CommandFailed) as held:
            reach(rows(bed), replace(seen, ports={**seen.ports, "vnet2": one}))
        holder.terminate()
    (problem,) = held.value.problems
    assert problem.code == "OPENVSWITCH-DEAD"
    assert "who else has its lock" in problem.message


@pytest.mark.parametrize("ended", [("ovsdb-server",), ("ovsdb-server", "ovs-vswitchd")])
def test_who_keeps_the_switches_has_ended_while_a_change_waits(
    lab: Lab, tmp_path: Path, ended: tuple[str, ...]
) -> None:
    """What waits is said all the same, nobody says that all is as before, and the way back goes on when they run."""
    bed = switched(lab, tmp_path)
    made = bed.apply("--confirm-within", "600s")
    assert made.returncode == 0, made.stderr
    for program in ended:
        end(bed, program)
    told = json.loads(bed.run("status", "--json").stdout)
    assert (told["status"], told["ok"], told["drift"]) == ("applied", False, [])
    assert told["unseen"]
    assert "is not a bridge" not in bed.run("plan", str(bed.site)).stderr
    stood = bed.raw()
    back = bed.run("undo")
    assert back.returncode == 1
    assert "NOT completely taken back" in back.stdout + back.stderr
    assert "nothing of it was taken back" in " ".join(back.stderr.split())
    assert "by others" not in back.stdout + back.stderr
    assert difference(stood, bed.raw()) == [], "a NIC that is still a port has not got its addresses back"
    told = json.loads(bed.run("doctor", str(bed.site), "--json").stdout)["findings"]
    said = {one["id"]: one for one in told}
    if ended == ("ovsdb-server",):
        assert "(see 'systemctl status openvswitch-switch')" in said["unseen"]["text"]
    else:
        assert "nobody keeps switches here" in said["openvswitch-dead"]["text"]
    if ended == ("ovsdb-server",):
        found = json.loads(bed.run("doctor", "--json").stdout)["findings"]
        assert "ovs" in {one["subject"] for one in found if one["id"] == "unseen"}
    if ended == ("ovsdb-server",):
        end(bed, "ovs-vswitchd")
    for daemon in start(bed.host, tmp_path / "ovs"):
        lab.keep(daemon.stop)
    assert bed.run("undo").returncode == 0
    assert not rows(bed).bridges


def test_the_dead_man_waits_for_a_data_base_that_is_started_again(lab: Lab, tmp_path: Path) -> None:
    """It touches nothing meanwhile, and takes the change back when it can be seen whose ports the NICs are."""
    bed = switched(lab, tmp_path)
    before = bed.raw()
    bed.apply("--confirm-within", "600s")
    for program in ("ovsdb-server", "ovs-vswitchd"):
        end(bed, program)
    time_is_up(journal_of(bed.state))
    wait_for(lambda: any("still different" in log.read_text() for log in bed.state.rglob("*.log")), bool)
    assert bed.status()["status"] in {"failed", "taking-back"}
    for daemon in start(bed.host, tmp_path / "ovs"):
        lab.keep(daemon.stop)
    wait_for(lambda: any("taken back because" in log.read_text() for log in bed.state.rglob("*.log")), bool)
    assert "change 1 was taken back" in bed.status()["words"]
    assert wait_for(lambda: difference(before, bed.raw()), lambda one: not one) == []
    assert not rows(bed).bridges


def test_what_a_killed_ovs_vswitchd_leaves_goes_with_the_change(lab: Lab, tmp_path: Path) -> None:
    """In userspace its bridges are taps, which stay; nobody would know them when their rows are gone."""
    bed = switched(lab, tmp_path)
    before = bed.raw()
    assert bed.apply("--no-confirm").returncode == 0
    end(bed, "ovs-vswitchd")
    assert bed.run("undo").returncode == 1
    assert not rows(bed).bridges
    for daemon in start(bed.host, tmp_path / "ovs"):
        lab.keep(daemon.stop)
    back = bed.run("undo")
    assert (back.returncode, "ovs-netdev" in back.stdout) == (0, False)
    there = {line.split()[0] for line in bed.ip("-br link").splitlines()}
    assert there & {"ovs0", "ovs3"} == set()
    assert [line for line in difference(before, bed.raw()) if "ovs-netdev" not in line and "PROMISC" not in line] == []


def test_a_tap_of_somebody_elses_under_the_name_of_one_that_was_left_stays(lab: Lab, tmp_path: Path) -> None:
    """Nobody holds it, as nobody holds what a killed ovs-vswitchd left; but it is not the link that the change made."""
    bed = switched(lab, tmp_path)
    assert bed.apply("--no-confirm").returncode == 0
    end(bed, "ovs-vswitchd")
    bed.ip("link del ovs3")
    bed.ip("tuntap add dev ovs3 mode tap")
    bed.ip("link set ovs3 up")
    theirs = bed.ip("-o link show ovs3").split()[0]  # its index
    assert bed.run("undo").returncode == 1
    for daemon in start(bed.host, tmp_path / "ovs"):
        lab.keep(daemon.stop)
    back = bed.run("undo")
    assert back.returncode == 0, back
    assert "ovs3 is another link than the one that the change made, and stays" in back.stdout + back.stderr
    assert bed.ip("-o link show ovs3").split()[0] == theirs
    assert "ovs0" not in bed.ip("-br link")


def end(bed: Bed, program: str) -> None:
    """Kill it, in this host's network namespace alone."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            found = (place / "ns/net").stat()
            is_it = (place / "comm").read_text().strip() == program
            if is_it and (found.st_dev, found.st_ino) == bed.host.identity:
                os.kill(int(place.name), signal.SIGKILL)
                wait_for(lambda place=place: (place / "ns/net").exists(), lambda there: not there)


def test_a_nic_in_a_bond_that_is_not_in_the_file_is_not_taken_with_its_mates(lab: Lab, tmp_path: Path) -> None:
    bed = switched(lab, tmp_path)
    vsctl(bed, "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    vsctl(bed, "add-bond", "br-int", "bondx", "eth4", "vnet2")
    told = bed.run("plan", str(bed.site))
    assert told.returncode == 1
    assert "error[NOT-BRIDGEABLE]: 'eth4' is the uplink of ovs3" in told.stderr
    assert "it is a member of bondx, a bond of Open vSwitch that is not in the file" in told.stderr
