"""Reading a site file of 1,600 lines against PyYAML's own safe_load of the same bytes, in one run.

What is compared: everything (tree with places, shape, all checks, Site) against the peer's plain objects alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import yaml

from bascule.site import parse


def site_file(guests: int) -> bytes:
    """Two lines for each guest: itself and one expectation."""
    lines = ["site: big", "networks: {n: {subnet: 10.0.0.0/8}}", "hosts:", "  h:", "    nics: {eth0: {network: n}}"]
    lines += ["    bridges: {br0: {uplink: eth0}}", "guests:"]
    for i in range(guests):
        nic = f"{{bridge: br0, address: 10.1.{i // 250}.{i % 250 + 1}/8}}"
        lines.append(f"  g{i}: {{host: h, nics: [{nic}], serves: [tcp/80]}}")
    lines.append("expect:")
    lines += [f"  - {{from: g{i}, to: g{(i + 1) % guests}, service: tcp/80, verdict: reach}}" for i in range(guests)]
    return "\n".join(lines).encode()


def seconds(work: Callable[[], object], times: int = 5) -> float:
    """The best of a few runs."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print the ratios."""
    small, large = site_file(800), site_file(3200)
    parse(small, "warm-up")  # imports and model building are measured by `bascule check` itself
    ours, peer = seconds(lambda: parse(small, "s")), seconds(lambda: yaml.safe_load(small), 3)
    fourfold = seconds(lambda: parse(large, "s"), 3)
    lines = small.count(b"\n") + 1
    print(f"site file of {lines} lines: {ours * 1000:.0f} ms; yaml.safe_load alone: {peer * 1000:.0f} ms")
    print(f"ratio to safe_load: {ours / peer:.2f}")
    print(f"four times the lines: {fourfold / ours:.1f} times as long")


if __name__ == "__main__":
    main()
