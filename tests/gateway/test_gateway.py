"""What the pipeline hands to a target and what it says to the caller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import KeySet

from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.policy import PolicyError, load_gateway
from apis.gateway.tokens import Tokens, signing_keys
from tests.gateway.bench import GATEWAY, HERE, ISSUER, Bench

ORDERS = "/process/orders/v3/orders"


async def test_a_target_gets_its_own_path_and_who_asks(bench: Bench) -> None:
    answer = await bench.http.get(f"{ORDERS}/K%C3%B6ln?expand=1", headers=bench.bearer())

    seen = answer.json()
    assert seen["path"] == "/orders/Köln"
    assert seen["raw_path"] == "/orders/K%C3%B6ln"
    assert seen["root_path"] == "/process/orders/v3"
    assert seen["query"] == "expand=1"
    assert seen["context"] == {
        "actor": "clerk",
        "client": "clerk",
        "person": "clerk@example.com",
        "roles": ["finance"],
        "scopes": ["catalog.read", "orders.read", "orders.write", "salesforce.read"],
        "request_id": answer.headers["x-request-id"],
        "traceparent": answer.headers["traceparent"],
        "cause": answer.headers["x-request-id"],
    }


async def test_a_target_is_told_which_part_of_the_firm_its_caller_sees(bench: Bench) -> None:
    answer = await bench.http.get(ORDERS, headers=bench.bearer("branch"))

    assert answer.json()["context"]["rows"] == {"entities": ["DE"]}


async def test_a_role_that_is_taken_away_goes_at_once(bench: Bench) -> None:
    sent = bench.bearer("clerk")
    before = (await bench.http.get(ORDERS, headers=sent)).json()["context"]
    text = GATEWAY.replace("    roles: [finance]\n", "")
    bench.policy = compile_policy(load_gateway(text), load_documents(HERE / "published"))
    bench.serve()

    after = (await bench.http.get(ORDERS, headers=sent)).json()["context"]

    assert before["roles"] == ["finance"]
    assert "roles" not in after


async def test_a_body_reaches_the_target_untouched(bench: Bench) -> None:
    body = '{ "amount" : "12.50",\n "note":"\\u00e9" }'
    headers = bench.bearer() | {"content-type": "application/json"}

    answer = await bench.http.post(ORDERS, content=body, headers=headers)

    assert answer.json()["body"] == body


async def test_a_well_formed_request_id_is_kept(bench: Bench) -> None:
    kept = await bench.http.get("/healthz", headers={"x-request-id": "abc-1.2_3"})
    replaced = await bench.http.get("/healthz", headers={"x-request-id": "a b<script>"})

    assert kept.headers["x-request-id"] == "abc-1.2_3"
    assert len(replaced.headers["x-request-id"]) == 32


async def test_a_target_cannot_set_the_request_id(bench: Bench) -> None:
    answer = await bench.http.get(ORDERS, headers=bench.bearer())

    assert answer.headers.get_list("x-request-id") != ["not-ours"]
    assert len(answer.headers.get_list("x-request-id")) == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", True),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", False),
        ("garbage", False),
    ],
)
async def test_a_trace_goes_on(bench: Bench, sent: str, *, kept: bool) -> None:
    answer = await bench.http.get("/healthz", headers={"traceparent": sent})

    version, trace, parent, flags = answer.headers["traceparent"].split("-")
    assert version == "00"
    assert (trace in sent) is kept
    assert parent not in sent
    assert flags == (sent[-2:] if kept else "01")


async def test_the_rate_limit_fields_follow_the_draft(bench: Bench) -> None:
    answers = [await bench.http.get(ORDERS, headers=bench.bearer("slow")) for _ in range(6)]

    assert [each.status_code for each in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"rate";q=5;w=3600, "quota";q=20;w=86400'
    assert answers[0].headers["ratelimit"] == '"rate";r=4;t=720, "quota";r=19;t=43200'
    assert answers[5].json()["code"] == "rate-limited"
    assert answers[5].json()["retryable"] is True
    assert answers[5].headers["ratelimit"] == '"rate";r=0;t=720'
    assert answers[5].headers["retry-after"] == "720"
    assert answers[5].headers["ratelimit-policy"] == answers[0].headers["ratelimit-policy"]


async def test_exactly_the_limit_passes_whatever_a_caller_claims_to_be(bench: Bench) -> None:
    headers = bench.bearer("slow")
    calls = [
        bench.http.get(ORDERS, headers=headers | {"x-forwarded-for": f"10.0.0.{n}"})
        for n in range(30)
    ]

    statuses = [answer.status_code for answer in await asyncio.gather(*calls)]

    assert statuses.count(200) == 5
    assert statuses.count(429) == 25


async def test_after_the_wait_the_call_passes(bench: Bench) -> None:
    for _ in range(6):
        answer = await bench.http.get(ORDERS, headers=bench.bearer("slow"))

    bench.clock.advance(int(answer.headers["retry-after"]))

    assert (await bench.http.get(ORDERS, headers=bench.bearer("slow"))).status_code == 200


async def test_an_operation_may_have_a_limit_of_its_own(bench: Bench) -> None:
    deletes = [await bench.http.delete(f"{ORDERS}/1", headers=bench.bearer()) for _ in range(3)]

    assert [each.status_code for each in deletes] == [200, 200, 429]
    assert deletes[2].headers["ratelimit"].startswith('"deleteOrder";r=0')
    assert (await bench.http.get(ORDERS, headers=bench.bearer())).status_code == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (ORDERS, "no-store"),
        (f"{ORDERS}/gone", "no-store"),
        ("/catalog", "no-store"),
        ("/healthz", "no-store"),
        ("/nowhere", "no-store"),
        ("/.well-known/jwks.json", "public, max-age=5"),
        ("/.well-known/oauth-authorization-server", "public, max-age=300"),
    ],
)
async def test_nobody_on_the_way_keeps_an_answer_that_is_not_for_everybody(
    bench: Bench, path: str, said: str
) -> None:
    answer = await bench.http.get(path, headers=bench.bearer())

    assert answer.headers.get_list("cache-control") == [said]


@pytest.mark.parametrize("path", ["/catalog", "/healthz", "/readyz", "/.well-known/jwks.json"])
async def test_what_the_gateway_serves_itself_takes_no_parameters(bench: Bench, path: str) -> None:
    answer = await bench.http.get(path, params={"page": "2"}, headers=bench.bearer())

    [error] = answer.json()["errors"]
    assert answer.status_code == 422
    assert (error["parameter"], error["code"]) == ("page", "unknown-parameter")


async def test_refused_callers_use_no_limit(bench: Bench) -> None:
    for _ in range(10):
        await bench.http.get("/system/salesforce/v1/about", headers=bench.bearer("slow"))

    answer = await bench.http.get(ORDERS, headers=bench.bearer("slow"))

    assert '"rate";r=4' in answer.headers["ratelimit"]


async def test_a_defect_behind_the_gateway_tells_nothing(bench: Bench) -> None:
    answer = await bench.http.get(f"{ORDERS}/broken", headers=bench.bearer())

    assert answer.status_code == 500
    assert answer.json()["code"] == "internal"
    assert "canary" not in answer.text
    assert bench.log[0]["error"] == "RuntimeError"
    assert "secret-canary" in bench.log[0]["stack"]
    assert bench.log[1]["status"] == 500


async def test_an_error_of_ours_arrives_as_its_problem(bench: Bench) -> None:
    answer = await bench.http.get(f"{ORDERS}/throttled", headers=bench.bearer())

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["code"] == "vendor.throttled"


async def test_not_ready_is_503(bench: Bench) -> None:
    bench.missing = ["database"]

    answer = await bench.http.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["detail"] == "Not ready: database."
    assert (await bench.http.get("/healthz")).status_code == 200


async def test_the_catalog_names_apis_versions_operations_and_owners(bench: Bench) -> None:
    answer = await bench.http.get("/catalog", headers=bench.bearer())

    orders = answer.json()["apis"][0]
    assert (orders["tier"], orders["api"], orders["owner"]) == ("process", "orders", "order-desk")
    assert [each["version"] for each in orders["versions"]] == ["v1", "v2", "v3"]
    assert orders["versions"][0]["status"] == "deprecated"
    latest = orders["versions"][2]
    assert {each["id"] for each in latest["operations"]} >= {"listOrders", "createOrder"}
    document = await bench.http.get(latest["document"], headers=bench.bearer())
    assert document.json()["openapi"] == "3.1.0"
    assert document.json()["servers"] == [{"url": f"{ISSUER}/process/orders/v3"}]


async def test_a_version_ends_after_its_last_day(bench: Bench) -> None:
    path = "/process/orders/v2/orders"
    bench.clock.advance((221 * 24 + 11.9) * 3600)  # the evening of 2027-06-30

    assert (await bench.http.get(path, headers=bench.bearer())).status_code == 200

    bench.clock.advance(3600)
    assert (await bench.http.get(path, headers=bench.bearer())).status_code == 410


async def test_one_line_is_logged_for_a_request(bench: Bench) -> None:
    await bench.http.get(f"{ORDERS}/7?expand=canary", headers=bench.bearer())

    (line,) = bench.log
    assert line.pop("ms") >= 0
    assert line.pop("request_id")
    assert line.pop("trace_id")
    assert line == {
        "event": "request",
        "client": "clerk",
        "method": "GET",
        "target": "process/orders/v3",
        "operation": "getOrder",
        "status": 200,
        "code": None,
    }


async def test_the_lifespan_protocol_is_answered(bench: Bench) -> None:
    asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    answered: list[str] = []

    async def receive() -> dict[str, str]:
        return next(asked)

    async def send(message: Any) -> None:
        answered.append(message["type"])

    await bench.app({"type": "lifespan"}, receive, send)

    assert answered == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_caller_who_goes_away_gets_nothing(bench: Bench) -> None:
    sent: list[object] = []

    async def receive() -> dict[str, str]:
        return {"type": "http.disconnect"}

    async def send(message: object) -> None:
        sent.append(message)

    headers = {"host": "127.0.0.1", "content-type": "application/json", "content-length": "2"}
    scope = {
        "type": "http", "method": "POST", "path": ORDERS, "raw_path": ORDERS.encode(),
        "query_string": b"", "root_path": "",
        "headers": [(k.encode(), v.encode()) for k, v in (headers | bench.bearer()).items()],
    }  # fmt: skip
    await bench.app(scope, receive, send)

    assert sent == []
    assert bench.log[0]["status"] == 499


async def test_a_remembered_token_still_expires(bench: Bench) -> None:
    headers = bench.bearer()
    assert (await bench.http.get(ORDERS, headers=headers)).status_code == 200

    bench.clock.advance(331)

    assert (await bench.http.get(ORDERS, headers=headers)).status_code == 401


def test_keys_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = signing_keys(None, tmp_path).as_dict()

    assert signing_keys(None, tmp_path).as_dict() == first
    assert (tmp_path / "signing.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"keys": []}',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ", "kid": "a"}]}',
        "no",
    ],
)
def test_keys_that_cannot_sign_refuse_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.json").write_text(text)
    (tmp_path / "keys.json").chmod(0o600)

    with pytest.raises(PolicyError, match=r"gateway.yaml: signing: "):
        signing_keys("home:keys.json", tmp_path)


def test_keys_that_others_may_read_refuse_the_start(tmp_path: Path) -> None:
    signing_keys(None, tmp_path)
    (tmp_path / "signing.json").chmod(0o640)

    with pytest.raises(PolicyError, match="can be read by others"):
        signing_keys(None, tmp_path)


def test_a_second_key_checks_what_it_signed_before(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    new = signing_keys(None, tmp_path / "new")
    old = signing_keys(None, bench.home)
    token = bench.token()

    both = Tokens(KeySet([*new.keys, *old.keys]), issuer=ISSUER, clock=bench.clock)
    only_new = Tokens(new, issuer=ISSUER, clock=bench.clock)

    assert both.verify(token.encode()) is not None
    assert only_new.verify(token.encode()) is None
    assert all("d" not in key for key in both.jwks()["keys"])


@pytest.mark.parametrize("lifetime", [0, 299, 601])
def test_a_token_lives_five_to_ten_minutes(bench: Bench, lifetime: int) -> None:
    with pytest.raises(ValueError, match="a token lives 300 to 600 seconds"):
        Tokens(
            signing_keys(None, bench.home),
            issuer=ISSUER,
            clock=bench.clock,
            lifetime_s=lifetime,
        )
