"""The administrator's hands inside the Debian machine, with the verbs that he types.

First boot: the installer's own file stands there; a change moves it aside, nobody confirms it, and the power goes.
Second boot: the very file is back, and the host has its address by it; `apply` moves it again and writes the files of
the manager that is there; guests are plugged in; the manager is restarted; changes that nobody confirms come back by
systemd's timer. Then a reboot, and nothing may be left to do, before and after another restart of the manager. Then
another change that nobody confirms, and the power goes: the fourth boot must come up as if it had never been. Where the
manager can, one bridge is a switch of Open vSwitch (:mod:`tests.vm.debian.switch`). Started once per boot as
``job.py MANAGER SECONDS``: what a bare boot took just now, by which every limit here is measured. What it finds leaves
on the second serial line, a JSON object per line.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bascule.model.state import HostState
from bascule.model.values import IfName
from bascule.providers.observe import observe
from bascule.system.disk import aside
from bascule.system.disk.durable import write_whole
from tests.real_hosts.installers import INSTALLED, Installed
from tests.vm.debian import switch
from tests.vm.debian.hands import (
    BASCULE,
    CONFIRM,
    DIALECTS,
    LONG,
    PROGRAM,
    QUIET,
    RESTARTS,
    SETTLE,
    SITE,
    SOON,
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

OTHER = Path("/var/lib/lab-other.yaml")  # the same host with its address on a bridge, and a network of its own
STAGE, FILES = Path("/var/lib/lab-stage"), Path("/var/lib/lab-files")
READ_AT_BOOT = ("/etc/systemd/network", "/etc/netplan", "/etc/network", "/etc/NetworkManager", "/etc/sysctl.d")
UNIT_FILES = Path("/etc/systemd/system")
RULES = "bascule-rules.service"
ASIDE = Path("/", aside.ASIDE)
INSTALLERS = {
    "networkd": Installed(
        dialect="networkd",
        path="etc/systemd/network/20-wired.network",
        text="[Match]\nName=eth0\n\n[Network]\nAddress=192.168.1.10/32\n\n"
        "[Route]\nGateway=192.168.1.1\nGatewayOnLink=yes\n",
    ),
    "NetworkManager": INSTALLED["Fedora"],
    "netplan": INSTALLED["Ubuntu with cloud-init"],
    "ifupdown": INSTALLED["Debian"],
}
# as hosters give it: an address of its own, and a gateway that only the link reaches
SINGLE = ("networkd",)
TAPS = ("web.0", "access.0", "tagged.0")


def masters(state: HostState) -> dict[str, str]:
    """Where the guests' taps are plugged in."""
    return {name: str(link.master) for name, link in state.links.items() if name in taps()}


def taps() -> tuple[str, ...]:
    """The guests' taps on this host."""
    return (*TAPS, switch.TAP) if has_switch() else TAPS


def has_switch() -> bool:
    """Whether this host has a switch."""
    return sys.argv[1] in switch.MANAGERS


def plug() -> None:
    """The guests start, and are plugged in."""
    for tap in taps():
        sh("ip", "tuntap", "add", "dev", tap, "mode", "tap")
    sh("udevadm", "settle")
    typed("guests are plugged in", "apply", SITE, "--yes", "--no-confirm")
    left = plan_left()
    say("then nothing is left to do", ok=not left, detail=left)


def restart(manager: str) -> None:
    """The manager starts again: no tap leaves its bridge, and nothing is left to do."""
    before = observe()
    with subprocess.Popen(("ip", "-o", "monitor", "link"), stdout=subprocess.PIPE, text=True) as monitor:
        wrong = sh(*RESTARTS[manager])
        say(" ".join(RESTARTS[manager]), ok=not wrong, detail=wrong)
        time.sleep(boots(QUIET))
        monitor.terminate()
        events = monitor.stdout.read().splitlines() if monitor.stdout else []
    moved = [line for line in events if any(f" {tap}:" in line for tap in taps()) and " master " not in line]
    say("no tap leaves its bridge", ok=not moved and masters(observe()) == masters(before), detail=moved[:5])
    if manager == "networkd":
        dead_man()
    left = wait_until(plan_left, SETTLE)
    say("after the restart nothing is left to do", ok=not left, detail=left)


def install(manager: str) -> None:
    """First boot: a host as its installer leaves it, and a change that never gets its confirmation."""
    text = (Path(__file__).parent / "site.yaml").read_text().replace("192.168.1.10/24", host_address())
    Path(SITE).write_text(switch.with_switch(text) if has_switch() else text)
    INSTALLERS[manager].lay(Path("/"))
    if manager == "netplan":
        sh("netplan", "generate")
    wrong = sh("systemctl", "enable", "--now", UNITS[manager])
    say(f"enable {UNITS[manager]}", ok=not wrong, detail=wrong)
    if has_switch():
        switch.start()
    if manager == "ifupdown":
        sh("ifup", "eth0")  # as udev does for allow-hotplug when it finds the NIC
    say("the installer's file gives the address", ok=not wait_until(lambda: not address("eth0"), SETTLE))
    change_and_cut(b"installed")


