"""Guests that libvirt runs, for the verbs about guests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.guests.accelerator import accel
from bascule.guests.checks import is_local, unguarded_taps
from bascule.guests.runtimes.runtime import bring, bring_or_take_back, next_nic, plugged_nic
from bascule.host.live import HERE, LiveHost
from bascule.model.domain import Domain, DomainNic, DomainText
from bascule.model.site import Attachment, Guest, PlugKind
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac
from bascule.plan.change import Note
from bascule.providers.libvirt import LIBVIRT, domain_xml, edit
from bascule.providers.libvirt.guard_notes import guards_of, with_guards
from bascule.providers.libvirt.merge import plugged_anew
from bascule.providers.libvirt.observe import connect_with_retries, observe
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.observe import observe as observe_host
from bascule.system.libvirt import connect
from bascule.system.run import find_tool

OTHER_KIND = "libvirt has it as a port of the other kind of bridge; 'bascule apply' moves its tap at once"


def answering(uri: str | None, _: Mapping[str, Guest]) -> LibvirtRuntime:
    """The guests of a connection, of this machine's own libvirt without one. Raises where it does not answer."""
    return LibvirtRuntime(uri)


class LibvirtRuntime:
    """The guests of one connection. ``where`` is the host that its taps are on."""

    name: ClassVar[str] = "libvirt"

    def __init__(self, uri: str | None = None, *, where: LiveHost = HERE, accelerator: str = "") -> None:
        """Raises BasculeError where libvirt does not answer; what new guests run on is found out if it is not given."""
        hypervisor = connect(uri)
        self.uri = hypervisor.uri
        hypervisor.close()
        self._where = where
        self._accelerator = accelerator

    def state(self) -> LibvirtState:
        """Everything that libvirt knows."""
        hypervisor = connect(self.uri)
        try:
            return observe(hypervisor)
        finally:
            hypervisor.close()

    def domains(self) -> tuple[Domain, ...]:
        """All guests."""
        return self.state().seen_domains

    def define(self, guest: Guest, *, nic_model: str = "virtio") -> tuple[Note, ...]:
        """Write a definition; what runs is moved by ``replug`` only."""
        state = self.state()
        before = state.domains.get(guest.name)
        if before is None:
            xml = domain_xml.build(guest, accel=self._accelerator or accel().name, nic_model=nic_model)
            xml = with_guards(xml, guest)
            made = domain_xml.text_of(guest.name, xml)
            self._change(state, replace(made, autostart=bool(guest.autostart)))
            return ()
        xml, unknown = domain_xml.edited(before.next, guest, nic_model=nic_model)
        xml = with_guards(xml, guest)
        autostart = before.autostart if guest.autostart is None else guest.autostart
        now = before.now if before.running else xml
        self._change(state, replace(before, next=xml, now=now, autostart=autostart))
        notes = [
            Note(kind="foreign", subject=guest.name, text=f"its NIC {nic} is not in the site file") for nic in unknown
        ]
        if before.running:
            text = (
                "it runs: the new definition takes effect at its next start; `bascule guest replug` moves its NICs now"
            )
            notes.append(Note(kind="waiting", subject=guest.name, text=text))
        return tuple(notes)

    def start(self, name: str) -> None:
        """Start a guest. Raises BasculeError for one whose guard is not loaded where this machine has its taps."""
        state = self.state()
        domain = state.domains[name]
        if not domain.running:
            guards = guards_of(domain.next) if is_local(self.uri) else {}
            nics = next(one for one in state.seen_domains if one.name == name).next_nics
            if guards and (missing := unguarded_taps(name, nics, guards, self._links())):
                raise BasculeError(*missing)
            bring(LIBVIRT, _host(state), _with(state, replace(domain, running=True)), self._where)

    def stop(self, name: str) -> None:
        """Pull the plug."""
        hypervisor = connect(self.uri)
        hypervisor.stop_domain(name)
        hypervisor.close()

    def shutdown(self, name: str, mode: str) -> None:
        """Ask the guest."""
        hypervisor = connect(self.uri)
        hypervisor.shutdown_domain(name, mode)
        hypervisor.close()

    def autostart(self, name: str, *, on: bool) -> None:
        """Whether it starts with the host."""
        hypervisor = connect(self.uri)
        hypervisor.set_domain_autostart(name, on=on)
        hypervisor.close()

    def undefine(self, name: str) -> None:
        """Take its definition away."""
        hypervisor = connect(self.uri)
        hypervisor.undefine_domain(name)
        hypervisor.close()

    def console(self, name: str) -> tuple[str, ...]:
        """By virsh, which gives the keyboard to the guest."""
        return (find_tool("virsh"), "-c", self.uri, "console", name)

    def replug(self, domain: Domain, nic: DomainNic, to: Attachment) -> tuple[Note, ...]:
        """Move a NIC, live where libvirt can, and in the definition."""
        state = self.state()
        text, mac = state.domains[domain.name], _mac(nic)
        _refuse_unknown_network(state, to)
        live = domain_xml.find(domain_xml.parse(text.now), mac) if text.running else None
        later = domain_xml.find(domain_xml.parse(text.next), mac) if text.persistent else live
        host = self._links()
        made = plugged_nic(domain.name, nic, to, host)
        waiting = domain_xml.why_not_live(live, to) if live is not None else None
        moved = replace(nic, into=to.into, bridge=made.master or "")
        if live is not None and (missing := unguarded_taps(domain.name, (moved,), guards_of(text.next), host)):
            raise BasculeError(*missing)
        if waiting is None and live is not None and domain_xml.is_switched(live) == made.by_kernel:
            waiting = OTHER_KIND
        if waiting and not text.persistent:
            raise BasculeError.of(
                "NIC-NOT-MOVED", f"'{domain.name}', NIC {mac}: {waiting}, and the domain has no definition"
            )
        is_other = later is not None and domain_xml.is_switched(later) == made.by_kernel
        notes = self._change(state, edit.replug(text, mac, to, declared=made if waiting or is_other else None))
        if waiting is None:
            return notes
        words = (
            f"{waiting}; its definition says {to} now, which takes effect when the guest is shut down and started "
            "again (a reboot from inside is not enough)"
        )
        return (*notes, Note(kind="waiting", subject=f"{domain.name} {mac}", text=words))

    def unplug(self, domain: Domain, nic: DomainNic) -> None:
        """Pull the cable, now and for every start."""
        state = self.state()
        self._change(state, edit.unplug(state.domains[domain.name], _mac(nic)))

    def attach(self, domain: Domain, to: Attachment, *, mac: Mac | None, tap: IfName | None, model: str) -> DomainNic:
        """Give a guest one more NIC, now and at every start."""
        state = self.state()
        made = next_nic(domain, to, mac=mac, tap=tap, model=model)
        _refuse_unknown_network(state, to)
        _refuse_taken(state, domain.name, _mac(made))
        element = domain_xml.new_interface(to, mac=_mac(made), tap=IfName(made.tap), model=model)
        element = domain_xml.on_switch(element, plugged_nic(domain.name, made, to, self._links()))
        self._change(state, edit.attach(state.domains[domain.name], element))
        return made

    def detach(self, domain: Domain, nic: DomainNic) -> None:
        """Take a NIC away. Raises if the guest does not let go of it in time."""
        state = self.state()
        self._change(state, edit.detach(state.domains[domain.name], _mac(nic)))

    def _links(self) -> HostState:
        """Of this machine, where its taps are; nothing of another one."""
        return observe_host(namespace=self._where.namespace) if is_local(self.uri) else HostState()

    def _change(self, state: LibvirtState, domain: DomainText) -> tuple[Note, ...]:
        def look(failed: BasculeError | None) -> HostState:
            return self._after(domain.name, state, failed)

        return bring_or_take_back(LIBVIRT, _host(state), _with(state, domain), self._where, look)

    def _after(self, name: str, before: LibvirtState, failed: BasculeError | None) -> HostState:
        """The state after a failure. Where libvirtd died, it may remember something else than it told QEMU."""
        try:
            now = observe(connect_with_retries(self.uri))
        except BasculeError as error:
            there = before.domains.get(name)
            words = f"'{name}'" + (f" ({_plugs(there)})" if there is not None else "")
            raise BasculeError.of(
                "GUEST-NOT-RESTORED",
                f"libvirt does not come back, so these guests may not be as they were: {words}",
                hint="start libvirtd, then `bascule undo`, or `bascule guest replug` each of them",
            ) from error
        if failed is not None and failed.problems[0].code == "LIBVIRT-GONE":
            other = plugged_anew(now, {name})
            bring(LIBVIRT, _host(now), other, self._where)
            return _host(other)
        return _host(now)


