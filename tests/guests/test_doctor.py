"""Each of the doctor's looks: what is seen, what is said, what to do."""

from __future__ import annotations

import json
from ipaddress import ip_interface
from pathlib import Path

import pytest
from click.testing import CliRunner

from bascule.cli import group
from bascule.model.domain import Domain, DomainNic, LibvirtNetwork
from bascule.model.links import Bridge, Physical
from bascule.model.site import PlugKind
from bascule.model.state import Address, HostState, Link, Route
from bascule.model.values import IfName, Mac
from bascule.verify.doctor import DoctorFacts, Finding, Severity, examine, gather
from bascule.workflow import load
from tests.guests.values import guest, nic, site
from tests.lab import Lab

ALL = dict.fromkeys(gather.TOOLS, True)
DEFAULT = LibvirtNetwork(
    name="default",
    mode="nat",
    bridge="virbr0",
    active=True,
    autostart=True,
    addresses=(ip_interface("192.168.122.1/24"),),
)


def host(*links: Link, routes: tuple[Route, ...] = ()) -> HostState:
    return HostState.of(links, routes=routes)


def found(name: str, **facts: object) -> list[Finding]:
    given = {"tools": ALL, "kvm_works": True, **facts}
    return [finding for finding in examine(DoctorFacts(**given)) if finding.id == name]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("distribution", "like", "line"),
    [
        ("debian", (), "apt-get install qemu-system-x86 libvirt-daemon-system"),
        ("linuxmint", ("ubuntu", "debian"), "apt-get install qemu-system-x86 libvirt-daemon-system"),
        ("rocky", ("rhel", "centos", "fedora"), "dnf install qemu-kvm libvirt-daemon"),
        ("opensuse-leap", ("suse", "opensuse"), "zypper install qemu-x86 libvirt-daemon"),
    ],
)
def test_missing_packages_come_with_the_line_of_the_distribution(
    distribution: str, like: tuple[str, ...], line: str
) -> None:
    tools = {**ALL, "qemu-system-x86_64": False, "libvirtd": False, "virtqemud": False}
    (finding,) = found("packages", tools=tools, distribution=distribution, like=like)
    assert finding.severity is Severity.PROBLEM
    assert finding.fix == line


def test_separate_daemons_stand_for_libvirtd() -> None:
    (finding,) = found("packages", tools={**ALL, "libvirtd": False})
    assert finding.severity is Severity.OK


def test_kvm_that_is_there_and_does_not_run_a_guest() -> None:
    (finding,) = found("kvm", kvm_works=False, kvm_device=True, kvm_flags=("svm",), kvm_reason="it hung")
    assert finding.severity is Severity.PROBLEM
    assert "it hung" in finding.text
    assert "nested" in finding.fix
    (finding,) = found("kvm", kvm_works=False, kvm_flags=("vmx",), kvm_reason="no /dev/kvm")
    assert finding.fix == "modprobe kvm_intel"


def test_libvirts_default_network_on_a_subnet_in_use() -> None:
    eth0 = Link(name=IfName("eth0"), options=Physical(), addresses=(Address(ip="192.168.122.50/23"),))
    virbr0 = Link(name=IfName("virbr0"), options=Bridge(), addresses=(Address(ip="192.168.122.1/24"),))
    route = Route(dst="192.168.0.0/16", dev="tun0")
    (finding,) = found("network-collision", networks=(DEFAULT,), state=host(eth0, virbr0, routes=(route,)))
    assert finding.evidence == ("eth0 has 192.168.122.50/23", "route 192.168.0.0/16 dev tun0")
    assert found("network-collision", networks=(DEFAULT,), state=host(virbr0)) == []


def test_a_building_network_in_the_file_collides_too() -> None:
    told = load(str(Path(__file__).parents[2] / "examples" / "production.yaml"))
    mine = LibvirtNetwork(name="x", mode="nat", addresses=(ip_interface("192.168.0.1/16"),))
    (finding,) = found("network-collision", networks=(mine,), site=told, host="vmserver")
    assert finding.severity is Severity.WARNING  # neither active nor started with the host
    assert "network 'internal' of the site file is 192.168.1.0/24" in finding.evidence


def test_firewalld_between_guests_and_their_dhcp_server() -> None:
    (finding,) = found("firewalld-zone", networks=(DEFAULT,), zones={"eth0": "public"}, default_zone="public")
    assert "virbr0 is in zone public (the default)" in finding.evidence
    assert found("firewalld-zone", networks=(DEFAULT,), zones={"virbr0": "libvirt"}) == []
    assert found("firewalld-zone", networks=(DEFAULT,), zones=None) == []


def test_a_name_server_on_every_address() -> None:
    sockets = (("0.0.0.0:53", "named"), ("127.0.0.53:53", "systemd-resolve"))
    (finding,) = found("name-servers", networks=(DEFAULT,), dns_sockets=sockets)
    assert finding.subject == "named"
    assert "'default' cannot start" in finding.text
    assert found("name-servers", networks=(DEFAULT,), dns_sockets=sockets[1:]) == []


def test_a_wireless_uplink_is_refused_with_the_reason() -> None:
    told = load(str(Path(__file__).parents[2] / "examples" / "production.yaml"))
    (finding,) = found("wireless", site=told, host="vmserver", wireless=frozenset({"eth4", "wlan0"}))
    assert finding.subject == "eth4"
    assert "the uplink of br3" in finding.text


def test_macvtaps_trap_is_told() -> None:
    (finding,) = found("macvtap", site=site(guest("g1", nic("g1", 0, "eth4", plug=PlugKind.DIRECT))), host="h")
    assert "host and guest cannot talk" in finding.text


def test_a_clone_is_a_finding() -> None:
    nics = (DomainNic(index=0, kind="bridge", into="br3", mac=Mac("52:54:00:00:00:01")),)
    (finding,) = found("mac-twice", domains=(Domain(name="a", nics=nics), Domain(name="b", nics=nics)))
    assert "one is a clone of the other" in finding.text


def test_modules_that_are_not_loaded() -> None:
    (finding,) = found("modules", modules=frozenset({"tun"}))
    assert finding.severity is Severity.NOTE
    assert finding.fix.startswith("modprobe -a bridge")
    assert found("modules", modules=None) == []


@pytest.mark.kernel
def test_it_sees_a_live_host(lab: Lab) -> None:
    room = lab.host("eth0")
    lab.ip(room, "link add br3 type bridge")
    with room.entered():
        seen = gather.gather()
    assert seen.state is not None
    assert {"br3", "eth0"} <= set(seen.state.links)
    assert seen.tools["ip"]
    done = lab.bascule(room, "doctor", "--json")
    document = json.loads(done.stdout)
    assert document["schema"] == "bascule/doctor/1"
    assert {finding["id"] for finding in document["findings"]} >= {"kvm", "packages"}
    assert done.returncode == (0 if document["ok"] else 1)


def test_a_wrong_host_is_a_usage_fault() -> None:
    example = str(Path(__file__).parents[2] / "examples" / "production.yaml")
    with pytest.raises(Exception, match="the site file has no host 'nobody'"):
        CliRunner().invoke(
            group, ["doctor", example, "--host", "nobody"], standalone_mode=False, catch_exceptions=False
        )
