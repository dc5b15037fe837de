"""What is billed after a contract has changed: invoices stay, what follows makes up for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from apis.runtime.flow import current, step
from contracts.canonical.billing import BillingLine, BillingSchedule
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.canonical.project import Project, StaffingRequest
from contracts.errors import Rejected
from process_apis import project_setup as setup
from process_apis.deal_rules import FINANCE, STAFFING, shown

GONE = (
    "gone for good, as it belonged to an earlier version of the contract: "
    "make it again by hand where that version holds again"
)


@step(owner=FINANCE)
async def billing_to_follow(
    project: Project, wanted: BillingSchedule, so_far: BillingSchedule
) -> BillingSchedule:
    """What is to be billed from now on; lines that stay as they are have their ids."""
    psa = setup.psa_of(project.extensions[setup.SYSTEM])
    invoiced = await psa.get_invoiced_lines(project.external_id or "")
    today = current().runtime.clock.now().date()
    return still_to_bill(wanted, so_far, invoiced, today)


def still_to_bill(
    wanted: BillingSchedule, so_far: BillingSchedule, invoiced: Collection[str], today: date
) -> BillingSchedule:
    """The wanted lines beside those that were invoiced, which the last open ones make up for."""
    there = [line for line in so_far.lines if line.external_id]
    kept = [line for line in there if line.external_id in invoiced]
    lines = list(wanted.lines)
    for line in kept:
        if same := next((each for each in lines if name_of(each) == name_of(line)), None):
            lines.remove(same)
    currency = wanted.total.currency
    rest = added(wanted.lines) - added(kept) - added(lines)
    if rest > 0 and not lines:
        on = max([today, *(line.bill_on for line in wanted.lines if line.bill_on)])
        nothing = Money(Decimal(), currency)
        lines.append(BillingLine(number=1, name="Change of contract", bill_on=on, total=nothing))
    lines, short = shared_out(lines, rest)
    if short:
        billed, planned = (Money(added(lines), currency) for lines in (kept, wanted.lines))
        raise over_billed(billed, planned, wanted.total)
    unchanged = {agreed(line): line.external_id for line in there if line not in kept}
    lines = [with_id(line, unchanged.pop(agreed(line), None)) for line in lines]
    numbered = enumerate([*kept, *lines], start=1)
    return msgspec.structs.replace(
        wanted, lines=tuple(msgspec.structs.replace(line, number=n) for n, line in numbered)
    )


def shared_out(lines: Sequence[BillingLine], rest: Decimal) -> tuple[list[BillingLine], Decimal]:
    """The lines, the last ones for more or less, none for less than nothing; and what is left."""
    found = list[BillingLine]()
    for line in reversed(lines):
        change = max(rest, -line.total.amount)
        rest -= change
        total = Money(line.total.amount + change, line.total.currency)
        if total.amount:
            found.insert(0, msgspec.structs.replace(line, total=total))
    return found, rest


def over_billed(billed: Money, planned: Money, worth: Money) -> Rejected:
    """More is on invoices than a schedule bills now: no machine gives it back."""
    return Rejected(
        "billing.more-invoiced-than-sold",
        f"{shown(billed)} has been invoiced, and the contract as it is now, worth {shown(worth)},"
        f" bills {shown(planned)} by a schedule",
        owner=FINANCE,
        remedy="give the customer a credit note and cancel the invoice in the PSA, then retry; or "
        "abandon to leave all as it was",
    )


def billed_meanwhile(late: Sequence[BillingLine]) -> Rejected:
    """Lines that were to be replaced are on invoices, and what replaces them is planned already."""
    told = ", ".join(f"{line.external_id} ({line.name}, {shown(line.total)})" for line in late)
    return Rejected(
        "billing.invoiced-meanwhile",
        f"billing lines {told} were invoiced while their contract was changed: with those that "
        "replace them the customer would pay twice",
        owner=FINANCE,
        remedy="cancel that invoice, then retry; or abandon and change the deal again: what was "
        "invoiced is then made up for",
    )


def added(lines: Iterable[BillingLine]) -> Decimal:
    """What lines of one currency add up to."""
    return sum((line.total.amount for line in lines), Decimal())


def name_of(line: BillingLine) -> tuple[str | None, str | None]:
    """What makes a line of one version of a contract that of another."""
    return line.name, line.milestone


def agreed(line: BillingLine) -> tuple[object, ...]:
    """What is billed when: a line of which all of that is the same can stay."""
    return line.name, line.milestone, line.bill_on, line.total


def with_id(line: BillingLine, external_id: str | None) -> BillingLine:
    """The line as it is in the PSA, if it is there."""
    return msgspec.structs.replace(line, external_id=external_id)


def ids(schedule: BillingSchedule) -> set[str | None]:
    """The lines of a schedule by their ids; those still to be made have none."""
    return {line.external_id for line in schedule.lines}


@step(owner=FINANCE)
async def unbilled_schedule(project: Project, earlier: BillingSchedule) -> Ref:
    """What is to go was not invoiced meanwhile: here all can still be as it was."""
    await none_billed(project, earlier)
    return Ref(earlier.id, project.external_id)


async def none_billed(project: Project, earlier: BillingSchedule) -> None:
    """Refuse to go on if a line of the schedule was invoiced."""
    psa = setup.psa_of(project.extensions[setup.SYSTEM])
    invoiced = await psa.get_invoiced_lines(project.external_id or "")
    if late := [line for line in earlier.lines if line.external_id in invoiced]:
        raise billed_meanwhile(late)


@step(owner=setup.DELIVERY, keep=GONE)
async def replaced_schedule(project: Project, earlier: BillingSchedule) -> Ref:
    """What was to be billed by an earlier version of the contract is not: the last that is done."""
    lines = [line.external_id for line in earlier.lines if line.external_id]
    psa, key = setup.psa_of(project.extensions[setup.SYSTEM]), f"billing-line-{earlier.id}"
    await none_billed(project, earlier)  # before any of them is gone
    setup.all_made(await psa.cancel_billing_lines(project.external_id or "", lines, key))
    return Ref(earlier.id, project.external_id)


@step(owner=STAFFING, keep="nobody need be found for it; whoever was found stays")
async def replaced_requests(requests: list[StaffingRequest]) -> list[StaffingRequest]:
    """Roles that an earlier version of the contract asked for need not be found."""
    await setup.cancelled(requests, [each.external_id for each in requests if each.external_id])
    return requests
