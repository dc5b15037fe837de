"""What a new org holds, and the calls that win a deal in it.

`GET /__sandbox__/examples/won-deal?entity=DE&n=3` and so on; all options have a default:
`entity` DE, UK or US; `n` the number of the deal (its keys follow from it, so the same number
twice is the same deal; without one it is the first that its entity has no deal of); `customer` new
(of this deal) or same (one per entity); `lines` 1 to 5; `price` per unit, to pass an approval
limit; `stage`; `billing_model`; `close_on`; `start_on`;
and `missing=tax_code,tax_id,po,contact,sow,...` or `tax_code=missing` to leave something out.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from stdnum.iso7064 import mod_11_10

from system_apis.salesforce.sandbox.schema import OBJECTS

if TYPE_CHECKING:
    from system_apis.salesforce.sandbox.records import Records, Row

DATA = "/services/data/v62.0"
KEY = "TL_Import_Key__c"
MOST_LINES = 5


class Entity(NamedTuple):
    """How a legal entity's customers look."""

    currency: str
    region: str
    country: str
    city: str
    tax_code: str
    owner: str
    firms: tuple[str, ...]


ENTITIES = {
    "DE": Entity(
        "EUR", "EMEA", "Germany", "Hamburg", "DE-VAT-19", "Jana Vogt", ("Nordlicht", "Elbtal")
    ),
    "UK": Entity(
        "GBP", "EMEA", "United Kingdom", "Leeds", "GB-VAT-20", "Owen Marsh", ("Fairholme", "Calder")
    ),
    "US": Entity(
        "USD",
        "AMER",
        "United States",
        "Denver",
        "US-SERVICES",
        "Rita Alvarez",
        ("Westmark", "Arbor"),
    ),
}
LEGAL_FORMS = {"DE": "GmbH", "UK": "Ltd", "US": "Inc."}
PRODUCTS = (  # code, name, price, unit
    ("CONS-PRINCIPAL", "Principal Consultant", 250.0, "hour"),
    ("CONS-SENIOR", "Senior Consultant", 190.0, "hour"),
    ("CONS-CONSULTANT", "Consultant", 150.0, "hour"),
    ("CONS-PM", "Project Manager", 175.0, "hour"),
    ("CONS-TRAINING", "Training Day", 1200.0, "day"),
)
HOURS = (80.0, 120.0, 40.0, 24.0, 2.0)
MAY_MISS = {  # option: object and field it leaves empty
    "tax_code": ("Account", "TL_Tax_Code__c"),
    "tax_id": ("Account", "TL_Tax_Id__c"),
    "country": ("Account", "BillingCountry"),
    "entity": ("Opportunity", "TL_Legal_Entity__c"),
    "billing_model": ("Opportunity", "TL_Billing_Model__c"),
    "sow": ("Opportunity", "TL_SOW_Number__c"),
    "po": ("Opportunity", "TL_PO_Number__c"),
    "region": ("Opportunity", "TL_Region__c"),
    "service_line": ("Opportunity", "TL_Service_Line__c"),
    "start": ("Opportunity", "TL_Start_Date__c"),
}


def furnish(records: Records) -> None:
    """A new org: its users, the standard price book, products priced in three currencies."""
    user = _plain(records, "User", Name="Integration User", LastName="User", IsActive=1)
    records.save(OBJECTS["User"], user | {"CreatedById": user["Id"]})
    for name in (entity.owner for entity in ENTITIES.values()):
        first, last = name.split()
        email = f"{first}.{last}@throughline.example".lower()
        names = {"Name": name, "FirstName": first, "LastName": last}
        _plain(records, "User", **names, Email=email, Username=email, IsActive=1)
    _plain(records, "Organization", Name="Throughline Sandbox", IsSandbox=1)
    book = _plain(records, "Pricebook2", Name="Standard Price Book", IsActive=1, IsStandard=1)
    for code, name, price, unit in PRODUCTS:
        named = {"Name": name, "ProductCode": code, "IsActive": 1}
        named["QuantityUnitOfMeasure"] = unit
        product = _plain(records, "Product2", **named, CurrencyIsoCode="USD")
        link = {"Product2Id": product["Id"], "Pricebook2Id": book["Id"], "UnitPrice": price}
        for entity in ENTITIES.values():
            _plain(records, "PricebookEntry", **named, **link, CurrencyIsoCode=entity.currency)


