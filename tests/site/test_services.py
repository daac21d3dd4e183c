"""Services by their names, and what is said of those that cannot be asked for."""

from __future__ import annotations

import pytest

from bascule.model.values import SERVICE_NAMES, Service
from bascule.site.parsers import Invalid, read_asked_service, read_service


def test_every_name_stands_for_a_service() -> None:
    assert [name for name, text in SERVICE_NAMES.items() if str(read_service(text)) != text] == []
    assert read_asked_service("SSH") == Service("tcp", 22, 22)
    assert read_asked_service("ping") == Service("icmp")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("https", "write tcp/443"),  # a site file has one word for it
        ("tcp/ssh", "write tcp/22"),
        ("udp/domain", "write udp/53"),
        ("tcp", "name its port, like tcp/80, or all of them: tcp/1-65535"),
        ("tcp/ping", "write tcp/80, tcp/8000-8100, udp/53, icmp or arp"),
        ("sctp/80", "sctp cannot be asked for: tcp/PORT, udp/PORT, icmp and arp can"),
        ("gre", "gre cannot be asked for: tcp/PORT, udp/PORT, icmp and arp can"),
    ],
)
def test_the_hint_says_what_to_write(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as found:
        read_service(text)
    assert found.value.hint == hint
