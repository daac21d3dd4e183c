"""What would be done here and now: the observed state, the plan, and the administrator's own line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.apply.options import NO_DRIVER, DriverChoice, Writer
from bascule.apply.pending import waiting_notes
from bascule.apply.rollback.checkpoint import Status, newest
from bascule.apply.state_directory import StateDirectory, here
from bascule.errors import BasculeError, MissingTool
from bascule.host.identity import require_here
from bascule.host.live import LiveHost
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac
from bascule.observe.connections import incoming, served
from bascule.observe.held import holders, on_bridges_that_go
from bascule.observe.management import Management, management
from bascule.plan.address_migration import neighbour_keys, slaac_keys, speaker_keys
from bascule.plan.batch import tools
from bascule.plan.change import Note, Plan
from bascule.plan.earlier import NOTHING, EarlierChanges
from bascule.plan.leases import Leases, moves
from bascule.plan.make import make_plan, site_as_it_runs
from bascule.plan.target.addresses import foreign_bridge
from bascule.plan.target.forget import outdated_links
from bascule.plan.target.sysctls import forwarding_keys, sysctl_keys
from bascule.providers.effects import ObserveScope
from bascule.providers.kernel.observe import read_parameters
from bascule.providers.observe import look as look_at
from bascule.providers.observe import look_at_parts
from bascule.providers.protocol import PlanInputs
from bascule.providers.registry import PROVIDERS
from bascule.system.boot import has_systemd
from bascule.system.net.netlink import NetlinkMonitor
from bascule.system.net.netns import Namespace, is_machines_own
from bascule.system.run import Running, require_tools

if TYPE_CHECKING:
    from bascule.model.sightings import FdbEntry


class PreparedPlan(Struct, frozen=True, kw_only=True):
    """A plan for this host with the states before and after it."""

    site: Site
    host: Host
    observed: HostState
    wanted: HostState
    plan: Plan
    line: Management | None = None
    earlier: EarlierChanges = NOTHING
    choice: DriverChoice = NO_DRIVER  # for when it has to be planned again
    leases: Leases = field(default_factory=Leases)
    monitor: NetlinkMonitor | None = None  # knows whether the host may have changed since it was observed

    def with_notes(self, notes: Iterable[Note]) -> PreparedPlan:
        """The same, its plan with further notes."""
        return replace(self, plan=self.plan.with_notes(notes))

    def does_what(self, shown: PreparedPlan) -> bool:
        """Whether the same would be done to the same guests as by a plan that was shown before.

        The seconds that are left of a lease may differ, and an address that is to go may have gone by itself: a manager
        that is kept from a link takes its own back.
        """
        if self.plan.changes is shown.plan.changes:
            return True
        mine, others = (
            [(x.subject, x.action, x.risk, frozenset(x.cuts), x.for_good) for x in each.plan.changes]
            for each in (self, shown)
        )
        if not mine:
            return not others
        went = [
            x.about == "addresses" and all("del" in command.words for command in x.commands) and one not in mine
            for x, one in zip(shown.plan.changes, others, strict=True)
        ]
        return mine == [one for one, gone in zip(others, went, strict=True) if not gone]


def prepare(
    site: Site,
    host: Host,
    *,
    choice: DriverChoice = NO_DRIVER,
    begun: Running | None = None,
    monitor: NetlinkMonitor | None = None,
    must_be_here: bool = False,
) -> PreparedPlan:
    """Observe this host and plan; with ``choice`` also for whoever runs its guests.

    ``begun`` is a look at the host that was begun while the site file was read, ``monitor`` was made before it.
    Raises BasculeError with every NIC that the file names and the host does not have, with ``must_be_here`` where
    nothing says that this machine is that host, MissingTool, NotPermitted, and what a driver raises that was asked for
    by name.
    """
    place = here()
    notes: list[Note] = []
    observed = look_here(site, host, place, choice, begun=begun, notes=notes)
    if must_be_here:
        require_here(site, host, lambda: observed)
    notes += waiting_notes(place)
    line, earlier = management(observed), earlier_changes(site, host, place)
    return _planned(
        site, host, observed, choice=choice, line=line, earlier=earlier, monitor=monitor, notes=notes, is_here=True
    )


def prepare_from(
    site: Site,
    host: Host,
    observed: HostState,
    *,
    line: Management | None = None,
    earlier: EarlierChanges = NOTHING,
    networks_are_made: bool = False,
) -> PreparedPlan:
    """Plan from a state that was observed before or elsewhere, in a file or in a twin; nobody is asked.

    ``networks_are_made``: somebody else makes the virtual networks. Raises BasculeError as ``prepare`` does.
    """
    return _planned(site, host, observed, line=line, earlier=earlier, networks_are_made=networks_are_made)


def prepare_known(
    site: Site, host: Host, observed: HostState, *, line: Management | None, earlier: EarlierChanges
) -> PreparedPlan:
    """Plan from what was seen of this very host; who uses its links is asked now. Raises as ``prepare`` does."""
    return _planned(site, host, observed, line=line, earlier=earlier, notes=waiting_notes(here()), is_here=True)


def with_files(prepared: PreparedPlan, writer: Writer | None) -> PreparedPlan:
    """The same with the files that will keep it over a restart. Raises BasculeError for what no file can say."""
    if writer is None:
        return prepared
    files, before, after = tuple(writer.changes(prepared.wanted)), prepared.observed, prepared.wanted
    moved = (before.rules, before.neighbours) != (after.rules, after.neighbours) or any(
        f.action == "move" for f in files
    )
    told = [note for note in writer.notes if moved or (files and note.kind == "warning")]
    notes = (*prepared.plan.notes, *told)
    return replace(prepared, plan=replace(prepared.plan, files=files, notes=notes))


def again(prepared: PreparedPlan, place: StateDirectory) -> PreparedPlan:
    """The same, observed anew; planned anew only if anything that the plan was made from is another now."""
    site, host, choice = prepared.site, prepared.host, prepared.choice
    earlier = earlier_changes(site, host, place)
    same = prepared.leases == Leases() and earlier == prepared.earlier
    if same and _is_still(prepared, place):
        return prepared
    notes: list[Note] = []
    observed = look_here(site, host, place, choice, notes=notes)
    line = management(observed)
    if same and (observed, line) == (prepared.observed, prepared.line):
        return prepared
    return _planned(site, host, observed, choice=choice, line=line, earlier=earlier, notes=notes, is_here=True)


def _is_still(prepared: PreparedPlan, place: StateDirectory) -> bool:
    """Whether the kernel has told of no change since it was observed; of its parameters it tells nothing."""
    if prepared.monitor is None or prepared.monitor.changed():
        return False
    known = prepared.observed.sysctls  # of a link that comes, the kernel would have told
    keys = [key for key in _keys(prepared.site, prepared.host) if key in known or "/conf/" not in key]
    if read_parameters(dict.fromkeys((*keys, *known))) != known:
        return False
    scope = _scope(prepared.site, prepared.host, place, prepared.choice)
    return look_at_parts(scope).parts == prepared.observed.parts


def _planned(
    site: Site,
    host: Host,
    observed: HostState,
    *,
    choice: DriverChoice = NO_DRIVER,
    line: Management | None,
    earlier: EarlierChanges,
    monitor: NetlinkMonitor | None = None,
    notes: Sequence[Note] = (),
    networks_are_made: bool = False,
    is_here: bool = False,
) -> PreparedPlan:
    """The one place that makes plans from a site file."""
    inputs = PlanInputs(
        earlier=earlier,
        management=line.links if line else frozenset(),
        learned=_learned() if is_here and _guests_run(observed) else {},
        lasting=_lasts(host, choice),
        networks_are_made=networks_are_made,
        held=holders(_to_be_ports(host, observed)) if is_here else {},
        connected=incoming if is_here else dict,
        served=served() if is_here and any(x.forwards for x in host.virtual_networks.values()) else frozenset(),
    )
    plan, wanted = make_plan(site, host, observed, inputs)
    if is_here and (stranded := on_bridges_that_go(observed, wanted)):
        raise BasculeError(*(one.problem(host.place) for one in stranded))
    found, told = _of_a_change(host, observed, wanted) if plan and is_here else (Leases(), ())
    planned = _with_own_line(plan.with_notes((*notes, *found.notes, *told)), line, wanted)
    return PreparedPlan(
        site=site,
        host=host,
        observed=observed,
        wanted=wanted,
        plan=planned,
        line=line,
        choice=choice,
        earlier=earlier,
        leases=found,
        monitor=monitor,
    )


def _learned() -> Mapping[str, FdbEntry]:
    """Where the bridges of this host have heard each MAC."""
    from bascule.observe.bridge_tables import read_fdb

    return {entry.mac: entry for entry in read_fdb()}


def _of_a_change(host: Host, observed: HostState, wanted: HostState) -> tuple[Leases, tuple[Note, ...]]:
    """What a change hands over of DHCP's leases, who else names its links, and which FDB entries it forgets."""
    from bascule.dhcp.leases import leases_here
    from bascule.observe.bridge_tables import forgotten_entries

    entries = (Note(kind="warning", subject=port, text=text) for port, text in forgotten_entries(observed, wanted))
    return leases_here(host, observed, wanted), (*_named_links(host, observed, wanted), *entries)