def host_address() -> str:
    """The host's own address, by which it is reached."""
    return "192.168.1.10/32" if sys.argv[1] in SINGLE else "192.168.1.10/24"


def address(link: str) -> bool:
    """Whether a link has the host's own address."""
    found = observe().links.get(IfName(link))
    return found is not None and any(one.ip == host_address() for one in found.addresses)


def write(manager: str) -> None:
    """Second boot: the installer's file is back; now the change is kept, which moves it aside for good."""
    came_back(manager)
    say("the installer's file gives the address again", ok=not wait_until(lambda: not address("eth0"), SETTLE),
        detail=journal(manager)[-10:])  # fmt: skip
    typed("apply", "apply", SITE, "--yes", "--no-confirm", want=f"kept after a restart by: {DIALECTS[manager]},")
    left = wait_until(plan_left, SETTLE)
    say("after apply nothing is left to do", ok=not left, detail=left)
    plug()
    if has_switch():
        switch.runs()
    restart(manager)
    STAGE.write_text("rebooted")
    subprocess.run(("sync",), check=True)
    tell(full.REBOOT)
    # not `systemctl reboot`, which asks logind first, and that is masked in this machine
    words = ("systemctl", "start", "--no-block", "--job-mode=replace-irreversibly", "reboot.target")
    subprocess.run(words, check=True)


def look_again(manager: str) -> None:
    """Second boot: what came up by itself, and what a restart of the manager does to it."""
    left = wait_until(plan_left, SETTLE)
    say("after the reboot nothing is left to do", ok=not left, detail=[*left, *(left and journal(manager))])
    way = output("ip", "route", "get", "8.8.8.8")
    say("the default route is there", ok="via 192.168.1.1 dev eth0 src 192.168.1.10" in way, detail=way)
    options = observe().links[IfName("br1")].options
    say("udev has set the guards' option", ok=getattr(options, "no_linklocal_learn", 0) == 1, detail=str(options))
    if has_switch():
        switch.came_up(manager)
    plug()
    restart(manager)
    change_and_cut(b"cut")


def change_and_cut(stage: bytes) -> None:
    """A change that nobody confirms, and the power goes: no process is told, and nothing else gets to the disk."""
    text = Path(SITE).read_text()
    text = text.replace("    bridges:\n", "    bridges:\n      br0: {uplink: eth0, address: from-uplink}\n")
    OTHER.write_text(
        text.replace("guests:\n", "    virtual_networks:\n      lab: {mode: open, subnet: 192.168.150.0/24}\nguests:\n")
    )
    before = read_at_boot()
    FILES.write_text(json.dumps(before))
    write_whole(STAGE, stage)
    subprocess.run(("sync",), check=True)
    wrong = sh(*BASCULE, "apply", str(OTHER), "--yes", "--confirm-within", f"{boots(LONG):.0f}s")
    say("a change that nobody confirms", ok=not wrong, detail=wrong)
    new = sorted(path for path, text in read_at_boot().items() if before.get(path) != text)
    say("it is in the files", ok=bool(new), detail=new)
    moved = [str(path) for path in ASIDE.rglob("*") if path.is_file()]
    say("the installer's file is aside", ok=len(moved) == 1, detail=moved)
    units = sorted(path.name for path in UNIT_FILES.glob("*.wants/bascule-*"))
    wanted = ["bascule-boot-rest.service", "bascule-boot.service", "bascule-network-lab.service", *kept_units()]
    say("the next boot is prepared", ok=units == wanted, detail=units)
    cut()


def cut() -> None:
    """The power goes at once: what is not on the disk is lost."""
    tell(full.CUT)
    time.sleep(boots(PROGRAM))


def came_back(manager: str) -> None:
    """The boot after a loss of power: the files are as before, and nothing of the change was made again."""
    wait_until(lambda: "was taken back" not in status()["words"], SETTLE)
    words = status()["words"]
    say("the boot after the loss of power took it back", ok="by the boot after it" in words, detail=words)
    now, before = read_at_boot(), json.loads(FILES.read_text())
    wrong = sorted(path for path in {*now, *before} if now.get(path) != before.get(path))
    say("the files are as before", ok=not wrong, detail=wrong)
    said = subprocess.run(("journalctl", "-b", "--no-pager", "-o", "cat"), capture_output=True, text=True).stdout
    told = [line for line in said.splitlines() if "files put back" in line or "ordering cycle" in line]
    say("it had something to put back", ok=bool(told and re.search("[1-9][0-9]* files", told[0])), detail=told)
    say("nothing waits for itself", ok="ordering cycle" not in said, detail=told)
    new = {"br0", "vn-lab", *({switch.BRIDGE} if STAGE.read_text() == "installed" else ())}
    links = sorted(new & set(observe().links))
    say("nothing of the change was made again", ok=not links, detail=links)
    stays = set(kept_units()) if STAGE.read_text() == "cut" else set()  # of the change that was kept
    units = {path.name for path in UNIT_FILES.rglob("*") if "bascule-" in path.name}
    say("no unit of the change is left", ok=units == stays, detail=sorted(units))


