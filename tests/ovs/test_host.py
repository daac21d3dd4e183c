"""A host with a real ovs-vswitchd: applied, undone, taken back, killed, and others' hands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bascule.apply.options import ANY_DRIVER
from bascule.apply.prepare import prepare
from bascule.errors import CommandFailed
from bascule.guests.runtimes.runtime import bring
from bascule.host.live import HERE
from bascule.model.state import HostState
from bascule.providers.ovs import OVS
from bascule.providers.ovs import observe as ovs_observe
from bascule.providers.ovs.state import BridgeRow, InterfaceRow, PortRow, SwitchState
from bascule.system import openvswitch
from bascule.system.run import run
from bascule.workflow import load
from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.lab import Lab, pings
from tests.ovs.stage import SWITCHED, rows, switched, vsctl


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    return switched(lab, tmp_path)


def left(bed: Bed, before: dict[str, object]) -> list[str]:
    found: list[str] = wait_for(lambda: difference(before, bed.raw()), lambda one: not one)
    return found


def test_it_is_applied_and_undone(bed: Bed) -> None:
    vsctl(bed, "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    vsctl(bed, "add-port", "br-int", "theirs", "--", "set", "Interface", "theirs", "type=internal")
    before, foreign = bed.raw(), rows(bed)
    done = bed.apply("--confirm-within", "600s")
    assert "ovs0" in done.stdout
    made = rows(bed)
    assert {"ovs0", "ovs3", "br-int"} == made.bridges.keys()
    assert {name: port.bridge for name, port in made.ports.items() if name in {"eth0", "eth4", "vnet1"}} == {
        "eth0": "ovs0",
        "eth4": "ovs3",
        "vnet1": "ovs3",
    }
    assert made.bridges["ovs0"].site == "t"
    assert not made.bridges["br-int"].site
    assert made.ports["theirs"] == foreign.ports["theirs"]
    assert "10.0.0.5/24" in bed.ip("addr show dev ovs0")
    assert "10.0.0.5/24" not in bed.ip("addr show dev eth0")
    assert pings(bed.wire, "10.0.0.5"), "the host answers on the internal port"
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    assert plan["changes"] == []
    back = bed.run("undo")
    assert back.returncode == 0
    assert "changed by others" not in back.stdout, "a tap that loses its switch by the way back itself"
    assert left(bed, before) == []
    assert (rows(bed).bridges, rows(bed).ports) == (foreign.bridges, foreign.ports)
    assert pings(bed.wire, "10.0.0.5")


def test_a_tag_that_the_file_does_not_say_is_drift_on_a_port_of_ours(bed: Bed) -> None:
    """It would cut off the whole switch; a port that somebody else gave to it keeps its tag."""
    bed.apply("--no-confirm")
    vsctl(bed, "add-port", "ovs3", "theirs", "tag=9", "--", "set", "Interface", "theirs", "type=internal")
    for name, column in (("eth0", "tag=7"), ("eth4", "trunks=3,4"), ("vnet1", "tag=8"), ("ovs0", "tag=5")):
        vsctl(bed, "set", "Port", name, column)

    def told(*words: str) -> list[str]:
        document = json.loads(bed.run(*words, "--json").stdout)
        if "changes" in document:
            return sorted({one["subject"] for one in document["changes"]})
        return sorted({line.partition(": ")[0] for line in document["drift"] if "nothing says" not in line})

    ours = ["eth0", "eth4", "ovs0", "vnet1"]
    seen = [told("plan", str(bed.site)), told("status"), told("draw", str(bed.site), "--live")]
    assert seen == [ours, ours, ours]
    bed.apply("--no-confirm")
    there = rows(bed).ports
    assert {name: (there[name].tag, there[name].trunks) for name in ours} == dict.fromkeys(ours, (None, ()))
    assert there["theirs"].tag == 9


def test_a_controller_and_a_lost_mark_are_told_and_how_it_comes_back(bed: Bed) -> None:
    bed.apply("--no-confirm")
    vsctl(bed, "set-controller", "ovs3", "tcp:127.0.0.1:6653")
    told = " ".join(bed.run("plan", str(bed.site)).stdout.split())
    assert "ovs3 it has a controller, whose rules of OpenFlow decide what it forwards: it stays as it is" in told
    vsctl(bed, "remove", "Bridge", "ovs0", "external_ids", "bascule")
    (words,) = [one["text"] for one in json.loads(bed.run("plan", str(bed.site), "--json").stdout)["notes"]
                if "lost Bascule's mark" in one["text"]]  # fmt: skip
    assert words.endswith("(ovs-vsctl set bridge ovs0 external_ids:bascule=t)")


def test_nobody_confirms_and_it_comes_back(bed: Bed) -> None:
    before = bed.raw()
    bed.apply("--confirm-within", "1s")
    assert left(bed, before) == []
    assert rows(bed).bridges == {}
    assert pings(bed.wire, "10.0.0.5")


def test_a_row_that_is_another_by_now_stops_all(bed: Bed) -> None:
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    bed.site.write_text(SWITCHED.replace("uplink: eth4}", "uplink: eth4, rstp: true}"))
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    assert [(one["subject"], one["action"]) for one in plan["changes"]] == [("ovs3", "set rstp_enable to true")]
    command = next(words for words in plan["commands"] if words.startswith("ovsdb-client transact"))
    vsctl(
        bed,
        "set",
        "Bridge",
        "ovs3",
        "rstp_enable=true",
        "other_config:x=1",
        "--",
        "set",
        "Bridge",
        "ovs3",
        "stp_enable=true",
    )
    with bed.host.entered():
        said = subprocess.run(("sh", "-c", command), capture_output=True, text=True).stdout
    assert "timed out" in said, "the printed command waits for what was observed"
    assert rows(bed).bridges["ovs3"].stp_enable


def test_open_vswitch_refuses_and_says_why(lab: Lab, tmp_path: Path) -> None:
    """Nothing is done where a row is another by now or a value is none; a link that is not there is named."""
    bed = switched(lab, tmp_path)
    empty = rows(bed)
    own = PortRow(name="b", bridge="b", interfaces=(InterfaceRow(name="b", type="internal"),))
    made = replace(empty, bridges={"b": BridgeRow(name="b", datapath_type="netdev")}, ports={"b": own})
    reach(empty, made)
    seen = rows(bed)
    for port, code in (
        (replace(own, tag=5000), "OPENVSWITCH-REFUSED"),
        (PortRow(name="nobody", bridge="b", interfaces=(InterfaceRow(name="nobody"),)), "OPENVSWITCH-DEVICE"),
    ):
        assert told(rows(bed), replace(rows(bed), ports={"b": own, port.name: port})) == code
    vsctl(bed, "set", "Port", "b", "tag=7")
    assert told(seen, replace(seen, ports={"b": replace(own, tag=8)})) == "OPENVSWITCH-CHANGED"
    assert rows(bed).ports["b"].tag == 7
    records = run(("ovsdb-tool", "-m", "show-log", f"{bed.state.parent}/ovs/conf.db")).stdout
    assert "set Port b tag=7" in records, "there it stands who it was, as the hint says"


def told(old: SwitchState, new: SwitchState) -> str:
    with pytest.raises(CommandFailed) as error:
        reach(old, new)
    return error.value.problems[0].code


def reach(old: SwitchState, new: SwitchState) -> None:
    bring(OVS, HostState(parts={"ovs": old}), new, HERE)


def test_a_bridge_of_another_kind_that_is_not_ours_stays(bed: Bed) -> None:
    bed.ip("link add ovs3 type bridge")
    done = bed.run("plan", str(bed.site))
    assert (
        "error[BRIDGE-KIND]: 'ovs3' exists on this host as a bridge of the kernel that Bascule did not" in done.stderr
    )


def test_the_printed_lines_do_what_the_plan_says(bed: Bed) -> None:
    printed = bed.run("plan", str(bed.site), "--commands")
    assert "not among the commands" not in printed.stderr, "the words of all rows are in one transaction"
    script = printed.stdout
    with bed.host.entered():
        done = subprocess.run(("sh", "-e"), input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(bed.run("plan", str(bed.site), "--json").stdout)["changes"] == []
    assert pings(bed.wire, "10.0.0.5")


def test_without_ovs_vswitchd_nothing_is_begun(bed: Bed) -> None:
    pid = next(
        int(one.name)
        for one in Path("/proc").iterdir()
        if one.name.isdigit() and f"{bed.state.parent}/ovs/ovs-vswitchd.ctl" in _words(one)
    )
    os.kill(pid, signal.SIGKILL)
    done = bed.run("plan", str(bed.site))
    assert done.returncode == 1
    assert "error[OPENVSWITCH-DEAD]" in done.stderr
    found = json.loads(bed.run("doctor", str(bed.site), "--json").stdout)["findings"]
    assert "openvswitch-dead" in {one["id"] for one in found}, "the file has switches, if the host has none yet"
    vsctl(bed, "--no-wait", "add-br", "br-int")
    found = json.loads(bed.run("doctor", "--json").stdout)["findings"]
    assert "openvswitch-dead" in {one["id"] for one in found}


def test_a_guest_that_crashed_leaves_a_port_and_the_plan_takes_it_off(bed: Bed) -> None:
    """One of a name that nobody declares is somebody else's: the doctor says how it goes."""
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    vsctl(bed, "--", "add-port", "ovs3", "theirs")
    bed.ip("link del vnet1")
    (stale,) = told_by_doctor(bed)
    assert stale["subject"] == "ovs3"
    assert [line.partition(":")[0] for line in stale["evidence"]] == ["theirs", "vnet1"]
    assert stale["evidence"][0] == "theirs: could not open network device theirs (No such device)"
    assert "for port in theirs vnet1; do ovs-vsctl --if-exists del-port ovs3 $port; done" in stale["fix"]
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    assert [(one["subject"], one["action"]) for one in plan["changes"]] == [
        ("vnet1", "leave ovs3: there is no such link any more")
    ]
    (gone,) = plan["changes"]
    assert (gone["risk"], gone["reason"]) == ("addition", "its guest crashed, or ran when the host went down")
    bed.apply("--confirm-within", "600s")
    assert "vnet1" not in rows(bed).ports
    assert "theirs" in rows(bed).ports


