"""`throughline contracts diff`, `approve`, `release`: against what was released last.

A released document is a copy under `contracts/published/released`, kept by the sums in its
manifest. What breaks callers needs an approval of exactly that change, by its fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

import msgspec

from apis.console.contract_checks import PUBLISHED
from apis.console.contract_consumers import Consumer
from apis.gateway.documents import load_documents, read_document
from contracts.api_changes import api_changes, name_of, removed
from contracts.changes import Change, Document
from contracts.errors import Misconfigured, NotFound, Rejected
from contracts.schema_changes import schema_changes
from contracts.schemas import MANIFEST, digest, manifest_of

RELEASED = PUBLISHED / "released"
APPROVALS = PUBLISHED / "approvals.json"


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That one breaking change may be: by whom, when, why, and who used what it takes away."""

    fingerprint: str
    document: str
    rule: str
    says: str
    by: str
    at: datetime
    reason: str
    days: int
    consumers: list[Consumer]


class Compared(msgspec.Struct, frozen=True):
    """What was compared, every change, and what that means for the gate."""

    documents: list[str]
    changes: list[Change]
    approvals: list[Approval] = []

    @property
    def refused(self) -> list[Change]:
        """What breaks callers and was not approved."""
        return [each for each in self.changes if each.level == "error" and not self.approved(each)]

    def approved(self, change: Change) -> Approval | None:
        """The approval of exactly this change."""
        wanted = change.document, change.fingerprint
        found = (each for each in self.approvals if (each.document, each.fingerprint) == wanted)
        return next(found, None)

    @property
    def stale(self) -> list[Approval]:
        """Approvals of changes that are not there, of the documents compared."""
        there = {(each.document, each.fingerprint) for each in self.changes}
        return [
            each
            for each in self.approvals
            if each.document in self.documents and (each.document, each.fingerprint) not in there
        ]


def compared(today: date, *targets: str) -> Compared:
    """The differences of these versions, or of all, from what was released last."""
    old, new = released(), load_documents(PUBLISHED / "openapi")
    for target in targets:
        if target not in old and target not in new:
            told = f"there is no {target}: known are {', '.join(sorted(old | new))}"
            raise NotFound("contract.unknown", told)
        if target not in old:
            told = f"{target} was never released: nothing is promised of it yet"
            raise NotFound("contract.unreleased", told, remedy="throughline contracts release")
    names = list(targets or sorted(old))
    return Compared(names, of_documents(old, new, today, names), approvals())


def of_documents(
    old: Mapping[str, Document], new: Mapping[str, Document], today: date, names: Iterable[str]
) -> list[Change]:
    """Every change of these documents; one that is gone is a change too."""
    found = []
    for name in names:
        if name in new:
            found += api_changes(old[name], new[name], today=today, name=name)
        else:
            found += removed(old[name], today=today, name=name)
    return found


def of_files(old: Path, new: Path, today: date) -> Compared:
    """The differences of two files: OpenAPI documents, or JSON Schemas of their own."""
    was, now = (read_any(file) for file in (old, new))
    if ("openapi" in was) != ("openapi" in now):
        told = f"{old} and {new} are not of one kind"
        raise Rejected("contract.not-comparable", told)
    name = name_of(now) or new.name
    try:
        if "openapi" in was:
            changes = api_changes(was, now, today=today, name=name)
        else:
            changes = schema_changes(was, now, name=name, today=today)
    except ValueError as error:
        raise Rejected("contract.not-comparable", str(error)) from error
    return Compared([name], changes, approvals())


def read_any(file: Path) -> Document:
    """An OpenAPI document (JSON or YAML), or a JSON Schema."""
    try:
        if file.suffix == ".json":
            told = json.loads(file.read_bytes())
            if isinstance(told, dict) and "openapi" not in told:
                return told
        return read_document(file)
    except OSError as error:
        raise Misconfigured("contract.unreadable", f"{file}: {error.strerror}") from error
    except ValueError as error:
        raise Misconfigured("contract.unreadable", f"{file}: {error}") from error


def released() -> dict[str, Document]:
    """The documents as they were released last; Misconfigured if one of them was edited."""
    manifest = manifest_of(RELEASED) if RELEASED.exists() else {}
    for place, known in manifest.items():
        file = RELEASED / place
        if not file.exists() or digest(file.read_text("utf-8")) != known:
            told = f"{file} is not what was released: released documents are never edited"
            raise Misconfigured("contract.released-edited", told, remedy="take it back from git")
    return load_documents(RELEASED)


def release(today: date, *targets: str) -> list[str]:
    """Keep these documents, or all, as released; Rejected while they break what was before."""
    old, new = released(), load_documents(PUBLISHED / "openapi")
    if unknown := sorted(set(targets) - new.keys() - old.keys()):
        raise NotFound("contract.unknown", f"there is no {', '.join(unknown)}")
    names = list(targets or sorted(old | new))
    known = [name for name in names if name in old]
    found = Compared(known, of_documents(old, new, today, known), approvals())
    if found.refused:
        told = "\n".join(f"{each.fingerprint}  {each.says}" for each in found.refused)
        raise Rejected(
            "contract.breaks", f"these changes break callers:\n{told}",
            remedy="throughline contracts approve <fingerprint>, or take them back",
        )  # fmt: skip
    manifest = manifest_of(RELEASED) if RELEASED.exists() else {}
    for name in names:
        file = RELEASED / f"{name}.json"
        if name not in new:
            file.unlink()
            manifest.pop(f"{name}.json", None)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        text = (PUBLISHED / "openapi" / f"{name}.json").read_text("utf-8")
        file.write_text(text, "utf-8")
        manifest[f"{name}.json"] = digest(text)
    told = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
    (RELEASED / MANIFEST).write_text(told, "utf-8")
    write_approvals([each for each in approvals() if each.document not in names])
    return names


def approvals() -> list[Approval]:
    """What was approved and is not released yet."""
    try:
        text = APPROVALS.read_bytes() if APPROVALS.exists() else b"[]"
        return msgspec.json.decode(text, type=list[Approval])
    except msgspec.MsgspecError as error:
        raise Misconfigured("contract.approvals", f"{APPROVALS}: {error}") from error


def write_approvals(kept: list[Approval]) -> None:
    """Write them in order, so that a change of the file reads as one."""
    if not kept and not APPROVALS.exists():
        return
    kept = sorted(kept, key=lambda each: (each.document, each.fingerprint))
    text = msgspec.json.format(msgspec.json.encode(kept), indent=2)
    APPROVALS.write_bytes(text + b"\n")


def breaking_change(today: date, fingerprint: str) -> Change:
    """The change that is meant; NotFound where nothing of the kind breaks callers now."""
    found = compared(today)
    for change in found.changes:
        if change.fingerprint == fingerprint and change.level == "error":
            return change
    told = f"no breaking change has the fingerprint {fingerprint}"
    raise NotFound("contract.no-such-change", told, remedy="throughline contracts diff lists them")


def approve(approval: Approval) -> None:
    """Let one change be; approved again, the later reason counts."""
    others = [
        each
        for each in approvals()
        if (each.document, each.fingerprint) != (approval.document, approval.fingerprint)
    ]
    write_approvals([*others, approval])
