"""A lease that a manager keeps goes on under the bridge, also when it takes the bridge over: real ones, a real server.

The server goes by the client identifier, as dnsmasq, dhcpd and Kea do by default, and gives IPv6 addresses as well.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest
from msgspec import Struct

from tests.persist.readers import ask
from tests.persist.test_readers import MANAGER
from tests.persist.test_takeover import BUS, SYSTEMD

pytestmark = pytest.mark.kernel

SITE = """\
site: leased
networks:
  internal: {subnet: 192.168.1.0/24}
hosts:
  vmserver:
    nics:
      eth2: {network: internal}
    bridges:
      br2: {uplink: eth2, address: from-uplink}
"""
# udev has seen every link, and calls the NIC by its slot, as it does with hardware: of that name networkd makes the
# IAID (netif-util.c, net_get_persistent_name); for a bridge there is none
UDEV = """\
mkdir -p /run/udev/data /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
for i in $(seq 60); do echo I:1 >/run/udev/data/n$i; done
printf 'I:1\\nE:ID_NET_NAME_PATH=enp2s0\\n' >/run/udev/data/n$(cat /sys/class/net/eth2/ifindex)
chown -R systemd-network:systemd-network /run/systemd/netif
start() { /lib/systemd/systemd-networkd >>/tmp/log 2>&1 & pid=$!; }
stop() { kill $pid; wait $pid || true; }
"""
GENERATE = "/usr/libexec/netplan/generate; "


class Host(Struct, frozen=True, kw_only=True):
    """A manager whose installer let eth2 ask by DHCP; ``identifier`` is what it then says of itself."""

    file: str
    text: str
    identifier: str
    kept: str  # what the bridge's file must say
    before: str = UDEV + BUS
    up: str = "start"
    again: str = "networkctl reload"
    renew: str = "networkctl renew br2; answered 0"
    restart: str = "stop; start"


UNIT = "etc/systemd/network/50-eth2.network"
NETWORK = "[Match]\nName=eth2\n\n[Network]\nDHCP=ipv4\n"
YAML = "etc/netplan/00-installer.yaml"
NETPLAN = "network:\n  version: 2\n  ethernets:\n    eth2:\n      dhcp4: true\n"
PROFILE = """\
[connection]
id=lan
uuid=11111111-1111-1111-1111-111111111112
type=ethernet
interface-name=eth2

