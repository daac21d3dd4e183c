"""The guests of a site file as an inventory: for Ansible, or as CSV for a spreadsheet or a CMDB.

$ python inventory.py site.yaml > inventory.json       # then: ansible -i inventory.json network_internal -m ping
$ python inventory.py site.yaml --format csv > guests.csv
$ python inventory.py site.yaml --live                 # on the host: also the addresses that DHCP gave
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import signal
import sys
from collections.abc import Iterator

from bascule import api
from bascule.model.site import Site

COLUMNS = ("guest", "host", "nic", "mac", "attached_to", "network", "vlan", "addresses", "serves")


def rows(site: Site, found: dict[str, list[str]]) -> Iterator[dict[str, str]]:
    """One row for each NIC; ``found`` are addresses by MAC that were seen on the host."""
    for guest in site.guests.values():
        for nic in guest.nics:
            network = site.network_of(nic)
            declared = [str(address.ip) for address in nic.addresses]
            seen = [address for address in found.get(nic.mac, []) if address not in declared]
            yield {
                "guest": guest.name,
                "host": guest.host,
                "nic": str(nic.index),
                "mac": nic.mac,
                "attached_to": nic.into,
                "network": network.name if network is not None else nic.virtual_network or "",
                "vlan": str(nic.vlan or (network.vlan if network is not None else None) or ""),
                "addresses": " ".join([*declared, *seen]) or ("dhcp" if nic.dhcp else ""),
                "serves": " ".join(map(str, guest.serves)),
            }


def ansible(table: list[dict[str, str]]) -> dict[str, object]:
    """Ansible's own structure: a group for each host and each network, and what is known of each guest."""
    guests: dict[str, dict[str, object]] = {}
    groups: dict[str, set[str]] = {}
    for row in table:
        known = guests.setdefault(row["guest"], {"bascule_host": row["host"], "bascule_nics": []})
        known["bascule_nics"] = [*list(known["bascule_nics"]), row]  # type: ignore[call-overload]  # a list, as above
        address = row["addresses"].partition(" ")[0]
        if address not in {"", "dhcp"}:
            known.setdefault("ansible_host", address)
        for group in (f"host_{row['host']}", f"network_{row['network']}" if row["network"] else ""):
            if group:
                groups.setdefault(re.sub(r"\W", "_", group), set()).add(row["guest"])
    children = {name: {"hosts": dict.fromkeys(sorted(members))} for name, members in sorted(groups.items())}
    return {"all": {"hosts": guests, "children": children}}


def main() -> int:
    """Print the inventory; the exit status is Bascule's own where the file is wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("site_file")
    parser.add_argument("--format", choices=("ansible", "csv"), default="ansible")
    parser.add_argument("--live", action="store_true", help="add the addresses that are seen on this host")
    given = parser.parse_args()
    try:
        site = api.load(given.site_file)
        found: dict[str, list[str]] = {}
        for row in api.guests(site).rows if given.live else ():
            if row.nic is not None and row.nic.mac is not None:
                found.setdefault(row.nic.mac, []).extend(str(one.address) for one in row.addresses)
    except api.BasculeError as error:
        print(*error.problems, sep="\n", file=sys.stderr)
        return error.exit_status
    table = list(rows(site, found))
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that ends early, as head does, ends this quietly
    if given.format == "csv":
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    else:
        json.dump(ansible(table), sys.stdout, indent=2)
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
