"""What the gate says of every kind of change: rows of data, both refusals and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.api_changes import api_changes
from contracts.changes import Change, Document
from contracts.schema_changes import schema_changes

TODAY = date(2026, 11, 22)
CASES = yaml.safe_load((Path(__file__).parent / "diff_cases.yaml").read_text("utf-8"))
FORMS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "request": lambda told: {"requestBody": {"content": {"application/json": {"schema": told}}}},
    "response": lambda told: {
        "responses": {"200": {"content": {"application/json": {"schema": told}}}}
    },
    "parameter": lambda told: {"parameters": [{"name": "p", "in": "query", "schema": told}]},
    "operation": lambda told: told,
}


def document(operation: dict[str, Any]) -> Document:
    """A document of one operation."""
    whole = {"operationId": "listDeals", **operation}
    return {"openapi": "3.1.0", "info": {}, "paths": {"/deals": {"post": whole}}}


def found(case: dict[str, Any]) -> list[Change]:
    if "event" in case:
        mode, old, new = case["event"]
        return schema_changes(old, new, name="deal.won", mode=mode, today=TODAY)
    if "document" in case:
        old, new = case["document"]
        return api_changes({"openapi": "3.1.0", **old}, {"openapi": "3.1.0", **new}, today=TODAY)
    kind = next(kind for kind in FORMS if kind in case)
    old, new = (document(FORMS[kind](told)) for told in case[kind])
    return api_changes(old, new, today=TODAY)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["that"].replace(" ", "-"))
def test_a_change_is_what_the_table_says(case):
    assert [f"{each.level} {each.rule}" for each in found(case)] == case["says"]


def test_there_are_rows_for_refusals_and_for_what_is_allowed():
    refused = [case for case in CASES if any(told.startswith("error") for told in case["says"])]
    assert len(refused) >= 60
    assert len(CASES) - len(refused) >= 40


# Fingerprints ---------------------------------------------------------------------------------


def won(**changed: Any) -> Document:
    schema = {"properties": {"name": {"type": "string"}, "state": {"type": "string"}}}
    schema["properties"].update(changed)
    return document(FORMS["request"](schema))


def prints(old: Document, new: Document) -> set[str]:
    return {each.fingerprint for each in api_changes(old, new, today=TODAY, name="crm/v1")}


def test_a_fingerprint_survives_a_reordering_and_other_changes_beside_it():
    old, new = won(), won(state={"type": "integer"})
    turned = deepcopy(new)
    body = turned["paths"]["/deals"]["post"]["requestBody"]["content"]["application/json"]
    fields = body["schema"]["properties"]
    body["schema"]["properties"] = {**dict(reversed(fields.items())), "more": {}}

    (told,) = prints(old, new)

    assert len(told) == 12
    assert told in prints(old, turned)


def test_another_change_of_the_same_field_has_another_fingerprint():
    other = prints(won(), won(state={"type": "boolean"}))
    assert not other & prints(won(), won(state={"type": "integer"}))


def test_the_same_change_of_another_api_has_another_fingerprint():
    new = won(state={"type": "integer"})
    mine = {each.fingerprint for each in api_changes(won(), new, today=TODAY, name="crm/v1")}
    theirs = {each.fingerprint for each in api_changes(won(), new, today=TODAY, name="crm/v2")}
    assert not mine & theirs


def test_a_change_names_its_operation_its_field_and_its_place_in_the_document():
    (told,) = api_changes(won(), won(state={"type": "integer"}), today=TODAY)

    assert told.operation == "listDeals"
    assert told.field == "body:/state"
    assert told.pointer == (
        "/paths/~1deals/post/requestBody/content/application~1json/schema/properties/state"
    )


def test_a_reference_that_leads_nowhere_is_said():
    broken = document(FORMS["request"]({"$ref": "#/components/schemas/Nobody"}))
    with pytest.raises(ValueError, match="#/components/schemas/Nobody leads nowhere"):
        api_changes(broken, broken, today=TODAY)
