"""D16: undo of a confirmed change shows what it will do and which taps lose what, and asks on a terminal."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.lab import pings
from tests.real_hosts.field import ONE_NIC, Field
from tests.terminal import on_a_terminal

STATIC = "address: 192.168.1.10/24, gateway: 192.168.1.1"
ABOVE = {
    "mvl5": "link add link br0 name mvl5 type macvlan mode bridge",
    "mvt5": "link add link br0 name mvt5 type macvtap mode bridge",
    "vx5": "link add vx5 type vxlan id 5 dstport 4789 dev br0",
}
PROXMOX = """\
link add fwbr100i0 type bridge
link add fwpr100p0 type veth peer name fwln100i0
link set fwln100i0 master fwbr100i0 up
link set fwpr100p0 master br0 up
link set fwbr100i0 up
link set tap100i0 master fwbr100i0 up
"""


@pytest.fixture
def changed(real_host: Field) -> Field:
    """A confirmed change; on its bridge, since then, a guest that started and one that had run before."""
    real_host.lab.tap(real_host.host, "vnet6")
    assert real_host.bascule("apply", real_host.site(ONE_NIC), "--yes", "--no-confirm").returncode == 0
    real_host.lab.tap(real_host.host, "vnet7")
    for tap in ("vnet6", "vnet7"):
        real_host.ip(f"link set {tap} up master br0")
    return real_host


def typed(there: Field, *words: str, answer: bytes = b"") -> str:
    return on_a_terminal(there.host, there.env() | {"NO_COLOR": "1"}, *words, hostname="kvm", answer=answer).decode()


def test_it_shows_asks_and_obeys(changed: Field) -> None:
    said = typed(changed, "undo", answer=b"n\n")
    shown = " ".join(said.split())
    assert "change 1 (confirmed; made " in shown
    assert "br0 delete bridge" in shown
    assert "address 192.168.1.10/24" in shown
    assert "warnings vnet6 loses its bridge br0, which is removed vnet7 loses its bridge br0, which is removed" in shown
    assert "take it back? [y/N]" in shown
    assert "nothing was changed" in shown
    assert "master br0" in changed.ip("link show vnet7")
    said = typed(changed, "undo", answer=b"y\n")
    assert "is taken back; but for what follows, the host is as it was before" in said
    assert "master" not in changed.ip("link show vnet7")
    assert pings(changed.pc, "192.168.1.10")


def test_yes_and_no_terminal_ask_nothing(changed: Field) -> None:
    document = changed.document("undo")
    assert document["ok"]
    lost = [{"port": tap, "text": "loses its bridge br0, which is removed"} for tap in ("vnet6", "vnet7")]
    assert document["losses"] == lost
    assert document["left"] == []
    assert {"subject": "br0", "action": "delete bridge"} in document["steps"]
    assert changed.bascule("apply", changed.site(ONE_NIC), "--yes", "--no-confirm").returncode == 0
    assert "is taken back" in typed(changed, "undo", "--yes")


def test_what_stands_on_the_bridge_goes_with_it_and_is_named(real_host: Field) -> None:
    """A container's macvlan, a guest's macvtap, a tunnel, and Proxmox's bridge of one tap behind a cable."""
    path = real_host.site(ONE_NIC)
    assert real_host.bascule("apply", path, "--yes", "--no-confirm").returncode == 0
    above = [name for name, words in ABOVE.items() if real_host.run("ip", *words.split()).returncode == 0]
    assert above, "this kernel makes none of them"
    real_host.lab.tap(real_host.host, "tap100i0")
    real_host.batch(PROXMOX)
    unbridged = ONE_NIC.partition("    bridges:")[0].replace("office}}", f"office, {STATIC}}}}}")
    problems = [one["message"] for one in real_host.document("plan", real_host.site(unbridged))["problems"]]
    assert problems[0].startswith("fwpr100p0 (with tap100i0 behind it) would be left without a bridge: br0 is removed")
    assert problems[1:] == [
        f"{name} would be deleted with br0, on which it is built; the file does not ask for that" for name in above
    ]
    said = real_host.document("undo")
    assert said["ok"], said
    lost = {one["port"]: one["text"] for one in said["losses"]}
    assert lost == {
        "fwpr100p0": "loses its bridge br0, which is removed",
        "tap100i0": "loses the wire: fwbr100i0 does not have eth0 any more",
        **dict.fromkeys(above, "is deleted with br0, on which it is built"),
    }
    assert pings(real_host.pc, "192.168.1.10")


def test_a_containers_macvlan_on_the_bridge_goes_with_it(changed: Field) -> None:
    """It is in another namespace, and the kernel deletes it all the same: told before, by undo and by a plan."""
    container = changed.lab.namespace("container")
    changed.ip("link add link br0 name mac0 type macvlan mode bridge")
    changed.cable(changed.host, "c0", container, "c1", mac="02:00:00:00:00:c0")  # the namespace as ip-netns knows it
    with container.entered():
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        holding = subprocess.Popen(("sleep", "600"))  # a process in it, as a container has
    changed.lab.keep(holding.wait)
    changed.lab.keep(holding.kill)
    changed.ip(f"link set mac0 netns /proc/{os.getpid()}/fd/{fd}")
    os.close(fd)
    said = " ".join(typed(changed, "undo", answer=b"n\n").split())
    assert "the macvlan mac0 in the network namespace of process" in said
    assert "is deleted with br0, on which it is built" in said
    without = ONE_NIC.partition("    bridges:")[0].replace("office}", "office, address: 192.168.1.10/24}")
    done = changed.bascule("plan", changed.site(without, "without.yaml"))
    assert (done.returncode, "error[PORT-LEFT]" in done.stderr) == (1, True), done.stdout
