"""An answer that its document does not allow is observed, or does not leave."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import httpx
import pytest

from apis.gateway.guard import ASGIApp, Header, Receive, Scope, Send
from tests.gateway.bench import Bench
from tests.gateway.test_requests import GOOD, ID, POLICY, ROOT, SHOP

JSON = b"application/json"
ORDER = b'{"customer": "Acme", "lines": [{"sku": "a"}]}'
TOTAL: list[Header] = [(b"X-Total", b"1")]


def answering(status: int, kind: bytes, body: bytes, more: list[Header]) -> ASGIApp:
    async def target(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        assert b"accept-encoding" not in dict(scope["headers"])
        headers = [(b"content-type", kind), *more] if kind else more
        half = len(body) // 2
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": body[half:]})

    return target


async def asked(
    home: Path, mode: str, call: tuple[Any, ...], more: str = ""
) -> tuple[httpx.Response, Bench]:
    method, path, told, *_ = call
    policy = POLICY.replace("{requests: enforce}", f"{{responses: {mode}}}")
    policy = policy.replace('app: "shop:app"', 'app: "shop:app"\n      owner: shop-desk')
    bench = Bench(home, policy + more, {"process/shop/v1": SHOP}, answering(*told))
    body = GOOD if method == "POST" else None
    answer = await bench.http.request(method, ROOT + path, json=body, headers=bench.bearer())
    bench.store.close()
    return answer, bench


ONE, LIST = f"/orders/{ID}", "/orders?top=1"
RIGHT = [
    ("GET", ONE, (200, JSON, ORDER, [])),
    ("GET", LIST, (200, JSON, b"[%b]" % ORDER, TOTAL)),
    ("POST", "/orders", (201, JSON, ORDER, [])),
    ("POST", "/files", (202, b"text/plain", b"kept", [])),
    ("DELETE", "/orders/7/lines/1", (204, b"", b"", [])),
]
WRONG = [
    ("GET", ONE, (203, JSON, ORDER, []), "status"),
    ("GET", ONE, (200, b"text/html", ORDER, []), "content type"),
    ("GET", ONE, (200, b"", ORDER, []), "content type"),
    ("GET", ONE, (200, JSON + b"; charset=utf-16", ORDER, []), "cannot be read"),
    ("GET", ONE, (200, JSON + b"; version=1", b'{"customer": "Acme"}', []), "/lines: missing"),
    ("GET", ONE, (200, JSON, b"{", []), "not JSON"),
    ("GET", ONE, (200, JSON, b"", []), "not JSON"),
    ("GET", ONE, (200, JSON, gzip.compress(ORDER), [(b"content-encoding", b"gzip")]), "compressed"),
    ("GET", ONE, (200, JSON, b'{"customer": "secret-canary", "lines": [{}]}', []), "/lines/0/sku"),
    ("GET", ONE, (200, JSON, b'{"secret-canary": 1}', []), "/customer: missing"),
    ("GET", LIST, (200, JSON, b"[]", []), "header X-Total: missing"),
    ("GET", LIST, (200, JSON, b"[]", [(b"X-Total", b"many")]), "header X-Total: wrong-type"),
]


@pytest.mark.parametrize("call", RIGHT, ids=[row[1] for row in RIGHT])
async def test_an_answer_as_documented_leaves_whole(tmp_path: Path, call: tuple[Any, ...]) -> None:
    answer, bench = await asked(tmp_path, "enforce", call)

    assert (answer.status_code, answer.content) == (call[2][0], call[2][2])
    assert answer.headers["x-request-id"]
    assert bench.log[-1]["status"] == call[2][0]


@pytest.mark.parametrize("call", WRONG, ids=[row[3] for row in WRONG])
async def test_any_other_is_kept_back_and_its_owner_named(
    tmp_path: Path, capsys: Any, call: tuple[Any, ...]
) -> None:
    answer, _ = await asked(tmp_path, "enforce", call)

    problem = answer.json()
    assert answer.status_code == 502
    assert (problem["code"], problem["owner"]) == ("response-invalid", "shop-desk")
    assert "canary" not in answer.text
    assert call[3] in capsys.readouterr().out


@pytest.mark.parametrize("call", WRONG, ids=[row[3] for row in WRONG])
async def test_what_is_only_observed_leaves_as_it_is(
    tmp_path: Path, capsys: Any, call: tuple[Any, ...]
) -> None:
    answer, _ = await asked(tmp_path, "observe", call)

    assert answer.status_code == call[2][0]
    assert call[3] in capsys.readouterr().out


@pytest.mark.parametrize(("mode", "status"), [("enforce", 502), ("observe", 200)])
async def test_an_answer_of_more_than_is_held_is_not_checked(
    tmp_path: Path, mode: str, status: int
) -> None:
    sizes = "      sizes: {response: 20}\n"
    answer, _ = await asked(tmp_path, mode, RIGHT[0], sizes)

    assert answer.status_code == status
    assert (answer.content == ORDER) is (status == 200)


async def test_a_failure_of_ours_is_told_anew_as_ever(tmp_path: Path, capsys: Any) -> None:
    call: tuple[Any, ...] = ("GET", ONE, (409, b"text/html", b"secret-canary", []))

    answer, _ = await asked(tmp_path, "enforce", call)

    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.text
    assert "the status 409 is not documented" in capsys.readouterr().out
