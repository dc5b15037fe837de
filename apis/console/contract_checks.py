"""`throughline contracts check`: published as generated, by the rules, and breaking nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import jsonschema_rs as js
import msgspec

from apis.gateway.documents import load_documents
from apis.gateway.policy import Gateway
from apis.gateway.schemas import Schemas
from apis.gateway.shapes import shape_findings
from apis.runtime.deployment import policy_of
from apis.runtime.openapi import RELEASED, document_name, documents_of, text_of
from apis.runtime.settings import Settings
from apis.runtime.typed_yaml import read_yaml
from contracts import asyncapi, lint_events, lint_rules, schemas
from contracts.changes import Document, escaped
from contracts.events import CATALOG
from contracts.lint import Around, Finding, Look, Told, findings
from contracts.versions import current

PUBLISHED = Path("contracts/published")
EXEMPTIONS = Path("contracts/exemptions.yaml")
PROMISED = frozenset({"preview", "current", "deprecated"})
"""Versions that callers hold to."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Exemption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a rule lets be, where (an operation or a pointer, `*` for anything), and why."""

    rule: str
    document: str
    at: str
    reason: Annotated[str, msgspec.Meta(min_length=10)]

    def covers(self, finding: Finding) -> bool:
        """Whether this finding is let be."""
        where = (finding.pointer, finding.operation or "")
        return (
            self.rule == finding.rule
            and fnmatchcase(finding.document, self.document)
            and any(fnmatchcase(each, self.at) for each in where)
        )


def checked(settings: Settings) -> list[Finding]:
    """Everything that is wrong with what is published."""
    gateway = policy_of(settings)
    documents = load_documents(PUBLISHED / "openapi")
    found = [*not_generated(gateway, documents), *unreleased(gateway), *schema_findings()]
    return found + exempted(list(linted(gateway, documents)))


def not_generated(gateway: Gateway, documents: dict[str, Document]) -> Iterator[Finding]:
    """Documents that are not what the routes say, to the byte."""
    remedy = "python -m apis.runtime.openapi, with --draft while it is unreleased"
    for name, made in documents_of(gateway.own).items():
        file = PUBLISHED / "openapi" / f"{name}.json"
        if name not in documents:
            yield _not_generated(name, "", "it is not published", remedy)
        elif file.read_bytes() != (text := text_of(made).encode()):
            at = next(differences(documents[name], json.loads(text), ""), "")
            says = "it is not what the routes say, or, of an older major, what was released"
            yield _not_generated(name, at, says, remedy)


def unreleased(gateway: Gateway) -> Iterator[Finding]:
    """Versions that callers may hold to, and that nothing holds us to."""
    kept = schemas.manifest_of(RELEASED)
    served = {
        document_name(name, api, major): version.status
        for name, api in gateway.own.items()
        for major, version in api.versions.items()
    }
    for name, status in served.items():
        if status in PROMISED and f"{name}.json" not in kept:
            yield Finding(
                rule="released",
                document=name,
                pointer="",
                says=f"it is {status} and was never released: nothing keeps it as callers know it",
                remedy=f"throughline contracts release {name}",
            )


