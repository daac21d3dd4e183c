"""Nothing but SiteFault ever leaves site/."""

from __future__ import annotations

import random
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bascule.errors import SiteFault
from bascule.model.site import Site
from bascule.site import parse

HERE = Path(__file__).parent
SEEDS = [
    (HERE / "full.yaml").read_bytes(),
    (HERE.parent.parent / "examples" / "production.yaml").read_bytes(),
    *(path.read_bytes() for path in sorted((HERE.parent / "errors").glob("*.yaml"))),
]
TREES = [yaml.load(seed, Loader=yaml.BaseLoader) for seed in SEEDS[:2]]  # the base loader makes text only
WORDS = ["", "~", "none", "dhcp", "from-uplink", "0", "-1", "4095", "9" * 5000, "::", "fe80::1/64", "::/0", "0.0.0.0/0"]
WORDS += [
    "10.0.0.0/31",
    "255.255.255.255/32",
    "tcp/1-65535",
    "eth4",
    "br3",
    "ü" * 8,
    "\u202e",
    "{",
    "a: b",
    "null",
    "²",
]

settings.register_profile("site", max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


def survives(data: bytes) -> None:
    try:
        assert isinstance(parse(data, "fuzz.yaml"), Site)
    except SiteFault as fault:
        assert fault.problems
        str(fault).encode()  # every message can be written
        for problem in fault.problems:
            problem.as_json()


@settings(settings.get_profile("site"))
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    survives(data)


@settings(settings.get_profile("site"))
@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    survives(text.encode("utf-8", "surrogatepass"))


@settings(settings.get_profile("site"))
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_damaged_files(seed: bytes, dice: random.Random) -> None:
    data = bytearray(seed or b"x")
    for _ in range(dice.randint(1, 6)):
        at = dice.randrange(len(data) + 1)
        other = dice.choice(SEEDS)
        piece = other[(start := dice.randrange(len(other) + 1)) : start + dice.randint(0, 40)]
        data[at : at + dice.randint(0, 20)] = dice.choice([b"", piece, bytes([dice.randrange(256)])])
    survives(bytes(data))


def twist(node: object, dice: random.Random, odds: float) -> object:
    """The same tree with some values exchanged for others of any kind and some keys renamed or gone."""
    if dice.random() < odds:
        return dice.choice([*WORDS, [], {}, None, [[]], {"x": "y"}, ["10.0.0.1/8", "dhcp"], dice.choice(TREES)])
    if isinstance(node, dict):
        result: dict[object, object] = {}
        for key, value in node.items():
            if dice.random() < odds / 2:
                continue
            name = dice.choice([*WORDS[2:], *map(str, node)]) if dice.random() < odds / 2 else key
            result[name] = twist(value, dice, odds)
        return result
    if isinstance(node, list):
        return [twist(each, dice, odds) for each in node for _ in range(1 + (dice.random() < odds))]
    return node


@settings(settings.get_profile("site"))
@given(st.sampled_from(TREES), st.randoms(use_true_random=False), st.sampled_from([0.01, 0.03, 0.1]))
def test_twisted_trees(tree: object, dice: random.Random, odds: float) -> None:
    survives(yaml.safe_dump(twist(tree, dice, odds), allow_unicode=True).encode())
