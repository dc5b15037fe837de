"""A won deal becomes a validated customer, an active contract and a project key on the deal."""

from __future__ import annotations

import asyncio

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.app import App, make_app
from apis.runtime.context import CURRENT
from apis.runtime.flow import (
    PLANNED,
    Approved,
    Runtime,
    about,
    approval,
    child_id,
    current,
    flow,
    step,
    write_own,
)
from apis.runtime.metadata import approval_for
from contracts.canonical.contract import ApprovalLimit, Contract, ContractLine, ContractVersion
from contracts.canonical.deal import Deal, DealFile, DealMark
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.events import ContractActivated, CustomerValidated
from contracts.ports import Crm
from process_apis import customer_master
from process_apis.deal_rules import FINANCE, SALES, above_limit, checked, duplicate
from process_apis.feeds import turn_of
from process_apis.runs import run_routes


@flow
async def deal_to_project(source: Source) -> Contract:
    """From a won deal to a customer we know, a contract that holds and a deal that says so."""
    file = await accepted_deal(source)
    approved = None
    if limit := await approver_of(file.deal):
        why = above_limit(file.deal, limit)
        approved = await approval("deal", by=limit.owner, limit=limit.above, detail=why)
    customer = await validated_customer(source, file)
    await customer_key_for(source, customer)
    contract = await contract_for(source, file.deal, customer, approved)
    await project_key_for(source, contract)
    return contract


@step(owner=SALES, keep="a golden id names the deal for good")
async def accepted_deal(source: Source) -> DealFile:
    """The deal as it was won, read at one moment and found complete; it has our ids."""
    file = await crm(source).get_deal_file(source.external_id)
    about(amount=file.deal.value, entity=file.deal.entity)
    checked(file, current().runtime.metadata.entities, source.connection)
    return await identified(source, file)


async def identified(source: Source, file: DealFile) -> DealFile:
    """The file with golden ids for the deal and its customer."""
    account = (
        Source(source.connection, file.customer.external_id or "") if file.customer else source
    )
    deal_id, customer_id = await asyncio.gather(  # inside a step, so their order is nobody's
        golden_id("deal", source), golden_id("customer", account)
    )
    assert file.customer is not None  # noqa: S101 - the rules have refused a deal without one
    return msgspec.structs.replace(
        file,
        deal=msgspec.structs.replace(file.deal, id=deal_id),
        customer=msgspec.structs.replace(file.customer, id=customer_id),
    )


async def golden_id(object: str, source: Source) -> str:  # noqa: A002 - the word
    """The golden id of a record; a dry run makes none."""
    runtime = current().runtime
    if current().plan:
        found = await runtime.store.read(customer_master.known, object, source)
        return found or f"{PLANNED}:{object}"
    return await runtime.store.write(customer_master.golden, object, source, runtime.clock.now())


@step(owner="integration")
async def approver_of(deal: Deal) -> ApprovalLimit | None:
    """The limit of its entity that the deal is above, and the role that may pass it, if any."""
    if deal.value is None or deal.entity is None or deal.closed_on is None:
        return None
    metadata = current().runtime.metadata
    limit = approval_for(metadata, deal.entity, "deal_to_project", deal.value, deal.closed_on)
    return ApprovalLimit(above=limit.above, owner=limit.owner) if limit else None


@step(owner=FINANCE, keep="a customer is a fact: it outlives the deal that brought it")
async def validated_customer(source: Source, file: DealFile) -> Customer:
    """The golden record of the customer; the same company is the same record."""
    customer = (await decided_file(source, file)).customer
    assert customer is not None  # noqa: S101 - the rules have refused a deal without one
    account = Source(source.connection, customer.external_id or "")
    at = current().runtime.clock.now()
    kept = await write_own(
        "customer", customer_master.keep_customer, customer, account, at, value=customer
    )
    kept = kept or customer
    if kept.id != customer.id:
        other = await current().runtime.store.read(
            customer_master.other_account, kept.id or "", account
        )
        raise duplicate(customer, account, other)
    return kept


async def decided_file(source: Source, file: DealFile) -> DealFile:
    """The file as accepted; after a decision as it is now, with the account that was adopted."""
    decision = CURRENT.get().context.decided
    if decision is None:
        return file
    file = await crm(source).get_deal_file(source.external_id)
    what, _, account = decision.partition(":")
    if what == "adopt":
        file = msgspec.structs.replace(file, customer=await crm(source).get_customer(account))
    checked(file, current().runtime.metadata.entities, source.connection)
    return await identified(source, file)


@step(owner=FINANCE, keep="our key on the account is true as long as the customer exists")
async def customer_key_for(source: Source, customer: Customer) -> Ref:
    """Our key on the account, so that every later look-up finds it."""
    ref = await crm(source).mark_customer(customer.external_id or "", f"customer-{customer.id}")
    announced = ("customer.validated", announced_customer, current().run_id, source, customer)
    await write_own(*announced, value=Ref(customer.id, customer.external_id))
    return ref


