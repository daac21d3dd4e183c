"""What is printed fits: folded, in ranges, in colour or not, in ASCII or not, from 40 columns on."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bascule.cli.common import wrapped
from bascule.cli.show import output_style
from bascule.cli.show.folding import folded, folded_by_place, ranges
from bascule.cli.show.output_style import OutputStyle, colored, plain
from bascule.cli.show.problems import show_problems
from bascule.cli.show.reach import short_table
from bascule.errors import Problem
from tests import prefork
from tests.lab import Lab

ROOT = Path(__file__).parents[2]
SLIP = "examples/slip.yaml"
CLEAN = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "COLUMNS"}}


def bascule(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words, cwd=ROOT, env=CLEAN | environment)


SIXTY = f"""site: sixty
networks: {{inside: {{subnet: 10.0.0.0/16}}}}
hosts: {{h: {{memory: 256GiB, nics: {{eth0: {{network: inside}}}}, bridges: {{br0: {{uplink: eth0}}}}}}}}
guests:
{chr(10).join(f"  web-{n:02}: {{host: h, nics: [{{bridge: br0, address: 10.0.1.{n}/16}}], serves: [tcp/80]}}"
              for n in range(1, 61))}
machines: {{desk: {{nics: [{{network: inside, address: 10.0.9.9/16}}]}}}}
expect:
{chr(10).join(f"  - {{from: desk, to: web-{n:02}, service: tcp/80, verdict: reach}}" for n in range(1, 61))}
"""  # fmt: skip
TWO_SCREENS = 2 * 50


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([f"web-{n:02}" for n in range(1, 41)], "web-01…web-40"),
        (["web-8", "web-9", "web-10", "db"], "web-8…web-10, db"),
        (["web-1", "web-2"], "web-1, web-2"),
        (["web-1", "web-2", "web-4", "web-5", "web-6"], "web-1, web-2, web-4…web-6"),
        (["a1.0", "a2.0", "a3.0", "a3.1"], "a1.0…a3.0, a3.1"),
        (["web-1", "db-2", "web-3"], "web-1, db-2, web-3"),
        ([f"web-{n:02}" for n in range(3, 60, 4)], "web-03…web-59 (every 4th)"),
        (["web-1", "web-3", "web-5", "web-7", "web-8", "web-9"], "web-1…web-7 (every 2nd), web-8, web-9"),
        (["web-1", "web-3", "web-5"], "web-1, web-3, web-5"),
        (["web-1", "web-12", "web-23", "web-34"], "web-1…web-34 (every 11th)"),
        (["web-4", "web-3", "web-2", "web-1"], "web-4, web-3, web-2, web-1"),
        ([f"eth0.{n}" for n in range(100, 103)], "eth0.100…eth0.102"),
        ([f"the-web-server-of-a-customer-{n:02}" for n in range(1, 41)], "the-web-server-of-a-customer-01…40"),
        ([], ""),
    ],
)
def test_names_become_ranges(names: list[str], shown: str) -> None:
    assert ranges(names) == shown


def test_many_names_without_order_are_some_and_a_number() -> None:
    odd = [f"web-{number}" for number in (1, 3, 6, 10, 15, 21, 28, 36, 45, 55)]
    assert ranges(odd, most=3) == "web-1, web-3, web-6 and 7 more"
    assert ranges([*odd[:2], "db-1", "db-2", "db-3", "x"], most=3) == "web-1, web-3, db-1…db-3 and 1 more"
    assert ranges(odd[:3], most=3) == "web-1, web-3, web-6"


def test_only_lines_that_say_the_same_become_one() -> None:
    rows = [(f"web-{n}.0", f"is on br{1 if n < 5 else 2}, for web-{n} (s.yaml:{10 + n})") for n in range(1, 8)]
    assert folded(rows, {f"web-{n}" for n in range(1, 8)}) == [
        ("web-1.0…web-4.0", "is on br1, for web-1…web-4 (s.yaml:11-14)"),
        ("web-5.0…web-7.0", "is on br2, for web-5…web-7 (s.yaml:15-17)"),
    ]
    assert folded([("a", "x"), ("b", "x")]) == [("a", "x"), ("b", "x")]
    kernel_order = [(f"sw{n}", "veth, not in the file") for n in (0, 1, 10, 11, 12, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert folded(kernel_order) == [("sw0…sw12", "veth, not in the file")]


@pytest.mark.kernel
def test_sixty_guests_fit_two_screens(tmp_path: Path) -> None:
    site = tmp_path / "sixty.yaml"
    site.write_text(SIXTY)
    seen = bascule("rehearse", str(site), COLUMNS="80")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert len(seen.stdout.splitlines()) <= TWO_SCREENS
    assert re.search(r"^checks: \d+ ok on 1 bridge, 1 NIC and 60 guests$", seen.stdout, re.M)
    assert "desk → web-01…web-60 tcp/80: reach" in seen.stdout
    each = bascule("rehearse", str(site), "-v", COLUMNS="80").stdout
    assert all(f"desk → web-{n:02} tcp/80: reach" in each for n in range(1, 61))
    assert "learned on web-07.0" in each
    assert bascule("rehearse", str(site), "-q").stdout == ""


@pytest.mark.kernel
def test_sixty_guests_on_fourteen_bridges_fit_a_screen(tmp_path: Path) -> None:
    nics = "".join(f"      eth{n}: {{network: n{n}}}\n" for n in range(14))
    bridges = "".join(f"      br{n}: {{uplink: eth{n}}}\n" for n in range(14))
    networks = "".join(f"  n{n}: {{subnet: 10.{n}.0.0/24}}\n" for n in range(14))
    guests = "".join(
        f"  web-{n:02}: {{host: h, nics: [{{bridge: br{n % 14}, address: 10.{n % 14}.0.{n + 9}/24}}]}}\n"
        for n in range(1, 61)
    )
    site = tmp_path / "many.yaml"
    hosts = f"hosts:\n  h:\n    nics:\n{nics}    bridges:\n{bridges}"
    site.write_text(f"site: many\nnetworks:\n{networks}{hosts}guests:\n{guests}")
    seen = bascule("rehearse", str(site), COLUMNS="80")
    assert seen.returncode == 0, seen.stdout + seen.stderr
    assert len(seen.stdout.splitlines()) <= TWO_SCREENS // 2
    assert "eth0…eth13  become a port of br0…br13" in seen.stdout  # in their natural order
    assert "web-01.0…web-60.0  will be plugged into br0…br13 at the start of web-01…web-60" in seen.stdout
    each = bascule("rehearse", str(site), "-v", COLUMNS="80").stdout
    assert all(
        f"web-{n:02}.0  will be plugged into br{n % 14} at the start of web-{n:02}" in each for n in range(1, 61)
    )


@pytest.mark.kernel
def test_sixty_guests_on_sixty_networks_have_a_table_of_a_screen(lab: Lab, tmp_path: Path) -> None:
    """A NIC that is down shows no carrier; what the file wants of it is up."""
    numbers = range(60)
    networks = "".join(f"  n{n}: {{subnet: 10.{n}.0.0/24}}\n" for n in numbers)
    nics = "".join(f"      eth{n}: {{network: n{n}}}\n" for n in numbers)
    bridges = "".join(f"      br{n}: {{uplink: eth{n}}}\n" for n in numbers)
    into = "{{bridge: br{0}, address: 10.{0}.0.9/24}}"
    guests = "".join(f"  web-{n}: {{host: h, memory: 1GiB, nics: [{into.format(n)}]}}\n" for n in numbers)
    machines = "".join(f"  gw{n}: {{nics: [{{network: n{n}, address: 10.{n}.0.1/24}}]}}\n" for n in numbers)
    expect = "".join(f"  - {{from: gw{n}, to: web-{n}, verdict: reach}}\n" for n in numbers)
    site = tmp_path / "many.yaml"
    host = f"hosts:\n  h:\n    memory: 4TiB\n    nics:\n{nics}    bridges:\n{bridges}"
    rest = f"guests:\n{guests}machines:\n{machines}expect:\n{expect}"
    site.write_text(f"site: many\nnetworks:\n{networks}{host}{rest}")
    links = "\n".join(f"link add eth{n} type veth peer name far{n}" for n in numbers)
    space = lab.namespace("h")
    with space.entered():
        subprocess.run(["ip", "-batch", "-"], input=links, text=True, check=True)
    shown = lab.bascule(space, "reach", str(site), "--wanted", env={"COLUMNS": "80"})
    room = lab.bascule(space, "capacity", str(site), env={"COLUMNS": "80"})
    assert (shown.returncode, "differs" in shown.stdout) == (0, False), shown.stdout
    assert len(shown.stdout.splitlines()) <= TWO_SCREENS // 2
    assert re.search(r"^gw0…gw59 +web-0…web-59, in pairs +yes$", shown.stdout, re.M)
    assert re.search(r"^gw0…gw59, web-0…web-59 +all others +-$", shown.stdout, re.M)
    assert re.search(r"^  web-0…web-59 +1 GiB .* declared, each$", room.stdout, re.M)
    assert "uplink  eth0…eth59 (br0…br59): 1 guest each: web-0…web-59" in room.stdout
    assert "the site file says 4096 GiB" in room.stdout


@pytest.mark.kernel
@pytest.mark.parametrize("shape", ["long names", "a VLAN each"])
def test_a_plan_of_sixty_guests_fits_a_screen(shape: str, lab: Lab, tmp_path: Path) -> None:
    if shape == "long names":  # too long for a tap: it gets a name that says nothing of the order
        names, numbers = [f"the-web-server-of-a-customer-{n:02}" for n in range(60)], range(1)
        networks, bridges = "  n0: {subnet: 10.0.0.0/16}\n", "br0: {uplink: eth0}"
        into = ["{bridge: br0}"] * 60
    else:
        names, numbers = [f"web-{n}" for n in range(60)], range(100, 160)
        networks = "  n0: {}\n" + "".join(f"  v{n}: {{subnet: 10.{n}.0.0/24, vlan: {n}}}\n" for n in numbers)
        bridges = ", ".join(f"br{n}: {{uplink: eth0, vlan: {n}}}" for n in numbers)
        into = [f"{{bridge: br{n}}}" for n in numbers]
    guests = "".join(f"  {name}: {{host: h, nics: [{where}]}}\n" for name, where in zip(names, into, strict=True))
    hosts = f"hosts: {{h: {{nics: {{eth0: {{network: n0}}}}, bridges: {{{bridges}}}}}}}"
    site = tmp_path / "site.yaml"
    site.write_text(f"site: many\nnetworks:\n{networks}{hosts}\nguests:\n{guests}")
    space = lab.namespace("h")
    lab.ip(space, "link add eth0 type veth peer name far")
    shown = lab.bascule(space, "plan", str(site), "--here", "--driver", "none", env={"COLUMNS": "60"}).stdout
    assert len(shown.splitlines()) <= TWO_SCREENS // 2, shown
    assert all(len(line) <= 60 for line in shown.splitlines() if str(site) not in line), shown
    told = " ".join(shown.split())
    if shape == "long names":
        assert "will be plugged into br0 at the start of the-web-server-of-a-customer-00…59" in told
    else:
        assert "eth0.100…eth0.159 become a port of br100…br159" in told
        assert "because br100…br159 is on VLAN 100…159 of eth0" in told
        assert "KERNEL-VLAN" not in told or "KERNEL-VLAN: eth0.100…eth0.159 cannot be made" in told
    each = lab.bascule(space, "plan", str(site), "--here", "--driver", "none", "-v", env={"COLUMNS": "100"}).stdout
    assert all(f"at the start of {name}\n" in each for name in names)


@pytest.mark.kernel
def test_sixty_expectations_that_fail_alike_are_told_once(tmp_path: Path) -> None:
    site = tmp_path / "sixty.yaml"
    site.write_text(SIXTY.replace("verdict: reach", "verdict: no-reach"))
    shown, each = (bascule("rehearse", str(site), "--no-picture", *more, COLUMNS="100") for more in ((), ("-v",)))
    assert shown.returncode == each.returncode == 1
    assert shown.stdout.count("FAIL") == 1
    assert "FAIL  desk → web-01…web-60 tcp/80 must be no-reach" in shown.stdout
    assert "      desk → web-01: left desk" in shown.stdout
    assert each.stdout.count("FAIL") == 60


@pytest.mark.kernel
@pytest.mark.parametrize("words", [("verify",), ("doctor",), ("draw", "--live"), ("capacity",)])
def test_another_machine_than_the_file_s_host_is_told(words: tuple[str, ...], lab: Lab, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SIXTY)
    space = lab.namespace("h")
    with space.entered():
        subprocess.run(["ip", "link", "add", "eth0", "type", "veth", "peer", "name", "far"], check=True)
    told = lab.bascule(space, words[0], str(site), *words[1:], hostname="other")
    assert re.search(r"nothing says that this machine is '?h\b", " ".join(told.stdout.split())), told.stdout
    own = lab.bascule(space, words[0], str(site), *words[1:], hostname="h")
    assert "nothing says that" not in own.stdout


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("plan", "--hots", "h"), "did you mean '--host'?"),
        (("verify", "--here"), "see 'bascule verify --help'"),
        (("draw", "--out", "x"), "did you mean '--output'?"),
        (("guest", "lst"), "did you mean 'list'?"),
        (("rehearse", "x.yaml", "--guests", "qmeu"), "did you mean 'qemu'?"),
        (("draw", "x.yaml", "--format", "svgg"), "did you mean 'svg'?"),
        (("completion", "powershell"), "see 'bascule completion --help'"),
    ],
)
def test_only_what_is_close_was_perhaps_meant(words: tuple[str, ...], hint: str) -> None:
    assert bascule(*words).stderr.endswith(f"\nhint: {hint}\n")


def test_alike_rows_of_a_table_of_who_reaches_whom() -> None:
    names = [f"a{n}" for n in range(3)] + ["x", "y"]
    members = {name: (name,) for name in names} | {"b1 ×40": tuple(f"b{n}" for n in range(1, 41))}
    rows = [(source, target, "-") for source in members for target in members if source != target]
    assert short_table(rows[:24], members) == rows[:24]
    told = {("x", "y"): "yes", ("a0", "a1"): "perhaps", ("y", "a0"): "yes", ("y", "a1"): "yes", ("y", "a2"): "yes"}
    rows = [(*row[:2], told.get(row[:2], row[2])) for row in rows] + [("b1 ×40", "each other", "yes")]
    assert short_table(rows, members) == [
        ("a0", "a1", "perhaps"),
        ("x", "y", "yes"),
        ("y", "x", "-"),
        ("y", "b1 ×40", "-"),
        ("b1 ×40", "each other", "yes"),
        ("a0…a2, b1…b40, x", "all others", "-"),
        ("y", "all others", "yes"),
    ]


def test_names_that_pair_off_are_one_line_only_where_they_go_up_together() -> None:
    def fold(*rows: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [row for row, _ in folded_by_place(rows, most=None)]

    straight = [(f"eth{n}", f"become a port of br{n}") for n in (0, 1, 10, 2)]
    assert fold(*straight) == [("eth0…eth2, eth10", "become a port of br0…br2, br10")]
    crossed = [("eth0", "become a port of br1"), ("eth1", "become a port of br0"), ("eth2", "become a port of br2")]
    assert fold(*crossed) == crossed
    shared = [(f"web{n}.0", f"goes to br{n % 2}") for n in range(4)]
    assert fold(*shared) == [("web0.0…web3.0", "goes to br0, br1")]
    others = [(f"eth{n}", f"address fd0{n}::1/64") for n in range(4)]
    assert fold(*others) == others


def test_many_problems_of_one_kind_are_some_and_a_number(tmp_path: Path) -> None:
    site = tmp_path / "wrong.yaml"
    site.write_text(SIXTY.replace("10.0.1.", "10.9.1.").replace("10.9.1.7/", "10.0.1.7/"))
    short, each, data = (bascule("check", str(site), *more) for more in ((), ("-v",), ("--json",)))
    assert {one.returncode for one in (short, each, data)} == {65}
    assert short.stdout.count("error[ADDRESS-SUBNET]") == 2
    assert "and 57 more like this, in lines 7 to 64: web-03…web-06, web-08…web-60; -v shows each" in short.stdout
    assert each.stdout.count("error[ADDRESS-SUBNET]") == data.stdout.count("ADDRESS-SUBNET") == 59
    assert short.stdout.endswith("59 problems in " + str(site) + "\n")
    site.write_text(
        re.sub(
            r"expect:.*", "expect: [{from: desk, to: guests, service: tcp/80, verdict: no-reach}]", SIXTY, flags=re.S
        )
    )
    plan = bascule("check", str(site)).stdout
    assert plan.count("error[EXPECT-CONTRADICTED]") == 1  # of one line of the file
    assert "and 59 more like this: web-02…web-60; -v shows each" in plan


def test_many_warnings_of_a_valid_file_are_some_and_a_number(tmp_path: Path) -> None:
    """Each of sixty isolated guests names the other 59: that was 45 kB."""
    site = tmp_path / "isolated.yaml"
    text = SIXTY.partition("machines:")[0].replace("bridge: br0", "bridge: br0, isolated: true")
    site.write_text(text.replace("10.0.0.0/16", "10.0.0.0/16, gateway: 10.0.0.1"))
    short, each, data = (bascule("check", str(site), *more) for more in ((), ("-v",), ("--json",)))
    assert short.stdout.count("warning: ") == 2
    assert "is isolated from web-02…web-06 and 54 more, and can reach them" in short.stdout
    assert re.search(r"and 58 more like this, in lines \d+ to \d+: web-03.0…web-60.0; -v shows each\n$", short.stdout)
    assert each.stdout.count("warning: ") == len(json.loads(data.stdout)["mind"]) == 60
    names = iter(f"{a}{b}{c}" for a in "abcd" for b in "efgh" for c in "ijkl")  # without numbers
    site.write_text(re.sub(r"web-\d+", lambda _: next(names), site.read_text()))
    assert re.search(r"is isolated from \w+, \w+, \w+, \w+, \w+ and 54 more, and", bascule("check", str(site)).stdout)
    assert len(bascule("check", str(site)).stdout.splitlines()) == 9


def test_many_problems_without_a_place_are_some_and_a_number() -> None:
    """As those of a plan: sixty NICs that the host does not have."""
    problems = [Problem(code="NIC-MISSING", message=f"this host has no NIC 'eth{n}'") for n in range(60)]
    assert show_problems(problems) == (
        f"{problems[0]}\n\n{problems[1]}\n\nand 58 more like this: eth2…eth59; -v shows each"
    )
    assert show_problems(problems[:1] * 2) == f"{problems[0]}\n\n{problems[0]}"


def test_a_long_list_of_names_in_a_problem_is_a_range() -> None:
    """As where none of the two hundred NICs of a host is here; a short one stays as it is."""
    for many, words in ((200, "e0…e199"), (4, "e0, e1, e2, e3")):
        problem = Problem(code="HOST-OTHER", message=f"none is here ({', '.join(f'e{n}' for n in range(many))})")
        assert show_problems([problem]) == f"error[HOST-OTHER]: none is here ({words})"


@pytest.mark.kernel
def test_what_is_wrong_comes_first_and_once_and_alone_with_q() -> None:
    shown, quiet = (bascule("rehearse", SLIP, "--no-picture", *more) for more in ((), ("-q",)))
    for one in (shown, quiet):
        assert one.returncode == 1
        assert one.stdout.count("guest_03 → customer icmp must be no-reach") == 1
        assert one.stdout.count("FAIL") == 2
    assert shown.stdout.index("FAIL") < shown.stdout.index("changes;")
    assert quiet.stdout.startswith("FAIL")
    assert "checks" not in quiet.stdout
    assert "learned on guest_03.0" not in shown.stdout


@pytest.mark.parametrize(
    ("environment", "said", "expected"),
    [
        ({}, "auto", False),  # no terminal
        ({"FORCE_COLOR": "1"}, "auto", True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, "auto", False),
        ({"FORCE_COLOR": "1"}, "never", False),
        ({"NO_COLOR": "1"}, "always", True),
    ],
)
def test_who_gets_colours(
    environment: dict[str, str], said: str, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(output_style, "_style", OutputStyle(color=said))  # type: ignore[arg-type]  # one of the three words
    assert colored(io.StringIO()) is expected


def test_colours_say_nothing_that_the_words_do_not(tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text("site: x\nnope: 1\n")
    bare = bascule("check", str(file)).stdout
    for line in (("check", "--color", "always", str(file)), ("--color=always", "check", str(file))):
        done = bascule(*line).stdout
        assert "\x1b[1;31merror[" in done
        assert re.sub(r"\x1b\[[\d;]*m", "", done) == bare


@pytest.mark.parametrize(
    ("environment", "words", "pure"),
    [
        ({"LC_ALL": "C"}, (), True),
        ({"LC_ALL": "POSIX"}, (), True),
        ({"LANG": "C"}, (), True),
        ({"LANG": "de_DE.ISO-8859-1"}, (), True),  # not installed here
        ({"LC_ALL": "ja_JP.utf8@x", "LANG": "C"}, (), False),
        ({"LC_ALL": "C.UTF-8"}, ("--ascii",), True),
        ({"LC_ALL": "C.UTF-8"}, (), False),
        ({"LC_ALL": "C", "PYTHONUTF8": "1"}, (), False),
    ],
)
def test_ascii(environment: dict[str, str], words: tuple[str, ...], pure: bool, tmp_path: Path) -> None:
    file = tmp_path / "grün.yaml"
    file.write_text("site: x\nnetworks: {ü→: {}}\n")
    env = {name: value for name, value in CLEAN.items() if not name.startswith(("LC_", "LANG", "PYTHONUTF8"))}
    argv = (sys.executable, "-m", "bascule", "check", str(file), *words)
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, env=env | environment)
    assert done.stdout.isascii() is pure
    assert b"?" not in done.stdout


def test_letters_without_ascii_keep_their_base() -> None:
    assert plain("Größe → 3 × µs…") == "Gro?e -> 3 x us..."


@pytest.mark.parametrize("verb", ["guest", "guest list", "draw"])
def test_every_verb_takes_the_options(verb: str) -> None:
    text = bascule(*verb.split(), "--help").stdout
    assert all(option in text for option in ("--verbose", "--quiet", "--color", "--ascii"))


@pytest.mark.parametrize("verb", ["plan", "rehearse", "capacity", "reach"])
def test_a_file_without_hosts_is_told_so(verb: str, tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("site: x\n")
    done = bascule(verb, str(tmp_path / "empty.yaml"))
    assert done.returncode == 64
    assert done.stderr.startswith("error[NO-HOSTS]: the file has no hosts\nhint: ")


@pytest.mark.parametrize(
    "words",
    [
        ("check", SLIP),
        ("plan", "examples/production.yaml", "--observed", "tests/cases/production-fresh/observed.json"),
        ("capacity", "examples/production.yaml"),
        ("reach", "examples/production.yaml", "--wanted"),
        ("why", "guest_03", "customer", "--site", "examples/production.yaml", "--wanted"),
        ("draw", "examples/production.yaml"),
        ("doctor", "examples/production.yaml"),
        ("--help",),
        ("undo", "--help"),
        ("guest", "--help"),
    ],
    ids=lambda words: words[0],
)
def test_forty_columns(words: tuple[str, ...]) -> None:
    done = bascule(*words, COLUMNS="40")
    assert "Traceback" not in done.stderr
    for line in (done.stdout + done.stderr).splitlines():
        # a word that is itself longer is not cut, a command is whole, and what an option does has ten columns
        whole = len(line) > 40 and (len(line.split()[-1]) > 16 or line.startswith(("fix ", "or ", " " * 31, "  -")))
        assert len(line) <= 40 or whole, line


def test_what_is_copied_is_whole_in_few_columns() -> None:
    words = ("render", "examples/production.yaml", "--dialect", "networkd")
    narrow, wide = (bascule(*words, COLUMNS=columns).stdout for columns in ("40", "200"))
    assert narrow == wide
    assert max(map(len, narrow.splitlines())) > 40


@pytest.mark.parametrize("room", range(20, 60))
def test_a_number_keeps_its_unit_beside_it(room: int) -> None:
    """A line that begins with "s" says nothing, and a number without a unit is none."""
    text = (
        "checking 0.19 s, asking the expectations 0.35 s (at most 512 MiB), 90 % of 1400 bytes: taking it back 0.29 s"
    )
    lines = wrapped(text, indent=0, columns=room).splitlines()
    assert " ".join(lines) == text
    assert all(len(line) <= room for line in lines)
    assert not [line for line in lines if re.match(r"(s|MiB|bytes)\b|%", line)]


@pytest.mark.parametrize("words", [("check",), ("plan", "--here", "--diff")])
def test_sentences_are_no_wider_than_eighty_columns_where_the_terminal_is_not(words: tuple[str, ...], lab: Lab) -> None:
    host = lab.host("eth2", "eth3", "eth4", "eth5")
    done = lab.bascule(host, *words, str(ROOT / "examples/production.yaml"), env={"COLUMNS": "80"}, hostname="vmserver")
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) > 1
    assert [line for line in lines if len(line) > 80] == []


def test_the_verdict_of_why_goes_on_in_a_line_of_its_own_and_a_stage_in_few_columns_as_well() -> None:
    words = ("why", "colleague", "builder", "tcp/80", "--site", "examples/nat.yaml")
    head = "colleague → builder tcp/80: UNKNOWN"
    wide = bascule(*words, COLUMNS="80").stdout.splitlines()
    assert max(map(len, wide)) <= 80
    assert wide[:2] == [head, "  (new connections; it is not known whether the answer would pass)"]
    narrow = bascule(*words, COLUMNS="40").stdout.splitlines()
    start = narrow.index("   1  wire  ?")
    assert narrow[start + 1 : start + 3] == [
        "      eno1 what colleague sends to",
        "      internet does not pass this host",
    ]


def test_in_few_columns_the_words_of_a_change_stand_below_its_link_and_in_one_column(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SIXTY)
    env = {"COLUMNS": "40"}
    done = lab.bascule(lab.host("eth0"), "plan", "--here", str(tmp_path / "s.yaml"), env=env, hostname="h")
    assert done.returncode == 0, done.stderr
    changes = done.stdout.split("\n\n")[1].splitlines()
    below = [line for line in changes if not re.match(r"  \d  \S+$", line)]
    places = {len(line) - len(line.lstrip()) for line in below if str(tmp_path) not in line}
    assert places == {5}
    assert len(changes) - len(below) >= 3


def test_an_error_on_a_terminal_is_broken_between_words_and_a_command_in_it_is_not() -> None:
    leader, terminal = pty.openpty()
    words = (sys.executable, "-m", "bascule", "plan", "examples/production.yaml", "--host", "vmserver")
    done = subprocess.run(words, cwd=ROOT, env=CLEAN | {"NO_COLOR": "1"}, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    said = os.read(leader, 4096).decode().splitlines()
    os.close(leader)
    assert (done.returncode, done.stdout) == (1, b"")
    assert said[0].startswith("error[HOST-OTHER]: ")
    assert len(said) > 4
    assert max(map(len, said)) <= 80
    assert any("'bascule rehearse'" in line for line in said)
