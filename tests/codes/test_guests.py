"""The guest verbs against a real libvirtd and against bare QEMU: what cannot be done, each with its code."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bascule.errors import BasculeError
from bascule.system.libvirt import connect
from bascule.system.process.sandbox import sandboxed
from bascule.twin.test_guest.kernel import GuestImage
from tests.codes.call import WITHOUT_RIGHTS, Done, assert_error, bascule, instead_of
from tests.guests.libvirt_host import LibvirtHost, libvirt_host, qemu_host, qemu_site
from tests.guests.test_libvirt import image
from tests.patience import wait_until

__all__ = ["image"]

pytestmark = pytest.mark.kernel
G1_MAC = "52:54:00:fa:0f:f1"
OTHER = """<domain type='qemu'><name>g3</name><memory unit='MiB'>64</memory><os><type>hvm</type></os>
<devices>{}</devices></domain>"""
DISK = "<disk type='file' device='disk'><source file='/nowhere/disk.img'/><target dev='vda' bus='virtio'/></disk>"


def wrong(there: LibvirtHost, code: str, said: str, *words: str, hint: str = "", connect: bool = True) -> None:
    assert_error(there.run("guest", *words, connect=connect), code, said, hint=hint)


def words_for_libvirt(there: LibvirtHost) -> None:
    wrong(there, "LIBVIRT-NO-NETWORK", "libvirt has no network 'nowhere'", "replug", "g1", "--network", "nowhere",
          hint="it has: default")  # fmt: skip
    wrong(there, "MAC-TAKEN", f"domain 'g1' already has a NIC with the MAC {G1_MAC}", "attach", "g1", "--bridge", "br4",
          "--mac", G1_MAC, hint="leave the MAC out")  # fmt: skip
    wrong(there, "GUEST-UNKNOWN", "there is no guest 'nobody' on this host", "start", "nobody", hint="it has: g1")
    there.ok("guest", "attach", "g1", "--bridge", "br4")
    wrong(there, "NIC-WHICH", "'g1' has 2 NICs, so say which", "unplug", "g1", hint="by number, MAC or tap: 0: ")

    # a guest whose system does not answer keeps its NIC
    virsh(there, "suspend", "g1")
    wrong(there, "NIC-HELD", "the guest 'g1' did not let go of its NIC", "detach", "g1", "1", hint="PCI hot-unplug")
    virsh(there, "resume", "g1")

    # a disk that is not there: libvirt's own words
    there.hypervisor().define_domain(OTHER.format(DISK))
    wrong(there, "LIBVIRT", "Cannot access storage file '/nowhere/disk.img'", "start", "g3")


def virsh(there: LibvirtHost, *words: str) -> None:
    subprocess.run(("virsh", "-q", "-c", there.libvirt.uri, *words), check=True, stdin=subprocess.DEVNULL)


def the_same_mac_on_the_wire(there: LibvirtHost) -> None:
    there.ok("guest", "replug", "g1", "--bridge", "br4")
    there.ok("guest", "unplug", "g1")
    there.lab.ip(there.wire, f"link set eth0 address {G1_MAC}")

    def told() -> str:
        there.answers()
        return there.run("guest", "list").stdout

    wait_until(lambda: "MAC-ELSEWHERE" in told(), 20, "the bridge to hear it")
    listed = " ".join(told().split())
    assert f"error[MAC-ELSEWHERE]: {G1_MAC} of 'g1' (vnet0) was learned on eth4 of br4" in listed
    assert "another machine behind eth4 has the same MAC, or frames come back in a loop" in listed
    assert there.run("guest", "list").returncode == 1


def a_macvtap_without_a_definition(there: LibvirtHost) -> None:
    there.lab.ip(there.host, "link add eth5 type veth peer name eth5w")
    virsh(there, "undefine", "g1")
    said = "a NIC cannot become a macvtap while the guest runs, and the domain has no definition"
    wrong(there, "NIC-NOT-MOVED", said, "replug", "g1", "--direct", "eth5")


def a_network_whose_guests_cannot_be_plugged_in_again(there: LibvirtHost) -> None:
    """A network is restarted for another range of addresses, and its bridge does not take the tap."""
    there.apply("--no-confirm")
    there.ok("guest", "replug", "g1", "--network", "lab")
    tap = "vnet0"
    bridge = there.master(tap)
    _, _, _, before = there.texts()["networks"]["lab"]
    there.site.write_text(there.site.read_text().replace("192.168.150.", "192.168.151.").replace(
        "g1: {host: h, memory: 128MiB, nics: [{bridge: br4, address: 10.0.0.5/24}]}",
        "g1: {host: h, memory: 128MiB, nics: [{network: lab, address: dhcp}]}"))  # fmt: skip
    kept = there.folder / "refused"  # once it is there, nothing is refused any more
    script = f"""\
