"""A deal that is another customer's by now: its run must not make half of each."""

from __future__ import annotations

from typing import Any

import msgspec

from apis.runtime.flow import Step, current, step
from apis.runtime.ids import child_id
from apis.runtime.made import made_before
from contracts.canonical.contract import Contract
from contracts.canonical.deal import Deal, DealFile
from contracts.canonical.identity import Source
from contracts.errors import Rejected
from contracts.ports import Crm
from process_apis import customer_master
from process_apis.amendments import moved
from process_apis.customer_master import match_key
from process_apis.deal_rules import FINANCE, SALES

OTHER_ACCOUNT = "customer.other-account"
SOLD_TO = "sold_to"
"""In the subject of a run: the account of its deal when that was accepted, and who it is."""


def sold_to(file: DealFile) -> None:
    """Note whose deal it was when it was accepted."""
    customer, running = file.customer, current()
    if customer is not None and customer.external_id:
        told = {"account": customer.external_id, "name": customer.name, "is": match_key(customer)}
        running.subject = running.subject | {SOLD_TO: told}


async def still_sold(source: Source) -> None:
    """Refuse to go on for another account than the deal was accepted with, but for a merged one."""
    running = current()
    sold = running.subject.get(SOLD_TO)
    if sold is None or (running.step and running.step.name == "accepted_deal"):
        return  # which reads the deal anew
    crm: Crm = running.runtime.connect(Crm, f"system/{source.connection}")
    customer = (await crm.get_deal(source.external_id)).customer
    account = (customer.external_id if customer else None) or ""
    if account == sold["account"]:
        return
    now = await crm.get_customer(account) if account else None
    if now is not None and match_key(now) == sold["is"]:
        return
    raise Rejected(
        "deal.customer-changed",
        f"the deal was moved in {source.connection} from {sold['name']!r} ({sold['account']}) to "
        f"{f'{now.name!r} ({account})' if now else 'no account'} while its project was set up",
        owner=SALES,
        remedy=f"move the deal back in {source.connection} and retry; or abandon, which takes back "
        "what was made, and win it as a deal of its own",
    )


@step(owner=SALES)
async def same_customer(source: Source, account: str) -> bool:
    """Refuse a deal that has a project of another customer from before: it cannot follow."""
    store = current().runtime.store
    contract = await store.read(customer_master.contract_of, source)
    if contract is None:
        return True
    project = child_id("project", contract.id)
    if await store.read(customer_master.sources, "project", project):
        crm: Crm = current().runtime.connect(Crm, f"system/{source.connection}")
        if await resold(contract, await crm.get_deal(source.external_id), account):
            raise moved("customer")
    return True


async def sold_before(accepted: Step[Any, DealFile]) -> str:
    """The account of the deal when it was last accepted; a person may have adopted another."""
    files = [each.value for each in await made_before(current(), [accepted])]
    sold = files[-1].deal.customer if files else None
    return (sold.external_id if sold else None) or ""


async def resold(contract: Contract, deal: Deal, customer: str) -> bool:
    """Whether the deal was moved to an account that is not the customer of its contract."""
    account = (deal.customer.external_id if deal.customer else None) or ""
    if account in {customer, contract.customer.external_id}:
        return False
    record = Source(contract.deal.connection, account)
    known = await current().runtime.store.read(customer_master.known, "customer", record)
    return known != contract.customer.id


async def sold_to_account(source: Source, file: DealFile, account: str) -> DealFile:
    """The deal as one of the account that a person adopted: its own, or the same company's."""
    assert file.customer is not None  # noqa: S101 - the rules have refused a deal without one
    own = Source(source.connection, file.customer.external_id or "")
    same = await current().runtime.store.read(customer_master.rivals, file.customer, own)
    if Source(source.connection, account) not in {own, *same}:
        named = ", ".join(sorted(each.external_id for each in {own, *same}))
        raise Rejected(
            OTHER_ACCOUNT,
            f"account {account} is not one of those that are this company: {named}",
            owner=FINANCE,
            remedy=f"adopt one of them, or set the deal's account right in {source.connection}",
            source=source.connection,
        )
    crm: Crm = current().runtime.connect(Crm, f"system/{source.connection}")
    return msgspec.structs.replace(file, customer=await crm.get_customer(account))


def won_again() -> bool:
    """Whether the deal was won before: what exists then is worked on again."""
    return not current().run_id.endswith(":1")
