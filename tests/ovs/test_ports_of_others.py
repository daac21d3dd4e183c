"""Switches that somebody else has made: the host on internal ports with tags, and a patch port between two bridges."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.errors import MissingTool
from bascule.host.live import LiveHost
from bascule.model.links import InternalPort, PatchPort
from bascule.model.site import SwitchedNic
from bascule.plan.batch import Batch, tools
from bascule.plan.change import Change, Command, Plan
from bascule.providers.observe import observe
from bascule.providers.ovs import OVS
from bascule.providers.ovs.diff import DONE
from bascule.providers.ovs.effects import OvsEffects
from bascule.providers.ovs.guest_port import join
from bascule.providers.ovs.observe import look
from bascule.providers.ovs.overlay import lay_over
from bascule.providers.ovs.state import REOPENED
from bascule.system.run import find_tool, run
from tests.apply.hosts import Bed
from tests.lab import Lab
from tests.ovs.stage import SWITCHED, rows, switched, vsctl

MADE = """add-br a -- set Bridge a datapath_type=netdev -- add-port a eth4 trunks=0,30,40
-- add-port a v30 tag=30 -- set Interface v30 type=internal -- add-port a v40 tag=40 -- set Interface v40 type=internal
-- add-br b -- set Bridge b datapath_type=netdev -- add-port b vnet3
-- add-port a pa -- set Interface pa type=patch options:peer=pb
-- add-port b pb -- set Interface pb type=patch options:peer=pa"""


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    bed = switched(lab, tmp_path)
    vsctl(bed, *MADE.split())
    for words in ("dev a up", "dev b up", "v30 up", "v40 up"):
        bed.ip(f"link set {words}")
    bed.ip("addr add 10.30.0.5/24 dev v30")
    bed.ip("addr add 10.40.0.5/24 dev v40")
    return bed


def test_where_the_host_speaks_is_imported_kept_and_walked(bed: Bed) -> None:
    """An internal port with a tag is what a VLAN link over the bridge is, and a file says it so."""
    words = bed.run("import").stdout
    assert "v30: {link: a, id: 30, address: 10.30.0.5/24" in words
    assert "datapath: netdev, vlans: [30, 40], patch: [{to: b, name: pa, peer: pb}]" in words
    bed.site.write_text(words)
    site = str(bed.site)
    assert json.loads(bed.run("plan", site, "--json", "--here").stdout)["changes"] == []
    assert ": YES" in bed.run("why", "10.30.0.9", "h", "--site", site).stdout.splitlines()[0]
    bed.site.write_text(words.replace("10.40.0.5/24", "10.40.0.6/24"))
    assert bed.run("plan", site, "--here", "--commands").stdout == "ip address replace 10.40.0.6/24 dev v40\n"
    made = rows(bed)
    assert bed.run("apply", site, "--here", "--yes", "--no-confirm").returncode == 0
    assert "10.40.0.6/24" in bed.ip("addr show dev v40")
    assert bed.run("undo").returncode == 0
    assert (rows(bed).ports, "10.40.0.6/24" in bed.ip("addr show dev v40")) == (made.ports, False)
    bed.site.write_text(words.replace("id: 40", "id: 41").replace("vlan: 40", "vlan: 41"))
    told = bed.run("plan", site, "--here")
    assert "error[NOT-THE-VLAN]: 'v40' exists on this host and is not VLAN 41 of a" in told.stderr


def test_a_cable_between_two_bridges_is_seen(bed: Bed) -> None:
    state = lay_over(observe(namespace=bed.host), rows(bed))
    kinds = {name: type(state.links[name].options) for name in ("v30", "pa", "pb")}  # type: ignore[index]
    assert kinds == {"v30": InternalPort, "pa": PatchPort, "pb": PatchPort}
    assert [(one.name, one.parent) for one in state.ports("b") if one.parent] == [("pb", "pa")]
    nodes = json.loads(bed.run("draw", "--live", "--json").stdout)["nodes"]
    assert ["patch port" in one["notes"] for one in nodes if one["label"] in {"pa", "pb"}] == [True, True]


def test_a_tap_is_heard_whose_name_a_port_had(lab: Lab, tmp_path: Path) -> None:
    """A guest crashed and starts again: to delete and add its port in one transaction is not enough."""
    bed = switched(lab, tmp_path)
    vsctl(
        bed, "add-br", "ovs3", "--", "set", "Bridge", "ovs3", "datapath_type=netdev", "--", "add-port", "ovs3", "vnet2"
    )
    bed.ip("link set vnet2 nomaster")
    plug = join(rows(bed).socket, "ovs3", "vnet2", SwitchedNic(), isolated=False)
    for _ in range(10):  # where it had the time to see that the link has gone, ovs-vswitchd opens the new one
        bed.ip("link del vnet2")
        lab.tap(bed.host, "vnet2")
        vsctl(bed, *plug.words[2:])
        found = look(bed.host)
        assert found is not None
        if found.unheard:
            break
    assert found is not None
    assert found.unheard == {"vnet2"}
    vsctl(bed, "--no-wait", "clear", "Interface", "vnet2", "ifindex")  # where links come and go it is written late
    found = look(bed.host)
    assert found is not None
    assert found.unheard == {"vnet2"}
    change = Change(subject="vnet2", action="become a port of ovs3", reason="")
    OvsEffects().execute(Batch((plug,), (change,)), where=LiveHost(bed.host), keep=())
    found = look(bed.host)
    assert found is not None
    assert (found.unheard, found.ports["vnet2"].interfaces[0].type) == (frozenset(), "")


def test_who_was_ended_between_closing_and_opening_a_port_goes_on(bed: Bed) -> None:
    """The port is not the file's own: it was there before."""
    bed.site.write_text(bed.run("import").stdout)
    vsctl(bed, "--no-wait", "set", "Interface", "eth4", f"type={REOPENED}")
    told = json.loads(bed.run("plan", str(bed.site), "--json", "--here").stdout)["changes"]
    words = "let Open vSwitch open it again: it is closed"
    assert [(one["subject"], one["action"]) for one in told] == [("eth4", words)]


