"""Request keys at gateway processes: one on SQLite, two on PostgreSQL and Redis."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.gateway.front import Front, opened
from tests.servers import Servers, drop_database, flush, fresh_database

ORDERS = "/process/orders/v3/orders"
AT_ONCE = 20
LEASE_S = 3.0
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def front(production: Servers | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    home: Path = tmp_path_factory.mktemp("keys")
    url, redis, count = f"sqlite:///{home}/throughline.sqlite", None, 1
    if production is not None:
        redis, count = production.redis_url.rpartition("/")[0] + "/2", 2
        flush(redis)
        url = fresh_database(production.database_url)
    with opened(home, url, redis, count, THROUGHLINE_LEASE=str(LEASE_S)) as front:
        yield front
    if production is not None:
        drop_database(production.database_url, url)


@pytest.fixture(autouse=True)
def _open(front: Front) -> None:
    front.tier.open.set()


def ports(front: Front) -> list[int]:
    return [wire.port for wire in front.wires]


def asks(front: Front, key: str, gateway: int = 0, **body: int) -> httpx.Response:
    """An order under a key, at one of the gateways."""
    headers = front.bearer() | {"idempotency-key": f'"{key}"'}
    url = f"http://127.0.0.1:{ports(front)[gateway % len(front.wires)]}{ORDERS}"
    return front.house.http.post(url, json=body or {"order": 1}, headers=headers)


def reached(front: Front, count: int) -> None:
    """Wait until the tier was called this often."""
    end = time.monotonic() + PATIENCE_S
    while len(front.tier.calls) < count:
        assert time.monotonic() < end, "the tier was not reached"
        time.sleep(0.01)


def dies(front: Front, part: str) -> None:
    process = front.house.processes.pop(part)
    process.kill()
    process.wait()


def starts(front: Front, part: str) -> None:
    command = front.house.commands[part]
    front.house.start(part, *command)
    front.house.answers(part, f"http://127.0.0.1:{command[-1]}/readyz")


def insists(front: Front, key: str, gateway: int) -> tuple[httpx.Response, set[int]]:
    """The first answer that is not «in progress», and the statuses until then."""
    seen: set[int] = set()
    end = time.monotonic() + PATIENCE_S
    while (answer := asks(front, key, gateway)).status_code == 409:
        assert answer.json()["code"] == "idempotency-in-progress"
        assert time.monotonic() < end, "the lease does not lapse"
        seen.add(409)
        time.sleep(0.2)
    return answer, seen


def test_another_gateway_and_one_that_was_started_anew_give_the_same_answer(front: Front) -> None:
    calls = len(front.tier.calls)
    first = asks(front, "same")
    again = asks(front, "same", gateway=1)
    other = asks(front, "same", gateway=1, order=2)
    dies(front, "gateway-1")
    starts(front, "gateway-1")
    later = asks(front, "same")

    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    for each in (again, later):
        assert each.headers["idempotent-replayed"] == "true"
        assert each.content == first.content
        assert each.headers["x-request-id"] != first.headers["x-request-id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(front.tier.calls) == calls + 1


def test_of_twenty_at_once_at_all_gateways_one_reaches_the_tier(front: Front) -> None:
    calls = len(front.tier.calls)
    front.tier.open.clear()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        many = [threads.submit(asks, front, "many", n) for n in range(AT_ONCE)]
        reached(front, calls + 1)
        end = time.monotonic() + PATIENCE_S
        while sum(each.done() for each in many) < AT_ONCE - 1:
            assert time.monotonic() < end, "they wait for each other"
            time.sleep(0.01)
        front.tier.open.set()
        answers = [each.result() for each in many]
    refused = [each for each in answers if each.status_code == 409]

    assert sorted(each.status_code for each in answers) == [200] + [409] * (AT_ONCE - 1)
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
    assert len(front.tier.calls) == calls + 1
    assert asks(front, "many", 1).headers["idempotent-replayed"] == "true"


def test_a_gateway_that_is_killed_loses_no_answer_and_makes_no_second_effect(front: Front) -> None:
    calls = len(front.tier.calls)
    front.tier.open.clear()
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(asks, front, "killed")
        reached(front, calls + 1)
        dies(front, "gateway-1")
        with pytest.raises(httpx.HTTPError):
            lost.result()
    front.tier.open.set()
    if len(front.wires) == 1:
        starts(front, "gateway-1")

    answer, seen = insists(front, "killed", gateway=1)
    again = asks(front, "killed", gateway=1)

    assert answer.status_code == 200
    assert seen <= {409}
    assert again.content == answer.content
    assert len(front.tier.calls) == calls + 2
    assert front.tier.keys[-1] == front.tier.keys[-2] is not None  # to the tier it is one request
    if len(front.wires) > 1:
        starts(front, "gateway-1")


def test_a_call_of_a_live_gateway_is_not_sent_again_however_long_it_takes(front: Front) -> None:
    calls = len(front.tier.calls)
    front.tier.open.clear()
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(asks, front, "slow")
        reached(front, calls + 1)
        end = time.monotonic() + 1.5 * LEASE_S
        while time.monotonic() < end:
            assert asks(front, "slow", gateway=1).status_code == 409
            time.sleep(0.2)
        front.tier.open.set()
        assert slow.result().status_code == 200
    assert len(front.tier.calls) == calls + 1


def test_who_hung_up_finds_the_answer(front: Front) -> None:
    calls = len(front.tier.calls)
    front.tier.open.clear()
    head = [
        f"POST {ORDERS} HTTP/1.1", "host: 127.0.0.1", 'idempotency-key: "hung"',
        "content-type: application/json", "content-length: 11",
        *(f"{name}: {value}" for name, value in front.bearer().items()), "", "",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", ports(front)[0])) as caller:
        caller.sendall("\r\n".join(head).encode() + b'{"order":1}')
        reached(front, calls + 1)
    front.tier.open.set()

    answer, _ = insists(front, "hung", gateway=1)

    assert answer.headers["idempotent-replayed"] == "true"
    assert len(front.tier.calls) == calls + 1
