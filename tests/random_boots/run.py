"""One random host with a real manager: what is wrong of its change, of its next start, and of the way back."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_interface
from pathlib import Path
from random import Random
from typing import Any

import yaml
from msgspec import Struct

from tests.persist.readers import ask
from tests.persist.test_takeover import ENABLED, HOSTS
from tests.random_boots.by_hand import by_hand
from tests.random_boots.installed import NICS, Facts, files, random_facts, with_more
from tests.random_boots.wanted import random_wanted, with_their_bridges

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
    ip -6 -j route show table all; echo '##'; ip -j rule; echo '##'; ip -j neigh show nud permanent; echo '##'
    nft list ruleset; echo '##'
    for nic in {nics}; do (cd /proc/sys/net/ipv4/conf/$nic; grep . {keys} | sed "s/^/$nic /"); done
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
empty() {{ plan; grep -q '"changes": *\\[\\]' /tmp/plan && grep -q '"files": *\\[\\]' /tmp/plan; }}
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
sh -e /by-hand
tell imported; bascule import --site s >/tmp/imported.yaml 2>/tmp/notes || echo "status $?"; cat /tmp/imported.yaml
tell imported-plan; bascule plan /tmp/imported.yaml --here --driver none --json || true
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
$apply --no-confirm >/tmp/said || {{ tell apply; cat /tmp/said; exit 0; }}
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
cp /nothing.yaml /site.yaml
tell leave; bascule apply /site.yaml --here --yes --driver none --json --no-confirm || echo "status $?"
state left
tell left-files; listing
"""
REST = """\
unit bascule-boot-rest || echo "status $?"
tell undo; bascule status --json
"""
# whose files and names an installer and a site file can make up
CHOICES = tuple(name for name in HOSTS if name != "netplan for NetworkManager")
KEYS = ("rp_filter", "proxy_arp", "arp_ignore", "accept_redirects")  # that somebody sets by hand
STUBS = ("/etc/network/interfaces.d/bascule", "/etc/netplan/60-bascule.yaml")  # of no links: what includes them stays
NO_MAC = "00:00:00:00:00:00"  # of a bridge that has lost its last port
SETTLES_S = {"networkd": 2, "netplan": 2, "keyfile": 4}
FOLDERS = (
    "etc/network", "etc/netplan", "etc/systemd/network", "etc/systemd/system", "etc/NetworkManager", "etc/sysctl.d",
    "etc/bascule", "var/lib/bascule",
)  # fmt: skip


class State(Struct, frozen=True):
    """What the kernel shows of the NICs."""

    addresses: Mapping[str, frozenset[str]]
    mtus: Mapping[str, int]
    macs: Mapping[str, str]
    masters: Mapping[str, str]
    names: Mapping[str, frozenset[str]]
    routes: frozenset[str]
    rules: frozenset[str]
    neighbours: frozenset[str]
    ruleset: str
    switches: frozenset[str]


