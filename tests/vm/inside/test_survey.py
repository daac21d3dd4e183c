"""A survey where VLAN links and bonds are: it listens below them, reads tags that the kernel took off, wakes nobody."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

from tests.lab import Lab
from tests.vm.inside.rig import Rig

SITE = "site: s\nhosts: {h: {nics: {eth4: {}, eth5: {}}}}\n"


@contextlib.contextmanager
def asking(rig: Rig, ip: str) -> Iterator[None]:
    """Somebody on the wire looks for a neighbour by ARP, again and again."""
    quiet = threading.Event()
    with rig.wire.entered():
        door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def ask() -> None:
        while not quiet.wait(0.2):
            with contextlib.suppress(OSError):
                door.sendto(b"?", (ip, 9))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        quiet.set()
        thread.join()
        door.close()


def survey(rig: Rig, *words: str) -> tuple[dict[str, Any], str]:
    done = rig.lab.bascule(rig.room, "survey", "--json", "--seconds", "3", *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["nics"], done.stderr


def test_on_a_bond_it_listens_on_the_members(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4", "eth5")
    rig.ip("link add bond0 type bond mode active-backup")
    for nic, address in (("eth4", "10.4.0.1/24"), ("eth5", "10.5.0.1/24")):
        rig.ip(f"link set {nic} master bond0")
        rig.lab.ip(rig.wire, f"addr add {address} dev {nic}")
    rig.ip("link set bond0 addrgenmode none up")
    with asking(rig, "10.4.0.9"), asking(rig, "10.5.0.9"):
        found, said = survey(rig, "bond0")
    assert "bond0 is a bond: listening on eth4, eth5" in said
    assert "10.4.0.1" in str(found["eth4"]["evidence"])
    assert "10.5.0.1" in str(found["eth5"]["evidence"]), "the member that waits in reserve is heard as well"


def test_a_tag_that_the_kernel_took_off_is_given_back(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4")
    rig.ip("link set eth4 addrgenmode none up")
    for words in (
        "link add link eth4 name eth4.30 type vlan id 30",
        "link add link eth4.30 name eth4.30.7 type vlan id 7",
        "link add link eth4 name s100 type vlan protocol 802.1ad id 100",
        "addr add 10.30.0.1/24 dev eth4.30",
        "addr add 10.7.0.1/24 dev eth4.30.7",
        "addr add 10.100.0.1/24 dev s100",
        *(f"link set {link} up" for link in ("eth4.30", "eth4.30.7", "s100")),
    ):
        rig.lab.ip(rig.wire, words)
    with asking(rig, "10.30.0.9"), asking(rig, "10.7.0.9"), asking(rig, "10.100.0.9"):
        found, _ = survey(rig, "eth4")
    lines = str(found["eth4"]["evidence"])
    assert found["eth4"]["vlans"] == [30, 100]
    for words in (
        "10.30.0.0/24 or wider (VLAN 30)",
        "10.7.0.0/24 or wider (VLAN 7 in 30)",
        "10.100.0.0/24 or wider (VLAN 100)",
    ):
        assert words in lines


def test_a_nic_with_a_vlan_link_on_it_is_not_woken(lab: Lab) -> None:
    rig = Rig(lab, SITE, "eth4")
    rig.ip("link add link eth4 name eth4.30 type vlan id 30")
    rig.ip("addr add 10.30.0.5/24 dev eth4.30")
    before = rig.look()
    found, _ = survey(rig, "eth4")
    assert any("eth4.30 stands on it" in warning for warning in found["eth4"]["warnings"])
    assert rig.look() == before
