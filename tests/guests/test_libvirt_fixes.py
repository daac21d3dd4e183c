"""What ``why`` prints for a packet that libvirt's rules stop is pasted into a real libvirtd, and opens what it says."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from bascule.system.net.netns import Namespace
from bascule.system.process.sandbox import sandboxed
from bascule.system.run import run
from bascule.twin.test_guest import libvirtd
from bascule.twin.test_guest.libvirtd import PrivateLibvirt
from tests import prefork
from tests.guests.wires import seen_as, serving
from tests.lab import Lab, called

SITE = """\
site: t
networks:
  lan: {subnet: 10.0.0.0/24, gateway: 10.0.0.1}
hosts:
  h:
    nics: {eth4: {network: lan, address: 10.0.0.1/24}}
    virtual_networks: {one: {mode: nat, subnet: 192.168.122.0/24}, two: {mode: nat, subnet: 192.168.130.0/24}}
guests:
  web: {host: h, nics: [{network: one, address: 192.168.122.7/24, mac: "52:54:00:00:00:07", tap: web.0}]}
  db: {host: h, nics: [{network: two, address: 192.168.130.8/24, mac: "52:54:00:00:00:08", tap: db.0}]}
machines:
  desk: {nics: [{network: lan, address: 10.0.0.9/24}]}
"""
NETWORK = """<network><name>{name}</name>{forward}<bridge name='vn-{name}' stp='off' delay='0'/>
<mac address='52:54:00:00:01:{number:02x}'/><ip address='192.168.{number}.1' netmask='255.255.255.0'/></network>"""
NAT = "<forward mode='nat'/>"
ADDRESSES = {"h": "10.0.0.1", "web": "192.168.122.7", "db": "192.168.130.8", "desk": "10.0.0.9"}
PORT = 80
FOLDER = Path("/run/libvirt-test")


class Networks(Struct):
    """A host with two networks of libvirt and one guest in each, and somebody beside it."""

    rooms: dict[str, Namespace]
    libvirt: PrivateLibvirt
    site: Path

    def define(self, name: str, forward: str) -> None:
        """A network as it shall be, running, and the guests in theirs."""
        number = {"one": 122, "two": 130}[name]
        hypervisor = self.libvirt.connect()
        if any(each.name == name for each in hypervisor.networks()):
            hypervisor.stop_network(name)
            hypervisor.undefine_network(name)
        hypervisor.define_network(NETWORK.format(name=name, number=number, forward=forward))
        hypervisor.start_network(name)
        hypervisor.close()
        self.plug()

    def plug(self) -> None:
        """As libvirtd does when it is restarted."""
        there = run(("ip", "-br", "link"), namespace=self.rooms["h"]).stdout
        for link, bridge in (("web.0", "vn-one"), ("db.0", "vn-two")):
            if bridge in there:
                run(("ip", "link", "set", link, "master", bridge), namespace=self.rooms["h"])

    def pairs(self) -> set[tuple[str, str]]:
        """Who reaches whom, all at once: what is lost is sent again after a second."""
        every = [*itertools.permutations(ADDRESSES, 2)]

        def reaches(pair: tuple[str, str]) -> bool:
            return bool(seen_as(self.rooms[pair[0]], ADDRESSES[pair[1]], PORT, timeout_s=2.5))

        with ThreadPoolExecutor(len(every)) as together:
            return {pair for pair, answered in zip(every, together.map(reaches, every), strict=True) if answered}

    def why(self, source: str, target: str) -> dict[str, Any]:
        """The answer here, with the definitions that this libvirtd keeps."""
        root = f"/proc/{(FOLDER / 'libvirtd.pid').read_text().strip()}/root"
        words = ("why", source, target, f"tcp/{PORT}", "--site", str(self.site), "--here", "--json", "--root", root)
        with called("h"):
            done = prefork.run(*words, namespace=self.rooms["h"])
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert "result" in found, done.stdout
        return found

    def paste(self, *commands: str) -> None:
        """As in a shell whose virsh means this libvirtd."""
        for command in commands:
            run(("env", f"LIBVIRT_DEFAULT_URI={self.libvirt.uri}", "bash", "-ec", command), namespace=self.rooms["h"])


def furnished(lab: Lab) -> Networks:
    rooms = {name: lab.namespace(name) for name in ADDRESSES}
    for name, link in (("web", "web.0"), ("db", "db.0"), ("desk", "eth4")):
        lab.ip(rooms["h"], f"link add {link} type veth peer name inner")
        lab.ip(rooms["h"], f"link set inner netns /proc/{os.getpid()}/fd/{rooms[name].fd}")
        lab.ip(rooms[name], "link set inner name eth0")
        lab.ip(rooms["h"], f"link set {link} up")
        if name != "desk":
            lab.ip(rooms[name], f"link set eth0 address 52:54:00:00:00:0{ADDRESSES[name][-1]}")
        lab.ip(rooms[name], f"address add {ADDRESSES[name]}/24 dev eth0")
        lab.ip(rooms[name], "link set eth0 up")
        lab.ip(rooms[name], f"route add default via {ADDRESSES[name].rpartition('.')[0]}.1")
    lab.ip(rooms["h"], "address add 10.0.0.1/24 dev eth4")
    site = Path("/run/site.yaml")
    site.write_text(SITE)
    daemon = PrivateLibvirt(rooms["h"], FOLDER)
    lab.keep(daemon.close)
    return Networks(rooms, daemon, site)


def each_fix_is_pasted() -> None:
    lab = Lab()
    there = furnished(lab)
    with contextlib.ExitStack() as serve:
        for room in there.rooms.values():
            serve.enter_context(serving(room, PORT))
        there.define("two", NAT)
        for forward, modes in ((NAT, ["route", "open"]), ("", ["open"])):  # a network that forwards nothing has no word
            there.define("one", forward)
            before = there.pairs()
            found = there.why("desk", "web")
            assert found["result"] == "no"
            assert {stop["owner"] for stop in found["blockers"]} == {"libvirt"}
            assert {stop["place"].partition(":")[0] for stop in found["blockers"]} == {
                "/etc/libvirt/qemu/networks/one.xml"
            }
            edits = [fix["commands"][0] for fix in found["fixes"] if "virsh" in fix["words"]]
            assert [mode for one in edits for mode in ("route", "open") if f"mode='{mode}'" in one] == modes
            for fix in found["fixes"]:
                there.define("one", forward)
                there.paste(*fix["commands"])
                there.plug()
                opened = {(one["from"], one["to"]) for one in fix["opens"]}
                assert there.pairs() - before == opened, fix["words"]
                for line in run(("iptables-save",), namespace=there.rooms["h"]).stdout.splitlines():
                    if line.startswith("-A FORWARD") and "LIBVIRT" not in line:  # of the one that was just pasted
                        run(("iptables", *line.replace("-A", "-D", 1).split()), namespace=there.rooms["h"])
    lab.close()


@pytest.mark.kernel
def test_each_fix_is_pasted() -> None:
    if why := libvirtd.missing():
        pytest.skip(why)
    sandboxed(each_fix_is_pasted)