def differences(old: Any, new: Any, pointer: str) -> Iterator[str]:
    """Where two JSON values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            place = f"{pointer}/{escaped(name)}"
            if name not in old or name not in new:
                yield place
            else:
                yield from differences(old[name], new[name], place)
    elif old != new:
        yield pointer


def schema_findings() -> Iterator[Finding]:
    """JSON Schemas and the AsyncAPI document: as generated, and breaking nobody."""
    remedy = "python -m contracts.schemas, with --draft while it is unreleased"
    yield from edited(schemas.manifest_of(PUBLISHED))
    for name, struct in schemas.contracts().items():
        version = current(name)
        path = PUBLISHED / name / f"{version}.json"
        text = path.read_text("utf-8") if path.exists() else ""
        if text != schemas.text_of(struct):
            yield _not_generated(f"{name}/{version}", "", "it is not what the code says", remedy)
        for change in schemas.breaking(PUBLISHED, name):
            yield Finding(
                rule=change.rule,
                document=change.document,
                pointer=change.pointer,
                says=change.says,
                remedy="give the contract its next major version",
            )
    place = PUBLISHED / asyncapi.PLACE
    if not place.exists() or place.read_text("utf-8") != asyncapi.text():
        yield _not_generated(asyncapi.PLACE, "", "it is not what the catalog says", remedy)


def edited(manifest: dict[str, str]) -> Iterator[Finding]:
    """Files of any version that are not as they were published."""
    back = "take it back from git; what is new is another version"
    known = schemas.contracts()
    for place, sum_ in manifest.items():
        name, file = place.removesuffix(".json"), PUBLISHED / place
        if place.partition("/")[0] not in known:
            remedy = "register it; python -m contracts.schemas --draft drops what is unreleased"
            yield _not_generated(name, "", "nothing is registered by this name", remedy)
        elif not file.exists():
            yield _not_generated(name, "", "it is in the manifest, but not there", back)
        elif schemas.digest(file.read_text("utf-8")) != sum_:
            yield _not_generated(name, "", "it is not what the manifest has a sum of", back)
    for name in known:
        for file in sorted((PUBLISHED / name).glob("*.json")):
            if f"{name}/{file.name}" not in manifest:
                told = f"{name}/{file.stem}"
                yield _not_generated(told, "", "it is not in the manifest", back)


def linted(gateway: Gateway, documents: dict[str, Document]) -> Iterator[Finding]:
    """What the rules say of every document and of every event's schema."""
    around = around_of(gateway, documents)
    for name, document in documents.items():
        yield from findings(Look(name, document, around), lint_rules.RULES)
    for name, row in CATALOG.items():
        schema = json.loads(schemas.text_of(row.payload))
        yield from findings(Look(name, schema, around), lint_events.RULES)


def around_of(gateway: Gateway, documents: dict[str, Document]) -> Around:
    """Vendors' words, the schemas of systems alone, and what checks values and documents."""
    vendors = {api.vendor for api in gateway.apis.values() if api.vendor}
    shared = {kind.__name__ for kind in schemas.contracts().values()}
    every = [msgspec.json.schema(kind).get("$defs", {}) for kind in schemas.contracts().values()]
    shared |= {name for each in every for name in each}
    own = {
        name: schema
        for document, told in documents.items()
        if document.startswith("system/")
        for name, schema in told.get("components", {}).get("schemas", {}).items()
        if name not in shared
    }
    return Around(vendors, own, faults, shape)


def faults(document: Document, pointer: str, value: Any) -> list[str]:
    """What a value breaks of the schema at a place of the document."""
    steps = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    try:
        found = list(Schemas(document).check(*steps).faults(value))
    except ValueError as error:
        return [str(error)]
    return [f"{'/'.join(fault.path) or 'the value'} {fault.sentence}" for fault in found]


def shape(document: Document) -> list[Told]:
    """Where a document is not made as OpenAPI 3.1 has it, its schemas included."""
    found = [
        ("".join(f"/{escaped(str(step))}" for step in place), says)
        for place, says in shape_findings(document)
    ]
    named = document.get("components", {}).get("schemas", {})
    for name, schema in named.items():
        try:
            js.meta.validate({"$schema": DIALECT, **schema})
        except js.ValidationError as error:
            found.append((f"/components/schemas/{escaped(name)}", error.message))
    for pointer, reference in references(document, ""):
        if reference.startswith("#/") and not leads(document, reference):
            found.append((pointer, f"{reference} leads nowhere in this document"))
    return found


def references(node: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """Every `$ref` and where it stands."""
    pairs = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for name, value in pairs:
        place = f"{pointer}/{escaped(str(name))}"
        if name == "$ref" and isinstance(value, str):
            yield place, value
        else:
            yield from references(value, place)


def leads(document: Document, reference: str) -> bool:
    """Whether something stands where a reference leads."""
    node: Any = document
    for step in reference.removeprefix("#/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict) and name in node:
            node = node[name]
        else:
            return False
    return True


def exempted(found: list[Finding], file: Path = EXEMPTIONS) -> list[Finding]:
    """What is left of findings where some are let be, and the rows that let nothing be."""
    rows, lines = read_yaml(file.name, file.read_text("utf-8"), tuple[Exemption, ...])
    left = [each for each in found if not any(row.covers(each) for row in rows)]
    for index, row in enumerate(rows):
        if not any(row.covers(each) for each in found):
            left.append(
                Finding(
                    rule="exemption-unused",
                    document=lines.told((index,), row.document),
                    pointer=row.at,
                    says=f"nothing breaks {row.rule} here",
                    remedy="take the row out",
                )
            )
    return left


def _not_generated(document: str, pointer: str, says: str, remedy: str) -> Finding:
    return Finding(rule="generated", document=document, pointer=pointer, says=says, remedy=remedy)
