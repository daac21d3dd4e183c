"""D13: how large a packet may be is said for networks, compared all the way, and played in the twin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.real_hosts.field import BASE, ONE_NIC, Field

STORAGE = """\
site: storage
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  storage: {subnet: 10.9.0.0/24, mtu: 9000}
hosts:
  kvm:
    nics: {eth0: {network: office, address: 192.168.1.10/24}, eth1: {network: storage}}
    bridges: {br0: {uplink: eth1}}
guests:
  db: {host: kvm, memory: 1GiB, nics: [{bridge: br0, address: 10.9.0.21/24}]}
machines:
  nas: {nics: [{network: storage, address: 10.9.0.9/24}]}
expect:
  - {from: nas, to: db, verdict: reach}
"""


def minded(document: dict[str, Any], subject: str) -> str:
    return " ".join(text for text in document["mind"] if text.startswith(f"{subject}: "))


@pytest.fixture
def host(shared_host: Field) -> Field:
    shared_host.ip("link set eth1 mtu 1500")
    return shared_host


def test_d13_a_jumbo_network_rehearses_with_jumbo_frames(host: Field) -> None:
    said = host.document("rehearse", host.site(STORAGE))
    assert said["ok"], [check for check in said["checks"] if check["ok"] is False]
    changes = {(x["subject"], x["action"]) for plan in said["plans"] for x in plan["changes"]}
    assert ("eth1", "change MTU from 1500 to 9000 bytes") in changes
    words = next(x["detail"] for x in said["checks"] if x["id"] == "unrestricted-within" and x["subject"] == "db")
    assert "9000 bytes" in words


def test_d13_what_nobody_says_of_a_network_is_minded_and_not_asked(host: Field) -> None:
    unsaid = STORAGE.replace(", mtu: 9000}", "}").replace("br0: {uplink: eth1}", "br0: {uplink: eth1, mtu: 9000}")
    said = host.document("rehearse", host.site(unsaid))
    assert said["ok"], [check for check in said["checks"] if check["ok"] is False]
    assert "'mtu: 9000'" in minded(said["plans"][0], "br0")


def test_d13_an_uplink_that_is_narrower_than_its_guests_is_named(host: Field) -> None:
    host.ip("link set eth1 mtu 1400")
    path = host.site(BASE)
    planned = minded(host.document("plan", path), "br0")
    assert "eth1 passes packets of 1,400 bytes only, and br0 with its guests (web) may send 1,500" in planned
    host.batch("link add br0 mtu 1400 type bridge\nlink set eth1 master br0\nlink set br0 up\n")
    try:
        checks = {(x["id"], x["subject"]): x for x in host.document("verify", path)["checks"]}
        assert checks["mtu", "br0"]["ok"] is False
        assert "eth1 passes packets of 1,400 bytes only" in checks["mtu", "br0"]["detail"]
        told = BASE.replace("office: {", "office: {mtu: 1400, ")
        assert told != BASE
        checks = {(x["id"], x["subject"]): x for x in host.document("verify", host.site(told))["checks"]}
        assert ("mtu", "br0") not in checks  # the file and the kernel agree, and nothing is too large
    finally:
        host.ip("link del br0")


def test_d13_a_file_of_9000_against_a_kernel_of_1500(host: Field) -> None:
    host.batch("link add br0 type bridge\nlink set eth1 master br0\nlink set br0 up\n")
    try:
        checks = {(x["id"], x["subject"]): x for x in host.document("verify", host.site(STORAGE))["checks"]}
        assert "change MTU from 1500 to 9000 bytes" in checks["mtu", "br0"]["detail"]
        assert checks["mtu", "br0"]["ok"] is False
    finally:
        host.ip("link del br0")


def test_d13_a_bridge_that_gets_narrower_under_those_who_run(real_host: Field) -> None:
    """That no frame and drops it on the change itself says nothing of the large ones that are lost from then on."""
    field = real_host
    field.guest("web", "web.0")
    assert field.bascule("apply", field.site(BASE), "--yes", "--no-confirm").returncode == 0
    field.guest("alien", "vnet7", bridge="br0")
    narrow = BASE.replace("br0: {uplink: eth1", "br0: {uplink: eth1, mtu: 1400")
    assert narrow != BASE
    said = [note.text for note in field.plan(narrow).notes if note.subject == "br0"]
    assert any("nobody tells the guests that run (web): what they send beyond that" in text for text in said), said
    assert any("1,400 bytes, and ports that are not in the file may send larger ones: vnet7 (1,500)" in t for t in said)
    assert not [note for note in field.plan(BASE).notes if "bytes" in note.text]


def test_d13_a_bridge_that_gets_wider_under_those_who_run(real_host: Field) -> None:
    field = real_host
    field.guest("web", "web.0")
    assert field.bascule("apply", field.site(BASE), "--yes", "--no-confirm").returncode == 0
    wide = BASE.replace("br0: {uplink: eth1", "br0: {uplink: eth1, mtu: 9000")
    said = [note.text for note in field.plan(wide).notes if note.subject == "br0"]
    assert any("nobody tells the guests that run (web): what is sent to them beyond their own" in t for t in said), said


def test_d13_a_port_of_others_that_is_narrower_is_named(host: Field) -> None:
    """The kernel gives a bridge the MTU of its narrowest port; the plan gives it what its own ports pass."""
    host.batch("link add br0 type bridge\nlink set eth1 master br0\nlink set br0 up\n")
    host.batch("link add ct0 mtu 1400 type veth peer name ct1\nlink set ct0 master br0\n")
    try:
        said = minded(host.document("plan", host.site(BASE)), "br0")
        assert "ct0, a port that is not in the file, takes packets of 1,400 bytes only, and br0 passes 1,500" in said
    finally:
        host.batch("link del br0\nlink del ct0\n")


@pytest.mark.parametrize(("own", "nic", "said"), [("", 9000, 1500), ("1400", 9000, 1500), ("", 1500, 9000)])
def test_d13_the_mtu_of_ipv6_follows_that_of_the_nic(real_host: Field, own: str, nic: int, said: int) -> None:
    """The kernel sets it with the link's, and takes no larger one; one that somebody made smaller stays and is back."""
    field, key = real_host, "/proc/sys/net/ipv6/conf/{}/mtu"
    field.ip(f"link set eth0 mtu {nic}")
    if own:
        with field.host.entered():
            Path(key.format("eth0")).write_text(own)
    path = field.site(ONE_NIC.replace("from-uplink", f"from-uplink, mtu: {said}"))
    done = field.bascule("apply", path, "--yes", "--confirm-within", "10m")
    assert done.returncode == 0, done.stdout + done.stderr

    def read(link: str) -> str:
        return field.run("cat", key.format(link)).stdout.strip()

    assert {read("eth0"), read("br0")} == {own or str(said)}
    assert field.document("plan", path)["changes"] == []
    assert field.bascule("undo").returncode == 0
    assert read("eth0") == (own or str(nic))
