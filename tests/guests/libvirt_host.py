"""A host with a NIC, a libvirt of its own, and a guest as somebody else left it: what the verbs meet."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from bascule.model.domain import DomainText
from bascule.model.site import PlugKind
from bascule.providers.libvirt.domain_xml import build
from bascule.system.libvirt import Hypervisor
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.twin.test_guest.kernel import GuestImage
from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from tests import prefork
from tests.guests.values import guest, nic
from tests.lab import Lab, on_its_host

DEFAULT = """<network><name>default</name><forward mode='nat'/><bridge name='virbr0' stp='on' delay='0'/>
<ip address='192.168.122.1' netmask='255.255.255.0'><dhcp><range start='192.168.122.2' end='192.168.122.254'/></dhcp>
</ip></network>"""

SITE = """\
site: t
networks:
  lan: {subnet: 10.0.0.0/24}
hosts:
  h:
    nics:
      eth4: {network: lan}
    bridges:
      br4: {uplink: eth4}
    virtual_networks:
      lab: {mode: nat, subnet: 192.168.150.0/24, dhcp: 192.168.150.100-192.168.150.200}
guests:
  g1: {host: h, memory: 128MiB, nics: [{bridge: br4, address: 10.0.0.5/24}]}
  g2: {host: h, memory: 128MiB, nics: [{network: lab, address: dhcp}]}
"""

QEMU_SITE = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  h:
    nics: {eth4: {network: lan}}
    bridges: {br4: {uplink: eth4}, br5: {uplink: none}}
guests:
  g1:
    host: h
    memory: 128MiB
    kernel: KERNEL
    initrd: INITRD
    cmdline: 'CMDLINE'
    nics: [{bridge: PLUG, address: 10.0.0.5/24, mac: 'MAC'}]
"""


class LibvirtHost(Struct):
    """The host, the machine on its wire, and its libvirt. ``g1`` runs on libvirt's default network."""

    lab: Lab
    host: Namespace
    wire: Namespace
    daemon: PrivateLibvirt | None  # None where bare QEMU runs the guests
    folder: Path

    @property
    def libvirt(self) -> PrivateLibvirt:
        assert self.daemon is not None
        return self.daemon

    @property
    def site(self) -> Path:
        return self.folder / "site.yaml"

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "BASCULE_STATE_DIR": str(self.folder / "state")}

    def run(self, *words: str, connect: bool = True) -> subprocess.CompletedProcess[str]:
        end = ("--connect", self.libvirt.uri) if connect else ()
        # not `entered`: we are process 1 of the sandbox, whose namespace counts as the machine's own
        with on_its_host(*words):
            return prefork.run(*words, *end, env=self.env, namespace=self.host)

    def ok(self, *words: str, connect: bool = True) -> str:
        done = self.run(*words, connect=connect)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def apply(self, *words: str) -> str:
        return self.ok("apply", str(self.site), "--yes", *words)

    def undo(self) -> str:
        return self.ok("undo", connect=False)

    def hypervisor(self) -> Hypervisor:
        return self.libvirt.connect()

    def domain(self, name: str = "g1") -> DomainText:
        return self.hypervisor().domain(name)

    def texts(self) -> dict[str, Any]:
        """Everything that libvirt keeps, without what moves by itself."""
        there = self.hypervisor()
        domains = {d.name: (d.running, lines(d.now), lines(d.next)) for d in there.domains()}
        networks = {n.name: (n.active, n.autostart, lines(n.now), lines(n.next)) for n in there.networks()}
        return {"domains": domains, "networks": networks}

    def master(self, link: str) -> str:
        words = run(("ip", "-o", "link", "show", link), namespace=self.host, check=False).stdout
        return words.partition(" master ")[2].partition(" ")[0]

    def links(self) -> dict[str, str]:
        rows = run(("ip", "-br", "link"), namespace=self.host).stdout.splitlines()
        return {row.split()[0].partition("@")[0]: self.master(row.split()[0].partition("@")[0]) for row in rows}

    def answers(self) -> bool:
        return run(("ping", "-c1", "-W1", "-n", "10.0.0.5"), namespace=self.wire, check=False).status == 0


def lines(xml: str) -> tuple[str, ...]:
    """XML that two readings of the same thing share: a use count and the port of a network are of the moment."""
    kept = []
    for line in xml.splitlines():
        words = [word for word in line.split() if not word.startswith(("connections=", "portid=", "id="))]
        kept.append(" ".join(words))
    return tuple(kept)


def _wired() -> tuple[Lab, Namespace, Namespace]:
    """A host whose eth4 is plugged into a machine that has 10.0.0.9."""
    lab = Lab()
    host, wire = lab.namespace("host"), lab.namespace("wire")
    lab.ip(wire, "link add eth0 type veth peer name eth4 address 02:00:00:00:00:14")
    lab.ip(wire, f"link set eth4 netns /proc/{os.getpid()}/fd/{host.fd}")
    lab.ip(wire, "addr add 10.0.0.9/24 dev eth0")
    lab.ip(wire, "link set eth0 up")
    return lab, host, wire


def qemu_site(image: GuestImage) -> str:
    """The site file, but for the bridge that the guest is plugged into."""
    made = guest("g1", nic("g1", 0, "br4", "10.0.0.5/24"), image=image)
    text = QEMU_SITE.replace("KERNEL", str(image.kernel)).replace("INITRD", str(image.initrd))
    return text.replace("CMDLINE", made.cmdline).replace("MAC", made.nics[0].mac)


@contextlib.contextmanager
def qemu_host() -> Iterator[LibvirtHost]:
    """The same host without libvirt: bare QEMU runs its guests. To be used in a sandbox."""
    lab, host, wire = _wired()
    folder = Path("/run/bare")
    folder.mkdir()
    yield LibvirtHost(lab, host, wire, None, folder)
    lab.close()


@contextlib.contextmanager
def libvirt_host(image: GuestImage, *, site: str = SITE) -> Iterator[LibvirtHost]:
    """To be used in a sandbox."""
    lab, host, wire = _wired()
    lab.ip(host, "link set eth4 up")
    folder = Path("/run/libvirt-host")
    folder.mkdir()
    with PrivateLibvirt(host, folder / "libvirt") as running:
        there = LibvirtHost(lab, host, wire, running, folder)
        there.site.write_text(site)
        hypervisor = there.hypervisor()
        hypervisor.define_network(DEFAULT)
        hypervisor.start_network("default")
        hypervisor.set_autostart("default", on=True)
        made = guest("g1", nic("g1", 0, "default", "10.0.0.5/24", plug=PlugKind.NETWORK), image=image)
        hypervisor.define_domain(build(made, accel="tcg").replace('<target dev="g1.0"/>', ""))
        hypervisor.start_domain("g1")
        yield there
    lab.close()
