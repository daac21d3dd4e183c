"""What a plan tells of this machine beside its changes: its memory, others' firewall rules, who reaches whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bascule.host.identity import is_here
from bascule.model.ruleset.rules import ForeignTable
from bascule.plan.change import Note
from bascule.system.xtables import any_tables

if TYPE_CHECKING:
    from bascule.apply.prepare import PreparedPlan


def plan_notes(prepared: PreparedPlan) -> tuple[Note, ...]:
    """A note for each thing to know."""
    return (*memory_notes(prepared), *firewall_notes(prepared), *reach_notes(prepared))


def memory_notes(prepared: PreparedPlan) -> tuple[Note, ...]:
    """What the guests' memory says to this host, if this is the host and any guest declares its memory."""
    site, host = prepared.site, prepared.host
    if not any(guest.memory for guest in site.guests_on(host.name)):
        return ()
    if not is_here(site, host, lambda: prepared.observed):
        return ()
    from bascule.guests.memory import memory_account

    account = memory_account(site, host)
    return tuple(
        Note(kind="warning", subject=host.name, text=f"{text}; 'bascule capacity' shows the details")
        for text in dict.fromkeys(account.warnings)
    )


def firewall_notes(prepared: PreparedPlan) -> tuple[Note, ...]:
    """What others' rules will do to the frames of the file's bridges and networks, once the plan is made."""
    tables = prepared.observed.tables
    if not any(isinstance(one, ForeignTable) for one in tables.values()) and not any_tables():
        return ()
    from bascule.observe.firewall import read_firewall

    network = read_firewall(prepared.wanted, tables)
    if not network.rules.filters:
        return ()
    from bascule.verify.doctor.firewall.all_looks import firewall_findings

    found = firewall_findings(prepared.site, prepared.host, network)
    return tuple(Note(kind="warning", subject=one.subject, text=one.words) for one in found)


def reach_notes(prepared: PreparedPlan) -> tuple[Note, ...]:
    """Which guests, machines and hosts reach each other only after the change, and which do no more."""
    if not prepared.plan.changes:
        return ()
    from bascule.observe.packet_path import network_here
    from bascule.plan.make import site_as_it_runs
    from bascule.topology.graph import Topology
    from bascule.verify.reachability.host_model import model_host

    site = site_as_it_runs(prepared.site, prepared.host, prepared.observed)
    host, topology = prepared.host, Topology.of(site)
    before = model_host(network_here(prepared.observed), host.name, "this host", site, host, topology=topology)
    if not before.has_pairs:
        return ()
    from bascule.verify.reachability.all_pairs.changes import what_changes

    found = what_changes(before, site, host, prepared.wanted, topology)
    return tuple(Note(kind="warning", subject=prepared.host.name, text=text) for text in found.sentences)