def test_undo_opens_a_port_that_was_closed_halfway(bed: Bed) -> None:
    """Apply was killed between the two commands that let a port of others be opened again."""
    bed.site.write_text(bed.run("import").stdout.replace("10.40.0.5/24", "10.40.0.6/24"))
    assert bed.run("apply", str(bed.site), "--here", "--yes", "--confirm-within", "600s").returncode == 0
    vsctl(bed, "--no-wait", "set", "Interface", "eth4", f"type={REOPENED}")
    assert bed.run("undo").returncode == 0
    assert vsctl(bed, "get", "Interface", "eth4", "type").strip() == '""'
    assert int(vsctl(bed, "get", "Interface", "eth4", "ofport")) > 0


def test_a_nic_that_leaves_the_file_leaves_its_switch_and_is_as_it_was_found(lab: Lab, tmp_path: Path) -> None:
    bed = switched(lab, tmp_path)
    key = "net.ipv4.conf.eth4.rp_filter"
    with bed.host.entered():
        found = run(("sysctl", "-n", key)).stdout
        bed.apply("--no-confirm")
        assert run(("sysctl", "-n", key)).stdout == "1\n" != found
        bed.ip("link add eth7 type veth peer name w7")
        bed.site.write_text(SWITCHED.replace("eth4", "eth7"))
        bed.apply("--no-confirm")
        assert [rows(bed).ports[name].bridge for name in ("eth4", "eth7") if name in rows(bed).ports] == ["ovs3"]
        assert run(("sysctl", "-n", key)).stdout == found


def test_a_transaction_takes_no_program_and_a_plug_does(bed: Bed) -> None:
    """So a host whose switches run in a container can be changed, and what is missing is told before anything is."""
    bed.site.write_text(SWITCHED)
    commands = json.loads(bed.run("plan", str(bed.site), "--json", "--here").stdout)["commands"]
    assert any("ovsdb-client transact" in line for line in commands)
    plug = join("/s", "ovs3", "vnet2", SwitchedNic(), isolated=False)
    change = Change(subject="vnet2", action="become a port of ovs3", reason="", commands=(plug,))
    assert tools(Plan(changes=(change,))) == ("ovs-vsctl",)
    done = Command("ovs-vsctl", ("--db=unix:/s", *DONE, "cur_cfg>=7"))
    assert tools(Plan(changes=(replace(change, commands=(done,)),))) == ()


@pytest.mark.parametrize("tool", sorted(OVS.tools))
def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, tool: str) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(MissingTool) as missing:
        find_tool(tool)
    assert "apt-get install openvswitch-switch, " in (missing.value.problems[0].hint or "")
