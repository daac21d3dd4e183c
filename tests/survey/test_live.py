"""A survey of real wires: Linux bridges with the spanning tree as switches, real daemons, real frames."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests import prefork
from tests.lab import Lab, called
from tests.patience import HUNG_S
from tests.survey.building import Building, wait_for
from tests.survey.frames import BOOTP, DHCP, IP, UDP, Ether, arp, pvst
from tests.survey.hearing import many

pytestmark = pytest.mark.kernel

PRODUCTION = Path(__file__).parents[2] / "examples/production.yaml"
ARP = 0x0806
CLIENT = "00:16:3e:77:00:01"
DISCOVER = bytes(
    Ether(src=CLIENT, dst="ff:ff:ff:ff:ff:ff")
    / IP(src="0.0.0.0", dst="255.255.255.255")
    / UDP(sport=68, dport=67)
    / BOOTP(op=1, chaddr=bytes.fromhex(CLIENT.replace(":", "")), flags=0x8000, xid=7)
    / DHCP(options=[("message-type", "discover"), "end"])
)


@pytest.fixture
def building(lab: Lab) -> Iterator[Building]:
    made = Building(lab)
    try:
        yield made
    finally:
        made.close()


def survey(building: Building, *words: str, status: int = 0, seconds: str = "4") -> dict[str, Any]:
    done = building.lab.bascule(building.host, "survey", "--seconds", seconds, "--json", *words)
    assert done.returncode == status, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def production(building: Building, *, swapped: bool = False) -> tuple[Namespace, Namespace]:
    """The scenario of examples/production.yaml: two switches, dmz on both, eth4 and eth5 still down."""
    inner, outer = building.switch("sw-inner"), building.switch("sw-outer")
    guests = (outer, inner) if swapped else (inner, outer)
    for nic, switch in (("eth2", inner), ("eth4", guests[0]), ("eth3", outer), ("eth5", guests[1])):
        building.cable(building.host, nic, switch, f"p{nic[-1]}", bridge="br0", up=nic in ("eth2", "eth3"))
    dmz, desk, customer = (building.lab.namespace(name) for name in ("dmz", "desk", "customer"))
    building.cable(dmz, "in", inner, "p1", bridge="br0")
    building.cable(dmz, "out", outer, "p1", bridge="br0")
    building.cable(desk, "eth0", inner, "p9", bridge="br0")
    building.cable(customer, "eth0", outer, "p9", bridge="br0")
    building.lab.ip(dmz, "addr add 192.168.1.1/24 dev in")
    building.lab.ip(dmz, "addr add 129.230.0.1/16 dev out")
    building.daemon(
        dmz,
        (
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--port=0",
            "--interface=in",
            "--bind-interfaces",
            "--dhcp-range=192.168.1.100,192.168.1.199",
            "--dhcp-leasefile={dir}/leases",
        ),
    )
    building.says(desk, "eth0", [*many("192.168.1", 4, "192.168.1.1", first=50), DISCOVER])
    building.says(customer, "eth0", many("129.230.200", 4, "129.230.0.1"))
    return inner, outer


def forwarding(building: Building, switch: Namespace, number: int) -> None:
    """The spanning tree lets so many ports through; a port without a carrier does not count."""
    wait_for(lambda: building.lab.ip(switch, "-d link show").count("state forwarding") >= number, timeout_s=20)


def test_production_is_judged_right_and_the_host_is_as_before(building: Building) -> None:
    inner, outer = production(building)
    forwarding(building, inner, 3)
    forwarding(building, outer, 3)
    before = building.lab.ip(building.host, "-d link show"), building.lab.ip(building.host, "addr show")
    found = survey(building, "--site", str(PRODUCTION), seconds="8")
    after = building.lab.ip(building.host, "-d link show"), building.lab.ip(building.host, "addr show")
    assert before == after
    assert {nic: verdict["network"] for nic, verdict in found["nics"].items()} == {
        "eth2": "internal",
        "eth3": "internet",
        "eth4": "internal",
        "eth5": "internet",
    }
    assert found["ok"]
    assert [wire["nics"] for wire in found["wires"]] == [["eth2", "eth4"], ["eth3", "eth5"]]
    lines = {line["detail"]: line["frames"] for line in found["nics"]["eth2"]["evidence"]}
    assert {"DHCP states 192.168.1.0/24", "DHCP server 192.168.1.1", "DHCP gateway 192.168.1.1"} <= set(lines)
    assert any(detail.startswith("STP from bridge") and frames >= 4 for detail, frames in lines.items())
    assert all(nic["switch"]["bridge"] for nic in found["nics"].values())


def test_production_with_two_cables_swapped(building: Building) -> None:
    inner, outer = production(building, swapped=True)
    forwarding(building, inner, 3)
    forwarding(building, outer, 3)
    found = survey(building, "--site", str(PRODUCTION), "eth4", "eth5", status=1, seconds="7")
    assert not found["ok"]
    assert found["nics"]["eth4"]["network"] == "internet"
    assert found["nics"]["eth4"]["warnings"][0].startswith("declared internal, but hears internet")
    assert found["nics"]["eth5"]["warnings"][0].startswith("declared internet, but hears internal")


def test_production_without_a_site_file(building: Building) -> None:
    inner, outer = production(building)
    forwarding(building, inner, 3)
    forwarding(building, outer, 3)
    found = survey(building, "eth2", "eth3")
    site = parse(found["draft"].encode(), "draft.yaml")
    (host,) = site.hosts.values()
    nets = {str(name): site.networks[str(nic.network)] for name, nic in host.nics.items()}
    assert [str(net) for net in nets["eth2"].subnets] == ["192.168.1.0/24"]
    assert [str(ip) for ip in nets["eth2"].gateways] == ["192.168.1.1"]
    assert str(nets["eth3"].subnets[0]).startswith("129.230.")


def test_lldpd_radvd_and_keepalived_are_understood(building: Building, tmp_path: Path) -> None:
    switch = building.switch("sw1")
    building.cable(building.host, "eth2", switch, "swp5", bridge="br0")
    router = building.lab.namespace("router")
    building.cable(router, "eth0", switch, "swp1", bridge="br0")
    building.lab.ip(router, "addr add 10.7.0.2/24 dev eth0")
    building.lab.ip(router, "addr add 2001:db8:7::2/64 dev eth0 nodad")
    building.lab.ip(router, "addr add fe80::2/64 dev eth0 nodad")
    building.daemon(
        router,
        ("radvd", "-n", "-m", "none", "-C", "{conf}", "-p", "{dir}/radvd.pid"),
        config="interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;"
        " prefix 2001:db8:7::/64 {}; };\n",
    )
    building.daemon(
        router,
        ("keepalived", "-n", "-l", "--vrrp", "-f", "{conf}", "-p", "{dir}/k.pid", "-r", "{dir}/v.pid"),
        config="vrrp_instance a {\n state MASTER\n interface eth0\n virtual_router_id 7\n priority 200\n advert_int 1\n"
        " virtual_ipaddress {\n 10.7.0.1/24\n }\n}\n",
    )
    forwarding(building, switch, 2)
    with called("sw1"):
        building.speaks_lldp(switch, "-ccc", "-ee", "-ff", "-I", "swp*")
    site = tmp_path / "site.yaml"
    site.write_text(
        "site: s\nnetworks:\n  office: {subnet: [10.7.0.0/24, '2001:db8:7::/64'], gateway: 10.7.0.1}\n"
        "  other: {subnet: 10.8.0.0/24}\n"
        "hosts: {h: {nics: {eth2: {network: office, switch: {name: sw1, port: swp5}}}}}\n"
    )
    found = survey(building, "--site", str(site), seconds="6")["nics"]["eth2"]
    assert (found["network"], found["words"]) == ("office", "certain")
    assert (found["switch"]["name"], found["cabling"]["status"]) == ("sw1", "right")
    assert found["switch"]["via"] == "LLDP and CDP and EDP and FDP", found["evidence"]
    details = [line["detail"] for line in found["evidence"]]
    assert "RA states 2001:db8:7::/64" in details
    assert "VRRP group 7 gateway 10.7.0.1" in details


def test_a_host_that_speaks_lldp_is_not_the_switch(building: Building) -> None:
    neighbour = building.lab.namespace("neighbour")
    building.cable(building.host, "eth2", neighbour, "eth0")
    building.speaks_lldp(neighbour, "-ccc", "-I", "eth0")
    found = survey(building, "eth2")["nics"]["eth2"]
    assert found["switch"] is None
    lines = [line for line in found["evidence"] if line["kind"] in ("lldp", "cdp")]
    assert lines
    assert all("not the switch" in line["detail"] for line in lines)


def test_tagged_frames_and_the_native_vlan_of_a_trunk(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer")
    building.says(wire, "peer", [pvst(10), pvst(30, tags=(30,)), *many("10.30.0", 4, "10.30.0.1", tags=(30,))])
    found = survey(building, "eth2", seconds="2")
    assert (found["nics"]["eth2"]["native_vlan"], found["nics"]["eth2"]["vlans"]) == (10, [30])
    assert {"subnets": ["10.30.0.0/24"], "vlan": 30}.items() <= next(p for p in found["proposals"] if p["vlan"]).items()


def test_it_listens_on_the_ports_of_a_bridge_and_not_to_its_own_guests(building: Building) -> None:
    wire, guest = building.lab.namespace("wire"), building.lab.namespace("guest")
    building.cable(building.host, "eth4", wire, "peer")
    building.lab.ip(building.host, "link add br3 type bridge forward_delay 0")
    building.lab.ip(building.host, "link set br3 addrgenmode none up")
    building.lab.ip(building.host, "link set eth4 master br3")
    tap = building.lab.tap(building.host, "tap0")
    building.lab.ip(building.host, "link set tap0 master br3 up")
    building.says(wire, "peer", many("10.1.0", 4, "10.1.0.1"))
    process = subprocess.Popen(
        (
            "nsenter",
            f"--net=/proc/self/fd/{building.host.fd}",
            sys.executable,
            "-m",
            "bascule",
            "survey",
            "br3",
            "--seconds",
            "2",
            "--json",
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(building.host.fd,),
    )
    while process.poll() is None:
        os.write(tap, arp("172.20.0.9", "172.20.0.1", mac="52:54:00:00:00:09"))
        time.sleep(0.1)
    out, err = process.communicate()
    found = json.loads(out)["nics"]
    assert "br3 is a bridge: listening on eth4" in err
    assert list(found) == ["eth4"]
    assert "10.1.0.0/24" in str(found)
    assert "172.20.0" not in str(found), "what a guest of ours says on its way out is no word of the wire"
    assert guest.fd


def test_active_proves_a_wire_that_is_silent(building: Building) -> None:
    switch = building.switch("quiet", stp=False)
    for nic in ("eth2", "eth3"):
        building.cable(building.host, nic, switch, f"p{nic}", bridge="br0")
    other = building.lab.namespace("other")
    building.cable(building.host, "eth4", other, "alone")
    building.lab.ip(switch, "link set br0 type bridge forward_delay 0")
    forwarding(building, switch, 2)
    assert survey(building, seconds="1")["wires"] == []
    (wire,) = survey(building, "--active", seconds="1")["wires"]
    assert wire["nics"] == ["eth2", "eth3"]
    assert "a frame sent on eth2 came in on eth3" in wire["reasons"]


def test_it_never_sends(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer", up=False)
    building.lab.ip(building.host, "addr add 10.1.0.9/24 dev lo")
    with wire.entered():
        ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        ear.bind(("peer", 3))
        ear.setblocking(False)
    building.says(wire, "peer", many("10.1.0", 2, "10.1.0.9"))  # they ask for an address that the host has
    survey(building, "eth2", seconds="2")
    sent = set()
    while True:
        try:
            frame, origin = ear.recvfrom(2048)
        except BlockingIOError:
            break
        if origin[2] != socket.PACKET_OUTGOING:
            sent.add(frame)
    ear.close()
    assert not sent


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_killed_half_way_it_leaves_the_nics_as_they_were(building: Building, stop: signal.Signals) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer", up=False)
    building.says(wire, "peer", many("10.1.0", 4, "10.1.0.1"))
    before = building.lab.ip(building.host, "-d link show")
    with building.host.entered():
        process = prefork.start(
            "survey", "eth2", "--seconds", "60", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    wait_for(lambda: "LOWER_UP" in building.lab.ip(building.host, "link show eth2"))
    state = building.lab.ip(building.host, "-d link show eth2")
    assert "NOARP" in state
    assert "addrgenmode none" in state
    assert "inet6" not in building.lab.ip(building.host, "addr show eth2")
    wait_for(lambda: building.is_heard("eth2"))
    building.awaits(building.host, "eth2", ARP)
    time.sleep(1)
    process.send_signal(stop)
    out, err = process.communicate(timeout=HUNG_S)
    assert building.lab.ip(building.host, "-d link show") == before
    if stop == signal.SIGINT:  # judges what was heard so far
        assert process.returncode == 0
        assert "10.1.0.0/24" in out
    else:
        assert process.returncode == 128 + stop
        assert f"ended by {stop.name}" in err


def test_killed_for_good_its_heir_puts_the_nics_back(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer", up=False)
    before = building.lab.ip(building.host, "-d link show")
    with building.host.entered():
        process = prefork.start(
            "survey", "eth2", "--seconds", "60", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    wait_for(lambda: "LOWER_UP" in building.lab.ip(building.host, "link show eth2"))
    process.kill()
    assert process.wait(HUNG_S) == -signal.SIGKILL
    wait_for(lambda: building.lab.ip(building.host, "-d link show") == before)


def test_a_nic_that_is_down_with_an_address_is_not_brought_up(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer", up=False)
    building.lab.ip(building.host, "addr add 10.1.0.9/24 dev eth2")
    found = survey(building, "eth2", seconds="1")["nics"]["eth2"]
    assert any("it is down and has an address" in warning for warning in found["warnings"])
    assert "10.1.0.0" not in building.lab.ip(building.host, "route")


def test_a_nic_that_goes_away_meanwhile_is_said(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer")
    building.cable(building.host, "eth3", wire, "peer3", up=False)
    with building.host.entered():
        process = prefork.start("survey", "--seconds", "5", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: "LOWER_UP" in building.lab.ip(building.host, "link show eth3"))
    building.lab.ip(wire, "link del peer")
    building.lab.ip(wire, "link del peer3")
    out, err = process.communicate(timeout=HUNG_S)
    assert process.returncode == 0, err
    for nic, found in json.loads(out)["nics"].items():
        assert any(f"{nic} went away while it was listened on" in warning for warning in found["warnings"])


def change(building: Building, verb: str, file: Path) -> subprocess.CompletedProcess[str]:
    state = {"BASCULE_STATE_DIR": str(building.folder / "state")}
    words = (verb, str(file), "--survey", "--survey-seconds", "7", *(("--yes",) if verb == "apply" else ()))
    return building.lab.bascule(building.host, *words, env=state)


@pytest.mark.parametrize("verb", ["plan", "apply"])
def test_a_change_is_refused_on_swapped_cables_and_made_on_the_right_ones(
    building: Building, tmp_path: Path, verb: str
) -> None:
    inner, outer = production(building)
    forwarding(building, inner, 3)
    forwarding(building, outer, 3)
    before = building.lab.ip(building.host, "-d link show")
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    nics = "hosts: {h: {nics: {eth4: {network: %s}, eth5: {network: %s}}, bridges: {br3: {uplink: eth4}}}}\n"
    nets = "networks: {internal: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}, internet: {subnet: 129.230.0.0/16}}\n"
    right.write_text("site: s\n" + nets + nics % ("internal", "internet"))
    wrong.write_text("site: s\n" + nets + nics % ("internet", "internal"))
    refused = change(building, verb, wrong)
    assert refused.returncode == 1
    assert "error[WRONG-WIRE]: eth4: declared internet, but hears internal" in refused.stderr
    assert building.lab.ip(building.host, "-d link show") == before
    done = change(building, verb, right)
    assert done.returncode == 0, done.stderr
    assert ("br3" in building.lab.ip(building.host, "link show")) == (verb == "apply")


def test_a_loop_that_only_the_wires_know_is_refused(building: Building, tmp_path: Path) -> None:
    """Two bridges that a cable joins, and two NICs of which the file does not know that they are on one wire."""
    switch, host = building.switch("sw1"), building.host
    for nic in ("eth4", "eth5"):
        building.cable(host, nic, switch, f"p{nic}", bridge="br0", up=False)
    building.lab.ip(host, "link add v3 type veth peer name v4")
    for bridge, end in (("br3", "v3"), ("br4", "v4")):
        building.lab.ip(host, f"link add {bridge} type bridge")
        building.lab.ip(host, f"link set {end} master {bridge} up")
    file = tmp_path / "site.yaml"
    file.write_text(
        "site: s\nhosts: {h: {nics: {eth4: {}, eth5: {}}, bridges: {br3: {uplink: eth4}, br4: {uplink: eth5}}}}\n"
    )
    refused = change(building, "apply", file)
    assert refused.returncode == 1
    assert "br4 ── v3=v4 ── br3 ── eth4 ── (the wire) ── eth5 ── br4" in refused.stderr
    assert "master" not in building.lab.ip(host, "link show eth4")


def test_blink_says_where_the_driver_cannot(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer")
    building.cable(building.host, "eth3", wire, "peer3")
    done = building.lab.bascule(building.host, "blink", "--all", "--seconds", "1", "--json")
    document = json.loads(done.stdout)
    assert (done.returncode, document["ok"]) == (1, False)
    assert "blinking for" not in done.stderr
    assert [nic["nic"] for nic in document["nics"]] == ["eth2", "eth3"]
    assert "(veth) cannot blink" in document["nics"][0]["problem"]["message"]
    assert building.lab.bascule(building.host, "blink").returncode == 64
    missing = building.lab.bascule(building.host, "blink", "eth22")
    assert (missing.returncode, "did you mean 'eth2'?" in missing.stderr) == (64, True)


def test_a_bridge_over_two_nics_of_one_wire_is_drawn_as_a_loop(building: Building) -> None:
    """The wire is played, so that nothing turns; a switch that cuts the loop falls silent on one port."""
    wire = building.lab.namespace("wire")
    building.lab.ip(building.host, "link add br3 type bridge forward_delay 0")
    building.lab.ip(building.host, "link set br3 addrgenmode none up")
    for nic in ("eth4", "eth5"):
        building.cable(building.host, nic, wire, f"p{nic}")
        building.lab.ip(building.host, f"link set {nic} master br3")
        building.says(wire, f"p{nic}", [pvst(30), *many("10.30.0", 4, "10.30.0.1")])
    found = survey(building, "br3", status=1, seconds="3")
    assert not found["ok"]
    (loop,) = found["loops"]
    assert (loop["nics"], loop["bridges"]) == (["eth4", "eth5"], ["br3"])
    assert loop["drawn"].count(" ── ") == 4
    building.lab.ip(building.host, "link set br3 type bridge stp_state 1")
    assert survey(building, "br3", seconds="3")["loops"] == []


def test_who_may_not_listen_is_told_before_it_says_that_it_listens(building: Building) -> None:
    wire = building.lab.namespace("wire")
    building.cable(building.host, "eth2", wire, "peer")
    nobody = {"user": 65534, "group": 65534, "extra_groups": [], "cwd": "/"}
    words = (sys.executable, "-m", "bascule", "survey", "--seconds", "1")
    with building.host.entered():
        try:
            done = subprocess.run(words, capture_output=True, text=True, **nobody)  # type: ignore[call-overload]  # typed so
        except PermissionError:
            pytest.skip("an ordinary user may not read this tree")
    assert done.returncode == 77, done.stderr
    assert "listening for" not in done.stderr
