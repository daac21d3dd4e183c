"""T3 and T5: what the doctor prints for firewalld and ufw is pasted, and their own programs make the frames pass."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.model.ruleset.text import replacing_text
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.policy.guards.table import KEY
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.guards.segment import site as guarded_site
from tests.lab import open_lab
from tests.real_hosts.daemons import FirewallRoom
from tests.real_hosts.field import BASE, Field, furnished
from tests.real_hosts.firewalls import connects

pytestmark = pytest.mark.kernel

NETWORK = "virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24, dhcp: 10.77.0.100-10.77.0.199}}\n    bridges:"
INSIDE = "  inside: {host: kvm, nics: [{network: lab, address: dhcp}]}\nmachines:"
SITE = BASE.replace("subnet: 192.168.1.0/24", "subnet: [192.168.1.0/24, 'fd00:1::/64']").replace("bridges:", NETWORK)
SITE = SITE.replace("machines:", INSIDE).partition("expect:")[0]
WEB = ("192.168.1.21", "fd00:1::21")


@pytest.fixture(scope="module")
def lab_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Field, Namespace]]:
    with open_lab() as lab:
        made = furnished(lab, tmp_path_factory.mktemp("fixes"))
        made.batch("addr add fd00:1::50/64 dev eth0 nodad\n", made.pc)
        web = made.guest("web", "web.0", *(f"{a}/{64 if ':' in a else 24}" for a in WEB), site=SITE)
        inside = made.guest("inside", "inside.0", "10.77.0.150/24", site=SITE)
        made.ip("route add default via 10.77.0.1", inside)
        made.listen(web, 80)
        made.listen(made.pc, 80)
        done = made.bascule("apply", made.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        yield made, inside


@pytest.mark.parametrize("firewall", ["ufw", "firewalld"])
def test_t03_t05_the_fix_is_pasted_and_frames_pass(
    lab_host: tuple[Field, Namespace], tmp_path: Path, firewall: str
) -> None:
    field, inside = lab_host
    for table in ("ip filter", "ip6 filter", "ip mangle", "ip6 mangle", "ip nat", "ip6 nat", "inet firewalld"):
        field.run("nft", "delete", "table", *table.split())  # of the one before
    room = FirewallRoom(field, firewall, tmp_path)
    room.start()
    site = str(field.folder / "site.yaml")
    assert not connects(field, field.pc, WEB[0], seconds=0.4)
    said = room.why("inside", "192.168.1.50", "tcp/80", "--site", site, "--here")
    assert said["fixes"], said
    exact = said["fixes"][0]
    assert {one["from"] for one in exact["opens"]} == {"inside"}
    assert firewall != "firewalld" or "--new-policy=allow-tcp-80" in exact["words"]
    assert room.paste("\n".join(exact["commands"])) == "", exact
    leased = next(word for word in re.split(r"[ =]", exact["words"]) if word.startswith("10.77.0."))
    field.ip(f"address replace {leased}/24 dev eth0", inside)
    field.ip(f"route replace default via 10.77.0.1 src {leased}", inside)
    assert connects(field, inside, "192.168.1.50")
    assert room.why("inside", "192.168.1.50", "tcp/80", "--site", site, "--here")["result"] == "yes"
    for heading in ("bridge-filter", "network-services", "forward-policy"):
        for one in room.findings(site, heading):
            if one["severity"] == "problem":
                print(one["fix"])
                assert room.paste(one["fix"]) == "", one["fix"]
        left = [one for one in room.findings(site, heading) if one["severity"] == "problem"]
        assert left == []
    assert all(connects(field, field.pc, address) for address in WEB)
    assert connects(field, inside, "192.168.1.50")


def test_guards_outlive_a_reload_of_firewalld(lab_host: tuple[Field, Namespace], tmp_path: Path) -> None:
    """It flushes its own table; with iptables behind it, the families of IP and none of bridges."""
    field, _ = lab_host
    some = guarded_site("strict")
    table = guard_table(guarded_ports(some, some.hosts["h"]), "bascule:lodge")
    assert table is not None
    listing = ("nft", "-s", "list", "table", *KEY.split())  # without counters, which frames move meanwhile
    room = FirewallRoom(field, "firewalld", tmp_path)
    room.start()
    run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=field.host)
    before = run(listing, namespace=field.host).stdout
    done = room.run("firewall-cmd", "--reload")
    assert done.returncode == 0, done.stdout + done.stderr
    assert run(listing, namespace=field.host).stdout == before
    run(("nft", "delete", "table", *KEY.split()), namespace=field.host)
