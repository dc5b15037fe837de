"""What a version's page says is true: examples are accepted, samples read, its state is told."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from apis.gateway.compiled import compile_policy
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.policy import load_gateway
from apis.portal.app import Portal
from apis.portal.entries import entries_of
from apis.portal.examples import Examples
from apis.portal.lineage import Edge, Lineage
from apis.portal.operations import Operation, operations_of
from apis.portal.samples import curl, javascript, python
from apis.portal.shapes import bounds, members, sent, words
from tests.gateway.bench import GATEWAY, HERE, ISSUER, Bench
from tests.gateway.portal import Browser
from tests.gateway.test_foreign import POLICY
from tests.portal.conftest import SHIPPED
from tests.portal.pages import Page

DOCUMENTS = load_documents(Path("contracts/published/openapi"))
SHOP = POLICY.replace("clients:\n", 'people:\n  ann: {password: "home:people.json"}\nclients:\n')


def every_operation() -> Iterator[tuple[str, Operation, dict[str, Any]]]:
    policy = compile_policy(load_gateway(SHIPPED), DOCUMENTS)
    for target, mount in policy.mounts.items():
        for operation in operations_of(mount):
            yield f"{target} {operation.id}", operation, mount.document
    gateway = load_gateway(SHOP)
    foreign = compile_policy(gateway, foreign_documents(gateway, HERE / "foreign"))
    for mount in foreign.mounts.values():
        for operation in operations_of(mount):
            yield f"shop {operation.id}", operation, mount.document


OPERATIONS = [pytest.param(*rest, id=name) for name, *rest in every_operation()]


def accepted(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> None:
    """Raise where a value does not fit a schema of a document."""
    whole = {**schema, "components": document.get("components", {})}
    jsonschema.Draft202012Validator(whole).validate(value)


@pytest.mark.parametrize(("operation", "document"), OPERATIONS)
def test_the_example_of_a_body_is_accepted(operation: Operation, document: dict[str, Any]) -> None:
    if operation.body is not None:
        accepted(operation.example, operation.body, document)


@pytest.mark.parametrize(("operation", "document"), OPERATIONS)
def test_the_example_of_an_answer_is_one(operation: Operation, document: dict[str, Any]) -> None:
    examples = Examples(document, whole=True)
    for answer in operation.answers:
        if answer.schema is not None and answer.status.startswith("2"):
            accepted(examples.of(answer.schema), answer.schema, document)


@pytest.mark.parametrize(("operation", "document"), OPERATIONS)
def test_samples_are_of_their_language(operation: Operation, document: dict[str, Any]) -> None:
    assert operation.id in json.dumps(document) or operation.method.lower() in operation.id
    compile(python(operation, ISSUER), "sample", "exec")
    words = shlex.split(curl(operation, ISSUER).replace("\\\n", " "))

    assert words[:2] == ["curl", "-sS"]
    assert f"{ISSUER}{operation.path.split('{')[0]}" in words[4]
    assert "{" not in words[4]
    if operation.body is not None:
        assert json.loads(words[words.index("-d") + 1]) == operation.example
    assert f'"{operation.method}"' in javascript(operation, ISSUER)


LOOP = {
    "components": {
        "schemas": {
            "Node": {
                "type": "object",
                "required": ["name", "next"],
                "properties": {
                    "name": {"type": "string"},
                    "next": {"anyOf": [{"$ref": "#/components/schemas/Node"}, {"type": "null"}]},
                    "more": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
                },
            },
            "Itself": {"$ref": "#/components/schemas/Itself"},
        }
    }
}


@pytest.mark.parametrize("whole", [True, False])
def test_a_schema_that_leads_back_to_itself_ends(*, whole: bool) -> None:
    node = {"$ref": "#/components/schemas/Node"}

    example = Examples(LOOP, whole=whole).of(node)

    accepted(example, node, LOOP)
    assert "next" in str(members(node, LOOP))
    assert members({"$ref": "#/components/schemas/Itself"}, LOOP) is None
    Examples(LOOP, whole=whole).of({"$ref": "#/components/schemas/Itself"})


ODD: list[dict[str, Any]] = [
    {},
    {"type": "object", "properties": {"any": True, "none": False}, "required": ["any"]},
    {"type": "array"},
    {"type": "array", "items": True},
    {"type": ["object", "null"], "additionalProperties": True},
    {"type": "object", "additionalProperties": {"type": "array", "items": {}}},
    {"$ref": "#/components/schemas/Nowhere"},
    {"anyOf": [True, {"type": "null"}]},
    {"oneOf": [{"type": "null"}]},
    {"enum": [None, 1, "<b>"]},
    {"const": False},
    {"type": "string", "pattern": "^Z{3}$", "minLength": 3},
    {"type": "integer", "maximum": -5},
    {"properties": {"a": {"allOf": [{"type": "string"}]}}},
]


@pytest.mark.parametrize("schema", ODD, ids=str)
def test_an_odd_schema_of_somebody_else_is_shown_too(schema: dict[str, Any]) -> None:
    shown = f"{words(schema, LOOP)}{members(schema, LOOP)}{[*bounds(schema)]}"

    assert "<b>" not in shown
    for whole in (True, False):
        json.dumps(Examples(LOOP, whole=whole).of(schema))


@pytest.mark.parametrize(
    "operation", [pytest.param(one.values[0], id=one.id) for one in OPERATIONS]
)
def test_an_operation_says_what_it_does_once_and_no_parameter_may_be_null(
    operation: Operation,
) -> None:
    assert operation.summary
    assert operation.summary != operation.description
    for each in operation.parameters:
        told = f"{words(each.schema, {})}{[*bounds(each.schema)]}"
        assert "null" not in told, each.name


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"anyOf": [{"type": "string", "maxLength": 5}, {"type": "null"}]}, "text"),
        ({"oneOf": [{"type": "integer"}, {"type": "null"}, {"type": "boolean"}]},
         "whole number or true or false"),
        ({"type": ["null", "string"], "enum": ["a", None]}, "text"),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "whole number or true or false"),
    ],
)  # fmt: skip
def test_a_parameter_is_shown_without_null(schema: dict[str, Any], told: str) -> None:
    assert words(sent(schema), {}) == told
    assert "null" not in str([*bounds(sent(schema))])


def test_what_must_hold_at_once_is_shown_as_one() -> None:
    named = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    both = {"allOf": [named, {"required": ["on"], "properties": {"on": {"format": "date"}}}]}

    assert Examples({}, whole=False).of(both).keys() == {"name", "on"}
    assert str(members(both, {})).count("required") == 2


async def seen(bench: Bench, person: str, path: str) -> httpx.Response:
    """A page as a person sees it."""
    bench.edge = bench.edge._replace(portal=Portal)
    bench.serve()
    browser = Browser(bench)
    await browser.opens("/portal/sign-in")
    await browser.signs_in(person)
    return await browser.opens(path)


async def test_a_version_that_ends_says_when_and_what_follows(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    listed = await seen(bench, "bob", "/portal?state=deprecated")
    page = await seen(bench, "bob", "/portal/apis/process/orders/v2")
    bench.store.close()

    assert "v2 deprecated, until 2027-06-30" in listed.text
    assert "deprecated since 2026-06-01 and ends on 2027-06-30" in page.text
    assert 'href="/portal/apis/process/orders/v3"' in page.text


async def test_a_version_announces_when_it_rehearses_its_end(tmp_path: Path) -> None:
    ends = "sunset: 2027-06-30}"
    brownouts = "[{at: 2027-01-11T23:45+01:00, minutes: 90}, {at: 2026-12-01T10:00Z, minutes: 30}]"
    text = GATEWAY.replace(ends, f"{ends[:-1]}, brownouts: {brownouts}}}")
    bench = Bench(tmp_path, text)

    page = await seen(bench, "bob", "/portal/apis/process/orders/v2")
    bench.store.close()

    times = ["2026-12-01 10:00 to 2026-12-01 10:30 UTC", "2027-01-11 22:45 to 2027-01-12 00:15 UTC"]
    assert "".join(f"<li>{each}</li>" for each in times) in page.text


async def test_an_api_that_runs_elsewhere_has_its_page_too(tmp_path: Path) -> None:
    documents = foreign_documents(load_gateway(SHOP), HERE / "foreign")
    bench = Bench(tmp_path, SHOP, documents)

    page = await seen(bench, "ann", "/portal/apis/experience/shop/v1")
    bench.store.close()

    assert page.status_code == 200
    assert Page(page.text).findings() == []
    assert "127.0.0.1:1/base" not in page.text


def test_the_picture_shows_whose_way_leads_through_an_api() -> None:
    policy = compile_policy(load_gateway(SHIPPED), DOCUMENTS)
    lineage = Lineage(entries_of(policy), policy.gateway.clients)

    around = lineage.around("process/deal-change")

    assert Edge("system/netsuite", "process/deal-change") in around
    assert Edge("process/deal-change", "experience/delivery") in around
    assert Edge("process/deal-change", "client/demo") in around
    assert not [edge for edge in around if "process/deal-to-project" in edge]
    assert "client/demo" not in lineage.users_of("system/kantata")
