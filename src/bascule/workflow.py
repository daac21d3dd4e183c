"""The page to read first: each verb as a few straight lines over the folders below."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path

from bascule.errors import BasculeError, Problem, UsageFault
from bascule.model.site import Host, Site
from bascule.model.state import HostState
from bascule.model.state_json import from_json, to_json
from bascule.observe.kernel import observe
from bascule.plan.change import Plan
from bascule.plan.make import make_plan
from bascule.plan.target import sysctl_keys
from bascule.site import parse
from bascule.system.files import read_bytes
from bascule.system.netns import Namespace


def load(site_file: str) -> Site:
    """Read and check the site file."""
    return parse(read_bytes(site_file), site_file)


def choose_host(site: Site, name: str | None) -> Host:
    """The host that is meant: by name, by being the only one, or by being the one that we are on."""
    if name is not None:
        if name not in site.hosts:
            known = ", ".join(site.hosts) or "none"
            raise UsageFault(
                Problem(code="HOST", message=f"the site file has no host '{name}'", hint=f"it has: {known}")
            )
        return site.hosts[name]
    here = platform.node().partition(".")[0]
    if len(site.hosts) != 1 and here not in site.hosts:
        known = ", ".join(site.hosts) or "none"
        hint = f"say which with --host: {known}"
        raise UsageFault(Problem(code="HOST", message=f"the site file has {len(site.hosts)} hosts", hint=hint))
    return site.hosts[here] if here in site.hosts else next(iter(site.hosts.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with what it was made from and what it leads to."""

    site: Site
    host: Host
    observed: HostState
    wanted: HostState
    plan: Plan


def plan(
    site_file: str, *, host: str | None = None, observed_file: str | None = None, save_to: str | None = None
) -> Planned:
    """What would change on this host, or on the one whose state was saved; ``save_to`` keeps what was observed."""
    site = load(site_file)
    chosen = choose_host(site, host)
    observed = _saved(observed_file) if observed_file else look(site, chosen)
    if save_to:
        Path(save_to).write_text(json.dumps(to_json(observed), indent=1) + "\n")
    found, wanted = make_plan(site, chosen, observed)
    return Planned(site=site, host=chosen, observed=observed, wanted=wanted, plan=found)


def look(site: Site, host: Host, namespace: Namespace | None = None) -> HostState:
    """The state of a host, with the kernel parameters that its plan looks at."""
    taps = tuple(nic.tap for nic in site.guest_nics(host.name))
    return observe(sysctls=sysctl_keys(host, taps), namespace=namespace)


def _saved(path: str) -> HostState:
    try:
        return from_json(json.loads(read_bytes(path)))
    except ValueError as error:
        raise BasculeError.of("STATE-FILE", f"'{path}' is no saved state: {error}") from error
