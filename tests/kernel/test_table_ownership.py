"""Whose a table is: a mark inside it tells, never its name alone."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge
from bascule.model.ruleset.rules import ForeignTable, Table
from bascule.model.ruleset.text import replacing_text
from bascule.model.site import Mode, PlugKind, Site
from bascule.model.state import Link
from bascule.model.values import IfName
from bascule.plan.virtual_network import resolved_networks
from bascule.policy.host_tables import host_tables
from bascule.providers.dnsmasq.state import DnsmasqState, Server
from bascule.providers.nft import NFT
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.apply.old_states import STATES
from tests.guests.values import SSH, guest, nic, site, virtual_network
from tests.lab import Lab

pytestmark = pytest.mark.kernel
Call = Callable[..., str]
FILE = """site: lodge
hosts:
  vmhost:
    virtual_networks:
      mine: {mode: isolated, subnet: 192.168.150.0/24}
"""
THEIRS = "table inet bascule_mine {\n\tchain c {\n\t\tcounter accept\n\t}\n}\n"
ACCEPT_ALL = "table bridge guard {\n\tchain f {\n\t\ttype filter hook forward priority filter; policy accept;\n\t}\n}\n"


@pytest.fixture
def host(lab: Lab) -> Namespace:
    return lab.namespace("host")


@pytest.fixture
def bascule(lab: Lab, host: Namespace, tmp_path: Path) -> Call:
    file = tmp_path / "site.yaml"
    file.write_text(FILE)

    def call(verb: str, *words: str, status: int = 0) -> str:
        env = {"BASCULE_STATE_DIR": str(tmp_path / "state")}
        path = () if verb in {"confirm", "undo", "status"} else (str(file),)
        done = lab.bascule(host, verb, *path, *words, env=env)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return call


def load(host: Namespace, text: str) -> None:
    run(("nft", "-f", "-"), stdin=text, namespace=host)


def listing(host: Namespace) -> str:
    return run(("nft", "list", "ruleset"), namespace=host).stdout


def test_t12_an_unmarked_table_of_the_name_that_ours_needs_is_refused_and_stays(host: Namespace, bascule: Call) -> None:
    load(host, THEIRS)
    before = listing(host)
    for verb in (("plan",), ("apply", "--yes", "--no-confirm")):
        told = bascule(*verb, status=1)
        assert "error[TABLE-TAKEN]: virtual network 'mine' needs the nft table 'inet bascule_mine'" in told
        assert "of that name that is not Bascule's" in told
    assert listing(host) == before


@pytest.mark.parametrize(
    ("put", "told"),
    [
        ("add map inet bascule_mine m { type inet_service : ipv4_addr; }", "- map m"),
        ("add counter inet bascule_mine c", "- counter c"),
        ("add quota inet bascule_mine q { over 10 mbytes }", "- quota q"),
        ("add set inet bascule_mine s { type ipv4_addr; }", "- set s"),
        ("add rule inet bascule_mine forward meta mark set numgen random mod 4", "- forward: # a rule that Bascule"),
    ],
)
def test_what_others_put_into_a_table_of_ours_is_named_goes_and_hinders_no_way_back(
    put: str, told: str, host: Namespace, bascule: Call, tmp_path: Path
) -> None:
    bascule("apply", "--yes", "--no-confirm")
    before = listing(host)
    load(host, put + "\n")
    for said in (bascule("plan"), bascule("status", status=1), bascule("verify", status=1)):
        assert told in " ".join(said.split())
    file = tmp_path / "site.yaml"
    file.write_text(FILE.replace("mode: isolated", "mode: routed"))
    assert told in " ".join(bascule("apply", "--yes", "--no-confirm").split())
    back = " ".join(bascule("undo").split())
    assert "is taken back" in back
    known = told == "- set s"
    assert ("others put into it what Bascule cannot write" in back) == (not known)
    assert (listing(host) == before) == (not known)


def test_t12_tables_of_others_stay_whatever_their_names_are(host: Namespace, bascule: Call, tmp_path: Path) -> None:
    load(host, THEIRS.replace("mine", "theirs") + ACCEPT_ALL)
    bascule("apply", "--yes", "--no-confirm")
    load(host, THEIRS.replace("mine", "later"))
    assert "nothing to do" in bascule("plan", "--exit-code")
    assert "drifted" not in bascule("status")
    (tmp_path / "site.yaml").write_text(FILE.partition("    virtual_networks:")[0])
    assert "inet bascule_mine  delete its rules" in bascule("plan")
    bascule("apply", "--yes", "--no-confirm")
    assert set(observe(namespace=host).tables) == {"inet bascule_theirs", "inet bascule_later", "bridge guard"}
    bascule("undo")
    assert isinstance(observe(namespace=host).tables["inet bascule_mine"], Table)
    bascule("undo")
    assert set(observe(namespace=host).tables) == {"inet bascule_theirs", "inet bascule_later", "bridge guard"}


def test_the_mark_survives_a_list_that_is_loaded_again(host: Namespace, bascule: Call) -> None:
    bascule("apply", "--yes", "--no-confirm")
    kept = listing(host)
    load(host, "flush ruleset\n" + kept)
    table = observe(namespace=host).tables["inet bascule_mine"]
    assert isinstance(table, Table)
    assert table.mark == "bascule:lodge"
    assert "nothing to do" in bascule("plan", "--exit-code")


def test_a_table_of_another_site_is_refused_by_its_name(host: Namespace, bascule: Call, tmp_path: Path) -> None:
    bascule("apply", "--yes", "--no-confirm")
    other = tmp_path / "site.yaml"
    other.write_text(FILE.replace("site: lodge", "site: inn"))
    assert "belongs to site 'lodge'" in bascule("plan", status=1)


def test_a_table_of_the_bridge_family_does_not_drift(host: Namespace) -> None:
    """Compared as text its priority, which nft lists as 'filter', was -200 once and 0 another time."""
    load(host, ACCEPT_ALL.replace("guard", "bascule_guard"))
    first = observe(namespace=host).tables["bridge bascule_guard"]
    assert isinstance(first, ForeignTable)
    assert '"prio":-200' in first.content
    assert observe(namespace=host).tables["bridge bascule_guard"] == first


def test_counters_and_handles_of_others_are_no_difference(lab: Lab, host: Namespace) -> None:
    text = "table ip t {\n\tchain c {\n\t\ttype filter hook output priority 0;\n\t\tcounter accept\n\t}\n}\n"
    load(host, text)
    first = observe(namespace=host).tables
    lab.ip(host, "link set lo up")
    run(("ping", "-c1", "-W1", "127.0.0.1"), namespace=host)
    load(host, "delete table ip t\n" + text)
    run(("ping", "-c1", "-W1", "127.0.0.1"), namespace=host)
    assert observe(namespace=host).tables == first


def old_table(network: str) -> str:
    """What version 0.1.0 loaded for its network lab, under another name."""
    script = (STATES / "armed" / "made.sh").read_text().partition("<<'.'\n")[2].partition("\n.\n")[0]
    return script.replace("bascule_lab", f"bascule_{network}").replace("vn-lab", f"vn-{network}")


def test_a_table_of_version_0_1_0_is_taken_over(host: Namespace, bascule: Call) -> None:
    load(host, old_table("mine"))
    before = observe(namespace=host).tables["inet bascule_mine"]
    assert isinstance(before, Table)
    assert before.mark == ""
    assert "replace its rules" in bascule("plan")
    bascule("apply", "--yes", "--no-confirm")
    after = observe(namespace=host).tables["inet bascule_mine"]
    assert isinstance(after, Table)
    assert after.mark == "bascule:lodge"
    bascule("undo")
    assert observe(namespace=host).tables["inet bascule_mine"] == before


def bring(host: Namespace, told: Site, *, scripts: Collection[str] = ()) -> list[str]:
    """nft's part of a change where libvirt makes the networks; what was done to which table."""
    part = DnsmasqState(folder="/state", servers={name: Server(script="") for name in scripts})
    bridge = Link(name=IfName("vn-lab"), options=Bridge())  # libvirt's, which stays when the network leaves the file
    before = replace(observe(namespace=host), links={bridge.name: bridge}, parts={"dnsmasq": part})
    described = told.hosts["h"]
    found = host_tables(told, described, before, resolved_networks(told, described), by_libvirt=True)
    steps = list(NFT.diff(before, replace(before, tables=found.tables)))
    for one in steps:
        for command in one.commands:
            load(host, command.stdin)
    assert observe(namespace=host).tables == found.tables
    return [f"{one.subject}: {one.action}" for one in steps]


