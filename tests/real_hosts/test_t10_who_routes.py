"""T10: a machine between networks of which nobody has said whether it routes proves nothing; said, it is played."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real_hosts.field import Field

PAIRS = {  # what stands behind `nics` of each router, which has a network on either side
    "unsaid": "",
    "open": "forwards: all",
    "shut": "forwards: none",
    "list": "forwards: [{from: list-a, to: list-b, service: tcp/443}]",
    "named": "forwards: [{from: named-pc, to: [named-web], service: icmp}, {from: list-a, to: all}]",
    "masked": "masquerade: {from: masked-a, to: masked-b}",
    "both": "masquerade: {from: both-a, to: both-b}, forwards: [{from: both-b, to: both-a}]",
}
EXPECTED = {  # by the pair: icmp there, tcp/443 there, icmp back
    "unsaid": ("unproven", "unproven", "unproven"),
    "open": ("reach", "reach", "reach"),
    "shut": ("no-reach", "no-reach", "no-reach"),
    "list": ("no-reach", "reach", "no-reach"),
    "named": ("reach", "no-reach", "no-reach"),
    "masked": ("reach", "reach", "no-reach"),
    "both": ("reach", "reach", "reach"),
}


def site(verdict: str) -> str:
    """Every pair at once: a pc and a web server on either side of a router."""
    lines = {"networks": "", "machines": "", "expect": ""}
    for number, (name, says) in enumerate(PAIRS.items()):
        for side in "ab":
            net = f"10.{number}.{'ab'.index(side)}"
            lines["networks"] += f"  {name}-{side}: {{subnet: {net}.0/24, gateway: {net}.1}}\n"
        one, other = (f"10.{number}.{side}" for side in (0, 1))
        nics = f"nics: [{{network: {name}-a, address: {one}.1/24}}, {{network: {name}-b, address: {other}.1/24}}]"
        lines["machines"] += f"  {name}: {{{nics}{', ' * bool(says)}{says}}}\n"
        lines["machines"] += f"  {name}-pc: {{nics: [{{network: {name}-a, address: {one}.50/24}}]}}\n"
        lines["machines"] += (
            f"  {name}-web: {{nics: [{{network: {name}-b, address: {other}.80/24}}], serves: [tcp/443]}}\n"
        )
        for ends in (f"from: {name}-pc, to: {name}-web", f"from: {name}-web, to: {name}-pc"):
            lines["expect"] += f"  - {{{ends}, verdict: {verdict}}}\n"
        lines["expect"] += f"  - {{from: {name}-pc, to: {name}-web, service: tcp/443, verdict: {verdict}}}\n"
    return "site: routers\n" + "".join(f"{section}:\n{text}" for section, text in lines.items())


def seen(document: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """What was observed, by the pair, in the order of EXPECTED."""
    found = {(x["from"], x["to"], x["service"]): x["observed"] for x in document["expectations"]}
    there = {name: (f"{name}-pc", f"{name}-web") for name in PAIRS}
    return {
        name: (found[one, two, "icmp"], found[one, two, "tcp/443"], found[two, one, "icmp"])
        for name, (one, two) in there.items()
    }


def test_t10_what_is_said_is_played_and_what_is_not_said_proves_nothing(shared_host: Field) -> None:
    said = shared_host.document("rehearse", shared_host.site(site("no-reach")))
    assert seen(said) == EXPECTED
    open_ones = [x for x in said["expectations"] if x["observed"] == "unproven"]
    assert all(x["ok"] is None and "whether unsaid routes between" in x["witness"]["sentence"] for x in open_ones)
    broken = {x["from"]: x["witness"]["sentence"] for x in said["expectations"] if x["ok"] is False}
    assert "list forwards list-a → list-b tcp/443" in broken["list-pc"]


UNSAID = """\
site: s
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  dmz: {subnet: 10.0.0.0/24}
  lab: {subnet: 10.1.0.0/24}
hosts:
  kvm:
    nics: {eth0: {network: office}, eth1: {network: dmz}}
    bridges: {br0: {uplink: eth0}, br1: {uplink: eth1}}
guests:
  web: {host: kvm, memory: 1GiB, nics: [{bridge: br0, address: 192.168.1.21/24}], serves: [tcp/22]}
  db: {host: kvm, memory: 1GiB, nics: [{bridge: br1, address: 10.0.0.21/24}], serves: [tcp/22]}
  mute: {host: kvm, memory: 1GiB, nics: [{bridge: br1}]}
machines:
  fw: {nics: [{network: office, address: 192.168.1.1/24}, {network: dmz, address: 10.0.0.1/24}]}
  nas: {nics: [{network: lab, address: 10.1.0.9/24}]}
expect:
  - {from: office, to: dmz, service: tcp/22, verdict: no-reach}
  - {from: web, to: fw, verdict: reach}
  - {from: guests, to: nas, verdict: no-reach}
