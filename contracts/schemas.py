"""The published JSON Schemas: one frozen file per contract and version.

`python -m contracts.schemas` writes the versions that are not published yet and refuses to change
one that is; `--draft` rewrites the current ones while they have not been released.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from contracts import connections
from contracts.canonical import billing, contract, deal, party, project, resource, revenue, time
from contracts.errors import Problem
from contracts.events import CATALOG, Event
from contracts.runs import Backfill, Plan, Run, RunPage, WorkItem, WorkItemPage
from contracts.versions import current

PUBLISHED = Path(__file__).parent / "published"
MANIFEST = "manifest.json"
NOTES = frozenset({"title", "description", "default", "examples"})
"""Keywords that say something to people and nothing to a validator."""

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


def contracts() -> dict[str, type[msgspec.Struct]]:
    """Every published contract: records by their name, event payloads by their type."""
    return RECORDS | {name: row.payload for name, row in CATALOG.items()}


def schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema 2020-12 of a contract."""
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return dialect | msgspec.json.schema(struct)


def text_of(struct: type[msgspec.Struct]) -> str:
    """The schema as it is published: sorted and indented, so that a change reads as one."""
    return json.dumps(schema(struct), indent=2, sort_keys=True) + "\n"


def publish(folder: Path = PUBLISHED, *, draft: bool = False) -> list[str]:
    """Write what is not published yet; ValueError if a published file would change."""
    manifest = manifest_of(folder)
    written = []
    for name, struct in contracts().items():
        place = f"{name}/{current(name)}.json"
        text = text_of(struct)
        if manifest.get(place) == digest(text):
            continue
        if place in manifest and not draft:
            msg = f"{place} is published: give the contract its next version"
            raise ValueError(msg)
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
        manifest[place] = digest(text)
        written.append(place)
    told = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST).write_text(told, encoding="utf-8")
    return written


def manifest_of(folder: Path) -> dict[str, str]:
    """Published file -> sha256 of its text."""
    place = folder / MANIFEST
    found: dict[str, str] = json.loads(place.read_text("utf-8")) if place.exists() else {}
    return found


def digest(text: str) -> str:
    """What the manifest remembers of a file."""
    return hashlib.sha256(text.encode()).hexdigest()


def breaking(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What a reader or writer of the old schema could trip over in the new one."""
    was, now = old.get("$defs", {}), new.get("$defs", {})
    removed = [f"{name}: removed" for name in was.keys() - now.keys()]
    changed = (_changes(name, was[name], now[name]) for name in was.keys() & now.keys())
    top = [] if _accepts(_bare(old), _bare(new)) else ["the contract itself: changed"]
    return sorted(chain(removed, top, chain.from_iterable(changed)))


def _bare(whole: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in whole.items() if key not in ("$defs", "$schema")}


def _changes(name: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    was, now = old.get("properties", {}), new.get("properties", {})
    for field, kind in was.items():
        if field not in now:
            yield f"{name}.{field}: removed"
        elif not _accepts(kind, now[field]):
            yield f"{name}.{field}: changed or narrowed"
    for field in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        yield f"{name}.{field}: required now"


def _accepts(old: dict[str, Any], new: dict[str, Any]) -> bool:
    """Whether every value of the old form is one of the new form."""
    return all(any(_fits(was, now) for now in _options(new)) for was in _options(old))


def _options(kind: dict[str, Any]) -> Iterable[dict[str, Any]]:
    options: Iterable[dict[str, Any]] = kind.get("anyOf", [kind])
    return options


def _fits(old: dict[str, Any], new: dict[str, Any]) -> bool:
    for word in (old.keys() | new.keys()) - NOTES:
        was, now = old.get(word), new.get(word)
        if word == "enum" and was is not None and now is not None:
            if not set(was) <= set(now):
                return False
        elif word in ("items", "additionalProperties") and isinstance(was, dict):
            if not isinstance(now, dict) or not _accepts(was, now):
                return False
        elif was != now:
            return False
    return True


if __name__ == "__main__":
    for line in publish(draft="--draft" in sys.argv):
        print(line)  # noqa: T201 - a command's answer
