"""The event catalog as a page: what is announced, by whom, in which order, and who reads it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from apis.gateway.guard import JSON, Refusal
from apis.portal.asking import Asked, Reply, Routes
from apis.portal.changelog import inline
from apis.portal.examples import Examples
from apis.portal.layout import ROOT, SIGN_IN_PATH, layout
from apis.portal.markup import Html, a, badge, code, e, facts, joined, notice
from apis.portal.missing import nothing_here
from apis.portal.shapes import members, schema_sections
from apis.runtime.deployment import loaded
from apis.runtime.worker import PROJECTIONS
from contracts.events import CATALOG, EventType
from contracts.schemas import PUBLISHED

PAGE = f"{ROOT}/events"
ASYNCAPI = f"{ROOT}/asyncapi.json"
FILE = PUBLISHED / "asyncapi.json"
STARTS = "process_apis.starts:HEARD"
NAMES = "#/components/schemas/{name}"


class EventsPage:
    """The events of the firm: people of the firm see them."""

    def __init__(self, file: Path = FILE) -> None:
        self._file = file
        self._made = cache(self._body)

    @property
    def routes(self) -> Routes:
        """Its pages."""
        return {("GET", PAGE): self.page, ("GET", ASYNCAPI): self.document}

    async def page(self, asked: Asked) -> Reply:
        """Every type of event."""
        if not asked.who.internal:
            way = a(f"{SIGN_IN_PATH}?next={PAGE}", "Sign in") if asked.who.name is None else None
            told = notice("mark", e("p", "Events are for people of the firm. ", way))
            body = joined([e("h1", "Events"), told])
        else:
            body = self._made()
        return Reply(layout("Events", body, who=asked.who, current="events"))

    async def document(self, asked: Asked) -> Reply | Refusal:
        """The AsyncAPI document, where one is published."""
        if not asked.who.internal or not self._file.is_file():
            return nothing_here(asked)
        return Reply(self._file.read_bytes(), kind=JSON)

    def _body(self) -> Html:
        lead = (
            "What has happened is announced once, as a CloudEvent. Events with the same value at "
            "the ordering key are read in order; readers start where they left off."
        )
        known = self._file.is_file()
        found, document = schemas()
        links = [
            e("li", a(f"#{name}", e("code", name)), " ", badge(row.version))
            for name, row in CATALOG.items()
        ]
        return joined(
            [
                e("h1", "Events"),
                e("p", lead, class_="lead"),
                e("p", a(ASYNCAPI, "asyncapi.json")) if known else None,
                e("nav", e("ul", links), class_="contents", aria_label="Types of events"),
                [
                    self._event(row, schema, document)
                    for row, schema in zip(CATALOG.values(), found, strict=True)
                ],
                schema_sections(document),
            ]
        )

    @staticmethod
    def _event(row: EventType, schema: dict[str, Any], document: dict[str, Any]) -> Html:
        example = Examples(document, whole=True).of(schema)
        readers = [name for name, types in readers_of().items() if row.type in types]
        return e(
            "section",
            e("h2", row.type, class_="mono"),
            e("p", inline(row.title)),
            facts(
                [
                    ("Version", row.version),
                    ("Announced by", f"{row.owner} tier"),
                    ("Ordering key", e("code", row.key)),
                    ("Read by", ", ".join(readers) or "nobody of ours"),
                ]
            ),
            _folded("Payload", members(schema, document)),
            _folded("Example", code(json.dumps(example, indent=2), label=f"Example of {row.type}")),
            class_="operation",
            id=row.type,
        )


def _folded(title: str, inside: Html | None) -> Html:
    return e("details", e("summary", title), e("div", inside, class_="inside"))


def schemas() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The schema of each payload, and the document their references lead into."""
    payloads = [row.payload for row in CATALOG.values()]
    found, held = msgspec.json.schema_components(payloads, ref_template=NAMES)
    return list(found), {"components": {"schemas": held}}


def readers_of() -> Mapping[str, Collection[str]]:
    """Who reads which types: what starts flows, and the read models of the audiences."""
    return {"starts of flows": loaded(STARTS)} | {
        f"read model of {each.reader}": each.types for each in loaded(PROJECTIONS)
    }
