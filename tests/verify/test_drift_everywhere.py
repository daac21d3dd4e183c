"""What somebody changes on a bridged host is seen by plan, verify, status, draw and serve alike, in the same words."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.apply.hosts import SITE, Bed, environment, furnish
from tests.lab import Lab, called
from tests.web.client import Served

FORWARDING = "sysctl net.ipv4.conf.vn-lab.forwarding=0"  # its default was 1, so the change did not make it
DRIFTS = {  # what somebody does: whom the plan names, and what it would do
    "ip link set br3 mtu 1400": ("br3", "change MTU from 1400 to 1500 bytes"),
    "ip link set br3 address 02:00:00:00:0b:03": ("br3", "change MAC from 02:00:00:00:0b:03"),
    "ip link set br0 type bridge stp_state 1": ("br0", "stp_state 0"),
    "ip link set br0 type bridge mcast_snooping 1": ("br0", "mcast_snooping 0"),
    "ip link set br3 addrgenmode eui64": ("br3", "no automatic IPv6 address"),
    "ip link set eth4 addrgenmode eui64": ("eth4", "no automatic IPv6 address"),
    "ip address add 10.1.0.77/24 dev eth4": ("eth4", "remove address 10.1.0.77/24"),
    "sysctl net.ipv4.conf.br3.arp_ignore=0": ("br3", "answer ARP for its own addresses only"),
    "sysctl net.ipv6.conf.eth4.accept_ra=1": ("eth4", "ignore router advertisements"),
    "ip link set vnet1 mtu 1300": ("vnet1", "change MTU from 1300 to 1500 bytes"),
    "ip link set eth0 nomaster": ("eth0", "become a port of br0"),
    "ip link set br3 down": ("br3", "bring up"),
    "bridge link set dev eth4 isolated on": ("eth4", "isolated off"),
    "ip link set br3 type bridge ageing_time 100": ("br3", "ageing_time 30000"),
    "ip rule del priority 1000": ("rule 1000", "from 10.20.0.0/24"),
    FORWARDING: ("vn-lab", "forward IPv4 there"),
    "bridge link set dev vnet1 isolated on": ("vnet1", "isolated o"),  # stays, and is told
    "bridge link set dev vnet1 locked on": ("vnet1", "locked o"),
    "bridge link set dev vnet1 flood off": ("vnet1", "flood o"),
}


HOST = SITE.replace(
    "    bridges:\n",
    "    rules: [{from: 10.20.0.0/24, table: 52, priority: 1000}]\n"
    "    virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24}}\n    bridges:\n",
)


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    lab = Lab()
    try:
        bed = furnish(lab, tmp_path_factory.mktemp("drift"), HOST)
        bed.apply("--confirm-within", "300s")
        assert bed.run("confirm").returncode == 0
        calm = json.loads(bed.run("plan", str(bed.site), "--json").stdout)
        assert calm["changes"] == []
        with bed.host.entered():
            for command in DRIFTS:
                tool, _, rest = command.partition(" ")
                if tool == "sysctl":
                    key, _, value = rest.partition("=")
                    Path("/proc/sys", key.replace(".", "/")).write_text(value)
                else:
                    subprocess.run(command.split(), check=True, capture_output=True)
        yield bed
    finally:
        lab.close()


def told(bed: Bed, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bed.run(*words, "--json").stdout)
    return document


def served(bed: Bed) -> list[tuple[str, str]]:
    """What the page of serve is told."""
    with called("h"), environment(bed.env), Served(bed.host, str(bed.site)) as page, page.stream() as stream:
        state = stream.until("state", bool)
    changes = [(change["subject"], change["action"]) for change in state["changes"]]
    return [*changes, *(tuple(line.split(": ", 1)) for line in state["drift"])]


@pytest.mark.kernel
def test_t13_every_drift_is_seen_by_every_verb(drifted: Bed) -> None:
    site = str(drifted.site)
    plan = told(drifted, "plan", site)
    by_verb = {
        "plan": [
            *((x["subject"], x["action"]) for x in plan["changes"]),
            *((x["subject"], x["text"]) for x in plan["notes"]),
        ],
        "verify": [(x["subject"], x["detail"]) for x in told(drifted, "verify", site)["checks"] if x["ok"] is False],
        "status": [tuple(line.split(": ", 1)) for line in told(drifted, "status")["drift"]],
        "draw": [tuple(line.split(": ", 1)) for line in told(drifted, "draw", site, "--live")["drift"]],
        "serve": served(drifted),
    }
    unseen = [
        f"{verb}: {command}"
        for command, (subject, action) in DRIFTS.items()
        for verb, lines in by_verb.items()
        if not any(who == subject and action in what for who, what in lines)
        and (verb, command) != ("status", FORWARDING)
    ]
    assert unseen == []
