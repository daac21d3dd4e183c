"""One random host with a real manager: what is wrong of its change, of its next start, and of the way back."""

from __future__ import annotations

import base64
import io
import json
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import yaml
from msgspec import Struct

from tests.persist.readers import ask
from tests.persist.test_takeover import ENABLED, HOSTS
from tests.random_boots.installed import NICS, Facts, files, random_facts
from tests.random_boots.wanted import random_wanted

HEAD = """\
export PATH={bin}:/usr/local/sbin:/usr/sbin:/sbin:$PATH
hostname kvm
wants=/etc/systemd/system/multi-user.target.wants
mkdir -p $wants; rm -f $wants/networking.service $wants/NetworkManager.service $wants/systemd-networkd.service
[ -z "{unit}" ] || ln -s /lib/systemd/system/{unit}.service $wants/{unit}.service
for nic in {nics}; do ip link set $nic address 02:00:00:00:00:0${{nic#eth}}; done
tell() {{ echo "### $1"; }}
state() {{
    tell "$1"; ip -d -j address show; echo '##'; ip -4 -j route show table all; echo '##'
    ip -6 -j route show table all
}}
listing() {{
    find /etc -xdev -type f -printf '%p %m %u %g ' -exec sha1sum {{}} \\; | grep -v '^/etc/\\(ld\\|resolv\\)' | sort
}}
has() {{ for one in "$@"; do ip addr show | grep -q "inet6* $one" || return 1; done; }}
until_has() {{ for i in $(seq 400); do has "$@" && break; sleep 0.1; done; sleep 0.5; }}
udev() {{ for file in /etc/sysctl.d/*bascule*; do [ ! -e $file ] || sysctl -q -p $file 2>/dev/null || true; done; }}
plan() {{ udev; bascule plan /site.yaml --here --driver none --json >/tmp/plan 2>&1; }}
empty() {{ plan; grep -q '"changes": *\\[\\]' /tmp/plan; }}
until_empty() {{ for i in $(seq 30); do empty && break; sleep 1; done; tell "$1"; cat /tmp/plan; }}
{before}
{up} || true
"""
FOUND = """\
until_has {addresses}
state found
listing >/tmp/before
apply() {{ bascule apply /site.yaml --here --yes --driver none --json "$@"; }}
"""
KEPT = """\
tell apply; apply --no-confirm || echo "status $?"
until_empty again
state applied
cd /etc; tell files
tar c network netplan systemd NetworkManager sysctl.d bascule 2>/dev/null | base64 -w 0; echo
tell undo; bascule undo --yes --json || echo "status $?"
"""
UNCONFIRMED = """\
tell apply; apply --confirm-within 1s || echo "status $?"
tell undo; sleep 2; for i in $(seq 80); do bascule status --json | grep -q '"taken-back"' && break; sleep 0.5; done
"""
KILLED = """\
apply --no-confirm >/tmp/said & sleep {after}; kill -9 $! || true; wait $! || true
tell apply; cat /tmp/said
tell undo; bascule undo --yes --json || echo "ends with $?"  # nothing was begun, or it is as before by now
"""
BACK = """\
until_has {addresses}
sleep {settle}
state back
listing >/tmp/after
tell difference; diff /tmp/before /tmp/after || true
"""
BOOT = """\
until_empty boot
state booted
"""
SETTLES_S = {"networkd": 2, "netplan": 2, "keyfile": 4}
FOLDERS = (
    "etc/network/", "etc/netplan/", "etc/systemd/network/", "etc/systemd/system/", "etc/NetworkManager/",
    "etc/sysctl.d/", "etc/bascule/",
)  # fmt: skip


class State(Struct, frozen=True):
    """What the kernel shows of the NICs."""

    addresses: Mapping[str, frozenset[str]]
    mtus: Mapping[str, int]
    routes: frozenset[str]


