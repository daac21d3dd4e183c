"""What is closed at the end of its block."""

from __future__ import annotations

import os
from typing import Self


class Closing:
    """``with`` over something that has ``close``."""

    __slots__ = ()

    def close(self) -> None:
        """Let go of it; a second time does nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class HeldDescriptor(Closing):
    """A file descriptor that is open for as long as this is; -1 afterwards."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """Let go of it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
