"""How much a guest may send and get: set, kept, seen as drift, changed and taken back; and the figure holds."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from bascule.importer.importing import Sources, import_sources
from bascule.model.guarding import Bandwidth
from bascule.model.links import Bridge, BridgePort, Physical
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.providers.shaping.effects import LISTINGS
from bascule.providers.shaping.state import Shaping, queue_name, read_limits, udev_text
from bascule.site import parse
from bascule.system.net.netns import Namespace
from bascule.system.run import rows, run
from tests.lab import Lab, open_lab
from tests.patience import HUNG_S

pytestmark = pytest.mark.kernel
SITE = """
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {up0: {network: lan}}, bridges: {br0: {uplink: up0}}}}
guests:
  web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24, tap: web.0LIMIT}]}
"""
RATE, SECONDS = 4_000_000, 3.0  # twice as much is sent by the slowest machine, too


class Stage(Struct):
    """A host whose guest web is behind web.0, with somebody on the wire."""

    lab: Lab
    host: Namespace
    web: Namespace
    wire: Namespace
    file: Path

    def bascule(self, *words: str, status: int = 0) -> str:
        """Run it on the host."""
        env = {"BASCULE_STATE_DIR": str(self.file.parent / "state")}
        done = self.lab.bascule(self.host, *words, env=env, hostname="h")
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def write(self, limit: str) -> str:
        """The site file with a limit."""
        self.file.write_text(SITE.replace("LIMIT", f", limit: {limit}" if limit else ""))
        return str(self.file)

    def limits(self) -> dict[str, Bandwidth]:
        """What tc tells."""
        queues, actions = (rows(words, namespace=self.host) for words in LISTINGS)
        with self.host.entered():
            names = [name for _, name in socket.if_nameindex()]
        return read_limits(queues, actions, names)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with open_lab() as lab:
        host, web, wire = lab.host("up0"), lab.namespace("web"), lab.namespace("wire")
        lab.ip(host, "link add web.0 type veth peer name web-end")
        for end, name, number in ((web, "web-end", 5), (wire, "up0-wire", 9)):
            lab.ip(host, f"link set {name} netns /proc/{os.getpid()}/fd/{end.fd}")
            lab.ip(end, f"link set {name} name eth0 up")
            lab.ip(end, f"address add 10.0.0.{number}/24 dev eth0")
        lab.ip(host, "link set web.0 up")
        yield Stage(lab, host, web, wire, tmp_path_factory.mktemp("limits") / "site.yaml")


def test_a_limit_is_set_seen_as_drift_changed_and_taken_back(stage: Stage) -> None:
    stage.bascule("apply", stage.write(""), "--yes", "--no-confirm")
    plan = stage.bascule("plan", stage.write("{up: 20Mbit, down: 1Gbit}"), "--commands")
    assert f"tc qdisc replace dev {queue_name('web.0')} root tbf rate 20mbit" in plan
    assert "tc qdisc replace dev web.0 root tbf rate 1gbit" in plan
    stage.bascule("apply", str(stage.file), "--yes", "--no-confirm")
    assert stage.limits() == {"web.0": Bandwidth(up=20_000_000, down=1_000_000_000)}
    stage.bascule("plan", str(stage.file), "--exit-code")
    run(("tc", "qdisc", "del", "dev", "web.0", "root"), namespace=stage.host)
    assert any("web.0" in words for words in json.loads(stage.bascule("status", "--json", status=1))["drift"])
    stage.bascule("apply", str(stage.file), "--yes", "--no-confirm")
    stage.bascule("apply", stage.write("{down: 30Mbit}"), "--yes", "--no-confirm")
    assert stage.limits() == {"web.0": Bandwidth(down=30_000_000)}
    stage.bascule("undo")
    assert stage.limits() == {"web.0": Bandwidth(up=20_000_000, down=1_000_000_000)}
    stage.bascule("apply", stage.write(""), "--yes", "--no-confirm")
    assert stage.limits() == {}
    assert "lim-" not in run(("ip", "link"), namespace=stage.host).stdout


def test_a_limit_is_seen_as_drift_whichever_change_has_set_it(stage: Stage) -> None:
    stage.bascule("apply", stage.write("{down: 30Mbit}"), "--yes", "--no-confirm")
    stage.file.write_text(stage.file.read_text().replace("uplink: up0", "uplink: up0, ageing: 60"))
    stage.bascule("apply", str(stage.file), "--yes", "--no-confirm")
    run(("tc", "qdisc", "del", "dev", "web.0", "root"), namespace=stage.host)
    assert any("web.0" in words for words in json.loads(stage.bascule("status", "--json", status=1))["drift"])
    stage.bascule("apply", stage.write(""), "--yes", "--no-confirm")


@pytest.mark.parametrize(
    "broken",
    [
        "tc qdisc del dev web.0 ingress",
        "tc filter del dev web.0 ingress",
        "tc qdisc del dev QUEUE root",
        "ip link del QUEUE",
    ],
)
def test_half_a_limit_is_seen_and_made_whole(broken: str, stage: Stage) -> None:
    """Without its ingress a guest sends what it likes; without the device behind it nothing of it gets out."""
    whole = {"web.0": Bandwidth(up=20_000_000, down=1_000_000_000)}
    stage.bascule("apply", stage.write("{up: 20Mbit, down: 1Gbit}"), "--yes", "--no-confirm")
    assert stage.limits() == whole
    run(broken.replace("QUEUE", queue_name("web.0")).split(), namespace=stage.host)
    assert "web.0: limit to" in json.dumps(json.loads(stage.bascule("status", "--json", status=1))["drift"])
    stage.bascule("apply", str(stage.file), "--yes", "--no-confirm")
    assert stage.limits() == whole
    listed = run(("tc", "filter", "show", "dev", "web.0", "ingress"), namespace=stage.host).stdout
    assert f"Redirect to device {queue_name('web.0')}" in listed
    stage.bascule("apply", stage.write(""), "--yes", "--no-confirm")


def test_udev_sets_the_limit_of_a_tap_that_appears() -> None:
    text = udev_text({"web.0": Bandwidth(up=10**8)})
    assert text is not None
    add, remove = text.splitlines()[1:]
    assert add.startswith('ACTION=="add", SUBSYSTEM=="net", KERNEL=="web.0", RUN+="/sbin/ip link add lim-')
    assert 'RUN+="/sbin/tc qdisc replace dev lim-' in add
    assert remove.endswith(f'RUN+="/sbin/ip link del dev {queue_name("web.0")}"')
    assert udev_text({}) is None


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_passes_is_the_figure(stage: Stage, way: str) -> None:
    """By UDP at twice the rate for three seconds; TCP stands in benchmarks/."""
    stage.bascule("apply", stage.write("{up: 4Mbit, down: 4Mbit}"), "--yes", "--no-confirm")
    sender, receiver, address = (
        (stage.web, stage.wire, "10.0.0.9") if way == "up" else (stage.wire, stage.web, "10.0.0.5")
    )
    end = time.monotonic() + HUNG_S
    while (rate := arrived(sender, receiver, address)) < 0.95 * RATE:  # a busy machine sends too little now and then
        assert time.monotonic() < end, f"{rate:,.0f} bit/s"
    assert rate < 1.05 * RATE


def arrived(sender: Namespace, receiver: Namespace, address: str) -> float:
    """How many bit/s arrive."""
    with receiver.entered():
        ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.bind((address, 7))
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        ear.settimeout(0.5)
    with sender.entered():
        mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        mouth.connect((address, 7))
    end = time.monotonic() + SECONDS

    def send() -> None:
        while time.monotonic() < end:
            for _ in range(4):
                mouth.send(bytes(1400))
            time.sleep(4 * 1442 * 8 / (2 * RATE))

    thread = threading.Thread(target=send)
    thread.start()
    first = last = 0.0
    got = 0
    while True:
        try:
            ear.recv(2048)
        except TimeoutError:
            break
        last = time.monotonic()
        first = first or last
        got += 1442 * 8  # with its headers
    thread.join()
    mouth.close()
    ear.close()
    return got / (last - first)


def test_a_limit_that_stands_is_imported() -> None:
    guest = (
        "<domain type='kvm'><name>web</name><memory unit='KiB'>131072</memory><devices><interface type='bridge'>"
        "<mac address='52:54:00:00:00:0a'/><source bridge='br0'/><target dev='web.0'/></interface></devices></domain>"
    )
    links = [
        Link(name=IfName("up0"), options=Physical(), up=True, master=IfName("br0"), port=BridgePort()),
        Link(name=IfName("br0"), options=Bridge(), up=True),
    ]
    shaping = Shaping(limits={"web.0": Bandwidth(up=100_000_000, down=2_500_000_000)})
    state = HostState.of(links, parts={"shaping": shaping})
    sources = Sources(host="h", site="s", dialect=None, libvirt={"etc/libvirt/qemu/web.xml": guest}, state=state)
    text = import_sources(sources).text
    assert "limit: {up: 100Mbit, down: 2500Mbit}" in text
    assert parse(text.encode(), "s.yaml").guests["web"].nics[0].bandwidth == shaping.limits["web.0"]
