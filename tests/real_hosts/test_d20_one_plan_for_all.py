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


def test_d20_a_rehearsal_says_who_else_names_the_nic(real_host: Field) -> None:
    """In the twin nobody does; what plan and apply say of this machine, its rehearsal says as well."""
    site = real_host.site(ONE_NIC)
    real_host.run("nft", "add table inet mine")
    real_host.run("nft", "add chain inet mine in { type filter hook input priority 0 ; }")
    real_host.run("nft", "add rule inet mine in iifname eth0 tcp dport 22 accept")
    told = {(n["kind"], n["subject"], n["text"]) for n in real_host.document("plan", site)["notes"]}
    assert any("inet mine" in text for _, _, text in told)
    (plan,) = real_host.document("rehearse", site)["plans"]
    assert told <= {(n["kind"], n["subject"], n["text"]) for n in plan["notes"]}


def test_d20_a_rehearsal_says_what_plan_says_of_the_guests_memory_and_of_what_comes_to_reach(real_host: Field) -> None:
    text = ONE_NIC + "guests:\n  web: {host: kvm, memory: 9TiB, nics: [{bridge: br0, address: 192.168.1.21/24}]}\n"
    site = real_host.site(text)
    planned = real_host.document("plan", site)["mind"]
    assert any("the guests need" in line for line in planned)
    (plan,) = real_host.document("rehearse", site)["plans"]
    assert set(planned) <= set(plan["mind"])


def test_d20_a_quiet_rehearsal_says_what_apply_will_refuse(real_host: Field) -> None:
    site = real_host.site(ONE_NIC)
    assert real_host.bascule("rehearse", site, "-q", "--root", str(real_host.folder)).stdout.count("refuse") == 0
    real_host.ip("link add shim0 link eth0 type macvlan mode bridge")
    refused = "eth0 cannot become a port of br0 while the macvlan shim0 sits on it"
    assert f"error[NIC-SHARED]: {refused}" in real_host.bascule("apply", site, "--yes").stderr
    said = " ".join(real_host.bascule("rehearse", site, "-q").stdout.split())
    assert f"apply will refuse this: NIC-SHARED: {refused}" in said
