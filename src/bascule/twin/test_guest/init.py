"""The test guest: a real Linux of one kernel and one initramfs that takes an address, answers and asks. Pure.

All guests of a twin boot the same archive; what differs stands on the kernel's command line, one word for each NIC
(``bascule.nic=MAC,ADDRESS…,GATEWAY…,TO@VIA…,mtu=BYTES`` or ``MAC,dhcp``) and one for what it serves
(``bascule.serve=80,8000-8100``).
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Iterable, Mapping

from msgspec import Struct
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.host_links import StaticRoute
from bascule.model.site import Guest, GuestNic
from bascule.model.values import IpAddress, IpInterface, Mac, Service, parse_mac
from bascule.twin.test_guest import cpio

MEMORY = 96 << 20  # bytes that the test guest needs, measured: 64 MiB is too little to unpack the archive on 6.1
PORT_MEMORY = 512 << 10  # bytes for each port that it serves: a process that listens
LINE_MAX = 2047  # bytes of a kernel's command line on x86 (COMMAND_LINE_SIZE)
_QUICKLY = ("mitigations=off", "nokaslr", "cryptomgr.notests")  # a tenth of an emulated boot, measured
READY = "BASCULE-READY"  # on the console when all static addresses are up and all ports are open
PROTOCOLS = frozenset({"arp", "dhcp", "icmp", "tcp"})  # what it can ask and answer: busybox has nothing for UDP
MODULES = ("virtio_pci", "virtio_net", "button", "evdev")  # what it loads; dependencies follow

QUESTION = r"""
# questions come over the second serial port, one in a line with its number, and are asked side by side; the other half
# of this language is probe/guest_agent.py
again() { tries=$1; shift; while ! "$@"; do tries=$((tries - 1)); [ "$tries" -gt 0 ] || return 1; done; }
question() {
    what=$1 address=$3 wait=$4 link=
    for path in /sys/class/net/*; do
        read -r mac < "$path/address"
        [ "$mac" != "$2" ] || link=${path##*/}
    done
    case $what in
        icmp) again "$wait" ping -c 1 -W 1 ${link:+-I "$link"} -s "$5" -p "$6" "$address" ;;
        tcp)
            export hear=$((1 + wait / 2))
            again $((1 + wait / 4)) nc -w "$wait" "$address" "$5" -e /heard </dev/null ;;
        arp)
            case $address in
                *:*) ping -c 1 -W "$wait" -I "$link" "$address" >/dev/null 2>&1; ip -6 neigh show to "$address" ;;
                *) arping -f -c "$wait" -w "$wait" -I "$link" "$address" ;;
            esac ;;
        dhcp) udhcpc -f -n -q -t "$wait" -T 1 -i "$link" -s /offer ;;
        address)
            for path in /sys/class/net/*; do
                set -- $(ip -o addr show dev "${path##*/}" scope global | sed 's/.* inet6* \([^ ]*\).*/\1/')
                echo "$(cat "$path/address") $*;"
            done ;;
        *) return 127 ;;
    esac
}
"""

_INIT = r"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /run /etc
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
echo 0 > /proc/sys/kernel/printk
while read -r module; do insmod "/modules/$module" || echo "no $module"; done < /modules/order
word() { tr ' ' '\n' < /proc/cmdline | sed -n "s/^$1=//p"; }
mkdir -p /etc/acpi/PWRF  # the power button is obeyed, as by any server
ln -s /off /etc/acpi/PWRF/00000080
acpid -d -c /etc/acpi >/dev/null 2>&1 &
hostname "$(word bascule.name)"
ip link set lo up
dhcp() {  # a lease at each carrier: a re-plugged guest renews, as NetworkManager and networkd do
    had=0
    while :; do
        has=0; read -r has < "/sys/class/net/$1/carrier" 2>/dev/null
        if [ "$has" != "$had" ]; then
            [ -s "/run/$1.pid" ] && kill "$(cat "/run/$1.pid")" 2>/dev/null
            rm -f "/run/$1.pid"
            [ "$has" = 1 ] && udhcpc -i "$1" -p "/run/$1.pid" -s /dhcp -b -t 20 -T 1 \
                -x "hostname:$(hostname)" >/dev/null 2>&1 &
            had=$has
        fi
        sleep 0.1
    done
}
for nic in $(word bascule.nic); do
    mac=${nic%%,*}; rest=${nic#"$mac"}
    for path in /sys/class/net/*; do
        link=${path##*/}
        [ "$(cat "$path/address")" = "$mac" ] || continue
        echo 0 > "/proc/sys/net/ipv6/conf/$link/accept_dad" 2>/dev/null
        ip link set "$link" up
        for part in $(echo "$rest" | tr ',' ' '); do
            case $part in
                dhcp) dhcp "$link" & ;;
                *:*@*) ip -6 route add "${part%@*}" via "${part#*@}" dev "$link" ;;
                *@*) ip route add "${part%@*}" via "${part#*@}" dev "$link" ;;
                mtu=*) ip link set "$link" mtu "${part#mtu=}" ;;
                */*) ip addr add "$part" dev "$link" ;;
                *:*) ip -6 route add default via "$part" dev "$link" ;;
                *) ip route add default via "$part" dev "$link" ;;
            esac
        done
    done
done
for ports in $(word bascule.serve | tr ',' ' '); do
    port=${ports%-*}
    while [ "$port" -le "${ports#*-}" ]; do nc -ll -p "$port" -e /answer & port=$((port + 1)); done
done
QUESTION_FUNCTION
if [ -c /dev/ttyS1 ] && stty -F /dev/ttyS1 raw -echo 2>/dev/null; then
    exec 3<>/dev/ttyS1  # open before we say that we are ready: what comes to a closed port is lost
    # no child of the loop itself may end while it reads: busybox's read begins anew then, and half a line is lost
    while read -r number words <&3; do
        ( { said=$(question $words 2>&1); status=$?; echo "$number $status" $said >&3; } & )
    done &
fi
echo READY_WORD
while :; do sleep 3600; done
""".replace("READY_WORD", READY).replace("QUESTION_FUNCTION\n", QUESTION)

