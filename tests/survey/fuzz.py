"""Hostile frames: real ones, damaged in every way that one can think of. Used by the tests and by ``make soak``."""

from __future__ import annotations

import random
import sys
import time
from functools import partial
from ipaddress import ip_address

from bascule.frames.decoders import BY_KEY, DECODERS, dissect
from bascule.frames.envelope import IpHeader, Packet
from tests.survey.samples import SAMPLES, Sample
from tests.work import work

MOST_STEPS = 20_000  # for one frame, as tests/work.py counts them
COUNTED = 400  # frames for each decoder; to count takes ten times as long as to read


def damaged(frame: bytes, chance: random.Random) -> bytes:
    """One to eight wounds: bytes, lengths, cuts, doubled and swapped parts."""
    data = bytearray(frame)
    for _ in range(chance.randint(1, 8)):
        if not data:
            break
        at, wound = chance.randrange(len(data)), chance.randrange(7)
        if wound == 0:
            data[at] = chance.randrange(256)
        elif wound == 1:
            data[at] ^= 1 << chance.randrange(8)
        elif wound == 2:
            data[at : at + 2] = chance.choice((b"\0\0", b"\xff\xff", b"\0\1", b"\x7f\xff"))
        elif wound == 3:
            del data[at:]
        elif wound == 4:
            data[at:at] = data[at : at + chance.randrange(64)]
        elif wound == 5:
            del data[at : at + chance.randrange(16)]
        else:
            data += chance.randbytes(chance.randrange(64))
    return bytes(data)


def body(decoder_name: str, chance: random.Random) -> Packet:
    """A packet of a decoder's own with a body of pure noise."""
    decoder = next(decoder for decoder in DECODERS if decoder.name == decoder_name)
    key = chance.choice(decoder.keys)
    noise = chance.randbytes(chance.randrange(200))
    if key[0] == "icmp6":
        noise = bytes([key[1]]) + noise
    source = chance.choice(("", "10.0.0.1", "fe80::1"))
    header = IpHeader(ip_address(source).packed, b"", 0, 64) if source else None
    return Packet(key, b"\xff" * 6, "00:00:00:00:00:01", (), noise, header)


def run(number: int, seed: int) -> dict[str, int]:
    """So many inputs for each decoder: damaged frames through everything, and noise. How many were read by each."""
    chance = random.Random(seed)
    by_decoder: dict[str, list[Sample]] = {}
    for sample in SAMPLES:
        by_decoder.setdefault(sample.decoder, []).append(sample)
    taken = dict.fromkeys(by_decoder, 0)
    for name, samples in by_decoder.items():
        for turn in range(number):
            if turn % 4:
                data = damaged(chance.choice(samples).frame, chance)
            else:
                packet = body(name, chance)
                data = frame_of(packet)
            if turn % max(1, number // COUNTED) == 0:
                steps = work(partial(dissect, data))
                assert steps < MOST_STEPS, f"{name} took {steps:,} steps for {data.hex()}"
            seen = dissect(data)
            taken[name] += seen.decoder == name and not seen.skip
            assert not (seen.skip and seen.findings)
            assert seen.skip.isprintable()
    return taken


def frame_of(packet: Packet) -> bytes:
    """An Ethernet frame around a packet, so that noise goes the whole way."""
    family, number = packet.key
    head = b"\xff" * 6 + bytes(5) + b"\1"
    if family == "ether":
        return head + number.to_bytes(2, "big") + packet.body
    if family == "llc":
        return head + (len(packet.body) + 3).to_bytes(2, "big") + bytes([number, number, 3]) + packet.body
    if family == "snap":
        return (
            head + (len(packet.body) + 8).to_bytes(2, "big") + b"\xaa\xaa\x03" + number.to_bytes(5, "big") + packet.body
        )
    if family in ("ip6", "icmp6"):
        proto = 58 if family == "icmp6" else number
        return (
            head
            + b"\x86\xdd\x60\0\0\0"
            + len(packet.body).to_bytes(2, "big")
            + bytes([proto, 1])
            + bytes(32)
            + packet.body
        )
    payload = packet.body
    if family == "udp":
        payload = number.to_bytes(2, "big") * 2 + (len(payload) + 8).to_bytes(2, "big") + b"\0\0" + payload
    total = (20 + len(payload)).to_bytes(2, "big")
    proto = 17 if family == "udp" else number
    return (
        head
        + b"\x08\0\x45\0"
        + total
        + bytes(4)
        + bytes([1, proto])
        + bytes(2)
        + bytes([10, 0, 0, 1, 10, 0, 0, 2])
        + payload
    )


if __name__ == "__main__":
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    chosen = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    print(f"{wanted} hostile inputs for each of {len(DECODERS)} decoders, seed {chosen}", flush=True)
    begun = time.perf_counter()
    for decoder, read in run(wanted, chosen).items():
        print(f"  {decoder:8} {read:7} were read, {wanted - read:7} refused by name or nobody's")
    print(f"none raised, none hung; {time.perf_counter() - begun:.0f} s")
    assert BY_KEY
