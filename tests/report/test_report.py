"""The page of a rehearsal: whole, self-contained, harmless, and readable for everybody."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec.structs import replace

from bascule import workflow
from bascule.cli.show.report import show_report
from bascule.cli.verbs.rehearse import _in_words
from bascule.draw.answers import AnsweredExpectation
from bascule.draw.formats.style import STYLE
from bascule.draw.report.page import CheckRow, PlanPart, PlanRow, Report, report
from bascule.draw.report.style import COLOURS
from bascule.plan.file_change import FileChange
from bascule.rehearsal import Rehearsal
from bascule.site import parse
from tests import prefork

ROOT = Path(__file__).parents[2]
SLIP = "examples/slip.yaml"
VOID = {"meta", "link", "input", "br", "hr", "img"}
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


class Page(HTMLParser):
    """Collects what a page has, and complains about tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str], bool]] = []  # tag, attributes, whether inside the picture
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, "svg" in [*self.open, tag]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}, "svg" in self.open))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing that is open"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())

    def all(self, attribute: str) -> list[str]:
        return [attributes[attribute] for _, attributes, _ in self.elements if attribute in attributes]


def said(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def seen() -> Rehearsal:
    return workflow.rehearse(str(ROOT / SLIP))


@pytest.fixture(scope="module")
def text(seen: Rehearsal) -> str:
    return show_report(seen, SLIP, now=NOON)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_says_everything(seen: Rehearsal, page: Page) -> None:
    for check in seen.checks:
        assert said(check.detail) in page.text
        assert check.subject in page.text
    for outcome in seen.outcomes:
        assert said(outcome.witness.sentence) in page.text
    for plan in seen.plans.values():
        for change in plan.changes:
            assert said(change.action) in page.text
        for command in plan.commands:
            assert said(str(command)) in page.text
    for name in seen.timings:
        assert name == "total" or name in page.text
    assert seen.site.source.digest in page.text
    assert "2026-01-02 12:00 UTC" in page.text
    assert SLIP in page.text


def test_who_reaches_whom_can_be_read_without_colour(seen: Rehearsal, page: Page) -> None:
    ((host, found),) = seen.reach
    assert f"Who reaches whom {host}" in page.text
    shown = page.text.partition("Who reaches whom")[2].partition("Plan")[0]
    for group in found.classes:
        assert (group[0] if len(group) == 1 else f"{group[0]} ×{len(group)}") in shown
    for one in found.violations:
        must = "must reach" if one.expectation.verdict == "reach" else "must not reach"
        told = f"! {one.cell.source} {must} {one.cell.target} by {one.cell.service}; the model says {one.cell.result}"
        assert told in shown
    assert found.violations
    assert shown.count("! ") > len(found.violations)  # in the cells as well
    assert {"yes": "✓", "no": "✗"}[found.violations[0].cell.result] in shown


def test_a_broken_site_says_so_first(seen: Rehearsal, page: Page, text: str) -> None:
    assert not seen.ok
    assert "does not hold 2 of 6 expectations and 0 of 40 checks" in page.text
    broken = page.text.index("What does not hold")
    assert broken < page.text.index("Picture") < page.text.index("Plan")
    place = next(i for i, outcome in enumerate(seen.outcomes) if outcome.ok is False)
    assert re.search(rf'<input type="radio" name="way" id="w{place}"[^>]* checked', text)


def test_needs_nothing_else(page: Page, text: str) -> None:
    assert not [tag for tag, _, _ in page.elements if tag in {"script", "link", "img", "iframe", "object", "embed"}]
    assert not page.all("src")
    assert all(link.startswith("#") for link in page.all("href"))
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policy = next(a["content"] for _, a, _ in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_ids_and_what_refers_to_them(page: Page) -> None:
    ids = page.all("id")
    assert len(ids) == len(set(ids))
    for attribute in ("for", "aria-labelledby", "aria-describedby"):
        for value in page.all(attribute):
            assert set(value.split()) <= set(ids)
    assert {link[1:] for link in page.all("href")} <= set(ids)


def test_every_control_has_a_name(page: Page) -> None:
    labelled = set(page.all("for"))
    for tag, attributes, _ in page.elements:
        if tag == "input" and attributes["type"] == "radio":
            assert attributes["id"] in labelled


def test_each_way_is_in_the_picture(seen: Rehearsal, page: Page, text: str) -> None:
    for place, outcome in enumerate(seen.outcomes):
        key = f"w{place}"
        assert outcome.witness.hops
        marked = [a for _, a, inside in page.elements if inside and key in a.get("class", "").split()]
        names = {a["aria-label"].split(",")[0].split()[-1] for a in marked if "aria-label" in a}
        assert outcome.expectation.source in names
        assert (outcome.expectation.target in names) == (outcome.observed == "reach")
        assert f"body:has(#{key}:checked) .way-of.{key}{{display:inline}}" in text


def test_what_is_not_on_a_chosen_way_is_dimmed(page: Page, text: str) -> None:
    """Each class that the rule for a way names is one that the picture has, the lines of networks among them."""
    rule = next(line for line in text.splitlines() if line.startswith("body:has(#w0:checked) .wires"))
    named = set(re.findall(r"\.([a-z_]+)(?![\w-])", rule.partition("{")[0]))
    assert {"wires", "node", "network"} <= named
    assert named <= {name for _, a, inside in page.elements if inside for name in a.get("class", "").split()} | {"w0"}


def test_the_page_and_its_picture_share_no_class(page: Page) -> None:
    of_picture = set(re.findall(r"\.([a-z][a-z0-9-]*)", re.sub(r"\{[^}]*\}", " ", STYLE)))
    own = {name for _, a, inside in page.elements if not inside for name in a.get("class", "").split()}
    assert not own & of_picture


def test_equal_input_gives_equal_bytes(seen: Rehearsal, text: str) -> None:
    assert show_report(seen, SLIP, now=NOON) == text


def test_files_and_what_is_lost_of_them_are_told(seen: Rehearsal) -> None:
    aside = FileChange(
        path="/etc/network/interfaces", action="move", place="/kept", reason="foreign", lost=("its hook",)
    )
    host, plan = next(iter(seen.plans.items()))
    shown = show_report(replace(seen, plans={host: replace(plan, files=(aside,))}), SLIP, now=NOON)
    text = Page(shown).text
    assert "Files /etc/network/interfaces move aside, to /kept: foreign" in text
    assert "Notes" in text
    assert "/etc/network/interfaces warnings not carried over: its hook" in text


HOSTILE = "</style></svg><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;"


def test_hostile_words_stay_words(seen: Rehearsal) -> None:
    site = replace(seen.site, name=HOSTILE)
    answered = AnsweredExpectation(
        source="customer",
        target="guest_01",
        service=HOSTILE,
        wanted="reach",
        observed=HOSTILE,
        ok=False,
        sentence=HOSTILE,
        control=HOSTILE,
        because=HOSTILE,
        place=HOSTILE,
        seen_as=HOSTILE,
    )
    hostile = Report(
        site=site,
        ok=False,
        result=HOSTILE,
        facts=((HOSTILE, HOSTILE),),
        warnings=(HOSTILE,),
        plans=(
            PlanPart(
                headline=HOSTILE,
                rows=(PlanRow(subject=HOSTILE, action=HOSTILE, reason=HOSTILE, risk=HOSTILE),),
                outages=((HOSTILE, HOSTILE, HOSTILE),),
                notes=((HOSTILE, HOSTILE, HOSTILE),),
                commands=(HOSTILE,),
            ),
        ),
        checks=(CheckRow(subject=HOSTILE, what=HOSTILE, ok=None, detail=HOSTILE),),
        answers=(answered,),
        notes=((HOSTILE, HOSTILE),),
        timings=((HOSTILE, 1.0),),
    )
    text = report(hostile)
    page = Page(text)
    assert not [tag for tag, _, _ in page.elements if tag in {"script", "img"}]
    assert "<script" not in text
    assert text.count(escape(HOSTILE)) > 20
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]


def schemes() -> Iterator[tuple[str, dict[str, str]]]:
    light, dark = COLOURS.split("@media")
    of_light = dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{3,6})", light))
    yield "light", of_light
    yield "dark", {**of_light, **dict(re.findall(r"--([a-z-]+):(#[0-9a-f]{3,6})", dark))}


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("name", "colours"), list(schemes()), ids=["light", "dark"])
def test_contrast_is_at_least_that_of_wcag_aa(name: str, colours: dict[str, str]) -> None:
    pairs = [(ink, ground) for ink in ("ink", "soft", "good", "wrong") for ground in ("paper", "field")]
    pairs += [("ink", "good-field"), ("ink", "wrong-field"), ("good", "good-field"), ("wrong", "wrong-field")]
    pairs += [("soft", "wrong-field"), ("mind", "mind-field"), ("paper", "focus")]
    for ink, ground in pairs:
        low, high = sorted((luminance(colours[ink]), luminance(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5, f"{name}: {ink} on {ground}"


def bascule(*words: str) -> subprocess.CompletedProcess[str]:
    return prefork.run(*words, cwd=ROOT)


def test_from_the_command_line(tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    done = bascule("rehearse", SLIP, "--json", "--report", str(target), "--highlight", "desk:guest_03")
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert f"report  {target}" in done.stderr
    text = target.read_text()
    place = [(e["from"], e["to"]) for e in document["expectations"]].index(("desk", "guest_03"))
    assert re.search(rf'id="w{place}"[^>]* checked', text)

    kept = tmp_path / "rehearsal.json"
    kept.write_text(done.stdout)
    drawn = bascule("draw", SLIP, "--highlight", "desk:guest_03", "--witness", str(kept))
    assert drawn.returncode == 0
    assert "desk → internal → dmz" in drawn.stdout
    assert "left desk, arrived at dmz, not forwarded" in drawn.stdout
    assert drawn.stderr == ""
    other = bascule("draw", "examples/production.yaml", "--highlight", "desk:guest_03", "--witness", str(kept))
    assert "another version of the site file" in other.stderr


def test_the_way_in_the_terminal_is_the_one_that_was_seen(seen: Rehearsal) -> None:
    place = [(x.expectation.source, x.expectation.target) for x in seen.outcomes].index(("guest_03", "customer"))
    words = _in_words(seen, picture=True, columns=100, chosen=place)
    assert "guest_03 to customer: guest_03 → guest_03.0 → br4 → eth5 → internet → customer" in words


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--report", "/nowhere/at/all/page.html"), "there is no directory '/nowhere/at/all'"),
        (("--report", "/tmp"), "is a directory, not a file"),
        (("--highlight", "desk"), "is not A:B"),
        (("--highlight", "desk:customer"), "asks nothing from 'desk' to 'customer'"),
        (("--highlight", "desk:guest_02:tcp/1"), "by tcp/1"),
    ],
)
def test_what_cannot_be_done_is_said_before_the_work(words: tuple[str, str], told: str) -> None:
    done = bascule("rehearse", SLIP, *words)
    assert done.returncode == 64
    assert told in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"expectations": [{"from": 1}]}', "\x00"])
def test_a_witness_that_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "w.json").write_text(content)
    done = bascule("draw", SLIP, "--highlight", "desk:guest_02", "--witness", str(tmp_path / "w.json"))
    assert done.returncode == 64
    assert "is not what 'bascule rehearse --json' prints" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wide_picture_has_the_whole_width_and_all_can_be_enlarged() -> None:
    """The picture of a host with many guests stands over its expectations, that of a small one beside them."""
    guests = "".join(f"  g{n}: {{host: h, nics: [{{bridge: br{n % 3}}}], serves: [tcp/{n}]}}\n" for n in range(1, 49))
    bridges = ", ".join(f"br{n}: {{uplink: eth{n}}}" for n in range(3))
    nics = ", ".join(f"eth{n}: {{}}" for n in range(3))
    wide = f"site: s\nhosts: {{h: {{nics: {{{nics}}}, bridges: {{{bridges}}}}}}}\nguests:\n{guests}"
    for site, classes in (
        (parse(wide.encode(), "site.yaml"), "stage wide"),
        (workflow.load(str(ROOT / SLIP)), "stage"),
    ):
        page = Page(report(Report(site=site, ok=True, result="holds")))
        assert classes in page.all("class")
        assert [key for key in page.all("id") if key.startswith("zoom-")] == ["zoom-fit", "zoom-full", "zoom-twice"]
        (picture,) = (found for tag, found, _ in page.elements if found.get("class") == "picture")
        (drawing,) = (found for tag, found, _ in page.elements if tag == "svg")
        assert picture["style"] == f"--wide:{drawing['width']}px"
