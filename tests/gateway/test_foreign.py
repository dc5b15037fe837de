"""An API the gateway has never seen: its address and its document are enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from apis.gateway.compiled import compile_policy
from apis.gateway.documents import foreign_documents
from apis.gateway.policy import PolicyError, load_gateway
from apis.gateway.upstream import Upstream
from tests.gateway.bench import HERE, Bench
from tests.gateway.test_requests import GOOD, ID

POLICY = """
version: 1
plans: {internal: {rate: 100000/min}}
clients:
  clerk: {plan: internal, secret: home:clients.json, scopes: [shop.read, shop.write, catalog.read]}
  reader: {plan: internal, secret: home:clients.json, scopes: [shop.read]}
apis:
  experience:
    shop:
      url: http://127.0.0.1:1/base
      document: shop.yaml
      sizes: {stream: 1000}
"""
ROOT = "/experience/shop/v1"


class Shop:
    """Another's program: it keeps what it was asked, and answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.answer = b'HTTP/1.1 204 Fine\r\nserver: shop/1\r\netag: "7"\r\n\r\n'

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.asked.append(await self.read(reader))
            writer.write(self.answer)
            await writer.drain()
        except asyncio.IncompleteReadError:
            pass  # the caller was refused meanwhile
        finally:
            writer.close()

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"transfer-encoding: chunked" in head.lower():
            head += await reader.readuntil(b"0\r\n\r\n")
        elif b"content-length: " in head.lower():
            length = head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]
            head += await reader.readexactly(int(length))
        return head


