"""OpenAPI documents: those we publish, and those of APIs that run elsewhere."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from apis.gateway.policy import Gateway, PolicyError, place_of
from apis.gateway.shapes import METHODS, unreadable
from apis.runtime.typed_yaml import plain_yaml
from contracts.errors import Misconfigured

Document = dict[str, Any]
MOST_NAME = 200
"""Of an operation: what was decided is kept by it."""


def load_documents(folder: Path) -> dict[str, Document]:
    """Read the published documents, by `<tier>/<api>/v<major>`."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_bytes())
        for path in sorted(folder.glob("*/*/v*.json"))
    }


def foreign_documents(gateway: Gateway, folder: Path) -> dict[str, Document]:
    """Read the documents `gateway.yaml` names, relative to its folder; PolicyError tells all."""
    read: dict[str, Document] = {}
    found = []
    for name, api in gateway.apis.items():
        for major, version in api.versions.items():
            if (file := version.document or api.document) is None:
                continue
            try:
                read[f"{name}/v{major}"] = read_document(folder / file)
            except (OSError, ValueError, Misconfigured) as error:
                told = error.detail if isinstance(error, Misconfigured) else str(error)
                at = (*place_of(name), "document")
                found += [gateway.lines.told(at, line) for line in told.splitlines()]
    if found:
        raise PolicyError(found)
    return read


def read_document(file: Path) -> Document:
    """Read one document, JSON or YAML; an operation without an id is called by its path."""
    read, lines = plain_yaml(file.name, file.read_text("utf-8"))
    document: Any = _plain(read)
    if not isinstance(document, dict) or not str(document.get("openapi")).startswith("3.1"):
        msg = f"{file}: an OpenAPI 3.1 document is expected"
        raise ValueError(msg)
    if found := [lines.told(*each) for each in unreadable(document)]:
        raise ValueError("\n".join(found))
    seen: set[str] = set()
    for path, item in document["paths"].items():
        for method in METHODS:
            if (operation := item.get(method)) is None:
                continue
            name = operation.setdefault("operationId", f"{method} {path}")
            if name in seen or len(name) > MOST_NAME or not name.isprintable():
                told = "two operations are" if name in seen else "no operation can be"
                msg = f"{file}: {told} called {name[:MOST_NAME]}"
                raise ValueError(msg)
            seen.add(name)
    return document


def _plain(value: Any) -> Any:
    """With fractions as JSON has them."""
    if isinstance(value, dict):
        return {str(name): _plain(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return float(value) if isinstance(value, Decimal) else value
