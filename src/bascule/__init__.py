"""Bascule puts KVM guests on real networks."""

__version__ = "0.1.0"