def _named_links(host: Host, observed: HostState, wanted: HostState) -> tuple[Note, ...]:
    """Who else names a link on which this host will not speak any more; nobody is asked where there is none."""
    if not (moved := tuple(moves(host, observed, wanted))):
        return ()
    from bascule.observe.named_links import read_traffic_control, read_uses
    from bascule.plan.warnings.named_links import leaving, notes_of, notes_of_ports, ports_of_bridges

    left, ports, gaps = leaving(moved), ports_of_bridges(moved, wanted, host.nics), list[str]()
    notes = notes_of(left, read_uses((move.link for move in left), observed), observed, wanted) if left else ()
    found = read_traffic_control((move.link for move in ports), gaps)
    return (*notes, *notes_of_ports(ports, observed, found, gaps))


def _to_be_ports(host: Host, observed: HostState) -> dict[int, str]:
    """The links, by index, that become ports of a bridge or bond and are none yet."""
    masters = {nic: bond.name for bond in host.bonds.values() for nic in bond.nics}
    masters |= {bridge.port: bridge.name for bridge in host.bridges.values() if bridge.port}
    found = {name: observed.links[name] for name in masters if name in observed.links}
    return {link.facts.index: name for name, link in found.items() if link.master != masters[IfName(name)]}


def look_here(
    site: Site,
    host: Host,
    place: StateDirectory,
    choice: DriverChoice,
    *,
    begun: Running | None = None,
    notes: list[Note] | None = None,
) -> HostState:
    """The state of this host with all that its plan looks at: parameters, servers of ours, whoever runs the guests."""
    return look_at(replace(_scope(site, host, place, choice), notes=[] if notes is None else notes), begun)


