"""Who runs the guests of a host, as the verbs about guests see it: libvirt, or QEMU alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.host.live import LiveHost
from bascule.model.domain import Domain, DomainNic
from bascule.model.links import Bridge
from bascule.model.site import Attachment, Guest, GuestNic, SwitchedNic
from bascule.model.state import HostState
from bascule.model.values import IfName, Mac, derive_mac, derive_tap
from bascule.plan.batch import batches
from bascule.plan.change import Change, Note, Plan
from bascule.plan.step import Context
from bascule.providers.protocol import Provider, ThreeWay


def next_nic(domain: Domain, to: Attachment, *, mac: Mac | None, tap: IfName | None, model: str) -> DomainNic:
    """One more NIC of a guest, not made yet; MAC and tap are derived where they are not given."""
    index = max((nic.index for nic in domain.nics), default=-1) + 1
    return DomainNic(
        index=index,
        kind=to.kind.value,
        into=to.into,
        mac=mac or derive_mac("", domain.name, index),
        tap=tap or derive_tap(domain.name, index),
        model=model,
    )


def plugged_nic(guest: str, nic: DomainNic, to: Attachment, host: HostState) -> GuestNic:
    """The NIC at its new place; on a switch that keeps VLANs apart it is in none, until a site file says one."""
    assert nic.mac is not None, "a definition has a MAC for each NIC"
    made = GuestNic(guest=guest, index=nic.index, plug=to.kind, into=to.into, mac=nic.mac, tap=IfName(nic.tap))
    bridge = host.links.get(made.master) if made.master is not None else None
    if bridge is None or not isinstance(bridge.options, Bridge) or bridge.options.by_kernel:
        return made
    return replace(made, switched=SwitchedNic(untagged=0 if bridge.options.vlan_filtering else None))


class GuestRuntime(Protocol):
    """Every call is all or error: if something fails, the guest is put back as it was, and BasculeError is raised."""

    @property
    def name(self) -> str:
        """``libvirt`` or ``qemu``."""

    @property
    def uri(self) -> str:
        """Libvirt's connection, empty without libvirt."""

    def domains(self) -> tuple[Domain, ...]:
        """All guests, running or not."""

    def define(self, guest: Guest, *, nic_model: str = "virtio") -> tuple[Note, ...]:
        """Write a guest's definition, or bring an existing one to the declaration with all else as it was."""

    def start(self, name: str) -> None:
        """Start a guest; one that runs is left alone."""

    def stop(self, name: str) -> None:
        """Pull a guest's plug."""

    def shutdown(self, name: str, mode: str) -> None:
        """Ask a guest to shut down (``acpi``, ``agent``, or empty for what there is); it may take its time."""

    def autostart(self, name: str, *, on: bool) -> None:
        """Whether a guest starts with the host."""

    def undefine(self, name: str) -> None:
        """Forget a guest that does not run; its disks stay."""

    def console(self, name: str) -> tuple[str, ...]:
        """The program that shows a running guest's serial console. Raises MissingTool where it is not here."""

    def replug(self, domain: Domain, nic: DomainNic, to: Attachment) -> tuple[Note, ...]:
        """Move a NIC, or put its cable in again where it is already: link down, move, link up.

        What cannot be moved while the guest runs moves at its next start, and a note says so.
        """

    def unplug(self, domain: Domain, nic: DomainNic) -> None:
        """Pull the cable: the guest sees its link go down; the NIC stays."""

    def attach(self, domain: Domain, to: Attachment, *, mac: Mac | None, tap: IfName | None, model: str) -> DomainNic:
        """Give a guest one more NIC; MAC and tap are derived where they are not given."""

    def detach(self, domain: Domain, nic: DomainNic) -> None:
        """Take a NIC away, now and for every start."""


def run(changes: tuple[Change, ...], where: LiveHost) -> tuple[Note, ...]:
    """Run the commands of changes in order. Raises BasculeError at the first that fails."""
    notes: list[Note] = []
    for provider, batch in batches(Plan(changes=changes)):
        notes += provider.effects().execute(batch, where=where, keep=())
    return tuple(notes)


def bring(provider: Provider, before: HostState, part: Any, where: LiveHost) -> tuple[Note, ...]:
    """Bring a provider's part of a host to another one, by the lines that a plan would print."""
    after = provider.with_part(before, part)
    return run(tuple(step.change(Context()) for step in provider.diff(before, after)), where)


def bring_or_take_back(
    provider: Provider,
    before: HostState,
    part: Any,
    where: LiveHost,
    look: Callable[[BasculeError | None], HostState],
) -> tuple[Note, ...]:
    """The same, and back to ``before`` if anything fails; ``look`` sees the host anew, and gets what failed."""
    try:
        return bring(provider, before, part, where)
    except (BasculeError, KeyboardInterrupt) as error:
        wanted = provider.with_part(before, part)
        try:
            now = look(error if isinstance(error, BasculeError) else None)
            back = provider.merge(ThreeWay(before=before, wanted=wanted, now=now))
            bring(provider, now, back.part, where)
        except BasculeError as worse:
            first = error.problems if isinstance(error, BasculeError) else ()
            raise BasculeError(*first, *worse.problems) from error
        raise
