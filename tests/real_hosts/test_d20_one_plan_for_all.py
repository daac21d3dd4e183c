"""D20: a rehearsal of this host makes the plan that plan and apply make, and its way back keeps what others bring."""

from __future__ import annotations

from tests.real_hosts.field import ONE_NIC, Field


def test_d20_plan_rehearsal_and_apply_are_of_one_mind(real_host: Field) -> None:
    site = real_host.site(ONE_NIC)
    real_host.ip("link add docker0 type bridge")
    planned = real_host.document("plan", site)["changes"]
    rehearsed = real_host.document("rehearse", site)
    assert planned
    assert rehearsed["observed"] == ["kvm"], "the twin begins as the host stands"
    (plan,) = rehearsed["plans"]
    assert plan["changes"] == planned
    applied = real_host.document("apply", site, "--yes", "--no-confirm")
    assert applied["changes"] == planned


def test_d20_the_way_back_keeps_a_docker0_that_came_meanwhile(real_host: Field) -> None:
    site = real_host.site(ONE_NIC)
    assert real_host.bascule("apply", site, "--yes", "--no-confirm").returncode == 0
    real_host.ip("link add docker0 type bridge")
    undone = real_host.document("undo")
    assert undone["ok"]
    assert not [step for step in undone["steps"] if step["subject"] == "docker0"]
    assert "docker0" in real_host.ip("-br link show docker0")
