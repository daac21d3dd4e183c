"""Attack tools that nobody here wrote, from a guarded guest: the others' caches, routes and addresses stay as they are.

What a tool sends is counted where it leaves the guest; one that sends nothing here proves nothing and is skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest
from msgspec import Struct

from bascule.frames.guarding.attacks import ATTACKS
from bascule.model.ruleset.text import replacing_text
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.policy.guards.table import KEY
from bascule.system.net.netns import Namespace
from bascule.system.net.packet import open_packet
from bascule.system.run import run
from tests.guards.segment import PARTIES, site
from tests.lab import Lab, open_lab, pings
from tests.patience import wait_until

pytestmark = pytest.mark.kernel
ME, OTHER, ROUTER = PARTIES.me, PARTIES.other, PARTIES.router
SECONDS = {"bettercap": "6", "atk6-fake_router26": "6", "atk6-fake_router6": "6"}  # which wait before they begin
FEW = ("arpspoof", "mausezahn ARP", "fake_router26", "fake_advertise6")  # in each run; all of them in `make soak`
TOOLS = {
    "arpspoof": f"arpspoof -i eth0 -t {OTHER.ip4} {ROUTER.ip4}",
    "macof": "macof -i eth0 -n 2000",
    "arping as the router": f"arping -c 3 -i eth0 -S {ROUTER.ip4} {OTHER.ip4}",
    "arping with the router's MAC": f"arping -c 3 -i eth0 -s {ROUTER.mac} {OTHER.ip4}",
    "hping3 with another's address": f"hping3 -I eth0 -a {ROUTER.ip4} -S -p 80 -i u20000 {OTHER.ip4}",
    "hping3 redirects": f"hping3 -I eth0 -1 -C 5 -K 1 -i u20000 {OTHER.ip4}",
    "mausezahn ARP": f"mausezahn eth0 -c 50 -d 10m -t arp reply,smac={ME.mac},sip={ROUTER.ip4},targetip={OTHER.ip4}",
    "mausezahn BPDU": "mausezahn eth0 -c 20 -d 20m -t bpdu vlan=1",
    "mausezahn CDP": "mausezahn eth0 -c 20 -d 20m -t cdp",
    "mausezahn tagged": f"mausezahn eth0 -c 20 -d 20m -Q 5 -A {ME.ip4} -B {OTHER.ip4} -t udp dp=9",
    "packit ARP": f"packit -t arp -A 2 -y {ROUTER.ip4} -Y {ME.mac} -x {OTHER.ip4} -i eth0 -c 5",
    "yersinia DHCP": "yersinia dhcp -attack 1 -interface eth0",
    "yersinia STP": "yersinia stp -attack 4 -interface eth0",
    "yersinia HSRP": "yersinia hsrp -attack 1 -interface eth0",
    "fake_router6": "atk6-fake_router6 eth0 2001:db8:bad::/64",
    "fake_router26": "atk6-fake_router26 -A 2001:db8:bad::/64 eth0",
    "fake_router26 behind headers": "atk6-fake_router26 -E H -A 2001:db8:bad::/64 eth0",
    "fake_router26 in fragments": "atk6-fake_router26 -E F -A 2001:db8:bad::/64 eth0",
    "fake_advertise6": f"atk6-fake_advertise6 eth0 {ROUTER.ip6} {OTHER.ip6}",
    "fake_solicitate6": f"atk6-fake_solicitate6 eth0 {ROUTER.ip6}",
    "fake_dhcps6": "atk6-fake_dhcps6 eth0 2001:db8:bad::/64 2001:db8:bad::1",
    "fake_mld6": "atk6-fake_mldrouter6 eth0 advertise",
    "parasite6": "atk6-parasite6 eth0",
    "flood_router26": "atk6-flood_router26 eth0",
    "flood_advertise6": "atk6-flood_advertise6 eth0",
    "flood_solicitate6": "atk6-flood_solicitate6 eth0",
    "redir6": f"atk6-redir6 eth0 {OTHER.ip6} 2001:db8:99::1 {ROUTER.ip6} {ME.ip6}",
    "dos-new-ip6": "atk6-dos-new-ip6 eth0",
    "arp-scan as the router": f"arp-scan -I eth0 --arpspa={ROUTER.ip4} 10.0.0.0/28",
    "arp-scan in VLAN 0": f"arp-scan -I eth0 --arpspa={ROUTER.ip4} --vlan=0 10.0.0.0/28",
    "arp-scan behind LLC": f"arp-scan -I eth0 --arpspa={ROUTER.ip4} --llc 10.0.0.0/28",
    "dhcpstarv": "dhcpstarv -i eth0",
    "bettercap": f"bettercap -iface eth0 -no-history -eval 'set arp.spoof.targets {OTHER.ip4}; arp.spoof on; sleep 4'",
    "ndpexhaust26": "atk6-ndpexhaust26 -c eth0 2001:db8::/64",
    **{
        words.split()[0]: f"atk6-{words}"
        for words in (
            "flood_router6 eth0",
            "flood_redir6 eth0",
            "flood_mld6 eth0",
            "flood_mld26 eth0",
            "flood_mldrouter6 eth0",
            "flood_rs6 eth0",
            f"flood_unreach6 eth0 {OTHER.ip6}",
            "flood_dhcpc6 eth0",
            "fake_mld6 eth0 query",
            "fake_mld26 eth0 query",
            f"fake_mipv6 eth0 {ROUTER.ip6} {OTHER.ip6} {ME.ip6}",
            "fake_pim6 eth0 hello",
            f"kill_router6 eth0 {ROUTER.local}",
            f"smurf6 eth0 {OTHER.ip6}",
            f"rsmurf6 eth0 {OTHER.ip6}",
            f"denial6 eth0 {OTHER.ip6} 1",
            f"toobig6 eth0 {OTHER.ip6} {ROUTER.ip6} 1280",
            f"fuzz_ip6 -x -I {OTHER.ip6} eth0 {OTHER.ip6}",
            f"sendpees6 eth0 1024 2001:db8:: {OTHER.ip6}",
            f"thcsyn6 -s {ROUTER.ip6} eth0 {OTHER.ip6} 80",
            f"fragmentation6 eth0 {OTHER.ip6}",
            f"implementation6 eth0 {OTHER.ip6}",
            f"inverse_lookup6 eth0 {OTHER.mac}",
            f"node_query6 eth0 {OTHER.ip6}",
            f"exploit6 eth0 {OTHER.ip6}",
            "inject_alive6 eth0",
            "fuzz_dhcps6 eth0",
            "ndpexhaust6 eth0 2001:db8::",
            "detect_sniffer6 eth0",
        )
    },
}


class Wire(Struct):
    """The host with its bridge; web attacks, db and the router are the victims."""

    host: Namespace
    web: Namespace
    db: Namespace
    router: Namespace

    def knows(self) -> dict[str, object]:
        """What an attack would change: caches, routes and addresses of the victims, and where the bridge sends."""
        found: dict[str, object] = {}
        for name, who in (("db", self.db), ("router", self.router)):
            rows = json.loads(run(("ip", "-j", "neigh", "show", "dev", "eth0"), namespace=who).stdout or "[]")
            known = {str(ROUTER.ip4), str(ROUTER.ip6), str(OTHER.ip4), str(OTHER.ip6)}
            found[f"{name} neighbours"] = {x["dst"]: x.get("lladdr") for x in rows if x["dst"] in known}
            found[f"{name} routes"] = run(("ip", "-6", "route", "show", "default"), namespace=who).stdout
            addresses = json.loads(run(("ip", "-j", "addr", "show", "dev", "eth0"), namespace=who).stdout)
            found[f"{name} addresses"] = sorted(x["local"] for x in addresses[0]["addr_info"])
        lines = run(("bridge", "fdb", "show", "br", "br0"), namespace=self.host).stdout.splitlines()
        places = {x.split()[0]: x.split()[2] for x in lines if "permanent" not in x}
        found["bridge"] = {mac: port for mac, port in places.items() if mac in {OTHER.mac, ROUTER.mac}}
        found["at web's port"] = {mac for mac, port in places.items() if port == "web.0"} - {ME.mac}
        return found

    def ping(self) -> None:
        """The victims know each other, and the bridge knows both."""
        for address in (ROUTER.ip4, ROUTER.ip6):
            assert pings(self.db, str(address))

    def heal(self) -> None:
        """What an attack has changed is as it was."""
        for who in (self.db, self.router):
            run(("ip", "neigh", "flush", "dev", "eth0"), namespace=who)
            run(("ip", "-6", "route", "flush", "proto", "ra"), namespace=who, check=False)
            run(("ip", "-6", "addr", "flush", "dev", "eth0", "dynamic"), namespace=who, check=False)
        run(("ip", "link", "set", "dev", "web.0", "type", "bridge_slave", "fdb_flush"), namespace=self.host)
        self.ping()

    def sent(self) -> int:
        """Frames that have left the attacker."""
        told = json.loads(run(("ip", "-j", "-s", "link", "show", "eth0"), namespace=self.web).stdout)
        return int(told[0]["stats64"]["tx"]["packets"])


def _end(lab: Lab, host: Namespace, port: str, name: str, party: object) -> Namespace:
    end = lab.namespace(name)
    with end.entered():
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    lab.ip(host, f"link add {port} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{fd}")
    os.close(fd)
    lab.ip(end, f"link set eth0 address {party.mac} up")  # type: ignore[attr-defined]  # a party of the segment
    lab.ip(end, f"addr add {party.ip4}/24 dev eth0")  # type: ignore[attr-defined]
    lab.ip(end, f"addr add {party.ip6}/64 dev eth0 nodad")  # type: ignore[attr-defined]
    lab.ip(host, f"link set {port} addrgenmode none master br0 up")
    return end


@contextlib.contextmanager
def guarded_wire(*, with_vlans: bool = False) -> Iterator[Wire]:
    """The host and the three at its bridge, which keeps VLANs apart if told so: all three are in VLAN 30."""
    with open_lab() as lab:
        host = lab.namespace("host")
        lab.ip(host, "link add br0 type bridge forward_delay 0 mcast_snooping 0 no_linklocal_learn 1")
        lab.ip(host, "link set br0 up addrgenmode none")
        some = site("strict")
        table = guard_table(guarded_ports(some, some.hosts["h"]), "bascule:lodge")
        assert table is not None
        run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=host)
        ends = [_end(lab, host, *x) for x in (("web.0", "web", ME), ("db.0", "db", OTHER), ("up.0", "router", ROUTER))]
        if with_vlans:
            lab.ip(host, "link set br0 type bridge vlan_filtering 1 vlan_default_pvid 0")
            for port in ("web.0", "db.0", "up.0"):
                run(("bridge", "vlan", "add", "dev", port, "vid", "30", "pvid", "untagged"), namespace=host)
        yield Wire(host, *ends)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    with guarded_wire() as one:
        yield one


def sent_by_web(wire: Wire) -> None:
    """Every hostile frame of the data; what is longer than the link carries is left out."""
    with wire.web.entered(), open_packet("eth0", protocol=0) as raw:
        for sample in ATTACKS:
            for frame in sample.frames(PARTIES):
                if len(frame) <= 1_514:
                    raw.send(frame)


def changes_nothing_but_without_a_guard(wire: Wire) -> None:
    """Four kinds of state: ARP cache, ND cache, routes, and where the bridge sends."""
    wire.ping()
    time.sleep(1.1)  # the kernel keeps an ARP entry for a second against a second opinion (locktime)
    before = wire.knows()
    sent_by_web(wire)
    assert wire.knows() == before
    wire.ping()
    table = run(("nft", "list", "table", *KEY.split()), namespace=wire.host).stdout
    run(("nft", "delete", "table", *KEY.split()), namespace=wire.host)
    wait_until(lambda: poisoned(wire), 5, "whatever a guard keeps away")
    run(("nft", "-f", "-"), stdin=table, namespace=wire.host)
    wire.heal()
    assert before["db routes"] == ""
    assert wire.knows() == before


def poisoned(wire: Wire) -> bool:
    """Whether all four have changed; the kernel itself may confirm an entry, and holds on to it for a second more."""
    time.sleep(1.1)
    sent_by_web(wire)
    after = wire.knows()
    known = after["db neighbours"]
    assert isinstance(known, dict)
    lies = [known.get(str(address)) == ME.mac for address in (ROUTER.ip4, ROUTER.ip6)]
    return all([*lies, after["db routes"], after["at web's port"]])


def test_our_frames_change_nothing_that_a_victim_knows_and_all_of_it_without_a_guard(wire: Wire) -> None:
    changes_nothing_but_without_a_guard(wire)


@pytest.mark.parametrize("name", TOOLS if os.environ.get("BASCULE_SOAK") else FEW)
def test_an_attack_leaves_the_others_as_they_are(wire: Wire, name: str) -> None:
    words = shlex.split(TOOLS[name])
    if shutil.which(words[0]) is None:
        pytest.skip(f"{words[0]} is not installed")
    wire.ping()
    before, sent = wire.knows(), wire.sent()
    with wire.web.entered(), contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(
            ["timeout", "-s", "KILL", SECONDS.get(words[0], "1.5"), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
    if wire.sent() - sent < 2:
        pytest.skip(f"'{TOOLS[name]}' sends nothing here")
    wire.ping()
    assert wire.knows() == before
