"""The host's own address moves to the bridge and back: static, leased, advertised; nobody notices."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule import workflow
from bascule.apply import engine
from bascule.apply.follow import clean_ports
from bascule.apply.prepare import prepare
from bascule.apply.rollback.checkpoint import latest
from bascule.apply.state_directory import here
from bascule.apply.transaction import ApplyOptions, apply
from bascule.plan.change import Note, Plan
from bascule.system.run import find_tool
from tests.apply.hosts import Bed, difference, environment, furnish, wait_for
from tests.lab import Lab

SITE = """\
site: own
networks:
  lan: {subnet: 10.0.0.0/24}
hosts:
  h:
    nics: {eth0: {network: lan}}
    bridges: {br0: {uplink: eth0, address: from-uplink}}
"""
UNNOTICED = 100  # pings at 5 ms on a busy machine; the benchmark counts them, duplicate detection costs 200
WITHOUT = "site: own\nnetworks:\n  lan: {subnet: 10.0.0.0/24}\nhosts:\n  h:\n    nics: {eth0: {network: lan}}\n"


@pytest.fixture
def bed(lab: Lab, tmp_path: Path) -> Bed:
    return furnish(lab, tmp_path, SITE, dad=True)


@contextlib.contextmanager
def pinging(bed: Bed, *addresses: str, seconds: int) -> Iterator[dict[str, int]]:
    """A ping every 5 ms from the wire; the number of lost ones of each address when it is over."""
    lost: dict[str, int] = {}
    with bed.wire.entered():
        pings = {
            address: subprocess.Popen(
                ("ping", "-q", "-i", "0.005", "-w", str(seconds), address), stdout=subprocess.PIPE, text=True
            )
            for address in addresses
        }
    time.sleep(0.3)
    yield lost
    for address, ping in pings.items():
        words = ping.communicate()[0].split()
        sent = int(words[words.index("packets") - 1])
        lost[address] = sent - int(words[words.index("received,") - 1])
        assert sent > 100


def addresses(bed: Bed, link: str) -> dict[str, int]:
    """Address to seconds of validity on one link, link-local ones left out."""
    (entry,) = json.loads(bed.ip(f"-j addr show dev {link}"))
    return {a["local"]: a["valid_life_time"] for a in entry["addr_info"] if a["scope"] == "global"}


def test_no_ping_is_lost_on_the_way_and_back(bed: Bed) -> None:
    before = bed.calm()
    with pinging(bed, "10.0.0.5", "fd00::5", seconds=6) as lost:
        bed.apply("--confirm-within", "600s")
    assert max(lost.values()) <= UNNOTICED, lost
    moved = addresses(bed, "br0")
    assert set(moved) == {"10.0.0.5", "fd00::5", "fd00::99"}
    assert 3500 < moved["10.0.0.5"] <= 3600
    assert 7100 < moved["fd00::99"] <= 7200
    assert addresses(bed, "eth0") == {}
    routes = bed.ip("route show table all") + bed.ip("-6 route")
    for route in ("default via 10.0.0.1 dev br0 proto dhcp src 10.0.0.5 metric 100", "default via fd00::1 dev br0",
                  "default via 10.0.0.1 dev br0 table 77", "10.8.0.0/16 via 10.0.0.1 dev br0"):  # fmt: skip
        assert route in routes
    assert "from 10.0.0.5 lookup 77" in bed.ip("rule")
    with pinging(bed, "10.0.0.5", "fd00::5", seconds=3) as lost:
        undone = bed.run("undo")
    assert undone.returncode == 0, undone.stderr
    assert max(lost.values()) <= UNNOTICED, lost
    assert difference(before, bed.calm()) == []


def test_a_manager_that_renews_in_the_middle_of_it_takes_nothing_back(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sets the address on the NIC again, as it has just done when its server answered; once."""
    renewals = iter((True,))

    def execute(plan: Plan, **rest: Any) -> tuple[Note, ...]:
        notes = engine.execute(plan, **rest)
        if next(renewals, False):
            bed.ip("addr add 10.0.0.5/24 brd + dev eth0 valid_lft 3600 preferred_lft 3600")
        return notes

    monkeypatch.setattr("bascule.apply.transaction.execute", execute)
    site = workflow.load(str(bed.site))
    with bed.host.entered(), environment(bed.env):
        apply(prepare(site, site.hosts["h"]), ApplyOptions(window_s=60.0))
    assert (addresses(bed, "eth0"), set(addresses(bed, "br0"))) == ({}, {"10.0.0.5", "fd00::5", "fd00::99"})
    assert bed.run("undo").returncode == 0


def test_what_a_manager_sets_again_on_the_port_is_seen_and_goes(bed: Bed) -> None:
    """NetworkManager may, between apply and confirm: it minds that the kernel has dropped a route of its own."""
    before = bed.calm()
    bed.apply()
    stray = "default via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.5 metric 100"
    bed.ip("addr add 10.0.0.5/24 dev eth0 noprefixroute")
    bed.ip(f"route append {stray} onlink")
    assert len([line for line in bed.ip("route").splitlines() if line.startswith("default")]) == 2
    plan = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
    assert [(c["subject"], c["action"]) for c in plan["changes"]] == [
        ("eth0", "remove route default via 10.0.0.1 dev eth0"), ("eth0", "remove address 10.0.0.5/24"),
    ]  # fmt: skip
    with bed.host.entered(), environment(bed.env):
        change = latest(here())
        assert change is not None
        folder, _ = change
        swept = clean_ports(folder)
        assert swept == ("eth0: remove route default via 10.0.0.1 dev eth0", "eth0: remove address 10.0.0.5/24")
        assert clean_ports(folder) == ()
    assert [line for line in bed.ip("route").splitlines() if line.startswith("default")] == [
        "default via 10.0.0.1 dev br0 proto dhcp src 10.0.0.5 metric 100 "
    ]
    assert bed.run("undo").returncode == 0
    assert difference(before, bed.calm()) == []


