"""Every use of a field is noted once an hour, however deep in a body and by whichever gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from apis.gateway.fields import FIELDS, HOUR_S, MOST_NAMES, Fields, FieldUses, used_since
from apis.gateway.schemas import Schemas
from apis.runtime.clock import Clock
from apis.runtime.migrations import lift
from apis.runtime.store import Store

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = ("clerk", "crm/v1", "addDeal")
DEAL = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "deprecated": True},
        "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
        "rates": {"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Line"}},
        "terms": {"anyOf": [{"type": "null"}, {"properties": {"days": {}, "place/of": {}}}]},
    },
}
LINE = {
    "properties": {
        "hours": {},
        "role": {},
        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
    }
}
PARAMETERS = [
    {"name": "state", "in": "query", "schema": {"type": "string"}},
    {"name": "X-Old", "in": "header", "deprecated": True, "schema": {"type": "string"}},
    {"name": "X-New", "in": "header", "schema": {"type": "string"}},
]
ADD_DEAL = {
    "operationId": "addDeal",
    "parameters": PARAMETERS,
    "requestBody": {
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Deal"}}}
    },
}
DOCUMENT: dict[str, Any] = {
    "paths": {"/deals": {"post": ADD_DEAL, "get": {"operationId": "listDeals"}}},
    "components": {"schemas": {"Deal": DEAL, "Line": LINE}},
}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.set(NOON)
    return clock


@pytest.fixture
def fields() -> Fields:
    return Fields(Schemas(DOCUMENT), "/deals", "post")


def noted(store: Store) -> set[str]:
    return {row["field"] for row in store.read_now(used_since, 0.0)}


async def after(
    store: Store, uses: FieldUses, fields: Fields, value: Any, query: bytes = b""
) -> set[str]:
    uses.note(fields, KEY, (query, value, {}))
    await uses.close()
    return noted(store)


async def test_a_field_is_noted_wherever_it_stands(
    store: Store, clock: Clock, fields: Fields
) -> None:
    uses, body = FieldUses(store, clock), {"terms": {"days": 30, "place/of": "x", "other": 1}}

    found = await after(store, uses, fields, {**body, "unknown": {"days": 1}})
    assert found == {"body:/terms", "body:/terms/days", "body:/terms/place~1of"}

    found = await after(store, uses, fields, {**body, "lines": [{"role": "lead"}, {"hours": 2}]})
    assert found >= {"body:/lines", "body:/lines/*/role", "body:/lines/*/hours"}

    found = await after(store, uses, fields, {"rates": {"senior": {"hours": 1}}})
    assert found >= {"body:/rates", "body:/rates/*", "body:/rates/*/hours"}


async def test_a_field_that_was_not_used_before_is_not_missed_in_a_shape_that_was(
    store: Store, clock: Clock, fields: Fields
) -> None:
    uses = FieldUses(store, clock)
    for each in range(3):
        await after(store, uses, fields, {"lines": [{"hours": each}], "terms": None})

    found = await after(store, uses, fields, {"terms": {}, "lines": [{"hours": 1}, {"role": "x"}]})
    assert "body:/lines/*/role" in found
    assert "body:/name" not in found
    assert "body:/name" in await after(store, uses, fields, {"name": "x"})


async def test_a_schema_inside_itself_ends(store: Store, clock: Clock, fields: Fields) -> None:
    value: dict[str, Any] = {"role": "lead"}
    for _ in range(20):
        value = {"parts": [value]}

    found = await after(store, FieldUses(store, clock), fields, {"lines": [value]})
    assert found == {"body:/lines", "body:/lines/*/parts", "body:/lines/*/role"}


async def test_a_map_of_very_many_names_is_noted_without_them(
    store: Store, clock: Clock, fields: Fields
) -> None:
    uses, many = FieldUses(store, clock), 3 * MOST_NAMES
    await after(store, uses, fields, {"rates": {f"n{n}": {} for n in range(many)}})

    found = await after(store, uses, fields, {"rates": {"one-more": {"role": "lead"}}})
    assert found == {"body:/rates", "body:/rates/*", "body:/rates/*/role"}


async def test_parameters_are_noted_by_their_names_and_headers_once_deprecated(
    store: Store, clock: Clock, fields: Fields
) -> None:
    uses = FieldUses(store, clock)
    uses.note(fields, KEY, (b"st%61te=open&q=1", None, {b"x-old": b"1", b"x-new": b"1"}))
    await uses.close()

    assert noted(store) == {"query:state", "header:X-Old"}


async def test_what_is_deprecated_is_known_by_its_name(fields: Fields) -> None:
    assert fields.deprecated.keys() == {"body:/name", "header:X-Old"}


async def test_an_operation_that_takes_nothing_has_nothing_to_note() -> None:
    assert not Fields(Schemas(DOCUMENT), "/deals", "get").noted


async def test_a_use_within_the_hour_is_one_write_and_the_next_hour_s_another(
    store: Store, clock: Clock, fields: Fields
) -> None:
    uses = FieldUses(store, clock)
    await after(store, uses, fields, {"name": "x"})
    store.write_now(lambda connection: connection.execute(sa.delete(FIELDS)))

    assert await after(store, uses, fields, {"name": "y"}) == set()
    clock.advance(HOUR_S)
    assert await after(store, uses, fields, {"name": "z"}) == {"body:/name"}


async def test_gateways_write_to_one_place_at_once(
    store: Store, clock: Clock, fields: Fields
) -> None:
    gateways = [FieldUses(store, clock) for _ in range(2)]
    for each in gateways:
        each.note(fields, KEY, (b"state=open", {"name": "x", "terms": {"days": 1}}, {}))

    await asyncio.gather(*(each.close() for each in gateways))

    assert noted(store) == {"query:state", "body:/name", "body:/terms", "body:/terms/days"}