def after_the_cut(manager: str) -> None:
    """Fourth boot: as if that change had never been."""
    came_back(manager)
    left = wait_until(plan_left, SETTLE)
    say("after the loss of power nothing is left to do", ok=not left, detail=[*left, *(left and journal(manager))])
    say("done", ok=True)
    subprocess.run(("systemctl", "poweroff", "--force"), check=True)


def kept_units() -> tuple[str, ...]:
    """Units that load the guards' rules when the machine starts."""
    return (RULES, switch.UNIT) if has_switch() else (RULES,)


def read_at_boot() -> dict[str, str]:
    """The files that a manager reads when the machine starts."""
    found = [file for top in READ_AT_BOOT for file in Path(top).rglob("*")]
    found += UNIT_FILES.glob("NetworkManager.service.d/*")
    files = [file for file in found if file.is_file() and not file.name.startswith(".")]
    return {str(file): f"{facts(file)}\n{file.read_text()}" for file in files}


def facts(file: Path) -> str:
    """Owner and mode, and when it was written."""
    status = file.stat()
    return f"{status.st_uid}:{status.st_gid} {status.st_mode:o} {status.st_mtime_ns}"


def dead_man() -> None:
    """The dead-man as a timer of this systemd: it takes back, comes again, is stood down, and misses its maker."""
    changed(confirmed=False)
    changed(confirmed=True)
    sh("ip", "link", "set", "dev", TAPS[0], "nomaster")
    killed = "import os, sys; from bascule.apply import transaction as t; t.execute = lambda *_, **__: os.kill(0, 9)"
    rest = "sys.argv = ['bascule', 'apply', *sys.argv[1:]]; from bascule.cli import main; main()"
    words = (SITE, "--yes", "--confirm-within", f"{boots(LONG):.0f}s")
    subprocess.run(
        (sys.executable, "-c", f"{killed}; {rest}", *words), capture_output=True, check=False, start_new_session=True
    )  # it kills its whole group
    wait_until(lambda: "taken back" not in status()["words"], SETTLE)
    found = status()["words"]
    say("a killed apply is missed before the deadline", ok="ended half-way" in found, detail=found)
    sh("ip", "link", "set", "dev", TAPS[0], "master", "br1")  # as it was before all this


def changed(*, confirmed: bool) -> None:
    """A change that waits; if nobody is to confirm it, its dead-man is killed, and systemd starts it again."""
    sh("ip", "link", "set", "dev", TAPS[0], "nomaster")
    wrong = sh(*BASCULE, "apply", SITE, "--yes", "--confirm-within", f"{boots(LONG if confirmed else CONFIRM):.0f}s")
    state = status()
    service = f"bascule-deadman-{state.get('change')}.service"
    say("systemd watches", ok=not wrong and state.get("watched_by") == f"the unit {service}", detail=wrong or state)
    if confirmed:
        wrong = sh(*BASCULE, "confirm")
        say("confirm", ok=not wrong, detail=wrong)
    else:
        left = sh("systemctl", "is-active", service)
        say("the dead-man runs already", ok=not left, detail=left)
        sh("systemctl", "kill", "--signal=KILL", service)
        wait_until(lambda: TAPS[0] in plugged(), CONFIRM + SETTLE)
    ended = "keeps it" if confirmed else "takes it back"
    say(f"the dead-man {ended}", ok=(TAPS[0] in plugged()) is confirmed, detail=status()["words"])
    none = "! systemctl list-units --all --plain --no-legend 'bascule-deadman*' | grep ."
    left = wait_until(lambda: sh("sh", "-c", none), SOON)
    say("no unit is left", ok=not left, detail=left)


def plugged() -> set[str]:
    """The links that are on a bridge."""
    return {name for name, link in observe().links.items() if link.master is not None}


def status() -> dict[str, Any]:
    """What `bascule status --json` says."""
    done = subprocess.run((*BASCULE, "status", "--json"), capture_output=True, text=True, check=False)
    found: dict[str, Any] = json.loads(done.stdout or '{"words": ""}')
    return found


def main() -> None:
    """Which boot is it?"""
    manager = sys.argv[1]
    try:
        stage = STAGE.read_text() if STAGE.exists() else ""
        {"": install, "installed": write, "rebooted": look_again, "cut": after_the_cut}[stage](manager)
    except BaseException as error:
        import traceback

        say("the job", ok=False, detail=traceback.format_exc()[-1500:])
        subprocess.run(("systemctl", "poweroff", "--force"), check=True)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
