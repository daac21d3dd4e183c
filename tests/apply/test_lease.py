"""The host's DHCP client goes on with its lease under the bridge: real clients, a real server, and back again."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from bascule.dhcp.clients import dhcp_clients
from bascule.system.process.programs import programs
from bascule.system.run import find_tool
from tests import prefork
from tests.apply.hosts import Bed, difference, furnish, wait_for
from tests.lab import Lab

SITE = """\
site: leased
networks:
  lan: {subnet: 10.0.0.0/24}
hosts:
  h:
    nics: {eth0: {network: lan}}
    bridges: {br0: {uplink: eth0, address: %s}}
"""
CLIENTS = {  # as ifupdown starts the first two
    "dhclient": "dhclient -4 -v -i -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/dhclient.eth0.leases -I "
                "-df /var/lib/dhcp/dhclient6.eth0.leases eth0",
    "udhcpc": "udhcpc -n -t 20 -R -p /run/udhcpc.eth0.pid -i eth0",
    "dhcpcd": "dhcpcd -4 eth0",
}  # fmt: skip
PACKAGES = {"dhclient": "isc-dhcp-client", "udhcpc": "udhcpc", "dhcpcd": "dhcpcd-base"}
T1_S = 4  # how often it is renewed; dnsmasq gives no lease that is shorter than two minutes
RARELY_S = 1800  # for who must not hear of another server before the change, however slow the machine is
HIDE = """\
mount -t tmpfs none /run && mount -t tmpfs none /var/lib && mkdir -p /run/dhcpcd /var/lib/dhcp /var/lib/dhcpcd
: >/run/resolv.conf; mount --bind /run/resolv.conf /etc/resolv.conf
echo ready; exec sleep 600
"""


class Leased(Struct):
    """A host whose only address is leased. Its files and its name are its own: clients write /etc/resolv.conf."""

    bed: Bed
    holder: subprocess.Popen[str]
    dnsmasq: subprocess.Popen[bytes]
    server_log: Path
    client: str

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run something on the host."""
        return subprocess.run(
            ("nsenter", f"--target={self.holder.pid}", "--mount", "--uts", "--net", "--", *words),
            capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
            env={**os.environ, "BASCULE_STATE_DIR": str(self.bed.state)},
        )  # fmt: skip

    def bascule(self, *words: str) -> subprocess.CompletedProcess[str]:
        insist = ("--here",) if words[0] in {"plan", "apply"} else ()  # by its name it is the DHCP server's client
        env = {**os.environ, "BASCULE_STATE_DIR": str(self.bed.state)}
        return prefork.run(*words, *insist, env=env, machine=self.holder.pid)

    def apply(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.bascule("apply", str(self.bed.site), "--yes", *words)

    def addresses(self, link: str) -> dict[str, int]:
        """IPv4 addresses and the seconds that they have left."""
        found = self.shell("ip", "-j", "-4", "addr", "show", "dev", link).stdout
        entries: list[dict[str, Any]] = json.loads(found or "[]")
        return {a["local"]: a["valid_life_time"] for entry in entries for a in entry.get("addr_info", ()) if a}

    def running(self) -> list[str]:
        """The links that clients run on."""
        with self.bed.host.entered():
            return [link for client in dhcp_clients() for link in client.links if client.kind == self.client]

    def silence(self) -> None:
        """End the server, and wait until it has."""
        self.dnsmasq.terminate()
        self.dnsmasq.wait()

    def heard(self, word: str) -> int:
        """How often the server said it, or heard it."""
        return sum(word in line for line in self.server_log.read_text().splitlines())

    def renewed(self) -> bool:
        """Whether it asks again within its time, and is answered."""
        before = self.heard("DHCPACK")
        if self.client == "udhcpc":  # it knows no T1
            self.shell("sh", "-c", "kill -USR1 $(cat /run/udhcpc.*.pid)")
        return bool(wait_for(lambda: self.heard("DHCPACK") > before, bool, T1_S + 8))


def server(bed: Bed, folder: Path, first: str, t1_s: int) -> subprocess.Popen[bytes]:
    """A DHCP server on the wire that knows nobody yet."""
    log, leases = folder / "server.log", folder / "server.leases"
    last, lease_s = f"{first[:-1]}9", max(120, 2 * t1_s)
    leases.unlink(missing_ok=True)
    before = log.read_text() if log.exists() else ""
    with bed.wire.entered():
        process = subprocess.Popen(
            (find_tool("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
             "--interface=eth0w", f"--dhcp-range={first},{last},{lease_s}", "--dhcp-option=3,10.0.0.1",
             "--dhcp-option=6,10.0.0.1", f"--dhcp-option=option:T1,{t1_s}", "--dhcp-authoritative", "--user=root",
             "--no-ping", f"--dhcp-leasefile={leases}", f"--pid-file={folder}/server.pid", f"--log-facility={log}"),
        )  # fmt: skip
    wait_for(lambda: log.exists() and "DHCP, IP range" in log.read_text()[len(before) :], bool)
    return process


@pytest.fixture(params=["dhclient"])
def leased(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Iterator[Leased]:
    client, t1_s = request.param if isinstance(request.param, tuple) else (request.param, T1_S)
    if shutil.which(client, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None:
        pytest.skip(f"{client} is not here (apt-get install {PACKAGES[client]})")
    bed = furnish(lab, tmp_path, SITE % "from-uplink")
    bed.batch("route flush dev eth0\nroute del ::/0\naddr flush dev eth0 scope global\nrule del priority 500\n")
    with bed.host.entered():
        holder = subprocess.Popen(
            ("unshare", "--mount", "--uts", "--propagation", "private", "sh", "-c", HIDE),
            stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    dnsmasq = server(bed, tmp_path, "10.0.0.100", t1_s)
    found = Leased(bed, holder, dnsmasq, tmp_path / "server.log", client)
    try:
        started = found.shell(*CLIENTS[client].split())
        assert started.returncode == 0, started.stderr
        assert wait_for(lambda: found.addresses("eth0"), bool), started.stderr
        yield found
    finally:
        dnsmasq.terminate()
        dnsmasq.wait()
        with bed.host.entered():
            mine = [program.pid for program in programs() if program.pid != os.getpid()]
        for pid in mine:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with holder:
            pass


def the_one(found: dict[str, int]) -> str:
    (address,) = found
    return address


each_client = pytest.mark.parametrize("leased", sorted(CLIENTS), indirect=True)


@each_client
def test_the_lease_goes_on_under_the_bridge_and_back(leased: Leased) -> None:
    before = leased.bed.calm()
    address = the_one(leased.addresses("eth0"))
    plan = leased.bascule("plan", str(leased.bed.site)).stdout
    assert "continues with its lease on br0; here it stops without releasing it" in " ".join(plan.split())
    done = leased.apply("--confirm-within", "600s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert the_one(leased.addresses("br0")) == address
    assert leased.addresses("eth0") == {}
    assert leased.running() == ["br0"]
    left = leased.shell("find", "/run", "-name", "*eth0*.pid").stdout
    assert left == "", "or 'dhclient -r' would end whoever has its number next"
    assert leased.renewed(), "the server hears it again, and answers"
    assert wait_for(lambda: leased.addresses("br0").get(address, 0), lambda left_s: left_s > 110) > 110
    assert the_one(leased.addresses("br0")) == address
    assert leased.addresses("eth0") == {}
    status = json.loads(leased.bascule("status", "--json").stdout)
    assert (status["ok"], status["drift"]) == (True, [])
    undone = leased.bascule("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert the_one(leased.addresses("eth0")) == address
    assert leased.running() == ["eth0"]
    assert leased.renewed()
    time.sleep(0.3)
    assert the_one(leased.addresses("eth0")) == address
    assert difference(before, leased.bed.calm()) == []
    assert leased.heard("DHCPRELEASE") == 0
    assert leased.heard("DHCPNAK") == 0
    leases = [line.split()[2] for line in (leased.server_log.parent / "server.leases").read_text().splitlines()]
    assert leases == [address], "for the server it was the same client all the time"


@each_client
def test_what_is_not_used_of_the_lease_stays_away_when_it_is_renewed(leased: Leased) -> None:
    def ways(link: str) -> list[str]:
        return leased.shell("ip", "-4", "route", "show", "default", "dev", link).stdout.splitlines()

    before = leased.bed.calm()
    address = the_one(leased.addresses("eth0"))
    assert ways("eth0")
    asks = SITE.replace("{network: lan}", "{network: lan, address: dhcp}")
    leased.bed.site.write_text(asks % "from-uplink, use_gateway: false, use_dns: false")
    done = leased.apply("--confirm-within", "600s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert the_one(leased.addresses("br0")) == address
    assert ways("br0") == []
    leased.shell("sh", "-c", ": >/run/resolv.conf")
    assert leased.renewed()
    time.sleep(0.3)
    assert (ways("br0"), the_one(leased.addresses("br0"))) == ([], address)
    assert "10.0.0.1" not in leased.shell("cat", "/run/resolv.conf").stdout
    status = json.loads(leased.bascule("status", "--json").stdout)
    assert (status["ok"], status["drift"]) == (True, [])
    undone = leased.bascule("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert leased.renewed()
    assert difference(before, leased.bed.calm()) == []


def test_the_dead_man_brings_it_home(leased: Leased) -> None:
    before = leased.bed.calm()
    assert leased.apply("--confirm-within", "1s").returncode == 0
    assert wait_for(lambda: difference(before, leased.bed.raw()), lambda left: not left, 20) == []
    assert wait_for(leased.running, lambda found: found == ["eth0"]) == ["eth0"]
    assert leased.renewed()


def test_a_bridge_that_asks_for_itself_gets_the_client(leased: Leased) -> None:
    """``address: dhcp``: nothing is moved but the client, and what it sets is its own."""
    before = leased.bed.calm()
    address = the_one(leased.addresses("eth0"))
    leased.bed.site.write_text(SITE % "dhcp")
    done = leased.apply("--confirm-within", "600s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert the_one(leased.addresses("br0")) == address
    assert "default via 10.0.0.1 dev br0" in leased.shell("ip", "route").stdout
    assert leased.running() == ["br0"]
    status = json.loads(leased.bascule("status", "--json").stdout)
    assert (status["ok"], status["drift"]) == (True, [])
    undone = leased.bascule("undo")
    assert undone.returncode == 0, undone.stdout + undone.stderr
    assert the_one(leased.addresses("eth0")) == address
    assert difference(before, leased.bed.calm()) == []


KILLED = """\
import os, sys
from bascule.dhcp import lease
lease.begin = lambda *_, **__: os.kill(os.getpid(), 9)
sys.argv[0] = "bascule"
from bascule.cli import main
main()
"""


def test_killed_while_nobody_keeps_the_lease(leased: Leased) -> None:
    before = leased.bed.calm()
    done = leased.shell(sys.executable, "-c", KILLED, "apply", str(leased.bed.site), "--yes", "--here")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert wait_for(leased.running, lambda found: found == ["eth0"], 20) == ["eth0"], "the dead-man starts it"
    assert wait_for(lambda: difference(before, leased.bed.raw()), lambda left: not left, 20) == []
    assert leased.renewed()


def test_what_the_file_takes_away_gives_the_lease_back_to_the_nic(leased: Leased) -> None:
    address = the_one(leased.addresses("eth0"))
    assert leased.apply("--no-confirm").returncode == 0
    leased.bed.site.write_text(SITE.replace("    bridges: {br0: {uplink: eth0, address: %s}}\n", ""))
    done = leased.apply("--no-confirm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert the_one(leased.addresses("eth0")) == address
    assert leased.running() == ["eth0"]
    assert leased.renewed()


@pytest.mark.parametrize("leased", [("dhclient", RARELY_S)], indirect=True, ids=["dhclient"])
def test_another_address_takes_everything_back(leased: Leased, tmp_path: Path) -> None:
    """A server that has forgotten the lease and gives another one."""
    address = the_one(leased.addresses("eth0"))
    leased.silence()
    other = server(leased.bed, tmp_path, "10.0.0.150", RARELY_S)
    try:
        done = leased.apply("--confirm-within", "600s")
        assert done.returncode in {1, 75}, done.stdout + done.stderr
        assert "was given another address, 10.0.0.15" in done.stderr
        assert "br0" not in leased.bed.raw()["links"]
        assert address in leased.addresses("eth0"), "what the server gives besides cannot be refused"
    finally:
        other.terminate()
        other.wait()


@pytest.mark.parametrize("leased", ["dhclient", "dhcpcd"], indirect=True)
def test_a_server_that_was_silent_before_may_be_silent_after(leased: Leased) -> None:
    address = the_one(leased.addresses("eth0"))
    leased.silence()
    done = leased.apply("--confirm-within", "600s")
    assert done.returncode == 0, done.stdout + done.stderr
    assert the_one(leased.addresses("br0")) == address
    if leased.client == "dhclient":  # dhcpcd goes on with what it has and does not tell
        assert "did not answer before the change either" in done.stderr
    assert leased.running() == ["br0"]
    assert leased.bascule("undo").returncode == 0


@pytest.mark.parametrize("leased", ["dhclient", "udhcpc", "dhcpcd"], indirect=True)
def test_an_import_pins_nothing_that_a_lease_brought(leased: Leased) -> None:
    """Neither the address nor the router: they are the server's to give."""
    found = leased.bascule("import", "--host", "h")
    assert found.returncode == 0, found.stderr
    said = "".join(line for line in found.stdout.splitlines() if not line.startswith("#"))
    assert "address: dhcp" in said
    assert not re.search(r"gateway|10\.0\.0\.1(\d\d)?\b", said), found.stdout
    assert "10.0.0.1" in found.stdout
