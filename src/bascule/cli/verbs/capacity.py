"""``bascule capacity``: how many guests the memory holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from bascule.cli.common import host_option, json_option, show, site_argument, table, width, wrapped
from bascule.cli.show.folding import folded, folded_by_place, ranges
from bascule.cli.show.output_style import output_style
from bascule.model.values import count

if TYPE_CHECKING:
    from bascule.plan.capacity import Capacity


@click.command()
@site_argument
@host_option
@json_option
@click.option("--connect", metavar="URI", help="libvirt's connection, to see what runs (default: qemu:///system).")
def command(*, site_file: str, host: str | None, as_json: bool, connect: str | None) -> int:
    """Compare the memory of guests, their overhead and the host's reserve with what the host has.

    On the host itself the memory, its huge pages, NUMA nodes and what runs are read; elsewhere the file's
    `memory:` counts. KSM is left out. Changes nothing. Exit status: 0 if all guests fit, else 1.

    Example: bascule capacity site.yaml
    """
    from bascule import workflow
    from bascule.cli.entry import emit

    found = workflow.capacity(site_file, host=host, uri=connect)
    if as_json:
        emit("capacity", as_document(found))
    else:
        show(as_text(found))
    return 0 if found.verdict == "fits" else 1


def as_document(found: Capacity) -> dict[str, Any]:
    """The account for ``--json``; sizes in bytes, speeds in Mbit/s."""
    return {
        "ok": found.verdict == "fits",
        "host": found.host,
        "verdict": found.verdict,
        "memory": {
            "total": found.memory.total,
            "available": found.memory.available,
            "source": found.memory.source,
            "reserve": found.reserve,
            "hugepages": found.reserved_hugepages,
            "limit": found.limit,
            "used": found.used,
            "left": found.left,
            "nodes": [{"node": node.number, "memory": node.memory, "free": node.free} for node in found.memory.nodes],
        },
        "guests": [
            {
                "name": need.name,
                "memory": need.memory,
                "overhead": need.overhead,
                "page_tables": need.page_tables,
                "total": need.total,
                "running": need.running,
                "declared": need.declared,
                "source": need.source,
            }
            for need in found.needs
        ],
        "next": [{"size": room.size, "fits": room.fits, "left": room.left} for room in found.next_guests()],
        "uplinks": [
            {"uplink": load.uplink, "bridge": load.bridge, "guests": list(load.guests), "speed": load.speed}
            for load in found.uplinks
        ],
        "warnings": list(found.warnings),
        "left_out": list(found.left_out),
    }


def as_text(found: Capacity) -> str:
    """The account for people; with -q the warnings, and the result where it is too little."""
    from bascule.model.values import human

    columns = width()
    warnings = [f"warning {text}" for text in found.warnings]
    words = {"fits": "all guests fit", "over-limit": "too tight", "over-memory": "they do not fit"}
    result = f"result  {words[found.verdict]}, {human(found.left)} left"
    if output_style().quiet:
        return "\n".join(warnings + [result] * (found.verdict != "fits"))
    rows: list[tuple[str, ...]] = [("guest", "memory", "overhead", "tables", "total", "")]
    for need in found.needs:
        state = "runs" if need.running else "declared"
        if not need.declared:
            state += ", not in the site file"
        sizes = tuple(human(size) for size in (need.memory, need.overhead, need.page_tables, need.total))
        rows.append((need.name, *sizes, state))
    head, *needs = rows
    alike = [(*row[:-1], f"{row[-1]}, each") if row not in needs else row for row in folded(needs)]
    source = "; ".join(filter(None, (found.memory.source, found.remark)))
    lines = [f"{found.host}  {human(found.memory.total)} ({source})", ""]
    lines += table([head, *alike], indent=2, columns=columns)
    lines += ["", *table(_account(found), indent=2, columns=columns)]
    fits = [human(room.size) for room in found.next_guests() if room.fits]
    first = next((room for room in found.next_guests() if not room.fits), None)
    lines += ["", "next    " + (f"one more guest of {', '.join(fits)} fits" if fits else "no further guest fits")]
    if first is not None:
        lines.append(f"        one of {human(first.size)} would lack {human(-first.left)}")
    uplinks: list[tuple[str, ...]] = []
    for load in found.uplinks:
        where = (
            f"{load.uplink} ({load.bridge})"
            if load.uplink and load.bridge
            else load.uplink or f"{load.bridge} (no NIC)"
        )
        share = f", {load.share:.0f} Mbit/s each when all send ({load.speed} Mbit/s)" if load.share else ""
        line = f"{where}: {count(len(load.guests), 'guest')}: {ranges(load.guests)}{share}"
        uplinks.append((line,))
    for (line,) in _short(uplinks):
        lines.append("uplink  " + wrapped(line, indent=8, columns=columns))
    lines += ["warning " + wrapped(text, indent=8, columns=columns) for text in found.warnings]
    sources = dict.fromkeys(need.source for need in found.needs)
    lines += ["", *("overhead: " + wrapped(source, indent=10, columns=columns) for source in sources)]
    lines += ["left out: " + wrapped(text, indent=10, columns=columns) for text in found.left_out]
    ksm = "what KSM merges and swap holds, which guests may want back at any time"
    lines.append("left out: " + wrapped(ksm, indent=10, columns=columns))
    return "\n".join([*lines, result])


def _short(uplinks: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Those with one guest each in one line."""
    if output_style().verbose or any("…" in text for (text,) in uplinks):
        return uplinks
    found = folded_by_place(uplinks, most=None)
    return [(text.replace(" guest:", " guest each:") if len(places) > 1 else text,) for (text,), places in found]


def _account(found: Capacity) -> list[tuple[str, ...]]:
    from bascule.model.values import human

    rows: list[tuple[str, ...]] = [("memory", human(found.memory.total), "")]
    rows.append(("host's reserve", human(-found.reserve), "1 GiB and a twentieth of the rest"))
    if found.reserved_hugepages:
        rows.append(("huge pages", human(-found.reserved_hugepages), "set aside, used or not"))
    if found.cap:
        rows.append(("most for guests", human(found.cap.most), found.cap.words))
    rows.append(("guests", human(-found.used), ""))
    rows.append(("left", human(found.left), ""))
    for node in found.memory.nodes if len(found.memory.nodes) > 1 else ():
        bound = [need for need in found.needs if need.nodes == (node.number,)]
        names = f"; bound to it: {', '.join(need.name for need in bound)}, {human(sum(n.total for n in bound))}"
        rows.append(
            (f"NUMA node {node.number}", human(node.memory), f"{human(node.free)} free{names if bound else ''}")
        )
    if found.memory.available is not None:
        rows.append(("free now", human(found.memory.available), "the kernel's MemAvailable, for comparison"))
    return rows
