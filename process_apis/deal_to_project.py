"""A won deal becomes a customer, a contract and a project, in CRM, PSA and ERP."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.app import App, make_app
from apis.runtime.context import CURRENT
from apis.runtime.flow import (
    Approved,
    Runtime,
    Step,
    about,
    approval,
    current,
    flow,
    step,
    write_own,
)
from apis.runtime.ids import child_id
from apis.runtime.made import made_before, take_over
from apis.runtime.metadata import approval_for
from apis.runtime.waits import involve
from contracts.canonical.contract import ApprovalLimit, Contract, DeliveryTerms
from contracts.canonical.deal import Deal, DealFile, DealMark
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.project import Project
from contracts.errors import NotFound
from contracts.events import ContractActivated, CustomerValidated, ProjectActivated
from contracts.ports import Crm
from process_apis import amendments, changed_billing, customer_master
from process_apis import project_setup as setup
from process_apis.amendments import followed_in_erp, resumed_in_psa
from process_apis.backfill_routes import backfill_routes
from process_apis.customer_setup import (
    contact_in,
    contacts_of,
    customers_in,
    deal_ids,
    debtor_for,
    delivered_customer,
    mirrored,
    wanted_contacts,
)
from process_apis.deal_rules import FINANCE, SALES, above_limit, checked, shown
from process_apis.engagement import project_of, schedule_of, sold, staffing_of
from process_apis.feeds import turn_of
from process_apis.moved_deals import (
    OTHER_ACCOUNT,
    same_customer,
    sold_before,
    sold_to,
    sold_to_account,
    still_sold,
    won_again,
)
from process_apis.rates import beside_cards
from process_apis.runs import run_routes


@flow
async def deal_to_project(source: Source) -> Contract:
    """From a won deal to a customer, a contract and a project that every system knows."""
    if won_again():
        await same_customer(source, await sold_before(accepted_deal))
    file, approved = await approved_deal(source)
    terms = await setup.delivery_terms_for(file.deal)
    erp = terms.erp or ""
    customer = await validated_customer(source, file)
    parties = await customers_in(erp, file, customer) if erp else []
    marked = await customer_key_for(source, customer, erp, parties)
    customer = msgspec.structs.replace(customer, external_id=marked.external_id)
    debtor = await debtor_for(erp, parties)
    if won_again():  # from here on abandoning takes back all there is, with its contract
        take_over(current(), await made_before(current(), STEPS))
    contract = await contract_for(source, file.deal, customer, approved)
    projects, known = [], any(each.external_id for each in parties[:1])  # to the books
    if terms.psa:
        projects.append(await project_in_psa(terms, file, customer, contract, known))
    if debtor:
        for person in contacts_of(file, erp):
            await contact_in(erp, person, debtor)
        projects.append(await project_in_erp(terms, file.deal, debtor, contract, known))
    await project_key_for(source, contract, projects)
    return contract


deal_to_project.resume(still_sold)


async def approved_deal(
    source: Source, before: Money | None = None
) -> tuple[DealFile, Approved | None]:
    """The deal as accepted and approved; asked anew when it changes before it is approved."""
    while True:
        file = await accepted_deal(source)
        limit = await approver_of(file.deal)
        if limit is None:
            return file, None
        why = above_limit(file.deal, limit) + (f"; agreed was {shown(before)}" if before else "")
        approved = await approval("deal", by=limit.owner, limit=limit.above, detail=why)
        if approved or (current().plan and not current().replay):
            return file, approved


async def project_in_psa(
    terms: DeliveryTerms,
    file: DealFile,
    customer: Customer,
    contract: Contract,
    known: bool,  # noqa: FBT001 - who the flow found
) -> Project:
    """Where work is planned: the client, the project, its tasks, what is billed, who is needed."""
    psa = terms.psa or ""
    client = await delivered_customer(psa, customer, file)
    project = await setup.project_for(psa, project_of(contract, file.deal, terms), client, known)
    if won_again():
        return await resumed_in_psa(project, contract, terms)
    project = await setup.work_breakdown_for(project)
    await setup.billing_schedule_for(project, schedule_of(contract, project, terms))
    await setup.staffing_requests_for(project, staffing_of(project))
    return project


async def project_in_erp(
    terms: DeliveryTerms,
    deal: Deal,
    debtor: Ref,
    contract: Contract,
    known: bool,  # noqa: FBT001 - who the flow found
) -> Project:
    """Where money is booked: the project under its customer, and the schedule it follows."""
    planned = project_of(contract, deal, terms)
    project = await setup.booked_project_for(terms.erp or "", planned, debtor, known)
    if won_again():
        await followed_in_erp(project, project, contract, terms)
        return project
    await setup.booked_schedule_for(project, schedule_of(contract, project, terms))
    return project


@step(owner=SALES, keep="the deal keeps its number with us")
async def accepted_deal(source: Source) -> DealFile:
    """The deal as it was won, read at one moment and found complete; it has our ids."""
    file = await crm(source).get_deal_file(source.external_id)
    about(amount=file.deal.value, entity=file.deal.entity)
    await about_customer(source, file)
    checked(file, current().runtime.metadata, source.connection)
    sold_to(file)
    file = await identified(source, file)
    current().subject = current().subject | {"id": file.deal.id}
    return file


async def identified(source: Source, file: DealFile) -> DealFile:
    """The file with golden ids for the deal and its customers, and the contacts others want."""
    assert file.customer is not None  # noqa: S101 - the rules have refused a deal without one
    parties = (file.customer, *file.parents)
    accounts = [Source(source.connection, each.external_id or "") for each in parties]
    deal_id, *ids = await deal_ids(source, accounts, file.deal.entity)
    customer, *parents = (
        msgspec.structs.replace(each, id=id_) for each, id_ in zip(parties, ids, strict=True)
    )
    return msgspec.structs.replace(
        file,
        deal=msgspec.structs.replace(file.deal, id=deal_id),
        customer=customer,
        parents=tuple(parents),
        contacts=tuple(wanted_contacts(file, current().runtime.metadata.contacts)),
    )


async def about_customer(source: Source, file: DealFile) -> None:
    """Findings on the customer point to its account, where they are set right."""
    if file.customer is None or file.customer.external_id is None:
        return
    account = Source(source.connection, file.customer.external_id)
    known = await current().runtime.store.read(customer_master.known, "customer", account)
    involve(current(), "customer", account, known)


@step(owner="integration")
async def approver_of(deal: Deal) -> ApprovalLimit | None:
    """The limit of its entity that the deal is above, and the role that may pass it, if any."""
    if deal.value is None or deal.entity is None or deal.closed_on is None:
        return None
    metadata = current().runtime.metadata
    limit = approval_for(metadata, deal.entity, "deal_to_project", deal.value, deal.closed_on)
    return ApprovalLimit(above=limit.above, owner=limit.owner) if limit else None


@step(
    owner=FINANCE,
    keep="the customer stays known, whatever becomes of the deal",
    adopts=["customer.duplicate-account", OTHER_ACCOUNT],
)
async def validated_customer(source: Source, file: DealFile) -> Customer:
    """The golden record of the customer; whether two accounts are one is for people to decide."""
    customer = (await decided_file(source, file)).customer
    assert customer is not None  # noqa: S101 - the rules have refused a deal without one
    account = Source(source.connection, customer.external_id or "")
    remains = await stays(source, customer, account)
    at = current().runtime.clock.now()
    kept = await write_own(
        "customer", customer_master.keep_customer, customer, account, remains, at, value=customer
    )
    return kept or customer


async def stays(source: Source, customer: Customer, account: Source) -> bool:
    """Whether a person decided that the customer is this account from now on.

    They adopted it, or merged the other accounts into it: then none of those is left.
    """
    decision = CURRENT.get().context.decided
    if decision is None or decision == f"adopt:{account.external_id}":
        return decision is not None
    others = await current().runtime.store.read(customer_master.rivals, customer, account)
    return bool(others) and not [each for each in others if await account_of(source, each)]


async def account_of(source: Source, account: Source) -> Customer | None:
    """An account as it is now; None if it was merged into another."""
    try:
        return await crm(source).get_customer(account.external_id)
    except NotFound:  # no refusal here but the answer
        return None


async def decided_file(source: Source, file: DealFile) -> DealFile:
    """The file as accepted; after a decision as it is now, with the account that was adopted."""
    if (decision := CURRENT.get().context.decided) is None:
        return file
    file = await crm(source).get_deal_file(source.external_id)
    what, _, account = decision.partition(":")
    if what == "adopt":
        file = await sold_to_account(source, file, account)
    await about_customer(source, file)
    checked(file, current().runtime.metadata, source.connection)
    return await identified(source, file)


@step(owner=FINANCE, keep="the account bears our customer number as long as we know the customer")
async def customer_key_for(
    source: Source, customer: Customer, erp: str, parties: list[Customer]
) -> Ref:
    """Our key on the account, or on the one that was adopted, so that every look-up finds it.

    Where the books know the customer, what finance keeps of it goes on the account as well.
    """
    _, _, adopted = (CURRENT.get().context.decided or "").partition(":")
    account = adopted or customer.external_id or ""
    marked = msgspec.structs.replace(customer, external_id=account)
    await take_key_back(source, marked)
    books = mirrored(erp, parties[0]) if parties else None
    await crm(source).mark_customer(account, f"customer-{customer.id}", *books or ())
    announced = ("customer.validated", announced_customer, current().run_id, source, marked)
    await write_own(*announced, value=Ref(customer.id, account))
    return Ref(customer.id, account)


async def take_key_back(source: Source, customer: Customer) -> None:
    """Our key off the accounts that the customer was before: a CRM lets only one carry it."""
    account = Source(source.connection, customer.external_id or "")
    store = current().runtime.store
    for each in await store.read(customer_master.former, customer.id or "", account):
        left = await account_of(source, each)
        if left is not None and left.key == f"customer-{customer.id}":
            await crm(source).mark_customer(each.external_id, "")


@customer_key_for.adopt
async def adopted_account(record: Source, _source: Source, customer: Customer, *_: object) -> None:
    """A steward says which account the customer is: it gets our identity."""
    at = current().runtime.clock.now()
    found = customer_master.Link(object="customer", id=customer.id or "", record=record, at=at)
    await write_own("xref", partial(customer_master.link, alone=True), found)


@step(owner="delivery-operations")
async def contract_for(
    source: Source, deal: Deal, customer: Customer, approved: Approved | None
) -> Contract:
    """The contract as it was sold; won again on other terms it gets its next version."""
    contract = sold(source, deal, customer, approved, current().runtime.clock.now())
    contract = beside_cards(contract, current().runtime.metadata.rate_cards, deal)
    kept = await write_own(
        "contract", activated, current().run_id, contract, deal.id or "", value=contract
    )
    if kept is None and (earlier := await contract_before(source)):  # a dry run keeps none
        return customer_master.renewed(earlier, contract)
    return kept or contract


@contract_for.undo
async def cancelled_contract(contract: Contract) -> None:
    """The contract is cancelled; what was agreed stays on record."""
    await write_own("contract", customer_master.cancel_contract, contract)


@step(owner="integration", undone_last=True)
async def project_key_for(source: Source, contract: Contract, projects: list[Project]) -> Ref:
    """The project's key and status on the deal, where sales can see them; then all may begin."""
    status = "active" if projects else "contracted"
    mark = DealMark(project_key=project_key(contract), status=status)
    ref = await crm(source).mark_deal(source.external_id, mark)
    if projects:
        announced = ("project.activated", announced_project, current().run_id, source, projects)
        await write_own(*announced, value=projects[0])
    return ref


