"""What the shell offers behind a verb: files, and the names that the given site file or this host has."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

from bascule.errors import BasculeError

if TYPE_CHECKING:
    from bascule.model.site import Site


def add_completions(command: click.Command) -> click.Command:
    """Give the arguments and options of a verb, and of the verbs below it, what they can be completed with."""
    for param in command.params:
        word = (param.metavar or "").strip("[].")
        names = _guest_nics if word == "NIC" and param.name == "nic" else NAMES.get(word)
        offer = partial(_paths, PATHS[word]) if word in PATHS else partial(_offer, names) if names is not None else None
        if offer is not None:
            param._custom_shell_complete = offer  # noqa: SLF001  # what `shell_complete=` sets
    for inner in command.commands.values() if isinstance(command, click.Group) else ():
        add_completions(inner)
    return command


def _paths(kind: str, _ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(incomplete, type=kind)]


def _offer(
    names: Callable[[], Iterable[str]], ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    if names is _captures and "=" in incomplete:
        return [CompletionItem(incomplete.partition("=")[2], type="file")]
    with contextlib.suppress(BasculeError, OSError), ctx.scope(cleanup=False):
        found = _ways(incomplete) if names is _named else names()
        return [CompletionItem(name) for name in sorted(set(found)) if name.startswith(incomplete)]
    return []


def _ways(incomplete: str) -> Iterable[str]:
    """``A:`` and then ``A:B``."""
    source, colon, _ = incomplete.partition(":")
    return (f"{source}:{name}" if colon else f"{name}:" for name in _named() if not colon or name != source)


def _site() -> Site | None:
    """The site of the first file on the line that is a site file."""
    from bascule.site import parse
    from bascule.system.disk.files import read_bytes

    words = split_arg_string(os.environ.get("COMP_WORDS", ""))[1:]  # click forgets them behind an unfinished option
    words = [word.partition("=")[2] if word.startswith("--") and "=" in word else word for word in words]
    for path in (word for word in words if Path(word).is_file()):
        with contextlib.suppress(BasculeError, OSError):  # a state, a picture, a file that has the name of the verb
            return parse(read_bytes(path), path)
    return None


def _ends() -> Iterable[str]:
    """Who may be asked whether it reaches another."""
    site = _site()
    return (*site.guests, *site.hosts, *site.machines, "internet") if site else ("host", "internet")


def _named() -> Iterable[str]:
    """Who has a name in the file and sends frames."""
    site = _site()
    return (*site.guests, *site.hosts, *site.machines) if site else ()


def _hosts() -> Iterable[str]:
    site = _site()
    return site.hosts if site else ()


def _guests() -> Iterable[str]:
    """Those of the file, else those that libvirt or bare QEMU has on this host."""
    if site := _site():
        return site.guests
    from bascule.guests.paths import qemu_folder
    from bascule.system.libvirt import connect

    names = [path.parent.name for path in qemu_folder().glob("*/guest.json")]
    with contextlib.suppress(BasculeError):
        names += [domain.name for domain in connect(None).domains()]
    return names


def _networks() -> Iterable[str]:
    """The virtual networks of the file, else libvirt's."""
    if site := _site():
        return (name for host in site.hosts.values() for name in host.virtual_networks)
    from bascule.system.libvirt import connect

    return (network.name for network in connect(None).networks())


def _bridges() -> Iterable[str]:
    if site := _site():
        return (name for host in site.hosts.values() for name in host.bridges)
    from bascule.providers.observe import observe

    return (link.name for link in observe().links.values() if link.is_bridge)


def _nics() -> Iterable[str]:
    if site := _site():
        return (name for host in site.hosts.values() for name in host.nics)
    from bascule.providers.observe import observe
    from bascule.survey.choose import choose

    return choose(observe(), ())[0]


def _guest_nics() -> Iterable[str]:
    """The NICs of the guest that the word before names, as the verbs take them: by number, MAC or tap."""
    from bascule.workflow import chosen_guests

    given = click.get_current_context().params
    (guest,) = chosen_guests((given["name"],), driver=given.get("driver"), uri=given.get("connect")).domains
    return (word for nic in guest.nics for word in (str(nic.index), nic.mac, nic.tap) if word)


def _captures() -> Iterable[str]:
    """``NIC=``, behind which a file is named."""
    return (f"{name}=" for name in _nics())


def _services() -> Iterable[str]:
    """What somebody in the file serves."""
    site = _site()
    served = [guest.serves for guest in site.guests.values()] if site else []
    served += [host.serves for host in site.hosts.values()] if site else []
    served += [machine.serves for machine in site.machines.values()] if site else []
    return ("icmp", *(str(service) for services in served for service in services))


def _dialects() -> Iterable[str]:
    """Those that the verb reads or writes."""
    from bascule.model.dialects import readable, writable

    return readable() if click.get_current_context().info_name == "import" else writable()


PATHS = {"SITE": "file", "FILE": "file", "DIR": "dir"}
NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "HOST": _hosts,
    "GUEST": _guests,
    "BRIDGE": _bridges,
    "NETWORK": _networks,
    "NIC": _nics,
    "NIC=FILE": _captures,
    "SERVICE": _services,
    "DIALECT": _dialects,
    "FROM": _ends,
    "TO": _ends,
    "A:B": _named,
}


class _WholeWord(ShellComplete):
    """Offers what stands in the place of all that was typed, where that is ``--option=VALUE`` as well."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """What click finds, behind the option that click takes off."""
        option, equals, _ = incomplete.partition("=")
        found = super().get_completions(args, incomplete)
        if not equals or not option.startswith("--"):
            return found
        return [
            CompletionItem(f"{option}={item.value}", help=item.help) if item.type == "plain" else item for item in found
        ]


class Bash(_WholeWord, BashComplete):
    """Takes the line itself: bash cuts words at colons and equals signs, and puts what is offered behind the last."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' completion type value
    for completion in $(env COMP_WORDS="$COMP_LINE" COMP_CWORD="$COMP_POINT" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
            %(complete_var)s=bash_complete "$1"); do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain)
                COMPREPLY+=("$value")
                [[ $value == *[:=] ]] && compopt -o nospace
                ;;
        esac
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the one in which it stands."""
        line = os.environ["COMP_WORDS"][: int(os.environ["COMP_CWORD"])]
        words = split_arg_string(line)
        if not words or (line[-1].isspace() and not words[-1].endswith(line[-1])):
            words.append("")
        return words[1:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Without what stands before the last sign at which bash cuts."""
        breaks = set(":=").intersection(os.environ.get("COMP_WORDBREAKS", ""))
        cut = max((incomplete.rfind(sign) + 1 for sign in breaks), default=0)
        return [
            CompletionItem(item.value[cut:], type=item.type, help=item.help)
            for item in super().get_completions(args, incomplete)
        ]


class Zsh(_WholeWord, ZshComplete):
    """What click has, and nothing behind a colon or an equals sign."""

    def source(self) -> str:
        """Nothing behind ``A:``, to which B belongs."""
        open_end = 'if [[ "$key" == *[:=] ]]; then compadd -U -S "" -- "$key"; else completions+=("$key"); fi'
        behind = "[[ $PREFIX == *=* ]] && compset -P '*='; _path_files"  # --report=FILE, --pcap NIC=FILE
        return super().source().replace('completions+=("$key")', open_end).replace("_path_files", behind)


class Fish(_WholeWord, FishComplete):
    """What click has, with whole words."""


for one in (Bash, Zsh, Fish):
    add_completion_class(one)
