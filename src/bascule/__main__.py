"""``python -m bascule``."""

from bascule.cli import main

main()
