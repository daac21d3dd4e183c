"""Not only the verdict: the rules themselves, one after the other, are those that the kernel's own trace names."""

from __future__ import annotations

import shutil

import pytest

from bascule.topology.trace.walk import Walks
from tests.lab import Lab
from tests.oracle.compare import ENDS, look, predict, words
from tests.oracle.lab import opened
from tests.oracle.random_host import Generator
from tests.oracle.run import Tally, calls_of, furnish
from tests.oracle.traces import asked_with_traces, told, watch

HOSTS = 16


@pytest.mark.kernel
def test_the_rules_that_a_packet_meets_are_those_of_the_kernels_trace(lab: Lab) -> None:
    if shutil.which("stdbuf") is None:
        pytest.skip("stdbuf is not here: the monitor's output would come too late")
    same = shorter = untraced = 0
    with opened(lab) as room:
        for seed in range(HOSTS):
            host = Generator(700_000 + seed).host()
            if host.searches or host.fdb:  # other frames would mix with those of the probes
                continue
            furnish(room, host, Tally())
            watch(room)
            walks = Walks(look(room, calls_of(host), host), ENDS)
            ports = room.next_port
            probes = [probe for probe in host.probes if probe.kind == "udp" and probe.vlan is None]
            seen, met = asked_with_traces(room, probes)
            for number, probe in enumerate(probes):
                port = 20000 + (ports + number + 1 - 20000) % 40001
                answer = predict(walks, probe, port)
                expected, kernel = told(answer), met.get(port, [])
                if expected is None or seen[number].error:
                    continue
                assert kernel == expected[: len(kernel)], f"{probe}\nkernel {kernel}\nmodel {expected}\n{words(answer)}"
                same += len(kernel) == len(expected)
                shorter += 0 < len(kernel) < len(expected)
                untraced += bool(expected) and not kernel
    assert same > 300
    assert shorter < same / 20  # the monitor loses its last lines when it is stopped
    assert untraced < same / 2  # and its first, on a busy machine