@pytest.fixture
async def shop() -> AsyncIterator[tuple[Shop, str]]:
    shop = Shop()
    server = await asyncio.start_server(shop, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    yield shop, f"http://127.0.0.1:{port}/base"
    server.close()
    await server.wait_closed()


def bench_of(home: Path, policy: str = POLICY, url: str = "http://127.0.0.1:1/base") -> Bench:
    documents = foreign_documents(load_gateway(policy), HERE / "foreign")
    return Bench(home, policy, documents, Upstream(url))


@pytest.fixture
def bench(tmp_path: Path, shop: tuple[Shop, str]) -> Any:
    bench = bench_of(tmp_path, url=shop[1])
    yield bench
    bench.store.close()


async def test_a_call_passes_as_it_came_but_for_what_is_between_caller_and_gateway(
    bench: Bench, shop: tuple[Shop, str]
) -> None:
    given = {**bench.bearer(), "accept-language": "de", "te": "trailers", "x-trace": "af"}

    answer = await bench.http.get(f"{ROOT}/orders?top=1&tag=a&tag=b", headers=given)

    assert answer.status_code == 204
    assert answer.headers["etag"] == '"7"'
    assert "cache-control" not in answer.headers
    assert answer.headers["ratelimit"]
    line, *headers = shop[0].asked[0].decode().split("\r\n")
    assert line == "GET /base/orders?top=1&tag=a&tag=b HTTP/1.1"
    assert "accept-language: de" in headers
    assert "x-trace: af" in headers
    assert not [name for name in headers if name.startswith(("authorization", "te:"))]


@pytest.mark.parametrize(
    "name",
    [
        "Client-Cert",
        "Forwarded",
        "X-Forwarded-User",
        "X-HTTP-Method",
        "X-HTTP-Method-Override",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
    ],
)
async def test_what_would_change_what_was_checked_is_not_passed_on(
    bench: Bench, shop: tuple[Shop, str], name: str
) -> None:
    await bench.http.get(f"{ROOT}/orders?top=1", headers={**bench.bearer(), name: "DELETE"})

    assert b"DELETE" not in shop[0].asked[0]


JSON_BUT_WRONG = [
    ("application/json; version=1", 422),
    ("Application/JSON ; q=1; charset=utf-8", 422),
    ('application/json; a="b; c"', 422),
    ("application/json; charset=utf-16", 415),
    ("application/json; charset=utf-8; charset=utf-16", 415),
    ("application/json;", 415),
    ("application/json; version", 415),
]


@pytest.mark.parametrize(("kind", "status"), JSON_BUT_WRONG)
async def test_json_is_checked_whatever_else_its_content_type_says(
    bench: Bench, shop: tuple[Shop, str], kind: str, status: int
) -> None:
    headers = {**bench.bearer(), "content-type": kind}

    answer = await bench.http.post(f"{ROOT}/orders", content=b'{"evil": 1}', headers=headers)

    assert answer.status_code == status
    assert shop[0].asked == []


async def test_scopes_are_those_of_the_document(bench: Bench) -> None:
    answer = await bench.http.post(f"{ROOT}/orders", json=GOOD, headers=bench.bearer("reader"))

    assert answer.status_code == 403
    assert answer.json()["code"] == "insufficient-scope"
    assert 'scope="shop.write"' in answer.headers["www-authenticate"]


async def test_what_the_document_does_not_allow_never_gets_there(
    bench: Bench, shop: tuple[Shop, str]
) -> None:
    wrong = await bench.http.post(f"{ROOT}/orders?x=1", json={}, headers=bench.bearer())
    elsewhere = await bench.http.get(f"{ROOT}/admin", headers=bench.bearer())
    nothing = await bench.http.post(f"{ROOT}/orders", headers=bench.bearer())

    assert [each["pointer"] for each in wrong.json()["errors"]] == ["", "/customer", "/lines"]
    assert elsewhere.status_code == 404
    assert nothing.json()["errors"][0]["code"] == "missing"
    assert shop[0].asked == []


async def test_the_path_that_was_authorised_is_the_path_that_is_passed_on(
    bench: Bench, shop: tuple[Shop, str]
) -> None:
    other = ROOT.replace("exp", "%65%78%70")

    refused = await bench.http.get(f"{other}/orders?top=1", headers=bench.bearer())
    passed = await bench.http.get(f"{ROOT}/%6frders?top=1", headers=bench.bearer())

    assert (refused.status_code, refused.json()["code"]) == (400, "bad-path")
    assert passed.status_code == 204
    assert [each.split(b"\r\n")[0] for each in shop[0].asked] == [
        b"GET /base/%6frders?top=1 HTTP/1.1"
    ]


@pytest.mark.parametrize(
    ("kind", "size", "status"),
    [
        ("text/csv", 1000, 204),
        ("image/png", 10, 204),
        ("text/csv; charset=latin-1", 10, 204),
        ("text/csv", 1001, 413),
        ("text/plain", 10, 415),
    ],
)
async def test_other_bodies_than_json_pass_up_to_a_size(
    bench: Bench, shop: tuple[Shop, str], kind: str, size: int, status: int
) -> None:
    headers = {**bench.bearer(), "content-type": kind}

    answer = await bench.http.post(f"{ROOT}/files", content=b"\xff" * size, headers=headers)

    assert answer.status_code == status
    assert [each.endswith(b"\xff" * size) for each in shop[0].asked] == [True] * (status == 204)


@pytest.mark.parametrize(("parts", "status"), [(4, 204), (6, 413)])
async def test_a_body_without_length_is_counted_as_it_passes(
    bench: Bench, parts: int, status: int
) -> None:
    headers = {**bench.bearer(), "content-type": "text/csv"}

    async def body() -> AsyncIterator[bytes]:
        for _ in range(parts):
            yield b"x" * 200

    answer = await bench.http.post(f"{ROOT}/files", content=body(), headers=headers)

    assert answer.status_code == status


async def test_its_errors_are_its_own(bench: Bench, shop: tuple[Shop, str]) -> None:
    told = b'{"fault": "no such order"}'
    head = (
        b"HTTP/1.1 404 No\r\ncontent-type: application/vnd.shop+json\r\ncontent-length: %d\r\n\r\n"
    )
    shop[0].answer = head % len(told) + told

    answer = await bench.http.get(f"{ROOT}/orders/{ID}", headers=bench.bearer())

    assert (answer.status_code, answer.content) == (404, told)
    assert answer.headers["content-type"] == "application/vnd.shop+json"


async def test_it_is_in_the_catalog(bench: Bench) -> None:
    catalog = (await bench.http.get("/catalog", headers=bench.bearer())).json()

    version = catalog["apis"][0]["versions"][0]
    scopes = {each["id"]: each["scope"] for each in version["operations"]}
    assert scopes["findOrders"] == "shop.read"
    assert scopes["sendFile"] == "shop.write"
    page = f"{ROOT.replace('/experience', '/catalog/experience')}/openapi.json"
    told = (await bench.http.get(page, headers=bench.bearer())).json()
    assert told["servers"] == [{"url": "http://127.0.0.1:8080/experience/shop/v1"}]


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ('{shop.read: GET, shop.write: "*"}', "shop.read shop.write shop.write"),
        ("{shop.read: [findOrders, getOrder], shop.write: post delete}", None),
        ('{shop.read: [placeOrder], shop.write: "*"}', "shop.write shop.read shop.write"),
    ],
)
def test_scopes_may_be_given_by_method(tmp_path: Path, scopes: str, expected: str | None) -> None:
    bench = bench_of(tmp_path, POLICY.replace("sizes:", f"scopes: {scopes}\n      sizes:"))

    mount = bench.policy.mounts["experience/shop/v1"]
    opened = {route.operation: route.scope for _, route in mount.routes}
    wanted = expected or "shop.read shop.write shop.write"
    assert [opened[each] for each in ("findOrders", "placeOrder", "dropLine")] == wanted.split()
    bench.store.close()


