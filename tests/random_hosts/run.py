"""One random host, changed and changed back: what is different after, but for what others did meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import yaml

from tests.lab import open_lab
from tests.random_hosts.found import Found, random_found
from tests.random_hosts.snapshot import differences, snapshot
from tests.random_hosts.wanted import random_wanted
from tests.real_hosts.field import Field

OF_OTHERS = ("later0", "vnet9")


def faults(seed: int, folder: Path, refused: list[str]) -> Iterator[str]:
    """What is wrong of one host: of its second plan, of verify, of what is left after undo; and what was refused."""
    random = Random(seed)
    with open_lab() as lab:
        host, switch = lab.namespace("host"), lab.namespace("switch")
        field = Field(lab=lab, folder=folder, host=host, switch=switch, router=switch, pc=switch)
        found = random_found(random)
        _make(field, found)
        wanted = random_wanted(random, found)
        site = field.site(yaml.safe_dump(wanted, sort_keys=False), f"{seed}.yaml")
        with host.entered():
            before = snapshot()
        planned = field.bascule("plan", site, "--json")
        if planned.returncode:
            refused.append(_errors(planned.stdout))
            with host.entered():
                yield from differences(before, snapshot())
            return
        if random.random() < 0.25:
            _killed(field, site, random.uniform(0.05, 0.9))
        else:
            done = field.bascule("apply", site, "--yes", "--no-confirm", "--json")
            if done.returncode == 65:
                refused.append(_errors(done.stdout))
            elif done.returncode:
                yield f"apply ends with {done.returncode}: {_errors(done.stdout)}"
            else:
                yield from _second(field, site)
        others: tuple[str, ...] = ()
        if random.random() < 0.5:
            others = OF_OTHERS
            field.batch("link add later0 type bridge\nlink set later0 up\naddress add 10.88.0.1/24 dev later0\n"
                        "tuntap add vnet9 mode tap\nlink set vnet9 up master later0\n")  # fmt: skip
        undone = field.bascule("undo", "--yes", "--json")
        nothing = undone.returncode == 1 and "NOTHING" in undone.stdout.upper()
        with host.entered():
            left = list(differences(before, snapshot(), others))
        if undone.returncode and (left or not nothing):
            yield f"undo ends with {undone.returncode}: {undone.stdout[:600]}"
        yield from left


def _make(field: Field, found: Found) -> None:
    field.lab.ip(field.switch, "link add sw type bridge forward_delay 0 mcast_snooping 0")
    field.lab.ip(field.switch, "link set sw up")
    with field.host.entered():
        Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    for number in range(3):
        field.plug(field.host, f"eth{number}", f"02:00:00:00:00:1{number}")
    for tap in found.taps:
        field.lab.tap(field.host, tap)
        field.lab.ip(field.host, f"link set {tap} up")
    with field.host.entered():
        for line in found.ip:
            subprocess.run(("ip", *line.split()), check=False, capture_output=True)
        for line in found.shell:
            subprocess.run(("sh", "-c", line), check=False, capture_output=True)


def _second(field: Field, site: str) -> Iterator[str]:
    again = json.loads(field.bascule("plan", site, "--json").stdout)
    if again.get("changes"):
        yield f"the second plan is not empty: {json.dumps(again['changes'])[:600]}"
    said = json.loads(field.bascule("verify", site, "--json").stdout)
    for one in said.get("checks", ()):
        if one["ok"] is False and one["detail"].startswith("to do:"):
            yield f"verify: {one['id']} of {one['subject']}: {one['detail']}"


def _killed(field: Field, site: str, after: float) -> None:
    process = field.start("apply", site, "--yes", "--no-confirm", start_new_session=True)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def _errors(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return text[:400]
    return "; ".join(f"{one['code']}: {one['message']}" for one in said.get("problems", ()))
