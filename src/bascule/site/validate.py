"""Tree to document: every fault of shape at once, and what is left of the file without what is faulty.

A faulty key is left out of its entry where the entry makes sense without it, else the entry is left out. Either path
is kept in ``Findings.broken``, so that the later checks still see the rest of the file and stay silent about what
hangs on that.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, get_args, get_origin

from msgspec import Struct
from pydantic import ValidationError

from bascule.model.values import series
from bascule.site import document as d
from bascule.site.findings import Findings, Path, nearest, shown
from bascule.site.tree import Tree

_NOUNS = 3  # entries that a hint names at most
_TABLES = {"nics", "bonds", "vlans", "bridges", "virtual_networks"}
_BINDING = {  # optional keys without which the entry would be another thing: it is left out as a whole
    d.Network: {"subnet", "vlan"},
    d.Nic: {"network"},
    d.Bond: {"network"},
    d.VlanLink: {"network", "protocol"},
    d.Bridge: {"address", "vlan", "vlan_aware"},
    d.VirtualNetwork: {"subnet"},
    d.GuestNic: {"vlan", "vlans"},
    d.MachineNic: {"address"},
    d.Expect: {"service"},
}


class ValidatedDocument(Struct, frozen=True):
    """The document, and which of the written expectations it still holds."""

    document: d.Document
    kept: tuple[int, ...]

    def expectations(self) -> Iterator[tuple[Path, d.Expect]]:
        """Each expectation with its path in the file."""
        for index, entry in zip(self.kept, self.document.expect, strict=True):
            yield ("expect", index), entry


def validate(tree: Tree, found: Findings) -> ValidatedDocument:
    """The document; faults go to ``found``."""
    try:
        document = d.Document.model_validate(tree)
        return ValidatedDocument(document, tuple(range(len(document.expect))))
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            _report(fault, found)
    return _rest(tree, found)


def _rest(tree: Tree, found: Findings) -> ValidatedDocument:
    """The document without its broken entries."""
    rest = _without(tree, (), found)
    rest.setdefault("site", "unnamed")
    listed = rest.get("expect")
    kept: tuple[int, ...] = ()
    if isinstance(listed, list):
        kept = tuple(index for index in range(len(listed)) if ("expect", index) not in found.broken)
        rest["expect"] = [listed[index] for index in kept]
    return ValidatedDocument(d.Document.model_validate(rest), kept)


def _without(tree: Tree, path: Path, found: Findings) -> Tree:
    """A copy of a mapping without what is broken in it."""
    return {
        key: _rest_of(value, (*path, key), found) for key, value in tree.items() if (*path, key) not in found.broken
    }


def _rest_of(value: Any, path: Path, found: Findings) -> Any:
    if not any(broken[: len(path)] == path for broken in found.broken):
        return copy(value)
    if isinstance(value, dict):
        return _without(value, path, found)
    if isinstance(value, list):  # its entries stay all: their numbers are their names
        return [_rest_of(each, (*path, index), found) for index, each in enumerate(value)]
    return copy(value)


def _entry_of(path: Path) -> Path:
    """The path of the named entry around a fault."""
    if path[:1] == ("hosts",):
        return path[:4] if len(path) >= 4 and path[2] in _TABLES else path[:3]
    return path[:2]


def _part_of(path: Path) -> Path:
    """The path of the least that must be left out for a fault: a key that its entry can do without, or the entry."""
    entry = _entry_of(path)
    inside = path[: len(entry) + 2] if path[len(entry) : len(entry) + 1] == ("nics",) else entry
    key = path[len(inside) : len(inside) + 1]
    if len(entry) < 2 or not key or not isinstance(key[0], str) or not (inside == entry or isinstance(inside[-1], int)):
        return entry
    model = model_at(inside)
    field = next((f for name, f in model.model_fields.items() if key[0] in {name, f.alias}), None)
    if field is not None and (field.is_required() or key[0] in _BINDING.get(model, ())):
        return entry
    return (*inside, *key)


def _report(fault: Any, found: Findings) -> None:
    """One of pydantic's faults in our words."""
    kind: str = fault["type"]
    location: Path = tuple(fault["loc"])
    is_key = "[key]" in location
    path: Path = tuple(part for part in location if part != "[key]")
    found.broken.add(_part_of(path))
    name = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        model = model_at(path[:-1])
        keys = [field.alias or key for key, field in model.model_fields.items()]
        meant, hint = _what_was_meant(name, keys, path)
        if meant and (*path[:-1], meant) not in found.values:
            found.broken.add(_part_of((*path[:-1], meant)))  # it is not simply missing
        found.add("UNKNOWN-KEY", f"{shown(name)} is not a key of {model.noun()}", path, key=True, hint=hint)
    elif kind == "missing":
        model = model_at(path[:-1])
        field = next(field for key, field in model.model_fields.items() if name in {key, field.alias})
        meaning = f"{field.description}".rstrip(".")
        hint = f"add '{name}': {meaning[0].lower()}{meaning[1:]}"
        found.add("MISSING-KEY", f"{_called(path[:-1], model)} has no '{name}'", path[:-1], key=True, hint=hint)
    else:
        context = fault.get("ctx") or {}
        code = kind if kind.isupper() else "TYPE"
        message = context.get("message") or f"{fault['msg']}"
        found.add(code, message, path, key=is_key, hint=context.get("hint"))


