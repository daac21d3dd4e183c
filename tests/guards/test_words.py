"""What people are told of guards: by doctor, draw, guest list and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule import workflow
from bascule.draw import draw
from bascule.guests.inventory import join
from bascule.model.domain import Domain, DomainNic
from bascule.model.links import Tap
from bascule.model.ruleset.text import replacing_text
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.observe.firewall import read_firewall
from bascule.observe.packet_path import read_network
from bascule.policy.guards.loaded import loaded_guards
from bascule.policy.guards.ports import guarded_ports
from bascule.policy.guards.rules import guard_table
from bascule.policy.guards.table import KEY
from bascule.providers.observe import observe
from bascule.site.parsers import read_service
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from bascule.verify.doctor import DoctorFacts, Finding, examine
from bascule.verify.reachability.question import ask
from bascule.workflow import why
from tests.guards.segment import Segment, segment, site

pytestmark = pytest.mark.kernel
NWFILTER = """table bridge nat {
  chain libvirt-I-web.0 {
  }
  chain PREROUTING {
    type filter hook prerouting priority -300
    iifname "web.0" jump libvirt-I-web.0
  }
}"""
OTHERS = """table ip f {
  chain c {
    type filter hook forward priority 0
    counter accept
  }
}"""


@pytest.fixture(scope="module")
def bridge() -> Iterator[Segment]:
    with segment() as one:
        one.lab.tap(one.host, "vnet9")
        one.lab.ip(one.host, "link set vnet9 master br0 up")
        yield one


def told(bridge: Segment, **more: object) -> dict[str, Finding]:
    """What the doctor says of guards, by its subject."""
    with bridge.host.entered():
        state = observe()
        found = examine(DoctorFacts(state=state, network=read_firewall(state), site=site("strict"), host="h", **more))  # type: ignore[arg-type]
    return {one.subject: one for one in found if one.id == "guards"}


def test_the_doctor_names_what_has_no_guard_what_is_slow_and_who_else_guards(bridge: Segment) -> None:
    missing = told(bridge)
    assert missing["db.0, web.0"].severity == "problem"
    assert "vnet9" in missing["br0"].text
    assert missing["br0"].evidence == ("not in the site file: vnet9",)
    bridge.guard(site("strict"))
    run(("nft", "-f", "-"), stdin=NWFILTER, namespace=bridge.host)
    run(("sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"), namespace=bridge.host)
    run(("nft", "-f", "-"), stdin=OTHERS, namespace=bridge.host)
    nic = DomainNic(index=0, kind="bridge", into="br0", tap="web.0", filter="clean-traffic")
    found = told(bridge, domains=(Domain(name="web", running=True, nics=(nic,)),))
    assert "db.0, web.0" not in found
    assert "slower" in found["br_netfilter"].text
    assert "web.0 (clean-traffic)" in found["web"].text
    assert found["bridge nat"].text.startswith("libvirt filters frames of web.0 as well")
    run(("nft", "delete", "table", "bridge", "nat"), namespace=bridge.host)
    run(("nft", "delete", "table", "ip", "f"), namespace=bridge.host)
    bridge.lab.ip(bridge.host, "link set db.0 name renamed0")  # guards go by the name of the tap
    assert "renamed0" in told(bridge)["br0"].text
    bridge.lab.ip(bridge.host, "link set renamed0 name db.0")


def test_a_guest_list_shows_the_guard_that_stands_and_the_one_that_should(bridge: Segment) -> None:
    some = site("strict")
    table = guard_table(guarded_ports(some, some.hosts["h"])[:1], "bascule:lodge")
    assert table is not None
    links = {IfName(name): Link(name=IfName(name), options=Tap(type="tap"), master=IfName("br0"), up=True)
             for name in ("web.0", "db.0")}  # fmt: skip
    state = HostState(links=links, tables={KEY: table})
    assert loaded_guards(state.tables) == {"web.0": "strict"}
    domains = [
        Domain(name=name, running=True, nics=(DomainNic(index=0, kind="bridge", into="br0", tap=f"{name}.0"),))
        for name in ("web", "db")
    ]
    web, db = join(domains, state=state, site=some).rows
    assert (web.guard, db.guard) == ("strict", "")
    assert not web.remarks
    assert db.remarks == ("the site file says guard: strict, and none stands at its tap (bascule apply)",)


def test_a_picture_has_a_sign_at_each_guarded_port() -> None:
    some = workflow.load("examples/guarded.yaml")
    text = draw(some, format="text")
    assert "◆ web.0" in text and "◇ lease.0" in text
    assert "◆ guard: own MAC and addresses only; ◇ guard: own MAC only" in text
    assert draw(some, format="svg").count('d="M') > 10
    plain = draw(some, format="text", ascii=True)
    assert "# web.0" in plain and "% lease.0" in plain


def test_a_picture_has_a_sign_at_a_port_with_static_entries() -> None:
    some = site("strict", "fdb: static")
    text = draw(some, format="text")
    assert "◆≡ web.0" in text and "◆ db.0" in text
    assert "≡ its MACs stand in the bridge's table, it learns none" in " ".join(text.split())
    assert "#= web.0" in draw(some, format="text", ascii=True)
    assert "≡" in draw(some, format="svg")
    assert [one["label"] for one in json.loads(draw(some, format="json"))["nodes"] if "fdb" in one] == ["web.0"]


def test_why_lets_well_behaved_guests_pass_and_blames_the_line_of_the_site_file(tmp_path: Path) -> None:
    file = "examples/guarded.yaml"
    assert why("web", "desk", read_service("icmp"), site=file).result == "yes"
    found = why("red", "blue", read_service("icmp"), site=file)
    line = next(n for n, words in enumerate(Path(file).read_text().splitlines(), 1) if words.startswith("  red:"))
    assert found.result == "no"
    assert f"{file}:{line}" in {found.place(one) for leg in found.asked.answer.legs for one in leg.blockers}
    assert all("apply puts them back" in fix.remark for fix in found.fixes)


def test_a_limit_of_broadcasts_is_named_whether_wanted_or_as_nft_shows_it(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "site: t\nnetworks: {lan: {subnet: 10.0.0.0/24}}\n"
        "hosts: {h: {nics: {eth4: {network: lan}}, bridges: {br0: {uplink: eth4}}}}\nguests:\n"
        "  web: {host: h, nics: [{bridge: br0, address: 10.0.0.5/24, guard: mac, limit: {broadcast: 100/s}}]}\n"
        "  db: {host: h, nics: [{bridge: br0, address: 10.0.0.6/24}]}\n"
    )
    found = why("web", "db", read_service("tcp/80"), site=str(file), wanted=True)
    of_file = workflow.load(str(file))
    table = guard_table(guarded_ports(of_file, of_file.hosts["h"]), "bascule:t")
    assert table is not None
    with Namespace.new("shown") as shown:
        run(("nft", "-f", "-"), stdin=replacing_text(table), namespace=shown)
        rules = read_network(shown).rules
    network = replace(found.network, rules=rules)
    asked = found.asked
    live = ask(network, {one.name: one for one in (asked.by, asked.of)}, asked.by, asked.of, asked.service)
    for answer in (asked.answer, live.answer):
        assert answer.result == "perhaps"
        (one,) = answer.blockers
        assert one.code == "limited"
        assert [str(doubt).partition(" (")[0] for doubt in one.doubts] == ["limit rate over 100/second"]
