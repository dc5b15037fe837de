"""What the gate says of every kind of change: rows of data, both refusals and what is allowed."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts.api_changes import api_changes, name_of
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


def answer(schema: Any, **schemas: Any) -> Document:
    return {**document(FORMS["response"](schema)), "components": {"schemas": schemas}}


def ask(schema: Any, **schemas: Any) -> Document:
    return {**document(FORMS["request"](schema)), "components": {"schemas": schemas}}


def parameter(**told: Any) -> Document:
    return document({"parameters": [{"name": "p", "in": "query", "required": True, **told}]})


def body(schema: Any) -> Document:
    media = {"application/json": {"schema": schema}}
    return document({"requestBody": {"required": True, "content": media}})


def keyed(**told: Any) -> Document:
    schemes = {"securitySchemes": {"key": {"type": "apiKey", "in": "header", **told}}}
    return {**document({"security": [{"key": []}]}), "components": schemes}


def part(schema: Any, description: str = "") -> dict[str, Any]:
    return {"Part": {**schema, "description": description}, "Other": {"description": description}}


REFERS = {"$ref": "#/components/schemas/Part"}
TEXT, NUMBER, OTHER = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
SETS: list[tuple[Any, ...]] = [
    ("discriminator", answer({"discriminator": {"propertyName": "a"}}), *(
        answer({"discriminator": {"propertyName": name}}) for name in ("b", "c"))),
    ("not", ask({}), *(ask({"not": each}) for each in (TEXT, NUMBER))),
    ("not of a part", ask({}), *(
        ask({"not": REFERS}, **part(each)) for each in (TEXT, NUMBER))),
    ("dependent", ask({}), *(
        ask({"dependentRequired": {"a": names}}) for names in (["b"], ["b", "c"]))),
    ("if", ask({}), *(ask({"if": {}, "then": each}) for each in (TEXT, NUMBER))),
    ("contains", ask({}), *(ask({"contains": each}) for each in (TEXT, NUMBER))),
    ("new parameter", document({}), *(parameter(schema=each) for each in (TEXT, NUMBER))),
    ("new body", document({}), *(body(each) for each in (TEXT, NUMBER))),
    ("new property", ask({}), *(
        ask({"properties": {"a": each}, "required": ["a"]}) for each in (TEXT, NUMBER))),
    ("new property of a part", ask({}), *(
        ask({"properties": {"a": REFERS}, "required": ["a"]}, **part(each))
        for each in (TEXT, {"properties": {"iban": {}}, "required": ["iban"]}))),
    ("type", ask(TEXT), *(
        ask({"type": "object", "required": [name]}) for name in ("a", "b"))),
    ("null", answer({"type": "null"}), *(
        answer({"type": "string", "maxLength": most}) for most in (9, 10))),
    ("form", answer({"anyOf": [TEXT, NUMBER]}), *(
        answer({"anyOf": [TEXT, NUMBER, OTHER, {"type": "array", "maxItems": most}]})
        for most in (9, 10))),
    ("forms that are gone", *(
        ask({"anyOf": forms}) for forms in (
            [TEXT, NUMBER, OTHER, {"type": "object"}], [TEXT, OTHER], [TEXT, NUMBER]))),
    ("list of values", ask(TEXT), *(ask({**TEXT, "enum": [each]}) for each in ("a", "b"))),
    ("bound", ask(TEXT), *(ask({**TEXT, "maxLength": most}) for most in (9, 10))),
    ("pattern", ask(TEXT), *(ask({**TEXT, "pattern": like}) for like in ("^A", "^B"))),
    ("style", parameter(), parameter(style="spaceDelimited"), parameter(style="pipeDelimited")),
    ("default", parameter(), *(parameter(schema={"default": each}) for each in (1, True))),
    ("security", document({}), *(
        document({"security": [{"oauth": [scope]}]}) for scope in ("a.read", "b.read"))),
    ("scheme", keyed(name="A"), keyed(name="B"), keyed(name="C")),
    ("server", *({**document({}), "servers": [{"url": f"/{each}"}]} for each in "abc")),
    ("webhook", *({**document({}), "webhooks": {"w": {"post": {"responses": {each: {}}}}}}
                  for each in ("200", "201", "202"))),
    ("callback", *(document({"callbacks": {"c": {"{$url}": {"post": {"responses": {each: {}}}}}}})
                   for each in ("200", "201", "202"))),
    ("sunset", *(document({"deprecated": True, "x-sunset": day})
                 for day in ("2027-12-31", "2027-10-31", "2027-11-30"))),
]  # fmt: skip


def refusals(old: Document, new: Document) -> set[str]:
    found = api_changes(old, new, today=TODAY, name="crm/v1")
    return {each.fingerprint for each in found if each.level == "error"}


@pytest.mark.parametrize(
    ("old", "one", "other"), [row[1:] for row in SETS], ids=[r[0] for r in SETS]
)
def test_who_approves_one_change_approves_no_other_of_its_kind(old, one, other):
    approved, asked = refusals(old, one), refusals(old, other)

    assert approved
    assert asked - approved


def said(node: Any) -> Any:
    """The same document with other sentences, and an operation more."""
    if isinstance(node, list):
        return [said(each) for each in node]
    if not isinstance(node, dict):
        return node
    told = {name: said(value) for name, value in reversed(node.items())}
    if "paths" in node:
        told["paths"]["/more"] = {"get": {"operationId": "more"}}
        told["info"] = {"title": "More", "description": "Another sentence."}
    return {**told, "description": "Another."} if {"type", "in", "not"} & told.keys() else told


@pytest.mark.parametrize(("old", "new"), [row[1:3] for row in SETS], ids=[row[0] for row in SETS])
def test_other_sentences_another_order_and_other_operations_change_no_fingerprint(old, new):
    assert refusals(old, said(new)) == refusals(old, new)


def test_a_part_that_holds_itself_has_a_fingerprint_too():
    tree = {"properties": {"parts": {"type": "array", "items": REFERS}}}
    new = {"properties": {"a": REFERS}, "required": ["a"]}
    one = refusals(ask({}), ask(new, Part={**tree, "required": ["parts"]}))
    other = refusals(ask({}), ask(new, Part=tree))

    assert one
    assert other
    assert not one & other


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


@pytest.mark.parametrize("word", ["allOf", "anyOf"])
def test_a_schema_that_is_its_own_part_is_said(word):
    circle = ask(REFERS, Part={word: [TEXT, REFERS]})
    with pytest.raises(ValueError, match="refers to itself"):
        api_changes(circle, circle, today=TODAY)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"minItems": "3"}, "/minItems: a number is expected"),
        ({"maximum": True}, "/maximum: a number is expected"),
        ({"required": "a"}, "/required: a list is expected"),
        ({"properties": ["a"]}, "/properties: an object is expected"),
        ({"properties": {"a": "text"}}, "/properties/a: a schema is expected"),
        ({"pattern": 3}, "/pattern: a text is expected"),
    ],
)
def test_a_schema_that_is_none_is_said_with_its_place(schema, told):
    with pytest.raises(ValueError, match=told):
        schema_changes({"properties": {"a": TEXT}}, schema, name="deal.won")


@pytest.mark.parametrize(
    "other",
    [
        {"swagger": "2.0", "paths": {}},
        {"asyncapi": "3.0.0", "servers": {"bus": {"host": "bus"}}},
    ],
)
def test_a_document_of_another_kind_is_said(other):
    assert name_of(other) == ""
    with pytest.raises(ValueError, match=r"an OpenAPI 3\.1 document or a JSON Schema is expected"):
        schema_changes(other, other, name="other")
