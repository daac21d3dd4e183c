"""libvirt's part of a host: what is wanted, the lines of virsh that lead there, and the way back. No libvirt runs."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from bascule.errors import BasculeError
from bascule.model.domain import DomainText, NetworkText
from bascule.model.links import Bridge
from bascule.model.site import Attachment, Guest, Mode, PlugKind, Site
from bascule.model.state import HostState, Link
from bascule.model.values import IfName
from bascule.plan.change import Risk
from bascule.plan.step import Step
from bascule.providers.libvirt import LIBVIRT, domain_xml, edit, network_xml
from bascule.providers.libvirt.state import LibvirtState
from bascule.providers.protocol import PlanInputs, ThreeWay
from tests.guests.test_libvirt_networks import lab_network
from tests.guests.values import guest, nic, site, virtual_network

NIC = nic("g1", 0, "br4")
G1 = guest("g1", NIC)
URI = "qemu:///system"


def text(made: Guest, *, running: bool = False, live_tap: str = "", autostart: bool = False) -> DomainText:
    xml = domain_xml.build(made)
    now = xml.replace(f'dev="{made.nics[0].tap}"', f'dev="{live_tap}"') if live_tap and made.nics else xml
    return DomainText(name=made.name, running=running, persistent=True, autostart=autostart, now=now, next=xml)


def plugged(kind: PlugKind, into: str, *, running: bool = True, later: Attachment | None = None) -> DomainText:
    made = text(guest("g1", replace(NIC, plug=kind, into=into)), running=running)
    if later is None:
        return made
    other = text(guest("g1", replace(NIC, plug=later.kind, into=later.into)))
    return replace(made, next=other.next)


def state(*domains: DomainText, networks: Iterable[NetworkText] = ()) -> HostState:
    part = LibvirtState(uri=URI, domains={d.name: d for d in domains}, networks={n.name: n for n in networks})
    return HostState(parts={"libvirt": part})


def wanted(told: Site, observed: HostState) -> HostState:
    found = LIBVIRT.want(told, told.hosts["h"], observed, observed, PlanInputs())
    return LIBVIRT.with_part(observed, found.part)


def steps(told: Site, observed: HostState) -> list[Step]:
    return list(LIBVIRT.diff(observed, wanted(told, observed)))


def verbs(some: Iterable[Step]) -> list[list[str]]:
    """The words of virsh without the connection and the documents."""
    return [
        [" ".join(w for w in command.words[2:] if w not in {"/dev/stdin", "g1"}) for command in one.commands]
        for one in some
    ]


@pytest.mark.parametrize(
    ("there", "words", "risk"),
    [
        (None, ["define --validate"], Risk.ADDITION),
        (plugged(PlugKind.BRIDGE, "br4"), None, None),
        (
            plugged(PlugKind.NETWORK, "default"),
            ["update-device --live", "update-device --live", "update-device --config"],
            Risk.DETACHES,
        ),
        (plugged(PlugKind.NETWORK, "default", running=False), ["update-device --config"], Risk.ADDITION),
        (
            plugged(PlugKind.BRIDGE, "br4", later=Attachment(PlugKind.BRIDGE, "br3")),
            ["update-device --config"],
            Risk.ADDITION,
        ),
        (text(guest("g1"), running=True), ["attach-device --live", "attach-device --config"], Risk.ADDITION),
        (plugged(PlugKind.DIRECT, "eth4"), ["update-device --config"], Risk.ADDITION),
    ],
)
def test_what_would_change(there: DomainText | None, words: list[str] | None, risk: Risk | None) -> None:
    observed = state(*([there] if there else []))
    found = steps(site(G1), observed)
    assert verbs(found) == ([] if words is None else [words])
    if words is not None:
        assert found[0].risk is risk
        subject = found[0].subject
        said = LIBVIRT.want(site(G1), site(G1).hosts["h"], observed, observed, PlanInputs())
        assert said.guests[subject] == ("g1",)
        assert subject in said.reasons


@pytest.mark.parametrize(
    ("said", "there", "words", "action"),
    [
        (True, False, "autostart", "starts with the host"),
        (False, True, "autostart --disable", "does not start with the host any more"),
        (True, True, "", ""),
        (None, True, "", ""),
        (None, False, "", ""),
    ],
)
def test_a_guest_starts_with_the_host_where_the_file_says_so(
    said: bool | None,
    there: bool,
    words: str,
    action: str,
) -> None:
    observed = state(replace(plugged(PlugKind.BRIDGE, "br4"), autostart=there))
    told = site(replace(G1, autostart=said))
    found = steps(told, observed)
    assert verbs(found) == ([[words]] if words else [])
    assert [one.action for one in found] == ([action] if action else [])
    assert steps(told, wanted(told, observed)) == []
    reasons = LIBVIRT.want(told, told.hosts["h"], observed, observed, PlanInputs()).reasons
    assert ("autostart" in reasons.get("g1", "")) == bool(words)


def test_a_new_guest_starts_with_the_host_where_the_file_says_so() -> None:
    (one,) = steps(site(replace(G1, autostart=True)), state())
    assert verbs([one]) == [["define --validate", "autostart"]]
    assert one.action == "defined, not started; starts with the host"


@pytest.mark.parametrize(
    ("since", "after", "kept"),
    [
        (None, False, ()),
        (False, False, ()),
    ],
)
def test_undo_takes_the_start_with_the_host_back(since: bool | None, after: bool, kept: tuple[str, ...]) -> None:
    before = state(plugged(PlugKind.BRIDGE, "br4"))
    made = wanted(site(replace(G1, autostart=True)), before)
    now = made if since is None else with_domain(made, replace(domain(made, "g1"), autostart=since))
    found, _ = back(before, made, now)
    assert (found.kept, found.part.domains["g1"].autostart) == (kept, after)


def test_what_somebody_has_said_since_of_the_start_with_the_host_stays() -> None:
    before = state(replace(plugged(PlugKind.NETWORK, "default"), autostart=True))
    made = wanted(site(G1), before)
    found, _ = back(before, made, with_domain(made, replace(domain(made, "g1"), autostart=False)))
    assert found.kept == ("guest g1: somebody has set since that it does not start with the host",)
    assert not found.part.domains["g1"].autostart


def test_a_command_can_be_pasted() -> None:
    (one,) = steps(site(G1), state(plugged(PlugKind.NETWORK, "default")))
    first, second, last = map(str, one.commands)
    assert first.startswith("virsh -c qemu:///system update-device g1 /dev/stdin --live <<'.'\n<interface")
    assert '<link state="down"/>' in first
    assert '<source bridge="br4"/>' in second
    assert "--config" in last
    assert one.action == "re-plugged from network default to bridge br4: link down, move, link up"
    assert one.moves == (NIC.tap,)


def test_what_needs_a_restart_says_so_and_is_no_change_afterwards() -> None:
    observed = state(plugged(PlugKind.DIRECT, "eth4"))
    (one,) = steps(site(G1), observed)
    assert "from its next start on (a macvtap cannot be moved while the guest runs)" in one.action
    after = wanted(site(G1), observed)
    assert steps(site(G1), after) == []
    told = LIBVIRT.want(site(G1), site(G1).hosts["h"], after, after, PlanInputs())
    (note,) = told.notes
    assert note.text.startswith("NIC 0 is on direct eth4 until it is shut down and started again (a macvtap cannot be")


def test_a_guest_of_somebody_else_is_known_by_its_number_unless_the_file_gives_a_mac() -> None:
    other = plugged(PlugKind.NETWORK, "default")
    foreign = replace(other, now=other.now.replace(NIC.mac, "52:54:00:00:00:77"), next="")
    foreign = replace(foreign, next=foreign.now)
    assert verbs(steps(site(G1), state(foreign)))[0][0] == "update-device --live"
    given = guest("g1", replace(NIC, mac_given=True))
    assert verbs(steps(site(given), state(foreign))) == [["attach-device --live", "attach-device --config"]]


def test_a_cable_that_is_out_is_put_in_again() -> None:
    out = edit.unplug(plugged(PlugKind.BRIDGE, "br4"), NIC.mac)
    (one,) = steps(site(G1), state(out))
    assert one.action == "its cable is put into bridge br4 again"
    assert verbs([one]) == [["update-device --live", "update-device --config"]]


def test_a_mac_that_another_guest_has_is_refused() -> None:
    other = text(guest("other", replace(NIC, guest="other")))
    with pytest.raises(BasculeError, match="domain 'other' \\(shut off\\) already has the MAC"):
        steps(site(G1), state(other))


def test_the_plan_is_about_the_taps_that_run() -> None:
    told = site(G1)
    observed = state(text(G1, running=True, live_tap="vnet7"))
    assert [n.tap for n in LIBVIRT.as_it_runs(told, told.hosts["h"], observed).guest_nics("h")] == ["vnet7"]
    assert LIBVIRT.as_it_runs(told, told.hosts["h"], HostState()) == told


def net(one: object = None, **other: object) -> NetworkText:
    xml = network_xml.build(lab_network(Mode.NAT) if one is None else one)  # type: ignore[arg-type]
    values = {"name": "lab", "active": True, "persistent": True, "autostart": True, "now": xml, "next": xml}
    return NetworkText(**(values | other))  # type: ignore[arg-type]


def in_lab(mode: Mode, *guests: Guest) -> Site:
    return site(*guests, networks=(virtual_network(mode),))


def test_a_network_is_defined_started_and_started_with_the_host() -> None:
    (one,) = steps(in_lab(Mode.NAT), state())
    assert one.action == "defined in libvirt (nat), started, started with the host"
    assert verbs([one]) == [["net-define", "net-start lab", "net-autostart lab"]]
    after = wanted(in_lab(Mode.NAT), state())
    assert steps(in_lab(Mode.NAT), after) == []
    (gone,) = LIBVIRT.diff(after, state())
    assert verbs([gone]) == [["net-destroy lab", "net-undefine lab"]]


def test_a_network_that_is_off_is_started() -> None:
    (one,) = steps(in_lab(Mode.NAT), state(networks=[net(active=False, autostart=False)]))
    assert one.action == "started, and started with the host"
    assert verbs([one]) == [["net-start lab", "net-autostart lab"]]


def test_a_restart_cuts_its_guests_and_plugs_them_in_again_and_an_update_does_not() -> None:
    on_it = guest("g1", nic("g1", 0, "lab", "192.168.122.21/24", plug=PlugKind.NETWORK))
    running = text(on_it, running=True)
    observed = state(running, networks=[net()])
    (one,) = steps(in_lab(Mode.ROUTED, on_it), observed)
    assert (one.risk, one.outage_s, one.subject) == (Risk.DETACHES, 2.0, "network lab")
    assert [str(command).split(" <<")[0] for command in one.commands] == [
        "virsh -c qemu:///system net-define /dev/stdin",
        "virsh -c qemu:///system net-destroy lab",
        "virsh -c qemu:///system net-start lab",
        "ip link set dev g1.0 master vn-lab",
        "virsh -c qemu:///system update-device g1 /dev/stdin --live",
        "virsh -c qemu:///system update-device g1 /dev/stdin --live",
    ]
    told = in_lab(Mode.ROUTED, on_it)
    found = LIBVIRT.want(told, told.hosts["h"], observed, observed, PlanInputs())
    assert found.guests == {"network lab": ("g1",)}
    assert "its mode is nat and shall be route" in found.reasons["network lab"]
    (update,) = steps(in_lab(Mode.NAT, on_it), observed)
    assert (update.action, update.risk) == ("changed while it runs", Risk.ADDITION)
    assert verbs([update])[0][0].startswith("net-update lab add-last ip-dhcp-host --xml <host")
    after = wanted(in_lab(Mode.NAT, on_it), observed)
    assert steps(in_lab(Mode.NAT, on_it), after) == []
    (back,) = LIBVIRT.diff(after, observed)
    assert verbs([back])[0][0].startswith("net-update lab delete ip-dhcp-host --xml <host")


# -- the way back


def back(before: HostState, made: HostState, now: HostState, *, applied: bool = True, rebooted: bool = False):  # type: ignore[no-untyped-def]
    change = ThreeWay(before=before, wanted=made, now=now, applied=made if applied else None, rebooted=rebooted)
    found = LIBVIRT.merge(change)
    goal = LIBVIRT.with_part(now, found.part)
    assert list(LIBVIRT.diff(goal, LIBVIRT.with_part(goal, LIBVIRT.settle(goal, replace(change, now=goal))))) == []
    return found, list(LIBVIRT.diff(now, goal))


BEFORE = state(plugged(PlugKind.NETWORK, "default"), networks=[])
TOLD = in_lab(Mode.NAT, G1, guest("g2", nic("g2", 0, "lab", plug=PlugKind.NETWORK)))
MADE = wanted(TOLD, BEFORE)


@pytest.mark.parametrize("applied", [True, False])
def test_all_that_was_made_goes_back(applied: bool) -> None:
    found, some = back(BEFORE, MADE, MADE, applied=applied)
    assert found.kept == ()
    assert found.part == LIBVIRT.part(BEFORE)
    assert [one.subject for one in some] == ["g1, NIC 0", "g2", "network lab"]
    assert verbs(some)[0] == ["update-device --live", "update-device --live", "update-device --config"]


def test_what_was_never_made_is_left_alone() -> None:
    found, some = back(BEFORE, MADE, BEFORE, applied=False)
    assert (found.kept, some) == ((), [])


def domain(host: HostState, name: str) -> DomainText:
    found: DomainText = LIBVIRT.part(host).domains[name]
    return found


def with_domain(host: HostState, one: DomainText) -> HostState:
    part = LIBVIRT.part(host)
    return LIBVIRT.with_part(host, replace(part, domains={**part.domains, one.name: one}))


def test_what_others_did_meanwhile_is_kept_and_named() -> None:
    busy = with_domain(MADE, replace(domain(MADE, "g2"), running=True))
    more = domain(busy, "g1")
    busy = with_domain(busy, replace(more, next=more.next.replace("<vcpu>1<", "<vcpu>2<")))
    found, some = back(BEFORE, MADE, busy)
    assert found.kept == (
        "guest g1: its definition was changed since; only its NICs went back",
        "guest g2 is new and runs; it stays defined",
    )
    assert "<vcpu>2<" in found.part.domains["g1"].next
    assert 'network="default"' in found.part.domains["g1"].next
    assert [one.subject for one in some] == ["g1, NIC 0", "network lab"]


def test_a_guest_that_is_edited_or_gone_is_named() -> None:
    edited = replace(domain(MADE, "g2"), next=domain(MADE, "g2").next.replace("<vcpu>1<", "<vcpu>2<"))
    found, _ = back(BEFORE, MADE, with_domain(MADE, edited))
    assert found.kept == ("guest g2 is new and was edited since; it stays defined",)
    part = LIBVIRT.part(MADE)
    gone = LIBVIRT.with_part(MADE, replace(part, domains={"g2": part.domains["g2"]}))
    found, some = back(BEFORE, MADE, gone)
    assert found.kept == ("guest g1 is gone",)
    assert "g1" not in found.part.domains
    assert [one.subject for one in some] == ["g2", "network lab"]


def test_a_nic_that_others_moved_or_gave_goes_back_or_stays() -> None:
    moved = edit.replug(domain(MADE, "g1"), NIC.mac, Attachment(PlugKind.BRIDGE, "br9"))
    extra = domain_xml.new_interface(Attachment(PlugKind.BRIDGE, "br3"), mac=nic("g1", 5, "br3").mac)
    more = edit.attach(moved, extra)
    found, _ = back(BEFORE, MADE, with_domain(MADE, replace(more, next=domain(MADE, "g1").next)))
    assert f"guest g1: somebody plugged {NIC.mac} into bridge br9; it goes back anyway" in found.kept
    assert f"guest g1: its NIC {nic('g1', 5, 'br3').mac} is new" in found.kept
    assert 'network="default"' in found.part.domains["g1"].now


@pytest.mark.parametrize("applied", [True, False])
def test_a_guest_that_the_change_had_nothing_to_do_with_is_left_alone(applied: bool) -> None:
    """Whatever was done to it meanwhile: re-plugged, edited, set to start with the host, or undefined."""
    other = text(guest("g7", nic("g7", 0, "br4")), running=True)
    before, made = with_domain(BEFORE, other), with_domain(MADE, other)
    moved = edit.replug(other, nic("g7", 0, "br4").mac, Attachment(PlugKind.BRIDGE, "br9"))
    for now in (moved, replace(other, autostart=True), replace(other, next=other.next.replace(">1<", ">2<"))):
        found, some = back(before, made, with_domain(made, now), applied=applied)
        assert found.part.domains["g7"] == now
        assert (found.kept, "g7" in str([one.subject for one in some])) == ((), False)
    found, _ = back(before, made, MADE, applied=applied)
    assert "g7" not in found.part.domains


@pytest.mark.parametrize("applied", [True, False])
def test_a_nic_that_the_change_gave_a_running_guest_goes(applied: bool) -> None:
    before = state(text(guest("g1"), running=True))
    made = wanted(site(G1), before)
    found, some = back(before, made, made, applied=applied)
    assert (found.part, found.kept) == (LIBVIRT.part(before), ())
    assert "detach-device --live" in [words for each in verbs(some) for words in each]


@pytest.mark.parametrize("applied", [True, False])
def test_a_network_that_the_change_had_nothing_to_do_with_is_left_alone(applied: bool) -> None:
    theirs = replace(net(), name="theirs")
    before, made = (
        LIBVIRT.with_part(one, replace(LIBVIRT.part(one), networks={**LIBVIRT.part(one).networks, "theirs": theirs}))
        for one in (BEFORE, MADE)
    )
    part = LIBVIRT.part(made)
    for networks in (
        {**part.networks, "theirs": replace(theirs, autostart=not theirs.autostart)},
        LIBVIRT.part(MADE).networks,
    ):
        found, _ = back(before, made, LIBVIRT.with_part(made, replace(part, networks=networks)), applied=applied)
        assert found.part.networks.get("theirs") == networks.get("theirs")


def test_a_guest_that_could_not_start_with_the_machine_is_started() -> None:
    autostart = state(replace(plugged(PlugKind.NETWORK, "default"), autostart=True))
    made = wanted(site(G1), autostart)
    off = with_domain(made, replace(domain(made, "g1"), running=False, now=domain(made, "g1").next))
    found, some = back(autostart, made, off, applied=False, rebooted=True)
    assert "it is started now" in found.kept[0]
    assert verbs(some) == [["update-device --config"], ["start"]]


@pytest.mark.parametrize(
    ("autostart", "rebooted", "is_missed"), [(True, False, True), (False, True, True), (True, True, False)]
)
def test_a_guest_that_does_not_run_for_another_reason_is_not_started(
    autostart: bool, rebooted: bool, is_missed: bool
) -> None:
    """Its administrator has stopped it, it does not start with the machine, or its definition is as it was."""
    before = state(replace(plugged(PlugKind.NETWORK, "default"), autostart=autostart))
    made = wanted(site(G1), before)
    there = domain(made if is_missed else before, "g1")
    off = with_domain(made, replace(there, running=False, now=there.next))
    found, some = back(before, made, off, applied=False, rebooted=rebooted)
    assert (found.kept, ["start"] in verbs(some)) == ((), False)
    assert not found.part.domains["g1"].running


def drift(now: HostState) -> list[tuple[str, str]]:
    """What `status` says after the change."""
    goal = LIBVIRT.with_part(now, LIBVIRT.put_right(ThreeWay(before=BEFORE, wanted=MADE, now=now, applied=MADE)))
    return [(one.subject, one.action) for one in LIBVIRT.diff(now, goal)]


def test_what_others_made_of_the_change_is_drift_and_what_is_theirs_is_none() -> None:
    assert drift(MADE) == []
    part = LIBVIRT.part(MADE)
    off = replace(part.networks["lab"], active=False)
    assert drift(LIBVIRT.with_part(MADE, replace(part, networks={"lab": off}))) == [
        ("network lab", "started, and started with the host")
    ]
    less = {name: one for name, one in part.domains.items() if name != "g2"}
    assert drift(LIBVIRT.with_part(MADE, replace(part, domains=less))) == [("g2", "defined, not started")]
    moved = with_domain(MADE, domain(BEFORE, "g1"))
    assert [subject for subject, _ in drift(moved)] == ["g1, NIC 0"]
    more = domain(MADE, "g1")
    assert drift(with_domain(MADE, replace(more, next=more.next.replace("<vcpu>1<", "<vcpu>2<")))) == []
    assert drift(with_domain(MADE, replace(domain(MADE, "g2"), running=True))) == []


def edited(name: str, old: str, new: str, *, live: bool = True) -> HostState:
    """The host where somebody has edited a domain, or a network."""
    part = LIBVIRT.part(MADE)
    kind = "domains" if name in part.domains else "networks"
    one = getattr(part, kind)[name]
    assert old in one.next
    text = replace(one, next=one.next.replace(old, new), now=one.now.replace(old, new) if live else one.now)
    return LIBVIRT.with_part(MADE, replace(part, **{kind: {**getattr(part, kind), name: text}}))


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (edited("g2", '<source network="lab"/>', '<source network="default"/>'), ["g2, NIC 0"]),  # the change made it
        (edited("g2", '<model type="virtio"/>', '<model type="virtio"/><link state="down"/>'), ["g2, NIC 0"]),
        (edited("g1", '<source bridge="br4"/>', '<source bridge="br3"/>', live=False), ["g1, NIC 0"]),
        (edited("lab", "192.168.122.200", "192.168.122.250"), ["network lab"]),
        (edited("lab", 'mode="nat"', 'mode="route"'), ["network lab"]),
        (edited("lab", "<dhcp>", '<dhcp><host mac="52:54:00:00:00:99" ip="192.168.122.9"/>'), []),  # theirs
        (edited("g2", "<vcpu>1<", "<vcpu>2<"), []),
    ],
)
def test_an_edited_text_is_drift_where_a_plan_would_put_it_right(now: HostState, told: list[str]) -> None:
    assert [subject for subject, _ in drift(now)] == told
    assert [one.subject for one in steps(TOLD, now)] == told


def test_the_part_survives_the_checkpoint() -> None:
    part = LIBVIRT.part(MADE)
    assert LIBVIRT.from_json(LIBVIRT.to_json(part)) == part


def test_links_play_no_part_in_it() -> None:
    link = Link(name=IfName("br4"), options=Bridge())
    assert LIBVIRT.part(HostState.of([link])) is None
