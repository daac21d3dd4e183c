"""The guest verbs by hand: the right words and the wrong ones, against a real libvirtd and against bare QEMU."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any
from unittest import mock

import pytest

from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest.kernel import GuestImage
from tests.guests.libvirt_host import SITE, LibvirtHost, libvirt_host, qemu_host, qemu_site
from tests.guests.test_libvirt import image
from tests.patience import HUNG_S, wait_until

__all__ = ["image"]

pytestmark = pytest.mark.kernel
G1_MAC = "52:54:00:fa:0f:f1"


def rows(there: LibvirtHost, *words: str, connect: bool = True) -> dict[tuple[str, int], dict[str, Any]]:
    document = json.loads(there.run("guest", "list", *words, "--json", connect=connect).stdout)
    return {(row["guest"], row["nic"]): row for row in document["nics"]}


def wrong(there: LibvirtHost, said: str, *words: str, status: int = 1, connect: bool = True) -> None:
    """A word that is refused: what it says, and that nothing of the guests is another afterwards."""
    before = rows(there, connect=connect)
    done = there.run("guest", *words, connect=connect)
    assert said in done.stderr, (words, done.stdout, done.stderr)
    assert done.returncode == status, words
    assert "Traceback" not in done.stderr
    after = rows(there, connect=connect)
    assert [{**row, "heard_s": None} for row in after.values()] == [{**r, "heard_s": None} for r in before.values()]


def with_libvirt(image: GuestImage) -> None:
    with libvirt_host(image) as there:
        there.ok("apply", str(there.site), "--yes", "--driver", "none", connect=False)

        # a guest that virt-manager made, on NAT: in one command onto a bridge
        said = there.ok("guest", "replug", "g1", "--bridge", "br4")
        assert f"g1, NIC 0 ({G1_MAC}): network default -> bridge br4, live" in said
        wait_until(there.answers, 60, "g1 on br4")
        row = rows(there, str(there.site))["g1", 0]
        assert (row["tap"], row["bridge"], row["network"], row["pci"]) == ("vnet0", "br4", "lan", "0000:01:00.0")
        assert row["heard_s"] is not None
        assert row["addresses"] == [{"address": "10.0.0.5", "source": "declared", "age_s": None}]

        # a packet of it is followed from the tap that libvirt gave it, and it says why it cannot be asked itself
        beside = there.folder / "beside.yaml"
        beside.write_text(f"{SITE}machines: {{desk: {{nics: [{{network: lan, address: 10.0.0.9/24}}]}}}}\n")
        with mock.patch.dict(os.environ, LIBVIRT_DEFAULT_URI=there.libvirt.uri):
            asked = there.run("why", "g1", "desk", "--site", str(beside), "--here", "--probe", connect=False).stdout
        assert "g1 → desk icmp: YES" in asked
        words = " ".join(asked.split())
        assert "frames prove nothing: g1 is a virtual machine, and asking the agent of 'g1': libvirt says:" in words
        assert "QEMU guest agent is not connected" in words

        done = threading.Event()

        def speak() -> None:
            while not done.is_set():
                run(("ip", "neigh", "flush", "all"), namespace=there.wire)
                there.answers()
                time.sleep(0.2)

        talk = threading.Thread(target=speak)
        talk.start()
        spoken: list[dict[str, Any]] = []

        def is_heard() -> bool:
            spoken.extend(rows(there, "--listen", "3")["g1", 0]["addresses"])
            return bool(spoken)

        wait_until(is_heard, 30, "g1 heard")
        done.set()
        talk.join()
        assert [(one["address"], one["source"], one["age_s"] < HUNG_S) for one in spoken] == [
            ("10.0.0.5", "heard", True)
        ]

        wrong(there, "there is no bridge 'br9' on this host", "replug", "g1", "--bridge", "br9")
        wrong(there, "'g1' has no NIC 'vnet9'", "replug", "g1", "vnet9", "--bridge", "br4")
        wrong(there, "libvirt has no network 'nowhere'", "replug", "g1", "--network", "nowhere")
        wrong(there, "there is no NIC 'eth9' on this host", "replug", "g1", "--direct", "eth9")
        wrong(there, "there is no bridge 'br9' on this host", "attach", "g1", "--bridge", "br9")
        wrong(there, f"domain 'g1' already has a NIC with the MAC {G1_MAC}", "attach", "g1", "--bridge", "br4",
              "--mac", G1_MAC)  # fmt: skip
        wrong(there, "is 17 bytes long", "attach", "g1", "--bridge", "br4", "--tap", "averylongtapname0", status=64)
        wrong(there, "there is no guest 'nobody' on this host", "start", "g1", "nobody")
        wrong(there, "there is no guest 'nobody' on this host", "stop", "g1", "nobody")

        # what virsh users look for
        there.ok("guest", "autostart", "g1")
        assert there.domain().autostart
        there.ok("guest", "autostart", "g1", "--disable")
        assert not there.domain().autostart
        wrong(there, "'g1' runs, so its definition stays", "undefine", "g1")
        wrong(there, "libvirt says", "shutdown", "g1", "--mode", "agent")  # it has no agent
        assert "console of g1" in there.run("guest", "console", "g1").stderr

        there.ok("guest", "unplug", "g1")
        assert rows(there)["g1", 0]["link_up"] is False
        assert not there.answers()
        there.ok("guest", "replug", "g1", "vnet0", "--bridge", "br4")
        wait_until(there.answers, 10, "g1 with its cable in again")

        # define finds the NIC that is there by its number: no second one, and the same MAC
        assert "has no disk" not in there.ok("guest", "define", str(there.site), "g1")
        assert [row["mac"] for (name, _), row in rows(there).items() if name == "g1"] == [G1_MAC]

        there.ok("guest", "attach", "g1", "--bridge", "br4")
        assert rows(there)["g1", 1]["tap"] == "g1.1"
        wrong(there, "'g1' has 2 NICs, so say which", "unplug", "g1")
        there.ok("guest", "detach", "g1", "1")
        wrong(there, "'g1' has no NIC '1'", "detach", "g1", "1")

        # shut off: what is written is checked as well, for it would not start later
        assert "shut down: g1" in there.ok("guest", "shutdown", "g1", "--wait", str(HUNG_S))  # by its power button
        assert not there.domain().running
        there.ok("guest", "stop", "g1", "--force")  # it is off already
        there.ok("guest", "shutdown", "g1")  # it is off already
        wrong(there, "'g1' does not run", "console", "g1")
        wrong(there, "there is no bridge 'br9' on this host", "replug", "g1", "--bridge", "br9")
        assert "at its next start" in there.ok("guest", "replug", "g1", "--network", "default")
        there.ok("guest", "start", "g1")
        assert there.master("g1.0") == "virbr0"
        wrong(there, "GUEST-STILL-RUNS", "shutdown", "g1", "--wait", "0.1")  # nobody hears the button before the boot

        # a definition, edited by hand with remarks and other name spaces, that names a bridge that is not there
        there.ok("guest", "stop", "g1", "--yes")
        xml = there.domain().next.replace("type='network'", "type='bridge'", 1)
        odd = "<metadata><o:own xmlns:o='urn:own'>kept</o:own></metadata><memory "
        xml = xml.replace("<memory ", odd, 1) if "<metadata>" not in xml else xml
        there.hypervisor().define_domain(xml.replace("<source network='default'/>", "<source bridge='br77'/>"))
        failed = there.run("guest", "start", "g1")
        assert failed.returncode == 1
        assert "br77" in failed.stderr
        assert "hint: make the bridge first" in failed.stderr
        plan = there.ok("plan", str(there.site))
        assert "its definition says bridge br4 in place of bridge br77" in " ".join(plan.split())
        there.apply("--no-confirm")
        assert "urn:own" in there.domain().next or "bascule" in there.domain().next
        there.ok("guest", "start", "g1")
        assert there.master("g1.0") == "br4"


def with_qemu(image: GuestImage) -> None:
    with qemu_host() as there:
        bare(there, image)


def bare(there: LibvirtHost, image: GuestImage) -> None:
    text = qemu_site(image)

    def ok(*words: str) -> str:
        return " ".join(there.ok(*words, connect=False).split())

    there.site.write_text(text.replace("PLUG", "br5"))
    assert "g1 defined" not in ok("plan", str(there.site))
    assert "g1 defined, not started" in ok("plan", str(there.site), "--driver", "qemu")
    ok("apply", str(there.site), "--yes", "--driver", "qemu", "--no-confirm")
    ok("guest", "start", "g1")
    assert there.master("g1.0") == "br5"

    # from now on it is known without being named; the move is a part of the plan, and goes back with it
    there.site.write_text(text.replace("PLUG", "br4"))
    assert "re-plugged from bridge br5 to bridge br4: link down, move, link up" in ok("plan", str(there.site))
    ok("apply", str(there.site), "--yes", "--no-confirm")
    wait_until(there.answers, 60, "g1 on br4")
    assert "nothing to do" in ok("plan", str(there.site))
    ok("undo")
    assert there.master("g1.0") == "br5"
    assert rows(there, connect=False)["g1", 0]["plug"] == {"kind": "bridge", "into": "br5"}
    ok("guest", "stop", "g1", "--yes")
    assert rows(there, connect=False)["g1", 0]["plug"]["into"] == "br5"
    ok("guest", "start", "g1")
    wrong(there, "GUEST-STILL-RUNS", "shutdown", "g1", "--wait", "0.1", connect=False)  # it has not booted yet

    wrong(there, "there is no bridge 'br9' on this host", "replug", "g1", "--bridge", "br9", connect=False)
    wrong(there, "cannot be plugged into macvtap on eth4", "replug", "g1", "--direct", "eth4", connect=False)
    ok("guest", "replug", "g1", "--bridge", "br4")
    wait_until(there.answers, 60, "g1 on br4")
    ok("guest", "unplug", "g1")
    assert not there.answers()
    ok("guest", "replug", "g1", "--bridge", "br4")
    wait_until(there.answers, 10, "g1 with its cable in again")
    wrong(there, "GUEST-NO-AUTOSTART", "autostart", "g1", connect=False)
    wrong(there, "GUEST-NO-AGENT", "shutdown", "g1", "--mode", "agent", connect=False)
    wrong(there, "GUEST-RUNS", "undefine", "g1", connect=False)
    assert "shut down: g1" in ok("guest", "shutdown", "g1", "--wait", str(HUNG_S))  # by its power button
    wrong(there, "GUEST-OFF", "console", "g1", connect=False)
    ok("guest", "start", "g1")
    wait_until(there.answers, 60, "g1 started again")
    ok("guest", "attach", "g1", "--bridge", "br5")
    assert there.master("g1.1") == "br5"
    ok("guest", "detach", "g1", "1")
    assert "g1.1" not in there.links()
    ok("guest", "stop", "g1", "--yes")
    wrong(there, "'g1' does not run", "unplug", "g1", connect=False)
    assert "at its next start" in ok("guest", "replug", "g1", "--bridge", "br5")
    ok("guest", "start", "g1")
    assert there.master("g1.0") == "br5"

    # destroyed while its change waits: the way back finds it off, and its definition as it was
    there.ok("apply", str(there.site), "--yes", "--confirm-within", "60s", connect=False)
    ok("guest", "stop", "g1", "--yes")
    there.run("undo", connect=False)
    assert rows(there, connect=False)["g1", 0]["plug"]["into"] == "br5"
    ok("guest", "undefine", "g1", "--yes")
    assert rows(there, connect=False) == {}


def test_with_libvirt(image: GuestImage) -> None:
    sandboxed(with_libvirt, image)


def test_with_bare_qemu(image: GuestImage) -> None:
    sandboxed(with_qemu, image)
