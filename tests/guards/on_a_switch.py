"""What guards stop on Open vSwitch, counted: ``python -m tests.guards.on_a_switch`` (as root).

It sends every frame of the attack data by a guarded port of a real ovs-vswitchd, and says of each kind that gets
through why; then the attacks that are known of the field, one by one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bascule.frames.guarding.attacks import ATTACKS
from bascule.frames.guarding.legitimate import LEGITIMATE
from bascule.frames.guarding.sample import Sample
from bascule.providers.ovs.unseen_frames import UNSEEN
from tests.guards.segment import PARTIES, site
from tests.guards.single_attacks import SINGLE_ATTACKS
from tests.guards.switch import Switch, switch


def through(one: Switch, samples: Sequence[Sample]) -> dict[Sample, tuple[int, int]]:
    """Of each kind how many frames there are, and how many of them left by another port."""
    found = {}
    for sample in samples:
        sent = one.send(sample.frames(PARTIES))
        found[sample] = len(sent), sum(bool(ports) for _, ports in sent)
    return found


def counted(rows: Mapping[Sample, tuple[int, int]], *, passed: bool) -> str:
    """Kinds and frames of which all were stopped, or passed."""
    right = [number == left if passed else not left for number, left in rows.values()]
    frames = sum(left if passed else number - left for number, left in rows.values())
    return f"{sum(right)} of {len(rows)} kinds, {frames} of {sum(number for number, _ in rows.values())} frames"


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as folder, switch(Path(folder)) as one:
        one.guard(site("strict"))
        one.greet()
        single = [each for each in SINGLE_ATTACKS if any(ports for _, ports in one.send(each.frames(PARTIES)))]
        hostile, legitimate = through(one, ATTACKS), through(one, LEGITIMATE)
    print(f"hostile, stopped: {counted(hostile, passed=False)}")
    print(f"legitimate, passed: {counted(legitimate, passed=True)}")
    print(
        f"attacks known of the field, one by one, stopped: {len(SINGLE_ATTACKS) - len(single)} of {len(SINGLE_ATTACKS)}"
    )
    for attack in single:
        print(f"  passes: {attack.name}: {UNSEEN.get(attack.kind, 'NOT KNOWN')}")
    print("kinds with a form that passes:")
    for sample, (number, left) in hostile.items():
        if left:
            print(f"  {sample.name}, {left} of {number} frames: {UNSEEN.get(sample.name, 'NOT KNOWN')}")


if __name__ == "__main__":
    main()
