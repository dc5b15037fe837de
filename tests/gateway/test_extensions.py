"""Who needs more time after a sunset gets it, on every gateway, and nobody else does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import httpx
import pytest

from apis.gateway.extensions import EVERYBODY, Extension, Extensions, end, extend
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from tests.gateway.bench import GATEWAY, NOW, Bench

V2 = "process/orders/v2"
UNTIL = date(2027, 7, 31)
LAST_MINUTE = datetime(2027, 7, 31, 23, 59, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


class Two:
    """Two gateways on one store, after the sunset of version 2."""

    def __init__(self, folder: Path, store: Store) -> None:
        self.store, self.known, self.benches = store, [], []
        for name in ("first", "second"):
            home = folder / name
            home.mkdir()
            bench = Bench(home)
            bench.clock.set(datetime(2027, 7, 1, tzinfo=UTC))
            extensions = Extensions(store, bench.clock)
            bench.edge = bench.edge._replace(extended=extensions.extended)
            bench.serve()
            self.benches.append(bench)
            self.known.append(extensions)

    async def gives(self, client: str) -> None:
        given = Extension(V2, client, UNTIL, "their release slips", "ann", NOW.timestamp())
        await self.store.write(extend, given, NOW)
        await self.looks()

    async def looks(self) -> None:
        for each in self.known:
            await each.look()

    async def asks(self, client: str) -> list[httpx.Response]:
        return [
            await bench.http.get(f"/{V2}/orders", headers=bench.bearer(client))
            for bench in self.benches
        ]


@pytest.fixture
def two(tmp_path: Path, store: Store) -> Iterator[Two]:
    two = Two(tmp_path, store)
    yield two
    for bench in two.benches:
        bench.store.close()


def codes(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


async def test_a_client_with_more_time_is_served_by_every_gateway_and_no_other_is(two: Two) -> None:
    assert codes(await two.asks("reader")) == [410, 410]

    await two.gives("reader")

    served = await two.asks("reader")
    assert codes(served) == [200, 200]
    for answer in served:
        assert answer.headers["sunset"] == "Wed, 30 Jun 2027 23:59:59 GMT"
        assert answer.headers["deprecation"].startswith("@")
    refused = await two.asks("clerk")
    assert codes(refused) == [410, 410]
    assert refused[0].json()["code"] == "version-retired"


async def test_everybody_may_have_more_time(two: Two) -> None:
    await two.gives(EVERYBODY)

    assert codes(await two.asks("clerk")) == [200, 200]


async def test_more_time_ends_with_its_last_day(two: Two) -> None:
    await two.gives("reader")

    for bench in two.benches:
        bench.clock.set(LAST_MINUTE)
    assert codes(await two.asks("reader")) == [200, 200]
    for bench in two.benches:
        bench.clock.advance(60)
    assert codes(await two.asks("reader")) == [410, 410]


async def test_more_time_is_taken_back(two: Two) -> None:
    await two.gives("reader")

    assert await two.store.write(end, V2, "reader", "ann", NOW)
    await two.looks()

    assert codes(await two.asks("reader")) == [410, 410]
    assert not await two.store.write(end, V2, "reader", "ann", NOW)


async def test_a_gateway_that_starts_later_knows_of_it(two: Two) -> None:
    await two.gives("reader")

    later = Extensions(two.store, two.benches[0].clock)

    assert later.extended(V2, "reader")
    assert later.extended(V2, None)
    assert not later.extended(V2, "clerk")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("preview", 200),
        ("current", 200),
        ("draft", 404),
        ("blocked", 403),
        ("retired", 410),
    ],
)
async def test_a_version_is_served_by_its_status(tmp_path: Path, status: str, code: int) -> None:
    old = "2: {status: deprecated, since: 2026-06-01, sunset: 2027-06-30}"
    days = ", since: 2026-01-01, sunset: 2026-10-31" if status == "retired" else ""
    bench = Bench(tmp_path, GATEWAY.replace(old, f"2: {{status: {status}{days}}}"))

    answer = await bench.http.get(f"/{V2}/orders", headers=bench.bearer("reader"))

    bench.store.close()
    assert answer.status_code == code, answer.text
    told = answer.headers.get("deprecation"), answer.headers.get("sunset")
    gone = "@1767225600", "Sat, 31 Oct 2026 23:59:59 GMT"
    assert told == (gone if status == "retired" else (None, None))
