"""Mapping: microseconds a field on an Opportunity with five lines, beside one written by hand."""

from __future__ import annotations

import time
import timeit
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from apis.runtime.mapping import Overrides
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from system_apis.salesforce.mapping import DEAL
from tests.benchmarks.figures import Figure

ROUNDS, CALLS = 150, 100
STATES = {(True, True): "won", (True, False): "lost", (False, False): "open"}
OVERRIDES = Overrides(
    fields={"billing_model": "Acme_Billing__c", "extensions.x_priority": "Priority__c"},
    codes={"billing_model": {"T+M": "time_and_materials", "Fixed": "fixed_price"}},
    constants={"lines.unit_price.currency": "EUR", "lines.total.currency": "EUR"},
)
LINE = {
    "attributes": {"type": "OpportunityLineItem", "url": "/services/data/v62.0/sobjects/x"},
    "Id": "00kXX0000000001AAA",
    "SortOrder": 1,
    "Product2Id": "01tXX0000000001AAA",
    "ProductCode": "CON-SR",
    "Name": "Northwind Senior consultant",
    "Quantity": 120.0,
    "Product2": {"QuantityUnitOfMeasure": "hour"},
    "UnitPrice": 250.5,
    "CurrencyIsoCode": "EUR",
    "Discount": None,
    "TotalPrice": 30060.0,
    "ServiceDate": "2026-02-01",
}
RECORD = {
    "attributes": {"type": "Opportunity", "url": "/services/data/v62.0/sobjects/y"},
    "Id": "006XX0000000001AAA",
    "Name": "Northwind rollout",
    "IsClosed": True,
    "IsWon": True,
    "TL_Legal_Entity__c": "DE",
    "AccountId": "001XX0000000001AAA",
    "ContactId": "003XX0000000001AAA",
    "Amount": 150300.0,
    "CurrencyIsoCode": "EUR",
    "CloseDate": "2026-01-05",
    "Acme_Billing__c": "T+M",
    "Priority__c": "high",
    "TL_SOW_Number__c": "SOW-17",
    "TL_PO_Number__c": "PO-1",
    "TL_Region__c": "EMEA",
    "TL_Service_Line__c": "cloud",
    "TL_Start_Date__c": "2026-02-01",
    "Owner": {"Email": "seller@example.com"},
    "TL_Project_Key__c": None,
    "TL_Project_Status__c": None,
    "OpportunityLineItems": {"totalSize": 5, "done": True, "records": [LINE] * 5},
    "SystemModstamp": "2026-01-05T10:11:12.000+0000",
}


def by_hand(r: dict[str, Any]) -> Deal:
    """What somebody would write for this one deployment."""
    currency = r["CurrencyIsoCode"]
    return Deal(
        external_id=r["Id"],
        name=r["Name"],
        state=STATES[r["IsClosed"], r["IsWon"]],
        entity=r["TL_Legal_Entity__c"],
        customer=Ref(None, r["AccountId"]),
        contact=Ref(None, r["ContactId"]),
        value=Money(Decimal(r["Amount"]), currency),
        closed_on=date.fromisoformat(r["CloseDate"]),
        billing_model=OVERRIDES.codes["billing_model"][r["Acme_Billing__c"]],
        sow_number=r["TL_SOW_Number__c"],
        purchase_order=r["TL_PO_Number__c"],
        region=r["TL_Region__c"],
        service_line=r["TL_Service_Line__c"],
        starts_on=date.fromisoformat(r["TL_Start_Date__c"]),
        owner=r["Owner"]["Email"],
        project_key=r["TL_Project_Key__c"],
        project_status=r["TL_Project_Status__c"],
        lines=tuple(line_by_hand(line) for line in r["OpportunityLineItems"]["records"]),
        changed_at=datetime.fromisoformat(r["SystemModstamp"]),
        extensions={"x_priority": r["Priority__c"]},
    )


def line_by_hand(r: dict[str, Any]) -> DealLine:
    """One line."""
    return DealLine(
        external_id=r["Id"],
        position=r["SortOrder"],
        product=Ref(None, r["Product2Id"]),
        product_code=r["ProductCode"],
        name=r["Name"],
        quantity=Decimal(r["Quantity"]),
        unit=r["Product2"]["QuantityUnitOfMeasure"],
        unit_price=Money(Decimal(r["UnitPrice"]), "EUR"),
        discount_percent=r["Discount"],
        total=Money(Decimal(r["TotalPrice"]), "EUR"),
        starts_on=date.fromisoformat(r["ServiceDate"]),
    )


def mapping() -> list[Figure]:
    """Both, best of many short rounds; RuntimeError when they do not read the same."""
    record = msgspec.json.Decoder(float_hook=Decimal).decode(msgspec.json.encode(RECORD))
    mapped = DEAL.over(OVERRIDES)
    if mapped.read(record) != by_hand(record):
        raise RuntimeError("the map and the code written by hand do not read the same")
    fields = len(mapped.fields) + 5 * len(mapped.fields["lines"].map.fields)
    us = {}
    for name, read in (("hand", by_hand), ("map", mapped.read)):
        best = min(
            timeit.repeat(
                partial(read, record), timer=time.process_time, number=CALLS, repeat=ROUNDS
            )
        )
        us[name] = best / CALLS / fields * 1e6
    beside = f"{us['hand']:.2f} us by hand, {fields} fields, {us['map'] / us['hand']:.1f} times"
    return [Figure("mapping, five lines, overrides on", us["map"], "us/field", 0.6, beside=beside)]
