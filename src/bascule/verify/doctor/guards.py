"""Guards of guest NICs: ports that have none, guards that are slowed down, and other people's on the same ports."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.model.kernel_parameters import dotted
from bascule.model.links import Tap
from bascule.model.ruleset.owners import owner
from bascule.model.ruleset.rules import AnyTable, ForeignTable, Table
from bascule.model.state import HostState
from bascule.model.values import IfName, listed
from bascule.observe.firewall import SWITCHES
from bascule.policy.guards.ports import is_guarded
from bascule.policy.guards.table import KEY
from bascule.providers.loaded_guards import guards_of, unseen_guards
from bascule.topology.trace.network import HostNetwork
from bascule.verify.doctor.finding import DoctorFacts, Finding, Severity
from bascule.verify.guards.live import ATTACKER, left_over

ID = "guards"
FILTERS = ("bridge", "netdev")  # the families that see frames between ports


def look(facts: DoctorFacts) -> Iterator[Finding]:
    """Where guards are wanted or stand; a host without any has nothing to be said of."""
    if facts.state is None:
        return
    yield from _left(facts.state)
    loaded = {name: level for name, level in guards_of(facts.state).items() if name != ATTACKER}
    wanted = _wanted(facts)
    if not loaded and not wanted:
        return
    yield from _missing(facts, wanted.keys() - loaded.keys() - unseen_guards(facts.state), wanted)
    yield from _open(facts, loaded.keys() | wanted.keys())
    if facts.network is not None and loaded:
        yield from _slow(facts.network)
    yield from _others(facts, loaded.keys() | wanted.keys())


def _left(state: HostState) -> Iterator[Finding]:
    """An attack that was killed cannot tidy up; one that runs does when it ends."""
    if found := left_over(state):
        yield Finding(
            id=ID,
            severity=Severity.NOTE,
            subject=ATTACKER,
            text="an attack on a guard (bascule verify --attack) runs, or was killed and left its ports behind",
            evidence=(", ".join(found),),
            fix="bascule verify SITE --attack GUEST, which removes what another has left",
        )


def _wanted(facts: DoctorFacts) -> dict[str, str]:
    """The guarded ports of the file, each with its guest."""
    return {str(nic.tap): nic.guest for nic in facts.declared_nics if is_guarded(nic)}


def _missing(facts: DoctorFacts, missing: set[str], wanted: dict[str, str]) -> Iterator[Finding]:
    """Guards that the file wants and that the kernel does not have, of guests that are on the host."""
    assert facts.state is not None
    there = [name for name in sorted(missing) if name in facts.state.links]
    if there:
        guests = dict.fromkeys(wanted[name] for name in there)
        makers = {_maker(facts.state, name) for name in there}
        whose = f"no element of table {KEY} names {'it' if len(there) == 1 else 'them'}"
        yield Finding(
            id=ID,
            severity=Severity.PROBLEM,
            subject=listed(there),
            text=f"the site file wants a guard here, and there is none: {listed(guests)} can impersonate others",
            evidence=(whose if "" in makers else f"{', '.join(sorted(makers))} has no such rules",),
            fix="bascule apply",
        )


def _maker(state: HostState, name: str) -> str:
    """Who makes the bridge of a port and keeps its guards, where they are no rules of nft."""
    link = state.links.get(IfName(name))
    master = state.master_of(link) if link is not None else None
    return master.options.maker if master is not None else ""


def _open(facts: DoctorFacts, guarded: set[str]) -> Iterator[Finding]:
    """Ports of guests on a bridge with guarded ones, which have no guard themselves."""
    assert facts.state is not None
    uplinks = {str(one.name) for one in facts.declared.links()} if facts.declared is not None else set()
    bridges: dict[str, list[str]] = {}
    for link in facts.state.links.values():
        is_guests = isinstance(link.options, Tap) or link.options.kind == "veth"
        if link.master and is_guests and link.name not in guarded | uplinks:
            bridges.setdefault(str(link.master), []).append(str(link.name))
    for bridge, ports in bridges.items():
        among = [link for link in facts.state.ports(IfName(bridge)) if link.name in guarded]
        if among:
            yield Finding(
                id=ID,
                severity=Severity.WARNING,
                subject=bridge,
                text=f"without a guard, beside {len(among)} {'port' if len(among) == 1 else 'ports'} with one: "
                f"{listed(ports)}; what is behind them can impersonate anybody",
                evidence=tuple(filter(None, (_of_the_file(facts, ports),))),
                fix=f"guard: strict at bridge {bridge} or at the guest's NIC in the site file, then bascule apply",
                bridges=(bridge,),
            )


def _of_the_file(facts: DoctorFacts, ports: list[str]) -> str:
    if facts.declared is None:
        return ""
    known = {str(nic.tap) for nic in facts.declared_nics}
    foreign = [name for name in ports if name not in known]
    return f"not in the site file: {listed(foreign)}" if foreign else ""


def _slow(network: HostNetwork) -> Iterator[Finding]:
    """Frames that passed the guards go through all chains of IP as well, where br_netfilter shows them these."""
    for family, key in SWITCHES.items():
        lines = sum(len(one.lines) for one in network.rules.chains.values() if one.family in {family, "inet"})
        if lines and network.number(key):
            switch = dotted(key)
            yield Finding(
                id=ID,
                severity=Severity.NOTE,
                subject="br_netfilter",
                text=f"each {family} frame between guests passes the host's firewall after its guard, {lines} "
                f"{'rule' if lines == 1 else 'rules'} long: slower, and its own rules may drop what a guard lets pass",
                evidence=(f"{switch} = 1",),
                fix=f"sysctl -w {switch}=0, where neither Docker's icc=false nor Kubernetes' services need it",
            )


def _others(facts: DoctorFacts, guarded: set[str]) -> Iterator[Finding]:
    """Filters of others that name the same ports: libvirt's nwfilter, Proxmox VE, Incus and the administrator's own."""
    assert facts.state is not None
    for domain in facts.domains:
        both = [f"{nic.tap or domain.name} ({nic.filter})" for nic in domain.nics if nic.filter and nic.tap in guarded]
        if both:
            yield _also(
                domain.name,
                f"libvirt's nwfilter guards {listed(both)} as well: what either stops is stopped, and only Bascule's "
                "is counted and proven",
                f"<filterref> in the definition of {domain.name}",
                f"virsh edit {domain.name} and remove <filterref>, or guard: off at this NIC in the site file",
            )
    for table in facts.state.tables.values():
        named = sorted(name for name in guarded if _names(table, name))
        if named:
            whose = owner(table.name) or ("libvirt" if "libvirt-" in getattr(table, "content", "") else "somebody else")
            yield _also(
                table.key,
                f"{whose} filters frames of {listed(named)} as well: what either stops is stopped, and what its "
                "rules stop is not counted by Bascule's",
                f"nft list table {table.key}",
                "keep one of them at each port",
            )


def _also(subject: str, text: str, evidence: str, fix: str) -> Finding:
    return Finding(id=ID, severity=Severity.WARNING, subject=subject, text=text, evidence=(evidence,), fix=fix)


def _names(table: AnyTable, port: str) -> bool:
    if table.family not in FILTERS or table.key == KEY:
        return False
    words = table.content if isinstance(table, ForeignTable) else str(table) if isinstance(table, Table) else ""
    return f'"{port}"' in words or f"'{port}'" in words or f"-{port}" in words
