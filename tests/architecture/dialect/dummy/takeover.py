"""A manager that is told of its files."""

from __future__ import annotations

from collections.abc import Collection

from bascule.persist.manager import Ours, Takeover, concerns


class _Dummy(Takeover):
    def follow(self, paths: Collection[str], ours: Ours) -> list[str]:
        del ours
        return ["dummyd does not run"] if concerns(paths, ("/etc/dummy.conf",)) else []


TAKEOVER = _Dummy()
