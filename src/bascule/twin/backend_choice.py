"""Which guests a twin plays, and what is needed for it: found before the sandbox, used inside of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from bascule.errors import MissingTool, NotPermitted, Problem
from bascule.model.site import Site
from bascule.system.net.netns import Namespace
from bascule.system.run import require_tools
from bascule.twin.backend import GuestBackend, NamespaceGuests
from bascule.twin.wiring import Wiring

if TYPE_CHECKING:  # real guests bring much with them that a rehearsal with namespaces does not wait for
    from bascule.guests.accelerator import Accelerator
    from bascule.twin.test_guest.kernel import GuestImage

BackendKind = Literal["namespace", "qemu", "libvirt"]
TUN = Path("/dev/net/tun")


class BackendChoice(Struct, frozen=True, kw_only=True):
    """``accel`` and ``image`` are those of virtual machines."""

    kind: BackendKind = "namespace"
    accel: Accelerator | None = None
    image: GuestImage | None = None

    @classmethod
    def of(cls, kind: BackendKind) -> BackendChoice:
        """Find what such guests need. Raises MissingTool or NotPermitted with what to install, or who to be."""
        if kind == "namespace":
            return cls()
        from bascule.guests.accelerator import accel
        from bascule.twin.test_guest import libvirtd
        from bascule.twin.test_guest.kernel import busybox, guest_image

        problems: list[Problem] = []
        needed = [_require_taps, lambda: require_tools(["qemu-system-x86_64"]), busybox]
        for see in (libvirtd.require, *needed) if kind == "libvirt" else needed:
            try:
                see()
            except MissingTool as missing:
                problems += missing.problems
        if problems:
            raise MissingTool(*problems)
        return cls(kind=kind, image=guest_image(), accel=accel())

    @property
    def by_libvirt(self) -> bool:
        """Whether virtual networks are libvirt's to make, and not the plan's."""
        return self.kind == "libvirt"

    @property
    def words(self) -> str:
        """Who plays, on what processor, with what kernel."""
        if self.accel is None or self.image is None:
            return "namespaces"
        how = "KVM" if self.accel.is_kvm else "TCG, QEMU's own processor"
        by = {"qemu": "bare QEMU", "libvirt": "a libvirt of the twin's own"}[self.kind]
        return f"virtual machines by {by} on {how} ({self.accel.reason}); kernel {self.image.kernel.name}"

    def as_json(self) -> dict[str, object]:
        """The choice for ``--json``."""
        if self.accel is None or self.image is None:
            return {"guests": self.kind}
        accel = {"name": self.accel.name, "reason": self.accel.reason}
        return {"guests": self.kind, "accelerator": accel, "kernel": str(self.image.kernel)}

    def namespaces(self, wiring: Wiring) -> tuple[str, ...]:
        """The guests that are namespaces of the twin."""
        return tuple(wiring.guests) if self.kind == "namespace" else ()

    def play(self, site: Site, wiring: Wiring, namespaces: Mapping[str, Namespace], folder: Path) -> GuestBackend:
        """Bring them in; nobody is started yet."""
        if self.kind == "namespace" or self.accel is None or self.image is None:
            return NamespaceGuests(site, wiring, namespaces, folder)
        from bascule.twin.virtual_machines import VirtualMachines

        return VirtualMachines(
            self.kind, site, wiring, namespaces, accel=self.accel.name, image=self.image, folder=folder
        )


def _require_taps() -> None:
    """A tap is opened with the rights of whoever we are outside of the sandbox."""
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError as error:
        problem = Problem(code="TUN-MISSING", message=f"there is no {TUN}, so no tap for a guest", hint="modprobe tun")
        raise MissingTool(problem) from error
    except OSError as error:
        message = f"{TUN} may not be opened, so there is no tap for a guest: {error.strerror}"
        hint = f"run it as root, or let everybody have taps, as most distributions do: chmod 666 {TUN}"
        raise NotPermitted.of("TUN-FORBIDDEN", message, hint=hint) from error
