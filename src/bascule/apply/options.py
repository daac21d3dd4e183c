"""What the administrator chooses when a change is planned and made."""

from __future__ import annotations

from msgspec import Struct


class DriverChoice(Struct, frozen=True, kw_only=True):
    """Who runs the guests: a driver's name, ``none``, or "" for whoever is there; and libvirt's connection.

    ``lasting``: what is made may be written where the machine starts it again.
    """

    driver: str = "none"
    uri: str | None = None
    lasting: bool = True


NO_DRIVER, ANY_DRIVER = DriverChoice(), DriverChoice(driver="")
