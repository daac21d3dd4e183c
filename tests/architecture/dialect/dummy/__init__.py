"""dummy: one line for each NIC in /etc/dummy.conf; a dialect as small as one can be."""

from __future__ import annotations

from bascule.persist.dialect import Dialect

FILE = "etc/dummy.conf"

DIALECT = Dialect(
    name="dummy",
    reads=(FILE,),
    own=(FILE,),
    files=f"`/{FILE}`",
    readers="nobody",
    notes="It knows NICs and their addresses.",
)
