"""Whole rehearsals of small sites of which one once said something that was not so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bascule.cli import group
from tests.topology.test_sweep_of_sites import SEVERAL_NICS

pytestmark = pytest.mark.kernel
HEAD = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {e0: {network: lan}, e1: {network: lan, address: 10.0.0.2/24}}, bridges: {br0: {uplink: e0}}}}
"""
SILENT = f"""{HEAD}
guests:
  mute: {{host: h, nics: [{{bridge: br0}}]}}
"""
ALONE = """\
site: t
hosts: {h: {bridges: {br0: {uplink: none}}}}
guests:
  mute: {host: h, nics: [{bridge: br0}]}
"""
STATIC = f"""{HEAD}
guests:
  vault: {{host: h, nics: [{{bridge: br0, address: 10.0.0.5/24, guard: strict, fdb: static}}]}}
  web: {{host: h, nics: [{{bridge: br0, address: 10.0.0.6/24}}]}}
expect:
  - {{from: web, to: vault, verdict: reach}}
  - {{from: vault, to: h, verdict: reach}}
"""
INSIDE = """\
site: t
hosts:
  h:
    bridges: {br0: {uplink: none}}
    virtual_networks: {lab: {mode: isolated, subnet: 192.168.9.0/24}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24}]}
  db: {host: h, nics: [{bridge: br0, address: 10.0.0.7/24}]}
  near: {host: h, nics: [{network: lab, address: 192.168.9.7/24}]}
expect:
  - {from: web, to: h, verdict: no-reach}
  - {from: near, to: h, verdict: reach}
  - {from: h, to: web, verdict: no-reach}
"""
SWITCHED = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  h: {nics: {e0: {network: lan}}, bridges: {br0: {kind: openvswitch, uplink: e0, guard: mac}}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24, isolated: true}]}
  db: {host: h, nics: [{bridge: br0, address: 10.0.0.7/24, isolated: a}]}
expect:
  - {from: web, to: db, verdict: no-reach}
"""
TWO_WAYS = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}, far: {subnet: 10.9.0.0/24, gateway: 10.9.0.1}}
hosts:
  h:
    nics: {e0: {network: lan}, e1: {network: far, address: 10.9.0.5/24}}
    bridges: {br0: {uplink: e0}}
    virtual_networks: {lab: {mode: nat, subnet: 192.168.9.0/24, dhcp: 192.168.9.100-192.168.9.200}}
guests:
  web: {host: h, nics: [{network: lab, address: dhcp}, {bridge: br0, address: 10.0.0.6/24}]}
machines:
  fw: {nics: [{network: lan, address: 10.0.0.1/24}, {network: far, address: 10.9.0.1/24}], forwards: []}
  log: {nics: [{network: far, address: 10.9.0.9/24}]}
expect:
  - {from: web, to: log, verdict: no-reach}
"""
APART = """\
site: t
hosts: {h: {bridges: {br0: {uplink: none}}}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24, isolated: true}]}
  db: {host: h, nics: [{bridge: br0, address: 10.0.0.7/24, isolated: true}]}
"""
NATIVE = """\
site: t
networks:
  lan: {subnet: 10.0.0.0/24, vlan: 10}
  dmz: {subnet: 10.1.0.0/24, vlan: 20}
hosts:
  h: {nics: {e0: {}}, bridges: {br0: {kind: openvswitch, uplink: e0, pvid: 10}}}
guests:
  web: {host: h, nics: [{bridge: br0, vlan: 10, address: 10.0.0.6/24}]}
  db: {host: h, nics: [{bridge: br0, vlan: 20, address: 10.1.0.6/24}]}
machines:
  pc: {nics: [{network: lan, address: 10.0.0.50/24}]}
  ids: {nics: [{network: dmz, address: 10.1.0.50/24}]}
expect:
  - {from: pc, to: web, verdict: reach}
  - {from: ids, to: db, verdict: reach}
  - {from: web, to: db, verdict: no-reach}
"""
OWN_PORT = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}, dmz: {subnet: 10.1.0.0/24, vlan: 20}}
hosts:
  h: {nics: {e0: {network: lan}}, bridges: {br0: {kind: openvswitch, uplink: e0, address: 10.0.0.5/24}}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24}]}
  db: {host: h, nics: [{bridge: br0, vlan: 20, address: 10.1.0.6/24}]}
