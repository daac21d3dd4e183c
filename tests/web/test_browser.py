"""What a person sees: the report and the live page in a real browser, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bascule.system.net.netns import Namespace
from tests.lab import Lab, open_lab
from tests.web.browser import Browser
from tests.web.client import Served
from tests.web.test_serve import SITE, furnish

ARROW_DOWN = "\ue015"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened


@pytest.fixture(scope="module")
def host(lab: Lab) -> Namespace:
    return furnish(lab)


@pytest.fixture(scope="module")
def browser(host: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(host, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def test_the_live_page(browser: Browser, lab: Lab, host: Namespace, tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(SITE)
    eth4 = "document.querySelector('#picture [data-id=\"vmserver/link/eth4\"]')?.getAttribute('aria-label')"
    with Served(host, str(site)) as served:
        browser.open(served.told["url"])
        browser.wait("return document.querySelector('.line.live') !== null")
        browser.wait(f"return {eth4}", wanted=lambda label: bool(label) and "down" not in label)
        for _ in range(4):
            lab.ip(host, "link set eth4 down")
            browser.wait(f"return {eth4}", wanted=lambda label: "down" in label)
            assert "down" in browser.script("return document.getElementById('ports').innerText")
            lab.ip(host, "link set eth4 up")
            browser.wait(f"return {eth4}", wanted=lambda label: "down" not in label)

        rows = "return document.querySelectorAll('#matrix table.reach tbody tr').length"
        browser.wait(rows, wanted=lambda count: count >= 2)
        assert "guest_02" in browser.script("return document.getElementById('matrix').innerText")
        browser.script("document.getElementById('ask').click()")
        browser.wait("return document.querySelector('#asks [data-way]') !== null", within_s=30)
        browser.script("document.querySelector('#asks [data-way] button').click()")
        assert browser.script("return getComputedStyle(document.querySelector('.way-of.shown')).display") == "inline"
        assert browser.script("return document.querySelectorAll('#picture .node.hot').length") >= 3
        assert browser.script("return document.documentElement.scrollWidth <= innerWidth")
        assert browser.errors == []  # not even a violation of the page's policy
    browser.wait("return document.body.classList.contains('stale')")
    assert "ended" in browser.script("return document.getElementById('line-words').textContent")


def test_the_report_with_the_keyboard(browser: Browser, lab: Lab, host: Namespace, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = lab.bascule(host, "rehearse", "examples/slip.yaml", "--report", str(page))
    assert done.returncode == 1, done.stderr
    browser.open(page.as_uri())
    shown = (
        "return [...document.querySelectorAll('.way-of')].filter(e => getComputedStyle(e).display != 'none')"
        ".map(e => e.classList[1])"
    )
    chosen = browser.script("return document.querySelector('[name=way]:checked').id")
    assert set(browser.script(shown)) == {chosen}
    browser.script("document.getElementById('w0').focus(); document.getElementById('w0').click()")
    assert set(browser.script(shown)) == {"w0"}
    browser.press(ARROW_DOWN)
    assert set(browser.script(shown)) == {"w1"}
    aside = "[...document.querySelectorAll('.node')].find(e => !e.classList.contains('w1'))"
    assert float(browser.script(f"return getComputedStyle({aside}).opacity")) < 0.5
    browser.script("document.getElementById('all').click()")
    assert browser.script(shown) == []
    assert browser.script("return document.documentElement.scrollWidth <= innerWidth")
    commands = "return document.querySelector('details pre').checkVisibility()"
    assert not browser.script(commands)
    browser.devtools("Emulation.setEmulatedMedia", media="print")
    assert browser.script(commands)  # paper cannot be unfolded
    browser.devtools("Emulation.setEmulatedMedia", media="")
    assert not [words for words in browser.errors if "/events" not in words]  # the page before asked until it was left
