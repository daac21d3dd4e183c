"""What the person wrote: YAML text → tree with places → document → checks → Site; every problem of a file at once.

Pure: the caller reads the file (``bascule.system.disk.files.read_bytes``) and hands in its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bascule.model.site import Site

__all__ = ["parse"]


def parse(data: bytes, file: str) -> Site:
    """The site that the bytes of a site file describe; ``file`` is its name in messages.

    Raises SiteFault with every problem of the file. Faults of the text itself (not YAML, not UTF-8) hide all others;
    a key or an entry whose shape is wrong is left out of the further checks, and so is what hangs on it.
    """
    from bascule.site.build import build
    from bascule.site.checks import CHECKS
    from bascule.site.findings import Findings
    from bascule.site.tree import read_tree
    from bascule.site.validate import validate
    from bascule.site.wiring import wire

    found = Findings(file)
    tree = read_tree(data, found)
    if tree is None:
        found.raise_all()
        raise AssertionError("a tree is missing without a problem")  # read_tree notes one whenever it gives None
    checked = validate(tree, found)
    wiring = wire(checked, found)
    for check in CHECKS:
        check(wiring)
    found.raise_all()
    return build(wiring, data)
