"""A way back says of what others did meanwhile that it stays, or that it goes with what is removed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge, Physical
from bascule.model.ruleset.rules import Chain, ForeignTable, Rule, Table, VerdictStatement
from bascule.model.state import FixedNeighbour, HostState, Link, LinkFacts
from bascule.model.values import NO_MAC, IfName, Mac
from bascule.plan.diff import diff
from bascule.plan.merge import way_back
from bascule.providers.protocol import ThreeWay

NIC = Link(name=IfName("eth0"), options=Physical(), up=True)
OURS = Link(name=IfName("br0"), options=Bridge(), up=True, alias="bascule:t")
PROXY = FixedNeighbour(ip="192.0.2.9", dev="eth0", proxy=True)
TABLE = Table(family="inet", name="bascule_lab", mark="bascule:t", chains=(Chain(name="forward"),))
BEFORE = HostState.of([NIC], neighbours=(PROXY,), tables={"ip nat": ForeignTable(family="ip", name="nat", content="")})
MADE = HostState.of([NIC, OURS], neighbours=(PROXY,), tables={**BEFORE.tables, TABLE.key: TABLE})


def queued(state: HostState, **facts: object) -> HostState:
    return replace(state, links={**state.links, NIC.name: replace(NIC, facts=LinkFacts(**facts))})  # type: ignore[arg-type]


DROP = Rule(statements=(VerdictStatement(name="drop"),))
NEIGHBOUR = FixedNeighbour(ip="192.0.2.7", dev="eth0", mac="02:00:00:00:00:07")
CASES = {
    "a queue": (queued(MADE, queue="tbf"), "eth0: its queue is now tbf"),
    "XDP": (queued(MADE, xdp=("guard",)), "eth0: guard sees its frames first now (XDP)"),
    "a neighbour": (
        replace(MADE, neighbours=(PROXY, NEIGHBOUR)),
        "the neighbour 192.0.2.7 on eth0 is new",
    ),
    "a neighbour on what goes": (
        replace(MADE, neighbours=(PROXY, replace(NEIGHBOUR, dev="br0"))),
        "the neighbour 192.0.2.7 on br0 is new, and is removed with br0",
    ),
    "a neighbour less": (replace(MADE, neighbours=()), "the neighbour 192.0.2.9 on eth0 is gone"),
    "a rule in a table of ours": (
        replace(
            MADE, tables={**MADE.tables, TABLE.key: replace(TABLE, chains=(Chain(name="forward", rules=(DROP,)),))}
        ),
        "nft inet bascule_lab: others changed it, and it is removed all the same: + forward: drop",
    ),
    "its name taken": (
        replace(MADE, tables={**MADE.tables, TABLE.key: ForeignTable(family="inet", name="bascule_lab", content="")}),
        "nft inet bascule_lab is somebody else's now",
    ),
    "a table": (
        replace(MADE, tables={**MADE.tables, "ip docker": ForeignTable(family="ip", name="docker", content="")}),
        "nft ip docker is new",
    ),
    "a table less": (replace(MADE, tables={TABLE.key: TABLE}), "nft ip nat is gone"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_is_said(case: str) -> None:
    now, words = CASES[case]
    change = ThreeWay(before=BEFORE, wanted=MADE, now=now, applied=MADE)
    assert way_back(change).kept == (words,)
    assert way_back(replace(change, now=MADE)).kept == ()


def test_a_queue_of_ours_is_nobodys() -> None:
    """What the change had set up, or what nobody saw at its end."""
    now = queued(MADE, queue="tbf")
    for applied in (now, None):
        assert way_back(ThreeWay(before=BEFORE, wanted=MADE, now=now, applied=applied)).kept == ()


def test_a_mac_that_a_bridge_had_not() -> None:
    """The kernel takes none of zeros: what the change has given stays, and no command asks for the other."""
    bare = replace(OURS, alias="", mac=NO_MAC)
    given = replace(bare, mac=Mac("02:00:00:00:00:01"))
    before, after = (HostState.of([NIC, one]) for one in (bare, given))
    merged = way_back(ThreeWay(before=before, wanted=after, now=after, applied=after))
    assert merged.kept == ("br0 keeps the MAC 02:00:00:00:00:01: before, it had none and took that of its ports",)
    assert diff(after, merged.part).changes == ()
    made = [str(command) for change in diff(HostState(), before).changes for command in change.commands]
    assert made[0] == "ip link add name br0 type bridge"
    assert not [words for words in made if NO_MAC in words]