FORWARDED = site(
    guest("g1", nic("g1", 0, "lab", "dhcp", plug=PlugKind.NETWORK)),
    networks=(virtual_network(Mode.NAT, forwards=(SSH,)),),
)


def test_d19_the_forwards_beside_a_network_of_libvirts_go_when_it_leaves_the_file(host: Namespace) -> None:
    """The table went only where a bridge of ours told of it, and this one is libvirt's."""
    assert bring(host, FORWARDED) == ["nft inet bascule_lab: load its rules"]
    assert bring(host, FORWARDED) == []
    assert bring(host, site(networks=(virtual_network(Mode.NAT),))) == ["nft inet bascule_lab: delete its rules"]
    bring(host, FORWARDED)
    assert bring(host, site()) == ["nft inet bascule_lab: delete its rules"]
    assert listing(host) == ""


def test_those_that_version_0_1_0_made_go_where_its_script_tells_of_them(host: Namespace) -> None:
    load(host, old_table("lab"))
    assert bring(host, site()) == []
    assert bring(host, site(), scripts=["lab"]) == ["nft inet bascule_lab: delete its rules"]


@pytest.mark.parametrize(
    "edit",
    [
        ("reject", 'reject with icmpx admin-prohibited comment "mine"'),
        ("vn-mine", "vn-other"),
        ("priority 0", "priority 1"),
    ],
)
def test_what_version_0_1_0_did_not_write_so_is_somebody_elses(host: Namespace, edit: tuple[str, str]) -> None:
    load(host, old_table("mine").replace(*edit))
    assert isinstance(observe(namespace=host).tables["inet bascule_mine"], ForeignTable)


def test_the_text_in_its_checkpoints_is_the_table_that_nft_lists(host: Namespace) -> None:
    from bascule.model.ruleset.text_0_1_0 import read_0_1_0

    load(host, old_table("lab"))
    table = read_0_1_0("table" + old_table("lab").split("\ntable")[-1])
    assert observe(namespace=host).tables == {"inet bascule_lab": table}
    load(host, replacing_text(table))
    assert observe(namespace=host).tables == {"inet bascule_lab": table}