expect:
  - {from: h, to: web, verdict: reach}
"""

LOOP = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}, dmz: {subnet: 10.1.0.0/24, vlan: 20}}
hosts:
  h:
    nics: {e0: {network: lan}, e1: {network: lan}}
    bridges: {br0: {kind: openvswitch, uplink: e0, ports: [e1], rstp: true}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24}]}
  db: {host: h, nics: [{bridge: br0, vlan: 20, address: 10.1.0.6/24}]}
machines:
  pc: {nics: [{network: lan, address: 10.0.0.50/24}]}
  nas: {nics: [{network: dmz, address: 10.1.0.50/24}]}
expect:
  - {from: pc, to: web, verdict: reach}
  - {from: nas, to: db, verdict: reach}
"""


def rehearse(text: str, folder: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit status, and what it says to programs."""
    file = folder / "site.yaml"
    file.write_text(text)
    done = CliRunner().invoke(group, ["rehearse", str(file), "--json", *words], standalone_mode=False)
    return done.return_value, json.loads(done.stdout)


def ports(said: dict[str, Any]) -> list[tuple[str, bool | None]]:
    """Of each guest, whether its MAC is on its own port."""
    return [(one["subject"], one["ok"]) for one in said["checks"] if one["id"] == "mac-on-own-port"]


def test_a_guest_without_an_address_speaks_all_the_same(tmp_path: Path) -> None:
    status, said = rehearse(SILENT, tmp_path)
    assert (status, ports(said)) == (0, [("mute", True)])


def test_of_a_guest_that_nobody_heard_nothing_is_told(tmp_path: Path) -> None:
    """Its own IPv6 may have spoken meanwhile; it must not have."""
    status, said = rehearse(ALONE, tmp_path)
    assert status == 0
    assert ports(said) in ([("mute", None)], [("mute", True)])


def test_what_udev_would_do_for_static_entries_is_done(tmp_path: Path) -> None:
    status, said = rehearse(STATIC, tmp_path)
    assert [one for one in said["checks"] if one["ok"] is False] == []
    assert [(one["observed"], one["model"]["result"]) for one in said["expectations"]] == [("reach", "yes")] * 2
    assert status == 0


def test_a_host_that_others_have_no_address_of_is_unproven(tmp_path: Path) -> None:
    status, said = rehearse(INSIDE, tmp_path)
    assert [(one["observed"], one["ok"]) for one in said["expectations"]] == [
        ("unproven", None),
        ("reach", True),
        ("no-reach", True),
    ]
    sentence = said["expectations"][0]["witness"]["sentence"]
    assert sentence == (
        "unproven, because h has no address but on its own virtual networks, by which no other means it"
    )
    assert (status, said["ok"]) == (0, True)
    assert rehearse(INSIDE, tmp_path, "--strict")[0] == 1


def test_the_model_asks_the_guards_of_a_switch_as_well(tmp_path: Path) -> None:
    if shutil.which("ovs-vswitchd") is None:
        pytest.skip("Open vSwitch is not installed")
    status, said = rehearse(SWITCHED, tmp_path)
    (one,) = said["expectations"]
    assert (one["observed"], one["model"]["result"], one["model"]["agrees"]) == ("no-reach", "no", True)
    assert status == 0


@pytest.mark.parametrize("kind", ["linux", "openvswitch"])
def test_multicast_that_a_bridge_keeps_to_itself_says_nothing_of_its_guards(kind: str, tmp_path: Path) -> None:
    if kind == "openvswitch" and shutil.which("ovs-vswitchd") is None:
        pytest.skip("Open vSwitch is not installed")
    text = SWITCHED.replace("guard: mac", "guard: mac, snooping: true").replace("openvswitch", kind)
    status, said = rehearse(text, tmp_path)
    guards = [one for one in said["checks"] if one["id"] == "guard"]
    assert [one["ok"] for one in guards] == [True, True], guards
    assert all("snoops multicast, of which nothing can be told" in one["detail"] for one in guards)
    assert status == 0


def test_a_gateway_that_is_written_down_goes_before_that_of_a_lease(tmp_path: Path) -> None:
    """To the model as in the twin: by the NAT of the virtual network the guest would reach it."""
    status, said = rehearse(TWO_WAYS, tmp_path)
    (one,) = said["expectations"]
    assert (one["observed"], one["model"]["result"], status) == ("no-reach", "no", 0)


def test_who_is_kept_apart_is_not_asked_by_those_it_is_kept_apart_from(tmp_path: Path) -> None:
    status, said = rehearse(APART, tmp_path)
    found = {one["ok"] for one in said["checks"] if one["id"] in {"in-broadcast-domain", "unrestricted-within"}}
    assert (status, found) == (0, {None})


@pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="Open vSwitch is not installed")
def test_the_vlan_of_a_pvid_comes_without_its_tag(tmp_path: Path) -> None:
    status, said = rehearse(NATIVE, tmp_path)
    assert [(one["ok"], one["model"]["result"]) for one in said["expectations"]] == [
        (True, "yes"), (True, "yes"), (True, "no")
    ]  # fmt: skip
    assert status == 0
    assert rehearse(NATIVE.replace("pvid: 10", "pvid: 10, native: tagged"), tmp_path)[0] == 0


@pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="Open vSwitch is not installed")
def test_the_host_hears_what_bears_no_tag_on_its_switch(tmp_path: Path) -> None:
    """As the file is asked, and not only as the twin is."""
    status, said = rehearse(OWN_PORT, tmp_path)
    assert (status, said["expectations"][0]["model"]["result"]) == (0, "yes")
    file = tmp_path / "site.yaml"
    done = CliRunner().invoke(group, ["reach", str(file), "--wanted", "--json"], standalone_mode=False)
    results = {(one["from"], one["to"]): one["result"] for one in json.loads(done.stdout)["pairs"]}
    assert (results["h", "web"], results["web", "h"], results["h", "db"]) == ("yes", "yes", "no")


def test_an_answer_goes_by_the_nic_on_the_askers_wire(tmp_path: Path) -> None:
    """Asked at its other address, by a router, a guest answers on the wire on which the two are isolated."""
    pairs = "".join(
        f"  - {{from: {one}, to: {other}, verdict: {verdict}}}\n"
        for one, other, verdict in (("app", "web", "no-reach"), ("api", "web", "reach"), ("web", "api", "reach"))
    )
    status, said = rehearse(f"{SEVERAL_NICS}expect:\n{pairs}", tmp_path)
    assert [(one["ok"], one["model"]["result"]) for one in said["expectations"]] == [
        (True, "no"), (True, "yes"), (True, "yes")
    ]  # fmt: skip
    assert status == 0


@pytest.mark.skipif(shutil.which("ovs-vswitchd") is None, reason="Open vSwitch is not installed")
def test_a_switch_with_two_cables_hears_of_the_loop_where_they_carry_tags(tmp_path: Path) -> None:
    status, said = rehearse(LOOP, tmp_path)
    assert [one["ok"] for one in said["expectations"]] == [True, True]
    assert status == 0


def test_who_has_static_entries_is_not_the_one_who_hears_of_routers(tmp_path: Path) -> None:
    """To such a guest nothing for an unknown MAC is flooded: that says nothing of the guard of another."""
    text = """\
site: t
networks: {lan: {subnet: [10.0.0.0/24, "2001:db8::/64"]}}
hosts: {h: {nics: {e0: {network: lan}}, bridges: {br0: {uplink: e0, guard: mac}}}}
guests:
  db: {host: h, nics: [{bridge: br0, address: [10.0.0.6/24, "2001:db8::6/64"], guard: strict, fdb: static}]}
  web: {host: h, nics: [{bridge: br0, address: [10.0.0.7/24, "2001:db8::7/64"]}]}
machines:
  pc: {nics: [{network: lan, address: "2001:db8::b/64"}]}
"""
    status, said = rehearse(text, tmp_path)
    assert [one["detail"] for one in said["checks"] if one["ok"] is False] == []
    assert status == 0
