"""T5 and point 18: a NAT network whose server the host's own INPUT cuts off, leases, NICs, and who answered."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from bascule.observe.firewall import read_firewall
from bascule.plan.virtual_network import resolved_networks
from bascule.providers.observe import observe
from bascule.site import parse
from bascule.verify.doctor.finding import DoctorFacts, Finding
from bascule.verify.doctor.firewall import network_services
from bascule.workflow import load as load_site
from tests.lab import open_lab
from tests.patience import HUNG_S
from tests.real_hosts.field import BASE, Field, furnished
from tests.real_hosts.firewalls import clear, feed, load

pytestmark = pytest.mark.kernel

NETWORK = "virtual_networks: {lab: {mode: nat, subnet: 10.77.0.0/24, dhcp: 10.77.0.100-10.77.0.199}}\n    bridges:"
INSIDE = "  inside: {host: kvm, nics: [{network: lab, address: dhcp}]}\nmachines:"
SITE = BASE.replace("bridges:", NETWORK).replace("machines:", INSIDE).partition("expect:")[0]
NATIVE = """table inet mine {
 chain in { type filter hook input priority 0; policy drop; iif "lo" accept; ct state established accept; }
}
"""


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with open_lab() as lab:
        made = furnished(lab, tmp_path_factory.mktemp("input"))
        inside = made.guest("inside", "inside.0", site=SITE)
        web = made.guest("web", "web.0", "192.168.1.21/24", site=SITE)
        made.listen(web, 80)
        done = made.bascule("apply", made.site(SITE), "--yes", "--no-confirm")
        assert done.returncode == 0, done.stderr
        made.ip("neigh flush all")
        made.run("ping", "-c1", "-W1", "-I", "eth0", "ff02::1", where=inside)  # it speaks, so its MAC is seen
        yield made


@pytest.mark.parametrize("rules", ["mine", "ufw"])
def test_t05_input_that_drops_dhcp_and_dns_is_said(field: Field, rules: str) -> None:
    if rules == "ufw":
        load(field.host, "ufw.v4")
    else:
        feed(field.host, NATIVE)
    own = field.site(SITE)
    try:
        said = field.document("verify", own)
        (finding,) = [one for one in field.document("doctor", own)["findings"] if one["id"] == "network-services"]
        if rules == "mine":
            assert field.run("bash", "-ec", finding["fix"]).returncode == 0
            after = field.document("doctor", own)["findings"]
            assert [one for one in after if one["id"] == "network-services"] == []
    finally:
        for table in ("inet mine", "ip filter", "ip mangle", "ip nat"):
            field.run("nft", "delete", "table", *table.split())
    assert "udp/67 (DHCP, IPv4), udp/53 (DNS, IPv4); its guests get no lease" in finding["text"]
    assert finding["fix"].startswith("ufw allow in on vn-lab" if rules == "ufw" else "nft insert rule inet mine in")
    firewall = [one for one in said["checks"] if one["id"] == "firewall" and one["subject"] == "lab"]
    assert any("its guests get no lease" in one["detail"] for one in firewall)
    (lease,) = [one for one in said["checks"] if one["id"] == "lease" and one["subject"] == "inside"]
    assert (lease["ok"], "the server there has given it no lease" in lease["detail"]) == (False, True)
    assert not said["ok"]


def base(family: str, hook: str, *rules: str, policy: str = "accept", device: str = "") -> str:
    head = f"type filter hook {hook}{f' device {device}' if device else ''} priority -150; policy {policy};"
    return f"table {family} t {{ chain c {{ {head} {'; '.join(rules)}{'; ' if rules else ''}}}; }}"


ASKED, ANSWERED = "what guests ask the network's server on vn-lab", "what the network's server answers on vn-lab"
OTHERS = {  # chains that are not INPUT, and what of the server's they drop
    "its answers at output": (base("inet", "output", 'oifname != "vn-lab" accept', policy="drop"), ANSWERED),
    "its answers at postrouting": (base("ip", "postrouting", "udp dport 68 drop"), ANSWERED),
    "its answers at the bridge's ports": (base("bridge", "output", "ether type ip udp dport 68 drop"), ANSWERED),
    "at prerouting": (base("ip", "prerouting", "udp dport 67 drop"), ASKED),
    "who has no address of the subnet": (base("ip", "input", 'iifname "vn-lab" ip saddr != 10.77.0.0/24 drop'), ASKED),
    "at the bridge's input": (base("bridge", "input", "ip protocol udp udp dport 67 drop"), ASKED),
    "at the guest's tap": (base("netdev", "ingress", "udp dport 67 drop", device="inside.0"), ASKED),
}


@pytest.mark.parametrize("where", OTHERS)
def test_t05_whatever_chain_it_is_that_stands_before_the_server(field: Field, where: str) -> None:
    rules, what = OTHERS[where]
    site, inside = load_site(field.site(SITE)), field.guests["inside"]

    def found() -> list[Finding]:
        with field.host.entered():
            state = observe()
            return list(
                network_services.look(DoctorFacts(state=state, network=read_firewall(state), site=site, host="kvm"))
            )

    def leased() -> bool:
        words = ["udhcpc", "-i", "eth0", "-n", "-q", "-t", str(int(HUNG_S)), "-T", "1", "-s", "/bin/true"]
        return field.run("busybox", *words, where=inside).returncode == 0

    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    assert found() == []
    feed(field.host, rules)
    try:
        (bad,) = found()
        assert f"{what}: udp/67 (DHCP, IPv4)" in bad.text
        assert field.run("bash", "-ec", bad.fix).returncode == 0
        assert found() == []
        assert leased()
    finally:
        field.run("nft", "delete", "table", rules.split()[1], "t")


def test_a_lease_is_held_against_the_reservation(field: Field) -> None:
    site = parse(SITE.encode(), "site.yaml")
    (network,) = resolved_networks(site, site.hosts["kvm"])
    (reserved,) = network.reservations
    (folder,) = (field.folder / "state").glob("netns-*/networks")
    file = folder / "lab.leases"  # the server's own, in its own words (dnsmasq(8))
    for address, words in (
        (reserved.address, (True, f"{reserved.address} from the server on vn-lab, as reserved")),
        (
            "10.77.0.250",
            (False, f"10.77.0.250 from the server on vn-lab, and {reserved.address} is reserved for {reserved.mac}"),
        ),
    ):
        file.write_text(f"4102444800 {reserved.mac} {address} inside *\n")
        said = field.document("verify", field.site(SITE))["checks"]
        assert [(one["ok"], one["detail"]) for one in said if one["id"] == "lease"] == [words]
    file.write_text("")


def test_the_answer_of_another_machine_is_not_the_guests(field: Field) -> None:
    clear(field.pc)
    field.run("ip", "link", "set", "web.0", "nomaster")
    field.ip("addr add 192.168.1.21/24 dev eth0", field.pc)
    field.ip("neigh flush all")
    try:
        said = field.document("verify", field.site(SITE))["checks"]
    finally:
        field.ip("addr del 192.168.1.21/24 dev eth0", field.pc)
        field.run("ip", "link", "set", "web.0", "master", "br0")
        field.ip("neigh flush all")
    (server,) = [one for one in said if one["id"] == "unrestricted-within" and one["subject"] == "web"]
    assert server["ok"] is False
    assert "192.168.1.21 is at 02:00:00:00:00:50, and not at 52:54:00:" in server["detail"]


def test_the_doctor_says_that_a_nic_is_missing_or_renamed(field: Field) -> None:
    def found(site: str) -> list[dict[str, str]]:
        said = field.document("doctor", field.site(site, "nics.yaml"))
        return [one for one in said["findings"] if one["id"] == "nic"]

    renamed = SITE.replace("eth1: {network", "lan1: {mac: '02:00:00:00:00:11', network").replace("eth1}", "lan1}")
    (one,) = found(renamed)
    assert (one["subject"], one["severity"]) == ("lan1", "problem")
    assert one["text"] == "the file's lan1 (02:00:00:00:00:11) is called eth1 here: it was renamed"
    (one,) = found(SITE.replace("eth1", "lan9"))
    assert one["text"].startswith("it is not there, and the file gives no mac:")
    assert any("eth1 02:00:00:00:00:11 is here" in words for words in one["evidence"])
    two = renamed.replace("      lan1: {mac", "      lan7: {}\n      lan1: {mac")
    assert two != renamed
    (lan7,) = [one for one in found(two) if one["subject"] == "lan7"]
    assert not [words for words in lan7["evidence"] if words.startswith("eth1 ")], "eth1 is lan1"
    (one,) = found(SITE.replace("eth1: {network", "eth1: {mac: '02:00:00:00:00:10', network"))
    assert one["text"].endswith("the file says 02:00:00:00:00:10; that MAC is eth0's")
    assert found(SITE) == []