def _scope(site: Site, host: Host, place: StateDirectory, choice: DriverChoice) -> ObserveScope:
    return ObserveScope(
        site=site,
        host=host,
        parameters=lambda seen: _keys(site_as_it_runs(site, host, seen), host),
        further=partial(_keys_that_go_back, site, host, earlier_changes(site, host, place)),
        state=place.state,
        driver=choice.driver,
        uri=choice.uri,
    )


def look(site: Site, host: Host, namespace: Namespace | None = None, earlier: EarlierChanges = NOTHING) -> HostState:
    """What kernel and nft show of a host, with the kernel parameters that its plan looks at."""
    back = partial(_keys_that_go_back, site, host, earlier)
    return look_at(ObserveScope(where=LiveHost(namespace), sysctls=_keys(site, host), further=back))


def _keys(site: Site, host: Host) -> tuple[str, ...]:
    return sysctl_keys(host, tuple(nic.tap for nic in site.guest_nics(host.name)))


def _keys_that_go_back(site: Site, host: Host, earlier: EarlierChanges, seen: HostState) -> tuple[str, ...]:
    """The parameters of links of ours that go, of the ports that get their addresses back, and what routing sets.

    And those that an earlier change has set on links of others.
    """
    going = sorted(outdated_links(site, host, earlier.recognised(site, seen), by_libvirt=False))
    bridges = [name for name in going if seen.links[name].is_bridge and seen.links[name].addresses]
    links = dict.fromkeys((*going, *(port.name for name in bridges for port in seen.ports(name))))
    left = (foreign_bridge(host, seen, x.uplink) for x in host.bridges.values() if x.from_uplink and x.uplink)
    links |= {bridge.name: None for bridge in left if bridge is not None}
    known = (*links, "default") if links else ()  # with which a link begins that the way back makes
    back = (
        key
        for link in known
        for key in (*slaac_keys(link), *speaker_keys(link), *(neighbour_keys("lo") if link == "default" else ()))
    )
    return (*back, *earlier.parameters, *forwarding_keys(host, seen.links))


