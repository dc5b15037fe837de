"""A deal that is not what was agreed any more is held, taken back or agreed anew."""

from __future__ import annotations

from sqlalchemy import Connection

from apis.runtime import run_views
from apis.runtime.app import App, make_app
from apis.runtime.flow import (
    Abandoned,
    Runtime,
    about,
    current,
    flow,
    step,
)
from apis.runtime.made import Made, made_before, take_over
from apis.runtime.metadata import DealChanges, changes_of
from contracts.canonical.contract import Contract
from contracts.canonical.deal import Deal, DealMark
from contracts.canonical.identity import Ref, Source
from contracts.canonical.project import Project
from contracts.errors import NotFound, Rejected
from process_apis import amendments, customer_master
from process_apis import project_setup as setup
from process_apis.amendments import (
    amended,
    followed_in_erp,
    followed_in_psa,
    in_step,
    with_figures,
)
from process_apis.deal_rules import SALES, shown
from process_apis.deal_to_project import STEPS, accepted_deal, approved_deal, crm, project_key
from process_apis.feeds import FLOW, standing
from process_apis.moved_deals import resold, sold_before
from process_apis.runs import run_routes


@flow
async def deal_change(source: Source) -> Contract:
    """From a deal that was won to what it is now, as the metadata of its entity says."""
    customer = await sold_before(accepted_deal)
    change = await change_of(source, customer)
    if change == "amend":
        return await amended_engagement(source, customer)
    if change in {"hold", "reverse"}:
        made = await made_before(current(), STEPS)
        take_over(current(), made)
        if change == "hold":
            await held_engagement(source, made)
            change = await decided_deal(source)
        if change == "reverse":
            raise Abandoned("the deal is not won any more")
    return await contract_of(source)


async def held_engagement(source: Source, made: list[Made]) -> None:
    """Nothing more is planned, booked or billed, and sales can see it."""
    found = {each.step.name: each.value for each in made}
    if planned := found.get(setup.project_for.name):
        await amendments.held_plan(planned)
    if booked := found.get(setup.booked_project_for.name):
        await amendments.held_books(booked)
    contract = await amendments.held_contract(await contract_of(source))
    await hold_on(source, contract)


async def amended_engagement(source: Source, customer: str) -> Contract:
    """What the deal says now, approved if it is above a limit, in the contract and everywhere."""
    before = await contract_of(source)
    if not await amendable(source, before, customer):
        return before
    file, approved = await approved_deal(source, before.current.value)
    terms = await setup.delivery_terms_for(file.deal)
    agreed = amended(before, file.deal, approved)
    made = await made_before(current(), [*STEPS, agreed_project])
    found = {each.step.name: each.value for each in made}
    planned, booked = found.get(setup.project_for.name), found.get(setup.booked_project_for.name)
    latest = found.get(agreed_project.name)
    there = await amendments.planned_before()
    if planned:
        project = in_step(planned, agreed, file.deal, terms)
        wanted = await amendments.wanted_schedule(project, agreed, terms, there)
    contract, _ = await amendments.amended_contract(agreed, before, file.deal)
    if planned:
        was = with_figures(planned, latest or planned)
        project = await followed_in_psa(project, was, there, wanted)
    if booked:
        books = in_step(booked, contract, file.deal, terms)
        was = with_figures(booked, latest or booked)
        await followed_in_erp(books, was, contract, terms)
    if planned:
        await amendments.replaced(project, there, wanted)
    if planned or booked:
        await agreed_project(contract, project if planned else books)
    return contract


@step(owner="integration")
async def change_of(source: Source, customer: str) -> str:
    """What is to be done about the deal as it is now; nothing if it is what was agreed."""
    contract, deal = await kept(source), await crm(source).get_deal(source.external_id)
    about(amount=contract.current.value, entity=contract.entity)
    if contract.state not in {"active", "held"}:
        return ""
    rule = rule_of(contract)
    if deal.state == "won":
        again = await current().runtime.store.read(won_anew, source)
        same = not differs(contract, deal) and not await resold(contract, deal, customer)
        return "" if again or same else rule.changed
    if deal.state == "lost":
        return rule.lost
    return rule.reopened.replace("amend", "")  # what is agreed anew is amended once it is won


@step(owner=SALES)
async def amendable(source: Source, contract: Contract, customer: str) -> bool:
    """Whether the deal differs still; one of another customer, entity or currency is for sales."""
    deal = await crm(source).get_deal(source.external_id)
    if await resold(contract, deal, customer):
        raise amendments.moved("customer")
    if deal.value is not None and deal.billing_model is not None:  # else the rules refuse it
        amended(contract, deal, None)
    return differs(contract, deal)


