"""commands: the host's network as ip(8) and brctl(8) commands, to read or to paste; nobody reads them at boot."""

from __future__ import annotations

from bascule.persist.dialect import Dialect

DIALECT = Dialect(name="commands", last_leads=True)
