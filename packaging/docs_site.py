"""What mkdocs is told about the pages: the README is the first one, and the sections list what their folders have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

REPOSITORY = "https://github.com/bascule/bascule/blob/main"
ROOT = Path(__file__).parents[1]
STYLE = """\
/* what Bascule prints has up to 100 columns: they stand in a window of 1300 pixels without being moved sideways */
.md-grid { max-width: 80rem; }
.md-typeset pre > code { font-size: .75em; }
/* a table is as wide as its page: columns of figures need no least width, or each row has ten lines */
.md-typeset table:not([class]) :is(th, td) { min-width: 0; padding: .5em .7em; }
.md-typeset td code { word-break: normal; overflow-wrap: break-word; }
/* names like hosts.NAME.bridges.NAME.ports[ ] are broken in the list of contents instead of cut */
.md-nav .md-ellipsis { white-space: normal; overflow-wrap: anywhere; }
"""
OUTSIDE = re.compile(r"\]\(((?:\.\./)+|)([\w./-]+)(#[\w-]+)?\)")


def on_config(config: Any) -> Any:
    """Sections that name a folder get its pages, in the order of their names."""
    docs = Path(config["docs_dir"])
    for section in config["nav"]:
        for title, pages in section.items():
            if isinstance(pages, str) and pages.endswith("/*"):
                section[title] = [str(page.relative_to(docs)) for page in sorted((docs / pages[:-2]).glob("*.md"))]
    return config


def on_files(files: Any, config: Any) -> Any:
    """The README is the first page, with our style; files beside docs/ that a page links to are seen as well."""
    text = (ROOT / "README.md").read_text()
    files.append(File.generated(config, "index.md", content=re.sub(r"\]\(docs/", "](", text)))
    files.append(File.generated(config, "style.css", content=STYLE))
    for place in ("examples", "ansible"):
        for path in sorted((ROOT / place).glob("*.*")):
            if path.suffix in {".yaml", ".md", ".py"}:
                files.append(File.generated(config, f"{place}/{path.name}", content=path.read_text()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link that leaves docs/ leads to the copy beside the pages, a link to a folder to its first page."""
    here = (ROOT / "docs" / page.file.src_uri).parent

    def changed(match: re.Match[str]) -> str:
        up, rest, anchor = match[1], match[2], match[3] or ""
        target = (here / up / rest).resolve()
        if not up and not target.exists():
            return match[0]
        if target.is_relative_to(ROOT) and not target.is_relative_to(ROOT / "docs"):
            depth = len(here.relative_to(ROOT / "docs").parts)
            inside = target.relative_to(ROOT)
            if inside.parts[0] in {"examples", "ansible"}:
                return f"]({'../' * depth}{inside}{anchor})"
            return f"]({REPOSITORY}/{inside})"
        if target.is_dir():
            first = sorted(target.glob("*.md"))[0]
            return f"]({up}{rest.rstrip('/')}/{first.name})"
        return match[0]

    return OUTSIDE.sub(changed, markdown)
