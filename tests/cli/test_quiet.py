"""``-q`` prints what is wrong alone, by every verb, and the exit status is the same; what a verb writes is written."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bascule.cli import VERBS, group
from bascule.cli.show import output_style
from tests.cli.test_why import DOCKER, Stage
from tests.lab import Lab

SITE = """\
site: t
networks: {lan: {subnet: 10.0.0.0/24}}
hosts: {h: {memory: 64GiB, nics: {e0: {network: lan, mac: "52:54:00:00:00:0a"}}, bridges: {br0: {uplink: e0}}}}
guests:
  web: {host: h, memory: 1GiB, nics: [{bridge: br0, mac: "52:54:00:00:00:01", address: 10.0.0.5/24, tap: web.0}]}
  db: {host: h, memory: 1GiB, nics: [{bridge: br0, mac: "52:54:00:00:00:02", address: 10.0.0.6/24, tap: db.0}]}
expect: [{from: web, to: db, verdict: reach}]
"""
EMPTY = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)  # a capture without a frame

# by verb: words for which all is well, and what is printed all the same, since the verb is there to write it
FINE = {
    "check": ("check SITE", ""),
    "capacity": ("capacity SITE", ""),
    "render": ("render SITE --dialect networkd -o OUT", ""),
    "survey": ("survey --site SITE --pcap e0=PCAP", ""),
    "rehearse": ("rehearse SITE", ""),
    "apply": ("apply SITE --here --driver none --yes --confirm-within 600s", "run 'bascule confirm'"),
    "confirm": ("confirm", ""),
    "plan": ("plan SITE --here --driver none", ""),
    "status": ("status", ""),
    "verify": ("verify SITE --host h", ""),
    "why": ("why web db --site SITE --here", ""),
    "reach": ("reach SITE --here --from web --to db", ""),
    "guest": ("guest list SITE --driver qemu", ""),
    "undo": ("undo --yes", ""),
    "draw": ("draw SITE", "br0"),
    "schema": ("schema", '"title": "Bascule site file"'),
    "completion": ("completion bash", "complete "),
    "import": ("import", "bridges:"),
}
WRONG = {  # what is wrong is printed, and little else: so many lines at most
    "why": ("why web db --site SITE --here", "web → db icmp: NO", 1),
    "reach": ("reach SITE --here", "web → db", 6),
    "capacity": ("capacity LARGE", "they do not fit", 2),
}
# serve prints its address, also with -q: nobody could open it otherwise (tests/web)
ELSEWHERE = {"serve"}
# whose status hangs on this machine: what may stand at the head of a line with -q
HEADS = {"blink": ("blink e0", ()), "doctor": ("doctor", ("problem", "warning", "    ", "result"))}


class Quiet:
    """A host that is as its site file says."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.stage, self.folder = lab, Stage(lab, folder), folder
        lab.ip(self.stage.host, "link add e0 address 52:54:00:00:00:0a type veth peer name w0")
        lab.ip(self.stage.host, "link set w0 up")
        lab.ip(self.stage.host, "link set log.0 down")
        self.stage.site.write_text(SITE)
        (folder / "large.yaml").write_text(SITE.replace("memory: 1GiB", "memory: 60GiB"))
        (folder / "e0.pcap").write_bytes(EMPTY)

    def run(self, words: str) -> subprocess.CompletedProcess[str]:
        return self.lab.bascule(self.stage.host, *self.words(words))

    def words(self, words: str) -> list[str]:
        places = {
            "LARGE": self.folder / "large.yaml",
            "SITE": self.stage.site,
            "OUT": self.folder / "out",
            "PCAP": self.folder / "e0.pcap",
        }
        for word, place in places.items():
            words = words.replace(word, str(place))
        return words.split()

    def inside(self, words: str) -> Result:
        """In this process, which spares an interpreter."""
        with self.stage.host.entered():
            return CliRunner().invoke(group, self.words(words), standalone_mode=False)


@pytest.mark.kernel
def test_q_prints_what_is_wrong_alone(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert FINE.keys() | HEADS.keys() | ELSEWHERE == VERBS.keys()
    host = Quiet(lab, tmp_path)
    monkeypatch.setattr(output_style, "_style", output_style.OutputStyle(detail=-1))
    printed = {}
    for verb, (words, shown) in FINE.items():
        inside = verb not in {"rehearse", "apply", "confirm", "undo"}
        done = host.inside(words) if inside else host.run(words + " -q")
        status, out = (done.return_value, done.output) if isinstance(done, Result) else (done.returncode, done.stdout)
        assert not status, (verb, out, done)
        assert not isinstance(done, Result) or done.exception is None
        if not (shown and shown in out):
            printed[verb] = out
    assert printed == dict.fromkeys((verb for verb, (_, shown) in FINE.items() if not shown), "")
    for verb, (words, heads) in HEADS.items():
        told = host.run(words + " -q")
        assert [x for x in told.stdout.splitlines() if not x.startswith(heads or "\0")] == [], verb
        assert bool(told.stdout + told.stderr) == bool(told.returncode), verb
    host.stage.do(*DOCKER)
    for verb, (words, shown, lines) in WRONG.items():
        quiet = host.inside(words)
        with monkeypatch.context() as loudly:
            loudly.setattr(output_style, "_style", output_style.OutputStyle())
            loud = host.inside(words)
        assert quiet.return_value == loud.return_value == 1, (verb, quiet)
        assert shown in quiet.output, verb
        assert len(quiet.output.splitlines()) <= lines < len(loud.output.splitlines()), quiet.output
