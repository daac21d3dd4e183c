"""What is closed at the end of its block."""

from __future__ import annotations

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
