"""What can be called here: APIs, versions, operations, who owns them; built once, at start."""

from __future__ import annotations

from typing import Any

import msgspec

from apis.gateway.compiled import Policy
from apis.gateway.routes import Mount

CATALOG = "/catalog"


def catalog_pages(policy: Policy, issuer: str) -> dict[str, bytes]:
    """Make the catalog and each version's OpenAPI document, by path."""
    apis: dict[str, dict[str, Any]] = {}
    pages: dict[str, bytes] = {}
    for target, mount in policy.mounts.items():
        name, _, version = target.rpartition("/")
        tier, api = name.split("/")
        info = mount.document.get("info", {})
        entry = apis.setdefault(
            name,
            {
                "tier": tier,
                "api": api,
                "title": info.get("title", api),
                "owner": policy.gateway.apis[name].owner,
                "versions": [],
            },
        )
        page = f"{CATALOG}/{target}/openapi.json"
        entry["versions"].append(_version(version, mount, issuer, page))
        document = mount.document | {"servers": [{"url": f"{issuer}/{target}"}]}
        pages[page] = msgspec.json.encode(document)
    pages[CATALOG] = msgspec.json.encode({"apis": [apis[name] for name in sorted(apis)]})
    return pages


def _version(name: str, mount: Mount, issuer: str, page: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = mount.document.get("paths", {})
    described = {
        (operation["operationId"], method): (path.removeprefix(f"/{mount.target}"), operation)
        for path, item in paths.items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "operationId" in operation
    }
    state = mount.version
    return {
        "version": name,
        "release": mount.document.get("info", {}).get("version", ""),
        "status": state.status,
        "since": state.since,
        "sunset": state.sunset,
        "brownouts": [{"at": each.at, "minutes": each.minutes} for each in state.brownouts],
        "successor": issuer + mount.successor if mount.successor else None,
        "url": f"{issuer}/{mount.target}",
        "document": issuer + page,
        "operations": [
            {
                "id": route.operation,
                "method": method,
                "path": described[route.operation, method.lower()][0],
                "scope": route.scope,
                "summary": described[route.operation, method.lower()][1].get("summary", ""),
            }
            for method, route in mount.routes
        ],
    }
