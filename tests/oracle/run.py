"""One random host: load it, ask with real frames, ask the model, compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from bascule.topology.trace.rules import lines
from bascule.topology.trace.walk import Walks
from tests.oracle.asking import QUIET_S, Probe, ask
from tests.oracle.compare import DECIDED, ENDS, SEARCHING, Difference, arrival, differences, look, predict
from tests.oracle.lab import Room, batch, load, restore, search_neighbours, write_all
from tests.oracle.random_host import Generator, RandomHost
from tests.oracle.random_switches import EMPTY
from tests.oracle.route_get import unlike_the_kernels_routes
from tests.oracle.sweeping import questions, unequal

PATIENT_S = 0.3
SEARCH_S = 0.06
SWEPT = 4  # answers of the sweep that are compared for each host


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
    batch(room, room.undo, force=True)
    batch(room, room.undo_fdb, "bridge", force=True)
    for tool in room.saved:
        restore(room, tool, EMPTY)
    write_all(room, host.sysctls)
    batch(room, host.links)
    batch(room, host.routes, force=True)
    batch(room, host.fdb, "bridge")
    room.routed = room.routed or bool(host.undo)
    room.undo, room.saved = host.undo, [tool for tool in host.saves if tool.endswith("legacy")]
    room.undo_fdb = [line.replace("replace", "del").removesuffix(" static") for line in host.fdb if "replace" in line]
    taken = {}
    for number, table in enumerate(host.tables):
        tally.tables += 1
        if load(room, table):
            tally.refused += 1
        else:
            taken[number] = table
    for number in host.again:
        if number in taken:
            family, name = taken[number].split()[1:3]
            load(room, f"delete table {family} {name}\n")
            load(room, taken[number])
    for tool, text in host.saves.items():
        tally.tables += 1
        tally.refused += not restore(room, tool, text)
    search_neighbours(room, wanted=host.searches)
    return "".join(taken.values())


def calls_of(host: RandomHost) -> dict[str, frozenset[str]]:
    found = {}
    for line in host.links:
        words = line.split()
        if "nf_call_iptables" in words:
            on = [name for name in ("iptables", "ip6tables") if words[words.index(f"nf_call_{name}") + 1] == "1"]
            found[words[2]] = frozenset(on)
    return found


def one_host(room: Room, seed: int, tally: Tally, *, every_pair: bool = False) -> list[Difference | str]:
    """Everything that a seed's host was asked for."""
    found = differences_of(room, Generator(seed).host(), tally, seed, every_pair=every_pair)
    tally.hosts += 1
    if found:
        tally.wrong.append(seed)
    return found


def differences_of(
    room: Room, host: RandomHost, tally: Tally, seed: int = 0, *, every_pair: bool = False, patient: bool = False
) -> list[Difference | str]:
    """Where model and kernel differ; what does is asked again, for a busy machine is late at times.

    A few answers of the sweep are compared with walks, or those for all pairs and services.
    """
    lines.LONG = seed % 2 * 50  # of every second host each chain has an index, however short it is
    furnish(room, host, tally)
    network = look(room, calls_of(host), host)
    ends = SEARCHING if host.searches else ENDS
    found: list[Difference | str] = [*_asked(room, host, Walks(network, ends), tally, patient=patient)]
    if found and not patient:
        found = [*_asked(room, host, Walks(network, ends), Tally(), patient=True)]
    number = 0 if every_pair else SWEPT
    tally.swept += number or len(questions(network, ends))
    found += unequal(network, ends, Random(seed), number)
    found += unlike_the_kernels_routes(room, network, Random(seed)) if host.routes else []
    return found


def _asked(room: Room, host: RandomHost, walks: Walks, tally: Tally, *, patient: bool) -> Iterator[Difference]:
    if not host.searches:
        yield from _compare(room, host.probes, walks, tally, PATIENT_S if patient else QUIET_S)
        return
    for probe in host.probes:  # each finds nobody's MAC known
        search_neighbours(room, wanted=True)
        yield from _compare(room, [probe], walks, tally, PATIENT_S if patient else SEARCH_S)


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
        tally.open += arrival(answer) not in DECIDED
        found += [Difference(probe, one, answer, what) for what in differences(probe, one, answer)]
    return found