WRONG = [
    ("document: shop.yaml", "document: none.yaml", "No such file"),
    ("document: shop.yaml", "document: ../gateway.yaml", "an OpenAPI 3.1 document is expected"),
    ("      document: shop.yaml\n", "", "`document` must name its OpenAPI 3.1 file"),
    ("url: http://127.0.0.1:1/base", "url: ftp://x", "`url` must say where it runs"),
    ("url: http://127.0.0.1:1/base", 'url: "http://[::1/"', "`url` must say where it runs"),
    ("url: http://127.0.0.1:1/base", "url: http://host:99999/", "`url` must say where it runs"),
    ("127.0.0.1:1/base", "clerk:secret@127.0.0.1:1", "`url` must say where it runs: "),
    ("127.0.0.1:1/base", "a b/", "`url` must say where it runs"),
    ("      url: http://127.0.0.1:1/base\n", "", "`url` must say where it runs"),
    ("      url:", "      app: a:b\n      url:", "leave this out"),
    ("sizes:", "scopes: {shop.read: GET}\n      sizes:", "operation dropLine has no scope"),
    ("sizes:", 'scopes: {shop.read: "*", shop.write: [no]}\n      sizes:', "no operation no"),
    ("sizes:", 'scopes: {shop.write: "*", shop.read: HEAD}\n      sizes:', "opens no operation"),
    ("stream: 1000", "depth: 1000", "apis.experience.shop.sizes.depth"),
]


@pytest.mark.parametrize(("right", "wrong", "told"), WRONG, ids=[row[2] for row in WRONG])
def test_one_that_cannot_be_governed_refuses_the_start(
    tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    with pytest.raises(PolicyError) as refused:
        bench_of(tmp_path, POLICY.replace(right, wrong, 1))

    assert "gateway.yaml:" in str(refused.value)
    assert told in str(refused.value)


ODD = [
    ("  /orders:\n", "  /none: null\n  /orders:\n", "shop.yaml:6: paths./none: null is not"),
    ("{name: top, in: query,", "{in: query,", 'parameters.5: "name" is a required property'),
    ("[{login: [shop.read]}]", "{login: []}", "shop.yaml:4: security: "),
    ("type: [number, ", "type: [{}, ", "GET /orders: "),
    (
        "  /orders:\n",
        f"  /{'o' * 200}: {{get: {{}}}}\n  /orders:\n",
        "no operation can be called get /oo",
    ),
    ("  /orders:\n", "  /orders/{id}:cancel: {}\n  /orders:\n", "a whole part of a path"),
    (
        "  /orders:\n",
        "  /orders/{other}: {}\n  /orders:\n",
        "/orders/{id} takes the same paths as /orders/{other}",
    ),
    (
        "  /orders:\n",
        "  /orders/{id}:cancel: {post: {}}\n  /orders:\n",
        "/orders/{id} takes the same paths as /orders/{id}:cancel",
    ),
    (
        "  /orders:\n",
        (
            "  /orders/all/lines/{line}: {delete: {security: [{login: [shop.read]}]}}\n"
            "  /orders/{id}/lines/first: {delete: {security: [{login: [shop.write]}]}}\n"
            "  /orders:\n"
        ),
        "DELETE /orders/all/lines/{} and /orders/{}/lines/first take one path for two scopes",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "told"), ODD, ids=[row[2] for row in ODD])
def test_a_document_that_is_none_is_refused_and_its_places_are_named(
    tmp_path: Path, right: str, wrong: str, told: str
) -> None:
    shop = (HERE / "foreign" / "shop.yaml").read_text()
    assert right in shop
    (tmp_path / "shop.yaml").write_text(shop.replace(right, wrong, 1))
    gateway = load_gateway(POLICY)

    with pytest.raises(PolicyError) as refused:
        compile_policy(gateway, foreign_documents(gateway, tmp_path))

    assert told in str(refused.value)
