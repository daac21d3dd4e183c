"""What holds for any capture, whatever is in it."""

from __future__ import annotations

from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st

from bascule.cli.show.survey import survey_as_json
from bascule.frames.codecs import arp as arp_codec
from bascule.survey.draft import draft
from bascule.survey.evidence import Collector, NicTraffic
from bascule.survey.run import survey_captures
from bascule.survey.verdicts import judge
from tests.frames.test_pcap import pcap, pcapng
from tests.survey.frames import arp, cdp, dhcp_offer, lldp, pvst
from tests.survey.hearing import SITE, hear, many, site
from tests.survey.samples import SAMPLES

SENDER = st.builds(
    lambda net, host, asks, tags: arp(f"10.{net}.{host}", f"10.{net}.{asks}", tags=tags),
    st.sampled_from(["0.0", "0.1", "1.0", "7.0"]),
    st.integers(0, 9),
    st.sampled_from([0, 1, 2, 255]),
    st.sampled_from([(), (30,), (30, 7), (30, 8), (4095,)]),
)
OFFER = st.builds(dhcp_offer, st.sampled_from(["10.0.0.9", "10.0.1.9"]), st.sampled_from(["10.0.0.0", "10.0.1.1"]),
                  st.sampled_from(["255.255.0.0", "255.255.255.0"]))  # fmt: skip
FRAME = st.one_of(st.sampled_from([sample.frame for sample in SAMPLES]), SENDER, OFFER)


def heard(nic: str, frames: list[bytes]) -> NicTraffic:
    collector = Collector(nic)
    for frame in frames:
        collector.add(frame)
    return collector.finish(seconds=30, carrier=True)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["eth2", "eth3", "eth4"]), st.lists(FRAME, max_size=25), min_size=1))
def test_the_draft_always_passes_the_check(captures: dict[str, list[bytes]]) -> None:
    survey = judge({nic: heard(nic, frames) for nic, frames in captures.items()})
    read, host = site(draft(survey, "h"))
    assert set(host.nics) == set(captures)
    assert read.networks.keys() == {one["name"] for one in survey_as_json(survey, host="h")["proposals"]}


INTERNAL = many("192.168.1", 8, "192.168.1.1")
FOREIGN = many("129.230.7", 8, "129.230.0.1")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.integers(1, 8))
def test_a_frame_of_another_wire_never_raises_the_confidence(own: int, foreign: int) -> None:
    before = judge({"eth5": hear("eth5", *INTERNAL[:own])}, *site()).nics["eth5"]
    after = judge({"eth5": hear("eth5", *INTERNAL[:own], *FOREIGN[:foreign])}, *site()).nics["eth5"]
    if after.network == "internal":
        assert after.confidence <= before.confidence


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.sampled_from([*INTERNAL, *FOREIGN]), FRAME), max_size=20), st.booleans())
def test_the_contract_never_changes_the_networks_verdict(frames: list[bytes], is_right: bool) -> None:
    port = "Gi0/2" if is_right else "Gi0/9"
    said = [*frames, lldp(port=port, pvid=None), cdp(port=port, native=None, voice=None), pvst(1)]
    with_contract = judge({"eth2": heard("eth2", said)}, *site()).nics["eth2"]
    without = SITE.replace("{network: internal, switch: {name: sw1, port: Gi0/2}}", "{network: internal}")
    alone = judge({"eth2": heard("eth2", said)}, *site(without)).nics["eth2"]
    assert (with_contract.network, with_contract.confidence, with_contract.wrong) == (
        alone.network,
        alone.confidence,
        alone.wrong,
    )


def test_arp_of_ieee_802_is_read() -> None:
    frame = arp_codec.build(arp_codec.REQUEST, bytes(5) + b"\1", IPv4Address("192.168.1.7"), IPv4Address("192.168.1.1"))
    ieee = frame.replace(b"\0\1\x08\0\6\4", b"\0\6\x08\0\6\4")
    verdict = judge({"eth5": heard("eth5", [ieee])}, *site()).nics["eth5"]
    assert any("192.168.1.7" in line.detail for line in verdict.evidence)


def test_one_capture_in_every_form_gives_one_document() -> None:
    forms = [form(order, nano=nano) for form in (pcap, pcapng) for order in "<>" for nano in (False, True)]
    read, host = site()
    documents = [
        survey_as_json(survey_captures({"eth5": [("file", data)]}, site=read, host=host).survey, host="h")
        for data in forms
    ]
    assert len(documents) == 8
    assert all(document == documents[0] for document in documents)
