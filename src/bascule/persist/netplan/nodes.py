"""netplan's YAML as nodes with their lines, and never deeper than a configuration is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from bascule.persist.formats.builder import Builder
from bascule.persist.netplan import FOLDER
from bascule.persist.netplan.broken_yaml import compose
from bascule.persist.parsed import Files

DEEPEST = 40  # levels of nesting; a netplan file has seven

Node = yaml.Node


def network_of(path: str, text: str, builder: Builder) -> yaml.MappingNode | None:
    """The mapping under ``network:``."""
    try:
        _check_depth(text)
        mended = compose(text)
    except ValueError as wrong:
        builder.left.add_file(path, text, str(wrong))
        return None
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else 0
        builder.left.add_file(
            path, text, f"not YAML: {wrong.problem or wrong.context}", min(line, text.count("\n") + 1)
        )
        return None
    except yaml.YAMLError as wrong:
        builder.left.add_file(path, text, f"not YAML: {str(wrong).splitlines()[0]}")
        return None
    root, lines = mended.root, text.split("\n")
    for number, why in mended.without:
        builder.left.add(path, number, lines[number - 1].strip(), why)
    if root is not None and not isinstance(root, yaml.MappingNode):
        builder.left.add_file(path, text, "not a mapping with 'network:'", 1)
    for key, value in pairs(root):
        if key.value == "network" and isinstance(value, yaml.MappingNode):
            return value
        builder.left.add(path, key.start_mark.line + 1, str(key.value), "only 'network:' is taken")
    return None


def networks(files: Files, builder: Builder) -> dict[str, yaml.MappingNode]:
    """What stands under ``network:`` in each of netplan's files, in the order in which it reads them."""
    paths = sorted(path for path in files if path.startswith(f"{FOLDER}/") and path.endswith((".yaml", ".yml")))
    found = ((path, network_of(path, files[path], builder)) for path in paths)
    return {path: network for path, network in found if network is not None}


def _check_depth(text: str) -> None:
    """Libyaml's composer recurses in C: what is nested absurdly must not reach it."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[{}\]]", text):
        depth = depth + 1 if bracket in "[{" else max(0, depth - 1)
        deepest = max(deepest, depth)
    if deepest > DEEPEST or re.search(r"(?:[-?:][ \t]+){20}|^[ ]{200}", text, re.MULTILINE):
        raise ValueError("nested too deeply for a configuration")


def pairs(node: Node | None) -> list[tuple[yaml.ScalarNode, Node]]:
    """The entries of a mapping whose keys are scalars; nothing for another node."""
    if not isinstance(node, yaml.MappingNode):
        return []
    return [(key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]


def definitions(group: Node) -> list[tuple[yaml.ScalarNode, Node]]:
    """What a group of links defines, without the renderer that it may name for all of them."""
    return [(key, body) for key, body in pairs(group) if key.value != "renderer"]


def renderer_of(mapping: Node) -> str:
    """Who is to make what this mapping says, or nothing where it does not say."""
    found = (body for key, body in pairs(mapping) if key.value == "renderer" and isinstance(body, yaml.ScalarNode))
    return next((str(body.value) for body in found), "")


def text_of(node: Node) -> str:
    """A scalar's text."""
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("a single value is expected")
    return str(node.value)


def items_of(node: Node) -> list[Node]:
    """What stands in a list. Raises ValueError for another node."""
    if not isinstance(node, yaml.SequenceNode):
        raise ValueError("a list is expected")
    return list(node.value)


def texts_of(node: Node) -> list[str]:
    """A list of scalars."""
    return list(map(text_of, items_of(node)))


def in_words(node: Node) -> str:
    """A node as YAML on one line, for notes."""
    if isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if isinstance(node, yaml.SequenceNode):
        return "[" + ", ".join(in_words(item) for item in node.value) + "]"
    if isinstance(node, yaml.MappingNode):
        return "{" + ", ".join(f"{in_words(key)}: {in_words(value)}" for key, value in node.value) + "}"
    return ""


def _listed(node: Node) -> list[str]:
    """The names in a list, also where something else stands among them, or one stands for a list."""
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [str(item.value) for item in items if isinstance(item, yaml.ScalarNode)]


def refused_members(
    group: str, ident: yaml.ScalarNode, body: Node, called: Mapping[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """Links that a definition makes or has that is not taken: patch ports of Open vSwitch, and the ports of a VRF."""
    if (group, ident.value) == ("openvswitch", "ports") and isinstance(body, yaml.SequenceNode):
        yield from ((port, "a patch port of Open vSwitch") for pair in body.value for port in _listed(pair))
    for key, value in pairs(body) if group == "vrfs" else ():
        for member in _listed(value) if key.value == "interfaces" else ():
            yield from ((link, f"in the VRF {ident.value}") for link in called.get(member, [member]))
