"""br_netfilter with a FORWARD chain that drops: Docker's classic, which cuts bridged guests off without a word."""

from __future__ import annotations

from collections.abc import Iterator

from bascule.verify.doctor.finding import Facts, Finding, Severity

CALLS = {"ip": "net/bridge/bridge-nf-call-iptables", "ip6": "net/bridge/bridge-nf-call-ip6tables"}


def look(facts: Facts) -> Iterator[Finding]:
    """Bridged frames that have to pass a chain whose policy is drop, in any table: one drop is final."""
    called = {family: key for family, key in CALLS.items() if facts.sysctls.get(key) == "1"}
    if not called or not facts.bridges:
        return
    dropping = [
        chain
        for chain in facts.chains or ()
        if chain.hook == "forward" and chain.policy == "drop" and (chain.family in called or chain.family == "inet")
    ]
    evidence = tuple(f"{key.replace('/', '.')} = 1" for key in called.values())
    if facts.chains is None:
        text = (
            "bridged frames pass the host's firewall; its rules could not be read, so whether they get through is open"
        )
        yield Finding(
            id="bridge-filter",
            severity=Severity.NOTE,
            subject="br_netfilter",
            text=text,
            evidence=evidence,
            fix=_off(called),
        )
    elif dropping:
        docker = any(name.startswith("DOCKER") for name in facts.chain_names)
        scoped = [f"iptables -I DOCKER-USER -i {name} -o {name} -j ACCEPT" for name in facts.bridges] if docker else []
        yield Finding(
            id="bridge-filter",
            severity=Severity.PROBLEM,
            subject="br_netfilter",
            text="frames between a bridge's ports are dropped"
            + (" by Docker's rules" if docker else "")
            + ": guests cannot be reached from the wire",
            evidence=(*evidence, *map(str, dropping)),
            fix="; ".join(scoped) or _off(called),
        )
    else:
        text = (
            "bridged frames pass the host's firewall, which lets them through now; Docker's installation changes that"
        )
        yield Finding(
            id="bridge-filter",
            severity=Severity.NOTE,
            subject="br_netfilter",
            text=text,
            evidence=evidence,
            fix=_off(called),
        )


def _off(called: dict[str, str]) -> str:
    words = " ".join(f"{key.replace('/', '.')}=0" for key in called.values())
    # sysctl.conf is read before the module is loaded: a line there alone is lost at the next boot
    return (
        f"sysctl -w {words}, and for every boot a udev rule: "
        'ACTION=="add", SUBSYSTEM=="module", KERNEL=="br_netfilter", '
        'RUN+="/lib/systemd/systemd-sysctl --prefix=/net/bridge"'
    )
