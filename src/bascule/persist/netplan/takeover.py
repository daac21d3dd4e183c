"""netplan makes the files of networkd anew, which then follows; it keeps no link itself."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from bascule.model.dhcp.identity import ClientId
from bascule.model.values import IfName
from bascule.persist.manager import Takeover, concerns
from bascule.persist.networkd.takeover import GENERATED
from bascule.persist.networkd.takeover import TAKEOVER as NETWORKD
from bascule.persist.takeover import tell

GENERATORS = ("/usr/libexec/netplan/generate", "/usr/lib/netplan/generate")


class _Netplan(Takeover):
    def generate(self, paths: Collection[str]) -> tuple[list[str], tuple[str, ...]]:
        if not concerns(paths, ("/etc/netplan/",)):
            return [], ()
        generator = next((path for path in GENERATORS if Path(path).exists()), None)
        return tell(generator) if generator else tell("netplan", "generate"), (GENERATED,)

    def client_id(self, link: IfName) -> ClientId | None:
        return NETWORKD.client_id(link)


TAKEOVER = _Netplan()
