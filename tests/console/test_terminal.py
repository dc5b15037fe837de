"""What people read in the terminal, from recorded runs and work items."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
from rich.console import Console

from apis.console import terminal
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.errors import Rejected
from contracts.runs import Decision, Run, RunStep, VendorCall, Waiting, WorkItem, WorkRecord

AT = datetime(2026, 4, 1, 12, tzinfo=UTC)
QUERY = VendorCall(system="salesforce", operation="GET /query", status=200, ms=11.2, at=AT)
LOST = VendorCall(system="salesforce", operation="PATCH /sobjects/Account/{}")
ACCEPTED = RunStep(
    name="accepted_deal",
    owner="sales-operations",
    state="done",
    started_at=AT,
    ended_at=AT + timedelta(seconds=1.25),
    attempts=1,
    calls=(QUERY,),
)
KEY = RunStep(
    name="customer_key_for",
    owner="finance-master-data",
    state="parked",
    started_at=AT + timedelta(seconds=2),
    attempts=3,
    calls=(LOST,),
)
RUN = Run(
    id="deal_to_project:salesforce:006A:1",
    flow="deal_to_project",
    state="waiting",
    deal=Source("salesforce", "006A"),
    started_at=AT,
    waiting=Waiting(since=AT, owner="finance-master-data", work_item_id="wi-1"),
    steps=(ACCEPTED, KEY),
)
ITEM = WorkItem(
    id="wi-1",
    code="customer.tax-code-missing",
    title="A rule was not met",
    detail="customer 'Elbtal 1 GmbH' in salesforce has no tax code",
    owner="finance-master-data",
    remedy="enter the tax code on the account in salesforce, then retry",
    amount=Money(Decimal("42800.00"), "EUR"),
    record=WorkRecord(system="salesforce", object="deal", external_id="006A"),
    run_id=RUN.id,
    since=AT,
)


def text(shown: object, width: int = 110) -> str:
    screen = Console(file=io.StringIO(), width=width)
    screen.print(shown)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_journey_names_step_owner_state_time_and_calls() -> None:
    told = text(terminal.journey(RUN, AT + timedelta(seconds=5)))

    line = next(line for line in told.splitlines() if "accepted deal" in line)
    for part in ("sales-operations", "done", "1.2 s", "salesforce GET /query: 200 in 11 ms"):
        assert part in line


def test_a_call_without_an_answer_says_so_and_tries_are_counted() -> None:
    told = text(terminal.journey(RUN, AT + timedelta(seconds=5)))

    line = next(line for line in told.splitlines() if "customer key" in line)
    assert "salesforce PATCH /sobjects/Account/...: no answer" in line
    assert "try 3" in told
    assert "3.0 s" in line


def test_a_wait_for_a_person_is_a_line_that_says_who_decided_and_why() -> None:
    decision = Decision(decision="approve", comment="staffed", actor="ann", at=AT)
    step = RunStep(
        name="approval",
        owner="delivery-director",
        state="done",
        started_at=AT,
        ended_at=AT + timedelta(hours=2),
        attempts=1,
        work_item_id="wi-1",
        decision=decision,
    )
    asked = msgspec.structs.replace(step, name="accepted_deal.decision", state="waiting")
    asked = msgspec.structs.replace(asked, ended_at=None, decision=None)
    run = msgspec.structs.replace(RUN, steps=(ACCEPTED, step, asked))

    told = text(terminal.journey(run, AT + timedelta(minutes=5)))

    line = next(line for line in told.splitlines() if "approval" in line)
    for part in ("delivery-director", "done", "2 h", "approve by ann: staffed"):
        assert part in line
    waiting = next(line for line in told.splitlines() if "accepted deal: decision" in line)
    assert ("waiting" in waiting, "5 min" in waiting) == (True, True)
    assert "approve by ann: staffed" in terminal.step_line(run, step)


def test_what_a_run_waits_for_is_plain() -> None:
    told = text(terminal.journey(RUN, AT))

    assert "Waiting for finance-master-data since" in told
    assert "work item wi-1" in told


def test_a_run_that_waits_for_a_moment_says_which() -> None:
    waiting = Waiting(since=AT, due_at=AT + timedelta(minutes=10))
    run = Run(id="r", flow="deal_to_project", state="waiting", waiting=waiting)

    assert f"goes on at {terminal.at(waiting.due_at)}" in text(terminal.journey(run, AT))


def test_what_an_abandoned_run_leaves_is_listed() -> None:
    kept = ("kantata project 12: taken back; the record itself stays",)
    run = Run(id="r", flow="deal_to_project", state="abandoned", kept=kept)

    assert "stays: kantata project 12" in text(terminal.journey(run, AT))


@pytest.mark.parametrize("shown", [terminal.work_table([ITEM]), terminal.work_item(ITEM)])
def test_a_work_item_says_what_where_how_much_who_and_how(shown: object) -> None:
    told = " ".join(text(shown).split())

    for part in (
        "A rule was not met",
        "has no tax code",
        "006A",
        "42,800.00 EUR",
        "finance-master-data",
        "enter the tax code on the account",
        "wi-1",
    ):
        assert part in told


def test_an_empty_queue_is_a_sentence() -> None:
    assert text(terminal.work_table([])).strip() == "Nothing waits for anybody."


@pytest.mark.parametrize("width", [60, 80, 110])
def test_no_table_is_wider_than_the_terminal(width: int) -> None:
    for shown in (terminal.journey(RUN, AT), terminal.work_table([ITEM]), terminal.work_item(ITEM)):
        assert max(map(len, text(shown, width).splitlines())) <= width


def test_a_log_gets_one_line_a_step() -> None:
    line = terminal.step_line(RUN, ACCEPTED)

    assert line.split() == [
        *("1.2", "s", "accepted", "deal", "done", "sales-operations"),
        *("salesforce", "GET", "/query:", "200", "in", "11", "ms"),
    ]


def test_changes_show_before_and_after_and_name_a_record_once() -> None:
    rows = [
        terminal.Change("Salesforce", "deal Rollout", "006A", "project key", None, "project-1"),
        terminal.Change("Salesforce", "deal Rollout", "006A", "project status", "", "contracted"),
    ]

    told = text(terminal.changes(rows, earlier=False))

    assert told.count("deal Rollout") == told.count("006A") == told.count("Salesforce") == 1
    assert "Before" in told
    assert "Before" not in text(terminal.changes(rows, earlier=True))


def test_what_exists_is_listed_by_system_and_an_empty_system_says_so() -> None:
    value = Money(Decimal("42800.00"), "EUR")
    rows = [
        terminal.Existing("Salesforce", "customer", "001A", None, "Elbtal 1 GmbH"),
        terminal.Existing("Salesforce", "deal", "006A", value, "Rollout"),
    ]

    told = [
        line.split() for line in text(terminal.everything(["Salesforce", "ERP"], rows)).splitlines()
    ]

    assert told[2] == ["Salesforce", "customer", "001A", "-", "Elbtal", "1", "GmbH"]
    assert told[3] == ["deal", "006A", "42,800.00", "EUR", "Rollout"]
    assert told[4] == ["ERP", "-", "-", "-", "nothing", "of", "this", "deal"]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0123, "12 ms"), (2.34, "2.3 s"), (150, "2 min"), (7300, "2 h"), (200000, "2 days")],
)
def test_times_are_as_coarse_as_they_are_long(seconds: float, told: str) -> None:
    assert terminal.took(AT, AT + timedelta(seconds=seconds)) == told


def test_trouble_says_what_to_do() -> None:
    error = Rejected("x.y", "it is closed", remedy="open it")

    assert terminal.trouble(error) == "it is closed: open it"
