"""Record the states of changes that re-plug guests: of libvirt, and of bare QEMU. See :mod:`tests.apply.record_states`.

``python -m tests.apply.record_guests``, as root, with the version installed whose states are wanted.
"""

from __future__ import annotations

import shutil

from bascule.system.process.sandbox import sandboxed
from bascule.twin.test_guest.kernel import GuestImage, guest_image
from tests.apply.hosts import Bed
from tests.apply.old_states import STATES, Words
from tests.apply.record_states import keep_state
from tests.guests.libvirt_host import LibvirtHost, libvirt_host, qemu_host, qemu_site


def bed_of(there: LibvirtHost) -> Bed:
    """The same host for whoever loads or records a state."""
    return Bed(there.lab, there.host, there.wire, there.folder / "state", there.site)


def words_of(there: LibvirtHost, image: GuestImage) -> Words:
    """The image is of this machine, and so is libvirt's socket."""
    uri = {"URI": there.daemon.uri} if there.daemon else {}
    return Words(bed_of(there), {**uri, "KERNEL": str(image.kernel), "INITRD": str(image.initrd)})


def keep(there: LibvirtHost, image: GuestImage, name: str, made: str, then: str = "") -> None:
    """Write it all down; ``then`` are the commands of a second change, when the guest runs."""
    into, words = STATES / name, words_of(there, image)
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    (into / "site.yaml").write_text(words.strip(there.site.read_text()))
    (into / "made.sh").write_text(words.strip(of_the_kernel(made)))
    if then:
        (into / "made-then.sh").write_text(words.strip(of_the_kernel(then)))
    keep_state(bed_of(there), into / "state", words)


def of_the_kernel(commands: str) -> str:
    """The commands without the lines about what no command does."""
    return "".join(line for line in commands.splitlines(keepends=True) if not line.startswith("not among"))


def libvirt(image: GuestImage) -> None:
    """A guest comes from libvirt's default network to a bridge, a network and a guest are new."""
    with libvirt_host(image) as there:
        made = there.ok("plan", str(there.site), "--commands")
        there.apply("--confirm-within", "60s")
        keep(there, image, "libvirt", made)
        there.undo()


def qemu(image: GuestImage) -> None:
    """A running guest of bare QEMU comes from one bridge to the other."""
    with qemu_host() as there:
        text = qemu_site(image)
        there.site.write_text(text.replace("PLUG", "br5"))
        made = there.ok("plan", str(there.site), "--commands", connect=False)
        there.ok("apply", str(there.site), "--yes", "--driver", "qemu", "--no-confirm", connect=False)
        there.ok("guest", "start", "g1", connect=False)
        there.site.write_text(text.replace("PLUG", "br4"))
        then = there.ok("plan", str(there.site), "--commands", connect=False)
        there.ok("apply", str(there.site), "--yes", "--confirm-within", "60s", connect=False)
        assert there.master("g1.0") == "br4"
        keep(there, image, "qemu", made, then)
        there.undo()
        there.ok("guest", "stop", "g1", "--yes", connect=False)


def main() -> None:
    """Record them."""
    image = guest_image()
    for work in (libvirt, qemu):
        sandboxed(work, image)


if __name__ == "__main__":
    main()