@customer_key_for.adopt
async def adopted_account(record: Source, source: Source, customer: Customer) -> None:
    """A steward says which account the customer is: it gets our identity."""
    del source
    at = current().runtime.clock.now()
    await write_own("xref", customer_master.adopt, "customer", record, customer.id or "", at)


@step(owner="delivery-operations")
async def contract_for(
    source: Source, deal: Deal, customer: Customer, approved: Approved | None
) -> Contract:
    """Version 1 of the contract, as it was sold; active again if the deal is won again."""
    contract = sold(source, deal, customer, approved)
    kept = await write_own(
        "contract", activated, current().run_id, contract, deal.id or "", value=contract
    )
    return kept or contract


@contract_for.undo
async def cancelled_contract(contract: Contract) -> None:
    """The contract is cancelled; what was agreed stays on record."""
    await write_own("contract", customer_master.cancel_contract, contract)


@step(owner="integration")
async def project_key_for(source: Source, contract: Contract) -> Ref:
    """The project's key and status on the deal, where sales can see them."""
    mark = DealMark(project_key=project_key(contract), status="contracted")
    return await crm(source).mark_deal(source.external_id, mark)


@project_key_for.undo
async def withdrawn_project_key(deal: Ref) -> None:
    """The deal says that its project was cancelled."""
    source = current().source
    mark = DealMark(project_key="", status="cancelled")
    await crm(source).mark_deal(deal.external_id or source.external_id, mark)


def project_key(contract: Contract) -> str:
    """The business key under which the project will exist everywhere."""
    return f"project-{child_id('project', contract.id)}"


def sold(
    source: Source, deal: Deal, customer: Customer, approved: Approved | None = None
) -> Contract:
    """The contract a deal amounts to."""
    assert deal.id is not None  # noqa: S101 - given in `accepted_deal`
    assert deal.value is not None  # noqa: S101 - the rules have refused a deal without value, day or model
    assert deal.billing_model is not None  # noqa: S101 - as above
    return Contract(
        id=child_id("contract", deal.id),
        deal=source,
        customer=Ref(customer.id, customer.external_id),
        entity=deal.entity or "",
        name=deal.name,
        sow_number=deal.sow_number,
        purchase_order=deal.purchase_order,
        billing_model=deal.billing_model,
        currency=deal.value.currency,
        versions=(first_version(deal, deal.value, approved),),
        activated_at=current().runtime.clock.now(),
    )


def first_version(deal: Deal, value: Money, approved: Approved | None) -> ContractVersion:
    """What was sold, line by line, and who let it pass if it was above a limit."""
    lines = tuple(
        ContractLine(
            number=number,
            name=line.name,
            product_code=line.product_code,
            role=line.role,
            quantity=line.quantity,
            unit=line.unit,
            unit_price=line.unit_price,
            total=line.total or value,
            starts_on=line.starts_on,
            ends_on=line.ends_on,
        )
        for number, line in enumerate(deal.lines, start=1)
    )
    starts_on = deal.starts_on or deal.closed_on
    assert starts_on is not None  # noqa: S101 - the rules have refused a deal without it
    version = ContractVersion(number=1, value=value, lines=lines, from_on=starts_on)
    if approved is None:
        return version
    return msgspec.structs.replace(
        version,
        approved_by=approved.by,
        approved_at=approved.at,
        approval_limit=approved.limit,
    )


def activated(connection: Connection, run_id: str, contract: Contract, deal_id: str) -> Contract:
    """Keep the contract and announce it, in one transaction."""
    kept = customer_master.keep_contract(connection, contract, deal_id)
    at = contract.activated_at
    assert at is not None  # noqa: S101 - set by `sold`
    runs.announce(
        connection,
        "contract.activated",
        ContractActivated(contract=kept, run_id=run_id),
        run_id,
        at,
    )
    return kept


def announced_customer(
    connection: Connection, run_id: str, source: Source, customer: Customer
) -> None:
    """Announce that the customer is validated and marked."""
    payload = CustomerValidated(customer=customer, source=source, run_id=run_id)
    runs.announce(connection, "customer.validated", payload, run_id, current().runtime.clock.now())


def crm(source: Source) -> Crm:
    """The CRM a record lives in, called as the current run."""
    connected: Crm = current().runtime.connect(Crm, f"system/{source.connection}")
    return connected


def app(runtime: Runtime) -> App:
    """The process API of this flow."""
    routes = run_routes(deal_to_project, "deal-to-project", turn_of)
    return make_app(
        "Deal to project", version="1.0.0", routes=routes, dependencies={"runtime": runtime}
    )
