"""`throughline contracts diff`, `approve`, `release`: against what was released last.

A released document or schema is a copy under `contracts/published/released`, kept by the sums in
its manifest. What breaks callers needs an approval of exactly that change, by its fingerprint.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from pathlib import Path

import jsonschema_rs as js
import msgspec

from apis.console.contract_checks import DIALECT, PUBLISHED, differences
from apis.console.contract_consumers import Consumer
from apis.gateway.documents import load_documents, read_document
from apis.gateway.shapes import shape_findings
from apis.runtime.openapi import RELEASED
from contracts.api_changes import api_changes, name_of, removed
from contracts.changes import At, Change, Document, Report, escaped
from contracts.errors import Misconfigured, NotFound, Rejected
from contracts.schema_changes import schema_changes
from contracts.schemas import MANIFEST, contracts, digest, manifest_of, meaning

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
    """For how many days uses were kept that could be looked at."""
    consumers: list[Consumer] | None
    """None where nobody counts: who reads an event or a record is not seen by a gateway."""
    used_by: list[str] = []
    """Our own APIs that are built on it."""


class Compared(msgspec.Struct, frozen=True):
    """What was compared, every change, and what that means for the gate."""

    documents: list[str]
    changes: list[Change]
    approvals: list[Approval] = []
    unreleased: list[str] = []
    """What is published of which nothing is promised yet."""

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
    old, new = released(), published()
    for target in targets:
        if target not in old and target not in new:
            known = sorted(name for name in old | new if not is_schema(name))
            raise NotFound(
                "contract.unknown", f"there is no {target}: known are {', '.join(known)}"
            )
        if target not in old:
            told = f"{target} was never released: nothing is promised of it yet"
            raise NotFound("contract.unreleased", told, remedy="throughline contracts release")
    names = list(targets or sorted(old))
    unreleased = sorted(new.keys() - old.keys()) if not targets else []
    return Compared(names, of_documents(old, new, today, names), approvals(), unreleased)


def of_documents(
    old: Mapping[str, Document], new: Mapping[str, Document], today: date, names: Iterable[str]
) -> list[Change]:
    """Every change of these documents and schemas; one that is gone is a change too."""
    found = []
    for name in names:
        if is_schema(name):
            found += of_schema(name, old[name], new.get(name), today)
        elif name in new:
            found += api_changes(old[name], new[name], today=today, name=name)
        else:
            found += removed(old[name], today=today, name=name)
    return found


def is_schema(name: str) -> bool:
    """Whether this is `<contract>/<version>`, and not `<tier>/<api>/v<major>`."""
    return name.count("/") == 1


def of_schema(name: str, old: Document, new: Document | None, today: date) -> list[Change]:
    """What became of a released version of a schema: it stays, or it breaks who holds to it."""
    report, at = Report(name, today), At(name, "", "")
    if new is None:
        report.add("error", "schema-removed", at, f"{name} is gone, or no longer registered")
    elif (now := meaning(new)) != (was := meaning(old)):
        place = next(differences(was, now, ""))
        says = f"{place} is another than was released: what is new is the next version"
        text = json.dumps(now, sort_keys=True)
        report.add("error", "schema-changed", at._replace(new=place), says, digest(text))
    return report.found


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
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        told = misshapen(old, was) or misshapen(new, now) or f"{old} or {new} is too deep"
        raise Rejected("contract.not-comparable", told) from error
    return Compared([name], changes, approvals())


def misshapen(file: Path, told: Document) -> str | None:
    """The first place where a file is not what OpenAPI 3.1 or JSON Schema has it."""
    try:
        if "openapi" in told:
            return next((f"{file}#{to(at)}: {says}" for at, says in shape_findings(told)), None)
        js.meta.validate({"$schema": DIALECT, **told})
    except js.ValidationError as error:
        return f"{file}#{to(error.instance_path)}: {error.message}"
    except RecursionError:
        return f"{file} is too deep"
    return None


def to(steps: Iterable[object]) -> str:
    """The JSON Pointer of a place."""
    return "".join(f"/{escaped(str(step))}" for step in steps)


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
    except RecursionError as error:
        raise Misconfigured("contract.unreadable", f"{file} is too deep") from error


def released() -> dict[str, Document]:
    """What was released last, schemas too; Misconfigured if any of it was edited."""
    manifest = manifest_of(RELEASED)
    there = {file.relative_to(RELEASED).as_posix() for file in RELEASED.rglob("*.json")}
    for place in sorted(there - {MANIFEST} | manifest.keys()):
        file = RELEASED / place
        if not file.exists() or digest(file.read_text("utf-8")) != manifest.get(place):
            told = f"{file} is not what was released: released documents are never edited"
            raise Misconfigured("contract.released-edited", told, remedy="take it back from git")
    return load_documents(RELEASED) | _schemas(RELEASED)


def published() -> dict[str, Document]:
    """What is published: documents, and the schemas that something is registered as."""
    return load_documents(PUBLISHED / "openapi") | {
        name: schema
        for name, schema in _schemas(PUBLISHED).items()
        if name.partition("/")[0] in contracts()
    }


def _schemas(folder: Path) -> dict[str, Document]:
    places = [place for place in manifest_of(folder) if place.count("/") == 1]
    return {
        place.removesuffix(".json"): json.loads((folder / place).read_bytes())
        for place in places
        if (folder / place).exists()
    }


def source(name: str) -> Path:
    """The file of what is published by this name."""
    return (PUBLISHED if is_schema(name) else PUBLISHED / "openapi") / f"{name}.json"


def release(today: date, *targets: str) -> list[str]:
    """Keep these, or all, as released; Rejected while they break what was before."""
    old, new = released(), published()
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
    manifest = manifest_of(RELEASED)
    for name in names:
        file = RELEASED / f"{name}.json"
        if name not in new:
            file.unlink()
            manifest.pop(f"{name}.json", None)
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        text = source(name).read_text("utf-8")
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


def breaking_change(today: date, fingerprint: str) -> tuple[Change, Document]:
    """The change that is meant, of what was released; NotFound where nothing of it breaks."""
    found = compared(today)
    for change in found.changes:
        if change.fingerprint == fingerprint and change.level == "error":
            return change, released()[change.document]
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
