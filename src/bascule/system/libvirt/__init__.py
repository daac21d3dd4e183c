"""The way to libvirt: its own Python binding where it can be loaded, else ``virsh``; the same questions to both."""

from __future__ import annotations

import os
from typing import Literal

from bascule.system.libvirt.interface import Hypervisor

__all__ = ["SYSTEM", "Hypervisor", "connect", "default_uri"]

SYSTEM = "qemu:///system"


def default_uri() -> str:
    """The connection that is meant when none is named: LIBVIRT_DEFAULT_URI, else the system's QEMU."""
    return os.environ.get("LIBVIRT_DEFAULT_URI") or SYSTEM


def connect(uri: str | None = None, *, through: Literal["binding", "virsh"] | None = None) -> Hypervisor:
    """A connection to libvirt.

    Raises MissingTool if neither the binding nor virsh is here, CommandFailed if libvirt does not answer.
    """
    from bascule.system.libvirt import binding, virsh

    chosen = uri or default_uri()
    if through == "virsh" or (through is None and not binding.is_here()):
        return virsh.Virsh(chosen)
    return binding.Binding(chosen)
