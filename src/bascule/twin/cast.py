"""Which guests a twin plays, and what is needed for it: found before the sandbox, used inside of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from bascule.errors import MissingTool, NotPermitted, Problem
from bascule.model.site import Site
from bascule.system.netns import Namespace
from bascule.system.run import require_tools
from bascule.twin.ends import Wiring
from bascule.twin.players import NamespacePlayers, Players

if TYPE_CHECKING:  # real guests bring much with them that a rehearsal with namespaces does not wait for
    from bascule.guests.accel import Accel
    from bascule.guests.kernel import GuestImage

Kind = Literal["namespace", "qemu", "libvirt"]
KINDS: tuple[str, ...] = get_args(Kind)
TUN = Path("/dev/net/tun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """``accel`` and ``image`` are those of virtual machines."""

    kind: Kind = "namespace"
    accel: Accel | None = None
    image: GuestImage | None = None

    @classmethod
    def of(cls, kind: Kind) -> Cast:
        """Find what such guests need. Raises MissingTool or NotPermitted with what to install, or who to be."""
        if kind == "namespace":
            return cls()
        from bascule.guests import libvirtd
        from bascule.guests.accel import accel
        from bascule.guests.kernel import guest_image

        require_tools(["qemu-system-x86_64"])
        if kind == "libvirt":
            libvirtd.require()
        _require_taps()
        image = guest_image()
        return cls(kind=kind, accel=accel(), image=image)

    def rooms(self, wiring: Wiring) -> tuple[str, ...]:
        """The guests that are namespaces of the twin."""
        return tuple(wiring.guests) if self.kind == "namespace" else ()

    def play(self, site: Site, wiring: Wiring, rooms: Mapping[str, Namespace], folder: Path) -> Players:
        """Bring them in; nobody is started yet."""
        if self.kind == "namespace" or self.accel is None or self.image is None:
            return NamespacePlayers(site, wiring, rooms)
        from bascule.twin.virtual_machines import VirtualMachines

        return VirtualMachines(
            self.kind, site, wiring, rooms, accel=self.accel.name, image=self.image, folder=folder
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
        raise NotPermitted(Problem(code="TUN-FORBIDDEN", message=message, hint=hint)) from error
