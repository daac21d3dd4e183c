"""What apply says about memory: it warns, over the limit and over what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apply.hosts import SITE, Bed, difference

pytestmark = pytest.mark.kernel


def total_mib() -> int:
    (line,) = (x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemTotal:"))
    return int(line.split()[1]) // 1024


def test_over_the_limit_and_over_the_memory_warns(bed: Bed) -> None:
    before = bed.raw()
    bed.site.write_text(SITE.replace("1GiB", f"{total_mib() + 1024}MiB"))
    warned = bed.apply("--driver", "none")
    assert "they cannot all run at once" in " ".join(warned.stdout.split())
    assert bed.run("undo").returncode == 0
    assert difference(before, bed.raw()) == []

    bed.site.write_text(SITE.replace("1GiB", f"{total_mib() - 512}MiB"))  # fits, but not with the host's own reserve
    warned = bed.apply("--driver", "none")
    assert "the guests leave the host" in " ".join(warned.stdout.split())
    assert bed.run("undo").returncode == 0
    assert difference(before, bed.raw()) == []
