"""Protocols that are both written and read: one module each, bytes on one side and values on the other."""
