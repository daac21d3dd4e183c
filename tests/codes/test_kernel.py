"""What the kernel or the machine refuses, to a rehearsal and to whoever listens, each with its code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.guests.agent import ask
from bascule.guests.namespace import NamespaceDriver
from bascule.guests.plug import Plug
from bascule.guests.taps import tag
from bascule.model.state import PortVlans
from bascule.model.values import IfName, Service
from bascule.system.net import rtnetlink
from bascule.system.run import run, run_all
from bascule.twin.services import ServiceOffer, Services
from tests.codes.call import BASCULE, assert_error, bascule
from tests.guests.values import nic
from tests.lab import Lab

ROOT = Path(__file__).parents[2]
PRODUCTION = str(ROOT / "examples" / "production.yaml")
TAGGED = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}, dmz: {subnet: 10.2.0.0/24, vlan: 20}}
hosts: {h: {nics: {eth4: {network: lan}}, bridges: {br4: {uplink: eth4, vlan: 20}}}}
guests: {g: {host: h, nics: [{bridge: br4, address: 10.2.0.5/24}]}}
"""
PLAIN = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth4: {network: lan}}, bridges: {br4: {uplink: eth4}}}}
guests: {g: {host: h, nics: [{bridge: br4, address: 10.0.0.5/24}]}}
"""
MACVTAP = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {nics: {eth4: {network: lan}}}}
guests: {g: {host: h, nics: [{direct: eth4, address: 10.0.0.5/24}]}}
"""
# The kernel of this program has no packet sockets: a filter (seccomp(2)) answers socket(AF_PACKET, …) as it would.
WITHOUT_PACKETS = """\
import ctypes, errno, os, platform, struct, sys
number, audit = {"x86_64": (41, 0xC000003E), "aarch64": (198, 0xC00000B7)}[platform.machine()]
steps = [(0x20, 0, 0, 4), (0x15, 0, 5, audit), (0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16),
         (0x15, 0, 1, 17), (0x06, 0, 0, 0x00050000 | errno.EAFNOSUPPORT), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
program = struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
assert libc.prctl(22, 2, program, 0, 0) == 0, os.strerror(ctypes.get_errno())  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
os.execv(sys.argv[1], sys.argv[1:])
"""
# Whether a kernel has VLAN or macvlan links is asked by making one; the answer is played, whatever this kernel has.
WITHOUT_LINKS = """\
import sys
from bascule.twin import fabric, macvtap
fabric.kernel_makes = macvtap.kernel_makes = lambda link: False
from bascule.cli import program
program()
"""


def test_a_program_that_does_not_end() -> None:
    with pytest.raises(BasculeError, match=r"error\[COMMAND-SLOW\]: 'sleep 60' did not end within 0.1 s"):
        run(("sleep", "60"), timeout_s=0.1)
    with pytest.raises(BasculeError, match=r"error\[COMMAND-SLOW\]: '\S*sleep 60' did not end in time"):
        run_all([("sleep", "60"), ("true",)], timeout_s=0.1)


def test_a_guest_that_says_nothing(tmp_path: Path) -> None:
    said = r"error\[GUEST-SILENT\]: the guest did not answer 'icmp - 10.0.0.1 2 56 2a': "
    with pytest.raises(BasculeError, match=said):
        ask(tmp_path / "no-socket", "icmp - 10.0.0.1 2 56 2a", timeout_s=0.2)


LINKS = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}, dmz: {subnet: 10.2.0.0/24, vlan: 20}}
hosts:
  h:
    nics: {eth2: {}, eth3: {}, eth4: {network: lan}, eth5: {network: lan}}
    bonds: {bond0: {nics: [eth2, eth3]}}
    bridges: {br4: {uplink: eth4, vlan: 20}, br5: {uplink: eth5, vlan_aware: true}}