def _guests_run(observed: HostState) -> bool:
    return any(one.runs_guests and one.part(observed) is not None for one in PROVIDERS)


def _lasts(host: Host, choice: DriverChoice) -> bool:
    """Whether systemd may start again with the machine what is made of a host."""
    return choice.lasting and host.persist != "none" and is_machines_own() and has_systemd()


def earlier_changes(site: Site, host: Host, place: StateDirectory) -> EarlierChanges:
    """What confirmed changes of this site put on this host, as far as it is known."""
    try:
        found = newest(place, but=set(Status) - {Status.CONFIRMED})
    except PermissionError:  # an ordinary user who only looks
        found = None
    facts = found[0].facts() if found else None
    if facts is None or (facts.site, facts.host) != (site.name, host.name):
        return NOTHING  # something old may stay; that is no reason to stop
    added, named = ({link: frozenset(ips) for link, ips in x.items()} for x in (facts.added, facts.named))
    macs = {name: Mac(mac) for name, mac in facts.macs.items()}
    routed = frozenset((dev, dst, gateway, table) for dev, dst, gateway, table in facts.routed)
    own = frozenset((dst, gateway, table) for dst, gateway, table in facts.found)
    return EarlierChanges(
        added=added,
        named=named,
        isolated=frozenset(facts.isolated),
        macs=macs,
        kept=facts.kept,
        routed=routed,
        found=own,
        altered=facts.altered,
        ports={name: IfName(master) for name, master in facts.ports.items()},
    )


def _with_own_line(plan: Plan, line: Management | None, wanted: HostState) -> Plan:
    """The plan, with a word about the administrator's own line where it crosses it."""
    crossing = plan.crossing
    if line is None or not crossing:
        return plan
    stays = address_place(wanted, line.address)
    through = f" through {line.through}" if line.through else ""
    words = f"your own connection (from {line.peer} to {line.address}) runs over it{through}"
    if line.device != "lo":
        words += f"; your address stays, on {stays}" if stays else f"; {line.address} is removed with it"
    subject = crossing[0].subject if line.through else line.device
    return replace(plan, notes=(Note(kind="warning", subject=subject, text=words), *plan.notes))


def address_place(state: HostState, address: str) -> str:
    """The link that has an address, empty when none has it."""
    for name, link in state.links.items():
        if any(one.local == address for one in link.addresses):
            return name
    return ""


def refuse_unmakable(prepared: PreparedPlan) -> None:
    """Raise MissingTool for a program of the plan that is not here, or a kind of link that this kernel cannot make."""
    from bascule.observe.kernel_support import not_made_here

    require_tools(tools(prepared.plan))
    if refused := tuple(not_made_here(prepared.observed, prepared.wanted)):
        raise MissingTool(*refused)
