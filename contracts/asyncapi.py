"""The AsyncAPI 3 document of all events, made from the catalog."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from contracts.bounds import bounded
from contracts.events import CATALOG, Event, EventType

PLACE = "asyncapi.json"
VERSION = "1.0.0"
REFS = "#/components/schemas/{name}"
ABOUT = (
    "What the tiers announce: CloudEvents 1.0 in JSON. Events with one value at the ordering key "
    "are read in order; one may come twice, with the same id."
)


def document() -> dict[str, Any]:
    """Every event type: where it is told, by whom, in which order, and what it carries."""
    structs = [row.payload for row in CATALOG.values()]
    _, schemas = msgspec.json.schema_components([Event, *structs], ref_template=REFS)
    made = bounded({"schemas": schemas})["schemas"]
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Throughline events",
            "version": VERSION,
            "description": ABOUT,
            "contact": {"name": "integration"},
            "license": {"name": "Apache-2.0"},
            "tags": [{"name": "events", "description": "Everything that is announced."}],
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {
            "log": {
                "host": "database",
                "protocol": "sql",
                "description": "The event log in the deployment's own database, read by cursors.",
            }
        },
        "channels": {row.type: _channel(row) for row in CATALOG.values()},
        "operations": {f"announce.{row.type}": _operation(row) for row in CATALOG.values()},
        "components": {
            "messages": {row.type: _message(row) for row in CATALOG.values()},
            "schemas": made,
        },
    }


def text() -> str:
    """The document as it is published."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


def write(folder: Path) -> list[str]:
    """Publish it; answers what was written."""
    place = folder / PLACE
    if place.exists() and place.read_text("utf-8") == text():
        return []
    place.write_text(text(), "utf-8")
    return [PLACE]


def _channel(row: EventType) -> dict[str, Any]:
    return {
        "address": row.type,
        "title": row.title,
        "messages": {row.type: {"$ref": f"#/components/messages/{row.type}"}},
    }


def _operation(row: EventType) -> dict[str, Any]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{row.type}"},
        "title": row.title,
        "description": _told(row),
        "tags": [{"name": "events", "description": "Everything that is announced."}],
        "messages": [{"$ref": f"#/channels/{row.type}/messages/{row.type}"}],
    }


def _told(row: EventType) -> str:
    """What its payload says of itself."""
    return inspect.cleandoc(row.payload.__doc__ or row.title)


def _message(row: EventType) -> dict[str, Any]:
    data = {"$ref": REFS.format(name=row.payload.__name__)}
    told = {
        "type": {"const": row.type},
        "dataschema": {"const": f"/contracts/{row.type}/{row.version}"},
        "data": data,
    }
    return {
        "name": row.type,
        "title": row.title,
        "contentType": "application/cloudevents+json",
        "payload": {"allOf": [{"$ref": REFS.format(name="Event")}, {"properties": told}]},
        "x-owner": row.owner,
        "x-category": row.category,
        "x-ordering-key": row.key,
        "x-compatibility": row.mode,
        "x-schema-version": row.version,
    }
