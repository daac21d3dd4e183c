"""The steps that lead from one state of libvirt to another, as lines of ``virsh``.

Networks come before the guests that are plugged into them, and go after these have left. What runs is changed while
it runs where libvirt can; a network that must be restarted gets its guests' taps back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bascule.model.domain import DomainText, NetworkText
from bascule.model.site import Attachment, PlugKind
from bascule.plan.change import Command, Risk
from bascule.plan.step import Phase, Step, ip, step
from bascule.providers.libvirt import domain_xml, network_xml
from bascule.providers.libvirt.domain_xml import Element
from bascule.providers.libvirt.state import LibvirtState

REPLUG_S = 0.1  # measured: 8 to 18 ms between link down and up; the guest's own renewal comes on top
RESTART_S = 2.0  # measured: 0.3 s for the network, the rest is the lease
NICS = "devices/interface"


def steps(before: LibvirtState, after: LibvirtState) -> Iterator[Step]:
    """All steps, in order."""
    for name, network in after.networks.items():
        if before.networks.get(name) != network:
            yield from _network(before, name, before.networks.get(name), network)
    for name, domain in after.domains.items():
        if before.domains.get(name) != domain:
            yield from _domain(before.uri, before.domains.get(name), domain)
    for name in [name for name in before.domains if name not in after.domains]:
        yield step(Phase.GUEST, name, "undefined", virsh(before.uri, "undefine", name), about="guest")
    for name, gone in before.networks.items():
        if name not in after.networks:
            words = [("net-destroy", name)] if gone.active else []
            words += [("net-undefine", name)] if gone.persistent else []
            commands = (virsh(before.uri, *each) for each in words)
            yield step(
                Phase.LATE_DELETE,
                f"network {name}",
                "taken away from libvirt",
                *commands,
                risk=Risk.DETACHES,
                about="network",
            )


# -- networks


def _network(state: LibvirtState, name: str, before: NetworkText | None, after: NetworkText) -> Iterator[Step]:
    uri, subject = state.uri, f"network {name}"
    define = virsh(uri, "net-define", FROM_STDIN, xml=after.next)
    start = [virsh(uri, "net-start", name), *_plugged_in_again(state, name, after)] if after.active else []
    if before is None:
        words = f"defined in libvirt ({_mode(after)})" + (", started" if after.active else "")
        words += ", started with the host" if after.autostart else ""
        commands = [define, *start, *_autostart(uri, name, None, after)]
        bridges = _bridges(after)
        yield step(Phase.VIRTUAL_NETWORK, subject, words, *commands, about="network", makes=bridges, moves=_taps(start))
        return
    commands, later, bridges = [], before.next, _bridges(before, after)
    autostart = _autostart(uri, name, before, after)
    if before.active and after.active:
        updates = network_xml.updates(before.now, after.now)
        if updates is None:
            guests = bool(start[1:])
            words = "stopped, defined anew and started; its guests are plugged in again"
            commands = [define, virsh(uri, "net-destroy", name), *start, *autostart]
            outage_s = RESTART_S if guests else 0.0
            yield step(
                Phase.VIRTUAL_NETWORK,
                subject,
                words,
                *commands,
                risk=Risk.DETACHES,
                outage_s=outage_s,
                about="network",
                makes=bridges,
                moves=_taps(start),
            )
            return
        for one in updates:
            commands.append(net_update(uri, name, one.command, one.section, one.xml, parent=one.parent))
        later = network_xml.updated(later, updates) if before.persistent else later
    if network_xml.is_other(later, after.next) or (after.persistent and not before.persistent):
        commands.append(define)
    words = "changed while it runs" if before.active and commands else "its definition is changed"
    if after.active and not before.active:
        words = f"defined in libvirt ({_mode(after)}), " if commands else ""
        words += "started, and started with the host" if after.autostart else "started"
        commands += start
    elif before.active and not after.active:
        words = "stopped"
        commands.append(virsh(uri, "net-destroy", name))
    elif autostart and not commands:
        words = "started with the host" if after.autostart else "not started with the host any more"
    if commands or autostart:
        commands += autostart
        yield step(
            Phase.VIRTUAL_NETWORK, subject, words, *commands, about="network", makes=bridges, moves=_taps(commands)
        )


def _bridges(*networks: NetworkText) -> tuple[str, ...]:
    """The bridges that libvirt makes for a network, as far as it is told their names."""
    found = (domain_xml.parse(network.now).find("bridge") for network in networks)
    return tuple(dict.fromkeys(bridge.get("name", "") for bridge in found if bridge is not None))


def _taps(commands: list[Command]) -> tuple[str, ...]:
    """The taps that are put on a bridge again."""
    return tuple(command.words[3] for command in commands if command.tool == "ip")


def _mode(network: NetworkText) -> str:
    """The mode that the site file calls it by, else libvirt's."""
    root = domain_xml.parse(network.next)
    mark = root.find(f"metadata/{{{domain_xml.NAMESPACE}}}network")
    forward = root.find("forward")
    libvirts = "isolated" if forward is None else forward.get("mode", "nat")
    return libvirts if mark is None else mark.get("mode", libvirts)


