"""The steps that make a customer known where work is planned (PSA) and money is booked (ERP)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from apis.runtime.context import CURRENT
from apis.runtime.flow import current, step
from apis.runtime.ids import PLANNED
from apis.runtime.metadata import Contacts
from apis.runtime.waits import candidates, involve
from apis.runtime.whose import By
from contracts.canonical.deal import Deal, DealFile
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Contact, Customer
from contracts.ownership import owner_of
from contracts.ports import Crm
from process_apis import customer_master
from process_apis.customer_matching import (
    OTHER_CURRENCY,
    OTHER_ENTITY,
    Match,
    chosen,
    golden_in,
    on_hold,
    scored,
    unbilled,
    unusable,
)
from process_apis.deal_rules import FINANCE, refused
from process_apis.project_setup import DELIVERY, erp_of, linked, psa_of

ACCOUNT = "account"
"""In the extensions of a customer: the account it is in the CRM, whose values it carries."""
HISTORY = "a customer in the books is never deleted, it may have a history"
IN_BOOKS = "in_books"
"""In the extensions of a customer: what the books had of it when it was found there."""
DEEPEST = 20
"""So many companies stand above one another at most."""
SYSTEMS = "systems"
"""In the extensions of a contact: the connections that are to have it."""


@step(
    owner=FINANCE,
    keep="it stays noted which customer of the books this is",
    adopts=["customer.match-unclear", "customer.inactive", "customer.not-found"],
)
async def customers_in(erp: str, file: DealFile, customer: Customer) -> list[Customer]:
    """The customer, then its parents, as the ERP is to know them; with an id if it does already.

    Each is adopted or new by its score; what is unclear waits for a person, one after the other.
    """
    settle()
    parents = await parents_of(customer, file)
    wanted = [keyed(each, file.deal) for each in (customer, *parents)]
    found = await erp_of(erp).match_customers(wanted)
    known = []
    for each in wanted:
        in_question(each)
        match = await matched(each, found, erp)
        if match is not None:
            if each is wanted[0]:
                billable(each, match.customer, erp, file.deal)
            await linked("customer", each.id, Source(erp, match.customer.external_id or ""), match)
        known.append(booked(each, match))
    in_question(wanted[0])
    return known


async def parents_of(customer: Customer, file: DealFile) -> Sequence[Customer]:
    """Those above the customer in the CRM: above the account that was adopted, if one was."""
    assert file.customer is not None  # noqa: S101 - the rules have refused a deal without one
    if customer.external_id == file.customer.external_id:
        return file.parents
    connection, parents = current().source.connection, list[Customer]()
    crm: Crm = current().runtime.connect(Crm, f"system/{connection}")
    above = (await crm.get_customer(customer.external_id or "")).parent
    while above and above.external_id and len(parents) < DEEPEST:
        parent = await crm.get_customer(above.external_id)
        (golden,) = await golden_ids(("customer", Source(connection, above.external_id)))
        parents.append(msgspec.structs.replace(parent, id=golden))
        above = parent.parent
    return parents


def settle() -> None:
    """What a person has decided holds for the customer in question until the run is over.

    Who adopted one and retries after that has not changed their mind.
    """
    running, decision = current(), CURRENT.get().context.decided
    asked, settled = running.subject.get("in_question"), running.subject.get("settled", {})
    if decision and asked and not (decision == "retry" and asked in settled):
        running.subject = running.subject | {"settled": {**settled, asked: decision}}


def in_question(customer: Customer) -> None:
    """From now on findings on a customer are about this one, and so are decisions on them."""
    running = current()
    involve(running, "customer", account_of(customer), customer.id)
    running.subject = running.subject | {"in_question": customer.id}
    candidates(running, ())


async def matched(wanted: Customer, found: Sequence[Customer], erp: str) -> Match | None:
    """Who it is: whom a person adopted, else by score; after a *retry* another one if unclear."""
    decision = current().subject.get("settled", {}).get(wanted.id, "")
    what, _, adopted = decision.partition(":")
    if what != "adopt":
        limits, ids = current().runtime.metadata.matching, map(golden_in, found)
        store = current().runtime.store
        ours = await store.read(customer_master.living, [each for each in ids if each], erp)
        likely = (each for each in found if scored(wanted, each, ours).score >= limits.likely)
        candidates(current(), (Source(erp, each.external_id or "") for each in likely))
        return chosen(wanted, found, erp, limits=limits, ours=ours, decided=what == "retry")
    match = Match(await erp_of(erp).get_customer(adopted), 100, ("a person adopted it",))
    candidates(current(), [Source(erp, adopted)])
    if match.customer.state != "active":
        raise unusable(match.customer, erp)
    return match


def billable(wanted: Customer, found: Customer, erp: str, deal: Deal) -> None:
    """Refuse a customer of the books on whom this deal cannot be billed, before anything is.

    It is mended in the books, so that is where findings on it point to.
    """
    involve(current(), "customer", Source(erp, found.external_id or ""), wanted.id)
    if found.credit_hold:
        raise on_hold(found, erp)
    running, metadata = current(), current().runtime.metadata
    on, entity = running.runtime.clock.now().date(), metadata.entities[deal.entity or ""]
    tax, address = (
        owner_of("customer", each, deal.entity, on, metadata.ownership)
        for each in ("tax_code", "addresses")
    )
    taxed = entity.tax_code_required and tax != "crm"  # whose value the books are given
    findings = list(unbilled(wanted, found, erp, taxed=taxed, addressed=address != "crm"))
    if CURRENT.get().context.decided == "retry":
        seen = running.subject.get("seen", ())
        findings = [each for each in findings if each.code not in seen]
    if findings:
        told = [each.code for each in findings if each.code in {OTHER_ENTITY, OTHER_CURRENCY}]
        running.subject = running.subject | {"seen": told}
        raise refused(findings, erp)


def booked(wanted: Customer, match: Match | None) -> Customer:
    """The customer with what finance keeps of it, where the books know it already."""
    if match is None:
        return wanted
    theirs = match.customer
    return msgspec.structs.replace(
        wanted,
        external_id=theirs.external_id,
        tax_id=theirs.tax_id or wanted.tax_id,
        payment_terms=theirs.payment_terms or wanted.payment_terms,
        credit_hold=theirs.credit_hold,
        extensions=wanted.extensions | {IN_BOOKS: msgspec.json.encode(theirs).decode()},
    )


def mirrored(erp: str, customer: Customer) -> tuple[Customer, Source] | None:
    """What finance keeps of a customer that the books know, for others to show, and where."""
    if customer.external_id is None:
        return None
    kept = Customer(
        name=customer.name,
        entity=customer.entity,
        tax_id=customer.tax_id,
        payment_terms=customer.payment_terms,
        credit_hold=customer.credit_hold,
    )
    return kept, Source(erp, customer.external_id)


@step(owner=FINANCE, keep=HISTORY)
async def billed_customer(erp: str, customer: Customer, parent: Ref | None) -> Ref:
    """The customer in the books, under its parent, with our key: made, or adopted and mirrored."""
    in_question(customer)
    customer = await as_it_is(customer)
    account = account_of(customer)
    wanted = msgspec.structs.replace(customer, parent=parent, external_id=None, extensions={})
    key, found = wanted.key or "", customer.extensions.get(IN_BOOKS)
    if customer.external_id is None:
        made = await erp_of(erp).create_customer(wanted, key)
    else:
        was = msgspec.json.decode(found, type=Customer) if found else None
        made = await erp_of(erp).update_customer(customer.external_id, wanted, key, account, was)
    await linked("customer", customer.id, Source(erp, made.external_id or ""))
    return Ref(customer.id, made.external_id)


billed_parent = step(owner=FINANCE, keep=HISTORY, name="billed_parent")(billed_customer.function)
"""The same for a company above the customer: the journey tells the two apart."""


async def debtor_for(erp: str, parties: list[Customer]) -> Ref | None:
    """The customer in the books, its parents above it: from the top down, the customer last."""
    above: Ref | None = None
    for parent in reversed(parties[1:]):
        above = await billed_parent(erp, parent, above)
    return await billed_customer(erp, parties[0], above) if parties else None


@step(owner=DELIVERY, keep="the customer may have other projects")
async def delivered_customer(psa: str, customer: Customer, file: DealFile) -> Ref:
    """The customer where its work is planned, with the person to talk to."""
    wanted = await as_it_is(keyed(customer, file.deal))
    account, wanted = account_of(wanted), msgspec.structs.replace(wanted, extensions={})
    person = next(iter(contacts_of(file, psa)), None)
    made = await psa_of(psa).upsert_customer(wanted.key or "", wanted, person, account)
    await linked("customer", customer.id, Source(psa, made.external_id or ""))
    return Ref(customer.id, made.external_id)


@step(owner=FINANCE, keep="finance may still have to write to this person")
async def contact_in(erp: str, contact: Contact, debtor: Ref) -> Ref:
    """Whom finance writes to at the customer."""
    person = Source(current().source.connection, contact.external_id or "")
    (known,) = await golden_ids(("contact", person))
    wanted = msgspec.structs.replace(
        contact, id=known, external_id=None, customer=debtor, extensions={}
    )
    made = await erp_of(erp).upsert_contact(f"contact-{known}", wanted, person)
    await linked("contact", known, Source(erp, made.external_id or ""))
    return Ref(known, made.external_id)


async def golden_ids(*records: tuple[str, Source]) -> list[str]:
    """The golden ids of records, each an object and where it is; a dry run makes none."""
    runtime = current().runtime
    if not current().plan:
        return await runtime.store.write(customer_master.golden_ids, records, runtime.clock.now())
    found = [await runtime.store.read(customer_master.known, *each) for each in records]
    return [id_ or f"{PLANNED}{kind}" for id_, (kind, _) in zip(found, records, strict=True)]


async def deal_ids(deal: Source, accounts: Sequence[Source], entity: str | None) -> list[str]:
    """The golden ids of a deal and of its customers; from now on it is known whose it is."""
    if current().plan:
        return await golden_ids(("deal", deal), *(("customer", each) for each in accounts))
    by: By = "us" if CURRENT.get().context.decided else "feed"
    runtime = current().runtime
    identified, now = customer_master.identified, runtime.clock.now()
    return await runtime.store.write(identified, deal, accounts, now, entity=entity, by=by)


def wanted_contacts(file: DealFile, asked: Iterable[Contacts]) -> Iterator[Contact]:
    """The contacts that a system asks for by their roles, each once, with those systems."""
    systems: dict[str, set[str]] = {}
    for each in file.contacts:
        plays = (each.role or "").casefold()
        takers = {a.connection for a in asked if plays in {role.casefold() for role in a.roles}}
        systems.setdefault(each.external_id or "", set()).update(takers)
    for each in file.contacts:
        if takers := systems.pop(each.external_id or "", set()):
            told = each.extensions | {SYSTEMS: " ".join(sorted(takers))}
            yield msgspec.structs.replace(each, extensions=told)


def contacts_of(file: DealFile, system: str) -> list[Contact]:
    """The contacts that this system is to have."""
    return [each for each in file.contacts if system in each.extensions.get(SYSTEMS, "").split()]


async def as_it_is(customer: Customer) -> Customer:
    """The customer as it was read; after a decision with what the CRM has now."""
    if CURRENT.get().context.decided is None:
        return customer
    account = account_of(customer)
    crm: Crm = current().runtime.connect(Crm, f"system/{account.connection}")
    now = await crm.get_customer(account.external_id)
    return msgspec.structs.replace(
        now,
        id=customer.id,
        key=customer.key,
        external_id=customer.external_id,
        entity=customer.entity,
        currency=customer.currency,
        extensions=customer.extensions,
    )


def account_of(customer: Customer) -> Source:
    """The account whose values a customer carries."""
    return Source(current().source.connection, customer.extensions.get(ACCOUNT, ""))


def keyed(customer: Customer, deal: Deal) -> Customer:
    """The customer as another system gets it: with our key, for the entity that sells."""
    return msgspec.structs.replace(
        customer,
        key=f"customer-{customer.id}",
        external_id=None,
        parent=None,
        entity=deal.entity,
        currency=deal.value.currency if deal.value else customer.currency,
        extensions=customer.extensions | {ACCOUNT: customer.external_id or ""},
    )
