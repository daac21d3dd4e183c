"""`address: from-uplink` on the host itself: its twin has the address that was found, and is asked for it."""

from __future__ import annotations

from tests.real_hosts.field import ONE_NIC, Field

WISHES = """\
machines: {router: {nics: [{network: office, address: 192.168.1.1/24}]}}
expect:
  - {from: router, to: kvm, verdict: reach}
  - {from: kvm, to: router, verdict: reach}
"""


def test_who_must_reach_the_host_is_asked_in_its_twin(shared_host: Field) -> None:
    seen = shared_host.document("rehearse", shared_host.site(ONE_NIC + WISHES))
    assert seen["observed"] == ["kvm"]
    assert [(one["observed"], one["ok"]) for one in seen["expectations"]] == [("reach", True)] * 2
