"""D10: with STP a port is deaf for two forward delays; plan says so, apply, verify and rehearse wait for it."""

from __future__ import annotations

import json
import re

from bascule.model.links import Bridge
from bascule.observe.spanning_tree import await_forwarding
from bascule.providers.kernel.observe import read_link
from tests.real_hosts.field import ONE_NIC, Field

STP = ONE_NIC.replace("address: from-uplink", "address: from-uplink, stp: true")
FOUND = """\
site: two
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    as_found: true
    nics: {eth0: {network: office, address: 192.168.1.10/24}, eth1: {network: office}}
    bridges: {br0: {uplink: eth1, stp: true}}
guests:
  web: {host: kvm, memory: 1GiB, nics: [{bridge: br0, address: 192.168.1.21/24}]}
expect:
  - {from: kvm, to: web, verdict: reach}
"""
TWO_MORE = "eth1: {network: office}, eth2: {network: office}}"
FORWARD_DELAY_S = 2  # the least that the kernel takes with STP


def stp_bridge(field: Field) -> None:
    """A bridge that somebody has made, with a short forward delay; the switch is far from STP's idea of a loop."""
    field.ip(f"link add br0 type bridge forward_delay {FORWARD_DELAY_S * 100} stp_state 1 mcast_snooping 0")
    field.ip("link set br0 up")
    field.run("sysctl", "-q", "-w", "net.ipv4.conf.br0.arp_ignore=1")  # both NICs stand on one network


def test_d10_the_plan_says_thirty_seconds_and_bpdu_guard(shared_host: Field) -> None:
    said = shared_host.document("plan", shared_host.site(STP))
    mind = {note["subject"]: note["text"] for note in said["notes"] if note["kind"] == "warning"}
    assert "30 s" in mind["br0"]
    assert "BPDU guard" in mind["eth0"]
    assert not [n for n in shared_host.document("plan", shared_host.site(ONE_NIC))["notes"] if "BPDU" in n["text"]]


def test_d10_apply_verify_and_rehearse_wait_and_name_the_ports(real_host: Field) -> None:
    field, path = real_host, real_host.site(FOUND)
    stp_bridge(field)
    field.guest("web", "web.0", "192.168.1.21/24", site=FOUND)
    done = field.bascule("apply", path, "--yes", "--no-confirm", "--probe", "192.168.1.1:22")
    assert done.returncode == 0, done.stderr
    assert re.search("eth1 of br0 was (listening|learning)", done.stderr), done.stderr
    assert f"forward delay {FORWARD_DELAY_S}" in str(field.document("verify", path)["checks"])
    for _ in range(4):  # a slow machine looks when the port is through already
        field.ip("link set web.0 nomaster")
        field.ip("link set web.0 master br0")
        verified = field.document("verify", path)
        waited = [check for check in verified["checks"] if check["id"] == "spanning-tree"]
        if waited:
            break
    assert [(check["subject"], check["ok"]) for check in waited] == [("web.0", True)]
    assert verified["ok"], verified
    rehearsed = field.document("rehearse", path)
    assert rehearsed["ok"], [
        x for key in ("checks", "expectations", "notes") for x in rehearsed[key] if not x.get("ok")
    ]
    assert any("web.0 of br0 was" in note["text"] for note in rehearsed["notes"])
    ended = field.bascule("apply", field.site(FOUND.replace("stp: true", "ageing: 77s")), "--yes", "--no-confirm")
    assert ended.returncode == 0, ended.stderr
    options = json.loads(field.ip("-d -j link show br0"))[0]["linkinfo"]["info_data"]
    assert (options["stp_state"], options["ageing_time"]) == (0, 7700)  # two forward delays, while the topology changes


def test_d10_the_hosts_own_bridge_with_stp_is_applied_and_rehearsed(real_host: Field) -> None:
    """The forward delay is 15 s, as a site file without one has it: this test takes its 30 s twice."""
    field, path = real_host, real_host.site(STP)
    made = field.start("apply", path, "--yes", "--confirm-within", "600s")
    rehearsed = field.document("rehearse", path)
    said = made.communicate()[0]
    assert made.returncode == 0, said
    assert "eth0 of br0 was listening" in said
    assert "still answering: gateway 192.168.1.1" in said
    assert rehearsed["ok"], [
        x for key in ("checks", "expectations", "notes") for x in rehearsed[key] if not x.get("ok")
    ]
    assert field.bascule("undo").returncode == 0


def test_d10_undo_says_for_how_long_nobody_answers(real_host: Field) -> None:
    text = ONE_NIC.replace("address: from-uplink", "address: from-uplink, stp: true, forward_delay: 2")
    for one in (text, text.replace("br0:", "br1:")):
        assert real_host.bascule("apply", real_host.site(one), "--yes", "--no-confirm").returncode == 0
    undone = real_host.bascule("undo", "--yes")
    assert undone.returncode == 0, undone.stderr
    said = " ".join(undone.stdout.split())
    assert (
        "br0 runs the spanning tree protocol: a port that joins it passes no frame for 4 s; during that time the"
        in said
    )
    assert "br1 runs" not in said, "it goes"


