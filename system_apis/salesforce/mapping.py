"""Canonical <-> Salesforce; every path, code list and constant can be overridden in metadata."""

from __future__ import annotations

from typing import Any

from apis.runtime.mapping import Map, at, children, codes, const, flags, inside
from contracts.canonical.deal import Deal, DealFile, DealLine, DealMark
from contracts.canonical.party import Contact, Customer
from system_apis.salesforce.countries import COUNTRIES

DEAL_LINE = Map(
    DealLine,
    {
        "external_id": at("Id", readonly=True),
        "position": "SortOrder",
        "product.external_id": "Product2Id",
        "product_code": at("ProductCode", readonly=True),
        "name": at("Name", readonly=True),
        "quantity": "Quantity",
        "unit": at("Product2.QuantityUnitOfMeasure", readonly=True),
        "unit_price.amount": "UnitPrice",
        "unit_price.currency": at("CurrencyIsoCode", readonly=True),
        "discount_percent": "Discount",
        "total.amount": at("TotalPrice", readonly=True),
        "total.currency": at("CurrencyIsoCode", readonly=True),
        "starts_on": "ServiceDate",
    },
)
DEAL = Map(
    Deal,
    {
        "external_id": at("Id", readonly=True),
        "name": "Name",
        "state": flags(
            "IsClosed",
            "IsWon",
            {(True, True): "won", (True, False): "lost", (False, False): "open"},
        ),
        "entity": "TL_Legal_Entity__c",
        "customer.external_id": "AccountId",
        "contact.external_id": at("ContactId", readonly=True),
        "value.amount": "Amount",
        "value.currency": "CurrencyIsoCode",
        "closed_on": "CloseDate",
        "billing_model": "TL_Billing_Model__c",
        "sow_number": "TL_SOW_Number__c",
        "purchase_order": "TL_PO_Number__c",
        "region": "TL_Region__c",
        "service_line": "TL_Service_Line__c",
        "starts_on": "TL_Start_Date__c",
        "ends_on": "TL_End_Date__c",
        "owner": at("Owner.Email", readonly=True),
        "project_key": "TL_Project_Key__c",
        "project_status": "TL_Project_Status__c",
        "lines": children(
            "OpportunityLineItems.records",
            DEAL_LINE,
            column="(SELECT {} FROM OpportunityLineItems ORDER BY SortOrder, Id)",
            whole="OpportunityLineItems.done",
            readonly=True,
        ),
        "changed_at": at("SystemModstamp", readonly=True),
    },
)
CUSTOMER = Map(
    Customer,
    {
        "external_id": at("Id", readonly=True),
        "key": "TL_Customer_Key__c",
        "name": at("Name", longest=255),
        "parent.external_id": "ParentId",
        "country": codes("BillingCountry", COUNTRIES, loose=True),
        "addresses.0.kind": const("billing"),
        "addresses.0.street": "BillingStreet",
        "addresses.0.city": "BillingCity",
        "addresses.0.region": "BillingState",
        "addresses.0.postal_code": "BillingPostalCode",
        "addresses.0.country": codes("BillingCountry", COUNTRIES, loose=True),
        "tax_id": "TL_Tax_Id__c",
        "tax_code": "TL_Tax_Code__c",
        "payment_terms": "TL_Payment_Terms__c",
        "credit_hold": "TL_Credit_Hold__c",
        "currency": "CurrencyIsoCode",
        "account_manager": at("Owner.Email", readonly=True),
        "website": "Website",
        "phone": "Phone",
        "changed_at": at("SystemModstamp", readonly=True),
    },
)
CONTACT = Map(
    Contact,
    {
        "external_id": at("Id", readonly=True),
        "customer.external_id": "AccountId",
        "name": at("Name", readonly=True),
        "email": "Email",
        "phone": "Phone",
        "changed_at": at("SystemModstamp", readonly=True),
    },
)
DEAL_FILE = Map(
    DealFile,
    {
        "deal": inside(None, DEAL),
        "customer": inside("Account", CUSTOMER),
        "parents.0": inside("Account.Parent", CUSTOMER),
        "parents.1": inside("Account.Parent.Parent", CUSTOMER),
        "contact": inside("Contact", CONTACT),
    },
)
"""One query reads it all: `SELECT {DEAL_FILE.columns} FROM Opportunity WHERE Id = ...`."""

KEY = Map(Customer, {"key": "TL_Customer_Key__c"})
MARK = Map(
    DealMark, {"project_key": "TL_Project_Key__c", "status": "TL_Project_Status__c"}, name="deal"
)
MAPS: dict[str, Map[Any]] = {each.name: each for each in (DEAL, CUSTOMER, CONTACT)}
"""What metadata can map otherwise, by its name there."""
