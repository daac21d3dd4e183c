"""The second look before a change or an undo is spared where the kernel told of nothing: it must tell of everything."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule import workflow
from bascule.apply.prepare import PreparedPlan, again, prepare
from bascule.apply.rollback.parts import CheckpointObserver
from bascule.apply.rollback.preview import preview
from bascule.apply.state_directory import here
from bascule.providers.observe import observe
from bascule.system import run as programs
from bascule.system.net.netlink import NetlinkMonitor
from tests.apply.hosts import Bed, environment

MOVES = {
    "a link is new": "ip link add ve7 type veth peer name ve8",
    "a link goes down": "ip link set vnet1 down",
    "an MTU": "ip link set vnet1 mtu 1400",
    "an alias": "ip link set vnet1 alias somebody",
    "a port leaves": "ip link set vnet2 nomaster",
    "a port's flag": "bridge link set dev vnet2 isolated on",
    "a bridge's option": "ip link set old0 type bridge ageing_time 1000",
    "a bridge's option by its file": (
        "unshare --mount sh -c 'mount -t sysfs sysfs /sys && echo 2000 > /sys/class/net/old0/bridge/ageing_time'"
    ),
    "how IPv6 addresses are made": "ip link set vnet1 addrgenmode none",
    "an address": "ip address add 10.9.9.9/32 dev lo",
    "an IPv6 address": "ip address add fd77::7/128 dev lo nodad",
    "a route": "ip route add 10.77.0.0/16 via 10.0.0.1",
    "a route in a table of its own": "ip route add blackhole 10.78.0.0/16 table 77",
    "an IPv6 route": "ip -6 route add blackhole fd78::/64",
    "a rule": "ip rule add from 10.79.0.0/16 lookup main priority 79",
    "an IPv6 rule": "ip -6 rule add from fd79::/64 lookup main priority 79",
    "a parameter": "sysctl -q -w net/ipv4/conf/all/forwarding=1 net/ipv6/conf/all/forwarding=1",
    "a parameter that nobody is told of": "sysctl -q -w net/ipv6/conf/eth4/accept_ra=2",
    "a table of Bascule's": "nft add table inet bascule_other",
}


def _prepared(bed: Bed, monitor: NetlinkMonitor) -> PreparedPlan:
    site = workflow.load(str(bed.site))
    return prepare(site, site.hosts["h"], monitor=monitor)


@pytest.mark.parametrize("move", MOVES)
def test_what_moves_is_seen(bed: Bed, move: str) -> None:
    with bed.host.entered(), environment(bed.env), NetlinkMonitor() as monitor:
        prepared = _prepared(bed, monitor)
        programs.run(("sh", "-c", MOVES[move]))
        fresh = again(prepared, here())
        seen = observe(sysctls=prepared.observed.sysctls)
        assert seen != prepared.observed, "this moves nothing"
        assert replace(fresh.observed, parts={}) == seen


def test_where_nothing_moved_no_program_runs(addition: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    with addition.host.entered(), environment(addition.env):
        with NetlinkMonitor() as settling:
            while settling.wait(1.5):  # the kernel tells of a new link's carrier once in a second
                pass
        with NetlinkMonitor() as monitor:
            _nothing_moved(_prepared(addition, monitor), monkeypatch)


def _nothing_moved(prepared: PreparedPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "find_tool", lambda name: pytest.fail(f"{name} was run"))
    assert again(prepared, here()) is prepared
    with pytest.raises(pytest.fail.Exception):  # as it would without the monitor
        again(replace(prepared, monitor=None), here())


def _changed(bed: Bed) -> Bed:
    """With a change that can be taken back, on a host without leases, which age."""
    bed.batch("addr flush dev eth0\naddr add 10.0.0.5/24 dev eth0\n")
    bed.apply("--no-confirm")
    return bed


def _foreseen(monitor: NetlinkMonitor | None) -> CheckpointObserver:
    seen = preview(here(), monitor)
    assert seen is not None
    assert seen.observer is not None
    return seen.observer


@pytest.mark.parametrize("move", MOVES)
def test_what_moves_before_an_undo_is_seen(addition: Bed, move: str) -> None:
    bed = _changed(addition)
    with bed.host.entered(), environment(bed.env), NetlinkMonitor() as monitor:
        look = _foreseen(monitor)
        before = look()
        programs.run(("sh", "-c", MOVES[move]))
        assert look() != before


def test_an_undo_looks_once_where_nothing_moved(addition: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    bed = _changed(addition)
    with bed.host.entered(), environment(bed.env):
        with NetlinkMonitor() as settling:
            while settling.wait(1.5):
                pass
        with NetlinkMonitor() as monitor:
            looks = [_foreseen(monitor), _foreseen(None)]
            monkeypatch.setattr(programs, "find_tool", lambda name: pytest.fail(f"{name} was run"))
            looks[0]()
            with pytest.raises(pytest.fail.Exception):  # as it would without the monitor
                looks[1]()


def test_an_undo_looks_again_where_a_lease_ages(addition: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    addition.apply("--no-confirm")
    with addition.host.entered(), environment(addition.env), NetlinkMonitor() as monitor:
        look = _foreseen(monitor)
        monkeypatch.setattr(programs, "find_tool", lambda name: pytest.fail(f"{name} was run"))
        with pytest.raises(pytest.fail.Exception):
            look()
