"""A host that can be looked at and changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from msgspec import Struct

from bascule.system.net.netns import Namespace
from bascule.system.run import Result, run


class LiveHost(Struct, frozen=True):
    """The host that an effect acts on: the network namespace that Bascule was started in, or another one.

    Everything that reads or changes a host takes one, so that a twin's host is dealt with by the same code.
    """

    namespace: Namespace | None = None

    def run(
        self, argv: Sequence[str], *, stdin: str | None = None, check: bool = True, keep: Sequence[int] = ()
    ) -> Result:
        """Run a program on the host; ``keep`` are descriptors that it inherits. Raises what ``run`` raises."""
        return run(argv, stdin=stdin, check=check, namespace=self.namespace, keep=keep)

    @contextmanager
    def entered(self) -> Iterator[Self]:
        """Be on the host for a while; sockets that are opened meanwhile belong to it."""
        if self.namespace is None:
            yield self
            return
        with self.namespace.entered():
            yield self


HERE = LiveHost()