def faults(seed: int, dialect: str, folder: Path, refused: list[str]) -> Iterator[str]:
    """What is wrong of one host."""
    random = Random(f"{seed} {dialect}")
    facts = random_facts(random)
    installed = files(dialect, facts, random)
    site = yaml.safe_dump(random_wanted(random, facts, dialect), sort_keys=False)
    ending = random.choices((KEPT, UNCONFIRMED, KILLED), (6, 2, 2))[0]
    script = FOUND + ending.replace("{after}", f"{random.uniform(0.1, 2):.2f}") + BACK
    found = _room(folder / "first", dialect, {**installed, "site.yaml": site}, script, facts)
    before, back = _state(found["found"]), _state(found["back"])
    if "status " in found["undo"]:
        yield f"undo: {found['undo'][-600:]}"
    yield from (f"undo, files: {line}" for line in found["difference"].splitlines() if line[:1] in "<>")
    yield from _differences("undo", before, back, NICS)
    if ending == KILLED:
        return
    done = json.loads(found["apply"].partition("status ")[0] or "{}")
    if not done.get("change"):
        refused.append("; ".join(f"{one['code']}: {one['message']}" for one in done.get("problems", ())) or "nothing")
        return
    if "status " in found["apply"]:
        yield f"apply: {found['apply'][-600:]}"
    if ending == UNCONFIRMED:
        return
    yield from _changes("the second plan", found["again"])
    booted = _room(folder / "second", dialect, {**_unpacked(found["files"]), "site.yaml": site}, BOOT, facts)
    yield from _changes("after the next start", booted["boot"])
    named = set(yaml.safe_load(site)["hosts"]["kvm"]["nics"])
    applied, after = _state(found["applied"]), _state(booted["booted"])
    yield from _differences("start", applied, after, [nic for nic in applied.addresses if nic != "lo"])
    yield from _differences("links of others", before, after, [nic for nic in NICS if nic not in named])


def _room(folder: Path, dialect: str, tree: Mapping[str, str], script: str, facts: Sequence[Facts]) -> dict[str, str]:
    folder.mkdir(parents=True)
    host = HOSTS[dialect]
    values = {
        "bin": Path(sys.executable).parent, "unit": ENABLED.get(dialect, ""), "nics": " ".join(NICS),
        "before": host.before, "up": host.up, "settle": SETTLES_S.get(dialect, 0),
        "addresses": " ".join(address for one in facts for address in one.addresses),
    }  # fmt: skip
    seen = ask(folder, host.packages, tree, (HEAD + script).format(**values), nics=NICS, timeout_s=200)
    (folder / "said").write_text(seen.stdout + seen.stderr)
    parts = [part.partition("\n") for part in seen.stdout.split("### ")[1:]]
    assert seen.status == 0, f"{folder}: {seen.stdout[-500:]} {seen.stderr[-1500:]}"
    return {name.strip(): text for name, _, text in parts}


def _unpacked(text: str) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(text))) as archive:
        return {
            f"etc/{one.name}": archive.extractfile(one).read().decode()  # type: ignore[union-attr]  # a regular file
            for one in archive
            if one.isfile() and f"etc/{one.name}".startswith(FOLDERS)
        }


def _changes(when: str, text: str) -> Iterator[str]:
    try:
        plan: dict[str, Any] = json.loads(text)
    except ValueError:
        yield f"{when}: {text[:400]}"
        return
    yield from (f"{when}: {one['subject']}: {one['action']}" for one in plan["changes"])
    yield from (f"{when}: {one['action']} {one['path']}: {one['diff']}" for one in plan["files"])


def _state(text: str) -> State:
    links, *tables = (json.loads(part or "[]") for part in text.split("##\n"))
    own = [link for link in links if not link["ifname"].endswith("p")]
    return State(
        addresses={
            link["ifname"]: frozenset(
                f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"
            )
            for link in own
        },
        mtus={link["ifname"]: link["mtu"] for link in own},
        routes=frozenset(
            f"{route['dst']} {route.get('gateway', '')} dev {route.get('dev')} {_metric(route)}".rstrip()
            for table in tables
            for route in table
            if route.get("type", "unicast") == "unicast" and not route["dst"].startswith(("fe80", "ff00"))
        ),
    )


def _metric(route: Mapping[str, Any]) -> str:
    """Of the ways to a link's own subnets the manager decides, and of others NetworkManager where nobody says one."""
    chosen = not route.get("gateway") or (route.get("protocol") == "static" and 100 <= route.get("metric", 0) < 500)
    return "" if chosen or route.get("metric", 0) == 0 else f"metric {route['metric']}"


def _differences(when: str, one: State, other: State, nics: Sequence[str]) -> Iterator[str]:
    for nic in nics:
        had, has = one.addresses.get(nic), other.addresses.get(nic)
        if had != has:
            yield f"{when}: addresses of {nic}: {sorted(had or ())} became {sorted(has or ())}"
        if one.mtus.get(nic) != other.mtus.get(nic):
            yield f"{when}: MTU of {nic}: {one.mtus.get(nic)} became {other.mtus.get(nic)}"
        ways, now = ({way for way in state.routes if f" dev {nic} " in f"{way} "} for state in (one, other))
        yield from (f"{when}: - {way}" for way in sorted(ways - now))
        yield from (f"{when}: + {way}" for way in sorted(now - ways))
