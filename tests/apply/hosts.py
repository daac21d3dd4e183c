"""A host in a namespace, its site file, and a judge that knows nothing of Bascule's own difference."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from bascule.apply.rollback.checkpoint import Status
from bascule.system.disk import durable
from bascule.system.net.netns import Namespace
from tests import prefork
from tests.lab import Lab, called
from tests.patience import patient, rest_s

SITE = """\
site: t
networks:
  lan: {subnet: [10.0.0.0/24, 'fd00::/64'], gateway: 10.0.0.1}
  guests: {subnet: 10.1.0.0/24}
hosts:
  h:
    nics:
      eth0: {network: lan}
      eth4: {network: guests}
    bridges:
      br0: {uplink: eth0, address: from-uplink}
      br3: {uplink: eth4}
guests:
  g: {host: h, memory: 1GiB, nics: [{bridge: br3, tap: vnet1, address: 10.1.0.5/24}]}
"""

ADDITION = """\
site: t
networks:
  guests: {subnet: 10.1.0.0/24}
hosts:
  h:
    nics:
      eth4: {network: guests}
    bridges:
      br3: {uplink: eth4}
"""

MACS = {"eth0": "02:00:00:00:00:10", "eth4": "02:00:00:00:00:14"}  # the same each time, for states that were recorded

FURNITURE = """\
link set lo up
link set vnet1 address 02:00:00:00:01:01
link set vnet2 address 02:00:00:00:01:02
link add old0 type bridge
link set old0 up
addr add 192.168.7.1/24 dev old0
link set vnet1 up master old0
link set vnet2 up master old0
addr add 10.0.0.5/24 dev eth0 valid_lft 3600 preferred_lft 1800
addr add fd00::5/64 dev eth0 nodad
addr add fd00::99/64 dev eth0 nodad valid_lft 7200 preferred_lft 7000
route add default via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.5 metric 100
route add default via 10.0.0.1 dev eth0 table 77
route add 10.8.0.0/16 via 10.0.0.1 dev eth0
route add ::/0 via fd00::1 dev eth0 metric 512
rule add from 10.0.0.5 lookup 77 priority 500
"""

SSH = "10.0.0.1 40000 10.0.0.5 22"


class Bed(Struct):
    """A host between cables, with its own state directory."""

    lab: Lab
    host: Namespace
    wire: Namespace
    state: Path
    site: Path

    def ip(self, words: str) -> str:
        return self.lab.ip(self.host, words)

    def batch(self, lines: str, namespace: Namespace | None = None) -> None:
        with (namespace or self.host).entered():
            subprocess.run(("ip", "-batch", "-"), input=lines, text=True, check=True)

    @property
    def env(self) -> dict[str, str]:
        return {"BASCULE_STATE_DIR": str(self.state), "SSH_CONNECTION": SSH}

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return self.lab.bascule(self.host, *words, env={**self.env, **env}, hostname="h")

    def start(self, *words: str, **rest: Any) -> subprocess.Popen[str]:
        with self.host.entered(), called("h"):
            return prefork.start(
                *words, env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **rest,
            )  # fmt: skip

    def apply(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = self.run("apply", str(self.site), "--yes", *words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    def status(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.run("status", "--json").stdout)
        return document

    def raw(self) -> dict[str, Any]:
        return raw(self.host)

    def calm(self) -> dict[str, Any]:
        """The raw state once the kernel has settled: link-local addresses come a moment after a link is up."""
        settled: dict[str, Any] = wait_for(self.raw, lambda state: not any(a["tentative"] for a in state["addresses"]))
        return settled


def furnish(lab: Lab, tmp_path: Path, site: str = SITE, *, dad: bool = False) -> Bed:
    """A host with eth0 (its own addresses) and eth4, two running guests on a foreign bridge, and a gateway.

    Without duplicate address detection nobody has to wait two seconds until IPv6 has settled.
    """
    host, wire = lab.namespace("host"), lab.namespace("wire")
    if not dad:
        for namespace in (host, wire):
            with namespace.entered():
                Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")
    bed = Bed(lab, host, wire, tmp_path / "state", tmp_path / "site.yaml")
    bed.site.write_text(site)
    away = f"netns /proc/{os.getpid()}/fd/{wire.fd}"
    bed.batch("".join(f"link add {n} address {m} type veth peer name {n}w {away}\n" for n, m in MACS.items()))
    up = "".join(f"link set {nic}w up\n" for nic in MACS)
    bed.batch(f"{up}addr add 10.0.0.1/24 dev eth0w\naddr add fd00::1/64 dev eth0w nodad\n", wire)
    for tap in ("vnet1", "vnet2"):
        lab.tap(host, tap)
    bed.batch("".join(f"link set {nic} up\n" for nic in MACS) + FURNITURE)
    with host.entered():
        wait_for(_with_own_address, lambda links: {"eth0", "eth4", "old0"} <= links)
    return bed


def _with_own_address() -> set[str]:
    """The links of this namespace that have the IPv6 address that the kernel gives them."""
    rows = [line.split() for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines()]
    return {link for _, _, _, scope, _, link in rows if scope == "20"}  # IPV6_ADDR_LINKLOCAL


def _own(address: dict[str, Any]) -> bool:
    return bool(address["scope"] == "link" and address["family"] == "inet6")


LINK_NOISE = {
    "ifindex", "link_index", "stats64", "stats", "qdisc", "operstate", "promiscuity", "allmulti", "flags",
    "link_netnsid",
    "gc_timer", "hello_timer", "tcn_timer", "topology_change_timer", "topology_change", "topology_change_detected",
    "bridge_id", "designated_root", "designated_bridge", "root_id", "root_port", "root_path_cost", "message_age_timer",
    "forward_delay_timer", "hold_timer", "config_pending", "topology_change_ack", "designated_port", "designated_cost",
    "id",
    "tso_max_size", "tso_max_segs", "gso_max_size", "gso_max_segs", "gro_max_size", "gso_ipv4_max_size",
    "gro_ipv4_max_size", "no", "state", "numtxqueues", "numrxqueues", "port_id", "port_no", "multicast_router",
}  # fmt: skip


def raw(namespace: Namespace) -> dict[str, Any]:
    """What `ip` says, without what moves by itself; lists are in an order of their own."""
    dumps = {}
    with namespace.entered():
        for key, words in {
            "links": ("-d", "link"), "addresses": ("addr",), "routes": ("-4", "route", "show", "table", "all"),
            "routes6": ("-6", "route", "show", "table", "all"), "rules": ("-4", "rule"), "rules6": ("-6", "rule"),
        }.items():  # fmt: skip
            text = subprocess.run(("ip", "-j", *words), capture_output=True, text=True, check=True).stdout
            dumps[key] = [entry for entry in json.loads(text or "[]") if entry]
        accept_ra = {}
        for entry in dumps["links"]:
            with contextlib.suppress(OSError):  # a link may have gone meanwhile
                path = Path(f"/proc/sys/net/ipv6/conf/{entry['ifname']}/accept_ra")
                accept_ra[entry["ifname"]] = path.read_text().strip()
    links = {link["ifname"]: {**_quiet(link), "up": "UP" in link["flags"]} for link in dumps["links"]}
    links.pop("ovs-netdev", None)  # how a datapath shows itself, with another MAC each time
    addresses = [
        {
            "dev": link["ifname"],
            "tentative": bool(a.get("tentative")),
            **{k: v for k, v in a.items() if "life_time" not in k and k not in {"tentative", "nodad_done", "protocol"}},
            "lifetime": a["valid_life_time"] != 0xFFFFFFFF,
        }
        for link in dumps["addresses"]
        for a in link["addr_info"]
        if a
    ]
    routes = [
        {k: v for k, v in route.items() if k not in {"expires", "flags", "cache", "metrics"}}
        for key in ("routes", "routes6")
        for route in dumps[key]
        if route.get("type") not in {"multicast", "anycast"}
    ]
    order = [json.dumps(address, sort_keys=True) for address in addresses]
    return {
        "links": links,
        "addresses": [json.loads(text) for text in sorted(order)],
        "routes": sorted({json.dumps(route, sort_keys=True) for route in routes}),
        "rules": dumps["rules"] + dumps["rules6"],
        "accept_ra": accept_ra,
    }


def _quiet(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _quiet(item) for key, item in value.items() if key not in LINK_NOISE}
    return value


def difference(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What differs between two raw states, readable; link-local addresses that are still tentative count as there."""
    found = []
    for key in ("links", "accept_ra"):
        for name in sorted({*one[key], *other[key]}):
            a, b = one[key].get(name), other[key].get(name)
            if a != b and isinstance(a, dict) and isinstance(b, dict):
                found += [f"{name}.{k}: {a.get(k)} → {b.get(k)}" for k in sorted({*a, *b}) if a.get(k) != b.get(k)]
            elif a != b:
                found.append(f"{key} {name}: {'gone' if b is None else 'new' if a is None else f'{a} → {b}'}")
    first, second = (
        {json.dumps({**a, "tentative": False}, sort_keys=True) for a in x["addresses"]} for x in (one, other)
    )
    found += [f"address gone: {a}" for a in sorted(first - second)]
    found += [f"address new: {a}" for a in sorted(second - first) if not _of_the_kernel(json.loads(a), other)]
    # the kernel's own routes to a link-local or tentative address come with its duplicate address detection
    own = ('"fe80:', '"table": "local"')
    first, second = ({r for r in x["routes"] if not any(word in r for word in own)} for x in (one, other))
    found += [f"route gone: {r}" for r in sorted(first - second)]
    found += [f"route new: {r}" for r in sorted(second - first)]
    if one["rules"] != other["rules"]:
        found.append(f"rules: {one['rules']} → {other['rules']}")
    return found


def _of_the_kernel(address: dict[str, Any], state: dict[str, Any]) -> bool:
    """A link-local address on a link that makes its own, some time after it came up."""
    return _own(address) and state["links"][address["dev"]].get("inet6_addr_gen_mode") != "none"


def wait_for(ask: Any, good: Any, timeout_s: float = 10.0) -> Any:
    """The first answer that is good, or the last one there was."""
    until = time.monotonic() + patient(timeout_s)
    while True:
        begun = time.monotonic()
        found = ask()
        if good(found) or time.monotonic() > until:
            return found
        time.sleep(rest_s(begun))


def journal_of(state: Path) -> Path:
    """The journal of the last change in a state directory."""
    return max(state.glob("*/checkpoints/*/journal"))


def time_is_up(journal: Path) -> None:
    """The deadline of a change that waits is now: what is asserted of one that waits has all the time that it takes."""
    *_, last = durable.records(journal)
    assert last["status"] == Status.APPLIED
    durable.append(journal, {**last, "deadline_s": 0.0})


@contextlib.contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """These variables for a while."""
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
