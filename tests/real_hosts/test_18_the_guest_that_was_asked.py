"""Point 18: what answers for a guest's address from another MAC is not the guest, for checks and expectations alike."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import open_lab
from tests.real_hosts.field import BASE, Field, furnished

pytestmark = pytest.mark.kernel

SITE = (
    BASE.partition("expect:")[0]
    .replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00:9::/64']")
    .replace("address: 192.168.1.10/24", "address: [192.168.1.10/24, 'fd00:9::10/64']")
    .replace(
        "machines:",
        "  db: {host: kvm, nics: [{bridge: br0, address: 192.168.1.22/24}], serves: [tcp/80]}\n"
        "  six: {host: kvm, nics: [{bridge: br0, address: 'fd00:9::23/64'}]}\nmachines:",
    )
    + """\
expect:
  - {from: kvm, to: web, service: tcp/80, verdict: reach}
  - {from: kvm, to: db, service: tcp/80, verdict: reach}
  - {from: kvm, to: six, verdict: reach}
"""
)


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        field = furnished(lab, tmp_path_factory.mktemp("asked"))
        for name, address in (("web", "192.168.1.21/24"), ("db", "192.168.1.22/24"), ("six", "fd00:9::23/64")):
            field.listen(field.guest(name, f"{name}.0", address, site=SITE), 80)
        done = field.bascule("apply", field.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        field.guests["other"] = field.station("other", "02:00:00:00:00:66")
        field.listen(field.guests["other"], 80)
        for one in field.guests.values():  # the first address of a subnet goes alone
            with one.entered():
                Path("/proc/sys/net/ipv4/conf/all/promote_secondaries").write_text("1")
        yield field


def said(field: Field) -> dict[str, tuple[bool | None, str]]:
    """What came of each expectation; the neighbours are asked anew."""
    for family in ("-4", "-6"):
        field.run("ip", family, "neigh", "flush", "all")
    found = field.document("verify", field.site(SITE))["expectations"]
    return {one["to"]: (one["ok"], one["witness"]["sentence"]) for one in found}


def hand_over(field: Field, address: str, giver: str, taker: str) -> None:
    field.ip(f"addr del {address} dev eth0", field.guests[giver])
    field.ip(f"addr add {address} dev eth0{' nodad' if ':' in address else ''}", field.guests[taker])


def test_18_all_is_well(applied: Field) -> None:
    assert {name: ok for name, (ok, _) in said(applied).items()} == {"web": True, "db": True, "six": True}


def test_18_two_guests_have_each_others_address(applied: Field) -> None:
    for giver, taker, address in (("web", "db", "192.168.1.21/24"), ("db", "web", "192.168.1.22/24")):
        hand_over(applied, address, giver, taker)
    found = said(applied)
    for giver, taker, address in (("web", "db", "192.168.1.21/24"), ("db", "web", "192.168.1.22/24")):
        hand_over(applied, address, taker, giver)
        ok, words = found[giver]
        assert ok is None
        assert words.startswith(f"unproven: {address[:-3]} is at ")
        assert f"which is {taker}'s: another machine has its address and answered" in words
    assert found["six"][0] is True


@pytest.mark.parametrize(("guest", "address"), [("six", "fd00:9::23/64"), ("web", "192.168.1.21/24")])
def test_18_a_machine_outside_has_a_guests_address(applied: Field, guest: str, address: str) -> None:
    hand_over(applied, address, guest, "other")
    try:
        ok, words = said(applied)[guest]
    finally:
        hand_over(applied, address, "other", guest)
    assert ok is None
    assert f"is at 02:00:00:00:00:66, which is not {guest}'s" in words


def test_18_a_router_answers_for_everybody(applied: Field) -> None:
    """Proxy ARP: it would hand the packets on, and says nothing of the guest."""
    router = applied.guests["other"]
    hand_over(applied, "192.168.1.21/24", "web", "other")
    with router.entered():
        Path("/proc/sys/net/ipv4/conf/eth0/proxy_arp").write_text("1")
    try:
        assert said(applied)["web"][0] is None
    finally:
        with router.entered():
            Path("/proc/sys/net/ipv4/conf/eth0/proxy_arp").write_text("0")
        hand_over(applied, "192.168.1.21/24", "other", "web")


def test_18_what_must_not_be_reached_is_not_shown_by_another_machine(applied: Field) -> None:
    closed = SITE.replace("to: web, service: tcp/80, verdict: reach", "to: web, service: tcp/80, verdict: no-reach")
    hand_over(applied, "192.168.1.21/24", "web", "other")
    try:
        found = applied.document("verify", applied.site(closed))["expectations"]
    finally:
        hand_over(applied, "192.168.1.21/24", "other", "web")
    (one,) = [x for x in found if x["to"] == "web"]
    assert (one["observed"], one["ok"]) == ("unproven", None)
