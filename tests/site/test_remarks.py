"""What check says of a file without faults that does not do what one may think."""

from __future__ import annotations

from pathlib import Path

import pytest

from bascule import workflow
from bascule.site import parse
from bascule.site.remarks import remarks

FILE = """\
site: s
networks: {lan: {subnet: 10.0.0.0/24GATEWAY}}
hosts:
  h:
    nics: {eth0: {network: lan}}
    bridges: {br0: {uplink: eth0}}
guests:
  b: {host: h, nics: [{bridge: br0, tap: b0, address: B, isolated: true}]}
  c: {host: h, nics: [{bridge: br0, tap: c0, address: 10.0.0.4/24, isolated: true, guard: strict}]}
  r: {host: h, nics: [{bridge: br0, tap: r0, address: 10.0.0.9/24, guard: strict, may: [MAY]}]}
machines: {dhcp: {nics: [{network: lan, address: 10.0.0.2/24}], dhcp: {network: lan, range: 10.0.0.100-10.0.0.120}}}
"""
STATIC, DHCP = "10.0.0.3/24", "dhcp"
UNGUARDED = (
    "is isolated from c, and can reach it by way of {} on lan: it has no guard, and the port flag does not see that"
)
UNKNOWN = "is isolated from b, and can reach it by way of {} on lan: no rule knows the address of it"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"GATEWAY": "", "MAY": "tags", "B": STATIC}, {}),  # nobody forwards it
        (
            {"GATEWAY": ", gateway: 10.0.0.1", "MAY": "tags", "B": STATIC},
            {"b0": UNGUARDED.format("the gateway 10.0.0.1")},
        ),
        ({"GATEWAY": "", "MAY": "router", "B": STATIC}, {"b0": UNGUARDED.format("r")}),
        (
            {"GATEWAY": "", "MAY": "router", "B": f"{DHCP}, guard: mac"},
            {"c0": UNKNOWN.format("r")},
        ),
        ({"GATEWAY": ", gateway: 10.0.0.1", "MAY": "router", "B": f"{STATIC}, guard: mac"}, {}),  # the guards know both
    ],
)
def test_an_isolated_guest_beside_a_router(changes: dict[str, str], told: dict[str, str]) -> None:
    """The port flag lets the frame to the router and the router's frame pass; a guard goes by addresses."""
    text = FILE
    for word, what in changes.items():
        text = text.replace(word, what)
    said = {remark.subject: remark.text for remark in remarks(parse(text.encode(), "site.yaml"))}
    assert {name: words.rpartition("; ")[0] for name, words in said.items()} == told


TWO = """\
site: s
networks: {lan: {subnet: 10.0.0.0/24}}
hosts:
  h1: {nics: {eth0: {network: lan}}, bridges: {br0: {uplink: eth0}, br1: {uplink: none}}}
  h2: {nics: {eth0: {network: lan}}, bridges: {br0: {uplink: eth0}}}
guests:
  a: {host: h1, nics: [{bridge: br0, tap: a0, address: 10.0.0.3/24, isolated: true}]}
  b: {host: WHERE, nics: [{bridge: br0, tap: b0, address: 10.0.0.4/24, isolated: trueGUARD}]}
  c: {host: h1, nics: [{bridge: br1, tap: c0, address: 10.0.0.5/24, isolated: true}]}
"""
ELSEWHERE = (
    "is isolated from {}, and reaches it over lan: the port flag keeps ports of one bridge apart, and it has no guard"
)


@pytest.mark.parametrize(
    ("where", "guard", "told"),
    [
        ("h1", "", {}),
        ("h2", "", {"a0": ELSEWHERE.format("b"), "b0": ELSEWHERE.format("a")}),
        ("h2", ", guard: mac", {}),  # its rules know the MAC of the other
    ],
)
def test_isolated_guests_of_two_hosts(where: str, guard: str, told: dict[str, str]) -> None:
    text = TWO.replace("WHERE", where).replace("GUARD", guard)
    said = {remark.subject: remark.text for remark in remarks(parse(text.encode(), "site.yaml"))}
    assert {name: words.rpartition("; ")[0] for name, words in said.items()} == told


@pytest.mark.kernel
@pytest.mark.parametrize(("guard", "verdict"), [("", "reach"), (", guard: mac", "no-reach")])
def test_what_is_said_of_two_hosts_is_what_frames_do(guard: str, verdict: str, tmp_path: Path) -> None:
    text = TWO.replace("WHERE", "h2").replace("GUARD", guard) + "expect:\n"
    text += "".join(f"  - {{from: {one}, to: {other}, verdict: {verdict}}}\n" for one, other in ("ab", "ba"))
    (tmp_path / "site.yaml").write_text(text)
    assert [one.ok for one in workflow.rehearse(str(tmp_path / "site.yaml")).outcomes] == [True, True]