def _called(path: Path, model: type[d.Entry]) -> str:
    """An entry in a sentence: by its name where it has one."""
    if not path:
        return "the file"
    if isinstance(path[-1], str) and len(path) in {2, 4}:
        return f"{model.noun().split(' ', 1)[1]} '{path[-1]}'"
    return model.noun()


def _keys(keys: list[str]) -> str:
    """The keys of an entry, as many as one takes in at a glance."""
    if len(known := ", ".join(keys)) <= 150:
        return f"its keys: {known}"
    return f"its keys: {known[:150].rpartition(', ')[0]}, … ('bascule schema' has all)"


_ELSEWHERE = {  # keys of other tools' files, and where their meaning lives here
    "ip": ("address",),
    "ips": ("address",),
    "addresses": ("address",),
    "ipaddr": ("address",),
    "netmask": ("address: 192.168.1.33/24",),
    "prefix": ("address: 192.168.1.33/24",),
    "cidr": ("subnet",),
    "gw": ("gateway",),
    "gateway4": ("gateway",),
    "gateway6": ("gateway",),
    "interfaces": ("uplink", "nics"),
    "bridge_ports": ("uplink",),
    "hwaddr": ("mac",),
    "macaddress": ("mac",),
    "ram": ("memory",),
    "dhcp4": ("address: dhcp",),
    "dhcp": ("address: dhcp",),
    "tag": ("vlan",),
    "trunk": ("vlans",),
    "trunks": ("vlans",),
    "vlan_mode": ("native: tagged",),
    "protected": ("isolated",),
    "ingress_policing_rate": ("limit: {up: 100Mbit}",),
    "vlan_filtering": ("vlan_aware",),
    "bridge-ports": ("uplink",),
    "slaves": ("nics",),
    "members": ("nics",),
    "vms": ("guests",),
    "ethernets": ("nics",),
    "reach": ("verdict: reach",),
    "no-reach": ("verdict: no-reach",),
}


def _what_was_meant(name: str, keys: list[str], path: Path) -> tuple[str | None, str]:
    """The key of the entry that an unknown one was meant for, if it is one, and the hint."""
    if ours := _ELSEWHERE.get(name.lower(), ()):
        here = next((words for words in ours if words.partition(":")[0] in keys), None)
        beside = "" if here else f"; {_of_others(ours[0].partition(':')[0], path)}"
        return (here or "").partition(":")[0], f"that is '{here or ours[0]}' here{beside}"
    close, other = nearest(name, keys) or _within(name, keys), _of_others(name, path)
    if close and other and not (close.startswith(name) or name.startswith(close)):
        close = None  # a key of another entry is no misspelt one of this
    return close, f"did you mean '{close}'?" if close else other or _keys(keys)


def _within(name: str, keys: list[str]) -> str | None:
    """The key that is some of a name's words: ``snooping`` of ``mcast_snooping_enable``."""
    words = f"_{name.lower().replace('-', '_')}_"
    return max((key for key in keys if f"_{key}_" in words), key=len, default=None)


def _of_others(name: str, path: Path) -> str | None:
    """Which entries have that key, those of the same table first."""
    tables = sorted(d.Document.model_fields.items(), key=lambda one: one[0] != path[0])
    tops = (entry_in(field.annotation) for _, field in tables)
    models = dict.fromkeys(model for top in tops if top is not None for _, model in entries(top))
    nouns = [one.noun() for one in models if name in {f.alias or key for key, f in one.model_fields.items()}]
    if not nouns:
        return None
    if len(nouns) > _NOUNS:
        nouns = [*nouns[:_NOUNS], "other entries"]
    return f"it is a key of {series(nouns)}"


def entries(model: type[d.Entry], path: str = "") -> Iterator[tuple[str, type[d.Entry]]]:
    """A model and those within it, in the order of the file, each with the path at which it stands."""
    yield path, model
    for name, field in model.model_fields.items():
        if (inside := entry_in(field.annotation)) is not None:
            suffix = ".NAME" if holds(field.annotation, dict) else "[ ]" if holds(field.annotation, tuple) else ""
            yield from entries(inside, f"{path}.{field.alias or name}{suffix}".lstrip("."))


def model_at(path: Path) -> type[d.Entry]:
    """The model that stands at a path."""
    model: type[d.Entry] = d.Document
    parts = iter(path)
    for part in parts:
        field = next((f for key, f in model.model_fields.items() if part in {key, f.alias}), None)
        inside = entry_in(field.annotation) if field else None
        if field is None or inside is None:
            break
        model = inside
        if holds(field.annotation, dict) or holds(field.annotation, tuple):
            next(parts, None)  # a name or an index, even where it reads like a key
    return model


def holds(annotation: object, container: type) -> bool:
    """Whether an annotation is a table (dict) or list (tuple) of something."""
    return get_origin(annotation) is container or any(holds(part, container) for part in get_args(annotation))


def entry_in(annotation: object) -> type[d.Entry] | None:
    """The entry model inside an annotation, however deep: ``dict[str, Nic]``, ``Nic | None``."""
    if isinstance(annotation, type) and issubclass(annotation, d.Entry):
        return annotation
    for part in get_args(annotation):
        inside = entry_in(part)
        if inside is not None:
            return inside
    return None
