"""One random host: load it, ask with real frames, ask the model, compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from bascule.topology.trace.walk import Walks
from tests.oracle.compare import ENDS, Difference, differences, look, predict
from tests.oracle.lab import QUIET_S, Probe, Room, ask, batch, load, write_all
from tests.oracle.random_host import Generator, RandomHost
from tests.oracle.sweeping import questions, unequal

PATIENT_S = 0.3
SWEPT = 10  # answers of the sweep that are compared for each host


@dataclass
class Tally:
    """What was compared."""

    hosts: int = 0
    tables: int = 0
    refused: int = 0
    probes: int = 0
    arrived: int = 0
    replied: int = 0
    open: int = 0  # the model said perhaps or unknown
    swept: int = 0  # answers of the sweep that were compared with a walk's
    wrong: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.hosts} hosts, {self.probes} probes ({self.arrived} arrived, {self.replied} were answered), "
            f"{self.open} left open by the model, {self.swept} answers of the sweep compared with walks, "
            f"{self.refused} of {self.tables} tables refused by nft, "
            f"{len(self.wrong)} hosts with disagreements {self.wrong[:10]}"
        )


def furnish(room: Room, host: RandomHost, tally: Tally) -> str:
    """Load a random host; the rules that were taken."""
    load(room, "flush ruleset\n")
    write_all(room, host.sysctls)
    batch(room, host.links)
    taken = []
    for table in host.tables:
        tally.tables += 1
        if load(room, table):
            tally.refused += 1
        else:
            taken.append(table)
    return "".join(taken)


def calls_of(host: RandomHost) -> dict[str, frozenset[str]]:
    found = {}
    for line in host.links:
        words = line.split()
        if "nf_call_iptables" in words:
            on = [name for name in ("iptables", "ip6tables") if words[words.index(f"nf_call_{name}") + 1] == "1"]
            found[words[2]] = frozenset(on)
    return found


def one_host(room: Room, seed: int, tally: Tally, *, every_pair: bool = False) -> list[Difference | str]:
    """Everything that a seed's host was asked for; what differs is asked again, for a busy machine is late at times.

    A few answers of the sweep are compared with walks, or those for all pairs and services.
    """
    host = Generator(seed).host()
    furnish(room, host, tally)
    network = look(room, calls_of(host))
    walks = Walks(network, ENDS)
    found: list[Difference | str] = [*_compare(room, host.probes, walks, tally, QUIET_S)]
    if found:
        found = [*_compare(room, host.probes, walks, Tally(), PATIENT_S)]
    number = 0 if every_pair else SWEPT
    tally.swept += number or len(questions(network, ENDS))
    found += unequal(network, ENDS, Random(seed), number)
    tally.hosts += 1
    if found:
        tally.wrong.append(seed)
    return found


def _compare(room: Room, probes: Sequence[Probe], walks: Walks, tally: Tally, quiet_s: float) -> list[Difference]:
    ports = room.next_port
    seen = ask(room, probes, quiet_s)
    found = []
    for number, (probe, one) in enumerate(zip(probes, seen, strict=True)):
        sender_port = 20000 + (ports + number + 1 - 20000) % 40001
        answer = predict(walks, probe, sender_port)
        tally.probes += 1
        tally.arrived += bool(one.receiver)
        tally.replied += one.replied
        tally.open += answer.legs[0].delivered not in {"yes", "no"}
        found += [Difference(probe, one, answer, what) for what in differences(probe, one, answer)]
    return found
