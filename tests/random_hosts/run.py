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
from tests.patience import patient
from tests.random_hosts.found import Found, random_found
from tests.random_hosts.snapshot import differences, snapshot
from tests.random_hosts.wanted import random_wanted
from tests.real_hosts.field import Field

OF_OTHERS = ("later0", "vnet9")
LATER = """\
link add later0 type bridge
link set later0 up
address add 10.88.0.1/24 dev later0
tuntap add vnet9 mode tap
link set vnet9 up master later0
"""
REFUSED = (1, 65)  # apply, before it has changed anything
WATCHED_S = patient(30)


def faults(seed: int, folder: Path, refused: list[str]) -> Iterator[str]:
    """What is wrong of one host: of its second plan, of verify, of what is left after undo; and what was refused."""
    random = Random(seed)
    with open_lab() as lab:
        host, switch = lab.namespace("host"), lab.namespace("switch")
        field = Field(lab=lab, folder=folder, host=host, switch=switch, router=switch, pc=switch)
        found = random_found(random)
        _make(field, found)
        kind, others = random.random(), OF_OTHERS if random.random() < 0.5 else ()
        if kind < 0.25:
            yield from _killed(field, _site(field, random, found), random.uniform(0.05, 0.9))
        elif kind < 0.4:
            yield from _not_confirmed(field, _site(field, random, found), refused)
        else:
            yield from _changed(field, random, found, refused, files=random.choice([1, 2]), others=others)


def _site(field: Field, random: Random, found: Found) -> str:
    text = yaml.safe_dump(random_wanted(random, found), sort_keys=False)
    return field.site(text, f"{len(list(field.folder.glob('*.yaml')))}.yaml")


def _seen(field: Field) -> dict[str, list[str]]:
    with field.host.entered():
        return snapshot()


def _changed(
    field: Field, random: Random, found: Found, refused: list[str], *, files: int, others: tuple[str, ...]
) -> Iterator[str]:
    """One site file is applied, or two one after the other; then all is taken back, the last first."""
    before, site = _seen(field), _site(field, random, found)
    done = field.bascule("apply", site, "--yes", "--no-confirm", "--json")
    if done.returncode in REFUSED:
        refused.append(_errors(done.stdout))
    elif done.returncode:
        yield f"apply ends with {done.returncode}: {_errors(done.stdout)}"
    else:
        yield from _second(field, site)
    changed = bool(json.loads(done.stdout or "{}").get("change"))
    if files > 1 and changed:
        yield from _changed(field, random, found, refused, files=files - 1, others=others)
    elif others:
        field.batch(LATER)
    if changed and not done.returncode:
        undone = field.bascule("undo", "--yes", "--json")
        if undone.returncode:
            yield f"undo ends with {undone.returncode}: {undone.stdout[:900]}"
    yield from differences(before, _seen(field), others)


def _not_confirmed(field: Field, site: str, refused: list[str]) -> Iterator[str]:
    """Nobody confirms, and the watchdog takes it back."""
    before = _seen(field)
    done = field.bascule("apply", site, "--yes", "--confirm-within", "1s", "--json")
    if done.returncode:
        refused.append(_errors(done.stdout))
    until = time.monotonic() + WATCHED_S
    while left := list(differences(before, _seen(field))):
        if time.monotonic() > until:
            yield from left
            return
        time.sleep(0.3)


def _killed(field: Field, site: str, after: float) -> Iterator[str]:
    """The process that changes it dies, and undo takes back whatever was done by then."""
    before = _seen(field)
    process = field.start("apply", site, "--yes", "--no-confirm", start_new_session=True)
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    undone = field.bascule("undo", "--yes", "--json")
    left = list(differences(before, _seen(field)))
    if undone.returncode and left:
        yield f"undo ends with {undone.returncode}: {undone.stdout[:900]}"
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


def _errors(text: str) -> str:
    try:
        said = json.loads(text)
    except ValueError:
        return text[:400]
    return "; ".join(f"{one['code']}: {one['message']}" for one in said.get("problems", ()))
