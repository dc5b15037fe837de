"""A change that is asked for twice is done once, at a desk that numbers its orders."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection

from apis.gateway.idempotency import Idempotency, canonical
from apis.gateway.request_keys import REQUEST_KEYS
from apis.runtime.records import Records
from tests.gateway.bench import LEASE_S, Bench
from tests.gateway.catalogue import Answer, check_problem
from tests.gateway.desk import ORDERS, Desk, asked, bench_of

GROUP = yaml.safe_load((Path(__file__).parent / "idempotency.yaml").read_text("utf-8"))
ORDER = {**GROUP["request"], "method": "PUT", "path": f"{ORDERS}/1"}
AT_ONCE = 20
PLAIN = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    PLAIN | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def bench(tmp_path: Path, desk: Desk) -> Iterator[Bench]:
    bench = bench_of(tmp_path, desk)
    yield bench
    bench.store.close()


def rows_kept(bench: Bench) -> list[Any]:
    def work(connection: Connection) -> list[Any]:
        return list(connection.execute(REQUEST_KEYS.select()).all())

    return bench.store.read_now(work)


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in GROUP["rows"]])
async def test_what_a_caller_hears(bench: Bench, desk: Desk, row: dict[str, Any]) -> None:
    heard: list[Any] = []

    for step in row["steps"]:
        bench.clock.advance(3600 * step.get("hours", 0))
        expect = step["expect"]
        try:
            answer = await asked(bench, GROUP["request"] | step)
        except ConnectionError:
            assert expect["cut"]
            continue
        heard.append(answer)

        assert answer.status_code == expect["status"], answer.text
        assert len(desk.reached) == expect.get("reached", len(desk.reached))
        assert ("idempotent-replayed" in answer.headers) == ("same" in expect)
        if "same" in expect:
            assert answer.content == heard[expect["same"]].content
        elif "code" in expect:
            told = Answer(answer.status_code, dict(answer.headers), answer.content)
            check_problem(told, expect, bench.issuer)


async def test_a_replay_has_the_headers_of_the_answer_and_ids_of_its_own(bench: Bench) -> None:
    first = await asked(bench, ORDER)
    again = await asked(bench, ORDER)

    assert again.headers["idempotent-replayed"] == "true"
    for name in ("location", "content-type", "cache-control"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["content-length"] == str(len(again.content))
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    assert again.headers.get_list("x-request-id") != ["not-ours"]
    assert "set-cookie" not in again.headers
    assert [line["status"] for line in bench.log] == [201, 201]


async def test_a_replay_of_a_deprecated_version_has_the_links_of_the_answer_too(
    bench: Bench,
) -> None:
    old = GROUP["request"] | {"path": "/process/orders/v2/orders"}

    first = await asked(bench, old)
    again = await asked(bench, old)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers.get_list("deprecation") == first.headers.get_list("deprecation") != []
    assert again.headers.get_list("link") == first.headers.get_list("link")
    assert len(again.headers.get_list("link")) == 2


async def test_of_twenty_at_once_one_is_an_order(bench: Bench, desk: Desk) -> None:
    desk.open.clear()
    many = [asyncio.create_task(asked(bench, ORDER)) for _ in range(AT_ONCE)]
    ended = asyncio.as_completed(many)
    refused = [await next(ended) for _ in range(AT_ONCE - 1)]
    desk.open.set()
    answers = await asyncio.gather(*many)

    assert {each.status_code for each in refused} == {409}
    assert {each.headers["retry-after"] for each in refused} == {"1"}
    assert {each.json()["code"] for each in refused} == {"idempotency-in-progress"}
    assert [each.status_code for each in answers].count(201) == 1
    assert len(desk.reached) == 1


async def test_the_answer_is_on_record_though_the_caller_went_away(
    bench: Bench, desk: Desk
) -> None:
    desk.open.clear()
    scope = {
        "type": "http", "http_version": "1.1", "method": "PUT", "scheme": "http",
        "path": f"{ORDERS}/1", "raw_path": f"{ORDERS}/1".encode(), "query_string": b"",
        "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080),
        "headers": [(b"host", b"127.0.0.1:8080"), (b"idempotency-key", b'"8f2c"')]
        + [(name.encode(), value.encode()) for name, value in bench.bearer().items()],
    }  # fmt: skip

    async def left() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def unheard(_message: Any) -> None:
        """What leaves for nobody."""

    call = asyncio.create_task(bench.app(scope, left, unheard))
    await desk.taken.wait()
    desk.open.set()
    await call
    again = await asked(bench, ORDER | {"json": None})

    assert (again.status_code, again.headers["idempotent-replayed"]) == (201, "true")
    assert len(desk.reached) == 1


async def test_a_lapsed_lease_lets_the_request_be_sent_again_as_the_same(
    tmp_path: Path, desk: Desk
) -> None:
    bench = bench_of(tmp_path, desk)
    keys = Idempotency(bench.store, Records(), bench.clock, lease_s=-1)
    bench.edge = bench.edge._replace(idempotency=keys)
    bench.serve()
    desk.open.clear()
    lost = asyncio.create_task(asked(bench, ORDER))
    await desk.taken.wait()
    lost.cancel()
    await asyncio.gather(lost, return_exceptions=True)
    desk.open.set()

    again = await asked(bench, ORDER)
    third = await asked(bench, ORDER)

    assert again.status_code == 201
    assert third.content == again.content
    assert len(desk.reached) == 2
    assert desk.reached[0] == desk.reached[1] is not None
    bench.store.close()


async def test_a_call_under_way_keeps_its_lease(bench: Bench, desk: Desk) -> None:
    desk.open.clear()
    call = asyncio.create_task(asked(bench, ORDER))
    await desk.taken.wait()
    before = rows_kept(bench)[0].lease
    await bench.idempotency.renew()
    after = rows_kept(bench)[0].lease
    desk.open.set()
    await call
    await bench.idempotency.renew()

    assert before < after
    assert rows_kept(bench)[0].lease == after


async def test_a_call_that_ended_without_a_whole_answer_loses_its_lease(bench: Bench) -> None:
    call = asyncio.create_task(asked(bench, ORDER | {"path": f"{ORDERS}/cut"}))
    await asyncio.gather(call, return_exceptions=True)
    before = rows_kept(bench)[0].lease

    await bench.idempotency.renew()

    assert rows_kept(bench)[0].lease == before


async def test_who_comes_late_does_not_overwrite_what_was_answered(
    tmp_path: Path, desk: Desk
) -> None:
    bench = bench_of(tmp_path, desk)
    keys = Idempotency(bench.store, Records(), bench.clock, lease_s=-1)
    bench.edge = bench.edge._replace(idempotency=keys)
    bench.serve()
    desk.open.clear()
    late = asyncio.create_task(asked(bench, ORDER))
    await desk.taken.wait()
    desk.taken.clear()
    quick = asyncio.create_task(asked(bench, ORDER))
    await desk.taken.wait()
    desk.open.set()
    await asyncio.gather(late, quick)

    again = await asked(bench, ORDER)

    assert again.json() == quick.result().json() == {"number": 2}
    bench.store.close()


async def test_keys_and_sealed_answers_are_not_readable_in_the_table(
    tmp_path: Path, desk: Desk
) -> None:
    bench = bench_of(tmp_path, desk)
    keys = Idempotency(bench.store, Records(b"k" * 32), bench.clock, LEASE_S)
    bench.edge = bench.edge._replace(idempotency=keys)
    bench.serve()
    mine = ORDER | {"key": '"ann@example.com"'}
    await asked(bench, mine)
    again = await asked(bench, mine)

    kept = repr(rows_kept(bench))
    assert again.json() == {"number": 1}
    assert "ann@example.com" not in kept
    assert "number" not in kept

    bench.edge = bench.edge._replace(idempotency=bench.idempotency)  # without the key
    bench.serve()
    lost = await asked(bench, mine)
    assert (lost.status_code, lost.json()["code"]) == (409, "idempotency-answer-not-kept")
    assert len(desk.reached) == 1
    bench.store.close()


async def test_what_has_been_kept_long_enough_is_swept(bench: Bench) -> None:
    for key in ("a", "b"):
        await asked(bench, ORDER | {"key": key})
    await asked(bench, GROUP["request"] | {"key": "money"})

    await bench.idempotency.sweep()
    before = len(rows_kept(bench))
    bench.clock.advance(7 * 86_400)
    await bench.idempotency.sweep()

    assert (before, len(rows_kept(bench))) == (3, 1)


async def test_a_replay_and_a_conflict_are_explained(bench: Bench) -> None:
    await asked(bench, ORDER)
    again = await asked(bench, ORDER)
    other = await asked(bench, ORDER | {"json": {"order": "A-2"}})

    for answer, outcome in ((again, "allowed"), (other, "refused")):
        [found] = await bench.decisions.found(answer.headers["x-request-id"])
        told = [each for each in found.decisions if each[0] == "idempotency"]
        assert [each[2] for each in told] == [outcome]


async def test_a_database_that_is_away_is_said_before_anything_is_done(
    bench: Bench, desk: Desk
) -> None:
    bench.store.write_now(REQUEST_KEYS.drop)

    answer = await asked(bench, ORDER)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert desk.reached == []


def respelt(value: Any) -> str:
    """The same JSON, its members the other way round, with spaces."""
    if isinstance(value, dict):
        members = [f"{json.dumps(name)} : {respelt(each)}" for name, each in value.items()]
        return "{ " + " , ".join(reversed(members)) + " }"
    if isinstance(value, list):
        return "[ " + " , ".join(map(respelt, value)) + " ]"
    return json.dumps(value)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_order_and_spaces_say_nothing(value: dict[str, Any]) -> None:
    assert canonical(json.dumps(value).encode()) == canonical(respelt(value).encode())


@given(st.dictionaries(st.text(), JSON, max_size=3), st.dictionaries(st.text(), JSON, max_size=3))
def test_other_values_are_another_request(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = canonical(json.dumps(one).encode()) == canonical(json.dumps(other).encode())

    assert same == (json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))
