"""``bascule why`` of containers that sit on the NIC by macvlan, in namespaces that none of the listings shows."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from bascule.system.net.netns import Namespace
from tests.lab import Lab, open_lab, pings

ADDRESSES = {"host": "10.0.0.1", "one": "10.0.0.5", "other": "10.0.0.6", "wire": "10.0.0.9"}
WAYS = (("host", "one"), ("one", "other"), ("wire", "one"))
NOBODY_KNOWS = {("vepa", "one", "other")}  # a switch may send frames back by the port that they came by


@pytest.fixture(scope="module")
def rooms() -> Iterator[tuple[Lab, dict[str, Namespace]]]:
    with open_lab() as lab:
        made = {name: lab.namespace(name) for name in ADDRESSES}
        lab.ip(made["host"], "link add eth0 type veth peer name far")
        move(lab, made, "far", "wire", "eth0")
        lab.ip(made["host"], "link set eth0 up")
        lab.ip(made["host"], "address add 10.0.0.1/24 dev eth0")
        for name in ("one", "other"):
            with made[name].entered():  # as a container's process does
                inside = subprocess.Popen(("sleep", "600"))
            lab.keep(inside.wait)
            lab.keep(inside.kill)  # which comes first
        yield lab, made


def move(lab: Lab, made: dict[str, Namespace], link: str, to: str, name: str) -> None:
    lab.ip(made["host"], f"link set {link} netns /proc/{os.getpid()}/fd/{made[to].fd}")
    lab.ip(made[to], f"link set {link} name {name}")
    lab.ip(made[to], f"link set {name} up")
    lab.ip(made[to], f"address add {ADDRESSES[to]}/24 dev {name}")


@pytest.mark.kernel
@pytest.mark.parametrize("mode", ["bridge", "private", "vepa"])
def test_what_a_container_on_the_nic_reaches(rooms: tuple[Lab, dict[str, Namespace]], mode: str) -> None:
    lab, made = rooms
    for name in ("one", "other"):
        lab.ip(made["host"], f"link add link eth0 name of-{name} type macvlan mode {mode}")
        move(lab, made, f"of-{name}", name, "eth0")
    try:
        assert pings(made["host"], ADDRESSES["wire"])  # whom the host has heard it knows
        for source, target in WAYS:
            words = [name if name == "host" else ADDRESSES[name] for name in (source, target)]
            done = lab.bascule(made["host"], "why", *words, "--json")
            assert done.stdout, done.stderr
            said, asked = json.loads(done.stdout)["result"], (made[source], ADDRESSES[target])
            expected = "yes" if (pings(*asked) if said == "yes" else pings(*asked, seconds=1)) else "no"
            expected = "unknown" if (mode, source, target) in NOBODY_KNOWS else expected
            assert said == expected, (source, target, done.stdout)
    finally:
        for name in ("one", "other"):
            lab.ip(made[name], "link del eth0")
