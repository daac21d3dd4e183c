"""The scene as JSON: every element and wire, with state and details, without places."""

from __future__ import annotations

import json
from typing import Any

from bascule.draw.formats import Options
from bascule.draw.scene.elements import Scene
from bascule.model.guarding import GuardLevel


def _document(scene: Scene, date: str | None) -> dict[str, Any]:
    """The scene as plain values; empty ones are left out."""
    nodes = [
        _without_empty(
            {
                "id": node.id,
                "layer": node.layer.name.lower(),
                "kind": str(node.kind),
                "label": node.label,
                "host": node.host,
                "network": node.network,
                "presence": str(node.presence),
                "state": str(node.state),
                "guard": "" if node.guard is GuardLevel.OFF else str(node.guard),
                "fdb": "static" if node.static_fdb else "",
                "notes": list(node.notes),
                "details": list(node.details),
                "drift": list(node.drift),
                "members": list(node.members),
            }
        )
        for node in scene.nodes.values()
    ]
    edges = [
        _without_empty(
            {
                "upper": edge.upper,
                "lower": edge.lower,
                "network": edge.network,
                "presence": str(edge.presence),
                "state": str(edge.state),
            }
        )
        for edge in scene.edges
    ]
    arrows = [
        {"machine": a.machine, "sources": list(a.sources), "from": list(a.origins), "to": a.to} for a in scene.arrows
    ]
    data: dict[str, Any] = {"site": scene.site, "nodes": nodes, "edges": edges, "arrows": arrows}
    if scene.digest:
        data["sha256"] = scene.digest
    if scene.drift:
        data["drift"] = list(scene.drift)
    if date:
        data["date"] = date
    if scene.path:
        path = scene.path
        data["path"] = {
            "from": path.source,
            "to": path.target,
            "nodes": list(path.nodes),
            "edges": list(path.edges),
            "reached": path.reached,
            "end": path.end,
        }
    return data


def render(scene: Scene, options: Options) -> str:
    """One document with the schema's name, as every verb's ``--json`` prints it."""
    return json.dumps({"schema": "bascule/draw/1", "ok": True, **_document(scene, options.date)}, indent=2) + "\n"


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", [])}
