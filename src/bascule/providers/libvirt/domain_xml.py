"""Domain XML: written from a guest of the site file, or edited where it stands so that all else stays as it was.

What is not known here (other namespaces, comments, devices, options of a NIC) goes through unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias
from uuid import UUID, uuid5

from lxml import etree
from lxml.builder import E

from bascule.errors import BasculeError
from bascule.model.domain import DomainText
from bascule.model.site import Attachment, Guest, GuestNic, PlugKind
from bascule.model.values import IfName, Mac
from bascule.providers.guest_nics import DEFAULT_MEMORY, STAYS_PORT, why_next_start

Element: TypeAlias = etree._Element  # noqa: SLF001  lxml's own name for its element type
NAMESPACE = "https://bascule.dev/xml/guest/1"  # the mark of a domain or network that Bascule wrote
PORTS = UUID("6f3c1b0e-0f1c-5d55-9d2e-6f7673706f72")  # of ids of ports of Open vSwitch, each by its NIC's MAC
_FREE_PORTS = 10  # for the devices below and a few NICs more
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=False)
_BELONGS_TO_SOURCE = ("virtualport", "actual")  # says how the old plug is reached; meaningless at another kind of plug


def parse(xml: str) -> Element:
    """The tree of a document that libvirt or a person wrote. Raises BasculeError if it is not well-formed."""
    try:
        return etree.fromstring(xml.encode(), _PARSER)
    except etree.XMLSyntaxError as error:
        raise BasculeError.of(
            "XML-BROKEN", f"this is no well-formed XML: {error.msg}", hint="look at it with xmllint"
        ) from error


def text(element: Element) -> str:
    """The document, with comments and name spaces as they were."""
    return etree.tostring(element, encoding="unicode", with_tail=False)


def build(
    guest: Guest,
    *,
    accel: str = "kvm",
    machine: str = "q35",
    nic_model: str = "virtio",
    console: str | None = None,
    questions: str | None = None,
    reboots: bool = True,
) -> str:
    """A domain for a guest. ``accel`` is ``kvm`` or ``tcg`` (software), the NIC model virtio, e1000e or rtl8139.

    ``console`` is a file that takes the first serial port, ``questions`` a socket for the second (the test guest's).
    A guest that does not reboot ends instead.
    """
    memory = guest.memory or DEFAULT_MEMORY
    mark = etree.Element(f"{{{NAMESPACE}}}guest", nsmap={"bascule": NAMESPACE})
    mark.set("name", guest.name)
    devices = E.devices(*_ports(machine), *_disks(guest), *(interface(nic, model=nic_model) for nic in guest.nics))
    if console is None:
        devices.extend((E.serial(type="pty"), E.console(type="pty")))
    else:
        devices.append(E.serial(E.source(path=console), E.target(port="0"), type="file"))
    if questions is not None:
        devices.append(E.serial(E.source(mode="bind", path=questions), E.target(port="1"), type="unix"))
    devices.append(E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix"))
    devices.append(E.rng(E.backend("/dev/urandom", model="random"), model="virtio"))
    if guest.disks or guest.iso:
        devices.append(E.graphics(type="vnc", autoport="yes", listen="127.0.0.1"))
        devices.append(E.video(E.model(type="vga")))
    root = E.domain(
        E.name(guest.name),
        E.metadata(mark),
        E.memory(str(memory // 1024), unit="KiB"),
        E.vcpu(str(guest.vcpus)),
        _os(guest, machine),
        E.features(E.acpi(), E.apic()),
        type="kvm" if accel == "kvm" else "qemu",
    )
    if accel == "kvm":
        root.append(E.cpu(mode="host-passthrough"))
    if not reboots:
        root.append(E.on_reboot("destroy"))
    root.append(devices)
    etree.indent(root)
    return text(root) + "\n"


def text_of(name: str, xml: str, *, running: bool = False) -> DomainText:
    """A domain as it is wanted where there is none."""
    return DomainText(name=name, running=running, persistent=True, autostart=False, now=xml, next=xml)


def _ports(machine: str) -> Iterator[Element]:
    """Free PCI Express ports: a q35 guest takes a NIC while it runs only where one is left."""
    if machine.startswith("q35"):
        yield E.controller(type="pci", model="pcie-root")
        yield from (E.controller(type="pci", model="pcie-root-port") for _ in range(_FREE_PORTS))


def _os(guest: Guest, machine: str) -> Element:
    root = E.os(E.type("hvm", arch="x86_64", machine=machine))
    if guest.kernel:
        root.append(E.kernel(guest.kernel))
        if guest.initrd:
            root.append(E.initrd(guest.initrd))
        if guest.cmdline:
            root.append(E.cmdline(guest.cmdline))
        return root
    for device in (["hd"] if guest.disks else []) + (["cdrom"] if guest.iso else []) or ["network"]:
        root.append(E.boot(dev=device))
    return root


def _disks(guest: Guest) -> Iterator[Element]:
    for index, path in enumerate(guest.disks):
        block = path.startswith("/dev/")
        yield E.disk(
            E.driver(name="qemu", type="qcow2" if path.endswith(".qcow2") else "raw"),
            E.source(**{"dev" if block else "file": path}),
            E.target(dev=f"vd{chr(ord('a') + index)}", bus="virtio"),
            type="block" if block else "file",
            device="disk",
        )
    if guest.iso:
        yield E.disk(
            E.driver(name="qemu", type="raw"),
            E.source(file=guest.iso),
            E.target(dev="sda", bus="sata"),
            E.readonly(),
            type="file",
            device="cdrom",
        )


def interface(nic: GuestNic, *, model: str = "virtio") -> Element:
    """The NIC of a domain. The plan sets VLANs on the tap: libvirt does so on a Linux bridge from 11.0 only."""
    root = new_interface(nic.attachment, mac=nic.mac, tap=nic.tap, model=model)
    if nic.guarding.port_flag and nic.plug is not PlugKind.DIRECT:
        root.append(E.port(isolated="yes"))  # libvirt 6.1; it sets the flag when the guest starts
    return on_switch(root, nic)


def is_switched(element: Element) -> bool:
    """Whether libvirt takes the bridge of a NIC for one of Open vSwitch."""
    return element.find("virtualport[@type='openvswitch']") is not None


def on_switch(root: Element, nic: GuestNic) -> Element:
    """The NIC with what libvirt must know of a port of Open vSwitch, which it adds itself (formatdomain.html)."""
    old = root.find("virtualport[@type='openvswitch']")
    if old is not None:
        for child in (old, *root.findall("vlan")):
            root.remove(child)
    if nic.switched is None:
        return root
    known = old.find("parameters") if old is not None else None  # a profile of somebody's, the id that it had
    parameters = known if known is not None else E.parameters(interfaceid=str(uuid5(PORTS, nic.mac)))
    root.append(E.virtualport(parameters, type="openvswitch"))
    untagged, tagged = nic.switched.untagged, nic.switched.tagged
    vids = [vid for first, last in tagged for vid in range(first, last + 1) if vid != untagged]
    tags = [E.tag(id=str(vid)) for vid in vids]
    if untagged is not None:
        mode = "tagged" if nic.switched.native_tagged else "untagged"
        tags.insert(0, E.tag(id=str(untagged), **({"nativeMode": mode} if tagged else {})))
    if tags:
        root.append(E.vlan(*tags, **({"trunk": "yes"} if tagged else {})))
    return root


def with_checksums(xml: str) -> str:
    """A domain whose NICs leave no checksum to the host: a switch in userspace hands frames on as they are."""
    root = parse(xml)
    for element in interfaces(root):
        element.append(E.driver(E.host(csum="off", gso="off"), name="qemu"))
    return text(root) + "\n"


def new_interface(to: Attachment, *, mac: Mac, tap: IfName | None = None, model: str = "virtio") -> Element:
    """A NIC plugged somewhere."""
    root = E.interface(E.mac(address=mac), type=to.kind.value)
    _point(root, to)
    if tap:
        root.append(E.target(dev=tap))
    root.append(E.model(type=model))
    return root


def _point(root: Element, to: Attachment) -> None:
    root.set("type", to.kind.value)
    for child in root.findall("source"):
        root.remove(child)
    match to.kind:
        case PlugKind.BRIDGE:
            source = E.source(bridge=to.into)
        case PlugKind.NETWORK:
            source = E.source(network=to.into)
        case PlugKind.DIRECT:
            source = E.source(dev=to.into, mode="bridge")
    mac = root.find("mac")
    root.insert(0 if mac is None else root.index(mac) + 1, source)


def copied(element: Element) -> Element:
    """A copy that stands alone."""
    return etree.fromstring(etree.tostring(element, with_tail=False), _PARSER)


def canonical(element: Element, *, without: str = "") -> bytes:
    """What a document says, whatever the space between; ``without`` the elements below a path."""
    copy = copied(element)
    for child in copy.findall(without) if without else ():
        parent = child.getparent()
        if parent is not None:
            parent.remove(child)
    for each in copy.iter():
        each.text = (each.text or "").strip() or None
        each.tail = None
    return etree.tostring(copy, method="c14n")


def same(one: Element, other: Element) -> bool:
    """Whether two NICs are plugged alike."""
    return plug_of(one) == plug_of(other) and is_up(one) == is_up(other)


def tap_of(element: Element) -> IfName:
    """The host's end of a NIC, empty where libvirt has not chosen one yet."""
    target = element.find("target")
    return IfName("" if target is None else target.get("dev", ""))


def interfaces(root: Element) -> list[Element]:
    """The NICs in their order."""
    return root.findall("devices/interface")


def mac_of(element: Element) -> str:
    """The MAC of a NIC, in lower case."""
    mac = element.find("mac")
    return "" if mac is None else mac.get("address", "").lower()


def find(root: Element, mac: str) -> Element | None:
    """The NIC with this MAC."""
    return next((element for element in interfaces(root) if mac_of(element) == mac.lower()), None)


def plug_of(element: Element) -> tuple[str, str]:
    """Kind and name of what a NIC is plugged into."""
    kind = element.get("type", "")
    source = element.find("source")
    if source is None:
        return kind, ""
    return kind, next((value for key in (kind, "dev", "name", "path") if (value := source.get(key))), "")


def replugged(element: Element, to: Attachment) -> Element:
    """A copy of the NIC that is plugged elsewhere; MAC, model, filters, bandwidth and all else stay."""
    copy = copied(element)
    if plug_of(copy) != (to.kind.value, to.into):
        for name in (*_BELONGS_TO_SOURCE, *(("vlan",) if is_switched(copy) else ())):
            for child in copy.findall(name):
                copy.remove(child)
        _point(copy, to)
    return copy


def linked(element: Element, *, up: bool) -> Element:
    """A copy of the NIC with its cable in or out."""
    copy = copied(element)
    for child in copy.findall("link"):
        copy.remove(child)
    if not up:  # a cable that is in needs no word: the XML is then as it was before somebody pulled it
        copy.append(E.link(state="down"))
    return copy


def is_up(element: Element) -> bool:
    """Whether the cable is in."""
    link = element.find("link")
    return link is None or link.get("state") != "down"


def why_not_live(element: Element, to: Attachment) -> str | None:
    """The reason why libvirt cannot move this NIC while the guest runs; None if it can."""
    there = plug_of(element)
    return why_next_start(*there, to) or (STAYS_PORT if is_switched(element) and there != (to.kind, to.into) else None)


def edited(xml: str, guest: Guest, *, nic_model: str = "virtio") -> tuple[str, list[str]]:
    """An existing definition with memory, vCPUs and NICs as the site file declares them, and all else as it was.

    NICs are told apart by their MAC, or by their number where the file gives none: a guest that somebody else made
    keeps its own MAC. The second value names the NICs that the site file does not know: they stay.
    """
    root = parse(xml)
    if guest.memory:
        for name in ("memory", "currentMemory"):
            element = root.find(name)
            if element is not None:
                element.text, unit = str(guest.memory // 1024), "KiB"
                element.set("unit", unit)
    vcpu = root.find("vcpu")
    if vcpu is not None and guest.vcpus > 1:
        vcpu.text = str(guest.vcpus)
    devices = root.find("devices")
    if devices is None:
        devices = etree.SubElement(root, "devices")
    declared = {nic.mac for nic in guest.nics}
    there = interfaces(root)
    for nic in guest.nics:
        old = find(root, nic.mac)
        if old is None and not nic.mac_given and nic.index < len(there) and mac_of(there[nic.index]) not in declared:
            old = there[nic.index]
            declared.add(Mac(mac_of(old)))
        if old is None:
            devices.append(interface(nic, model=nic_model))
        else:
            new = on_switch(named(replugged(old, nic.attachment), nic.tap), nic)
            new.tail = old.tail
            devices.replace(old, new)
    unknown = [element for element in interfaces(root) if mac_of(element) not in declared]
    return text(root), [f"{mac_of(element)} on {' '.join(plug_of(element))}" for element in unknown]


def named(element: Element, tap: IfName) -> Element:
    """A copy of the NIC whose host's end has this name from the next start on."""
    copy = copied(element)
    target = copy.find("target")
    if target is None:
        target = E.target()
        source = copy.find("source")
        copy.insert(1 if source is None else copy.index(source) + 1, target)
    target.set("dev", tap)
    return copy
