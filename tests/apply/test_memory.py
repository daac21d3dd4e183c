"""What apply says about memory: over the limit it warns, over what there is it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apply.hosts import SITE, Bed, difference

pytestmark = pytest.mark.kernel


def total_mib() -> int:
    (line,) = (x for x in Path("/proc/meminfo").read_text().splitlines() if x.startswith("MemTotal:"))
    return int(line.split()[1]) // 1024


def test_over_the_limit_warns_and_over_the_memory_refuses(bed: Bed) -> None:
    before = bed.raw()
    bed.site.write_text(SITE.replace("1GiB", f"{total_mib() + 1024}MiB"))
    refused = bed.run("apply", str(bed.site), "--yes", "--driver", "none")
    assert refused.returncode == 1
    assert "error[MEMORY-FULL]: the guests of 'h' need" in refused.stderr
    assert "they cannot all run there" in refused.stderr
    assert difference(before, bed.raw()) == []

    bed.site.write_text(SITE.replace("1GiB", f"{total_mib() - 512}MiB"))  # fits, but not with the host's own reserve
    warned = bed.apply("--driver", "none")
    assert "mind: the guests leave the host" in warned.stderr
    assert bed.run("undo").returncode == 0
    assert difference(before, bed.raw()) == []
