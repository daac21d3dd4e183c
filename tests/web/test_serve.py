"""The live picture over a real socket, of a real host in a namespace."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bascule.model.state_json import to_json
from bascule.providers.observe import observe
from bascule.system.net.netns import Namespace
from bascule.system.run import run
from tests.lab import Lab, open_lab
from tests.web.client import Served

SITE = """\
site: small
networks:
  internal: {subnet: 192.168.1.0/24}
hosts:
  vmserver:
    nics:
      eth2: {network: internal, address: 192.168.1.10/24}
      eth4: {network: internal}
    bridges:
      br3: {uplink: eth4}
guests:
  guest_02: {host: vmserver, nics: [{bridge: br3, address: 192.168.1.21/24}]}
machines:
  desk: {nics: [{network: internal, address: 192.168.1.50/24}]}
expect:
  - {from: vmserver, to: desk, verdict: reach}
  - {from: desk, to: guest_02, verdict: reach}
"""


def furnish(lab: Lab) -> Namespace:
    """eth2 leads to desk, eth4 is the uplink of br3; what is plugged into the other end of eth4 is eth4-wire."""
    host, desk = lab.host("eth4"), lab.namespace("desk")
    lab.ip(host, "link add eth2 type veth peer name eth2-wire")
    lab.ip(host, f"link set eth2-wire netns /proc/{os.getpid()}/fd/{desk.fd}")
    lab.ip(desk, "addr add 192.168.1.50/24 dev eth2-wire")
    lab.ip(desk, "link set eth2-wire up")
    lab.ip(host, "addr add 192.168.1.10/24 dev eth2")
    lab.ip(host, "link add br3 type bridge forward_delay 0")
    lab.ip(host, "link set eth4 master br3")
    for name in ("eth2", "eth4", "br3"):
        lab.ip(host, f"link set {name} up")
    return host


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with open_lab() as opened:
        yield opened


@pytest.fixture(scope="module")
def host(lab: Lab) -> Namespace:
    return furnish(lab)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site") / "site.yaml"
    path.write_text(SITE)
    return path


@pytest.fixture(scope="module")
def served(host: Namespace, site: Path) -> Iterator[Served]:
    running = Served(host, str(site))
    yield running
    assert running.end()[0] == 0


def port(state: Any, name: str) -> Any:
    return next(port for port in state["ports"] if port["name"] == name)


def in_picture(state: Any, name: str) -> str:
    found = re.search(rf'aria-label="([^"]*)" data-id="vmserver/link/{name}"', state["svg"])
    assert found, f"{name} is not in the picture"
    return found[1]


def send_frames(room: Namespace, link: str, mac: str, number: int) -> None:
    frame = b"\xff" * 6 + bytes.fromhex(mac.replace(":", "")) + b"\x88\xb5" + bytes(486)
    with room.entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sock:
        sock.bind((link, 0))
        for _ in range(number):
            sock.send(frame)


def test_the_page_is_ours_alone(served: Served) -> None:
    for path in ("/", "/page.js", "/page.css", "/icon.svg"):
        status, headers, text = served.ask(path)
        assert status == 200
        assert "script-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert set(re.findall(r"https?://[^\"' ]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert not re.search(r"url\(|@import|innerHTML|eval\(", text)
    page = served.ask("/")[2]
    assert not re.search(r"<script(?! src=\"/page.js\")|<style|style=|\son\w+=", page)


def test_who_is_refused_over_the_wire(served: Served) -> None:
    assert served.ask("/", Host="rebound.example")[0] == 421
    assert served.ask("/events", Origin="http://evil.example")[0] == 403
    assert served.ask("/ask", "POST")[0] == 403
    assert served.ask("/nothing")[0] == 404
    assert served.ask("/", Host="rebound.example")[1]["x-content-type-options"] == "nosniff"


def test_a_link_goes_down_and_two_browsers_see_it(served: Served, lab: Lab, host: Namespace) -> None:
    with served.stream() as first, served.stream() as second:
        for stream in (first, second):
            state = stream.until("state", lambda s: port(s, "eth4")["state"] == "up")
            assert state["site"] == "small"
            assert "down" not in in_picture(state, "eth4")
            assert port(state, "eth4")["bridge"] == "br3"
        lab.ip(host, "link set eth4 down")
        for stream in (first, second):
            state = stream.until("state", lambda s: port(s, "eth4")["state"] == "down")
            assert "down" in in_picture(state, "eth4")
            assert any(change["subject"] == "eth4" and "bring up" in change["action"] for change in state["changes"])
        lab.ip(host, "link set eth4 up")
        for stream in (first, second):
            stream.until("state", lambda s: port(s, "eth4")["state"] == "up")


def test_traffic_and_learned_macs(served: Served, host: Namespace) -> None:
    with served.stream() as stream:
        stream.until("traffic", lambda _: True)
        sender = threading.Thread(target=send_frames, args=(host, "eth4-wire", "02:00:00:00:aa:01", 2000))
        sender.start()
        rates = stream.until("traffic", lambda t: t["rates"].get("eth4", [0, 0, 0, 0])[2] > 50, within_s=30)["rates"][
            "eth4"
        ]
        assert 400 * 8 < rates[0] / rates[2] < 600 * 8  # bits per frame: the frames have 500 bytes
        macs = stream.latest.get("learned", {"macs": {}})["macs"]
        if "02:00:00:00:aa:01" not in macs.get("eth4", ()):
            macs = stream.until("learned", lambda t: "02:00:00:00:aa:01" in t["macs"].get("eth4", ()))["macs"]
        assert "eth4-wire" not in macs
        sender.join()
        stream.until("traffic", lambda t: "eth4" not in t["rates"] or t["rates"]["eth4"][2] < 5)


def test_what_guards_stop_is_told(served: Served, host: Namespace) -> None:
    with served.stream() as stream:
        stream.until("state", lambda _: True)
        table = "table bridge bascule_guards"
        text = (
            f'{table} {{\n chain bascule {{\n counter comment "bascule:small"\n }}\n'
            ' set strict {\n type ifname\n elements = { "guest_02.0" }\n }\n'
            " set stopped_arp {\n type ifname\n size 65535\n flags dynamic\n counter\n"
            ' elements = { "guest_02.0" counter packets 12 bytes 720 }\n }\n}\n'
        )
        run(("nft", "-f", "-"), stdin=text, namespace=host)
        run(("ip", "link", "set", "br3", "alias", "look"), namespace=host)  # the monitor is told
        told = stream.until("stopped", lambda one: bool(one["stopped"]))
        assert told["stopped"] == ["guest_02.0: 12 frames with ARP for another's address or MAC"]
        run(("nft", "delete", "table", *table.split()[1:]), namespace=host)


def test_who_comes_back_is_told_again(served: Served) -> None:
    for _ in range(3):
        with served.stream() as stream:
            assert stream.until("state", lambda _: True)["host"] == "vmserver"


def test_expectations_on_demand_change_nothing(served: Served, host: Namespace) -> None:
    before = to_json(observe(namespace=host))
    with served.stream() as stream:
        state = stream.until("state", lambda _: True)
        assert [ask.get("observed") for ask in state["asks"]] == [None, None]
        status, _, text = served.ask("/ask", "POST", X_Bascule="ask", Origin=f"http://127.0.0.1:{served.port}")
        assert (status, text) == (202, '{"started":true}')
        state = stream.until("state", lambda s: s["asking"]["at"] and not s["asking"]["running"], within_s=30)
    assert state["asking"]["problem"] == ""
    reach, unasked = state["asks"]
    assert (reach["observed"], reach["ok"]) == ("reach", True)
    assert reach["hops"][-1] == "desk"
    assert f'class="way-of {reach["way"]}"' in state["svg"]
    assert unasked["ok"] is None
    assert "unproven, because guest_02 is off" in unasked["sentence"]
    assert state["asking"]["broken"]  # the guest does not run
    assert to_json(observe(namespace=host)) == before


def test_the_site_file_may_change(served: Served, site: Path) -> None:
    with served.stream() as stream:
        first = stream.until("state", lambda _: True)
        site.write_text(SITE.replace("site: small", "site: larger"))
        state = stream.until("state", lambda s: s["site"] == "larger")
        assert state["sha256"] != first["sha256"]
        site.write_text("site: [")
        state = stream.until("state", lambda s: s["problems"] and "empty" not in s["problems"][0])
        assert state["site"] == "larger"
        assert "last good version" in state["problems"][0]
        assert f"({site}:2:1)" in state["problems"][0]
        site.write_text(SITE)
        stream.until("state", lambda s: s["site"] == "small" and not s["problems"])


def test_without_a_site_file_it_shows_what_is_there(host: Namespace) -> None:
    with Served(host) as served, served.stream() as stream:
        state = stream.until("state", lambda _: True)
        assert {"eth2", "eth4", "br3"} <= {port["name"] for port in state["ports"]}
        assert state["sha256"] == ""
        assert state["asks"] == state["changes"] == []
        assert served.ask("/ask", "POST", X_Bascule="ask")[0] == 404


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_is_clean_and_waits_for_no_stream(host: Namespace, number: signal.Signals) -> None:
    with Served(host) as served, served.stream() as first, served.stream():
        first.until("state", lambda _: True)
        status, errors = served.end(number)
        assert status == 0
        assert errors.endswith("ended\n")
        assert "Traceback" not in errors
        assert [kind for kind, _ in first.events()][-1] == "end"


def test_beyond_loopback_a_token_is_wanted(host: Namespace) -> None:
    with Served(host, listen="192.168.1.10:0") as served:
        token = served.told["token"]
        assert len(token) >= 32
        assert served.told["url"] == f"http://192.168.1.10:{served.port}/?token={token}"
        own = f"192.168.1.10:{served.port}"
        assert served.ask("/", Host=own)[0] == 401
        assert "needs a token" in served.ask("/", Host=own)[2]
        for path in ("/events", "/page.js", "/nothing"):
            assert served.ask(path, Host=own)[0] == 401
        assert served.ask("/ask", "POST", Host=own, X_Bascule="ask")[0] == 401
        assert served.ask("/?token=wrong", Host=own)[0] == 401
        status, headers, _ = served.ask(f"/?token={token}", Host=own)
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite" in cookie
        shown = cookie.partition(";")[0]
        assert served.ask("/", Host=own, Cookie=shown)[0] == 200
        assert served.ask("/", Host=own, Authorization=f"Bearer {token}")[0] == 200
        assert served.ask(f"/?token={token}", Host=own, Cookie=shown)[0] == 303  # out of the address bar
        with served.stream(Host=own, Cookie=shown) as stream:
            assert stream.until("state", lambda _: True)["sha256"] == ""
        status, errors = served.end()
        assert status == 0
        assert "therefore it needs the token" in errors
        assert token not in errors


def test_a_port_that_is_taken(served: Served, lab: Lab, host: Namespace) -> None:
    done = lab.bascule(host, "serve", "--listen", f"127.0.0.1:{served.port}")
    assert done.returncode == 1
    assert f"something else listens on 127.0.0.1:{served.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_it_says_what_to_install() -> None:
    words = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['bascule', 'serve']; import bascule.cli as c; c.main()"
    )
    done = subprocess.run((sys.executable, "-c", words), capture_output=True, text=True)
    assert done.returncode == 1
    assert "there is no 'uvicorn' here" in done.stderr
    assert "pip install starlette uvicorn" in done.stderr