def _plain(records: Records, kind: str, **given: Any) -> Row:
    o = OBJECTS[kind]
    known = {name: value for name, value in given.items() if name in o.fields}
    record = records.create(o, {"LastName": "x", "Name": "x"} if not known else _writable(o, known))
    row = records.row(o, record)
    assert row is not None  # noqa: S101 - just created
    row |= known
    records.save(o, row)
    return row


def _writable(o: Any, known: dict[str, Any]) -> dict[str, Any]:
    return {
        name: bool(value) if o.fields[name].is_boolean else value
        for name, value in known.items()
        if not o.fields[name].readonly
    }


def won_deal(records: Records, options: dict[str, str]) -> list[dict[str, Any]]:
    """One composite call: customer, parent, contact, deal, lines; all or nothing."""
    code = options.get("entity", "DE")
    if code not in ENTITIES:
        msg = f"no entity {code!r}: one of {', '.join(ENTITIES)}"
        raise ValueError(msg)
    entity, number = ENTITIES[code], numbered(records, code, options.get("n"))
    customer = 0 if options.get("customer") == "same" else number
    key = f"{code}-{customer}"
    missing = _missing(options)
    account = _account(code, entity, customer, options)
    deal = _deal(records, code, entity, number, options)
    for option in missing & set(MAY_MISS):
        kind, field = MAY_MISS[option]
        (account if kind == "Account" else deal)[field] = None
    group = {
        "Name": f"{account['Name'].rsplit(' ', 1)[0]} Group",
        "CurrencyIsoCode": entity.currency,
    }
    parts = [
        _upsert("group", "Account", f"group-{key}", group),
        _upsert("account", "Account", f"account-{key}", {**account, "ParentId": "@{group.id}"}),
        _upsert(
            "deal", "Opportunity", deal_key(code, number), {**deal, "AccountId": "@{account.id}"}
        ),
    ]
    if "contact" not in missing:
        parts += _contact(key, f"{code}-{number}", customer)
    if "lines" not in missing:
        parts += _lines(records, entity, f"{code}-{number}", options)
    for part in parts:
        _fit_existing(records, part)
    body = {"allOrNone": True, "compositeRequest": parts}
    return [{"method": "POST", "path": f"{DATA}/composite", "body": body}]


def numbered(records: Records, code: str, n: str | None) -> int:
    """The number that is asked for, else the first without a deal."""
    if n is None:
        o = OBJECTS["Opportunity"]
        taken = partial(records.find, o, o.fields[KEY])
        return next(each for each in itertools.count(1) if not taken(deal_key(code, each)))
    if not n.isdecimal():
        msg = f"n is the number of a deal, such as 7, not {n!r}"
        raise ValueError(msg)
    return int(n)


def deal_key(code: str, number: int) -> str:
    """The import key of a deal."""
    return f"deal-{code}-{number}"


def _fit_existing(records: Records, part: dict[str, Any]) -> None:
    """What may be given only at creation is left out where the record exists already."""
    kind, field, key = part["url"].split("/")[-3:]
    o = OBJECTS[kind]
    if records.find(o, o.fields[field], key):
        part["body"] = {k: v for k, v in part["body"].items() if not o.fields[k].create_only}


def _missing(options: dict[str, str]) -> set[str]:
    listed = {name for name in options.get("missing", "").split(",") if name}
    listed |= {name for name, value in options.items() if value == "missing"}
    if unknown := listed - set(MAY_MISS) - {"contact", "lines"}:
        msg = f"cannot leave out {', '.join(sorted(unknown))}"
        raise ValueError(msg)
    return listed


def _upsert(reference: str, kind: str, key: str, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "method": "PATCH",
        "url": f"{DATA}/sobjects/{kind}/{KEY}/{key}",
        "referenceId": reference,
        "body": body,
    }


