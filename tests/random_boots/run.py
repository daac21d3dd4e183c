"""One random host with a real manager: what is wrong of its change, of its next start, and of the way back."""

from __future__ import annotations

import json
import sys
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
    set -- -xdev -type f ! -path '/etc/ld*' ! -path '/etc/resolv*'
    {{ find /etc "$@" -printf '%p %m %u %g\\n'; find /etc "$@" -exec sha1sum {{}} +; }} | sort
}}
disk() {{
    tell disk; cd /
    tar c $(ls -d {folders} 2>/dev/null) | base64 -w 0; echo
}}
has() {{ for one in "$@"; do ip addr show | grep -q "inet6* $one" || return 1; done; }}
until_has() {{ for i in $(seq 400); do has "$@" && break; sleep 0.1; done; sleep 0.5; }}
udev() {{ for file in /etc/sysctl.d/*bascule*; do [ ! -e $file ] || sysctl -q -p $file 2>/dev/null || true; done; }}
plan() {{ udev; bascule plan /site.yaml --here --driver none --json >/tmp/plan 2>&1; }}
empty() {{ plan; grep -q '"changes": *\\[\\]' /tmp/plan; }}
until_empty() {{ for i in $(seq 30); do empty && break; sleep 1; done; tell "$1"; cat /tmp/plan; }}
unit() {{
    tell $1; [ ! -e /etc/systemd/system/$1.service ] || sed -n 's/^ExecStart=//p' /etc/systemd/system/$1.service | sh
}}
[ -e /usr/local/sbin/systemctl ] || ln -s /bin/true /usr/local/sbin/systemctl
if [ -e /disk ]; then # this is the next start of a machine
    base64 -d /disk | tar x -C /
    echo 11111111-2222-3333-4444-555555555555 >/tmp/boot
    mount --bind /tmp/boot /proc/sys/kernel/random/boot_id
    unit bascule-boot || echo "status $?"
fi
{before}
{up} || true
"""
FOUND = """\
until_has {addresses}
state found
listing >/tmp/before
tell found-files; cat /tmp/before
apply="bascule apply /site.yaml --here --yes --driver none --json"
"""
KEPT = """\
tell apply; $apply --no-confirm || echo "status $?"
until_empty again
state applied
disk
tell undo; bascule undo --yes --json || echo "status $?"
"""
TWICE = """\
$apply --no-confirm >/tmp/said || {{ tell apply; cat /tmp/said; echo "status $?"; }}
until_empty between
state first; tell first-files; listing
cp /second.yaml /site.yaml
tell apply; $apply --no-confirm || echo "status $?"
until_empty again
state applied
disk
tell second-undo; bascule undo --yes --json || echo "status $?"
sleep {settle}; state first-back; tell first-back-files; listing
tell undo; bascule undo --yes --json || echo "status $?"
"""
UNCONFIRMED = """\
tell apply; $apply --confirm-within 1s || echo "status $?"
tell undo; sleep 2; for i in $(seq 80); do bascule status --json | grep -q '"taken-back"' && break; sleep 0.5; done
"""
KILLED = """\
$apply --no-confirm >/tmp/said &
until ls -d /var/lib/bascule/host/checkpoints/* >/dev/null 2>&1 || ! kill -0 $! 2>/dev/null; do sleep 0.05; done
sleep {after}; kill -9 $! || true; wait $! || true
tell apply; cat /tmp/said
tell undo; bascule undo --yes --json || echo "ends with $?"  # nothing was begun, or it is as before by now
"""
POWER_CUT = """\
mkdir -p /run/systemd/system
tell apply; $apply --confirm-within 1h || echo "status $?"
disk
"""
BACK = """\
until_has {addresses}
sleep {settle}
state back
tell back-files; listing
"""
BOOT = """\
until_empty boot
state booted
"""
REST = """\
unit bascule-boot-rest || echo "status $?"
tell undo; bascule status --json
"""
# whose files and names an installer and a site file can make up
CHOICES = tuple(name for name in HOSTS if name != "netplan for NetworkManager")
SETTLES_S = {"networkd": 2, "netplan": 2, "keyfile": 4}
FOLDERS = (
    "etc/network", "etc/netplan", "etc/systemd/network", "etc/systemd/system", "etc/NetworkManager", "etc/sysctl.d",
    "etc/bascule", "var/lib/bascule",
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
    site, second = random_wanted(random, facts, dialect), random_wanted(random, facts, dialect)
    tree = {"site.yaml": yaml.safe_dump(site, sort_keys=False), "second.yaml": yaml.safe_dump(second, sort_keys=False)}
    ending = random.choices((KEPT, TWICE, UNCONFIRMED, KILLED, POWER_CUT), (4, 4, 2, 2, 3))[0]
    script = FOUND + ending.replace("{after}", f"{random.uniform(0, 1.5):.2f}")
    back = "" if ending == POWER_CUT else BACK
    seen = _room(folder / "first", dialect, {**files(dialect, facts, random), **tree}, script + back, facts)
    done = json.loads(seen["apply"].partition("status ")[0] or "{}")
    if ending != KILLED and not done.get("change"):
        problems = {one["code"]: one["message"] for one in done.get("problems", ())}
        words = "; ".join(": ".join(each) for each in problems.items()) or "nothing"
        if "TAKEN-BACK" in problems:
            yield f"apply: {words}"
        else:
            refused.append(words)
        return
    if ending == POWER_CUT:
        seen |= _room(folder / "second", dialect, {**tree, "disk": seen["disk"]}, REST + BACK, facts)
        if "was taken back" not in seen["undo"]:
            yield f"after the power cut: {seen['bascule-boot']} {seen['bascule-boot-rest']} {seen['undo']}"
    before = _state(seen["found"])
    if "status " in seen["undo"]:
        yield f"undo: {seen['undo'][-600:]}"
    yield from _files_differ("undo", seen["found-files"], seen["back-files"])
    yield from _differences("undo", before, _state(seen["back"]), NICS)
    if ending in (KILLED, POWER_CUT):
        return
    if "status " in seen["apply"]:
        yield f"apply: {seen['apply'][-600:]}"
    if ending == UNCONFIRMED:
        return
    named = set(site["hosts"]["kvm"]["nics"])
    if ending == TWICE:
        tree["site.yaml"] = tree["second.yaml"]
        named |= set(second["hosts"]["kvm"]["nics"])
        yield from _changes("the plan between", seen["between"])
        if "status " in seen["second-undo"]:
            yield f"undo of the second: {seen['second-undo'][-600:]}"
        yield from _files_differ("undo of the second", seen["first-files"], seen["first-back-files"])
        first, again = _state(seen["first"]), _state(seen["first-back"])
        yield from _differences("undo of the second", first, again, [*{**first.addresses, **again.addresses}])
    yield from _changes("the second plan", seen["again"])
    booted = _room(folder / "second", dialect, {**tree, "disk": seen["disk"]}, BOOT, facts)
    yield from _changes("after the next start", booted["boot"])
    applied, after = _state(seen["applied"]), _state(booted["booted"])
    yield from _differences("start", applied, after, [nic for nic in applied.addresses if nic != "lo"])
    yield from _differences("links of others", before, after, [nic for nic in NICS if nic not in named])


def _room(folder: Path, dialect: str, tree: Mapping[str, str], script: str, facts: Sequence[Facts]) -> dict[str, str]:
    folder.mkdir(parents=True)
    host = HOSTS[dialect]
    values = {
        "bin": Path(sys.executable).parent, "unit": ENABLED.get(dialect, ""), "nics": " ".join(NICS),
        "before": host.before, "up": host.up, "settle": SETTLES_S.get(dialect, 0), "folders": " ".join(FOLDERS),
        "addresses": " ".join(address for one in facts for address in one.addresses),
    }  # fmt: skip
    seen = ask(folder, host.packages, tree, (HEAD + script).format(**values), nics=NICS, timeout_s=200)
    (folder / "said").write_text(seen.stdout + seen.stderr)
    parts = [part.partition("\n") for part in seen.stdout.split("### ")[1:]]
    assert seen.status == 0, f"{folder}: {seen.stdout[-500:]} {seen.stderr[-1500:]}"
    return {name.strip(): text for name, _, text in parts}


def _files_differ(when: str, one: str, other: str) -> Iterator[str]:
    had, has = set(one.splitlines()), set(other.splitlines())
    yield from (f"{when}, files: - {line}" for line in sorted(had - has))
    yield from (f"{when}, files: + {line}" for line in sorted(has - had))


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