"""


def test_t10_groups_stand_for_their_members_and_strict_wants_a_proof(shared_host: Field) -> None:
    path = shared_host.site(UNSAID)
    said = shared_host.document("rehearse", path)
    found = {(x["from"], x["to"], x["service"]): x["observed"] for x in said["expectations"]}
    assert found == {
        ("web", "db", "tcp/22"): "unproven",  # fw and mute serve no tcp/22
        ("fw", "db", "tcp/22"): "reach",
        ("web", "fw", "icmp"): "reach",
        ("web", "nas", "icmp"): "not asked",
        ("db", "nas", "icmp"): "not asked",  # nobody there shows that nas lives
        ("mute", "nas", "icmp"): "unproven",  # without an address it asks nobody
    }
    mended = "\n".join(line for line in UNSAID.splitlines() if "mute" not in line and "nas, verdict" not in line)
    mended = mended.replace("from: office, to: dmz", "from: web, to: dmz")
    path = shared_host.site(mended)
    assert shared_host.bascule("rehearse", path, "--no-picture").returncode == 0
    assert shared_host.bascule("rehearse", path, "--no-picture", "--strict").returncode == 1


@pytest.mark.parametrize(
    ("says", "words"),
    [("", "routing: unknown"), (", forwards: none", "forwards nothing"), (", forwards: all", "forwards all")],
)
def test_t10_the_picture_says_what_is_known(shared_host: Field, says: str, words: str) -> None:
    text = UNSAID.replace("10.0.0.1/24}]", f"10.0.0.1/24}}]{says}")
    assert words in shared_host.bascule("draw", shared_host.site(text)).stdout


HOST = """\
site: gw
networks:
  red: {subnet: [10.1.0.0/24, 'fd00:1::/64'], gateway: [10.1.0.1, 'fd00:1::1']}
  blue: {subnet: [10.2.0.0/24, 'fd00:2::/64'], gateway: [10.2.0.1, 'fd00:2::1']}
  six: {subnet: 'fd00:6::/64', gateway: 'fd00:6::1'}
hosts:
  far:
    nics:
      eth0: {network: red, address: [10.1.0.1/24, 'fd00:1::1/64']}
      eth1: {network: blue, address: [10.2.0.1/24, 'fd00:2::1/64']}
machines:
  r: {nics: [{network: six, address: 'fd00:6::1/64'}, {network: red, address: 'fd00:1::66/64'}], forwards: all}
  pc:
    nics:
      - network: red
        address: [10.1.0.50/24, 'fd00:1::50/64']
        routes: [{to: 'fd00:6::/64', via: 'fd00:1::66'}]
  db: {nics: [{network: blue, address: [10.2.0.50/24, 'fd00:2::50/64']}]}
  p6: {nics: [{network: six, address: 'fd00:6::5/64'}]}
expect:
  - {from: pc, to: db, verdict: no-reach}
  - {from: p6, to: pc, verdict: reach}
"""


def test_t10_a_host_that_nobody_has_looked_at_may_route_as_well(shared_host: Field) -> None:
    """It is the gateway of both; and a router finds by IPv6 whom it hands packets to."""
    path = shared_host.site(HOST.replace("eth0:", "eno1:").replace("eth1:", "eno2:"))
    said = shared_host.document("rehearse", path)
    one, other = said["expectations"]
    assert (one["observed"], one["ok"]) == ("unproven", None)
    assert "does not say whether far routes between blue and red (net.ipv4.ip_forward" in one["witness"]["sentence"]
    assert other["ok"] is True, other
    drawn = shared_host.bascule("draw", path, "--highlight", "pc:db").stdout
    assert "the file does not say whether far forwards" in " ".join(drawn.split())


@pytest.mark.parametrize(("ipv4", "ipv6"), [("1", "0"), ("0", "1")])
def test_t10_a_rehearsal_on_the_host_plays_what_it_does(shared_host: Field, ipv4: str, ipv6: str) -> None:
    """Of each IP version by itself."""
    text = HOST.replace("  far:", "  kvm:").partition("expect:")[0].replace("address: [10.2.0.50/24, ", "address: [")
    text += "  d4: {nics: [{network: blue, address: 10.2.0.60/24}]}\nexpect:\n"
    text += "".join(f"  - {{from: pc, to: {to}, verdict: no-reach}}\n" for to in ("d4", "db"))
    keys = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding")
    shared_host.run("sysctl", "-qw", *(f"{key}={value}" for key, value in zip(keys, (ipv4, ipv6), strict=True)))
    try:
        said = shared_host.document("rehearse", shared_host.site(text))
    finally:
        shared_host.run("sysctl", "-qw", *(f"{key}=0" for key in keys))
    assert [x["observed"] for x in said["expectations"]] == [
        {"1": "reach", "0": "no-reach"}[value] for value in (ipv4, ipv6)
    ]
