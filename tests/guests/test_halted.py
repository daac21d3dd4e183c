"""A guest that has a process and does nothing: paused by somebody or by a full disk, crashed, asleep."""

from __future__ import annotations

import json
import os
import signal
import subprocess

import pytest

from bascule.errors import MissingTool
from bascule.providers.qemu.effects import process_of
from bascule.system.libvirt import Hypervisor
from bascule.system.libvirt.binding import Binding
from bascule.system.libvirt.virsh import Virsh
from bascule.system.process.sandbox import sandboxed
from bascule.system.qmp import Qmp
from bascule.twin.test_guest.kernel import GuestImage
from tests.guests.libvirt_host import SITE, LibvirtHost, libvirt_host, qemu_host, qemu_site
from tests.guests.test_libvirt import image

__all__ = ["image"]

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(300)]
ALONE = "".join(line for line in SITE.splitlines(keepends=True) if "lab" not in line and "virtual" not in line)
EXPECT = """\
machines: {desk: {nics: [{network: lan, address: 10.0.0.9/24}], serves: [tcp/22]}}
expect:
  - {from: desk, to: g1, verdict: reach}
  - {from: g1, to: desk, service: tcp/22, verdict: no-reach}
"""


def is_nothing_wrong_with_the_network(there: LibvirtHost, *, connect: bool = True) -> None:
    """What verify says of a paused g1: neither a fault, nor a proof."""
    seen = there.run("verify", str(there.site), "--json", connect=False)
    document = json.loads(seen.stdout)
    checks = {(one["id"], one["subject"]): one for one in document["checks"]}
    assert checks["running", "g1"]["detail"] == "is paused: nothing of it can be asked"
    assert [one["detail"] for one in document["checks"] if one["ok"] is False] == []
    assert [one["observed"] for one in document["expectations"]] == ["unproven"] * 2
    assert "g1 is paused" in document["expectations"][1]["witness"]["sentence"]
    assert seen.returncode == 0
    strict = there.run("verify", str(there.site), "--strict", connect=False)
    assert strict.returncode == 1
    assert "not proven (--strict): g1 is paused; " in " ".join(strict.stdout.split())
    assert " paused " in there.ok("guest", "list", connect=connect)


def of_libvirt(image: GuestImage) -> None:
    with libvirt_host(image, site=ALONE + EXPECT) as there:
        there.apply("--no-confirm")
        virsh = ("virsh", "-q", "-c", there.libvirt.uri)
        subprocess.run((*virsh, "suspend", "g1"), check=True)
        asked: list[Hypervisor] = [Virsh(there.libvirt.uri)]
        try:
            asked.append(Binding(there.libvirt.uri))
        except MissingTool:
            print("libvirt's binding cannot be loaded here")
        for one in asked:
            found = {domain.name: domain.halted for domain in one.domains()}
            assert found == {"g1": "paused"}
            assert one.domain("g1").halted == "paused"
        os.environ["LIBVIRT_DEFAULT_URI"] = there.libvirt.uri  # ours alone: this is a process of its own
        is_nothing_wrong_with_the_network(there)
        plan = there.run("plan", str(there.site), "--exit-code")
        assert plan.returncode == 0, plan.stdout  # that it is paused is nothing to change
        subprocess.run((*virsh, "resume", "g1"), check=True)
        assert there.domain().halted == ""


def of_bare_qemu(image: GuestImage) -> None:
    with qemu_host() as there:
        there.site.write_text(qemu_site(image).replace("PLUG", "br4") + EXPECT)
        there.ok("apply", str(there.site), "--yes", "--driver", "qemu", "--no-confirm", connect=False)
        there.ok("guest", "start", "g1", connect=False)
        folder = there.folder / "state/guests/g1"
        with Qmp(folder / "qmp") as monitor:
            monitor.ask("stop")
        is_nothing_wrong_with_the_network(there, connect=False)
        with Qmp(folder / "qmp") as monitor:
            monitor.ask("cont")
        assert " runs " in there.ok("guest", "list", connect=False)
        process = process_of(folder)
        assert process is not None
        os.kill(process, signal.SIGSTOP)  # its monitor does not answer either
        is_nothing_wrong_with_the_network(there, connect=False)
        os.kill(process, signal.SIGCONT)
        there.ok("guest", "stop", "g1", "--yes", connect=False)


def test_of_libvirt(image: GuestImage) -> None:
    sandboxed(of_libvirt, image)


def test_of_bare_qemu(image: GuestImage) -> None:
    sandboxed(of_bare_qemu, image)
