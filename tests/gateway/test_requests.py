"""Every part of a request against the document of its API; all that is wrong is told at once."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apis.gateway.documents import read_document
from apis.gateway.policy import PolicyError
from tests.gateway.bench import HERE, Bench

POLICY = """
version: 1
plans: {internal: {rate: 100000/min}}
clients:
  clerk: {plan: internal, secret: home:clients.json, scopes: [shop.read, shop.write]}
apis:
  process:
    shop:
      app: "shop:app"
      scopes:
        shop.read: [findOrders, getOrder]
        shop.write: [placeOrder, dropLine, sendFile]
      modes: {requests: enforce}
"""
SHOP = read_document(HERE / "foreign" / "shop.yaml")
ROOT = "/process/shop/v1"
ID = "0198f2c4-7a10-7e66-8c1f-2f6d8f1f0a11"
LINE = {"sku": "a", "count": 2}
GOOD = {"customer": "Acme", "lines": [LINE]}


def bench_of(home: Path, policy: str = POLICY, document: dict[str, Any] = SHOP) -> Bench:
    return Bench(home, policy, {"process/shop/v1": document})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = bench_of(tmp_path)
    yield bench
    bench.store.close()


PARAMETERS = [
    ("/orders?top=5&state=open&tag=a&tag=b&ids=1,2&since=2026-01-01T00:00:00Z&open=true", []),
    ("/orders?top=-3&on=2026-01-31&price=1.5", []),
    ("/orders?top=50&price=-7&ids=", []),
    ("/orders", [("top", "query", "missing")]),
    ("/orders?top=51", [("top", "query", "out-of-range")]),
    ("/orders?top=5.0", [("top", "query", "wrong-type")]),
    ("/orders?top=05", [("top", "query", "wrong-type")]),
    ("/orders?top=%D9%A5", [("top", "query", "wrong-type")]),
    ("/orders?top=", [("top", "query", "wrong-type")]),
    ("/orders?top=1&top=2", [("top", "query", "repeated-parameter")]),
    ("/orders?top=1&state=lost", [("state", "query", "unknown-value")]),
    ("/orders?top=1&since=2026-01-01T00:00:00", [("since", "query", "wrong-form")]),
    ("/orders?top=1&on=2026-02-30", [("on", "query", "wrong-form")]),
    ("/orders?top=1&open=yes", [("open", "query", "wrong-type")]),
    ("/orders?top=1&price=NaN", [("price", "query", "wrong-type")]),
    ("/orders?top=1&price=1e400", [("price", "query", "wrong-type")]),
    ("/orders?top=1&ids=1,0", [("ids", "query", "out-of-range")]),
    ("/orders?top=1&ids=1,x", [("ids", "query", "wrong-type")]),
    ("/orders?top=1&ids=1&ids=2", [("ids", "query", "repeated-parameter")]),
    ("/orders?top=1&tag=toolong", [("tag", "query", "out-of-range")]),
    ("/orders?top=1&tag=1&tag=2&tag=3&tag=4", [("tag", "query", "out-of-range")]),
    ("/orders?top=1&limit=2", [("limit", "query", "unknown-parameter")]),
    ("/orders/7", [("id", "path", "wrong-form")]),
    (f"/orders/{ID}", []),
    (f"/orders/{ID}?x=1", [("x", "query", "unknown-parameter")]),
]


@pytest.mark.parametrize(("path", "told"), PARAMETERS, ids=[row[0] for row in PARAMETERS])
async def test_a_parameter_is_read_as_the_document_says(
    bench: Bench, path: str, told: list[tuple[str, str, str]]
) -> None:
    answer = await bench.http.get(ROOT + path, headers=bench.bearer())

    assert answer.status_code == (422 if told else 200), answer.text
    errors = answer.json().get("errors", [])
    assert [(each["parameter"], each["where"], each["code"]) for each in errors] == told


async def test_a_header_is_checked_as_the_document_says(bench: Bench) -> None:
    for value, status in (("af01, b", 200), ("af01,xyz", 422)):
        headers = {**bench.bearer(), "x-trace": value}
        answer = await bench.http.get(f"{ROOT}/orders?top=1", headers=headers)

        assert answer.status_code == status
    assert answer.json()["errors"][0]["parameter"] == "X-Trace"
    assert answer.json()["errors"][0]["where"] == "header"


async def test_every_line_of_a_header_is_checked(tmp_path: Path) -> None:
    document = copy.deepcopy(SHOP)
    kind = {"name": "X-Kind", "in": "header", "schema": {"enum": ["a", "b"]}}
    document["paths"]["/orders"]["get"]["parameters"].append(kind)
    bench = bench_of(tmp_path, document=document)
    token = list(bench.bearer().items())

    for lines, told in (
        ([("x-trace", "af"), ("x-trace", "b")], []),
        ([("x-trace", "xyz"), ("x-trace", "b")], [("X-Trace", "wrong-form")]),
        ([("x-kind", "evil"), ("x-kind", "a")], [("X-Kind", "repeated-parameter")]),
    ):
        answer = await bench.http.get(f"{ROOT}/orders?top=1", headers=[*token, *lines])

        errors = answer.json().get("errors", [])
        assert [(each["parameter"], each["code"]) for each in errors] == told
    bench.store.close()


BODIES: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    (GOOD, []),
    (GOOD | {"due": None, "mail": "a@b", "link": "https://a.example/b", "kind": "order"}, []),
    (GOOD | {"pay": {"card": "1"}, "code": "a" * 5_000}, []),
    (GOOD | {"code": "a" * 5_000 + "!"}, [("/code", "wrong-form")]),
    (GOOD | {"lines": [LINE | {"price": "12.50", "a/b": True}]}, []),
    ({}, [("/customer", "missing"), ("/lines", "missing")]),
    (GOOD | {"customer": 7}, [("/customer", "wrong-type")]),
    (GOOD | {"customer": ""}, [("/customer", "out-of-range")]),
    (GOOD | {"customer": "x" * 41}, [("/customer", "out-of-range")]),
    (GOOD | {"credit_limit": 1}, [("/credit_limit", "unknown-field")]),
    (GOOD | {"__proto__": 1}, [("/__proto__", "unknown-field")]),
    (GOOD | {"mail": "nobody"}, [("/mail", "wrong-form")]),
    (GOOD | {"link": "no address"}, [("/link", "wrong-form")]),
    (GOOD | {"due": "2026-02-30"}, [("/due", "wrong-form")]),
    (GOOD | {"due": 7}, [("/due", "wrong-type")]),
    (GOOD | {"kind": "offer"}, [("/kind", "unknown-value")]),
    (GOOD | {"lines": []}, [("/lines", "out-of-range")]),
    (GOOD | {"lines": [LINE] * 4}, [("/lines", "out-of-range")]),
    (GOOD | {"lines": [LINE, {"count": "2"}]}, [
        ("/lines/1/count", "wrong-type"), ("/lines/1/sku", "missing")
    ]),
    (GOOD | {"lines": [LINE | {"count": 3}]}, [("/lines/0/count", "out-of-range")]),
    (GOOD | {"lines": [LINE | {"count": 2.5}]}, [
        ("/lines/0/count", "out-of-range"), ("/lines/0/count", "wrong-type")
    ]),
    (GOOD | {"lines": [LINE | {"price": 12.5}]}, [("/lines/0/price", "wrong-type")]),
    (GOOD | {"lines": [LINE | {"price": "1e5"}]}, [("/lines/0/price", "wrong-form")]),
    (GOOD | {"lines": [LINE | {"a/b": 1}]}, [("/lines/0/a~1b", "wrong-type")]),
    (GOOD | {"fee": {"amount": "1.234", "currency": "BHD"}}, []),
    (GOOD | {"fee": {"amount": 1.5, "currency": "EUR"}}, [("/fee/amount", "money-not-string")]),
    (GOOD | {"fee": {"amount": "1.5", "currency": "JPY"}}, [("/fee/amount", "money-decimals")]),
    (GOOD | {"fee": {"amount": "1", "currency": "EUX"}}, [("/fee/currency", "money-currency")]),
    (GOOD | {"pay": {"cash": "1"}}, [("/pay", "invalid")]),
    (GOOD | {"pay": 7}, [("/pay", "wrong-type")]),
]  # fmt: skip


@pytest.mark.parametrize(("body", "told"), BODIES, ids=[str(row[1]) for row in BODIES])
async def test_a_body_is_checked_by_its_schema(
    bench: Bench, body: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    answer = await bench.http.post(f"{ROOT}/orders", json=body, headers=bench.bearer())

    assert answer.status_code == (422 if told else 200), answer.text
    errors = answer.json().get("errors", [])
    assert sorted((each["pointer"], each["code"]) for each in errors) == told
    assert all(each["message"] for each in errors)


async def test_all_that_is_wrong_with_a_request_is_told_at_once(bench: Bench) -> None:
    answer = await bench.http.post(
        f"{ROOT}/orders?limit=7", json={"lines": [{}], "x": 1}, headers=bench.bearer()
    )

    told = [(each["pointer"], each.get("parameter")) for each in answer.json()["errors"]]
    assert set(told) == {("", "limit"), ("/customer", None), ("/lines/0/sku", None), ("/x", None)}


async def test_a_faulty_parameter_is_told_of_a_call_without_a_body(bench: Bench) -> None:
    answer = await bench.http.delete(f"{ROOT}/orders/7/lines/0", headers=bench.bearer())

    assert answer.status_code == 422
    assert [each["parameter"] for each in answer.json()["errors"]] == ["line"]


@pytest.mark.parametrize("mode", ["observe", "off"])
async def test_what_is_only_observed_goes_on(tmp_path: Path, mode: str) -> None:
    bench = bench_of(tmp_path, POLICY.replace("requests: enforce", f"requests: {mode}"))

    answer = await bench.http.post(f"{ROOT}/orders?x=1", json={}, headers=bench.bearer())

    assert answer.status_code == 200
    deep = {"a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}
    answer = await bench.http.post(f"{ROOT}/orders", json=deep, headers=bench.bearer())
    assert answer.json()["code"] == "too-deep"
    bench.store.close()


async def test_the_mode_of_a_version_goes_before_that_of_its_api(tmp_path: Path) -> None:
    more = "      versions: {1: {modes: {requests: off}}}\n".replace("off", '"off"')
    bench = bench_of(tmp_path, POLICY + more)

    answer = await bench.http.get(f"{ROOT}/orders", headers=bench.bearer())

    assert answer.status_code == 200
    bench.store.close()


@pytest.mark.parametrize(
    ("sizes", "body", "code"),
    [
        ("depth: 2", b'{"a": {"b": {}}}', "too-deep"),
        ("keys: 2", b'{"a": 1, "b": 1, "c": 1}', "validation-failed"),
        ("values: 2", b'{"a": [1, 1, 1, 1]}', "validation-failed"),
        ("text: 5", b'{"a": "123456"}', "validation-failed"),
        ("body: 9", b'{"a": 1234}', "payload-too-large"),
    ],
)
async def test_each_api_may_take_less(tmp_path: Path, sizes: str, body: bytes, code: str) -> None:
    bench = bench_of(tmp_path, f"{POLICY}      sizes: {{{sizes}}}\n".replace("enforce", '"off"'))
    headers = {**bench.bearer(), "content-type": "application/json"}

    answer = await bench.http.post(f"{ROOT}/orders", content=body, headers=headers)

    assert answer.json()["code"] == code
    small = await bench.http.post(f"{ROOT}/orders", content=b'{"a":1}', headers=headers)
    assert small.status_code == 200
    bench.store.close()


def changed(place: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(SHOP)
    node = document
    *steps, last = place.split(".")
    for step in steps:
        node = node[int(step) if isinstance(node, list) else step]
    node[int(last) if isinstance(node, list) else last] = value
    return document


TOP = "paths./orders.get.parameters.5"
WRONG = [
    (TOP, {"name": "f", "in": "query", "style": "deepObject", "schema": {}}, "style deepObject"),
    (TOP, {"name": "f", "in": "query", "schema": {"type": "object"}}, "it is an object"),
    (TOP, {"name": "f", "in": "query", "content": {}}, "it is written as content"),
    (TOP, {"name": "f", "in": "cookie", "schema": {}}, "only query, header and path"),
    (TOP, {"$ref": "https://example.com/p.json"}, "lies outside the document"),
    (TOP, {"$ref": "#/components/parameters/No"}, "there is nothing at"),
    ("components.schemas.Line.properties.sku", {"$ref": "https://example.com/s"}, "example.com"),
    ("components.schemas.Line.properties.sku", {"pattern": "(?=a)b"}, "regex"),
    ("components.schemas.Line.properties.sku", {"type": "text"}, "Unexpected type"),
    ("paths./orders/{id}.parameters.0.name", "key", "does not fill a part"),
]


@pytest.mark.parametrize(("place", "value", "told"), WRONG, ids=[row[2] for row in WRONG])
def test_a_document_that_cannot_be_checked_refuses_the_start(
    tmp_path: Path, place: str, value: Any, told: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        bench_of(tmp_path, document=changed(place, value))

    assert "gateway.yaml:" in str(refused.value)
    assert told in str(refused.value)


@pytest.mark.parametrize(("place", "value", "told"), WRONG[:-1], ids=[row[2] for row in WRONG[:-1]])
async def test_a_document_is_enough_where_nothing_of_a_request_is_checked(
    tmp_path: Path, place: str, value: Any, told: str
) -> None:
    policy = POLICY.replace("requests: enforce", "requests: off")
    bench = bench_of(tmp_path, policy, changed(place, value))

    answer = await bench.http.get(f"{ROOT}/orders?f[a]={len(told)}", headers=bench.bearer())

    assert answer.status_code == 200
    bench.store.close()
