"""Who is let in: addresses, names, origins, tokens."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from bascule.errors import BasculeError, UsageFault
from bascule.system.net.counters import Count
from bascule.system.net.listen import listen
from bascule.web.access import AccessControl
from bascule.web.address import Listen, host_of, parse_listen
from bascule.web.server import open_listener
from bascule.web.view import rates

LOCAL = AccessControl(names=parse_listen("127.0.0.1:8474").names())
SELF = {"host": "localhost:9000", "sec-fetch-site": "same-origin", "origin": "http://localhost:9000"}


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("127.0.0.1:8474", "127.0.0.1", 8474),
        ("[::1]:80", "::1", 80),
        ("localhost:0", "127.0.0.1", 0),
        ("9000", "127.0.0.1", 9000),
        ("0.0.0.0:1", "0.0.0.0", 1),
    ],
)
def test_where_to_listen(text: str, address: str, port: int) -> None:
    assert parse_listen(text) == Listen(ip_address(address), port)


@pytest.mark.parametrize(
    "text", ["", "x", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "::1:80", "example.org:80", ":80", "1:²"]
)
def test_what_is_no_place_to_listen(text: str) -> None:
    with pytest.raises(UsageFault, match="ADDRESS:PORT"):
        parse_listen(text)


def test_only_loopback_is_loopback() -> None:
    assert [parse_listen(f"{a}:1").is_loopback for a in ("127.0.0.9", "[::1]", "0.0.0.0", "[::]", "192.168.1.10")] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("LocalHost:8474", "localhost"),
        ("localhost.", "localhost"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("", ""),
        ("[::1", ""),
        ("[::1]x", ""),
        ("a:b", ""),
        ("localhost:80:80", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, name: str) -> None:
    assert host_of(header) == name


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {"host": "localhost:8474"}, None),
        ("GET", "/", {"host": "127.0.0.1:1"}, None),  # through ssh -L the port is another
        ("GET", "/events", SELF, None),
        ("POST", "/ask", {**SELF, "x-bascule": "ask"}, None),
        ("GET", "/", {}, 421),
        ("GET", "/", {"host": "rebound.example:8474"}, 421),
        ("GET", "/", {"host": "192.168.1.5:8474"}, 421),
        ("GET", "/", {"host": "localhost.evil.example"}, 421),
        ("GET", "/events", {**SELF, "origin": "http://evil.example"}, 403),
        ("GET", "/events", {**SELF, "origin": "null"}, 403),
        ("GET", "/events", {**SELF, "origin": "http://localhost:9001"}, 403),  # another program's page
        ("GET", "/events", {"host": "localhost", "sec-fetch-site": "cross-site"}, 403),
        ("GET", "/events", {"host": "localhost", "sec-fetch-site": "same-site"}, 403),
        ("POST", "/ask", SELF, 403),  # a form can send no header of its own
        ("POST", "/ask", {"host": "localhost", "origin": "http://evil.example", "x-bascule": "1"}, 403),
        ("PUT", "/", {"host": "localhost"}, 403),
    ],
)
def test_who_is_answered(method: str, path: str, headers: dict[str, str], status: int | None) -> None:
    refusal = LOCAL.refusal(method, path, headers)
    assert (refusal.status if refusal else None) == status


def test_a_link_elsewhere_may_lead_to_the_page_but_no_frame() -> None:
    visit = {"host": "localhost", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert LOCAL.refusal("GET", "/", {**visit, "sec-fetch-dest": "document"}) is None
    assert LOCAL.refusal("GET", "/", {**visit, "sec-fetch-dest": "iframe"}) is not None


def test_on_every_address_any_number_is_ours_and_no_name() -> None:
    access = AccessControl(names=parse_listen("0.0.0.0:1").names("vm.example.org"), any_ip=True, token="t")
    for host, ok in (("10.9.8.7:1", True), ("[fd00::1]:1", True), ("VM.example.org", True), ("evil.example", False)):
        assert (access.refusal("GET", "/", {"host": host}) is None) == ok


def test_the_token() -> None:
    access = AccessControl(names=frozenset(), token="right", cookie="bascule-1")
    assert access.knows({"cookie": "other=1; bascule-1=right"})
    assert access.knows({"authorization": "Bearer right"})
    for headers in (
        {},
        {"cookie": "bascule-1=wrong"},
        {"cookie": "bascule-2=right"},
        {"cookie": "bascule-1="},
        {"cookie": "\x00;=;"},
        {"authorization": "Basic right"},
        {"authorization": "Bearer rıght"},
        {"authorization": ""},
    ):
        assert not access.knows(dict(headers))
    assert not AccessControl(names=frozenset()).is_token("")


def test_a_port_that_is_taken_and_an_address_that_is_not_here() -> None:
    first = listen(ip_address("127.0.0.1"), 0)
    with first, pytest.raises(BasculeError, match="something else listens on 127.0.0.1") as taken:
        listen(ip_address("127.0.0.1"), first.getsockname()[1])
    assert "ss -ltnp" in (taken.value.problems[0].hint or "")
    with pytest.raises(BasculeError, match="does not have the address"):
        listen(ip_address("192.0.2.77"), 0)


def test_when_a_token_is_made_up() -> None:
    local = parse_listen("127.0.0.1:0")
    cases = [
        (open_listener(local), False),
        (open_listener(local, is_secret=True), True),
        (open_listener(local, names=("vm.example.org",)), True),  # a proxy lets others in
        (open_listener(parse_listen("0.0.0.0:0"), host_name="vm"), True),
    ]
    for listener, is_wanted in cases:
        with listener.sock:
            assert (listener.token is not None) == (listener.access.token is not None) == is_wanted
            assert ("token=" in listener.url) == is_wanted
    tokens = {listener.token for listener, is_wanted in cases if is_wanted}
    assert len(tokens) == 3
    assert all(token and len(token) == 32 for token in tokens)


def test_rates() -> None:
    before = {"a": Count(0, 0, 1000, 10), "b": Count(5, 5, 5, 5), "c": Count(100, 1, 0, 0)}
    after = {"a": Count(0, 0, 3500, 20), "b": Count(5, 5, 5, 5), "c": Count(10, 1, 0, 0), "d": Count(1, 1, 1, 1)}
    assert rates(before, after, 2.0) == {"a": [0.0, 10000.0, 0.0, 5.0]}  # bit/s and frames/s; c was made anew
    assert rates(before, after, 0.0) == {}
