"""keyfile: NetworkManager's own profiles (nm-settings-keyfile(5), nm-settings(5))."""

from __future__ import annotations

from types import MappingProxyType

from bascule.persist.dialect import Dialect
from bascule.persist.formats import LINK_FILES, NETWORK_MANAGER_CONF

FOLDER = "etc/NetworkManager/system-connections"
UNIT = "etc/systemd/system/NetworkManager.service.d/50-bascule.conf"  # a drop-in for its unit

DIALECT = Dialect(
    name="keyfile",
    reads=(f"{FOLDER}/*", *NETWORK_MANAGER_CONF, UNIT, *LINK_FILES),
    own=(f"{FOLDER}/*",),
    # of two profiles that fit alike the one wins that was used last, which nobody can tell: "!" comes before ours
    below=MappingProxyType(
        {
            "run/NetworkManager/system-connections/": f"{FOLDER}/",
            "usr/lib/NetworkManager/system-connections/": f"{FOLDER}/!",
        }
    ),
    shadows=("run/NetworkManager/",),
    made_up=r"^nm-generated=true$",
    files=f"`/{FOLDER}/*.nmconnection`",
    readers="NetworkManager",
    openvswitch=(),
    notes="""\
NetworkManager sets `forward-delay`, `hello-time` and `max-age` only together with STP; without STP the
  kernel does not use them. It gives each default route a metric of its own. Its own default for a bridge is STP on, so
  `stp=false` is always written.
  Bridges of Open vSwitch take its plugin, which Debian builds it without.
  A drop-in of its unit keeps ports without IPv6 addresses, which it gives back to every link when it stops.""",
)
