"""BusyBox udhcpc: `udhcpc --help`, examples/udhcp/simple.script of its source."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from getopt import GetoptError, gnu_getopt

from bascule.model.dhcp.client import ClientStart, Handover, renamed
from bascule.model.dhcp.offers import Offer

NAME = "udhcpc"
SHORT = "CV:F:bi:np:qRr:s:T:t:SA:O:ox:fBvaP:H:h:"
LONG = (
    "interface=", "pidfile=", "quit", "now", "background", "foreground", "release", "request=", "script=", "timeout=",
    "retries=", "tryagain=", "syslog", "request-option=", "no-default-options", "broadcast", "arping", "client-port=",
    "vendorclass=", "hostname=", "fqdn=", "clientid-none", "version",
)  # fmt: skip
DEFAULT_LINK = "eth0"
SCRIPTS = ("/etc/udhcpc/default.script", "/usr/share/udhcpc/default.script")  # Debian, the source's own default
DROPPED = {"-n", "--now", "-q", "--quit", "-f", "--foreground", "-b", "--background", "-r", "--request"}
SCRIPT = """\
#!/bin/sh
# Written by bascule. udhcpc begins with 'deconfig', which would take away the address that it is to keep.
script={script}
if [ ! -e "$0.bound" ]; then
    case $1 in
        deconfig) exit 0 ;;
        bound|renew)
            : >"$0.bound"
            [ -z "{addresses}" ] || case " {addresses} " in *" $ip "*) ;; *) "$script" deconfig ;; esac ;;
    esac
fi
{unset}exec "$script" "$@"
"""
VARIABLES = {Offer.GATEWAY: "router", Offer.ROUTES: "staticroutes msstaticroutes routes", Offer.DNS: "dns"}


def _options(argv: Sequence[str]) -> list[tuple[str, str]]:
    words = [word for word in argv[1:] if not re.fullmatch(r"-a\d+", word)]  # its number is part of the word
    try:
        return gnu_getopt(words, SHORT, LONG)[0]
    except GetoptError:
        return []


def links(argv: Sequence[str]) -> tuple[str, ...]:
    """One at most, and eth0 where it names none."""
    return (next((value for name, value in _options(argv) if name in {"-i", "--interface"}), DEFAULT_LINK),)


def pid_files(argv: Sequence[str]) -> tuple[str, ...]:
    """None unless its command line names one."""
    return tuple(value for name, value in _options(argv) if name in {"-p", "--pidfile"})


def start(one: Handover) -> ClientStart:
    """It has no lease file, and asks for its address by name."""
    words = []
    script = ""
    for name, value in _options(one.argv):
        if name in {"-s", "--script"}:
            script = value
        elif name not in {*DROPPED, "-i", "--interface"}:
            words += [name, renamed(value, one.home, one.to)] if value else [name]
    asked = ("-r", one.addresses[0]) if one.addresses else ()
    unset = "".join(f"unset {VARIABLES[offer]}\n" for offer in one.unused)
    own = shlex.quote(script) if script else f'{SCRIPTS[0]}\n[ -x "$script" ] || script={SCRIPTS[1]}'
    return ClientStart(
        argv=(one.argv[0], "-i", one.to, "-b", *asked, "-s", "{script}", *words),
        bound=r"lease of ([\d.]+) obtained",
        script=SCRIPT.format(script=own, addresses=" ".join(one.addresses), unset=unset),
    )