case " $* " in *" -batch "*) ;; *) exec $REAL "$@";; esac
in=$(mktemp {there.folder}/batch.XXXXXX); cat > $in
if [ -e {kept} ] || ! grep -q 'link set dev {tap} master {bridge}' $in; then exec $REAL "$@" < $in; fi
[ -e {there.folder}/always ] || touch {kept}
echo 'Error: argument "{bridge}" is wrong: Device does not exist' >&2; echo 'Command failed -:1' >&2; exit 1
"""
    env = instead_of(there.folder / "bin", "ip", script)

    def again() -> Done:
        words = ("apply", str(there.site), "--yes", "--connect", there.libvirt.uri)
        return bascule(*words, namespace=there.host, env={**there.env, **env})

    done = again()
    why = f'its guests are plugged in again: the kernel says \'argument "{bridge}" is wrong'
    assert_error(done, "STEP-FAILED", why, status=75, hint=f"ip link set dev {tap} master {bridge}")
    assert "error[TAKEN-BACK]: " in done.stderr
    active, _, _, after = there.texts()["networks"]["lab"]
    assert (active, after, there.master(tap)) == (True, before, bridge)

    # nor when the network goes back: that is told
    kept.unlink()
    kept.with_name("always").touch()
    done = again()
    assert_error(done, "NOT-TAKEN-BACK", f"{tap}: become a port of {bridge}", hint="run 'bascule undo' again")
    active, _, _, after = there.texts()["networks"]["lab"]
    assert (active, after, there.master(tap)) == (True, before, "")


def libvirts_own_words(there: LibvirtHost) -> None:
    """What libvirt says is sorted into codes: the drivers decide by them what to do next."""
    libvirt, g1 = there.hypervisor(), there.domain("g1")

    def refused(code: str, said: str, call: Callable[[], object]) -> None:
        with pytest.raises(BasculeError, match=rf"error\[{code}\]: (?s:.*)libvirt says: (?s:.*){said}"):
            call()

    interface = re.search(r"<interface .*?</interface>", g1.now, re.DOTALL)
    assert interface is not None
    live = interface[0]
    other = g1.next.replace("<uuid>", "<uuid>ffffffff", 1)
    other = re.sub(r"<uuid>f{8}\w{8}", "<uuid>ffffffff", other)
    refused("LIBVIRT-NO-DOMAIN", "Domain not found", lambda: libvirt.domain("nobody"))
    refused("LIBVIRT-EXISTS", "already exists with uuid", lambda: libvirt.define_domain(other))
    other_model = live.replace("<model type='virtio'/>", "<model type='e1000'/>")
    refused("LIBVIRT-NOT-LIVE", "cannot modify network device model",
            lambda: libvirt.update_device("g1", other_model, live=True))  # fmt: skip
    there.lab.ip(there.host, "link set vnet0 master br4")  # somebody's hands
    onto = live.replace("type='network'", "type='bridge'", 1)
    onto = re.sub(r"<source [^>]*/>", "<source bridge='br4'/>", onto)
    refused("LIBVIRT-PORT-BUSY", "Device or resource busy", lambda: libvirt.update_device("g1", onto, live=True))
    virsh(there, "destroy", "g1")
    refused("LIBVIRT-NOT-RUNNING-DOMAIN", "domain is not running", lambda: libvirt.attach_device("g1", live, live=True))
    played = connect("test:///default")
    refused(
        "LIBVIRT-NO-SUPPORT",
        "not supported by the connection driver",
        lambda: played.attach_device("test", live, live=True),
    )


def with_libvirt(image: GuestImage, scenario: Callable[[LibvirtHost], None]) -> None:
    with libvirt_host(image) as there:
        there.ok("apply", str(there.site), "--yes", "--driver", "none", connect=False)
        scenario(there)


@pytest.mark.parametrize(
    "scenario",
    [
        words_for_libvirt,
        libvirts_own_words,
        the_same_mac_on_the_wire,
        a_macvtap_without_a_definition,
        a_network_whose_guests_cannot_be_plugged_in_again,
    ],
)
@pytest.mark.timeout(300)
def test_of_libvirt(image: GuestImage, scenario: Callable[[LibvirtHost], None]) -> None:
    sandboxed(with_libvirt, image, scenario)


def bare_qemu(image: GuestImage) -> None:
    with qemu_host() as there:
        text = qemu_site(image).replace("PLUG", "br4")
        there.site.write_text(text)
        there.ok("apply", str(there.site), "--yes", "--driver", "qemu", "--no-confirm", connect=False)
        wrong(there, "GUEST-OFF", "'g1' does not run", "unplug", "g1", hint="`bascule guest detach`", connect=False)
        there.ok("guest", "start", "g1", connect=False)
        wrong(there, "PLUG-UNSUPPORTED", "'g1', NIC 0: bare QEMU cannot be plugged into macvtap on eth4", "replug",
              "g1", "--direct", "eth4", hint="let libvirt run it (--driver libvirt)", connect=False)  # fmt: skip

        # its monitor is gone, and then its tap
        (monitor,) = (there.folder / "state" / "guests" / "g1").glob("*qmp*")
        monitor.rename(monitor.with_suffix(".aside"))
        wrong(there, "QEMU-GONE", f"the QEMU process behind {monitor} does not answer: ", "replug", "g1", "--bridge",
              "br5", hint="`bascule guest list` shows what runs", connect=False)  # fmt: skip
        monitor.with_suffix(".aside").rename(monitor)
        there.lab.ip(there.host, "link del g1.0")
        wrong(there, "TAP-MISSING", "there is no tap 'g1.0': it was taken away while its guest runs", "replug", "g1",
              "--bridge", "br5", hint="`bascule guest stop` and `bascule guest start`", connect=False)  # fmt: skip
        there.ok("guest", "stop", "g1", "--yes", connect=False)

        # QEMU's own words
        file = there.folder / "state" / "guests" / "g1" / "guest.json"
        facts = json.loads(file.read_text())
        file.write_text(json.dumps({**facts, "disks": ["/nowhere/disk.qcow2"]}))
        wrong(there, "GUEST-NOT-STARTED", "'g1' did not start: QEMU says: ", "start", "g1", connect=False)


@pytest.mark.timeout(200)
def test_of_bare_qemu(image: GuestImage) -> None:
    sandboxed(bare_qemu, image)


def test_a_libvirt_that_lets_nobody_in(tmp_path: Path) -> None:
    place = tmp_path / "libvirt-sock"
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(place))
        door.listen()
        os.chown(place, 65534, 65534)
        place.chmod(0o600)
        uri = f"qemu+unix:///system?socket={place}"
        done = bascule("guest", "list", "--driver", "libvirt", "--connect", uri, before=WITHOUT_RIGHTS)
    assert_error(done, "LIBVIRT-NOT-PERMITTED", "libvirt says: ", status=77, hint="member of the group libvirt")


def test_a_libvirt_of_the_twin_that_does_not_start(image: GuestImage, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        "site: t\nnetworks: {lan: {subnet: 10.0.0.0/24}}\nhosts: {h: {nics: {eth4: {network: lan}}, "
        "bridges: {br4: {uplink: eth4}}}}\nguests: {g: {host: h, nics: [{bridge: br4, address: 10.0.0.5/24}]}}\n"
    )
    env = instead_of(tmp_path / "bin", "virtlogd", "echo 'no room' >&2; exit 1")
    done = bascule("rehearse", str(site), "--guests", "libvirt", env=env)
    assert_error(done, "LIBVIRTD", "virtlogd did not start: no room")