def _host(state: LibvirtState) -> HostState:
    return HostState(parts={"libvirt": state})


def _with(state: LibvirtState, domain: DomainText) -> LibvirtState:
    return replace(state, domains={**state.domains, domain.name: domain})


def _mac(nic: DomainNic) -> Mac:
    assert nic.mac is not None, "libvirt gives each NIC a MAC"
    return nic.mac


def _plugs(domain: DomainText) -> str:
    found = domain_xml.interfaces(domain_xml.parse(domain.now))
    words = [f"{domain_xml.mac_of(element)} on {' '.join(domain_xml.plug_of(element))}" for element in found]
    return ", ".join(words) or "without NIC"


def _refuse_unknown_network(state: LibvirtState, to: Attachment) -> None:
    """A definition takes any name; the guest would not start later."""
    if to.kind is not PlugKind.NETWORK or to.into in state.networks:
        return
    names = ", ".join(state.networks)
    raise BasculeError.of(
        "LIBVIRT-NO-NETWORK",
        f"libvirt has no network '{to.into}'",
        hint=f"it has: {names}" if names else "it has none; `virsh net-list --all` shows them",
    )


def _refuse_taken(state: LibvirtState, name: str, mac: Mac) -> None:
    """Libvirt itself takes the same MAC twice; a switch does not."""
    for other in state.seen_domains:
        if any(nic.mac == mac for nic in (*other.nics, *other.next_nics)):
            shut = "" if other.running else " (shut off)"
            raise BasculeError.of(
                "MAC-TAKEN",
                f"domain '{other.name}'{shut} already has a NIC with the MAC {mac}; '{name}' cannot have it",
                hint="leave the MAC out and one is derived, or give another",
            )
