"""The files that load the guards' rules of OpenFlow: the rules, the script, the unit of systemd.

A switch forgets its rules with ovs-vswitchd, and a guarded one then passes nothing. A small script of the shell loads
them: it needs nothing but Open vSwitch's own programs, before Bascule's or anybody's disks are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bascule.policy.guards.flows import COOKIE, FORWARD, PORTS, port_number
from bascule.providers.boot_files import HEADER
from bascule.providers.boot_rules.state import HYPERVISORS
from bascule.providers.ovs.boot_flows.state import BootFlows
from bascule.providers.ovs.flows import macs_of
from bascule.providers.ovs.state import GUARDS, SwitchState

AGAIN_S = 5  # between two looks at whether ovs-vswitchd is another process, which has no rules
WHOLE = 6  # looks, of which one is at the rules themselves: that takes several programs


def rules_text(part: SwitchState, taps: Mapping[str, Iterable[str]]) -> str:
    """The rules of each switch: ``bridge``, ``guest TAP``, ``port NAME NUMBER MAC…`` for guarded ones, then ``rule``.

    ``taps`` are those of the guests of each switch, guarded or not.
    """
    lines = (line for name in sorted(part.flows) for line in _lines(part, name, taps.get(name, ())))
    return HEADER + "\n" + "".join(f"{line}\n" for line in lines)


def _lines(part: SwitchState, bridge: str, taps: Iterable[str]) -> Iterator[str]:
    flows = part.flows[bridge].flows
    macs = macs_of(flows)
    yield f"bridge {bridge}"
    yield from (f"guest {tap}" for tap in taps)
    for name in part.bridges[bridge].external_ids.get(GUARDS, "").split():
        number = port_number(name)
        yield " ".join(("port", name, f"{number:#x}", *macs.get(number, ())))
    for one in flows:
        if one.table != PORTS or not one.match:
            yield f"rule {one.key} actions={one.actions}"


def script_text(part: BootFlows, socket: str) -> str:
    """What loads them, and with the word ``follow`` does so again whenever a port comes or goes."""
    return SCRIPT.format(
        header=HEADER, rules=part.file, socket=socket, folder=socket.rpartition("/")[0], cookie=f"{COOKIE:#x}",
        mark=GUARDS, forward=FORWARD, again=AGAIN_S, whole=WHOLE,
    )  # fmt: skip


SCRIPT = r"""#!/bin/sh
{header}
rules={rules}
socket=unix:{socket}
of() {{ verb=$1; bridge=$2; shift 2; ovs-ofctl -O OpenFlow14 $bundle "$verb" "unix:{folder}/$bridge.mgmt" "$@"; }}

vsctl() {{ ovs-vsctl --db="$socket" --timeout=10 "$@"; }}

sweep() {{ # a guest that crashed, or ran when the power went, has left its port behind
    gone=
    for name in $(sed -n 's/^bridge //p' "$rules"); do
        for port in $(vsctl list-ports "$name" 2>/dev/null); do
            grep -q "^ *$port:" /proc/net/dev && continue
            grep -qxF "guest $port" "$rules" && gone="$gone -- del-port $name $port"
        done
    done
    [ -z "$gone" ] || vsctl $gone
}}

load() {{
    for name in $(sed -n 's/^bridge //p' "$rules"); do
        bundle=; ports=$(of show "$name" 2>/dev/null | sed -n 's/^ \([0-9LOCA]*\)(\(.*\)): addr.*/\2 \1/p') || continue
        [ -n "$ports" ] || continue
        vsctl get bridge "$name" external_ids:{mark} >/dev/null 2>&1 || continue
        whole=$(of dump-aggregate "$name" "cookie={cookie}/-1,table={forward}" | grep -c 'flow_count=1$')
        [ "$whole-$ports" = "$(cat "$seen/$name" 2>/dev/null)" ] && continue
        of set-frags "$name" nx-match
        {{
            echo "delete cookie={cookie}/-1,table=0"
            echo "$ports" | awk -v name="$name" -v whole="$whole" -v cookie="{cookie}" '
                FILENAME == "-" {{ number[$1] = $2; next }}
                $1 == "bridge" {{ ours = $2 == name; next }}
                ours && $1 == "port" {{
                    guarded[$2] = 1; then = " actions=load:" $3 "->NXM_NX_REG0[],resubmit(,10)"
                    if ($2 in number) print "add cookie=" cookie ",priority=100,in_port=" number[$2] then
                    else for (i = 4; i <= NF; i++) if (!late[$i]++)
                        print "add cookie=" cookie ",priority=50,dl_src=" $i then
                }}
                ours && $1 == "rule" && (!whole || $2 ~ /^table=0,/) {{ print "add cookie=" cookie "," $2 " " $3 }}
                END {{ for (port in number) if (!(port in guarded))
                    print "add cookie=" cookie ",priority=100,in_port=" number[port] " actions=resubmit(,{forward})" }}
            ' - "$rules"
        }} | {{ bundle=--bundle; of add-flows "$name" -; }} && echo "1-$ports" > "$seen/$name"
    done
}}

seen=$(mktemp -d) || exit 1
trap 'trap - EXIT INT TERM; rm -rf "$seen"; kill 0' EXIT INT TERM
[ "$1" = follow ] || sweep
load
[ "$1" = follow ] || {{ trap - EXIT; rm -rf "$seen"; exit 0; }}
{{
    ovsdb-client monitor "$socket" Open_vSwitch Interface ofport &
    looks=0; was=
    while sleep {again}; do
        now=; [ -r "{folder}/ovs-vswitchd.pid" ] && read -r now <"{folder}/ovs-vswitchd.pid"
        looks=$((looks + 1))
        [ "$now" = "$was" ] && [ $looks -lt {whole} ] || {{ looks=0; echo; }}
        was=$now
    done
}} | while read -r _; do load; done
"""


def unit_text(part: BootFlows) -> str:
    """Behind ovs-vswitchd, before whoever starts guests; begun again with ovs-vswitchd."""
    return HEADER + "\n" + "\n".join([
        "[Unit]",
        "Description=Loads the guards of Bascule into Open vSwitch, and follows its ports",
        f"ConditionPathExists={part.file}",
        f"RequiresMountsFor={part.file}",
        "After=openvswitch-switch.service openvswitch.service ovs-vswitchd.service",
        "PartOf=openvswitch-switch.service openvswitch.service ovs-vswitchd.service",
        f"Before={HYPERVISORS}",
        "",
        "[Service]",
        f"ExecStartPre=/bin/sh {part.script_path}",
        f"ExecStart=/bin/sh {part.script_path} follow",
        "Restart=always",
        "RestartSec=1",
        "",
        "[Install]",
        f"WantedBy={part.starter}",
        "",
    ])  # fmt: skip
