"""Found by its service."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.persist.manager import Manager, Root


def detect(root: Root) -> Iterator[Manager]:
    """The service dummyd, with what it configures."""
    if link := root.enabled("multi-user.target.wants/dummyd.service"):
        yield Manager.seen("dummy", "dummyd", link=link, files=root.files("etc/dummy.conf"))