def test_a_renewed_lease_stays_renewed(bed: Bed) -> None:
    bed.apply()
    bed.ip("addr change 10.0.0.5/24 dev br0 valid_lft 9000 preferred_lft 8000")
    assert bed.run("undo").returncode == 0
    assert 8900 < addresses(bed, "eth0")["10.0.0.5"] <= 9000


def test_a_lease_that_goes_on_has_gone_down_by_the_time_that_passed(bed: Bed) -> None:
    bed.apply()
    time.sleep(2)
    bed.ip("addr flush dev br0 to 10.0.0.5")  # so that the way back knows it from the checkpoint alone
    undone = bed.run("undo")
    assert undone.returncode == 0, undone.stderr
    assert "10.0.0.5" not in addresses(bed, "eth0") or addresses(bed, "eth0")["10.0.0.5"] <= 3598


def test_the_bridge_goes_from_the_file_and_the_address_comes_back(bed: Bed) -> None:
    before = bed.calm()
    bed.apply("--no-confirm")
    assert json.loads(bed.run("plan", str(bed.site), "--json").stdout)["changes"] == []
    bed.site.write_text(WITHOUT)
    with pinging(bed, "10.0.0.5", "fd00::5", seconds=4) as lost:
        bed.apply("--no-confirm")
    assert max(lost.values()) <= UNNOTICED, lost
    left = [line for line in difference(before, bed.calm()) if "accept_ra" not in line]
    assert left == []


@contextlib.contextmanager
def router(bed: Bed, tmp_path: Path, lifetime_s: int) -> Iterator[None]:
    """A router that advertises as soon as it is started."""
    with bed.wire.entered():
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
        process = subprocess.Popen(
            (find_tool("dnsmasq"), "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--bind-interfaces",
             "--interface=eth0w", "--enable-ra", "--ra-param=eth0w,4,600",
             f"--dhcp-range=fd00::,ra-only,64,{lifetime_s}",
             "--leasefile-ro", "--user=root", f"--pid-file={tmp_path}/pid"), stderr=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def test_advertised_addresses_and_routes(bed: Bed, tmp_path: Path) -> None:
    with router(bed, tmp_path, 300):
        advertised = wait_for(
            lambda: [ip for ip in addresses(bed, "eth0") if ip.startswith("fd00::") and len(ip) > 9], bool, 20
        )
        assert advertised, "no router advertisement came"
        assert wait_for(lambda: bed.ip("-6 route show default proto ra"), bool, 5)
        before = bed.calm()
    with pinging(bed, advertised[0], seconds=5) as lost:
        bed.apply()
        assert " dev eth0" not in bed.ip("-6 route"), "the prefix must not stay behind on the port"
        assert "proto ra" in bed.ip("-6 route show default dev br0")
    assert max(lost.values()) <= UNNOTICED, lost
    with router(bed, tmp_path, 900):
        heard = wait_for(lambda: addresses(bed, "br0")[advertised[0]], lambda seconds: seconds > 300, 15)
        assert heard > 300, "the bridge hears the router itself"
    assert bed.run("status").stdout.count("drifted") == 0
    undone = bed.run("undo")
    assert undone.returncode == 0, undone.stderr
    assert addresses(bed, "eth0")[advertised[0]] > 300, "what was renewed meanwhile stays renewed"
    assert bed.ip("-6 route show default proto ra dev eth0"), "a stand-in, until the router is heard again"
    with router(bed, tmp_path, 1800):
        heard = wait_for(lambda: addresses(bed, "eth0")[advertised[0]], lambda seconds: seconds > 900, 15)
        assert heard > 900, "the NIC hears the router again"
    left = [line for line in difference(before, bed.calm()) if '"metric": 1025' not in line]
    assert left == []


def test_routes_that_a_manager_writes_itself_move_too(bed: Bed) -> None:
    """NetworkManager sets noprefixroute and writes the connected route; only by that one the gateway is on the link."""
    bed.ip("addr add 172.16.0.5/24 dev eth0 noprefixroute")
    bed.ip("route add 172.16.0.0/24 dev eth0 proto kernel scope link src 172.16.0.5 metric 100")
    bed.ip("route add 0.0.0.0/0 via 172.16.0.1 dev eth0 proto dhcp src 172.16.0.5 metric 90")
    before = bed.calm()
    bed.apply()
    routes = bed.ip("route")
    assert "172.16.0.0/24 dev br0 proto kernel scope link src 172.16.0.5 metric 100" in routes
    assert "default via 172.16.0.1 dev br0 proto dhcp src 172.16.0.5 metric 90" in routes
    assert bed.run("undo").returncode == 0
    assert difference(before, bed.calm()) == []
