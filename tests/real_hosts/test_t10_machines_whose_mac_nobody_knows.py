"""T1, T10: rules that ask for MACs, and machines whose MAC the file does not say: what nobody knows is no yes."""

from __future__ import annotations

import pytest

from tests.lab import pings
from tests.real_hosts.field import BASE, MACS, Field
from tests.real_hosts.firewalls import feed

PC = "  pc: {nics: [{network: office, address: 192.168.1.50/24}]}\n"
SITE = BASE.replace("expect:\n", f"{PC}expect:\n  - {{from: pc, to: web, verdict: reach}}\n")
DROP = "table bridge own {{ chain f {{ type filter hook forward priority 10; {} drop; }}; }}\n"


@pytest.fixture
def field(real_host: Field) -> Field:
    web = real_host.guest("web", "web.0", "192.168.1.21/24", site=SITE)
    real_host.listen(web, 80)
    assert real_host.bascule("apply", real_host.site(SITE), "--yes", "--no-confirm").returncode == 0
    return real_host


def said(field: Field) -> tuple[str, str, str]:
    """What the model says of pc and web, alone and among all pairs, and what the rehearsal has seen."""
    path = field.site(SITE)
    why = field.document("why", "pc", "web", "--site", path)["result"]
    pairs = {(one["from"], one["to"]): one["result"] for one in field.document("reach", path)["pairs"]
             if one["service"] == "icmp"}  # fmt: skip
    (wish,) = (one for one in field.document("rehearse", path)["expectations"] if one["from"] == "pc")
    return why, pairs["pc", "web"], wish["observed"]


@pytest.mark.parametrize("rule", ["ether saddr", "ether daddr"])
def test_a_rule_by_a_mac_that_is_nobodys_may_be_a_machines(field: Field, rule: str) -> None:
    assert said(field) == ("yes", "yes", "reach")
    feed(field.host, DROP.format(f"{rule} {MACS['pc']}"))
    field.batch("neigh flush all\n")
    assert said(field) == ("perhaps", "perhaps", "unproven")
    assert pings(field.host, "192.168.1.50")  # now its MAC is in the host's table
    assert said(field) == ("no", "no", "no-reach")
    assert not pings(field.pc, "192.168.1.21", seconds=1)


def test_a_rule_in_bridges_says_nothing_of_who_meets_none(field: Field) -> None:
    """The host speaks to the machine by its own NIC, and by a bridge to the guest."""
    feed(field.host, DROP.format(f"ether saddr {MACS['pc']}"))
    field.batch("neigh flush all\n")
    path = field.site(SITE)
    pairs = {(one["from"], one["to"]): one["result"] for one in field.document("reach", path)["pairs"]}
    assert (pairs["kvm", "pc"], pairs["pc", "kvm"], pairs["pc", "web"]) == ("yes", "yes", "perhaps")
    inet = DROP.format(f"ether saddr {MACS['pc']}").replace("bridge own", "inet own").replace("forward", "input")
    feed(field.host, inet)
    field.batch("neigh flush all\n")
    pairs = {(one["from"], one["to"]): one["result"] for one in field.document("reach", path)["pairs"]}
    assert pairs["pc", "kvm"] == "perhaps"


def test_a_rule_by_a_guests_mac_or_a_virtual_routers_says_nothing_of_machines(field: Field) -> None:
    mac = field.guests["web"]
    own = field.ip("-o link show eth0", mac).partition("link/ether ")[2].split()[0]
    feed(field.host, DROP.format(f"ether saddr {own} ip daddr 192.168.1.99"))
    feed(field.host, "add rule bridge own f ether saddr 00:00:5e:00:01:07 drop\n")
    field.batch("neigh flush all\n")
    assert said(field) == ("yes", "yes", "reach")
