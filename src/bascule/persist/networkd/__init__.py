"""networkd: systemd's .netdev and .network units (systemd.netdev(5), systemd.network(5))."""

from __future__ import annotations

from types import MappingProxyType

from bascule.persist.dialect import Dialect
from bascule.persist.formats import LINK_FILES, SWITCH_WORDS
from bascule.persist.formats.neighbours import PERMANENT, PROXY_NDP

FOLDER = "etc/systemd/network"
LEFT_ALONE = "# Written by bascule while a change is made"  # in a file below /run that no link is configured by

DIALECT = Dialect(
    name="networkd",
    last_leads=True,
    openvswitch=SWITCH_WORDS,
    reads=(
        f"{FOLDER}/*.netdev",
        f"{FOLDER}/*.network",
        f"{FOLDER}/*.netdev.d/*.conf",
        f"{FOLDER}/*.network.d/*.conf",
        *LINK_FILES,
    ),
    below=MappingProxyType(
        {f"{folder}/systemd/network/": f"{FOLDER}/" for folder in ("run", "usr/local/lib", "usr/lib", "lib")}
    ),
    made_up=f"^{LEFT_ALONE}",
    # not …unmanaged.network, which is written beside netplan's files as well
    own=(f"{FOLDER}/*.netdev", *(f"{FOLDER}/*{x}.network" for x in ("[!d]", "[!e]d", "[!g]ed", "[!a]ged", "[!n]aged"))),
    files=f"`/{FOLDER}/*.netdev`, `*.network`",
    readers="systemd-networkd",
    notes="""\
Bridges are configured without carrier; one on which the host has no address is not waited for at boot.
  `KeepConfiguration=static` stands with addresses that are written down: a reload would take them away for a while.
  Of a bridge of Open vSwitch it has the host's addresses alone; the database of Open vSwitch keeps the bridge. The
  port is left with its master by `KeepMaster=yes`, which systemd knows from 254 on.""",
    neighbours=frozenset({PERMANENT, PROXY_NDP}),
)
