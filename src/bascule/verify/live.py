"""The live host: its checks, and the expectations that it can ask."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bascule.host.identity import compare
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.observe.packet_path import network_here
from bascule.observe.spanning_tree import await_forwarding
from bascule.plan.change import Plan
from bascule.plan.make import site_as_it_runs
from bascule.probe.live import live_domain
from bascule.providers.loaded_guards import guards_passed_over
from bascule.system.clock import Progress, unseen
from bascule.system.net.netns import Namespace
from bascule.system.process.rights import missing
from bascule.verify.checks import Check, read_neighbours
from bascule.verify.endpoints import Endpoints
from bascule.verify.expectations import NOT_ASKED, UNPROVEN, Outcome, judge, with_model
from bascule.verify.host import check_host, check_state
from bascule.verify.power import NONE_OFF, GuestsOff, guests_off
from bascule.verify.reachability.host_model import model_host
from bascule.verify.wire.dhcp_servers import DhcpServers
from bascule.verify.wire.foreign_macs import ForeignMacs, blocked_uplinks, live_uplinks
from bascule.verify.wire.impostors import without_impostors
from bascule.verify.wire.leases import check_leases, leases_below
from bascule.verify.wire.macs_inside import MacsInside
from bascule.verify.wire.own_addresses import OwnAddresses
from bascule.verify.witness import Witness

NEEDED = ("NET_ADMIN", "NET_RAW")  # to read rules, and to send and hear frames


class Verified(Struct, frozen=True, kw_only=True):
    """What this host showed about itself."""

    host: Host
    checks: tuple[Check, ...]
    outcomes: tuple[Outcome, ...]
    off: GuestsOff = NONE_OFF  # the guests that do not run, and those that are halted
    waiting: str = ""  # that a change is still to be confirmed: what holds now may be taken back

    @property
    def unproven(self) -> tuple[Outcome, ...]:
        """The expectations that could be asked from here, and whose answer tells nothing."""
        return tuple(one for one in self.outcomes if one.observed == UNPROVEN)

    @property
    def proven(self) -> bool:
        """Whether it is ``ok``, no guest is off, and nothing that could be asked from here was left unproven."""
        return self.ok and not self.off and not self.unproven and not any(check.unproven for check in self.checks)

    @property
    def ok(self) -> bool:
        """Whether everything that could be asked from here holds."""
        return all(check.ok is not False for check in self.checks) and all(x.ok is not False for x in self.outcomes)


def verify_live(
    site: Site, host: Host, state: HostState, plan: Plan, networks: Path, waiting: str = "", progress: Progress = unseen
) -> Verified:
    """Ask a host in the network namespace that we are in; ``plan`` was made from its ``state``.

    ``networks`` is the folder of this host's own DHCP servers, ``waiting`` says that a change is still open.
    Where a port is listening or learning, the spanning tree is waited for first: until then nobody is reached over it.
    """
    site = site_as_it_runs(site, host, state)  # with the MACs and taps that its guests have
    if lacking := missing(*NEEDED):
        return replace(_without_rights(site, host, state, plan, lacking), waiting=waiting)
    with Namespace.current(host.name) as here:
        settled = await_forwarding(host.bridges, progress=progress)
        state = settled.applied(state)
        probe_domain = live_domain(site, host, state, here)
        off = guests_off(site, host, state)
        with (
            ForeignMacs(live_uplinks(site, host, state, here)) as wires,
            MacsInside(site, host, state) as inside,
            DhcpServers(site, host, state, here) as servers,
            OwnAddresses(host, state) as own,
        ):
            checks = check_host(site, host, state, probe_domain, plan, off)
            checks += _is_another(site, host, state)
            checks += (
                *check_leases(site, host, state, here, leases_below(networks), off),
                *wires.checks(),
                *inside.checks(),
                *servers.checks(),
                *own.checks(),
                *blocked_uplinks(host, state),
                *_passed_over(host, state),
            )
        endpoints = Endpoints(site, probe_domain, read_neighbours(here))  # after the checks, which made guests speak
        checks += tuple(Check(id="spanning-tree", subject=one[0], ok=one[1], detail=one[2]) for one in settled.lines())
        outcomes = judge(site, probe_domain, endpoints, off)
        if outcomes:
            outcomes = without_impostors(outcomes, site, host, read_neighbours(here))
            outcomes = with_model(outcomes, [model_host(network_here(state), host.name, "this host", site, host)])
        return Verified(host=host, checks=checks, outcomes=outcomes, off=off, waiting=waiting)


def _passed_over(host: Host, state: HostState) -> tuple[Check, ...]:
    """Guards of switches before which rules of others may stand: what those do to a frame is not known."""
    return tuple(
        Check(id="guard", subject=bridge, ok=None, detail=words, unproven=True)
        for bridge, words in guards_passed_over(state, host.bridges)
    )


def _is_another(site: Site, host: Host, state: HostState) -> tuple[Check, ...]:
    """Where nothing says that this machine is the host: whatever was found may be about another one."""
    if not (words := compare(site, host, state).words):
        return ()
    detail = f"{words}; everything below is about this machine"
    return (Check(id="this-host", subject=host.name, ok=None, detail=detail, unproven=True),)


def _without_rights(site: Site, host: Host, state: HostState, plan: Plan, lacking: list[str]) -> Verified:
    """What an ordinary user can see, and what is left out."""
    off = guests_off(site, host, state)
    lacks = " and ".join(f"CAP_{name}" for name in lacking)
    left_out = (
        f"whether guests, gateway and name servers answer, which MACs are on the wire, and the rules of firewalls: "
        f"that needs {lacks}; run it as root"
    )
    rights = Check(id="rights", subject=host.name, ok=None, detail=left_out, unproven=True)
    checks = (*check_state(site, host, state, plan, off), *_is_another(site, host, state), rights)
    outcomes = tuple(
        Outcome(
            expectation=expected,
            observed=NOT_ASKED,
            ok=None,
            witness=Witness(sentence=f"not asked: that needs {lacks}; run it as root"),
        )
        for expected in site.expectations
    )
    return Verified(host=host, checks=checks, outcomes=outcomes, off=off)
