"""Whose rules these are, by the names that the programs themselves give."""

from __future__ import annotations

import pytest

from bascule.model.ruleset.owners import owner


@pytest.mark.parametrize(
    ("table", "chain", "comment", "whose"),
    [
        ("filter", "DOCKER-USER", "", "Docker"),
        ("docker-bridges", "filter-FORWARD", "", "Docker"),
        ("firewalld", "filter_INPUT", "", "firewalld"),
        ("filter", "IN_public_allow", "", "firewalld"),
        ("filter", "ufw-user-input", "", "ufw"),
        ("filter", "ufw6-before-input", "", "ufw"),
        ("filter", "LIBVIRT_FWI", "", "libvirt"),
        ("libvirt_network", "guest_output", "", "libvirt"),
        ("filter", "ts-input", "", "Tailscale"),
        ("filter", "f2b-sshd", "", "fail2ban"),
        ("nm-shared-eth0", "nat_postrouting", "", "NetworkManager"),
        ("wg-quick-wg0", "preraw", "", "wg-quick"),
        ("filter", "INPUT", "cali:abc", "Calico"),
        ("filter", "miniupnpd", "", "MiniUPnP"),
        ("filter", "in_lan", "", ""),
        ("filter", "fwd_dmz", "", ""),
        ("filter", "docker_in", "", ""),
        ("filter", "INPUT", "", ""),
        ("filter", "input", "", ""),
    ],
)
def test_names_tell_the_program(table: str, chain: str, comment: str, whose: str) -> None:
    assert owner(table, chain, comment) == whose


def test_a_rule_that_leads_to_a_chain_of_a_program_is_that_programs() -> None:
    assert owner("filter", "FORWARD", targets=["DOCKER-FORWARD"]) == "Docker"
