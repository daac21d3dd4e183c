"""``bascule guest``: virtual servers through the driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from bascule.cli.common import WholeHelp, here_option, host_option, json_option, show
from bascule.cli.guest_power import POWER, chosen_guests, report, runtime_options
from bascule.cli.show.folding import ranges

if TYPE_CHECKING:
    from bascule.model.site import Attachment

F = TypeVar("F", bound=Callable[..., Any])


def plug_options(function: F) -> F:
    """What the NIC is plugged into."""
    function = click.option("--direct", metavar="NIC", help="Share this NIC of the host (macvtap).")(function)
    function = click.option("--network", metavar="NETWORK", help="Plug it into this virtual network.")(function)
    return click.option("--bridge", metavar="BRIDGE", help="Plug it into this bridge.")(function)


@click.group(cls=WholeHelp, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Define virtual servers, plug them, move their cables while they run, and say who is who.

    NIC is a number, a MAC or a tap; it can be left out where the guest has one NIC.
    """
    if ctx.invoked_subcommand is None:
        show(ctx.get_help())


@command.command("list")
@click.argument("site_file", metavar="[SITE]", required=False, type=click.Path(dir_okay=True))
@click.option(
    "--listen", metavar="SECONDS", type=click.FloatRange(0.1, 3600), help="Also listen on the bridges for this long."
)
@runtime_options
@json_option
def list_(
    *, site_file: str | None, listen: float | None, driver: str | None, connect: str | None, as_json: bool
) -> int:
    """Guest, NIC, MAC, tap, bridge, network, PCI address and IP, each IP with its source and age. Reads only.

    The sources: the guest's own agent, a lease of a virtual network, a DHCP answer snooped or an address heard while
    it listens (--listen), the host's ARP and ND cache, the site file. "on the wire" is the bridge's word for a MAC
    that it heard on the guest's own tap. Exit status: 1 when a MAC is not one NIC's alone.

    Example: bascule guest list site.yaml --listen 10
    """
    from bascule import workflow
    from bascule.cli.entry import emit
    from bascule.cli.show.guests import as_document, as_text

    found = workflow.guests(site_file, driver=driver, uri=connect, listen_s=listen)
    if as_json:
        emit("guest-list", as_document(found))
    else:
        show(as_text(found))
    return 1 if found.problems else 0


@command.command()
@click.argument("site_file", metavar="SITE", type=click.Path(dir_okay=True))
@click.argument("names", metavar="[GUEST]...", nargs=-1)
@host_option
@here_option
@click.option("--start", "then_start", is_flag=True, help="Start them, too.")
@click.option("--nic-model", default="virtio", show_default=True, help="e1000e or rtl8139 for systems without virtio.")
@runtime_options
@json_option
def define(
    *,
    site_file: str,
    names: tuple[str, ...],
    host: str | None,
    here: bool,
    then_start: bool,
    nic_model: str,
    driver: str | None,
    connect: str | None,
    as_json: bool,
) -> int:
    """Write the guests of the site file into libvirt (all, or those named), stable taps and MACs included.

    An existing definition is brought to the file's memory, processors and NICs; all else in it stays.
    Where libvirt is this machine's own, the machine must be the host of the file, or --here insists.

    Example: bascule guest define site.yaml web --start
    """
    from bascule.guests.define import define_guests
    from bascule.workflow import load_for

    read, chosen = load_for(site_file, host)
    done, notes = define_guests(
        read, chosen, names, here=here, driver=driver, uri=connect, nic_model=nic_model, start=then_start
    )
    report(
        "guest-define",
        f"{'defined and started' if then_start else 'defined'}: {ranges(done)}",
        notes,
        as_json=as_json,
    )
    return 0


for power in POWER:
    command.add_command(power)


@command.command()
@click.argument("name", metavar="GUEST")
@click.argument("nic", metavar="[NIC]", required=False)
@plug_options
@runtime_options
@json_option
def replug(
    *,
    name: str,
    nic: str | None,
    bridge: str | None,
    network: str | None,
    direct: str | None,
    driver: str | None,
    connect: str | None,
    as_json: bool,
) -> int:
    """Move a guest's cable while it runs: link down, move, link up, so that the guest renews its lease.

    What cannot be moved live takes effect at the guest's next start, and that is said. If anything fails, the
    guest is put back as it was.

    Example: bascule guest replug guest_01 --bridge br4
    """
    to = _source(bridge, network, direct)
    cable = chosen_guests((name,), driver, connect).nic(nic)
    notes, live = cable.replug(to)
    words = f"{cable.words}: {cable.nic.where} -> {to}{', live' if live else ' at its next start'}"
    report("guest-replug", words, notes, as_json=as_json)
    return 0


@command.command()
@click.argument("name", metavar="GUEST")
@click.argument("nic", metavar="[NIC]", required=False)
@runtime_options
@json_option
def unplug(*, name: str, nic: str | None, driver: str | None, connect: str | None, as_json: bool) -> int:
    """Pull the cable: the guest sees its link go down, the NIC stays. `replug` puts it in again.

    Example: bascule guest unplug web
    """
    cable = chosen_guests((name,), driver, connect).nic(nic)
    cable.unplug()
    report("guest-unplug", f"{cable.words}: unplugged from {cable.nic.where}", (), as_json=as_json)
    return 0


@command.command()
@click.argument("name", metavar="GUEST")
@plug_options
@click.option("--mac", metavar="MAC", help="Derived from the guest's name and the NIC's number if not given.")
@click.option("--tap", metavar="NAME", help="The host's end; at most 15 bytes.")
@click.option("--model", default="virtio", show_default=True, help="e1000e or rtl8139 for systems without virtio.")
@runtime_options
@json_option
def attach(
    *,
    name: str,
    bridge: str | None,
    network: str | None,
    direct: str | None,
    mac: str | None,
    tap: str | None,
    model: str,
    driver: str | None,
    connect: str | None,
    as_json: bool,
) -> int:
    """Give a guest one more NIC, also while it runs, and for every start from now on.

    Example: bascule guest attach web --bridge br1
    """
    from bascule.model.values import parse_ifname, parse_mac

    to = _source(bridge, network, direct)
    try:
        given = parse_mac(mac) if mac else None
        end = parse_ifname(tap) if tap else None
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from wrong
    made = chosen_guests((name,), driver, connect).attach(to, mac=given, tap=end, model=model)
    report("guest-attach", f"{name}, NIC {made.index} ({made.mac}): on {to}, tap {made.tap}", (), as_json=as_json)
    return 0


@command.command()
@click.argument("name", metavar="GUEST")
@click.argument("nic", metavar="[NIC]", required=False)
@runtime_options
@json_option
def detach(*, name: str, nic: str | None, driver: str | None, connect: str | None, as_json: bool) -> int:
    """Remove a NIC from a guest, now and for every start.

    Example: bascule guest detach web 1
    """
    cable = chosen_guests((name,), driver, connect).nic(nic)
    cable.detach()
    report("guest-detach", f"{cable.words}: taken out", (), as_json=as_json)
    return 0


def _source(bridge: str | None, network: str | None, direct: str | None) -> Attachment:
    from bascule.model.site import Attachment, PlugKind

    given = {PlugKind.BRIDGE: bridge, PlugKind.NETWORK: network, PlugKind.DIRECT: direct}
    chosen = [(kind, into) for kind, into in given.items() if into]
    if len(chosen) != 1:
        raise click.UsageError("say where to, with exactly one of --bridge, --network and --direct")
    return Attachment(*chosen[0])