def _account(code: str, entity: Entity, n: int, options: dict[str, str]) -> dict[str, Any]:
    firm = entity.firms[n % len(entity.firms)]
    invalid = options.get("tax_id") == "invalid"
    return {
        "Name": f"{firm} {n} {LEGAL_FORMS[code]}",
        "CurrencyIsoCode": entity.currency,
        "BillingStreet": f"{n + 1} Market Street",
        "BillingCity": entity.city,
        "BillingState": "CO" if code == "US" else None,
        "BillingPostalCode": {"DE": "20095", "UK": "LS1 4AP", "US": "80202"}[code],
        "BillingCountry": entity.country,
        "TL_Tax_Id__c": "INVALID-1" if invalid else tax_id(code, n),
        "TL_Tax_Code__c": options.get("tax_code", entity.tax_code),
    }


def _deal(
    records: Records, code: str, entity: Entity, n: int, options: dict[str, str]
) -> dict[str, Any]:
    sql = 'SELECT "Id" FROM "User" WHERE "Name"=?'
    owner = records.db.execute(sql, [entity.owner]).fetchone()[0]
    return {
        "Name": f"ERP rollout {n}",
        "StageName": options.get("stage", "Closed Won"),
        "CloseDate": options.get("close_on", "2026-03-31"),
        "CurrencyIsoCode": entity.currency,
        "OwnerId": owner,
        "TL_Billing_Model__c": options.get("billing_model", "time_and_materials"),
        "TL_SOW_Number__c": f"SOW-{code}-{n:04}",
        "TL_Region__c": entity.region,
        "TL_Service_Line__c": "Implementation",
        "TL_Start_Date__c": options.get("start_on", "2026-04-15"),
        "TL_End_Date__c": options.get("end_on"),
        "TL_Legal_Entity__c": code,
        "TL_PO_Number__c": f"PO-{code}-{n:04}",
    }


def _contact(customer: str, deal: str, n: int) -> list[dict[str, Any]]:
    person = {
        "FirstName": "Alex",
        "LastName": "Winter",
        "Email": f"alex.winter.{n}@customer.example",
        "Title": "Head of Operations",
        "AccountId": "@{account.id}",
    }
    role = {"Role": "Decision Maker", "IsPrimary": True}
    ends = {"OpportunityId": "@{deal.id}", "ContactId": "@{contact.id}"}
    who = _upsert("contact", "Contact", f"contact-{customer}", person)
    return [who, _upsert("role", "OpportunityContactRole", f"role-{deal}", {**role, **ends})]


def _lines(
    records: Records, entity: Entity, deal: str, options: dict[str, str]
) -> list[dict[str, Any]]:
    count = min(MOST_LINES, int(options.get("lines", "2")))
    sql = 'SELECT "Id" FROM "PricebookEntry" WHERE "ProductCode"=? AND "CurrencyIsoCode"=?'
    parts = []
    for index, (code, name, price, _) in enumerate(PRODUCTS[:count]):
        entry = records.db.execute(sql, [code, entity.currency]).fetchone()[0]
        line = {
            "OpportunityId": "@{deal.id}",
            "PricebookEntryId": entry,
            "SortOrder": index + 1,
            "Quantity": HOURS[index],
            "UnitPrice": float(options.get("price", price)),
            "Description": f"{name}, phase {index + 1}",
            "ServiceDate": options.get("start_on", "2026-04-15"),
        }
        key = f"line-{deal}-{index + 1}"
        parts.append(_upsert(f"line{index + 1}", "OpportunityLineItem", key, line))
    return parts


def tax_id(code: str, n: int) -> str:
    """A number that passes its country's check, another one for each n."""
    if code == "DE":
        digits = f"{13669597 + n:08}"
        return f"DE{digits}{mod_11_10.calc_check_digit(digits)}"
    if code == "UK":
        digits = f"{9807806 + n:07}"
        total = sum(int(d) * weight for d, weight in zip(digits, range(8, 1, -1), strict=True))
        return f"GB{digits}{97 - total % 97:02}"
    return f"91-{1144442 + n:07}"