def told_by_doctor(bed: Bed) -> list[dict[str, str]]:
    found = json.loads(bed.run("doctor", str(bed.site), "--json").stdout)["findings"]
    return [one for one in found if one["id"] == "openvswitch-stale"]


def _words(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def test_without_open_vswitch_it_is_said(lab: Lab, tmp_path: Path) -> None:
    bed = furnish(lab, tmp_path, SWITCHED)
    done = bed.run("plan", str(bed.site))
    assert done.returncode == 1
    assert "error[OPENVSWITCH-MISSING]: bridge 'ovs0' is one of Open vSwitch, which does not run" in done.stderr
    assert f"{bed.site}:11" in done.stderr


def test_what_is_imported_asks_for_nothing(bed: Bed) -> None:
    """A host that somebody else has switched: its file says so, and the plan from it is empty."""
    vsctl(
        bed, "add-br", "ovs9", "--", "set", "Bridge", "ovs9", "datapath_type=netdev", "rstp_enable=true",
        "--", "add-port", "ovs9", "eth4", "--", "add-port", "ovs9", "vnet3", "tag=7",
    )  # fmt: skip
    bed.ip("link set ovs9 up")
    done = bed.run("import")
    assert done.returncode == 0, done.stdout + done.stderr
    bed.site.write_text(done.stdout)
    text = bed.site.read_text()
    assert "ovs9: {kind: openvswitch, uplink: eth4" in text
    assert "rstp: true" in text
    plan = json.loads(bed.run("plan", str(bed.site), "--json", "--here").stdout)
    assert plan["changes"] == []


def test_why_walks_a_switch_and_doubts_others_rules(bed: Bed) -> None:
    """VLANs and the learned port are walked; what OpenFlow rules of others do is said to be open."""
    bed.apply("--confirm-within", "600s")
    assert pings(bed.wire, "10.0.0.5"), "who speaks is learned"
    asked = ("why", "10.0.0.1", "h", "--site", str(bed.site), "--json")
    ways = json.loads(bed.run(*asked).stdout)
    stages = [stage for walk in ways["walks"] for stage in walk["stages"]]
    assert any("enters ovs0 by eth0" in str(stage.get("words")) for stage in stages)
    assert "openflow" not in {one["code"] for one in ways["blockers"]}
    control = f"unix:{bed.state.parent}/ovs/ovs0.mgmt"
    run(("ovs-ofctl", "add-flow", control, "cookie=0x7,priority=100,icmp,actions=drop"))
    ways = json.loads(bed.run(*asked).stdout)
    told = next(one for one in ways["blockers"] if one["code"] == "openflow")
    assert (told["subject"], told["certain"], told["owner"]) == ("ovs0", True, "")
    assert "cookie=0x7,table=0,priority=100,icmp actions=drop; ofproto/trace: drop" in told["words"]
    run(("ovs-ofctl", "add-flow", control, "cookie=0x7,priority=100,icmp,actions=goto_table:3"))
    run(("ovs-ofctl", "add-flow", control, "cookie=0x8,table=3,priority=7,icmp,actions=NORMAL"))
    ways = json.loads(bed.run(*asked).stdout)
    assert "openflow" not in {one["code"] for one in ways["blockers"]}
    assert "ofproto/trace of ovs0: it passes" in json.dumps(ways)
    run(("ovs-ofctl", "add-flow", control, "cookie=0x8,table=3,priority=7,icmp,actions=ct(table=4)"))
    told = next(one for one in json.loads(bed.run(*asked).stdout)["blockers"] if one["code"] == "openflow")
    assert (told["certain"], "cookie=0x7,table=0" in told["words"]) == (False, True)


def test_a_plan_reads_the_data_base_once(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    site, asked = load(str(bed.site)), []

    def counted(path: str, parameters: list[Any]) -> list[dict[str, Any]]:
        asked.append(len(parameters))
        return openvswitch.ask(path, parameters)

    monkeypatch.setattr(ovs_observe, "ask", counted)
    monkeypatch.setenv("BASCULE_STATE_DIR", str(bed.state))
    with bed.host.entered():
        made = prepare(site, site.hosts["h"], choice=ANY_DRIVER)
    assert (made.plan.changes, len(asked)) == ((), 1)


def test_a_bridge_becomes_a_switch_and_a_bridge_again(bed: Bed) -> None:
    """Of one name, with a running guest's tap on it; a change of ours is taken back in either direction."""
    linux = SWITCHED.replace("kind: openvswitch, datapath: netdev, uplink: eth4", "uplink: eth4")
    bed.site.write_text(linux)
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    bridged = bed.raw()
    bed.site.write_text(SWITCHED)
    bed.apply("--confirm-within", "600s")
    assert rows(bed).ports["vnet1"].bridge == "ovs3"
    assert '"tun"' in bed.ip("-j -d link show ovs3")
    assert bed.run("undo").returncode == 0
    assert left(bed, bridged) == []
    assert "ovs3" not in rows(bed).bridges
    bed.apply("--confirm-within", "600s")
    assert bed.run("confirm").returncode == 0
    switched, made = bed.raw(), rows(bed)
    bed.site.write_text(linux)
    bed.apply("--confirm-within", "600s")
    assert "ovs3" not in rows(bed).bridges
    assert '"master":"ovs3"' in bed.ip("-j link show vnet1")
    assert bed.run("undo").returncode == 0
    assert (rows(bed).bridges, rows(bed).ports) == (made.bridges, made.ports)
    assert left(bed, switched) == [], bed.run("status").stdout
