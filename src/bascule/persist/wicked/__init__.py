"""wicked: SUSE's ifcfg files (/etc/sysconfig/network/ifcfg-*, wicked's ifcfg(5)); they are read, not written."""

from __future__ import annotations

from bascule.persist.dialect import Dialect

FOLDER = "etc/sysconfig/network"

DIALECT = Dialect(
    name="wicked",
    reads=tuple(
        f"{FOLDER}/{name}" for name in ("ifcfg-*", "ifroute-*", "routes", "ifrule-*", "rules", "config", "dhcp")
    ),
    own=(f"{FOLDER}/ifcfg-[!l]*", f"{FOLDER}/ifcfg-l[!o]*"),
    files=f"`/{FOLDER}/ifcfg-*`, `ifroute-*`, `routes`, `ifrule-*`, `rules`, `config`, `dhcp`",
    readers="SUSE: wicked",
    notes="Its files have the stem of RHEL's and other words. `bascule import` reads them; they are not written.",
)
