"""The production scenario on Open vSwitch, rehearsed with frames: a trunk, a mirror, and what is said without it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bascule.frames.guarding.attacks import ATTACKS
from bascule.providers.ovs.unseen_frames import UNSEEN
from tests import prefork
from tests.ovs.stage import require

ROOT = Path(__file__).parents[2]
EXAMPLE = "examples/open-vswitch.yaml"


def bascule(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words, cwd=ROOT, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def example() -> Any:
    if os.geteuid() != 0:
        pytest.skip("a twin with Open vSwitch is rehearsed as root here")
    require()
    done = bascule("rehearse", EXAMPLE, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_every_check_and_expectation_holds(example: Any) -> None:
    assert example["ok"] is True
    assert [one["id"] for one in example["checks"] if one["ok"] is None] == ["arp-from-host"]  # no NIC on storage
    assert all(one["ok"] for one in example["expectations"])
    found = {(check["subject"], check["id"]) for check in example["checks"]}
    for guest in ("guest_01", "guest_02", "guest_03", "backup"):
        for check in ("in-broadcast-domain", "like-any-nic", "unrestricted-within", "mac-on-own-port"):
            assert (guest, check) in found


GUARDED = """
site: g
networks: {lan: {subnet: [10.0.0.0/24, "2001:db8::/64"], gateway: 10.0.0.1}}
hosts:
  h1:
    nics: {eth1: {network: lan}}
    bridges: {ovs0: {kind: openvswitch, uplink: eth1, guard: strict}}
guests:
  web: {host: h1, nics: [{bridge: ovs0, address: [10.0.0.9/24, "2001:db8::9/64"]}]}
machines: {gate: {nics: [{network: lan, address: 10.0.0.1/24}]}}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="a twin with Open vSwitch is rehearsed as root here")
def test_a_guard_is_attacked_in_a_rehearsal(tmp_path: Path) -> None:
    require()
    file = tmp_path / "site.yaml"
    file.write_text(GUARDED)
    told = json.loads(bascule("rehearse", str(file), "--json").stdout)
    guard = next(check for check in told["checks"] if check["id"] == "guard")
    assert (told["ok"], guard["ok"]) == (True, True)
    every = len(ATTACKS)
    assert f"{every - len(UNSEEN)} of {every} kinds of hostile frames stopped" in guard["detail"]
    assert every - len(UNSEEN) >= 71
    assert "cannot tell (plan says why): a router solicitation with another's MAC" in guard["detail"]


def test_a_tagged_network_reaches_its_guest_and_no_other(example: Any) -> None:
    found = {(one["from"], one["to"]): one["observed"] for one in example["expectations"]}
    assert found["nas", "backup"] == found["backup", "nas"] == "reach"
    assert found["desk", "backup"] == "no-reach"


def test_who_listens_gets_copies(example: Any) -> None:
    (copies,) = (check for check in example["checks"] if check["id"] == "mirror")
    assert copies["subject"] == "ovs4 to ids.0"
    assert copies["detail"] == "guest_01 asked for 129.230.0.1: 1 of its frames and 1 to it were copied"


def test_the_way_back_leaves_nothing(example: Any) -> None:
    assert [check["detail"] for check in example["checks"] if check["id"] == "way-back"] == [
        "undone, the host is as it was before"
    ]


def test_without_its_programs_it_is_said_what_to_install(tmp_path: Path) -> None:
    for tool in ("ip", "bridge", "nft", "dnsmasq"):
        (tmp_path / tool).symlink_to("/bin/true")
    done = bascule("rehearse", EXAMPLE, PATH=str(tmp_path))
    assert done.returncode == 1
    assert "error[TOOL-MISSING]: 'ovs-vswitchd' is not in PATH" in done.stderr
    assert "apt-get install openvswitch-switch" in done.stderr


BONDED = """
site: b
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  h:
    nics: {eth1: {network: lan}, eth2: {network: lan}}
    bonds: {bond0: {nics: [eth1, eth2], mode: balance-slb}}
    bridges: {ovs0: {kind: openvswitch, uplink: bond0, address: 10.0.0.5/24}}
guests: {g: {host: h, nics: [{bridge: ovs0, address: 10.0.0.9/24}], serves: [tcp/80]}}
machines: {m: {nics: [{network: lan, address: 10.0.0.50/24}]}}
expect: [{from: m, to: g, service: tcp/80, verdict: reach}, {from: m, to: h, verdict: reach}]
"""


def test_two_nics_are_one_port(example: Any, tmp_path: Path) -> None:
    """A bond of Open vSwitch, and the host's own address on the internal port behind it."""
    (tmp_path / "site.yaml").write_text(BONDED)
    found = json.loads(bascule("rehearse", str(tmp_path / "site.yaml"), "--json").stdout)
    assert found["ok"] is True, [check for check in found["checks"] if not check["ok"]]
    assert "become a port of ovs0, bond balance-slb" in json.dumps(found["plans"])


@pytest.mark.skipif(not os.environ.get("BASCULE_SOAK"), reason="each of the five guests boots: make soak")
@pytest.mark.parametrize("kind", ["qemu", "libvirt"])
def test_virtual_machines_stand_on_it(example: Any, kind: str) -> None:
    done = bascule("rehearse", EXAMPLE, "--guests", kind, "--json")
    found = json.loads(done.stdout)
    assert found["ok"] is True, found.get("problems") or [one for one in found["checks"] if one["ok"] is False]
    assert any(check["id"] == "mirror" and check["ok"] for check in found["checks"])