@project_key_for.undo
async def withdrawn_project_key(deal: Ref) -> None:
    """The deal says that its project was cancelled, once it is."""
    source = current().source
    mark = DealMark(project_key="", status="cancelled")
    await crm(source).mark_deal(deal.external_id or source.external_id, mark)
    contract = await contract_before(source)
    assert contract is not None  # noqa: S101 - its project key was on the deal
    await setup.told_project(contract, "cancelled")


async def contract_before(source: Source) -> Contract | None:
    """The contract that is kept of a deal, if there is one."""
    return await current().runtime.store.read(customer_master.contract_of, source)


def project_key(contract: Contract) -> str:
    """The business key under which the project will exist everywhere."""
    return f"project-{child_id('project', contract.id)}"


def activated(connection: Connection, run_id: str, contract: Contract, deal_id: str) -> Contract:
    """Keep the contract and announce it, in one transaction."""
    kept = customer_master.keep_contract(connection, contract, deal_id)
    at = contract.activated_at
    assert at is not None  # noqa: S101 - set by `sold`
    payload = ContractActivated(contract=kept, run_id=run_id)
    runs.announce(connection, "contract.activated", payload, run_id, at)
    return kept


def announced_customer(
    connection: Connection, run_id: str, source: Source, customer: Customer
) -> None:
    """Announce that the customer is validated and marked."""
    payload = CustomerValidated(customer=customer, source=source, run_id=run_id)
    runs.announce(connection, "customer.validated", payload, run_id, current().runtime.clock.now())


