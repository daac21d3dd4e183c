"""What one tells firewalld so that it lets frames through, in its own words (firewall-cmd(1)). Pure."""

from __future__ import annotations

RELOAD = "firewall-cmd --reload"  # what is permanent holds from then on
NO_REVERSE_PATH = (
    "sed -i 's/^IPv6_rpfilter=.*/IPv6_rpfilter=no/' /etc/firewalld/firewalld.conf",
    "firewall-cmd --complete-reload",
)


def bridged(zone: str, bridge: str) -> tuple[str, ...]:
    """Frames between the ports of a bridge, by the forwarding within its zone; to be followed by RELOAD."""
    said = f"firewall-cmd --permanent --zone={zone}"
    return f"{said} --change-interface={bridge}", f"{said} --add-forward"


def policy(name: str, ingress: str, egress: str, rule: str) -> tuple[str, ...]:
    """A policy of its own with one rich rule; to be followed by RELOAD."""
    said = f"firewall-cmd --permanent --policy={name}"
    zones = f"{said} --add-ingress-zone={ingress}", f"{said} --add-egress-zone={egress}"
    return f"firewall-cmd --permanent --new-policy={name}", *zones, f"{said} --add-rich-rule='{rule}'"
