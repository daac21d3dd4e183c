"""D3: a NIC that somebody renames after a change is the same NIC to the way back."""

from __future__ import annotations

import time

import pytest

from tests.apply.hosts import journal_of, time_is_up
from tests.lab import pings
from tests.patience import patient
from tests.real_hosts.field import ONE_NIC, Field


@pytest.mark.parametrize("way", ["undo", "dead-man"])
def test_d03_the_uplink_gets_its_address_back_under_its_new_name(real_host: Field, way: str) -> None:
    """The bridge went with the address, nothing took it back, and undo said that the host was as before."""
    field, path = real_host, real_host.site(ONE_NIC)
    before = field.ip("route"), field.run("cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra").stdout
    assert field.bascule("apply", path, "--yes", "--confirm-within", "10m").returncode == 0
    field.batch("link set eth0 down\nlink set eth0 name wan3\nlink set wan3 up\n")
    if way == "undo":
        undone = field.bascule("undo", "--yes")
        assert undone.returncode == 0, undone.stderr
        assert "eth0 is called wan3 by now" in undone.stdout
        assert "kernel parameter" not in undone.stdout, "the preview knows them under the new name"
    else:
        time_is_up(journal_of(field.folder / "state"))
    end = time.monotonic() + patient(20)
    while "was taken back" not in field.bascule("status").stdout and way == "dead-man":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert "192.168.1.10/24" in field.ip("addr show dev wan3")
    assert "br0" not in field.ip("link show")
    after = field.ip("route"), field.run("cat", "/proc/sys/net/ipv6/conf/wan3/accept_ra").stdout
    assert (after[0].replace("wan3", "eth0"), after[1]) == before
    assert pings(field.host, "192.168.1.1")
