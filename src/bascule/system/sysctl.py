"""Kernel parameters, as one network namespace sees them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from bascule.system.netns import Namespace

SYSCTL = Path("/proc/sys")


def read_sysctls(keys: Iterable[str], *, namespace: Namespace | None = None) -> Mapping[str, str]:
    """The texts of files below /proc/sys, as the given network namespace sees them; missing ones are left out."""
    values = {}
    with namespace.entered() if namespace else contextlib.nullcontext():
        for key in keys:
            try:
                fd = os.open(
                    f"{SYSCTL}/{key}", os.O_RDONLY | os.O_CLOEXEC
                )  # thousands: pathlib would take thrice as long
            except (FileNotFoundError, NotADirectoryError):
                continue
            try:
                values[key] = os.read(fd, 65536).decode().strip()
            finally:
                os.close(fd)
    return values


def write_sysctl(key: str, value: str, *, namespace: Namespace | None = None) -> None:
    """Set one kernel parameter, of a network namespace or of the one that we are in. Raises OSError."""
    write_sysctls({key: value}, namespace=namespace)


def write_sysctls(values: Mapping[str, str], *, namespace: Namespace | None = None) -> None:
    """Set several kernel parameters. Raises OSError."""
    with namespace.entered() if namespace else contextlib.nullcontext():
        for key, value in values.items():
            fd = os.open(f"{SYSCTL}/{key}", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, value.encode())
            finally:
                os.close(fd)