[ipv4]
method=auto
"""
MANAGED = {"before": MANAGER + SYSTEMD, "renew": ":"}
NM = "etc/NetworkManager/system-connections/lan.nmconnection"
PLANNED = {"up": f"{GENERATE}start", "again": f"{GENERATE}networkctl reload", "restart": f"stop; {GENERATE}start"}
DUID = "00:04:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10"
OWN = "00:02:00:00:ab:11:.*"  # the machine's own DUID
HOSTS = {
    "networkd": Host(file=UNIT, text=NETWORK, identifier=f"ff:5d:e2:6c:15:{OWN}", kept="IAID=1575119893"),
    "networkd, its own words": Host(
        file=UNIT,
        text=f"{NETWORK}\n[DHCPv4]\nIAID=7\nDUIDType=uuid\nDUIDRawData={DUID[6:]}\n",
        identifier=f"ff:00:00:00:07:{DUID}",
        kept=f"IAID=7 DUIDType=uuid DUIDRawData={DUID[6:]}",
    ),
    "netplan": Host(file=YAML, text=NETPLAN, identifier=f"ff:5d:e2:6c:15:{OWN}", kept="IAID=1575119893", **PLANNED),
    "netplan, by the MAC": Host(
        file=YAML,
        text=f"{NETPLAN}      dhcp-identifier: mac\n",
        identifier="01:MAC",
        kept="dhcp-identifier: mac IAID=1575119893",
        **PLANNED,
    ),
    "keyfile": Host(
        file=NM, text=PROFILE, identifier="01:MAC", kept="dhcp-client-id=mac dhcp-iaid=75918208", **MANAGED
    ),
    "keyfile, by its DUID": Host(
        file=NM,
        text=f"{PROFILE}dhcp-client-id=duid\n",
        identifier=f"ff:04:86:6b:80:{OWN}",
        kept="dhcp-client-id=duid dhcp-iaid=75918208",
        **MANAGED,
    ),
}
ROOM = """\
export PATH={bin}:/usr/local/sbin:/usr/sbin:/sbin:$PATH
unshare --net sleep 1000 & building=$!
until [ "$(readlink /proc/$building/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.02; done
ip link set eth2p netns $building; ip link set eth2 up
cat >/tmp/building <<'END'
ip addr add 192.168.1.1/24 dev eth2p; ip addr add 2001:db8::1/64 dev eth2p nodad; ip link set eth2p up
for i in $(seq 600); do ip -6 addr show dev eth2p scope link -tentative | grep -q fe80 && break; sleep 0.1; done
dnsmasq --conf-file=/dev/null --port=0 --bind-interfaces --interface=eth2p --enable-ra --no-ping --user=root \\
    --dhcp-range=192.168.1.100,192.168.1.199,2m --dhcp-range=2001:db8::100,2001:db8::1ff,64,2m \\
    {option} --dhcp-authoritative --dhcp-leasefile=/tmp/leases --pid-file=/run/server.pid --log-facility=/tmp/server
END
nsenter -t $building -n sh -e /tmp/building
count() {{ grep -c "$1" /tmp/server || true; }}
note() {{ acks=$(count DHCPACK); replies=$(count DHCPREPLY); }}
answered() {{ # the server has heard of it since, by DHCPv6 as well
    for i in $(seq 1200); do
        [ $(count DHCPACK) -gt $acks ] && [ $(count DHCPREPLY) -ge $((replies + $1)) ] && sleep 0.5 && return
        sleep 0.1
    done
    echo '### SILENT'
}}
report() {{
    echo "### $1"; grep -v ^duid /tmp/leases; echo
    ip -o addr show scope global dynamic | sed 's/^/address /'; ip route | sed 's/^/route /'
}}
{before}
note
{up}
answered 1
for i in $(seq 600); do ip -6 addr show dev eth2 tentative | grep -q inet6 || break; sleep 0.1; done
sleep 2 # a manager sets what it has just learned more than once
report before
"""
SCRIPT = """\
mv /{file} /root/kept
bascule apply /site.yaml --here --yes --confirm-within 60s >/tmp/apply 2>&1 || {{ cat /tmp/apply >&2; exit 1; }}
report applied
note; bascule confirm >/dev/null; answered 1
report confirmed
note; {renew}
report renewed
note; {restart}; answered 1
report restarted
dhcp() {{ grep -rhE 'IAID|iaid|DUID|dhcp-|Identifier' $(grep -rl '^# Written by bascule' /etc) || true; }}
echo '### files'; dhcp
bascule apply /site.yaml --here --yes --no-confirm >/tmp/again
echo '### again'; dhcp
mv /root/kept /{file}
while [ -e /sys/class/net/br2 ]; do note; bascule undo >/dev/null; done
answered 1
report undone
echo '### server'; cat /tmp/server
"""


BACK = """\
renews() {{ # every four seconds; by itself it would ask after a minute
    # one who asked in vain, because his link was a port just then, asks again only after half of what is left until T2
    # (RFC 2131, 4.4.5), which is 50 s here
    note
    for i in $(seq 900); do [ $(count DHCPACK) -gt $acks ] && echo "$1 renews" && return; sleep 0.1; done
    echo "$1 is silent"
}}
mv /{file} /root/kept
bascule apply /site.yaml --here --yes --confirm-within 60s
! bascule apply /site.yaml --here --yes --no-confirm # one waits already
mv /root/kept /{file}
bascule undo; sleep 2; renews eth2
mv /{file} /root/kept
bascule apply /site.yaml --here --yes --no-confirm; sleep 2; renews br2
sed -i 's/from-uplink/from-uplink, stp: true/' /site.yaml
bascule apply /site.yaml --here --yes --confirm-within 2s
for i in $(seq 600); do bascule status | grep -q 'taken back' && break; sleep 0.2; done
sleep 2; renews br2
# somebody who answers before the change and not after it
nsenter -t $building -n python3 -c 'import socket; socket.create_server(("192.168.1.1", 80)).accept()' &
sleep 0.5
! bascule apply /site.yaml --here --yes --no-confirm --probe 192.168.1.1:80; sleep 2; renews br2
ip -o -4 addr show scope global
"""


SILENT = """\
look() {{ echo "### $1"; ip -o -4 addr show scope global dynamic; ip route show default; }}
mv /{file} /root/kept
bascule apply /site.yaml --here --yes --confirm-within 60s >/dev/null
bascule undo 2>&1 # and the installer's file is not back
sleep 1; look undone
mv /root/kept /{file}; note; {again}; answered 0
look home
mv /{file} /root/kept
bascule apply /site.yaml --here --yes --confirm-within 60s >/dev/null
kill -STOP $(cat /run/server.pid)
look applied
ping -q -i 0.05 -w 4 192.168.1.1 >/tmp/ping & ping=$!
sleep 0.5; bascule confirm 2>&1
wait $ping || true; look confirmed; grep transmitted /tmp/ping
note; kill -CONT $(cat /run/server.pid); answered 0
look answered
"""


def run(tmp_path: Path, host: Host, script: str, option: str = "") -> str:
    """What the script said, on a host that has its lease."""
    if shutil.which("dnsmasq") is None:
        pytest.skip("dnsmasq is not here (apt-get install dnsmasq-base)")
    told = (ROOM + script).format(
        bin=Path(sys.executable).parent,
        option=option,
        **{key: getattr(host, key) for key in ("file", "before", "up", "again", "renew", "restart")},
    )
    seen = ask(tmp_path, (), {host.file: host.text, "site.yaml": SITE}, told, nics=("eth2",), timeout_s=270)
    print(seen.stdout, seen.stderr)
    assert seen.status == 0, seen.stdout + seen.stderr
    return seen.stdout


@pytest.mark.parametrize("name", ["networkd", "keyfile"])
def test_taken_back_its_manager_keeps_the_lease(name: str, tmp_path: Path) -> None:
    said = run(tmp_path, HOSTS[name], BACK, "--dhcp-option=option:T1,4")
    assert re.findall(r"(?:eth2|br2) (?:renews|is silent)", said) == ["eth2 renews"] + ["br2 renews"] * 3
    assert re.search(r"^[0-9]+: br2 +inet 192", said.splitlines()[-1])


@pytest.mark.parametrize("name", ["networkd", "netplan"])
def test_a_leased_address_stays_where_nobody_renews_it(name: str, tmp_path: Path) -> None:
    """The server is silent when networkd takes the bridge, and there is no file for the NIC when the bridge goes."""
    said = run(tmp_path, HOSTS[name], SILENT)
    parts = dict(part.split("\n", 1) for part in said.split("### ")[1:])
    address = re.search(r"inet (\S+)", parts["applied"])
    assert address
    for when, link in (("undone", "eth2"), ("home", "eth2"), ("confirmed", "br2"), ("answered", "br2")):
        assert re.search(rf"^[0-9]+: {link} +inet {address[1]} ", parts[when]), when
        assert re.search(rf"^default via 192.168.1.1 dev {link} ", parts[when], re.MULTILINE), when
    assert re.search(f"no file for eth2 any more; {address[1]}.* lasts? only for the", parts["before"])
    assert re.search(f"not answered systemd-networkd on br2 yet; {address[1]}.* lasts? only for the", parts["applied"])
    left = {when: int(found[1]) for when, text in parts.items() if (found := re.search("valid_lft ([0-9]+)s", text))}
    assert left["confirmed"] < left["applied"], "the lease is no longer than the server made it"
    assert left["answered"] > left["confirmed"], "networkd sets what its server says"
    lost = re.search(r"([0-9]+) packets transmitted, ([0-9]+) received", parts["confirmed"])
    assert lost and int(lost[1]) - int(lost[2]) <= 25, "a second and a quarter"


@pytest.mark.parametrize("name", HOSTS)
def test_the_server_sees_the_same_client_all_the_time(name: str, tmp_path: Path) -> None:
    host = HOSTS[name]
    out = run(tmp_path, host, SCRIPT)
    assert "SILENT" not in out, "nobody keeps the lease"
    said = dict(part.split("\n", 1) for part in out.split("### ")[1:])
    leases, on = {}, {}
    for when in ("before", "applied", "confirmed", "renewed", "restarted", "undone"):
        given, _, rest = said[when].partition("\n\n")
        here = [line.removeprefix("address ") for line in rest.splitlines() if line.startswith("address ")]
        if when in {"confirmed", "renewed", "restarted"}:
            assert not re.search("^route .* dev eth2", rest, re.MULTILINE), "a port hears nobody"
        leases[when] = sorted(line.split()[1:3] + line.split()[4:] for line in given.splitlines())
        on[when] = sorted(tuple(line.split()[index] for index in (1, 3)) for line in here)
    four, six = leases["before"]
    if ":" in four[1]:
        four, six = six, four
    assert re.fullmatch(host.identifier.replace("MAC", four[0]), four[2]), four
    for when, found in leases.items():
        assert found == leases["before"], f"{when}: for the server there was another client"
        link = "eth2" if when in {"before", "undone"} else "br2"
        assert on[when] == [(link, f"{four[1]}/24"), (link, f"{six[1]}/128")], when
    for word in ("DHCPRELEASE", "DHCPNAK", "DHCPDECLINE"):
        assert word not in said["server"]
    assert set(host.kept.split()) <= set(said["files"].split())
    assert said["again"] == said["files"]
