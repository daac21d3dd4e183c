"""``python -m bascule``."""

from bascule.cli import program

program()