def _autostart(uri: str, name: str, before: NetworkText | None, after: NetworkText) -> list[Command]:
    if after.autostart == (before is not None and before.autostart):
        return []
    return [virsh(uri, "net-autostart", name, *(() if after.autostart else ("--disable",)))]


def _plugged_in_again(state: LibvirtState, network: str, after: NetworkText) -> list[Command]:
    """The taps of running guests back on a network's bridge, with the cable out for a moment so that guests renew.

    libvirt itself does so only when libvirtd starts, and an update of the NIC does nothing while the bridge has the
    same name.
    """
    bridge = domain_xml.parse(after.now).find("bridge")
    name = "" if bridge is None else bridge.get("name", "")
    enslaved, pulsed = [], []
    for domain in state.domains.values():
        for element in domain_xml.interfaces(domain_xml.parse(domain.now)) if domain.running else ():
            tap = domain_xml.tap_of(element)
            if domain_xml.plug_of(element) != ("network", network) or not tap:
                continue
            enslaved += [ip("link", "set", "dev", tap, "master", name)] if name else []
            for up in (False, True) if domain_xml.is_up(element) else ():
                xml = domain_xml.text(domain_xml.linked(element, up=up))
                pulsed.append(device(state.uri, "update", domain.name, xml, live=True))
    return enslaved + pulsed


# -- domains


def _domain(uri: str, before: DomainText | None, after: DomainText) -> Iterator[Step]:
    if before is None:
        words = "defined, started" if after.running else "defined, not started"
        words += "; starts with the host" if after.autostart else ""
        start = [virsh(uri, "start", after.name)] if after.running else []
        define = virsh(uri, "define", "--validate", FROM_STDIN, xml=after.next)
        with_host = _with_host(uri, False, after)
        yield step(Phase.GUEST, after.name, words, define, *start, *with_host, about="guest")
        return
    live = _Documents(before.now, after.now) if before.running and after.running else None
    config = _Documents(before.next, after.next) if before.persistent and after.persistent else None
    if config is not None and config.is_other_machine:
        define = virsh(uri, "define", "--validate", FROM_STDIN, xml=after.next)
        yield step(Phase.GUEST, after.name, "its definition is changed", define, about="guest")
        config = None
    macs = [mac for each in (live, config) if each is not None for mac in each.changed]
    for mac in dict.fromkeys(macs):
        yield _nic(uri, before, after, mac, live, config)
    if with_host := _with_host(uri, before.autostart, after):
        words = "starts with the host" if after.autostart else "does not start with the host any more"
        yield step(Phase.GUEST, after.name, words, *with_host, about="guest")
    if after.running and not before.running:
        yield step(Phase.GUEST, after.name, "started", virsh(uri, "start", after.name), about="guest")


def _with_host(uri: str, before: bool, after: DomainText) -> list[Command]:  # noqa: FBT001
    if after.autostart == before:
        return []
    return [virsh(uri, "autostart", after.name, *(() if after.autostart else ("--disable",)))]


class _Documents:
    """A domain's document before and after, with the NICs of both by their MAC."""

    def __init__(self, before: str, after: str) -> None:
        self._roots = domain_xml.parse(before), domain_xml.parse(after) if after != before else None
        self.before = _by_mac(self._roots[0])
        self.after = self.before if self._roots[1] is None else _by_mac(self._roots[1])

    @property
    def is_other_machine(self) -> bool:
        """Whether more than NICs differs, or a NIC goes: then only the whole definition tells it all."""
        old, new = self._roots
        if new is None:
            return False
        gone = not self.before.keys() <= self.after.keys()
        return gone or domain_xml.canonical(old, without=NICS) != domain_xml.canonical(new, without=NICS)

    @property
    def changed(self) -> list[str]:
        """The MACs of NICs that come, go, or differ."""
        macs = dict.fromkeys((*self.before, *self.after))
        return [mac for mac in macs if self.pair(mac) is not None]

    def pair(self, mac: str) -> tuple[Element | None, Element | None] | None:
        """A NIC before and after, if it is another one."""
        old, new = self.before.get(mac), self.after.get(mac)
        if old is new or (
            old is not None and new is not None and domain_xml.canonical(old) == domain_xml.canonical(new)
        ):
            return None
        return old, new


def _by_mac(root: Element) -> Mapping[str, Element]:
    return {domain_xml.mac_of(element): element for element in domain_xml.interfaces(root)}


