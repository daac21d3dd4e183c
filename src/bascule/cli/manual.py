"""The manual pages, from the same sources as ``--help`` and the schema: ``python -m bascule.cli.manual DIR``.

``bascule(1)``, a page for each verb and each verb of ``guest``, and ``bascule.yaml(5)``; man(7) macros alone, so that
every man can show them. They bear the date of SOURCE_DATE_EPOCH, which builders of packages set, else today's.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from bascule import __version__
from bascule.cli import VERBS, group
from bascule.cli.common import first_sentence
from bascule.site import document as d
from bascule.site.codes import CODES
from bascule.site.validate import entries

STATUS = (
    ("0", "done, or nothing to do"),
    ("1", "failed, or a check did not hold"),
    ("2", "the plan has changes (with --exit-code)"),
    ("64", "the command line is wrong"),
    ("65", "the site file is wrong"),
    ("75", "the change was taken back"),
    ("77", "not permitted"),
)
FILES = (
    ("/etc/bascule/site.yaml", "the site file that bascule-verify.timer and the collection for Ansible use"),
    ("/usr/share/doc/bascule", "with a package: tutorials, the reference, and site files to begin with (examples)"),
    ("/var/lib/bascule", "checkpoints and what is kept over a reboot"),
    ("/run/bascule", "what belongs to this boot"),
)
ENVIRONMENT = (
    ("BASCULE_STATE_DIR", "a place for checkpoints instead of /var/lib/bascule and /run/bascule"),
    ("BASCULE_CACHE_DIR", "where the kernel for guests of a rehearsal is kept instead of /var/cache/bascule"),
    ("BASCULE_DEBUG", "with 1 an error of the program itself is shown with its traceback"),
    ("LIBVIRT_DEFAULT_URI", "libvirt's connection, where --connect names none"),
    ("NO_COLOR, FORCE_COLOR", "never or always colours, where --color does not say"),
    ("LC_ALL, LC_CTYPE, LANG", "a locale of ASCII has the output in ASCII, as --ascii does"),
    ("COLUMNS", "the width of the output, instead of the terminal's"),
)
OTHERS = (("ip", 8), ("bridge", 8), ("nft", 8), ("virsh", 1))
EXAMPLE = """\
site: first
networks:
  office: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
hosts:
  kvm:
    nics:
      eth0: {network: office, address: 192.168.1.10/24, gateway: 192.168.1.1}
      eth1: {network: office}
    bridges:
      br0: {uplink: eth1}
guests:
  web:
    host: kvm
    nics: [{bridge: br0, address: 192.168.1.21/24}]
    serves: [tcp/80]
machines:
  router: {nics: [{network: office, address: 192.168.1.1/24}]}
expect:
  - {from: router, to: web, service: tcp/80, verdict: reach}
