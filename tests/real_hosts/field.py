"""The lab of the situations that people report: a host with two NICs on a switch, beside a router and a pc.

The host is called ``kvm`` and has eth0 (192.168.1.10/24, default via .1) and eth1, as examples/first.yaml says; the
router is 192.168.1.1, the pc 192.168.1.50. Each is a namespace of its own, and the switch is a bridge in one more.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from bascule import workflow
from bascule.model.values import derive_mac
from bascule.plan.change import Plan
from bascule.site import parse
from bascule.system.net.netns import Namespace
from tests import prefork
from tests.apply.hosts import environment
from tests.lab import Lab, called

BASE = (Path(__file__).parents[2] / "examples/first.yaml").read_text()
MACS = {"eth0": "02:00:00:00:00:10", "eth1": "02:00:00:00:00:11", "router": "02:00:00:00:00:01",
        "pc": "02:00:00:00:00:50"}  # fmt: skip
ONE_NIC = """\
site: one
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    nics: {eth0: {network: office}}
    bridges: {br0: {uplink: eth0, address: from-uplink}}
"""


class Field(Struct, kw_only=True):
    """The host and what is around it. ``environment`` is what every call of Bascule gets besides the usual.

    ``guests`` are those that run, by name.
    """

    lab: Lab
    folder: Path
    host: Namespace
    switch: Namespace
    router: Namespace
    pc: Namespace
    environment: dict[str, str] = field(default_factory=dict)
    guests: dict[str, Namespace] = field(default_factory=dict)

    # ---- the building

    def ip(self, words: str, where: Namespace | None = None) -> str:
        """Run ``ip`` on the host, or elsewhere."""
        return self.lab.ip(where or self.host, words)

    def batch(self, lines: str, where: Namespace | None = None) -> None:
        """Run several lines of ``ip`` at once."""
        with (where or self.host).entered():
            subprocess.run(("ip", "-batch", "-"), input=lines, text=True, check=True)

    def run(self, *words: str, where: Namespace | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program on the host, or elsewhere; its exit status is the caller's to judge."""
        with (where or self.host).entered():
            return subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def plug(self, where: Namespace, nic: str, mac: str, *addresses: str) -> None:
        """A NIC in a namespace, with a cable to a port of the switch that is named after its MAC."""
        port = "p" + mac.replace(":", "")
        self.cable(where, nic, self.switch, port, mac=mac)
        self.batch(f"link set {port} up master sw\n", self.switch)
        lines = [f"addr add {address} dev {nic}{' nodad' if ':' in address else ''}" for address in addresses]
        self.batch("\n".join([f"link set {nic} up", *lines]) + "\n", where)

    def cable(self, one: Namespace, name: str, other: Namespace, peer: str, *, mac: str) -> None:
        """A veth pair between two namespaces; both ends are down."""
        with other.entered():
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            self.ip(f"link add {name} address {mac} type veth peer name {peer} netns /proc/{os.getpid()}/fd/{fd}", one)
        finally:
            os.close(fd)

    def station(self, name: str, mac: str, *addresses: str) -> Namespace:
        """Another machine on the switch, with one NIC ``eth0``."""
        where = self.lab.namespace(name)
        self.plug(where, "eth0", mac, *addresses)
        return where

    def guest(self, name: str, tap: str, *addresses: str, bridge: str = "", site: str = BASE) -> Namespace:
        """A guest that runs: a namespace whose ``eth0`` is the host's ``tap``, on a bridge if one is named.

        Its MAC is the one that the site file gives to this tap, or one of its own where no file names it.
        """
        nics = (nic for one in parse(site.encode(), "site.yaml").guests.values() for nic in one.nics)
        mac = next((nic.mac for nic in nics if nic.tap == tap), derive_mac("foreign", name, 0))
        where = self.guests[name] = self.lab.namespace(name)
        self.cable(where, "eth0", self.host, tap, mac=mac)
        self.batch(f"link set {tap} up {f'master {bridge}' if bridge else ''}\n")
        lines = [f"addr add {address} dev eth0{' nodad' if ':' in address else ''}" for address in addresses]
        self.batch("\n".join(["link set eth0 up", *lines]) + "\n", where)
        return where

    def listen(self, where: Namespace, port: int) -> None:
        """A TCP port that takes connections there: the kernel answers for it as long as the lab stands."""
        with where.entered():
            server = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        self.lab.keep(server.close)

    # ---- Bascule on the host

    def site(self, text: str, name: str = "site.yaml") -> str:
        """Write a site file; its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def plan(self, text: str) -> Plan:
        """The plan of a site file, made by this process: soon done."""
        with self.host.entered(), called("kvm"), environment(self.env()):
            return workflow.plan(self.site(text)).plan

    def bascule(self, *words: str, hostname: str = "kvm", ssh: str = "") -> subprocess.CompletedProcess[str]:
        """Run the command line on the host. ``ssh`` is the SSH_CONNECTION that it is run over, none without it."""
        with self.host.entered(), called(hostname):
            return prefork.run(*words, env=self.env(ssh))

    def start(self, *words: str, hostname: str = "kvm", ssh: str = "", **rest: Any) -> subprocess.Popen[str]:
        """The same, while it runs; its words on stderr come with those on stdout."""
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | rest
        with self.host.entered(), called(hostname):
            return prefork.start(*words, env=self.env(ssh), **pipes)

    def env(self, ssh: str = "") -> dict[str, str]:
        """What Bascule is run with: a state directory of its own, no SSH session but the one that is given."""
        plain = {key: value for key, value in os.environ.items() if key != "SSH_CONNECTION"}
        line = {"SSH_CONNECTION": ssh} if ssh else {}
        return {**plain, "BASCULE_STATE_DIR": str(self.folder / "state"), **line, **self.environment}

    def document(self, *words: str, **rest: Any) -> dict[str, Any]:
        """What a verb says with ``--json``."""
        done = self.bascule(*words, "--json", **rest)
        assert done.stdout, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document


def furnished(lab: Lab, folder: Path) -> Field:
    """The lab, furnished. Without duplicate address detection on our side nobody has to wait until IPv6 has settled."""
    host, switch, router, pc = (lab.namespace(name) for name in ("host", "switch", "router", "pc"))
    for where in (host, router, pc):
        with where.entered():
            Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    lab.ip(switch, "link add sw type bridge forward_delay 0 mcast_snooping 0")
    lab.ip(switch, "link set sw up")
    found = Field(lab=lab, folder=folder, host=host, switch=switch, router=router, pc=pc)
    found.plug(router, "eth0", MACS["router"], "192.168.1.1/24")
    found.plug(pc, "eth0", MACS["pc"], "192.168.1.50/24")
    found.plug(host, "eth0", MACS["eth0"], "192.168.1.10/24")
    found.plug(host, "eth1", MACS["eth1"])
    found.ip("route add default via 192.168.1.1 dev eth0")
    return found