def nic_subject(before: DomainText, after: DomainText, mac: str) -> str:
    """How a NIC is called: by its number in what runs, else in the definition."""
    for xml in (before.now, before.next, after.now, after.next):
        for index, element in enumerate(domain_xml.interfaces(domain_xml.parse(xml))):
            if domain_xml.mac_of(element) == mac.lower():
                return f"{after.name}, NIC {index}"
    return f"{after.name}, NIC {mac}"


def _nic(
    uri: str, before: DomainText, after: DomainText, mac: str, live: _Documents | None, config: _Documents | None
) -> Step:
    now = live.pair(mac) if live else None
    later = config.pair(mac) if config else None
    commands = [*_device(uri, after.name, now, live=True), *_device(uri, after.name, later, live=False)]
    words, cuts = _words(now, later, live.after.get(mac) if live else None)
    moved = now is not None and None not in now and cuts
    taps = tuple(domain_xml.tap_of(element) for element in (now or ())[:1] if element is not None) if moved else ()
    return step(
        Phase.GUEST,
        nic_subject(before, after, mac),
        words,
        *commands,
        risk=Risk.DETACHES if cuts else Risk.ADDITION,
        outage_s=REPLUG_S if cuts else 0.0,
        about="guest",
        moves=tuple(tap for tap in taps if tap),
    )


def _device(
    uri: str, name: str, pair: tuple[Element | None, Element | None] | None, *, live: bool
) -> Iterator[Command]:
    """Link down, then the move and link up in one call, so that a guest misses little and renews its lease."""
    if pair is None:
        return
    old, new = pair
    if new is None and old is not None:
        yield device(uri, "detach", name, domain_xml.text(old), live=live)
    elif old is None and new is not None:
        yield device(uri, "attach", name, domain_xml.text(new), live=live)
    elif old is not None and new is not None:
        if live and domain_xml.is_up(old) and domain_xml.is_up(new):
            yield device(uri, "update", name, domain_xml.text(domain_xml.linked(old, up=False)), live=True)
        yield device(uri, "update", name, domain_xml.text(new), live=live)


def _words(
    now: tuple[Element | None, Element | None] | None,
    later: tuple[Element | None, Element | None] | None,
    runs: Element | None,
) -> tuple[str, bool]:
    """What happens to a NIC, and whether a running guest loses frames by it."""
    old, new = now or later or (None, None)
    if old is None and new is not None:
        return f"gets a NIC on {_where(new)}", False
    if new is None and old is not None:
        return f"loses its NIC on {_where(old)}", now is not None
    if old is None or new is None:
        return "stays", False
    if now is not None:
        if not domain_xml.is_up(new):
            return f"its cable is pulled out of {_where(new)}", True
        if domain_xml.plug_of(old) != domain_xml.plug_of(new):
            return f"re-plugged from {_where(old)} to {_where(new)}: link down, move, link up", True
        return f"its cable is put into {_where(new)} again", True
    if runs is not None and (why := _restart(runs, new)):
        return f"its definition says {_where(new)} in place of {_where(old)}; from its next start on ({why})", False
    if domain_xml.plug_of(old) != domain_xml.plug_of(new):
        return f"its definition says {_where(new)} in place of {_where(old)}", False
    if domain_xml.is_up(old) == domain_xml.is_up(new) and domain_xml.tap_of(old) != domain_xml.tap_of(new):
        return f"its tap is called {domain_xml.tap_of(new)} from its next start on, by which its rules go", False
    if domain_xml.is_up(old) == domain_xml.is_up(new):
        return f"its definition says how it stands on {_where(new)}, as a port and in which VLANs", False
    return f"its cable into {_where(new)} is in from its next start on", False


def _where(element: Element) -> str:
    return " ".join(domain_xml.plug_of(element)).strip()


def _restart(runs: Element, new: Element) -> str:
    kind, into = domain_xml.plug_of(new)
    if kind not in set(PlugKind):
        return ""
    return domain_xml.why_not_live(runs, Attachment(PlugKind(kind), into)) or ""


FROM_STDIN = "/dev/stdin"


def virsh(uri: str, *words: str, xml: str = "") -> Command:
    """``virsh -c URI WORDS``, with a document as its input."""
    return Command("virsh", ("-c", uri, *words), xml)


def device(uri: str, verb: str, domain: str, xml: str, *, live: bool) -> Command:
    """``attach``, ``update`` or ``detach`` of a device, in the running domain or in its definition."""
    return virsh(uri, f"{verb}-device", domain, FROM_STDIN, "--live" if live else "--config", xml=xml)


def net_update(uri: str, network: str, command: str, section: str, xml: str, *, parent: int) -> Command:
    """A change of one section of a network, in its definition and in what runs."""
    words = ["net-update", network, command, section, "--xml", xml, "--config", "--live"]
    words += ["--parent-index", str(parent)] if parent >= 0 else []
    return virsh(uri, *words)
