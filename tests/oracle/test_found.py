"""What random hosts have found: each disagreement, made small, with what the kernel did."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from tests.lab import open_lab
from tests.oracle.lab import SEGMENTS, Room, opened, write_all
from tests.oracle.random_host import RandomHost
from tests.oracle.run import Tally, differences_of
from tests.oracle.shrink import CASES


class Found(msgspec.Struct):
    """A case of the folder ``found``: ``arrives`` and ``replied`` are the kernel's truth."""

    host: RandomHost
    arrives: bool
    replied: bool


LEFT_OPEN = {
    "a-frame-for-a-mac-out-of-sight-goes-nobody-knows-where",
    "a-route-that-refuses-what-nat-made-of-it",  # UDP of the host: whether its program connects the socket is not known
    "another-ports-copy-is-too-big",
    "an-empty-nat-chain-joins-no-fragments",  # what is given where a later fragment would have ports is not known
    "ipv6-is-put-together-after-input",
    "later-fragments-have-whatever-stands-there",
    "the-host-routes-before-it-has-a-source",  # as above
    "two-unequal-fields-are-loaded-as-one",
}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        yield built


@pytest.mark.kernel
@pytest.mark.parametrize("name", sorted(path.stem for path in CASES.glob("*.json")))
def test_the_model_says_what_the_kernel_did(room: Room, name: str) -> None:
    case = msgspec.json.decode((CASES / f"{name}.json").read_bytes(), type=Found)
    write_all(room, {f"net/ipv4/conf/{link}/forwarding": "1" for link, _ in SEGMENTS})  # whatever the case before left
    tally = Tally()
    assert [str(one) for one in differences_of(room, case.host, tally, patient=True)] == []
    if case.host.probes[0].kind == "udp":
        assert bool(tally.arrived) is case.arrives
    assert tally.open == 0 or name in LEFT_OPEN  # it is a truth that the model knows
