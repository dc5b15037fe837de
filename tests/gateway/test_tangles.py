"""Schemas whose forms hold each other: a wrong value is refused at once, and not told in full."""

from __future__ import annotations

from typing import Any

import pytest

from apis.gateway.schemas import FORMLESS, Fault, Schemas

FILTER = "#/components/schemas/Filter"
DEEP = 30


def joined(word: str) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["op", "left", "right"],
        "properties": {"op": {"const": word}, "left": {"$ref": FILTER}, "right": {"$ref": FILTER}},
    }


LEAF = {
    "type": "object",
    "required": ["op", "field"],
    "properties": {"op": {"const": "has"}, "field": {"type": "string"}},
}


def check(union: str, *forms: dict[str, Any], **more: Any) -> Any:
    schemas = {"Filter": {union: list(forms)}, **more}
    return Schemas({"components": {"schemas": schemas}}).check("components", "schemas", "Filter")


@pytest.mark.parametrize("union", ["oneOf", "anyOf"])
def test_a_deep_filter_with_one_wrong_leaf_is_told_as_one_fault(union: str) -> None:
    wrong: dict[str, Any] = {"op": "has", "field": 5}
    for _ in range(DEEP):
        wrong = {"op": "and", "left": wrong, "right": {"op": "has", "field": "a"}}
    held = check(union, joined("and"), joined("or"), LEAF)

    assert list(held.faults(wrong)) == [Fault((), "invalid", FORMLESS)]
    assert list(held.faults({"op": "has", "field": "a"})) == []


def test_forms_that_reach_each_other_through_another_schema_are_seen() -> None:
    inner = {"type": "object", "required": ["not"], "properties": {"not": {"$ref": FILTER}}}
    held = check("oneOf", {"$ref": "#/components/schemas/Inner"}, joined("or"), Inner=inner)

    assert list(held.faults(5)) == [Fault((), "invalid", FORMLESS)]


@pytest.mark.parametrize(
    "forms",
    [
        ({"type": "null"}, joined("and")),
        (joined("and"), LEAF),
    ],
)
def test_where_one_form_alone_leads_back_what_is_wrong_is_told(forms: Any) -> None:
    assert [each.code for each in check("oneOf", *forms).faults(5)] == ["wrong-type"]
