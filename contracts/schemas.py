"""The published JSON Schemas: one frozen file per contract and version.

`python -m contracts.schemas` writes the versions that are not published yet and refuses to change
one that is; `--draft` rewrites the current ones, and drops what is no longer registered, while they
have not been released. Of a released one only descriptions may change.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from contracts import asyncapi, connections
from contracts.bounds import bounded
from contracts.canonical import billing, contract, deal, party, project, resource, revenue, time
from contracts.changes import Change
from contracts.errors import Problem
from contracts.events import CATALOG, Event
from contracts.runs import Backfill, Plan, Run, RunPage, WorkItem, WorkItemPage
from contracts.schema_changes import schema_changes
from contracts.versions import current

PUBLISHED = Path(__file__).parent / "published"
RELEASED = "released"
MANIFEST = "manifest.json"

RECORDS: dict[str, type[msgspec.Struct]] = {
    "legal-entity": party.LegalEntity,
    "customer": party.Customer,
    "contact": party.Contact,
    "deal": deal.Deal,
    "deal-file": deal.DealFile,
    "deal-page": deal.DealPage,
    "statement-of-work": deal.Sow,
    "contract": contract.Contract,
    "approval-limit": contract.ApprovalLimit,
    "service-package": contract.ServicePackage,
    "project-template": contract.ProjectTemplate,
    "delivery-terms": contract.DeliveryTerms,
    "rate-card": contract.RateCard,
    "project": project.Project,
    "staffing-request": project.StaffingRequest,
    "resource": resource.Resource,
    "assignment": resource.Assignment,
    "time-entry": time.TimeEntry,
    "expense": time.Expense,
    "billing-schedule": billing.BillingSchedule,
    "invoice": billing.Invoice,
    "credit-note": billing.CreditNote,
    "payment": billing.Payment,
    "revenue-schedule": revenue.RevenueSchedule,
    "run": Run,
    "run-page": RunPage,
    "plan": Plan,
    "backfill": Backfill,
    "work-item": WorkItem,
    "work-item-page": WorkItemPage,
    "connection": connections.Connection,
    "connection-page": connections.ConnectionPage,
    "problem": Problem,
    "event": Event,
}


PAYLOADS = frozenset(row.payload for row in CATALOG.values())


def contracts() -> dict[str, type[msgspec.Struct]]:
    """Every published contract: records by their name, event payloads by their type."""
    return RECORDS | {name: row.payload for name, row in CATALOG.items()}


def schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema 2020-12 of a contract."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    told = msgspec.json.schema(struct)
    return dialect | (bounded(told) if struct in PAYLOADS else told)


def text_of(struct: type[msgspec.Struct]) -> str:
    """The schema as it is published: sorted and indented, so that a change reads as one."""
    return json.dumps(schema(struct), indent=2, sort_keys=True) + "\n"


def publish(folder: Path = PUBLISHED, *, draft: bool = False) -> list[str]:
    """Write what is not published yet; ValueError if a published file would change."""
    manifest, kept = manifest_of(folder), manifest_of(folder / RELEASED)
    written = _dropped(folder, manifest, kept if draft else manifest)
    for name, struct in contracts().items():
        place = f"{name}/{current(name)}.json"
        text = text_of(struct)
        if manifest.get(place) == digest(text):
            continue
        if place in manifest and not draft:
            msg = f"{place} is published: give the contract its next version"
            raise ValueError(msg)
        if place in kept and meaning(_read(folder / RELEASED / place)) != meaning(json.loads(text)):
            msg = f"{place} was released: give the contract its next version"
            raise ValueError(msg)
        if found := breaking(folder, name):
            msg = f"{place} breaks who holds to the version before: {found[0].says}"
            raise ValueError(msg)
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
        manifest[place] = digest(text)
        written.append(place)
    told = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(told, encoding="utf-8")
    return written + asyncapi.write(folder)


def _dropped(folder: Path, manifest: dict[str, str], kept: Collection[str]) -> list[str]:
    """Take out what nothing is registered as any more; ValueError if that is to be kept."""
    gone = [place for place in manifest if place.partition("/")[0] not in contracts()]
    if promised := [place for place in gone if place in kept]:
        msg = f"{promised[0]} was promised, and nothing is registered by that name any more"
        raise ValueError(msg)
    for place in gone:
        (folder / place).unlink(missing_ok=True)
        del manifest[place]
    return gone


def meaning(told: Any) -> Any:
    """A schema without its descriptions: all that it asks of a value."""
    if isinstance(told, dict):
        return {
            name: meaning(held)
            for name, held in told.items()
            if name != "description" or not isinstance(held, str)
        }
    return [meaning(each) for each in told] if isinstance(told, list) else told


def _read(file: Path) -> Any:
    return json.loads(file.read_bytes())


def manifest_of(folder: Path) -> dict[str, str]:
    """Published file -> sha256 of its text."""
    place = folder / MANIFEST
    found: dict[str, str] = json.loads(place.read_text("utf-8")) if place.exists() else {}
    return found


def digest(text: str) -> str:
    """What the manifest remembers of a file."""
    return hashlib.sha256(text.encode()).hexdigest()


def earlier(folder: Path, name: str, version: str) -> str | None:
    """The published version before this one that promises to go on in it."""
    told = [int(part) for part in version.split(".")]
    found = [
        [int(part) for part in file.stem.split(".")] for file in (folder / name).glob("*.json")
    ]
    before = [each for each in found if each < told and each[0] == told[0]]
    return ".".join(map(str, max(before))) if before else None


def changes(folder: Path, name: str) -> list[Change]:
    """What the code of today says differently from the version that was published before it."""
    version = current(name)
    before = earlier(folder, name, version)
    if before is None:
        return []
    old = _read(folder / name / f"{before}.json")
    row = CATALOG.get(name)
    mode = row.mode if row else "backward"
    new = json.loads(text_of(contracts()[name]))
    return schema_changes(old, new, name=f"{name}/{version}", mode=mode)


def breaking(folder: Path, name: str) -> list[Change]:
    """What those who hold to the version before would trip over."""
    return [change for change in changes(folder, name) if change.level == "error"]


if __name__ == "__main__":
    try:
        done = publish(draft="--draft" in sys.argv)
    except ValueError as error:
        sys.exit(str(error))
    for line in done:
        print(line)  # noqa: T201 - a command's answer