"""


def pages() -> dict[str, str]:
    """File name → text, for every page."""
    found = {"bascule.1": _overview(), "bascule.yaml.5": _site_file()}
    for verb in VERBS:
        command = group.get_command(click.Context(group), verb)
        assert command is not None  # each verb has its file
        found[f"bascule-{verb}.1"] = _verb(f"bascule {verb}", command)
        for inner, each in command.commands.items() if isinstance(command, click.Group) else ():
            found[f"bascule-{verb}-{inner}.1"] = _verb(f"bascule {verb} {inner}", each)
    return found


def _verb(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    text, _, example = (command.help or "").strip().partition("Example: ")
    also = [("bascule", 1), ("bascule.yaml", 5)]
    lines = [
        _head(name.replace(" ", "-"), 1),
        _section("NAME"),
        f"{_roff(name.replace(' ', '-'))} \\- {_roff(first_sentence(text).rstrip('.'))}",
    ]
    lines += [_section("SYNOPSIS"), f".B {_roff(name)}", _roff(" ".join(command.collect_usage_pieces(context)))]
    lines += [_section("DESCRIPTION"), *_paragraphs(text)]
    if isinstance(command, click.Group):
        lines += [_section("VERBS")]
        lines += _list((inner, first_sentence(each.help or "")) for inner, each in command.commands.items())
        also = [*((f"{name.replace(' ', '-')}-{inner}", 1) for inner in command.commands), *also]
    lines += [_section("OPTIONS")]
    for record in (param.get_help_record(context) for param in command.get_params(context)):
        if record is not None and record[1]:
            lines += [".TP", f".B {_roff(record[0])}", _roff(record[1])]
    lines += [_section("EXIT STATUS"), *_list(STATUS)]
    lines += [*_examples(example.replace("; ", "\n"))] if example else []
    return "\n".join([*lines, *_see_also(also)]) + "\n"


def _overview() -> str:
    summary = (group.help or "").rstrip(".")
    lines = [_head("bascule", 1), _section("NAME"), f"bascule \\- {_roff(summary[:1].lower() + summary[1:])}"]
    lines += [_section("SYNOPSIS"), ".B bascule", _roff("VERB [OPTIONS] [SITE]")]
    lines += [_section("DESCRIPTION")]
    lines += _paragraphs(
        "Networks, NICs, bridges, guests and who may reach whom are in one file (bascule.yaml(5)). Bascule rehearses "
        "it on a twin of real Linux bridges, changes the host, and takes the change back by itself if nobody confirms."
    )
    lines += [_section("VERBS"), *_list(VERBS.items()), _section("EXIT STATUS"), *_list(STATUS)]
    lines += [_section("ENVIRONMENT"), *_list(ENVIRONMENT), _section("FILES"), *_list(FILES)]
    return (
        "\n".join([*lines, *_see_also([*((f"bascule-{verb}", 1) for verb in VERBS), ("bascule.yaml", 5), *OTHERS])])
        + "\n"
    )


def _site_file() -> str:
    lines = [_head("bascule.yaml", 5), _section("NAME"), "bascule.yaml \\- the site file of bascule"]
    lines += [_section("DESCRIPTION")]
    lines += _paragraphs("Plain YAML in UTF-8. `bascule check FILE` shows every problem, `bascule schema` the schema.")
    for path, model in entries(d.Document):
        lines += [_section(path or "THE TOP OF THE FILE"), _roff(model.__doc__ or "")]
        for name, field in model.model_fields.items():
            needed = " (needed)" if model.needs(name) else ""
            lines += [".TP", f".B {_roff(field.alias or name)}{needed}", _roff(field.description or "")]
    lines += [_section("PROBLEMS"), *_list(CODES.items()), *_examples(EXAMPLE)]
    return "\n".join([*lines, *_see_also([("bascule", 1), ("bascule-check", 1), ("bascule-schema", 1)])]) + "\n"


def _head(name: str, section: int) -> str:
    """With lines that end where they end, and no hyphens: a command or a name is copied as it stands there."""
    date = time.strftime("%Y-%m-%d", time.gmtime(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())))
    return f'.TH "{_roff(name.upper())}" "{section}" "{date}" "bascule {__version__}" "Bascule"\n.ad l\n.nh'


def _section(name: str) -> str:
    return f".SH {_roff(name)}"


def _list(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, text in pairs:
        yield from (".TP", f".B {_roff(name)}", _roff(text))


def _examples(text: str) -> Iterator[str]:
    yield from (_section("EXAMPLES"), ".nf", *map(_roff, text.strip().splitlines()), ".fi")


def _see_also(pages: Iterable[tuple[str, int]]) -> Iterator[str]:
    yield _section("SEE ALSO")
    yield ",\n".join(f".BR {_roff(page)} ({section})" for page, section in pages)


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n\s*\n", text.strip())):
        words = _roff(" ".join(paragraph.replace("\b", "").split()))
        yield from (".PP", words) if number else (words,)


def _roff(text: str) -> str:
    """Text in which roff sees no macro and no escape; ASCII, as old terminals want it."""
    plain = text.replace("…", "...").replace("→", "->").replace("—", "-").replace("·", "-")
    safe = plain.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def main() -> None:
    """Write every page into the folder that is given."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main()
