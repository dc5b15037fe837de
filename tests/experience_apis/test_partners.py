"""A partner sees nothing of another, whatever it asks of whichever published route."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from apis.runtime.context import Context
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from contracts.canonical.identity import Ref
from contracts.events import DealChanged, DealWon, event_of
from experience_apis.operations.reads import ways_of
from tests.experience_apis.partners import (
    ALL,
    DEALS,
    OURS,
    ROLES,
    SHARED,
    THEIRS,
    Asked,
    Firm,
    Hostile,
    follow,
    happened,
    operations,
)
from tests.servers import Servers, drop_database, fresh_database

WAYS = ("customer", "entity")
ODD = ("' OR 1=1 --", "%", "*", "", "../", "null", "0" * 26, "2026-03-02~z")
LISTS = [
    ("experience/delivery", "/projects"),
    ("experience/operations", "/work-items"),
    ("process/work-queue", "/work-items"),
    ("process/deal-to-project", "/runs"),
]


@pytest.fixture(scope="module")
def firm(production: Servers | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firm]:
    if production is None:
        url = f"sqlite:///{tmp_path_factory.mktemp('partners') / 'throughline.sqlite'}"
    else:
        url = fresh_database(production.database_url)
    firm = Firm(url)
    yield firm
    asyncio.run(firm.close())
    if production is not None:
        drop_database(production.database_url, url)


def partner(way: str) -> Context:
    """A client of ours with every role there is, so that nothing but its rows can stop it."""
    return Context(actor="partner", client="partner", roles=ROLES, rows=OURS.rows[way])


@pytest.mark.parametrize("way", WAYS)
async def test_nothing_of_another_customer_is_in_any_answer(firm: Firm, way: str) -> None:
    theirs = [each for n in (0, 7, DEALS - 1) for each in THEIRS.ids(n)]
    cursors = [(await firm.tell(*each, ALL))["next"] for each in LISTS[2:]]
    more = [THEIRS.entity, THEIRS.of("job"), SHARED, OURS.entity, *OURS.ids(3), *cursors]
    words = {each.rstrip("x") for each in (*theirs, *more) if "bravo" in each and ":" not in each}
    hostile = Hostile(7, [*theirs, *theirs, *more, *more, *ODD])
    before, answered, asked = firm.items(THEIRS), 0, set()

    for _ in range(500):
        request = hostile.request()
        status, _, body = await firm.ask(request, partner(way))
        told = body.decode()
        for word in sorted(words, key=len, reverse=True):
            if word in request.said:
                told = told.replace(word, "")
        assert "bravo" not in told, (request, told)
        assert status < 500, (request, told)
        answered += status < 300
        asked.add((request.target, request.method))

    assert answered > 50
    assert {(target, method) for target, method, *_ in operations()} == asked
    assert firm.items(THEIRS) == before


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_anothers_and_what_is_nowhere_are_answered_alike(
    firm: Firm, way: str
) -> None:
    seen, run = 0, firm.counts()
    for target, method, path, operation, _ in operations():
        if "{id}" not in path:
            continue
        body = b'{"decision": "retry"}' if path.endswith("decisions") else b"{}"
        body = b'{"text": "mine"}' if path.endswith("comments") else body
        sent = body if "requestBody" in operation else b""
        for theirs in THEIRS.ids(7):
            nowhere = theirs.replace("bravo", "zulus")
            answers = []
            for name in (theirs, nowhere):
                asked = Asked(target, method, path.replace("{id}", name), "", sent)
                run.clear()
                status, headers, told = await firm.ask(asked, partner(way))
                answers.append((status, headers, told.replace(name.encode(), b"ID"), len(run)))
            assert answers[0] == answers[1], (path, theirs)
            assert answers[0][0] in (403, 404), (path, theirs, answers[0])
            assert answers[0][0] == 403 or answers[0][3] > 0
            seen += 1
    assert seen >= 9 * 10


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("target", "path"), LISTS)
async def test_page_by_page_a_partner_reads_its_own_and_all_of_it(
    firm: Firm, target: str, path: str, way: str
) -> None:
    found: list[dict[str, Any]] = []
    query: dict[str, str] = {}
    while True:
        page = await firm.tell(target, path, partner(way), **query)
        found += page["items"]
        if page["next"] is None:
            break
        query = {"cursor": page["next"]}

    ids = [each["id"] for each in found]
    assert len(ids) == len(set(ids)) == DEALS
    assert all(OURS.name in each for each in ids)


@pytest.mark.parametrize(("target", "path"), LISTS)
async def test_a_cursor_is_for_the_list_the_client_and_the_rows_it_was_made_for(
    firm: Firm, target: str, path: str
) -> None:
    limit = ALL if "work-items" in path else partner("customer")
    given = (await firm.tell(target, path, limit))["next"]
    other = next(each for each in LISTS if each[1] != path)
    altered = ("B" if given[5] != "B" else "C").join((given[:5], given[6:]))

    for to, by, cursor in (
        ((target, path), partner("entity"), given),
        ((target, path), Context(actor="another", client="another", roles=ROLES), given),
        (other, limit, given),
        ((target, path), limit, altered),
    ):
        asked = Asked(to[0], "GET", to[1], f"cursor={cursor}")
        status, _, body = await firm.ask(asked, by)
        assert (status, b"it is no page's `next`" in body) == (422, True)


async def test_an_id_that_both_use_shows_each_its_own(firm: Firm) -> None:
    told = await firm.tell("experience/operations", f"/journeys/{SHARED}", partner("customer"))

    assert told["customer_id"] == OURS.of("customer")
    assert {each["external_id"].partition("-")[0] for each in told["others"]} == {OURS.name}


async def test_a_partner_neither_starts_what_is_anothers_nor_learns_what_it_would_write(
    firm: Firm,
) -> None:
    answers = []
    for party in (THEIRS, OURS):
        source = party.source(1)
        body = f'{{"deal": {{"system": "salesforce", "external_id": "{source.external_id}"}}}}'
        for query in ("dry_run=true", ""):
            asked = Asked("process/deal-to-project", "POST", "/runs", query, body.encode())
            status, _, _ = await firm.ask(asked, partner("customer"))
            answers.append(status)

    assert answers == [404, 404, 200, 200]


def test_a_journey_that_was_moved_to_another_customer_is_neither_ones(store_url: str) -> None:
    store = Store(store_url, pool=1)
    lift(store)
    first = next(happened(OURS))
    moved = msgspec.convert(first.data, DealWon)
    told = msgspec.structs.replace(moved.deal, customer=Ref(THEIRS.of("customer")))
    changed = DealChanged(connection=moved.connection, deal=told)
    later = event_of("deal.changed", changed, id="moved", source="/test", time=first.time)

    seen = []
    for event in (first, later):
        store.write_now(follow, [event])
        rows = (OURS.rows["customer"], THEIRS.rows["customer"], OURS.rows["entity"])
        name = moved.deal.external_id or ""
        seen.append([len(store.read_now(ways_of, name, each)) for each in rows])
    store.close()

    assert seen == [[1, 0, 1], [0, 0, 1]]
