"""The reference page of the site file, made from the models: ``python -m bascule.site.reference > FILE``."""

from __future__ import annotations

from typing import Any, get_args

from pydantic.fields import FieldInfo

from bascule.site import document as d
from bascule.site.codes import CODES
from bascule.site.scalars import Scalar
from bascule.site.validate import entries, entry_in, holds

_HEAD = """\
<!-- Made by `python -m bascule.site.reference`; a test fails when it is stale. Edit the models instead. -->

# The site file

Plain YAML, UTF-8, one document. Every value is taken as the text that stands there: `off` is no surprise, a MAC needs
no quotes. Anchors, aliases, merge keys and tags are refused: each thing is named once, and others refer to it by name.
An IPv6 address inside `{ }` needs quotes where it ends in `::`. A key marked *one or more* takes a single value or a
list. `bascule check FILE` shows every problem of a file at once; `bascule schema` prints the JSON schema.
"""

_RULES = """
## Names, addresses and what is derived

- Networks, hosts, guests and machines share one set of names, because expectations and masquerades know them by name
  alone. Links of one host (NICs, bonds, bridges, VLAN links like `eth4.30`, taps) share another; they have at most
  15 bytes.
- A guest NIC without `mac` gets a stable one from the names of site, host and guest and the NIC's index, in the range
  52:54:00. A guest's MAC cannot begin with fe: taps have those, and libvirt refuses them.
- A guest NIC without `tap` gets `GUEST.INDEX`, shortened with a hash where that is longer than 15 bytes.
- An address lies in a subnet of its network and has that subnet's prefix length (or /32, /128). Every address is used
  once; behind nat and isolated networks of different hosts the same addresses may return.
- A guest or machine with `address: dhcp` needs somebody who serves DHCP on its network: a machine's `dhcp`, a virtual
  network's `dhcp`, or a guest or machine with `serves: [udp/67]`. A rehearsal could not give it a lease otherwise. A
  host's own `dhcp` needs no such line.
- The host takes the first address of each subnet of its virtual networks.
- `network` of a NIC names what arrives untagged on its wire. A network with `vlan` is reached through a bridge with the
  same `vlan`, or by a guest NIC with that `vlan` on a VLAN-aware bridge. A NIC that carries such bridges only may name
  it, too.
- A NIC has one master: one bridge (or one bridge for each VLAN), or one bond, or it is shared by macvtap (`direct`).
  While it has one, it carries no address, except where the bridge says `address: from-uplink`.
- Sizes of memory have the units KiB, MiB, GiB and TiB, powers of 1,024. `64G` and `64GB` mean different things to
  different people and are refused.
- An expectation of a port asks one that its target `serves`: `reach` would always fail otherwise, and `no-reach` would
  prove nothing. A machine with `dhcp` serves DNS as well; a host serves the ports that its virtual networks forward.
- In `from` and `to` of an expectation, `guests`, `hosts`, `machines` and the name of a network stand for each of their
  members, and a list for each of its names; nobody is asked whether it reaches itself. A host is a member of the
  networks on which it has an address. Of a group that a port must not reach, those count that serve it; a member
  without an address leaves its own question unproven.
- A machine on several networks routes what `forwards` says under the senders' own addresses, and what `masquerade`
  says under its own; nothing else. With neither, the file does not say whether it routes: what depends on it is
  unproven, which fails with `--strict` only.
"""


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for path, model in entries(d.Document):
        parts.append(f"\n## {f'`{path}`: ' if path else ''}{model.noun() if path else 'The top of the file'}\n")
        parts.append(f"\n{model.__doc__}\n")
        parts.append("\n| key | value | needed | meaning |\n|---|---|---|---|\n")
        for name, info in model.model_fields.items():
            needed = "yes" if model.needs(name) else _default(info)
            meaning = (info.description or "").replace("|", "\\|")
            parts.append(f"| `{info.alias or name}` | {_value(info)} | {needed} | {meaning} |\n")
    parts.append(_RULES)
    parts.append("\n## Codes of problems\n\n| code | meaning |\n|---|---|\n")
    parts += [f"| `{code}` | {meaning} |\n" for code, meaning in CODES.items()]
    return "".join(parts)


def _word(part: Any) -> Scalar | None:
    """The word inside an annotation."""
    if isinstance(part, Scalar):
        return part
    inside = (*get_args(part), *getattr(part, "__metadata__", ()))
    return next((word for each in inside if (word := _word(each)) is not None), None)


def _value(info: FieldInfo) -> str:
    """What a field takes, in words."""
    inner = entry_in(info.annotation)
    if inner is not None:
        if holds(info.annotation, dict):
            return "NAME: its keys"
        return "list of entries" if holds(info.annotation, tuple) else "its keys"
    word = next((each for each in info.metadata if isinstance(each, Scalar)), None) or _word(info.annotation)
    if word is None:
        return ""
    choices = word.schema.get("enum")
    taken = " \\| ".join(f"`{each}`" for each in choices if isinstance(each, str)) if choices else word.noun
    if word.noun == "true or false":
        taken = "`true` \\| `false`"
    examples = ", ".join(f"`{each}`" for each in word.schema.get("examples", ()))
    if d.OneOrMany in info.metadata:
        taken += "; one or more"
    elif holds(info.annotation, tuple) and word.code != "RANGE":
        taken = f"list: {taken}"
    return taken + (f" ({examples})" if examples else "")


def _default(info: FieldInfo) -> str:
    default = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(default, str):
        return f"`{default}`"
    return "`false`" if default is False else ""


if __name__ == "__main__":
    print(page(), end="")
