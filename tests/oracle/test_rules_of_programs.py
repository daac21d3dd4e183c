"""Rules as programs write them, and words of nft that few use: what the kernel does, and what the model says.

Each question has what was measured (Linux 6.18): lost, arrives, or answered. With ``?`` the model leaves it open: it
depends on chance (which may fall out in any way), a clock, or what no packet of a question tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.walk import Walks
from tests.lab import open_lab
from tests.oracle import rules_of_programs, words_of_nft
from tests.oracle.asking import Probe, Seen, ask
from tests.oracle.compare import ENDS, differences, look, predict, words
from tests.oracle.lab import HOST4, Room, load, opened, write_all
from tests.oracle.sweeping import unequal
from tests.oracle.test_traps import NORMAL

QUIET_S = 0.1
SWEPT = 6

CASES = {**rules_of_programs.CASES, **words_of_nft.CASES}


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_lab() as lab, opened(lab) as built:
        write_all(built, NORMAL)
        yield built


def read(question: str) -> tuple[Probe, str]:
    """``a>d udp/80 IPv6 as 10.9.2.99: lost`` as a probe and what came of it."""
    asked, _, truth = question.partition(": ")
    way, service, *rest = asked.split()
    source, _, target = way.partition(">")
    kind, _, port = service.partition("/")
    address = "" if target.isalpha() else target
    return (
        Probe(
            source,
            ("host" if address in HOST4 else "d") if address else target,
            int(port),
            version=6 if "IPv6" in rest else 4,
            spoofed=rest[rest.index("as") + 1] if "as" in rest else "",
            size=int(rest[rest.index("of") + 1]) if "of" in rest else 32,
            address=address,
            kind=kind,
        ),
        truth,
    )


def came(seen: Seen) -> str:
    return "answered" if seen.replied else "arrives" if seen.receiver else "lost"


@pytest.mark.kernel
@pytest.mark.parametrize("name", CASES)
def test_the_model_says_what_the_kernel_does(room: Room, name: str) -> None:
    rules, questions = CASES[name]
    told = [read(question) for question in questions.split(", ")]
    assert load(room, rules) == ""
    try:
        seen = ask(room, [probe for probe, _ in told], QUIET_S)
        walks = Walks(look(room, {}), ENDS)
    finally:
        load(room, "flush ruleset\n")
    for (probe, truth), one in zip(told, seen, strict=True):
        answer = predict(walks, probe)
        assert came(one) == truth.rstrip("?") or truth == "chance?", probe
        assert differences(probe, one, answer) == [], words(answer)
        assert (answer.result in {Certainty.PERHAPS, Certainty.UNKNOWN}) is truth.endswith("?"), words(answer)
    assert [str(one) for one in unequal(walks.network, ENDS, Random(name), SWEPT)] == []
