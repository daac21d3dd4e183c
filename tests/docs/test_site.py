"""`make docs` builds the pages as a site that is read without a network, and every link in it leads somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MKDOCS = Path(sys.executable).with_name("mkdocs")


@pytest.mark.skipif(not MKDOCS.exists(), reason="mkdocs-material is not here: pip install mkdocs-material")
def test_the_site_is_whole_and_needs_no_network(tmp_path: Path) -> None:
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = (str(MKDOCS), "build", "--quiet", "--site-dir", str(tmp_path))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr  # strict: a link that leads nowhere is an error

    pages = [page for page in tmp_path.rglob("*.html") if page.name != "404.html"]
    assert len(pages) >= len(list((ROOT / "docs").rglob("*.md"))) + 1
    loaded = re.compile(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?(https?://[^"' >]+)""")
    for page in pages:
        assert not loaded.findall(page.read_text()), page.name
    start = (tmp_path / "index.html").read_text()
    assert "What it will never do" in start
    assert 'href="style.css"' in start
    assert ".md-grid" in (tmp_path / "style.css").read_text()
    assert (tmp_path / "search" / "search_index.json").exists()
