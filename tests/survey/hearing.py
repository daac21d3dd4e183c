"""What a NIC heard, from frames; and the site that it is judged by."""

from __future__ import annotations

from bascule.model.site import Host, Site
from bascule.site import parse
from bascule.survey.evidence import Collector, NicTraffic
from bascule.survey.verdicts import NicVerdict, Survey, judge
from tests.survey.frames import arp

SITE = """
site: test
networks:
  internal: {subnet: 192.168.1.0/24, gateway: 192.168.1.1}
  internet: {subnet: [129.230.0.0/16, 2001:db8:1::/64], gateway: 129.230.0.1}
  storage: {subnet: 10.30.0.0/24, gateway: 10.30.0.1, vlan: 30}
  backup: {subnet: 10.50.0.0/24, vlan: 50}
hosts:
  h:
    nics:
      eth2: {network: internal, switch: {name: sw1, port: Gi0/2}}
      eth3: {network: internet, switch: {name: sw1, port: Gi0/3}}
      eth4: {network: storage}
      eth5: {network: internal}
"""


def site(text: str = SITE) -> tuple[Site, Host]:
    """A site and its only host."""
    read = parse(text.encode(), "test.yaml")
    return read, next(iter(read.hosts.values()))


def hear(nic: str, *frames: bytes, times: int = 3, own: str = "", driver: str = "", carrier: bool = True) -> NicTraffic:
    """These frames, so many times each."""
    collector = Collector(nic)
    for frame in frames:
        for _ in range(times):
            collector.add(frame)
    return collector.finish(
        seconds=30,
        carrier=carrier,
        driver=driver,
        own_macs=frozenset({own} if own else ()),
    )


def many(
    prefix: str, number: int, asks: str, *, first: int = 10, tags: tuple[int, ...] = (), oui: str = "00:16:3e:00"
) -> list[bytes]:
    """So many hosts that ask for one address."""
    third = int(prefix.split(".")[2])
    return [
        arp(f"{prefix}.{first + i}", asks, mac=f"{oui}:{third:02x}:{first + i:02x}", tags=tags) for i in range(number)
    ]


def judged(*heard: NicTraffic, text: str = SITE) -> Survey:
    """The survey of these NICs against the site."""
    return judge({ear.nic: ear for ear in heard}, *site(text))


def one(heard: NicTraffic, text: str = SITE) -> NicVerdict:
    """The verdict of a single NIC."""
    return judged(heard, text=text).nics[heard.nic]
