"""Inside the Debian machine: a bridge of Open vSwitch with the host's address, through one reboot.

First boot: `apply` writes the files of the manager that is there, a guest of the switch runs, and the machine reboots
under it. Second boot: Open vSwitch is there before the manager asks for it, the host has its address on the internal
port, the guards' rules are loaded, the port of the guest that is off is gone, and nothing is left to do. Started as
``switch.py MANAGER SECONDS``, like :mod:`tests.vm.debian.job`, whose hands it has.
"""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.vm.debian.job import (
    DIALECTS,
    INSTALLERS,
    RESTARTS,
    SETTLE,
    SITE,
    STAGE,
    UNITS,
    boots,
    journal,
    output,
    plan_left,
    say,
    sh,
    tell,
    typed,
    wait_until,
)
from tests.vm.lab import full

TAP, ADDRESS = "web.0", "10.50.0.5/24"
TEXT = """\
site: switched
networks:
  storage: {subnet: 10.50.0.0/24}
  red: {subnet: 10.30.0.0/24, vlan: 30}
hosts:
  vmserver:
    nics:
      eth5: {network: storage}
    bridges:
      ovs0: {kind: openvswitch, uplink: eth5, address: 10.50.0.5/24}
guests:
  web: {host: vmserver, nics: [{bridge: ovs0, vlan: 30, address: 10.30.0.5/24, guard: strict}]}
"""
SWITCH = ("ovs-vswitchd", "bascule-switches")
ONLINE = ("/lib/systemd/systemd-networkd-wait-online", "--interface=ovs0:routable")


def vsctl(*words: str) -> str:
    """What Open vSwitch says, on one line."""
    return " ".join(output("ovs-vsctl", "--timeout=60", *words).split())


def units_say() -> list[str]:
    """What systemd still does, what failed, and what Open vSwitch and its friends said at this boot."""
    lists = output("systemctl", "list-jobs", "--no-pager") + output("systemctl", "--failed", "--no-pager")
    words = ("journalctl", "--boot", "--no-pager", "--output", "short-monotonic", "--lines", "40")
    units = ("ovs*", "openvswitch*", "netplan*", "bascule*", "systemd-networkd*", "networking")
    return (lists + output(*words, *(f"--unit={unit}" for unit in units))).splitlines()


def change(manager: str) -> None:
    """First boot: the switch is made and kept, and the machine reboots while a guest has its port."""
    Path(SITE).write_text(TEXT)
    INSTALLERS[manager].lay(Path("/"))  # for the host's other NIC, which is left alone
    for unit in (UNITS[manager], "openvswitch-switch"):
        wrong = sh("systemctl", "enable", "--now", unit)
        say(f"enable {unit}", ok=not wrong, detail=wrong)
    sh("ip", "tuntap", "add", "dev", TAP, "mode", "tap")
    typed("apply", "apply", SITE, "--yes", "--no-confirm", want=f"kept over a restart by: {DIALECTS[manager]},")
    ports = vsctl("list-ports", "ovs0")
    say("the guest has its port", ok=ports == f"eth5 {TAP}", detail=ports)
    STAGE.write_text("rebooted")
    subprocess.run(("sync",), check=True)
    tell(full.REBOOT)
    words = ("systemctl", "start", "--no-block", "--job-mode=replace-irreversibly", "reboot.target")
    subprocess.run(words, check=True)


def look_again(manager: str) -> None:
    """Second boot: what came up by itself, and what a restart of the manager does to it."""
    wait_until(lambda: ADDRESS not in output("ip", "address", "show", "dev", "ovs0"), SETTLE)
    told = output("ip", "address", "show", "dev", "ovs0")
    say("the host has its address on the switch", ok=ADDRESS in told and ",UP" in told, detail=[told, *units_say()])
    if manager == "networkd":
        wrong = sh(*ONLINE, f"--timeout={boots(SETTLE):.0f}")
        say("who waits for the network goes on", ok=not wrong, detail=wrong)
    units = (*SWITCH, UNITS[manager])
    begun = {unit: int(output("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", unit) or 0) for unit in units}
    say("Open vSwitch is there before its guards", ok=0 < begun[SWITCH[0]] < begun[SWITCH[1]], detail=begun)
    if manager == "ifupdown":  # whose scripts speak with it; networkd sets an address when the link comes
        say("and before the manager", ok=begun[SWITCH[0]] < begun[UNITS[manager]], detail=begun)
    if manager == "netplan":
        failed = output("systemctl", "list-units", "--failed", "--plain", "--no-legend", "netplan-*")
        say("netplan's own units have done it", ok=not failed, detail=[failed, *units_say()])
    ports = vsctl("list-ports", "ovs0")
    say("the port of the guest that is off is gone", ok=ports == "eth5", detail=ports)
    flows = output("ovs-ofctl", "-O", "OpenFlow14", "dump-aggregate", "ovs0", "cookie=0xba5c/-1")
    say("the guards' rules are loaded", ok="flow_count=" in flows and "flow_count=0" not in flows, detail=flows)
    left = wait_until(plan_left, SETTLE)
    say("after the reboot nothing is left to do", ok=not left, detail=[*left, *(left and journal(manager))])
    rows = vsctl("show")
    wrong = sh(*RESTARTS[manager])
    say(" ".join(RESTARTS[manager]), ok=not wrong, detail=wrong)
    wait_until(lambda: ADDRESS not in output("ip", "address", "show", "dev", "ovs0"), SETTLE)
    say("a restart leaves the switch", ok=vsctl("show") == rows, detail=[rows, vsctl("show")])
    left = wait_until(plan_left, SETTLE)
    say("after the restart nothing is left to do", ok=not left, detail=[*left, *(left and journal(manager))])
    say("done", ok=True)
    subprocess.run(("systemctl", "poweroff", "--force"), check=True)


def main() -> None:
    """Which boot is it?"""
    stages: Mapping[str, Callable[[str], None]] = {"": change, "rebooted": look_again}
    try:
        stages[STAGE.read_text() if STAGE.exists() else ""](sys.argv[1])
    except BaseException as error:
        say("the job", ok=False, detail=traceback.format_exc()[-1500:])
        subprocess.run(("systemctl", "poweroff", "--force"), check=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
