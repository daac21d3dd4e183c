"""What was asked for cannot be: wrong words, wrong files, wrong places, each with its code and what to do."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.codes.call import WITHOUT_RIGHTS, assert_error, bascule, instead_of
from tests.lab import Lab

ROOT = Path(__file__).parents[2]
PRODUCTION = str(ROOT / "examples" / "production.yaml")


def test_a_dialect_that_is_none() -> None:
    done = bascule("render", PRODUCTION, "--dialect", "winsock")
    assert_error(done, "DIALECT", "'winsock' is not a dialect", status=64, hint="one of ifcfg, keyfile")


def test_files_of_several_configuration_systems(tmp_path: Path) -> None:
    for path, text in (
        ("etc/systemd/network/10-a.network", "[Match]\nName=eth0\n[Network]\nDHCP=yes\n"),
        ("etc/network/interfaces", "auto eth1\niface eth1 inet dhcp\n"),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(text)
    done = bascule("import", "--root", str(tmp_path))
    assert_error(done, "DIALECT", "are files of several configuration systems: networkd, ifupdown", status=64,
                 hint="name it with --dialect networkd")  # fmt: skip


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("plan", PRODUCTION, "--observed"), "saved state"),
        (("draw", PRODUCTION, "--highlight", "guest_01:desk", "--witness"), "saved rehearsal"),
        (("survey", "lo", "--pcap"), "file"),
    ],
    ids=lambda words: words[0] if isinstance(words, tuple) else "",
)
def test_a_file_beside_the_site_file_is_called_what_it_should_be(
    words: tuple[str, ...], what: str, tmp_path: Path
) -> None:
    (tmp_path / "kept.json").touch()
    (tmp_path / "site.yaml").touch()
    lead = "lo=" if words[0] == "survey" else ""
    done = bascule(*words, f"{lead}{tmp_path}")
    assert_error(done, "FILE", f"is a directory, not a {what}", status=64, hint="name the file")
    assert "site.yaml" not in done.stderr
    done = bascule(*words, f"{lead}{tmp_path}/kep.json")
    assert_error(done, "FILE", f"'{tmp_path}/kep.json' does not exist", status=64, hint="did you mean")


def test_a_file_is_named_as_it_was_typed() -> None:
    done = bascule("check", "https://example.com/site.yaml")
    assert_error(done, "FILE", "'https://example.com/site.yaml' does not exist", status=65)


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"", "the file is empty"), (b"site: x", "line 1 is no JSON"), (b"\x7fELF\xd0\x00", "it is no text")],
)
def test_a_saved_state_that_is_none_says_why_and_how_to_write_one(data: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(data)
    done = bascule("plan", PRODUCTION, "--observed", str(tmp_path / "state"))
    assert_error(done, "STATE-FILE", f"is not a saved state: {why}", status=64, hint="--save-observed FILE")


def test_an_endpoint_that_nobody_has() -> None:
    done = bascule("draw", PRODUCTION, "--highlight", "guest_1:customer")
    assert_error(done, "ENDPOINT", "'guest_1' is not a guest, machine or host with an address", status=64,
                 hint="did you mean 'guest_01'?")  # fmt: skip


def test_a_question_that_the_file_does_not_ask() -> None:
    done = bascule("rehearse", PRODUCTION, "--highlight", "guest_01:guest_02")
    said = "the site file asks nothing from 'guest_01' to 'guest_02'"
    assert_error(done, "HIGHLIGHT", said, status=64, hint="it asks: ")


def test_a_witness_that_no_rehearsal_wrote(tmp_path: Path) -> None:
    wrong = tmp_path / "seen.json"
    wrong.write_text('{"expectations": 7}')
    done = bascule("draw", PRODUCTION, "--highlight", "desk:guest_02", "--witness", str(wrong))
    assert_error(done, "WITNESS", "is not what 'bascule rehearse --json' prints", status=64,
                 hint="bascule rehearse SITE --json")  # fmt: skip
    answer = {"from": "desk", "to": "guest_02", "service": "tcp/8042", "ok": False, "observed": "unproven",
              "witness": {"hops": [], "sentence": "nobody asked"}}  # fmt: skip
    wrong.write_text(json.dumps({"expectations": [answer], "sha256": ""}))
    done = bascule("draw", PRODUCTION, "--highlight", "desk:guest_02", "--witness", str(wrong))
    assert_error(done, "WITNESS", "the rehearsal saw no frame from 'desk' to 'guest_02': nobody asked", status=64)


def test_a_report_that_cannot_be_written(tmp_path: Path) -> None:
    done = bascule("rehearse", PRODUCTION, "--report", str(tmp_path))
    assert_error(done, "REPORT", "is a directory, not a file", status=64)
    done = bascule("rehearse", PRODUCTION, "--report", str(tmp_path / "no" / "report.html"))
    assert_error(done, "REPORT", "to write the report into", status=64, hint="make it first")


def test_the_memory_of_another_host_is_unknown(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("site: t\nhosts: {elsewhere: {nics: {eth0: {}, eth1: {}}}}\n")
    done = bascule("capacity", str(site))
    assert_error(done, "MEMORY-UNKNOWN", "host 'elsewhere' has no 'memory:' in the site file, and this is not",
                 status=64, hint="memory: 64GiB")  # fmt: skip


def test_a_guest_that_the_file_does_not_have() -> None:
    done = bascule("guest", "define", PRODUCTION, "nobody")
    assert_error(done, "GUEST-UNKNOWN", "host 'vmserver' has no guest 'nobody' in the site file", status=64,
                 hint="it has: guest_01")  # fmt: skip


def test_captures_that_cannot_be_judged(tmp_path: Path) -> None:
    capture = tmp_path / "x.pcap"
    capture.write_text("this is no capture, it is a sentence")
    done = bascule("survey", "--pcap", f"eth4={capture}")
    assert_error(done, "PCAP", f"'{capture}' cannot be judged: ", status=64, hint="tcpdump -i eth4 -w eth4.pcap")
    done = bascule("survey", "--site", PRODUCTION, "--pcap", f"eth9={capture}")
    assert_error(done, "NIC-UNKNOWN", "vmserver has no NIC 'eth9' in the file", status=65, hint="it has: eth2")


def test_serving_without_the_extra(tmp_path: Path) -> None:
    (tmp_path / "starlette.py").write_text("raise ImportError('not here', name='starlette')\n")
    done = bascule("serve", env={"PYTHONPATH": str(tmp_path)})
    assert_error(done, "EXTRA", "'bascule serve' needs starlette and uvicorn, and there is no 'starlette' here",
                 hint="pip install starlette uvicorn")  # fmt: skip


def test_serving_where_nobody_can_listen() -> None:
    done = bascule("serve", "--listen", "192.0.2.7:8474")
    assert_error(done, "LISTEN", "cannot listen on 192.0.2.7:8474: this machine does not have the address",
                 hint="ip -brief address")  # fmt: skip
    done = bascule("serve", "--listen", "127.0.0.1:80", before=WITHOUT_RIGHTS)
    assert_error(done, "LISTEN", "you may not listen on 127.0.0.1:80", status=77, hint="take a higher one")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = bascule("serve", "--listen", f"127.0.0.1:{port}")
    assert_error(done, "PORT-TAKEN", f"something else listens on 127.0.0.1:{port} already", hint="ss -ltnp")


@pytest.mark.kernel
def test_links_to_survey_that_are_not_there(lab: Lab) -> None:
    empty = lab.namespace("empty")
    done = bascule("survey", "--seconds", "0.5", namespace=empty)
    assert_error(done, "NO-NIC", "this host has no NIC to listen on", status=64, hint="bascule survey eth4")
    lab.ip(empty, "link add br0 type bridge")
    done = bascule("survey", "br0", "--seconds", "0.5", namespace=empty)
    assert_error(done, "NO-NIC", "'br0' is a bridge without a NIC under it", status=64)
    done = bascule("survey", "lo", "--seconds", "0.5", namespace=empty)
    assert_error(done, "NO-NIC", "'lo' is no NIC", status=64)
    done = bascule("survey", "br1", "--seconds", "0.5", namespace=empty)
    assert_error(done, "NO-LINK", "this host has no link 'br1'", status=64, hint="did you mean 'br0'?")


@pytest.mark.kernel
def test_a_led_that_cannot_blink(lab: Lab, tmp_path: Path) -> None:
    host = lab.host("eth4")
    done = bascule("blink", "eth4", "--seconds", "1", namespace=host)
    assert_error(done, "BLINK-UNSUPPORTED", "the driver of 'eth4' (veth) cannot blink its LED",
                 hint="'bascule survey eth4' recognises the wire")  # fmt: skip
    broken = instead_of(tmp_path / "bin", "ethtool", "echo 'Cannot identify NIC: Input/output error' >&2; exit 1")
    done = bascule("blink", "eth4", "--seconds", "1", namespace=host, env=broken)
    assert_error(done, "BLINK-FAILED", "ethtool could not blink 'eth4': Cannot identify NIC: Input/output error")


@pytest.mark.kernel
def test_a_tool_that_prints_what_nobody_can_read(lab: Lab, tmp_path: Path) -> None:
    """iproute2 before 5.0 printed JSON that was none."""
    old = instead_of(tmp_path / "bin", "ip", 'case " $* " in *" -j "*) echo "[{broken";; *) exec $REAL "$@";; esac')
    done = bascule("plan", PRODUCTION, namespace=lab.host("eth2"), env=old)
    assert_error(done, "IPROUTE-JSON", "printed JSON that cannot be read", hint="iproute2 5.0 or newer")


def test_what_contradicts_itself_costs_itself_and_a_host_needs_a_name(tmp_path: Path) -> None:
    folder = tmp_path / "etc/systemd/network"
    folder.mkdir(parents=True)
    for nic in ("eth2", "eth3"):
        (folder / f"10-{nic}.network").write_text(f"[Match]\nName={nic}\n\n[Network]\nAddress=10.0.0.5/24\n")
    done = bascule("import", "--root", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "address 10.0.0.5/24: left out, address 10.0.0.5 of NIC 'eth3'" in done.stdout
    assert bascule("import", "--root", str(tmp_path), "--strict").returncode == 1
    done = bascule("import", "--root", str(tmp_path), "--host", "a b")
    assert_error(done, "IMPORT", "what was found makes no site file (1 problem follows)")
    assert "error[NAME]" in done.stderr
