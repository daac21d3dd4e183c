"""Forms and files that several dialects share, and where the latter lie."""

from __future__ import annotations

LINK_FILES = ("etc/systemd/network/*.link",)  # of udev: see linkfile
NETWORK_MANAGER_CONF = ("etc/NetworkManager/NetworkManager.conf", "etc/NetworkManager/conf.d/*.conf")
# of bridges of Open vSwitch (persist.formats.openvswitch.unsaid)
SWITCH_WORDS = ("its ports", "VLANs", "STP", "RSTP", "snooping", "fail mode", "datapath", "mirrors", "patch ports")
