"""Where a site comes from: the file, and the place in it at which a value is written."""

from __future__ import annotations

from bascule.errors import Place
from bascule.model.volatile import Volatile


class SitePlace(Place):
    """Where a value of the site file is written; values compare by what they say, so two of these are always equal."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SitePlace) or tuple.__eq__(self, other)

    def __hash__(self) -> int:
        return 0


NOWHERE = SitePlace("", 0, 0)


class SiteSource(Volatile, frozen=True, kw_only=True):
    """The file that a site was read from, with the SHA-256 of its bytes."""

    path: str = ""
    digest: str = ""
