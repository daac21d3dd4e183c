"""What ``nft list hooks`` and IPVS say beside tables of rules: named, and never a yes."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule.model.links import Bridge, BridgePort, OpenVSwitch, Tap
from bascule.model.state import Address, HostState, Link, LinkFacts
from bascule.model.values import IfName, Mac
from bascule.observe import firewall
from bascule.topology.sweep.sweep import Sweep, exchange_of
from bascule.topology.trace.answer import Certainty
from bascule.topology.trace.network import BalancedService, HostNetwork, WireEnd
from bascule.topology.trace.packet import Traffic
from bascule.topology.trace.rules.hooks import read_hooks
from bascule.topology.trace.walk import Walks

# as nft 1.0.6 printed it on Linux 6.12.107 of Debian, but for the line of BPF, which its makers describe so
LISTING = """family ip {
    hook prerouting {
        -2147483648 ip_sabotage_in [br_netfilter]
        -0000000400 ipv4_conntrack_defrag [nf_defrag_ipv4]
        -0000000200 ipv4_conntrack_in [nf_conntrack]
        -0000000100 nf_nat_ipv4_pre_routing [nf_nat]
    }
    hook forward {
        -0000000128 nf_hook_run_bpf id 6
         0000000000 chain inet b f [nf_tables]
        +0000000010 chain inet b g [nf_tables]
    }
    hook postrouting {
        -0000000225 apparmor_ip_postroute
        +2147483647 nf_confirm [nf_conntrack]
    }
}
family bridge {
    hook forward {
%s
         0000000010 chain bridge other f [nf_tables]
    }
}
"""
OURS = "\t\t 0000000000 br_nf_forward [br_netfilter]"
ONE, TWO = ("bridge", "one", "f"), ("bridge", "two", "f")
CHAINS = {key: f"\t\t 0000000000 chain {' '.join(key)} [nf_tables]" for key in (ONE, TWO)}
IPVS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A000005:0050 rr
  -> 0A090002:0050      Masq    1      0          0
UDP  [fd00:0000:0000:0000:0000:0000:0000:0005]:0035 rr
FWM  00000001 rr
"""


@pytest.mark.parametrize(
    ("called", "skipped"),
    [
        ([CHAINS[ONE], OURS], {ONE: False}),
        ([OURS, CHAINS[ONE]], {ONE: True}),
        ([OURS, CHAINS[ONE], CHAINS[TWO]], {ONE: True, TWO: True}),
        ([CHAINS[ONE], CHAINS[TWO], OURS], {ONE: False}),  # of the others nft does not tell the order
        ([CHAINS[ONE]], {}),
        ([], {}),
    ],
)
def test_whom_br_netfilter_skips(called: list[str], skipped: dict[tuple[str, str, str], bool]) -> None:
    found = read_hooks(LISTING % "\n".join(called))
    assert found.passed_over == skipped
    assert found.others == {("ip", "forward"): ("nf_hook_run_bpf id 6",)}


def test_a_kernel_that_tells_nothing() -> None:
    assert read_hooks("") == read_hooks("family ip {\n}\n")


def test_the_services_of_ipvs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "TABLES", tmp_path)
    assert firewall.balanced_services() == ()
    (tmp_path / "ip_vs").write_text(IPVS)
    assert firewall.balanced_services() == (
        BalancedService(protocol=6, address=0x0A000005, port=80),
        BalancedService(protocol=17, address=0xFD00 << 112 | 5, port=53),
    )


def host() -> tuple[HostNetwork, list[WireEnd]]:
    bridge = IfName("br0")
    address = (Address(ip="10.9.0.1/24"),)
    facts = LinkFacts(index=2, carrier=True)
    links = {bridge: Link(name=bridge, options=Bridge(), up=True, mac=Mac("02:00:00:00:ff:01"), addresses=address,
                          facts=facts)}  # fmt: skip
    ends = []
    for number in (2, 3, 4):
        tap = IfName(f"tap{number}")
        facts = LinkFacts(index=number + 10, carrier=True, stp_port_state="forwarding")
        links[tap] = Link(name=tap, options=Tap(), up=True, master=bridge, port=BridgePort(), facts=facts)
        own = ((0x0A090000 + number, 4, 24),)
        ends.append(WireEnd(name=f"guest{number}", port=tap, mac=0x525400000000 + number, addresses=own))
    return HostNetwork(state=HostState(links=links), sysctls={"net/bridge/bridge-nf-call-iptables": "1"}), ends


TCP = tuple(Traffic(protocol="tcp", port=port) for port in (80, 81))


def said(network: HostNetwork, ends: list[WireEnd], target: WireEnd, port: int) -> tuple[Certainty, str]:
    traffic = next(one for one in TCP if one.port == port)
    number = target.addresses[0][0]
    answer = Walks(network, ends).ask(ends[0], target, number, 4, traffic)
    assert Sweep(network, ends, TCP).answer(ends[0], target, 4, number, traffic) == exchange_of(answer)
    return answer.result, "; ".join(one for leg in answer.legs for one in leg.unsure)


def test_what_no_table_shows_is_perhaps() -> None:
    network, ends = host()
    assert said(network, ends, ends[1], 80) == (Certainty.YES, "")
    result, words = said(replace(network, called={("ip", "forward"): ("nf_hook_run_bpf id 6",)}), ends, ends[1], 80)
    assert result is Certainty.PERHAPS
    assert "nf_hook_run_bpf id 6 is called at ip forward" in words


def test_what_open_vswitch_forwards_meets_no_hook_of_ip() -> None:
    """br_netfilter calls from the kernel's bridges alone."""
    network, ends = host()
    name = IfName("br0")
    links = {**network.state.links, name: replace(network.state.links[name], options=OpenVSwitch())}
    called = {("ip", "forward"): ("nf_hook_run_bpf id 6",)}
    switched = replace(network, state=replace(network.state, links=links), called=called)
    assert said(switched, ends, ends[1], 80) == (Certainty.YES, "")


def test_what_ipvs_takes_is_perhaps() -> None:
    network, ends = host()
    some = replace(network, balanced=(BalancedService(protocol=6, address=0x0A090001, port=80),))
    walks = Walks(some, ends)
    sweep = Sweep(some, ends, TCP)
    for traffic, expected in zip(TCP, (Certainty.PERHAPS, Certainty.YES), strict=True):
        answer = walks.ask(ends[0], None, 0x0A090001, 4, traffic)
        assert answer.result is expected
        assert sweep.answer(ends[0], None, 4, 0x0A090001, traffic) == exchange_of(answer)
    answer = walks.ask(ends[0], None, 0x0A090001, 4, TCP[0])
    assert "IPVS forwards what is for 10.9.0.1 port 80 to a real server" in answer.legs[-2].unsure[0]
