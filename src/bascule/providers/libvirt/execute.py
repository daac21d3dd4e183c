"""The lines of ``virsh`` as calls of libvirt's library, with the patience that a guest and a restarting daemon need."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence

from bascule.errors import BasculeError, CommandFailed
from bascule.guests.gratuitous_arp import announce, forget_elsewhere
from bascule.host.live import LiveHost
from bascule.model.values import Mac
from bascule.plan.batch import Batch
from bascule.plan.change import Change, Command, Note
from bascule.providers.libvirt import domain_xml
from bascule.providers.libvirt.observe import connect_with_retries
from bascule.system.libvirt import Hypervisor
from bascule.system.net.iproute import batch as run_batch

RELEASE_S = 20.0  # how long a guest may take to let go of a NIC; an idle Linux needs less than one second
ASK_AGAIN_S = 3.0  # a guest that has just been given the NIC (PCI Express: for 5 s) does not hear the first request


def execute(batch: Batch, where: LiveHost) -> tuple[Note, ...]:
    """Tell libvirt one after the other, over one connection for each that is named. Raises BasculeError."""
    notes: list[Note] = []
    connections: dict[str, Hypervisor] = {}
    try:
        for command, change in zip(batch.commands, batch.changes, strict=True):
            uri = command.words[1]
            if uri not in connections:
                connections[uri] = connect_with_retries(uri)
            notes += _LibraryCalls(connections[uri], where, change).run(command)
    finally:
        for hypervisor in connections.values():
            hypervisor.close()
    return tuple(notes)


class _LibraryCalls:
    """Commands of one connection, as calls of its library."""

    def __init__(self, hypervisor: Hypervisor, where: LiveHost, change: Change) -> None:
        self._to = hypervisor
        self._where = where
        self._change = change

    def run(self, command: Command) -> tuple[Note, ...]:
        """One command. Raises BasculeError with libvirt's own words."""
        verb, *words = command.words[2:]
        name = words[0]
        if verb.endswith("-device"):
            return self._device(verb.removesuffix("-device"), name, command.stdin, live="--live" in words)
        if verb == "net-update":
            self._net_update(words)
        elif verb == "autostart":
            self._to.set_domain_autostart(name, on="--disable" not in words)
        elif verb == "net-autostart":
            self._to.set_autostart(name, on="--disable" not in words)
        elif verb in {"define", "net-define"}:
            (self._to.define_domain if verb == "define" else self._to.define_network)(command.stdin)
        else:
            calls: dict[str, Callable[[str], None]] = {
                "undefine": self._to.undefine_domain,
                "start": self._to.start_domain,
                "net-undefine": self._to.undefine_network,
                "net-start": self._to.start_network,
                "net-destroy": self._to.stop_network,
            }
            calls[verb](name)
        return ()

    def _net_update(self, words: Sequence[str]) -> None:
        name, command, section = words[:3]
        xml = words[words.index("--xml") + 1]
        parent = int(words[words.index("--parent-index") + 1]) if "--parent-index" in words else -1
        self._to.update_network(name, command, section, xml, parent=parent, live="--live" in words)

    def _device(self, verb: str, name: str, xml: str, *, live: bool) -> tuple[Note, ...]:
        if verb == "attach":
            self._to.attach_device(name, xml, live=live)
        elif verb == "detach":
            self._to.detach_device(name, xml, live=live)
            if live:
                wait_released(self._to, name, Mac(domain_xml.mac_of(domain_xml.parse(xml))))
        elif live:
            return self._update_live(name, xml)
        else:
            self._to.update_device(name, xml, live=False)
        return ()

    def _update_live(self, name: str, xml: str) -> tuple[Note, ...]:
        """Where somebody put the tap by hand on the very bridge that is meant, the kernel calls it busy.

        It is let go then, and libvirt plugs it in again. The wire is told where the guest is now, for it may be
        silent.
        """
        element = domain_xml.parse(xml)
        tap, mac, up = domain_xml.tap_of(element), Mac(domain_xml.mac_of(element)), domain_xml.is_up(element)
        namespace = self._where.namespace
        if not up and tap:
            forget_elsewhere(mac, tap, namespace=namespace)
        try:
            self._to.update_device(name, xml, live=True)
        except BasculeError as error:
            if error.problems[0].code == "LIBVIRT-NOT-LIVE":
                return self._not_live(name, element, error)
            lines = f"link set dev {tap} nomaster\n"
            if error.problems[0].code != "LIBVIRT-PORT-BUSY" or not tap:
                raise
            if run_batch("ip", lines, namespace=namespace) is not None:
                raise
            self._to.update_device(name, xml, live=True)
        if up and tap:
            announce(tap, mac, namespace=namespace)
        return ()

    def _not_live(self, name: str, element: domain_xml.Element, error: BasculeError) -> tuple[Note, ...]:
        """Libvirt cannot do it while the guest runs: the cable is put in again where it was."""
        there = _live(self._to, name, Mac(domain_xml.mac_of(element)))
        if there is not None and not domain_xml.is_up(there):
            self._to.update_device(name, domain_xml.text(domain_xml.linked(there, up=True)), live=True)
        text = (
            f"{error.problems[0].message}; its definition says {' '.join(domain_xml.plug_of(element))}, which takes "
            "effect when the guest is shut down and started again (a reboot from inside is not enough)"
        )
        return (Note(kind="waiting", subject=self._change.subject, text=text),)


def wait_released(hypervisor: Hypervisor, name: str, mac: Mac) -> None:
    """Until a running guest has let go of a NIC. Raises BasculeError after RELEASE_S seconds."""
    end = time.monotonic() + RELEASE_S
    again = time.monotonic() + ASK_AGAIN_S
    while (live := _live(hypervisor, name, mac)) is not None:
        if time.monotonic() > end:
            raise CommandFailed.of(
                "NIC-HELD",
                f"the guest '{name}' did not let go of its NIC {mac} within {RELEASE_S:g} s",
                hint="its system must answer PCI hot-unplug; pull the cable with `bascule guest unplug` instead",
            )
        if time.monotonic() > again:
            again += ASK_AGAIN_S
            with contextlib.suppress(BasculeError):  # "already in the process of unplug"
                hypervisor.detach_device(name, domain_xml.text(live), live=True)
        time.sleep(0.05)


def _live(hypervisor: Hypervisor, name: str, mac: Mac) -> domain_xml.Element | None:
    domain = hypervisor.domain(name)
    return domain_xml.find(domain_xml.parse(domain.now), mac) if domain.running else None