@amendable.undo
async def set_back(_differed: bool) -> None:  # noqa: FBT001 - what the step has answered
    """What was not agreed is for sales to see until the deal is as its contract again."""
    source = current().source
    contract, deal = await kept(source), await crm(source).get_deal(source.external_id)
    if deal.state == "won" and differs(contract, deal):
        raise Rejected(
            "deal.differs-from-contract",
            f"deal {deal.name!r} was changed in {source.connection}"
            f"{f' to {shown(deal.value)}' if deal.value else ''}, which was not agreed: "
            f"contract and project stay as they are, worth {shown(contract.current.value)}",
            owner=SALES,
            remedy=f"set the deal in {source.connection} back to its contract or to what can be "
            "agreed, or abandon to leave it as it is",
            source=source.connection,
        )


@step(owner="integration")
async def contract_of(source: Source) -> Contract:
    """The contract as it is kept."""
    return await kept(source)


@step(owner=SALES, keep="it shows how its project is")
async def hold_on(source: Source, contract: Contract) -> Ref:
    """The deal says that its project is on hold."""
    mark = DealMark(project_key=project_key(contract), status="on hold")
    ref = await crm(source).mark_deal(source.external_id, mark)
    await setup.told_project(contract, "on_hold")
    return ref


@step(owner="integration", keep="delivery was told what was agreed last")
async def agreed_project(contract: Contract, project: Project) -> Project:
    """Delivery sees the project as it was agreed anew."""
    await setup.told_project(contract, project.state, project)
    return project


@step(owner=SALES)
async def decided_deal(source: Source) -> str:
    """Won again, or to be taken back; until then somebody is asked what is to become of it."""
    contract, deal = await kept(source), await crm(source).get_deal(source.external_id)
    if deal.state == "won" and contract.state != "held":
        return "won"
    rule, worth = rule_of(contract), shown(contract.current.value)
    if deal.state == "lost" and rule.lost == "reverse":
        return "reverse"
    project = project_key(contract).partition("-")[2]
    records = await current().runtime.store.read(customer_master.sources, "project", project)
    known = ", ".join(f"{each.connection} {each.external_id}" for each in records)
    to_do = f"win the deal again in {source.connection}"
    if deal.state == "won":  # again, but that run was given up before it took anything back
        to_do = "set the deal right and start its run again"
    raise Rejected(
        "deal.on-hold",
        f"deal {deal.name!r} is {deal.state} in {source.connection} after its project began: "
        f"the project ({known}), worth {worth}, is on hold",
        owner=rule.owner,
        remedy=f"{to_do}, or abandon to cancel its project",
        source=source.connection,
    )


def rule_of(contract: Contract) -> DealChanges:
    """What the metadata says about deals of this entity."""
    runtime = current().runtime
    today = runtime.clock.now().date()
    return changes_of(runtime.metadata, FLOW, contract.entity, today)


def won_anew(connection: Connection, source: Source) -> bool:
    """Whether the deal was won again since its last run: that gives it a run of its own."""
    latest = run_views.latest_of(connection, FLOW, source)
    state, turn = standing(connection, "deal", source)
    return bool(state) and latest is not None and (state, turn) != ("won", latest.turn)


def differs(contract: Contract, deal: Deal) -> bool:
    """Whether a won deal is another than the one in the contract, but for its customer."""
    try:
        now = amended(contract, deal, None)
        return customer_master.terms(now) != customer_master.terms(contract)
    except Rejected:  # it cannot be amended: that is a difference, and a later step says which
        return True


async def kept(source: Source) -> Contract:
    """The contract of a deal; NotFound before there is one."""
    found = await current().runtime.store.read(customer_master.contract_of, source)
    if found is None:
        told = f"deal {source.external_id} in {source.connection} has no contract yet"
        raise NotFound("contract.unknown", told, owner="integration")
    return found


def times_changed(connection: Connection, flow: str, source: Source) -> int:
    """Each change that is looked into is a run of its own."""
    del flow
    return run_views.count_of(connection, deal_change.name, source) + 1


def app(runtime: Runtime) -> App:
    """The process API of this flow."""
    routes = run_routes(deal_change, "deal-change/v1", times_changed)
    return make_app(
        "Deal change", version="1.0.0", routes=routes, dependencies={"runtime": runtime}
    )