guests: {g: {host: h, nics: [{bridge: br4, address: 10.2.0.5/24}]}}
"""
NOT_MADE = "makes no 802.1Q links, no bonds, no bridges that filter VLANs"
WITHOUT_KINDS = """\
from bascule.observe import kernel_support
kernel_support.kernel_makes = lambda link: False
from bascule.cli import program
program()
"""


@pytest.mark.kernel
def test_links_that_this_kernel_does_not_have_are_seen_before_anything_is_changed(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("eth2", "eth3", "eth4", "eth5")
    file = tmp_path / "site.yaml"
    file.write_text(LINKS)
    codes = ("KERNEL-VLAN", "KERNEL-BOND", "KERNEL-BRIDGE-VLAN")
    env = {**os.environ, "BASCULE_STATE_DIR": str(tmp_path / "state"), "COLUMNS": "200"}
    with host.entered():
        planned, applied = (
            subprocess.run((sys.executable, "-c", WITHOUT_KINDS, verb, str(file), "--here", *more),
                           capture_output=True, text=True, env=env, stdin=subprocess.DEVNULL)
            for verb, *more in (("plan",), ("apply", "--yes"))
        )  # fmt: skip
    assert planned.returncode == 0, planned.stderr
    assert all(f"apply will refuse this: {code}: " in planned.stdout for code in codes)
    assert applied.returncode == 1
    assert all(f"error[{code}]: " in applied.stderr for code in codes)
    assert "hint: modprobe 8021q" in applied.stderr
    assert "br4" not in run(("ip", "link"), namespace=host).stdout


@pytest.mark.kernel
@pytest.mark.parametrize(("made", "words"), [
    ("kernel", f"{NOT_MADE}; the site file needs 802.1Q links and bonds and bridges that filter VLANs on h"),
    ("plain", NOT_MADE),
    ("all", ""),
])  # fmt: skip
def test_the_doctor_names_them_and_what_the_file_needs(lab: Lab, tmp_path: Path, made: str, words: str) -> None:
    host = lab.host("eth2", "eth3", "eth4", "eth5")
    file = tmp_path / "site.yaml"
    file.write_text(PLAIN if made == "plain" else LINKS)
    program = WITHOUT_KINDS.replace("False", "True") if made == "all" else WITHOUT_KINDS
    with host.entered():
        done = subprocess.run((sys.executable, "-c", program, "doctor", str(file), "--host", "h", "--json"),
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)  # fmt: skip
    found = [one for one in json.loads(done.stdout)["findings"] if one["id"] == "kernel"]
    assert [(one["severity"], one["text"].removeprefix("this kernel ")) for one in found] == (
        [("problem" if made == "kernel" else "note", words)] if words else []
    )


@pytest.mark.kernel
def test_a_rehearsal_says_so_in_the_same_words(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(
        "site: t\nnetworks: {lan: {subnet: 10.0.0.0/24}}\nhosts:\n  h:\n"
        "    nics: {eth2: {}, eth3: {}, eth5: {network: lan}}\n"
        "    bonds: {bond0: {nics: [eth2, eth3]}}\n    bridges: {br5: {uplink: eth5, vlan_aware: true}}\n"
    )
    done = subprocess.run(
        (sys.executable, "-c", WITHOUT_KINDS, "rehearse", str(file)), capture_output=True, text=True,
        env={**os.environ, "COLUMNS": "200"}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "error[KERNEL-BOND]: bond0 cannot be made: this kernel has no bonds" in done.stderr
    assert "error[KERNEL-BRIDGE-VLAN]: br5 cannot be made" in done.stderr
    assert "error[STEP-FAILED]" not in done.stderr


@pytest.mark.kernel
def test_a_link_that_is_there_already(lab: Lab) -> None:
    host = lab.namespace("host")
    with pytest.raises(BasculeError, match=r"error\[KERNEL-REFUSED\]: .* in namespace host was refused: File exists"):
        rtnetlink.change(host, [rtnetlink.add_bridge("br0"), rtnetlink.add_bridge("br0")])


@pytest.mark.kernel
def test_a_rehearsal_without_enough_namespaces() -> None:
    few = 'echo 3 > /proc/sys/user/max_net_namespaces && exec "$@"'
    done = bascule("rehearse", PRODUCTION, before=("unshare", "--user", "--map-root-user", "sh", "-c", few, "sh"))
    assert_error(done, "NAMESPACES", "the kernel refused network namespace", status=77,
                 hint="sysctl user.max_net_namespaces")  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize("text", [PLAIN, Path(PRODUCTION).read_text()], ids=["plain", "with DHCP"])
def test_a_rehearsal_that_may_not_send_raw_frames(tmp_path: Path, text: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(text)
    done = bascule("rehearse", str(file), before=("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"))
    assert_error(done, "RAW-SOCKET", "socket: Operation not permitted", status=77, hint="--cap-add NET_RAW")


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("site", "code", "said"),
    [
        (TAGGED, "KERNEL-VLAN", "network 'dmz' arrives tagged, and this kernel has no 802.1Q links to play that with"),
        (MACVTAP, "KERNEL-MACVLAN", "guests share a NIC (direct), and this kernel has no macvlan links"),
    ],
)  # fmt: skip
def test_a_rehearsal_on_a_kernel_without_such_links(tmp_path: Path, site: str, code: str, said: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(site)
    done = subprocess.run(
        (sys.executable, "-c", WITHOUT_LINKS, "rehearse", str(file)), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "200"},
    )  # fmt: skip
    assert_error(done, code, said, hint="rehearse on a machine whose kernel has it")


@pytest.mark.kernel
def test_vlans_that_a_tap_does_not_get(lab: Lab) -> None:
    plug = Plug(nic=nic("g", 0, "br4"), bridge=IfName("br4"), vlans=(PortVlans(first=20, last=20, pvid=True),))
    with pytest.raises(BasculeError, match=r"error\[TAP-VLANS\]: the flags or VLANs of taps on host were refused: "):
        tag([plug], lab.namespace("host"))


@pytest.mark.kernel
def test_a_bridge_that_a_guest_of_the_twin_does_not_find(lab: Lab) -> None:
    host, room = lab.namespace("host"), lab.namespace("g")
    driver = NamespaceDriver(host, {"g": room})
    with pytest.raises(BasculeError, match=r"error\[NO-BRIDGE\]: there is no bridge 'br4' on host to plug g into"):
        driver.replug([Plug(nic=nic("g", 0, "br4"), bridge=IfName("br4"))])


@pytest.mark.kernel
def test_a_survey_on_a_kernel_without_packet_sockets(lab: Lab) -> None:
    host = lab.host("eth4")
    with host.entered():
        done = subprocess.run(
            (sys.executable, "-c", WITHOUT_PACKETS, sys.executable, *BASCULE[1:], "survey", "eth4", "--seconds", "0.5"),
            capture_output=True, text=True, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    assert_error(done, "NO-AF-PACKET", "the kernel has no packet sockets: Address family not supported by protocol")


@pytest.mark.kernel
def test_services_of_the_twin_whose_process_is_killed(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bascule.twin.services._serve", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    offer = ServiceOffer(endpoint="dmz", namespace=lab.namespace("dmz"), services=(Service("tcp", 21, 21),))
    said = r"error\[SERVICES\]: the process that plays the services did not start"
    with pytest.raises(BasculeError, match=said):
        Services([offer])
