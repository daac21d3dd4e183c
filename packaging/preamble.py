"""Run by bascule.pyz before anything of it is imported, by any Python: what is newer than 3.6 stays out."""

import sys
from pathlib import Path

# beside this folder the modules; a compiled one names the Python that it is for
made = Path(__file__).resolve().parent.parent.glob("msgspec/_core.cpython-*")
held = sorted(int(path.name.split("-")[1][1:]) for path in made)
if sys.version_info[0] != 3 or sys.version_info[1] not in held:
    here = ".".join(map(str, sys.version_info[:2]))
    words = "error[PYTHON]: bascule.pyz needs Python 3.{} to 3.{}, and this is {}"
    hint = "hint: run it by such a Python, as in: python3.{} bascule.pyz --help"
    sys.exit("\n".join((words.format(held[0], held[-1], here), hint.format(held[-1]))))