def faults(seed: int, dialect: str, folder: Path, refused: list[str]) -> Iterator[str]:
    """What is wrong of one host."""
    random = Random(f"{seed} {dialect}")
    more = Random(f"more of {seed} {dialect}")
    facts = with_more(more, random_facts(random))
    hand = by_hand(more, facts, dialect)
    wanted = [random_wanted(random, facts, dialect) for _ in range(2)]
    site, second = (with_their_bridges(more, one, facts) for one in wanted)
    links = [*NICS, *(one.bridge for one in facts if one.bridge)]
    nothing = {"site": "s", "hosts": {"kvm": {"nics": {}, "persist": dialect.removesuffix("2")}}}
    sites = {"site": site, "second": second, "nothing": nothing}
    tree = {f"{name}.yaml": yaml.safe_dump(document, sort_keys=False) for name, document in sites.items()}
    ending = random.choices((KEPT, TWICE, UNCONFIRMED, KILLED, POWER_CUT), (4, 4, 2, 2, 3))[0]
    script = FOUND + ending.replace("{after}", f"{random.uniform(0, 1.5):.2f}")
    back = "" if ending == POWER_CUT else BACK
    tree |= {"by-hand": hand}
    seen = _room(folder / "first", dialect, {**files(dialect, facts, random), **tree}, script + back, facts)
    yield from _changes("import", seen["imported-plan"], files=False)
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
    yield from _taken_back(before, seen, links, by_hand=ending != POWER_CUT)
    if ending in (KILLED, POWER_CUT):
        return
    if "status " in seen["apply"]:
        yield f"apply: {seen['apply'][-600:]}"
    if ending == UNCONFIRMED:
        return
    named, followed = _named(site, facts), set[str]()
    if ending == TWICE:
        tree["site.yaml"] = tree["second.yaml"]
        host = second["hosts"]["kvm"]
        followed = _with_files_again(facts, seen, named - {*host["nics"], *host.get("bridges", ())})
        named |= _named(second, facts)
        yield from _second_taken_back(seen)
    yield from _changes("the second plan", seen["again"])
    booted = _room(folder / "second", dialect, {**tree, "disk": seen["disk"]}, BOOT, facts)
    yield from _changes("after the next start", booted["boot"])
    yield from _left(
        seen, booted, {*site["hosts"]["kvm"].get("bridges", ()), *second["hosts"]["kvm"].get("bridges", ())}
    )
    applied, after = _state(seen["applied"]), _state(booted["booted"])
    yield from _differences("start", applied, after, [x for x in applied.addresses if x not in followed | {"lo"}])
    yield from _differences("links of others", before, after, [link for link in links if link not in named])
    for when, state in (("apply", applied), ("start", after)):
        rules = {one for one in state.rules if "'priority': 900" not in one}  # of the site files
        if before.rules != rules:
            yield f"{when}: rules: {sorted(before.rules)} became {sorted(rules)}"
    nets = [
        ip_interface(ip).network for ips in applied.addresses.values() for ip in ips
    ]  # one in no subnet is of no use
    lost = {one.split()[0] for one in before.neighbours} - {one.split()[0] for one in applied.neighbours}
    if any(ip_address(one) in net for one in lost for net in nets):
        yield f"neighbours: {before.neighbours} became {applied.neighbours}"
    if before.ruleset != applied.ruleset:
        yield f"nft: {before.ruleset} became {applied.ruleset}"


def _taken_back(before: State, seen: Mapping[str, str], links: Sequence[str], *, by_hand: bool) -> Iterator[str]:
    """What was set ``by_hand`` went with the power."""
    if "status " in seen["undo"]:
        yield f"undo: {seen['undo'][-600:]}"
    yield from _files_differ("undo", seen["found-files"], seen["back-files"])
    back = _state(seen["back"])
    yield from _differences("undo", before, back, links)
    for field in ("rules", *(("names", "neighbours", "ruleset", "switches") if by_hand else ())):
        if (one := getattr(before, field)) != (other := getattr(back, field)):
            yield f"undo: {field}: {one} became {other}"


def _left(seen: Mapping[str, str], booted: Mapping[str, str], bridges: Collection[str]) -> Iterator[str]:
    """A site file that names nothing any more, after a start: what Bascule made is gone, the host's files are back."""
    if "status " in booted["leave"]:
        yield f"leaving: {booted['leave'][-600:]}"
    ours = (
        "/etc/network",
        "/etc/netplan",
        "/etc/systemd/network",
        "/etc/NetworkManager",
        "/etc/sysctl.d",
        "/etc/bascule",
    )
    listed = [
        "\n".join(
            line
            for line in text.splitlines()
            if any(f"{x}/" in line for x in ours) and not any(x in line for x in STUBS)
        )
        for text in (seen["found-files"], booted["left-files"])
    ]
    yield from _files_differ("leaving", *listed)
    before, left = _state(seen["found"]), _state(booted["left"])
    stay = sorted(name for name in left.addresses.keys() & {*bridges} - before.addresses.keys())
    if stay:
        yield f"leaving: {stay} stayed"
    for nic in NICS:
        if before.masters.get(nic) == "" and left.masters.get(nic):
            yield f"leaving: {nic} stays a port of {left.masters[nic]}"