def announced_project(
    connection: Connection, run_id: str, source: Source, projects: list[Project]
) -> None:
    """Announce that the project may be worked on, and what it is in each system."""
    records = tuple(
        Source(each.extensions[setup.SYSTEM], each.external_id or "") for each in projects
    )
    project = msgspec.structs.replace(projects[0], extensions={})
    payer = (project.customer.id if project.customer else None) or ""
    payload = ProjectActivated(
        project=project,
        source=source,
        run_id=run_id,
        records=records,
        customers=tuple(customer_master.sources(connection, "customer", payer)),
    )
    runs.announce(connection, "project.activated", payload, run_id, current().runtime.clock.now())


STEPS: list[Step[Any, Any]] = [
    each
    for names in (globals(), vars(setup), vars(amendments), vars(changed_billing))
    for each in list(names.values())
    if isinstance(each, Step) and each not in amendments.ONLY_CHANGED
]
"""What makes something of a deal that goes when the deal does."""


def crm(source: Source) -> Crm:
    """The CRM a record lives in, called as the current run."""
    connected: Crm = current().runtime.connect(Crm, f"system/{source.connection}")
    return connected


def app(runtime: Runtime) -> App:
    """The process API of this flow."""
    api = "deal-to-project/v1"
    routes = [*run_routes(deal_to_project, api, turn_of), *backfill_routes(api)]
    return make_app(
        "Deal to project", version="1.0.0", routes=routes, dependencies={"runtime": runtime}
    )
