"""Every fault on every call that a won deal makes: all is done once, or a person is told.

The calls are those of the sandboxes' own logs of a clean run, so a new call is a new row for each
fault. Rows of one batch share some deals: the n-th call of an operation meets the n-th fault.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from tests.firm import Firm
from tests.process_apis.standing import TOLD, Record, State, finish, stand_once
from tests.systems import Deal, System

pytestmark = pytest.mark.one_form  # what a vendor does wrong knows no store; `make crash` does
SIGN_IN = "token.create"
HOLD_S, IN_FLIGHT_S = 8.0, 4.0
FIRED: Counter[str] = Counter()


class Operation(NamedTuple):
    """What a won deal asks of a vendor."""

    vendor: str
    name: str
    writes: bool


class Fault(NamedTuple):
    """What goes wrong, by its row of the matrix and its name in the sandbox.

    Only a write can meet what is `of_writes`; `of` are the vendors that may meet it.
    """

    row: str
    kind: str
    of_writes: bool = False
    of: tuple[str, ...] = ("salesforce", "kantata", "netsuite")
    more: Record = {}  # noqa: RUF012 - never changed

    @property
    def plan(self) -> Record:
        """As the sandbox is told."""
        return {"fault": self.kind, "seconds": 0.1, **self.more}

    def meets(self, operation: Operation) -> bool:
        """Whether this can befall the operation."""
        possible = operation.writes or not self.of_writes
        return possible and operation.name != SIGN_IN and operation.vendor in self.of


def hidden(seconds: float) -> Fault:
    """What we made is not found by a search: we make nothing in the CRM."""
    return Fault("F8", "hide", of=("kantata", "netsuite"), more={"seconds": seconds})


F1, F2 = Fault("F1", "timeout-before-commit"), Fault("F2", "timeout-after-commit")
F3, F4 = Fault("F3", "throttle"), Fault("F4", "error")
EMPTY, DRIFT = Fault("F6", "empty"), Fault("F7", "drift")
LOCK, REDIRECT = Fault("F4", "lock", of_writes=True), Fault("F21", "redirect")
UNREADABLE = (Fault("F6", "truncate"), EMPTY, Fault("F6", "error-as-success"))
ONCE: dict[str, tuple[Fault, ...]] = {
    "nobody knows": (F1, F2),
    "not now": (F3, F4, Fault("F4", "html")),
    "away": (Fault("F5", "maintenance", more={"seconds": 600}),),
    "unreadable": UNREADABLE,
    "not found yet": (hidden(5), hidden(30), hidden(300)),
    "who are you": (Fault("F9", "expire-token"),),
    "too much": (
        *(Fault("F21", "flood"), Fault("F21", "bomb")),
        Fault("F21", "drip", more={"seconds": 9}),
    ),
    "a person's turn": (DRIFT, REDIRECT, LOCK),
}
AT_SIGN_IN = (
    *(F1, F2, *ONCE["not now"], *UNREADABLE, *ONCE["who are you"], *ONCE["too much"]),
    *(REDIRECT, DRIFT),
)
"""A drift is met last: it does not hinder anybody, so nobody signs in once more."""
LASTING = (DRIFT, REDIRECT, LOCK, F4, EMPTY, F1)


def win(firm: Firm, count: int, **options: str) -> tuple[list[Deal], State]:
    """So many deals are won; answers them and the CRM as it is then."""
    deals = [firm.salesforce.wins_deal(billing_model="milestone", **options) for _ in range(count)]
    return deals, firm.salesforce.state()


async def begin(firm: Firm, deals: list[Deal]) -> None:
    """Their runs begin, all at once."""
    for answer in await asyncio.gather(*(firm.starts(deal) for deal in deals)):
        assert answer.status_code == 202, answer.text


@pytest.fixture(scope="module")
def known() -> list[Operation]:
    """What the clean run has shown, for all tests of this file."""
    return []


@pytest.fixture
async def operations(quiet_firm: Firm, known: list[Operation]) -> list[Operation]:
    """Each operation of the first deal there is: it signs in everywhere."""
    firm = quiet_firm
    if not known:
        firm.salesforce.wins_deal()  # the people of the CRM are signed in
        firm.later(hours=1)  # and its feed's token is old
        deal = firm.salesforce.wins_deal(billing_model="milestone")
        won = firm.salesforce.state()
        marks = {system: len(system.calls()) for system in firm.systems}
        await firm.starts(deal)
        await firm.run_of(deal)
        known += named(marks)
        await stand_once(firm, [deal], won)
    return known


def named(marks: Mapping[Any, int]) -> list[Operation]:
    """The operations since then, each once."""
    seen: dict[tuple[str, str], bool] = {}
    for system, mark in marks.items():
        for call in system.calls()[mark:]:
            name = system.NAME, call["operation"]
            seen[name] = seen.get(name, False) or bool(call["committed"])
    return [Operation(*name, writes) for name, writes in seen.items()]


class Row(NamedTuple):
    """One fault on one call."""

    operation: Operation
    fault: Fault
    plan: Record


def rows_of(operations: list[Operation], faults: tuple[Fault, ...], deals: int) -> Iterator[Row]:
    """The rows of a batch: no two of an operation meet the same call."""
    for n, operation in enumerate(operations):
        for k, fault in enumerate(faults):
            if fault.meets(operation):
                nth = 1 + (n + 2 * k) % deals
                plan = {"operation": operation.name, "nth": nth, **fault.plan}
                yield Row(operation, fault, plan)


def plan(firm: Firm, rows: list[Row]) -> None:
    """From now on all these go wrong."""
    for system in firm.systems:
        system.faults([row.plan for row in rows if row.operation.vendor == system.NAME])


def fired(firm: Firm, rows: list[Row]) -> list[Row]:
    """The rows whose fault has been met so far."""
    told = {
        system.NAME: [bool(each.get("fired")) for each in system.planned()]
        for system in firm.systems
    }
    return [row for row in rows if told[row.operation.vendor].pop(0)]


def count(rows: list[Row]) -> None:
    """Note what was met, for the count at the end."""
    FIRED.update(f"{row.fault.row} {row.fault.kind}" for row in rows)


@pytest.mark.parametrize("name", ONCE)
async def test_what_goes_wrong_once_is_made_good(
    quiet_firm: Firm, operations: list[Operation], name: str
) -> None:
    firm, faults = quiet_firm, ONCE[name]
    size = 2 * len(faults) + 2
    rows = list(rows_of(operations, faults, size))
    deals, won = win(firm, size)
    plan(firm, rows)

    await begin(firm, deals)
    asked = await finish(firm, deals, seconds=60 if name == "away" else 15)

    assert fired(firm, rows) == rows
    count(rows)
    assert bool(asked) == (name == "a person's turn"), asked
    await stand_once(firm, deals, won)


async def test_what_goes_wrong_at_the_sign_in_is_made_good(
    quiet_firm: Firm, operations: list[Operation]
) -> None:
    firm = quiet_firm
    rows = [
        Row(each, fault, {"operation": SIGN_IN, "nth": n, **fault.plan})
        for each in operations
        if each.name == SIGN_IN
        for n, fault in enumerate(AT_SIGN_IN, start=1)
    ]
    assert {row.operation.vendor for row in rows} == {system.NAME for system in firm.systems}
    [lost] = ONCE["who are you"]
    first = {each.vendor: each for each in reversed(operations) if each.name != SIGN_IN}
    rows += [
        Row(each, lost, {"operation": each.name, "nth": 1, **lost.plan}) for each in first.values()
    ]
    deals, won = win(firm, 2)
    plan(firm, rows)

    await begin(firm, deals)
    await finish(firm, deals, seconds=15)

    assert fired(firm, rows) == rows
    count(rows)
    await stand_once(firm, deals, won)


async def test_a_look_up_after_a_lost_answer_may_go_wrong_as_well(
    quiet_firm: Firm, operations: list[Operation]
) -> None:
    firm, faults = quiet_firm, (*ONCE["not now"], *UNREADABLE, F1)
    lost = [
        Row(each, F2, {"operation": each.name, "nth": n, **F2.plan})
        for each in operations
        if F2.meets(each) and each.writes
        for n in range(1, len(faults) + 1)
    ]
    first = [row for row in lost if row.plan["nth"] == 1]
    deals, won = win(firm, 1)
    marks = {system: len(system.calls()) for system in firm.systems}
    plan(firm, first)
    await begin(firm, deals)
    await finish(firm, deals, seconds=15)
    known = {each[:2] for each in operations}
    rows = [
        Row(each, fault, {"operation": each.name, "nth": n, **fault.plan})
        for each in named(marks)
        if each[:2] not in known
        for n, fault in enumerate(faults, start=1)
    ]
    assert len(rows) >= 4 * len(faults), rows

    deals, won = win(firm, len(faults))
    plan(firm, lost + rows)
    await begin(firm, deals)
    await finish(firm, deals, seconds=30)

    assert fired(firm, lost + rows) == lost + rows
    count(rows)
    await stand_once(firm, deals, won)


@pytest.mark.parametrize("fault", LASTING, ids=lambda fault: fault.kind)
async def test_what_stays_wrong_waits_for_a_person_at_one_call_after_another(
    quiet_firm: Firm, operations: list[Operation], fault: Fault
) -> None:
    firm = quiet_firm
    left = [
        Row(each, fault, {"operation": each.name, **fault.plan})
        for each in operations
        if fault.meets(each)
    ]
    deals, won = win(firm, 1)
    rows, met, asked = list(left), list[Row](), list[Record]()
    plan(firm, left)
    await begin(firm, deals)

    async def look() -> bool:
        firm.later(minutes=10)
        for item in await firm.work_items_of(deals[0]):
            now = fired(firm, left)
            asked.append(item)
            met.extend(now)
            left[:] = [row for row in left if row not in now]
            plan(firm, left)
            await firm.decides(item, "retry")
        return bool(await firm.all_done(*deals))

    await firm.see(look, bool, patience_s=90)
    met.extend(fired(firm, left))
    assert sorted(met) == sorted(rows)
    count(met)
    assert asked
    for item in asked:
        assert all(item[name] for name in TOLD), item
        assert any(system.NAME in f"{item}".lower() for system in firm.systems)
    await stand_once(firm, deals, won)


@pytest.mark.parametrize("vendor", ["salesforce", "kantata", "netsuite"])
async def test_a_system_that_stays_away_is_told_once_to_whoever_looks_after_it(
    quiet_firm: Firm, vendor: str
) -> None:
    firm = quiet_firm
    system: System = getattr(firm, vendor)
    deals, won = win(firm, 3)
    system.fails("*", "maintenance", seconds=86_400)
    await begin(firm, deals)

    async def told() -> list[Record]:
        items = await firm.work_items(owner="integration")
        return [each for each in items if each["code"] == "connection.unavailable"]

    [item] = await firm.in_time(told, seconds=60)
    assert item["record"]["external_id"] == vendor
    assert all(item[name] for name in TOLD)
    refused = [call for call in system.calls() if call.get("status") == 503]
    system.works_again()
    await finish(firm, deals, seconds=30)
    assert await told() == []

    minutes = datetime.fromisoformat(refused[-1]["at"]) - datetime.fromisoformat(refused[0]["at"])
    assert len(refused) <= 2 * minutes.total_seconds() / 30 + 10
    FIRED["F5 maintenance"] += 1
    await stand_once(firm, deals, won)


@pytest.mark.parametrize("kind", ["timeout-before-commit", "timeout-after-commit"])
async def test_whoever_is_killed_in_the_middle_of_a_call_has_done_it_once(
    quiet_firm: Firm, operations: list[Operation], kind: str
) -> None:
    """The rows whose call was under way when all processes were killed count; the others again."""
    firm, fault = quiet_firm, Fault("F12", kind)
    left = [
        Row(each, fault, {"operation": each.name, "nth": 1, "fault": kind, "seconds": HOLD_S})
        for each in operations
        if fault.meets(each)
    ]
    for _ in range(6):
        deals, won = win(firm, len(left) + 1)
        plan(firm, left)
        await begin(firm, deals)
        await under_way(firm, left)
        firm.house.dies()
        now = fired(firm, left)
        for system in firm.systems:
            system.works_again()
        await finish(firm, deals, seconds=1)
        await stand_once(firm, deals, won)
        count(now)
        left = [row for row in left if row not in now]
        if not left:
            return
    raise AssertionError(f"nobody was killed during {left}")


async def under_way(firm: Firm, rows: list[Row]) -> None:
    """All these calls have begun and none has ended yet, or the first would soon end."""
    since: float | None = None
    for _ in range(300):
        now = fired(firm, rows)
        since = since or (time.monotonic() if now else None)
        if len(now) == len(rows) or (since and time.monotonic() - since > IN_FLIGHT_S):
            return
        await asyncio.sleep(0.1)


async def test_a_deal_told_of_fifty_times_and_a_day_later_is_one_run(quiet_firm: Firm) -> None:
    firm = quiet_firm
    deals, won = win(firm, 1)
    await asyncio.gather(*(firm.starts(deals[0]) for _ in range(2)))
    await finish(firm, deals, seconds=0)
    marks = [len(system.calls()) for system in firm.systems]

    told = await asyncio.gather(*(firm.starts(deals[0]) for _ in range(50)))
    firm.later(hours=24)
    told += [await firm.starts(deals[0])]

    assert {answer.status_code for answer in told} == {200}
    assert [len(system.calls()) for system in firm.systems] == marks
    await stand_once(firm, deals, won)


async def test_two_deals_of_one_new_customer_won_at_once_share_it_everywhere(
    quiet_firm: Firm,
) -> None:
    firm = quiet_firm
    pairs = [win(firm, 2, entity=entity, customer="same") for entity in ("US", "UK", "DE")]
    deals = [deal for pair, _ in pairs for deal in pair]

    await begin(firm, deals)
    await finish(firm, deals, seconds=1)

    assert len({deal.customer_id for deal in deals}) == 3
    await stand_once(firm, deals, pairs[-1][1])


async def test_what_was_done_is_audited_and_sealed(quiet_firm: Firm) -> None:
    """The last test of this file: it looks at all that the others did."""
    firm = quiet_firm

    async def verified() -> Any:
        return await asyncio.to_thread(firm.house.says, "audit", "verify")

    code, text = await firm.see(verified, lambda told: told[0] == 0)

    print(f"faults fired: {FIRED.total()}:", dict(sorted(FIRED.items())))  # noqa: T201 - the count
    assert code == 0, text
    assert FIRED.total() >= 200
