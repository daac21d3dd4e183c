"""On which links a survey listens, and how ``blink`` goes about them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bascule.errors import UsageFault
from bascule.model.links import Bond, Bridge, Loopback, OpenVSwitch, OpenVSwitchBond, Physical, Tap, Veth, Vlan
from bascule.model.state import Address, HostState, Link
from bascule.model.values import IfName, Mac
from bascule.survey.choose import choose
from bascule.survey.listen_up import why_not
from bascule.system.net import managers
from tests.lab import Lab
from tests.survey.hearing import site


def link(name: str, options: object, *, master: str = "", parent: str = "") -> Link:
    return Link(
        name=IfName(name),
        options=options,  # type: ignore[arg-type]
        mac=None if name == "lo" else Mac(f"00:25:90:00:00:{len(name):02x}"),
        master=IfName(master) if master else None,
        parent=IfName(parent) if parent else None,
    )


HOST = HostState.of(
    [
        link("lo", Loopback()),
        link("eth0", Physical()),
        link("eth1", Physical(), master="bond0"),
        link("eth2", Physical(), master="bond0"),
        link("bond0", Bond(), master="br1"),
        link("br1", Bridge()),
        link("eth4", Physical(), master="bond1"),
        link("tap1", Tap(), master="ovs1"),
        link("bond1", OpenVSwitchBond(mode="balance-slb"), master="ovs1"),
        link("ovs1", OpenVSwitch()),
        link("tap0", Tap(), master="br1"),
        link("veth0", Veth(), master="br1"),
        link("eth3", Physical()),
        link("eth3.30", Vlan(id=30), master="br30", parent="eth3"),
        link("br30", Bridge()),
        link("br9", Bridge()),
        link("ovs9", OpenVSwitch()),
    ]
)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ((), ("eth0", "eth1", "eth2", "eth3", "eth4")),
        (("eth3",), ("eth3",)),
        (("bond0",), ("eth1", "eth2")),
        (("br1",), ("eth1", "eth2")),
        (("ovs1",), ("eth4",)),
        (("br30",), ("eth3",)),
        (("eth3.30", "eth3"), ("eth3",)),
        (("tap0",), ("tap0",)),
    ],
)
def test_below_bridges_bonds_and_vlans_are_the_nics(names: tuple[str, ...], chosen: tuple[str, ...]) -> None:
    nics, remarks = choose(HOST, names)
    assert nics == chosen
    assert len(remarks) == sum(name in ("bond0", "br1", "br30", "eth3.30", "ovs1") for name in names)


def test_the_sites_nics_come_first() -> None:
    _, host = site()
    assert choose(HOST, (), host)[0] == ("eth2", "eth3", "eth4", "eth0", "eth1")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("eth33", "nonsense"), "did you mean 'eth3'"),
        (("eth33", "nonsense"), "no link 'nonsense'"),
        (("br9",), "'br9' is a bridge without a NIC under it"),
        (("ovs9",), "'ovs9' is a bridge of Open vSwitch without a NIC under it"),
    ],
)
def test_what_cannot_be_listened_on(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageFault, match=words):
        choose(HOST, names)


def test_a_host_without_any_nic() -> None:
    with pytest.raises(UsageFault, match="no NIC to listen on"):
        choose(HostState.of([link("lo", Loopback())]), ())


def test_a_container_has_cables_for_nics() -> None:
    inside = HostState.of([link("lo", Loopback()), link("eth0", Veth()), link("a", Veth(), parent="b")])
    assert choose(inside, ())[0] == ("eth0",)


def test_what_hangs_on_something_is_not_brought_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(managers, "is_machines_own", lambda: False)
    eth0 = link("eth0", Physical())
    alone = HostState.of([eth0])
    assert why_not(eth0, alone) == ""
    assert "belongs to br1" in why_not(link("eth0", Physical(), master="br1"), alone)
    assert "has an address" in why_not(
        Link(name=IfName("eth0"), options=Physical(), addresses=(Address(ip="10.0.0.1/24"),)), alone
    )
    below = HostState.of([eth0, link("eth0.30", Vlan(id=30), parent="eth0")])
    assert "eth0.30 stands on it" in why_not(eth0, below), "the kernel brings VLAN links up with what they stand on"
    cable = link("eth0", Veth(), parent="eth1")
    assert why_not(cable, HostState.of([cable, link("eth1", Veth(), parent="eth0")])) == ""


@pytest.mark.kernel
def test_blink_takes_the_nics_one_after_the_other(lab: Lab, tmp_path: Path) -> None:
    """No driver here has an LED, so a script stands in for ethtool and writes down how it was called."""
    log = tmp_path / "log"
    tool = tmp_path / "ethtool"
    tool.write_text(f'#!/bin/sh\necho "$@" >>{log}\n')
    tool.chmod(0o755)
    host, far = lab.namespace("host"), lab.namespace("far")
    for nic in ("eth0", "eth1"):
        lab.ip(host, f"link add {nic} type veth peer name {nic} netns /proc/{os.getpid()}/fd/{far.fd}")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = lab.bascule(host, "blink", "--all", "--seconds", "3", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["nics"] == [{"nic": "eth0", "ok": True}, {"nic": "eth1", "ok": True}]
    assert log.read_text().splitlines() == ["--identify eth0 3", "--identify eth1 3"]