_DHCP = r"""#!/bin/sh
case $1 in
    deconfig) ip -4 addr flush dev "$interface"; ip link set "$interface" up ;;
    bound|renew)
        ip -4 addr flush dev "$interface"
        ip addr add "$ip/$mask" dev "$interface"
        for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; break; done
        echo "BASCULE-LEASE $interface $ip/$mask" > /dev/console ;;
esac
"""

_OFFER = r"""#!/bin/sh
[ "$1" != bound ] || echo "lease $ip from $serverid"
"""

# whom a connection serves, and what is heard of a server that speaks first
_ANSWER = r"""#!/bin/sh
echo "$(hostname)"
"""
_HEARD = r"""#!/bin/sh
read -t "${hear:-1}" -r line
echo "open $line" >&2
"""

_OFF = "#!/bin/sh\npoweroff -f\n"

SCRIPTS = {"init": _INIT, "dhcp": _DHCP, "offer": _OFFER, "answer": _ANSWER, "heard": _HEARD, "off": _OFF}


def archive(busybox: bytes, modules: Mapping[str, bytes]) -> bytes:
    """The initramfs. ``modules`` are kernel objects by name, in the order in which they must be loaded."""
    entries = [cpio.directory(name) for name in ("bin", "dev", "modules", "proc", "run", "sys")]
    entries += [cpio.console(), cpio.file("bin/busybox", busybox, executable=True)]
    entries += [cpio.file(f"modules/{name}.ko", content) for name, content in modules.items()]
    order = "".join(f"{name}.ko\n" for name in modules)
    entries.append(cpio.file("modules/order", order.encode()))
    entries += [cpio.file(name, content.encode(), executable=True) for name, content in SCRIPTS.items()]
    return cpio.archive(entries)


class NicSettings(Struct, frozen=True, kw_only=True):
    """What a NIC of the test guest is told beside its own addresses: gateways, other routes, its MTU in bytes."""

    gateways: tuple[IpAddress, ...] = ()
    routes: tuple[StaticRoute, ...] = ()
    mtu: int | None = None


def as_test_guest(guest: Guest, kernel: str, initrd: str, settings: Mapping[int, NicSettings] | None = None) -> Guest:
    """The guest with its own NICs and ports, but the test system in place of its own; ``settings`` by NIC index."""
    line = command_line(guest, settings)
    ports = sum(len(service.ports) for service in guest.serves if service.protocol == "tcp")
    memory = MEMORY + ports * PORT_MEMORY
    return replace(guest, kernel=kernel, initrd=initrd, cmdline=line, memory=memory, vcpus=1, disks=(), iso=None)


def parse_addresses(said: str) -> dict[Mac, tuple[IpInterface, ...]]:
    """The answer to ``address``: ``MAC ADDRESS ADDRESS;`` for each NIC."""
    found = {}
    for part in said.split(";"):
        words = part.split()
        with contextlib.suppress(ValueError):  # the loopback has no MAC
            if words:
                found[parse_mac(words[0])] = tuple(ipaddress.ip_interface(word) for word in words[1:])
    return found


def command_line(guest: Guest, settings: Mapping[int, NicSettings] | None = None) -> str:
    """The kernel's command line for a guest."""
    words = ["console=ttyS0", "quiet", "panic=-1", *_QUICKLY, f"bascule.name={guest.name}"]
    words += [_nic(nic, (settings or {}).get(nic.index, NicSettings())) for nic in guest.nics]
    ports = [_ports(service) for service in guest.serves if service.protocol == "tcp"]
    if ports:
        words.append(f"bascule.serve={','.join(ports)}")
    line = " ".join(words)
    if len(line) > LINE_MAX:
        raise BasculeError.of(
            "GUEST-WORDS",
            f"NICs and ports of '{guest.name}' are more than a kernel's command line takes: {len(line):,} bytes",
            hint="narrow its 'serves', or rehearse with --guests namespace",
        )
    return line


def _nic(nic: GuestNic, setting: NicSettings) -> str:
    parts = [str(nic.mac), *(["dhcp"] if nic.dhcp else []), *map(str, nic.addresses), *map(str, setting.gateways)]
    parts += [f"{route.to}@{route.via}" for route in setting.routes]
    parts += [f"mtu={setting.mtu}"] if setting.mtu else []
    return f"bascule.nic={','.join(parts)}"


def _ports(service: Service) -> str:
    return str(service.first) if service.first == service.last else f"{service.first}-{service.last}"


def not_served(guest: Guest) -> tuple[Service, ...]:
    """What the test guest cannot serve: busybox has no UDP server."""
    return tuple(service for service in guest.serves if service.protocol == "udp")


def dependencies(module: bytes) -> tuple[str, ...]:
    """The modules that a kernel object needs, from its own ``.modinfo`` section."""
    found = re.search(rb"(?:^|\0)depends=([^\0]*)\0", module)
    return tuple(name.decode() for name in found[1].split(b",") if name) if found else ()


def load_order(wanted: Iterable[str], load: Mapping[str, bytes]) -> dict[str, bytes]:
    """The wanted modules and all that they need, each after what it needs; those built into the kernel are left out."""
    order: dict[str, bytes] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in order or name in above or name not in load:
            return
        for needed in dependencies(load[name]):
            visit(needed, (*above, name))
        order[name] = load[name]

    for name in wanted:
        visit(name, ())
    return order