def _second_taken_back(seen: Mapping[str, str]) -> Iterator[str]:
    yield from _changes("the plan between", seen["between"])
    if "status " in seen["second-undo"]:
        yield f"undo of the second: {seen['second-undo'][-600:]}"
    yield from _files_differ("undo of the second", seen["first-files"], seen["first-back-files"])
    first, back = _state(seen["first"]), _state(seen["first-back"])
    yield from _differences("undo of the second", first, back, [*{**first.addresses, **back.addresses}])


def _with_files_again(facts: Sequence[Facts], seen: Mapping[str, str], left: Collection[str]) -> set[str]:
    """Links that the second site file leaves out and that have not what their own files, which come back, give them.

    Their manager gives it at once, as what others do, or at the next start.
    """
    first = _state(seen["first"]).addresses
    return {one.link for one in facts if one.link in left and not {*one.addresses} <= first.get(one.link, frozenset())}


def _named(site: Mapping[str, Any], facts: Sequence[Facts]) -> set[str]:
    """What a site file speaks for: its NICs, and with one the bridge that it is in."""
    nics = set(site["hosts"]["kvm"]["nics"])
    return nics | {one.bridge for one in facts if one.nic in nics}


def _room(folder: Path, dialect: str, tree: Mapping[str, str], script: str, facts: Sequence[Facts]) -> dict[str, str]:
    folder.mkdir(parents=True)
    host = HOSTS[dialect]
    values = {
        "bin": Path(sys.executable).parent, "unit": ENABLED.get(dialect, ""), "nics": " ".join(NICS),
        "before": host.before, "up": host.up, "settle": SETTLES_S.get(dialect, 0), "folders": " ".join(FOLDERS),
        "addresses": " ".join(address for one in facts for address in one.addresses), "keys": " ".join(KEYS),
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


def _changes(when: str, text: str, *, files: bool = True) -> Iterator[str]:
    try:
        plan: dict[str, Any] = json.loads(text)
    except ValueError:
        yield f"{when}: {text[:400]}"
        return
    if "changes" not in plan:
        yield f"{when}: {text[:400]}"
        return
    yield from (f"{when}: {one['subject']}: {one['action']}" for one in plan["changes"])
    yield from (f"{when}: {one['action']} {one['path']}: {one['diff']}" for one in plan["files"] if files)


def _state(text: str) -> State:
    *parts, ruleset, switches = text.split("##\n")
    links, *tables, rules, neighbours = (json.loads(part or "[]") for part in parts)
    own = [link for link in links if not link["ifname"].endswith("p")]
    return State(
        addresses={
            link["ifname"]: frozenset(
                f"{one['local']}/{one['prefixlen']}" for one in link["addr_info"] if one["scope"] == "global"
            )
            for link in own
        },
        mtus={link["ifname"]: link["mtu"] for link in own},
        macs={link["ifname"]: link["address"] for link in own},
        masters={link["ifname"]: link.get("master", "") for link in own},
        names={link["ifname"]: frozenset(link.get("altnames", ())) for link in own},
        rules=frozenset(str({**rule, "protocol": ""}) for rule in rules),
        neighbours=frozenset(f"{one['dst']} {one['lladdr']} {one['dev']}" for one in neighbours if "lladdr" in one),
        ruleset=ruleset,
        switches=frozenset(switches.splitlines()),
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
        if one.masters.get(nic) != other.masters.get(nic):
            yield f"{when}: master of {nic}: {one.masters.get(nic)} became {other.masters.get(nic)}"
        if one.macs.get(nic) not in {other.macs.get(nic), NO_MAC}:
            yield f"{when}: MAC of {nic}: {one.macs.get(nic)} became {other.macs.get(nic)}"
        ways, now = ({way for way in state.routes if f" dev {nic} " in f"{way} "} for state in (one, other))
        yield from (f"{when}: - {way}" for way in sorted(ways - now))
        yield from (f"{when}: + {way}" for way in sorted(now - ways))