def test_d10_another_bridge_is_the_root_and_has_times_of_its_own(real_host: Field) -> None:
    """The kernel shows the root's times: they are no drift, the wait is as long as they are, and STP can be left."""
    field = real_host
    field.ip("link set sw type bridge stp_state 1 priority 4096 forward_delay 300 hello_time 100", field.switch)
    text = ONE_NIC.replace("address: from-uplink", "address: from-uplink, stp: true, forward_delay: 2")
    path = field.site(text)
    done = field.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert "it passes no frame" not in done.stderr
    assert field.document("plan", path)["changes"] == []
    verified = field.document("verify", path)
    (tree,) = [check for check in verified["checks"] if check["id"] == "stp"]
    assert (tree["ok"], tree["detail"]) == (True, "STP on, the times of another bridge, the root")
    assert "drifted" not in field.bascule("status").stdout
    planned = field.document("plan", field.site(text.replace("forward_delay: 2", "forward_delay: 7"), "seven.yaml"))
    assert planned["changes"] == []
    assert any("whether its own are as the file says cannot be seen" in note["text"] for note in planned["notes"])
    imported = field.bascule("import").stdout
    assert "br0: the spanning tree's times: the kernel shows those of the root, another bridge" in imported
    off = field.site(ONE_NIC, "off.yaml")
    done = field.bascule("apply", off, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    assert field.document("plan", off)["changes"] == []
    undone = field.bascule("undo")
    assert undone.returncode == 0
    assert "its own times of the spanning tree do not come back" in " ".join(undone.stdout.split())
    assert field.document("plan", path)["changes"] == []
    assert "do not come back" not in field.bascule("undo").stdout, "of the first change, whose bridge goes"


def test_d10_a_port_that_the_spanning_tree_blocks_hears_its_own_bridge(real_host: Field) -> None:
    """Two cables to one switch: what comes in by the blocked one is no other machine with the guest's MAC."""
    field = real_host
    field.plug(field.host, "eth2", "02:00:00:00:00:12")
    text = FOUND.replace("    as_found: true\n", "").replace("eth1: {network: office}}", TWO_MORE)
    text = text.replace("{uplink: eth1, stp: true}", "{uplink: eth1, ports: [eth2], stp: true, forward_delay: 2}")
    path = field.site(text)
    assert field.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    assert "eth2" in "".join(x for x in field.run("bridge", "link").stdout.splitlines() if "blocking" in x)
    field.guest("web", "web.0", "192.168.1.21/24", bridge="br0", site=text)  # which is listening now
    said = field.document("verify", path)
    heard = {check["subject"]: check for check in said["checks"] if check["id"] == "foreign-mac"}
    assert heard["eth2"]["ok"] is None
    assert heard["eth2"]["detail"].startswith("not listened: the spanning tree has it blocking")
    assert not [check for check in heard.values() if check["ok"] is False]
    (outcome,) = said["expectations"]
    assert (outcome["observed"], outcome["model"]["agrees"]) == ("reach", True), "the model has waited, too"


def test_d10_the_ageing_time_of_a_topology_change_is_of_the_moment() -> None:
    """The kernel shows two forward delays meanwhile, and the configured value stands nowhere."""

    def seen(**info: object) -> Bridge:
        entry = {"ifname": "virbr0", "linkinfo": {"info_kind": "bridge", "info_data": {"stp_state": 1, **info}}}
        options = read_link(entry, ()).options
        assert isinstance(options, Bridge)
        return options

    quiet = seen(forward_delay=200, ageing_time=30000, topology_change=0)
    moving = seen(forward_delay=200, ageing_time=400, topology_change=1)
    assert quiet.arguments(moving) == moving.arguments(quiet) == ()
    set_by_hand = seen(forward_delay=200, ageing_time=400, topology_change=0)
    assert set_by_hand.arguments(quiet) == ("ageing_time", "400")


def test_d10_two_bridges_of_the_host_on_one_wire_are_rehearsed_as_they_stand(real_host: Field) -> None:
    """The one is the root of the other, whose own times the kernel hides: the twin's begins with those of the file."""
    field = real_host
    bridges = "br0: {uplink: eth0, address: from-uplink, stp: true, forward_delay: 2, hello: 1, max_age: 6}, "
    text = FOUND.partition("    nics:")[0].replace("    as_found: true\n", "") + (
        f"    nics: {{eth0: {{network: office}}, eth1: {{network: office}}}}\n    bridges: {{{bridges}"
        "br1: {uplink: eth1, stp: true, forward_delay: 4, hello: 1, max_age: 6}}\n"
        "guests: {web: {host: kvm, nics: [{bridge: br1, address: 192.168.1.21/24}]}}\n"
    )
    path = field.site(text)
    done = field.bascule("apply", path, "--yes", "--no-confirm")
    assert done.returncode == 0, done.stderr
    rehearsed = field.document("rehearse", path)
    assert [one["changes"] for one in rehearsed["plans"]] == [field.document("plan", path)["changes"]] == [[]]
    assert rehearsed["ok"], [one for one in rehearsed["checks"] if one["ok"] is False]


def test_d10_a_timer_that_began_by_a_longer_delay_is_waited_for(real_host: Field) -> None:
    field = real_host
    field.ip(f"link add br0 type bridge forward_delay {FORWARD_DELAY_S * 300} stp_state 1")
    field.batch("link set br0 up\nlink set eth1 master br0\n")
    field.ip(f"link set br0 type bridge forward_delay {FORWARD_DELAY_S * 100}")
    settled = await_forwarding(["br0"], namespace=field.host)
    assert (settled.left, [port.port for port in settled.seen]) == ((), ["eth1"])
    assert settled.waited_s > FORWARD_DELAY_S * 3, "a forward delay of the old length, and one of the new"
