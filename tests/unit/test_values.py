from __future__ import annotations

import pytest

from bascule.model.values import derive_mac, derive_tap, parse_ifname, parse_mac, parse_vid, tap_mac


def test_mac_is_normalised() -> None:
    assert parse_mac("52-54-00-28-23-AF") == "52:54:00:28:23:af"
    assert parse_mac("5254.0028.23AF") == "52:54:00:28:23:af"


@pytest.mark.parametrize("text", ["ff:ff:ff:ff:ff:ff", "01:80:c2:00:00:00", "00:00:00:00:00:00", "52:54:00", "x"])
def test_what_is_no_mac_of_a_nic(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_mac(text)


@pytest.mark.parametrize("text", ["a" * 16, "a/b", "a b", "a:b", "", ".", "..", "ü" * 8])
def test_what_the_kernel_takes_for_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="name|bytes"):
        parse_ifname(text)


@pytest.mark.parametrize("text", ["0", "4095", "-1", "x", "70000", "²"])
def test_what_is_no_vlan(text: str) -> None:
    with pytest.raises(ValueError, match="VLAN"):
        parse_vid(text)


def test_derived_values_are_stable_and_short() -> None:
    assert derive_mac("production", "guest_01", 0) == derive_mac("production", "guest_01", 0)
    assert derive_mac("production", "guest_01", 0) != derive_mac("production", "guest_01", 1)
    assert derive_tap("guest_01", 0) == "guest_01.0"
    long = [derive_tap("a-guest-with-a-long-name-" + tail, 0) for tail in "ab"]
    assert all(len(name) <= 15 for name in long)
    assert long[0] != long[1]
    assert tap_mac(parse_mac("52:54:00:28:23:af")) == "fe:54:00:28:23:af"
