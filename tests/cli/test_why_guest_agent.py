"""``bascule why --probe`` from a virtual machine: a real QEMU (TCG), and the real guest agent inside it."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.system.process.sandbox import sandboxed
from bascule.system.qemu_agent import SocketChannel
from bascule.system.run import run
from bascule.twin.test_guest import cpio, init
from bascule.twin.test_guest.kernel import GuestImage, cache_folder
from tests.guests.libvirt_host import LibvirtHost, qemu_host
from tests.guests.test_libvirt import image
from tests.patience import wait_until

__all__ = ["image"]

MAC = "52:54:00:00:00:05"
SITE = f"""\
site: t
networks: {{lan: {{subnet: 10.0.0.0/24}}}}
hosts: {{h: {{nics: {{eth4: {{network: lan}}}}, bridges: {{br4: {{uplink: eth4}}}}}}}}
guests:
  g1: {{host: h, memory: 256MiB, nics: [{{bridge: br4, address: 10.0.0.5/24, mac: "{MAC}", tap: g1.0}}]}}
machines:
  desk: {{nics: [{{network: lan, address: 10.0.0.9/24}}]}}
"""
DROP = "table bridge f {\nchain c {\ntype filter hook forward priority filter\nicmp type echo-request drop\n}\n}\n"
WORDS = f"console=ttyS0 quiet panic=-1 mitigations=off bascule.name=g1 bascule.nic={MAC},10.0.0.5/24"
START = f"""insmod /modules/virtio_console.ko
mkdir -p /var/run
qemu-ga -m virtio-serial -p /dev/vport*p1 -t /run &
echo {init.READY}"""


def with_agent(image: GuestImage, folder: Path) -> Path:
    """The test guest's archive with this machine's own agent, and what it needs, laid over it."""
    program = shutil.which("qemu-ga")
    module = next(cache_folder().glob("guest/lib/modules/*/virtio_console.ko"), None)
    if program is None or module is None:
        pytest.skip("qemu-ga is not installed" if program is None else "there is no module for its port")
    needed = re.findall(r"(/\S+) \(0x", run(("ldd", program)).stdout)
    paths = [str(parent)[1:] for name in needed for parent in reversed(Path(name).parents[:-1])]
    more = [cpio.directory(path) for path in dict.fromkeys(paths)]
    more += [cpio.file(name[1:], Path(name).read_bytes(), executable=True) for name in needed]
    more.append(cpio.file("bin/qemu-ga", Path(program).read_bytes(), executable=True))
    more.append(cpio.file("modules/virtio_console.ko", module.read_bytes()))
    script = init.SCRIPTS["init"].replace(f"echo {init.READY}", START)
    more.append(cpio.file("init", script.encode(), executable=True))
    made = folder / "initrd"
    made.write_bytes(image.initrd.read_bytes() + cpio.archive(more))
    return made


@contextlib.contextmanager
def started(there: LibvirtHost, image: GuestImage, *port: str) -> Iterator[None]:
    """A guest that somebody started by hand."""
    words = ("qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", *port)
    words += ("-kernel", str(image.kernel), "-initrd", str(there.folder / "initrd"), "-append", WORDS)
    words += ("-netdev", "tap,id=n,ifname=g1.0,script=no,downscript=no")
    words += ("-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile=")
    with there.host.entered():
        guest = subprocess.Popen(words)
    try:
        yield
    finally:
        guest.kill()
        guest.wait()


def asked(there: LibvirtHost, source: str, target: str) -> dict[str, Any]:
    site = ("--site", str(there.site), "--here", "--probe", "--json")
    found: dict[str, Any] = json.loads(there.run("why", source, target, *site, connect=False).stdout)
    return {**found["frames"], "model": found["result"]}


def ask_by_agent(image: GuestImage) -> None:
    with qemu_host() as there:
        with_agent(image, there.folder)
        there.site.write_text(SITE)
        for words in ("link add br4 type bridge forward_delay 0", "link set eth4 master br4 up", "link set br4 up",
                      "tuntap add g1.0 mode tap", "link set g1.0 master br4 up"):  # fmt: skip
            run(("ip", *words.split()), namespace=there.host)
        with started(there, image):
            found = asked(there, "g1", "desk")
            assert (found["model"], found["response"], found["agrees"]) == ("yes", "could not be asked", None)
            assert found["words"] == "g1 has no port for a guest agent that would ask: run it in g1"
        path = there.folder / "agent"
        port = ("-device", "virtio-serial-pci", "-chardev", f"socket,id=a,path={path},server=on,wait=off")
        with started(there, image, *port, "-device", "virtserialport,chardev=a,name=org.qemu.guest_agent.0"):
            wait_until(lambda: answers(path), 60, "the guest agent")
            found = asked(there, "g1", "desk")
            assert (found["model"], found["response"], found["agrees"]) == ("yes", "reply", True)
            assert found["words"] == "reply (asked by g1's guest agent)"
            run(("nft", "-f", "-"), stdin=DROP, namespace=there.host)
            found = asked(there, "g1", "desk")
            assert (found["model"], found["result"], found["agrees"]) == ("no", "no", True)


def answers(path: Path) -> bool:
    with contextlib.suppress(Exception):
        SocketChannel(path).close()
        return True
    return False


@pytest.mark.kernel
def test_a_virtual_machine_is_asked_by_its_agent(image: GuestImage) -> None:
    sandboxed(ask_by_agent, image)
