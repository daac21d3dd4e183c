"""From what is there to a site file: files in any dialect, the kernel's state and libvirt's definitions, pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from bascule.errors import UsageFault
from bascule.importer import libvirt
from bascule.importer.compare import by_programs, disagreements, together, without_client, without_leases
from bascule.importer.completeness import BY_DEFAULT, missing_lines
from bascule.importer.expressible import expressible
from bascule.importer.libvirt.plugs import name_vlans, plugged
from bascule.importer.not_in_file import declared, unsaid, unsaid_routes
from bascule.importer.pins import pin_nics
from bascule.importer.ports_of_guests import isolated_of, limit_of, unsaid_at_ports
from bascule.importer.put_under_bridge import NewBridge, put_under_bridge
from bascule.importer.running import running_config
from bascule.importer.to_site import host_entry
from bascule.model.host_links import Ipv6
from bascule.model.links import Bond
from bascule.model.route_tables import numbers, table_names
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.persist.config import NetworkConfig
from bascule.persist.dialect import dialect
from bascule.persist.foreign.dhclient import READ_BY, with_dhclient
from bascule.persist.foreign.dhcpcd import FILE as DHCPCD
from bascule.persist.foreign.dhcpcd import with_dhcpcd
from bascule.persist.formats.values import named_tables
from bascule.persist.parsed import MASKED, OF_PACKAGES, Files, Parsed, Unparsed, placed, printable
from bascule.persist.wanted import GUEST_TAPS
from bascule.plan.change import Plan
from bascule.site.write import headed
from bascule.topology.ipv6_modes import hears_routers

REASONS_MAX = 3  # that an error repeats


class Imported(Struct, frozen=True, kw_only=True):
    """A site file, where it came from, and everything that it does not say.

    ``conflicts`` are facts that kernel and files tell differently (the file has the kernel's), ``left`` lines of
    files that were not taken, ``notes`` what a site file has no word for, ``others`` what comes by itself or with
    guests and programs. The places in ``site`` count from the first line below the comments of ``text``.
    """

    text: str
    document: Mapping[str, Any]
    site: Site
    dialect: str | None
    conflicts: tuple[str, ...] = ()
    left: tuple[Unparsed, ...] = ()
    notes: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def left_out(self) -> int:
        """How many things were found that the site file does not say."""
        return len(self.left) + len(self.notes)


class Sources(Struct, frozen=True, kw_only=True):
    """What an import is made from.

    ``state`` None means that only files are at hand; ``others`` are the dialects that have files where this one has
    none, ``places`` is where files stand that count as others, ``unread`` is what configuration systems say of which
    there is no dialect. ``chosen`` says that the dialect is a choice among several, which the site file then repeats;
    ``why`` is the reason where nobody made it. ``libvirt_rests`` that libvirt's files are there and it does not answer.
    ``asking`` are links with a DHCP client, ``asking6`` those with one of IPv6 alone, ``clientless`` those with a lease
    for which none is seen. ``clients`` are the files of DHCP clients, ``tables`` are the files that name routing
    tables, ``ebtables`` is what ebtables-save prints, where nft shows less.
    """

    host: str
    site: str
    dialect: str | None
    files: Files = field(default_factory=dict)
    places: Files = field(default_factory=dict)
    skipped: tuple[tuple[str, str], ...] = ()
    unread: tuple[Unparsed, ...] = ()
    libvirt: Files = field(default_factory=dict)
    clients: Files = field(default_factory=dict)
    tables: Files = field(default_factory=dict)
    state: HostState | None = None
    others: tuple[str, ...] = ()
    why: str = ""
    chosen: bool = False
    libvirt_rests: bool = False
    asking: frozenset[IfName] = frozenset()
    asking6: frozenset[IfName] = frozenset()
    clientless: frozenset[IfName] = frozenset()
    ebtables: str = ""

    @property
    def by_place(self) -> Files:
        """All files that are read, by where they stand."""
        found = {self.places.get(path, path): text for path, text in self.files.items()}
        return {**found, **self.clients}


def import_sources(
    sources: Sources, *, as_found: bool = False, bridge: NewBridge | None = None, to_do: Sequence[str] = ()
) -> Imported:
    """The site file of one host, with one more ``bridge`` if that is wished.

    ``to_do`` is what a plan for it does beside that, though nobody asked for it: the file says so.
    Raises UsageFault where the bridge cannot be, BasculeError where host or site have a name that no site file takes.
    """
    parsed = _parsed(sources)
    notes: list[str] = []
    virtual = _virtual(sources, notes)
    told: tuple[str, ...] = ()
    config, others = _ranked(parsed.config, sources, _alone(parsed))
    unsure = _unsure(parsed, config) if sources.state is None else frozenset()  # the kernel knows its ports
    if sources.state is not None:
        running = running_config(sources.state, virtual.bridges)
        kernel, leased = without_leases(running.config, config, sources.asking, sources.asking6)
        notes += [*running.notes, *unsaid_at_ports(sources.state, sources.ebtables)]
        notes += without_client(sources.state, config, sources.clientless)
        others = (*others, *running.others, *leased)
        if sources.dialect is not None:
            config, told = disagreements(kernel, config, sources.state)
            notes += by_programs(kernel, config)
        config = together(kernel, config)
    notes += (*_no_files(sources), *(config.perhaps_listening() if sources.state is None else ()))
    is_here, modes = sources.state is not None, frozenset(_known_modes(config, sources))
    entry = host_entry(config, unsure, modes, parsed.snooping)
    if sources.state is not None:
        notes += _modes_of_the_kernel(entry.host, parsed.config)
        _lay_cables(entry.host, running.patches)
        pin_nics(entry.host.get("nics", {}), sources.state, notes)
    document, unplugged = _document(sources, entry.networks, entry.host, virtual, as_found=as_found)
    left = (*parsed.left, *virtual.left, *unplugged, *_skipped(sources), *sources.unread)
    _refuse_no_configuration(sources, parsed, left)
    site, text, refused = expressible(document)
    said = declared(site, site.hosts[sources.host])
    notes += refused
    more = unsaid(config, said, is_here=is_here, of_ipv6=bool(modes) and not is_here)
    notes += (_placed(parsed, name, why) for name, why in more)
    notes += (*to_do, *unsaid_routes(config, said))
    beside = (*parsed.passed, *_masked(sources), *_named_tables(config, sources))
    words = (text, " ".join(said.links))
    silent = missing_lines(sources.by_place, words, (*told, *notes, *others), (*left, *beside), said)
    left = tuple(sorted({*left, *silent.left}))
    if bridge is not None:  # compared before: with it, the NIC's address is said at the NIC and meant at the bridge
        put_under_bridge(document["hosts"][sources.host], bridge, _names(sources, config))
        site, text, refused = expressible(document)
        notes += refused
    passed = _beside(left, (*silent.default, *beside))
    text = headed(text, _comments(sources, told, notes, left, passed, virtual.kept, others))
    return Imported(
        text=text,
        document=document,
        site=site,
        dialect=sources.dialect,
        conflicts=told,
        left=left,
        notes=tuple(notes),
        others=others,
    )


def import_with_empty_plan(
    sources: Sources, plan_of: Callable[[Site, Host], Plan], bridge: NewBridge | None = None
) -> Imported:
    """The site file, which says ``as_found`` where a plan for this host would change something by Bascule's defaults.

    What it does all the same is said in the file: rules that Bascule made before, and that no key asks for. A
    ``bridge`` is what its plan then makes. Raises as import_sources does.
    """
    imported, to_do = import_sources(sources), tuple[str, ...]()
    is_here = sources.state is not None
    as_found = is_here and bool(plan_of(imported.site, imported.site.hosts[sources.host]))
    if as_found:
        imported = import_sources(sources, as_found=True)
        changes = plan_of(imported.site, imported.site.hosts[sources.host]).changes
        to_do = tuple(f"a plan for this file does this: {one.subject}: {one.action}" for one in changes)
    if to_do or bridge is not None:
        imported = import_sources(sources, as_found=as_found, bridge=bridge, to_do=to_do)
    return imported


_SIGN = re.compile(
    r"^\s*(?:network:|iface\s|auto\s|\[(?:Match|NetDev|connection)\]|(?:DEVICE|STARTMODE)=)", re.MULTILINE
)
_OF_IPV6 = re.compile(r"ipv6|inet6|link.?local|accept.?ra|dhcp6|dhcpv6|dhcp *= *(?:yes|both|true)", re.IGNORECASE)


def _unsure(parsed: Parsed, config: NetworkConfig) -> frozenset[IfName]:
    """Bridges and bonds with ports that nobody can tell."""
    return frozenset({*parsed.unsure, *_without_members(config)})


def _lay_cables(host: dict[str, Any], patches: Mapping[str, list[dict[str, str]]]) -> None:
    """Each at the bridge that names it."""
    for name in patches.keys() & host.get("bridges", {}).keys():
        host["bridges"][name]["patch"] = patches[name]


def _without_members(config: NetworkConfig) -> Iterator[IfName]:
    """Bonds of which no file names a member; there are some, or nobody would write them down."""
    ports = config.ports()
    yield from (name for name, link in config.links.items() if isinstance(link.options, Bond) and not ports[name])


def _skipped(sources: Sources) -> Iterator[Unparsed]:
    yield from (Unparsed(path, 0, "", f"not read: {why}") for path, why in sources.skipped if why != MASKED)


def _masked(sources: Sources) -> Iterator[Unparsed]:
    yield from (Unparsed(path, 0, "", why) for path, why in sources.skipped if why == MASKED)


def _refuse_no_configuration(sources: Sources, parsed: Parsed, left: Sequence[Unparsed]) -> None:
    """Raise UsageFault where files alone are read, and none of them is a configuration."""
    is_one = sources.state is not None or parsed.config.links or sources.libvirt or sources.unread or sources.clients
    is_closed = any(why == "permission denied" for _, why in sources.skipped)  # nobody knows what it is
    if is_one or is_closed or any(map(_SIGN.search, sources.files.values())):
        return
    told = "; ".join(dict.fromkeys(f"'{each.file}': {each.why}" for each in left[:REASONS_MAX]))
    more = f" and {len(left) - REASONS_MAX} more" if len(left) > REASONS_MAX else ""
    besides = f"--dialect {sources.others[0]} reads what is there" if sources.others else "name the folder above etc/"
    message = f"no network configuration was found{': ' if told else ''}{told}{more}"
    raise UsageFault.of("NO-CONFIGURATION", message, hint=besides)


def _no_files(sources: Sources) -> Iterator[str]:
    if sources.why:
        yield f"of several configuration systems the files of {sources.dialect} were read: {sources.why}"
    if sources.dialect is not None and not sources.files:
        besides = f"; there are files of {', '.join(sources.others)}" if sources.others else ""
        yield f"no files of dialect {sources.dialect} were found{besides}"


def _placed(parsed: Parsed, name: IfName, words: str) -> str:
    """A note on a link, with the place where the files first name it."""
    file, line = parsed.places.get(name, ("", 0))
    return f"{file}:{line}: {name}: {words}" if line else f"{name}: {words}"


def _known_modes(config: NetworkConfig, sources: Sources) -> Iterator[IfName]:
    """Links whose IPv6 mode is no default: where it speaks, has learnt from a router, or shall ask for an address.

    Where files alone are read, all of them, if the files speak of IPv6.
    """
    state = sources.state
    if state is None:
        is_said = any(map(_OF_IPV6.search, sources.files.values()))
        clients = [text.split() for text in sources.clients.values() if _OF_IPV6.search(text)]
        yield from (name for name in config.links if is_said or any(name in words for words in clients))
        return
    for name, link in config.links.items():
        learnt = name in state.links and hears_routers(state.links[name], state.routes)
        if link.addresses or link.dhcp4 or learnt or link.ipv6 is Ipv6.DHCP or link.ipv6_privacy:
            yield name


def _modes_of_the_kernel(host: Mapping[str, Any], files: NetworkConfig) -> Iterator[str]:
    """IPv6 modes that no file says."""
    for table in ("nics", "bonds", "vlans", "bridges"):
        for name, entry in host.get(table, {}).items():
            if "ipv6" in entry and name not in files.links:
                yield f"{name}: ipv6 {entry['ipv6']} is what the kernel shows; no file that was read says it"


def _virtual(sources: Sources, notes: list[str]) -> libvirt.LibvirtFiles:
    """What libvirt defines; its networks only where it answers, or where files alone are read."""
    virtual = libvirt.parse(sources.libvirt, sources.host)
    if sources.libvirt_rests and virtual.networks:  # a plan would make them, as networks of Bascule's own
        names = ", ".join(virtual.networks)
        notes.append(
            f"virtual networks left out, libvirt has them and does not answer: {names} (start it, import again)"
        )
        virtual = replace(virtual, networks={})
    return virtual


def _beside(left: tuple[Unparsed, ...], passed: Iterable[Unparsed]) -> tuple[Unparsed, ...]:
    """Lines that were passed over and of which nothing else is told."""
    told = {(each.file, each.line) for each in left}
    passed = (each for each in passed if not (each.is_ignored_file and each.file.startswith(OF_PACKAGES)))
    beside = {each for each in passed if each.why == BY_DEFAULT or (each.file, each.line) not in told}
    return tuple(sorted(beside))


def _names(sources: Sources, config: NetworkConfig) -> set[str]:
    """The names of all links that are there or that files name."""
    return {*config.links, *(sources.state.links if sources.state else ())}


def _parsed(sources: Sources) -> Parsed:
    if sources.dialect is None:
        return with_dhcpcd(Parsed(config=NetworkConfig()), sources.clients)
    hardware = {}
    for link in sources.state.links.values() if sources.state else ():
        if not link.options.kind or link.options.kind == "veth":
            hardware[link.name] = link.hardware_mac
    with named_tables(numbers(table_names(sources.tables))):
        found = placed(dialect(sources.dialect).parse(sources.files, hardware), sources.places)
    return with_dhcpcd(with_dhclient(found, sources.clients) if sources.dialect in READ_BY else found, sources.clients)


def _alone(parsed: Parsed) -> tuple[str, ...]:
    names = ", ".join(name for name in parsed.unmanaged if name not in GUEST_TAPS)
    return (f"not managed by the configuration system: {names}",) if names else ()


def _ranked(config: NetworkConfig, sources: Sources, others: tuple[str, ...]) -> tuple[NetworkConfig, tuple[str, ...]]:
    """With the ranks of gateways, of which is told behind ``others``; a kernel shows them itself."""
    if sources.dialect is None or sources.state is not None:
        return config, others
    config, told = dialect(sources.dialect).ranked(config)
    return config, (*others, *told)


def _named_tables(config: NetworkConfig, sources: Sources) -> Iterator[Unparsed]:
    """The lines that name a routing table of which the configuration says the number."""
    used = {route.table for link in config.links.values() for route in link.routes}
    used |= {rule.table for rule in config.rules if rule.table is not None}
    used |= {route.table for route in config.routes if route.table is not None}
    for each in table_names(sources.tables):
        if each.number in used:
            yield Unparsed(
                each.file, each.line, f"{each.number} {each.name}", "a table's name; its number is used below"
            )


def _document(
    sources: Sources,
    networks: dict[str, Any],
    host: dict[str, Any],
    virtual: libvirt.LibvirtFiles,
    *,
    as_found: bool,
) -> tuple[dict[str, Any], tuple[Unparsed, ...]]:
    """The whole file as a tree, and the NICs of guests that hang on nothing here."""
    entry: dict[str, Any] = {"persist": sources.dialect} if sources.dialect and sources.chosen else {}
    if as_found:
        entry["as_found"] = True
    entry |= host
    if virtual.networks:
        entry["virtual_networks"] = virtual.networks
    guests, unplugged = plugged(virtual, host)
    for nic in (nic for guest in guests.values() for nic in guest.get("nics", ())):
        nic.update(limit_of(sources.state, nic) | isolated_of(sources.state, nic))
    name_vlans(guests, host, networks)
    document: dict[str, Any] = {"site": sources.site}
    if networks:
        document["networks"] = networks
    document["hosts"] = {sources.host: entry}
    if guests:
        document["guests"] = guests
    return document, unplugged


def _comments(
    sources: Sources,
    told: tuple[str, ...],
    notes: list[str],
    left: tuple[Unparsed, ...],
    default: tuple[Unparsed, ...],
    kept: Sequence[str],
    others: Sequence[str],
) -> list[str]:
    """What stands at the head of the file."""
    origin = [f"the {sources.dialect} files"] if sources.dialect else []
    origin += ["dhcpcd.conf"] if DHCPCD in sources.clients else []
    if sources.state is not None:
        origin.insert(0, "the kernel's state")
    if sources.libvirt:
        origin.append("libvirt's definitions")
    out = [
        f"Imported from {', '.join(origin) or 'nothing'}.",
        "No configuration says which network a NIC is connected to: 'bascule survey' finds out.",
    ]
    for title, lines in (
        ("Kernel and files disagree (the kernel's value is used below):", told),
        ("Not said below:", notes),
        ("Not taken from the files:", [str(each) for each in left]),
        ("Left out because it is the default, or has no effect:", [str(each) for each in default]),
        ("Left to libvirt, which keeps it:", kept),
        ("Seen and left alone (guests, leases, other programs, what is down):", others),
    ):
        if lines:
            out += ["", title, *(f"  {printable(line)}" for line in lines)]
    return out
