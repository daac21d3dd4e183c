"""Whole captures, mutated: whatever was heard can be judged and shown, and its draft passes the check.

Tests draw a few of these; ``python -m tests.survey.mutations NUMBER [SEED]``, for ``make soak``, draws many.
"""

from __future__ import annotations

import random
import sys

from bascule.cli.show.survey import show_survey, survey_as_json
from bascule.survey.draft import draft
from bascule.survey.evidence import Collector, NicTraffic
from bascule.survey.verdicts import judge
from tests.survey import fuzz
from tests.survey.frames import arp
from tests.survey.hearing import many, site
from tests.survey.samples import SAMPLES

TAGS = ((), (), (), (30,), (40,), (30, 7), (30, 8), (4095,))
SPEAKERS = (*many("192.168.1", 4, "192.168.1.0"), *many("10.0.4", 4, "10.0.7.255"), arp("10.0.0.1", "10.0.0.2"))


def capture(nic: str, chance: random.Random) -> NicTraffic:
    """What a NIC heard of up to thirty frames, most of them damaged."""
    collector = Collector(nic)
    for _ in range(chance.randrange(30)):
        sound = chance.choice(SPEAKERS) if chance.random() < 0.3 else chance.choice(SAMPLES).frame
        collector.add(sound if chance.random() < 0.3 else fuzz.damaged(sound, chance), chance.choice(TAGS))
    return collector.finish(seconds=30, carrier=True)


def see(seed: int) -> None:
    """One draw: judged with and without a site file, shown, and its draft read again."""
    chance = random.Random(seed)
    ears = {nic: capture(nic, chance) for nic in ("eth2", "eth3", "eth4")[: chance.randint(1, 3)]}
    found = judge(ears)
    read, host = site(draft(found, "h"))
    assert set(host.nics) == set(ears)
    assert len(read.networks) == len(survey_as_json(found, host="h")["proposals"])
    for survey in (found, judge(ears, *site())):
        assert show_survey(survey, columns=80, host="h").replace("\n", "").isprintable()


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"{wanted} mutated captures, seeds from {first}", flush=True)
    for number in range(wanted):
        try:
            see(first + number)
        except BaseException:
            print(f"seed {first + number}", flush=True)
            raise
    print("every one was judged and shown, and every draft passes the check")
