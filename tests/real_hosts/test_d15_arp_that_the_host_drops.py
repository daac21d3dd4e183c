"""D15: chains of family arp drop what the host asks or hears: verify, plan and doctor say which line it is."""

from __future__ import annotations

import pytest

from tests.lab import pings
from tests.real_hosts.field import BASE, Field
from tests.real_hosts.firewalls import feed

NFT = "table arp own {{ chain {hook} {{ type filter hook {hook} priority 0; {rule} drop; }}; }}\n"
BOTH = "{ 192.168.1.1, 192.168.1.21 }"
ARPTABLES = "*filter\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n-A INPUT -s 192.168.1.21 -j DROP\n"
DROPS = "eth0: the host's own firewall drops ARP {}: the two do not find each other"


@pytest.fixture
def field(real_host: Field) -> Field:
    web = real_host.guest("web", "web.0", "192.168.1.21/24")
    real_host.listen(web, 80)
    assert real_host.bascule("apply", real_host.site(BASE), "--yes", "--no-confirm").returncode == 0
    return real_host


@pytest.mark.parametrize(
    ("text", "program", "said"),
    [
        (NFT.format(hook="input", rule="arp saddr ip 192.168.1.21"), (), "from 192.168.1.21"),
        (ARPTABLES, ("arptables-nft-restore",), "from 192.168.1.21"),
        (NFT.format(hook="output", rule=f"arp daddr ip {BOTH}"), (), "to 192.168.1.1, to 192.168.1.21"),
    ],
)
def test_d15_the_line_that_drops_arp_is_told_and_its_fix_works(
    field: Field, text: str, program: tuple[str, ...], said: str
) -> None:
    feed(field.host, text, *program)
    field.batch("neigh flush all\n")
    path = field.site(BASE)
    assert not pings(field.host, "192.168.1.21", seconds=1)
    verified = field.document("verify", path)
    (check,) = (one for one in verified["checks"] if one["id"] == "firewall")
    assert check["ok"] is False and f"{check['subject']}: {check['detail']}".startswith(DROPS.format(said))
    assert any(f"{note['subject']}: {note['text']}".startswith(DROPS.format(said)) for note in
               field.document("plan", path)["notes"])  # fmt: skip
    lost = " ".join(one["detail"] for one in verified["checks"] if one["subject"] == "web")
    if said.startswith("from"):
        told = "its ARP request was answered by eth0, and the host did not take the answer: '"
        before = "it never left kvm by eth0, which takes no ARP reply to it: '"  # the kernel asked before the capture
        assert told in lost or before in lost
    assert field.run("bash", "-ec", check["detail"].partition("fix: ")[2]).returncode == 0
    field.batch("neigh flush all\n")
    assert pings(field.host, "192.168.1.21")
    assert not [one for one in field.document("verify", path)["checks"] if one["id"] == "firewall"]


def test_d15_why_finds_it_where_the_wire_leads_back_into_the_host(field: Field) -> None:
    """The guest's bridge and the host's own NIC meet outside: the host hears by its NIC, and the fix names that."""
    feed(field.host, NFT.format(hook="input", rule="arp saddr ip 192.168.1.21"))
    for ends in (("kvm", "web"), ("web", "kvm")):
        said = field.document("why", *ends, "--site", field.site(BASE))
        assert (said["result"], [one["code"] for one in said["blockers"]]) == ("no", ["arp-filtered"])
        assert [one["words"] for one in said["fixes"]] == ['nft insert rule arp own input iifname "eth0" accept']
