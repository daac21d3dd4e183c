"""Bascule puts KVM guests on real networks. ``bascule.api`` is what other programs use."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bascule import api as api

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """``import bascule`` alone is enough for ``bascule.api``, which is imported on its first use."""
    if name == "api":
        from importlib import import_module

        return import_module("bascule.api")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
