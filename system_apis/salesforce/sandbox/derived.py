"""What follows from a record: flags from the stage, amounts from the lines, names, roll-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from system_apis.salesforce.sandbox.errors import Refused
from system_apis.salesforce.sandbox.schema import OBJECTS, STAGES, Object

if TYPE_CHECKING:
    from system_apis.salesforce.sandbox.records import Records, Row

CORPORATE_CURRENCY = "USD"


def fill(records: Records, o: Object, row: Row, given: Row, *, creating: bool) -> None:
    """Set the fields the org computes, before the record is checked and written."""
    match o.name:
        case "Opportunity":
            _opportunity(records, row, given, creating=creating)
        case "OpportunityLineItem":
            _line(records, row, given)
        case "Contact" | "User":
            row["Name"] = " ".join(part for part in (row["FirstName"], row["LastName"]) if part)
        case "PricebookEntry":
            _entry(records, row)
        case "Contract":
            _contract(records, row, creating=creating)
    if "CurrencyIsoCode" in row and row["CurrencyIsoCode"] is None:
        row["CurrencyIsoCode"] = CORPORATE_CURRENCY


def follow(records: Records, o: Object, row: Row) -> None:
    """After a line or a primary contact is written, its opportunity follows."""
    if o.name == "OpportunityContactRole" and row["IsPrimary"] and not row["IsDeleted"]:
        stamps = (row["ContactId"], records.now(), records.now(), row["OpportunityId"])
        sql = 'UPDATE "Opportunity" SET "ContactId"=?, "SystemModstamp"=?, "LastModifiedDate"=?'
        records.db.execute(f'{sql} WHERE "Id"=?', stamps)
    if o.name != "OpportunityLineItem":
        return
    opportunity = records.row(OBJECTS["Opportunity"], row["OpportunityId"])
    if opportunity is None or opportunity["IsDeleted"]:
        return
    count, amount, quantity = _lines(records, opportunity["Id"])
    opportunity["HasOpportunityLineItem"] = int(count > 0)
    if count:
        opportunity |= {"Amount": round(amount, 2), "TotalOpportunityQuantity": quantity}
    opportunity |= {"LastModifiedDate": records.now(), "SystemModstamp": records.now()}
    opportunity["Pricebook2Id"] = opportunity["Pricebook2Id"] or _entry_of(records, row)[0]
    records.save(OBJECTS["Opportunity"], opportunity)


def deletable(records: Records, o: Object, row: Row) -> None:
    """An account with won deals stays."""
    sql = 'SELECT count(*) FROM "Opportunity" WHERE "AccountId"=? AND "IsWon"=1 AND "IsDeleted"=0'
    if o.name == "Account" and records.db.execute(sql, [row["Id"]]).fetchone()[0]:
        text = (
            f"Your attempt to delete {row['Name']} could not be completed because it is associated"
            " with opportunities that are closed won."
        )
        raise Refused("DELETE_FAILED", text)


def duplicate_rule(records: Records, o: Object, row: Row, *, allow_save: bool) -> None:
    """Accounts of one name: an alert blocks the API too, unless the caller allows the save."""
    kind = records.kit.settings.get("duplicate_rule", "off")
    if o.name != "Account" or kind == "off" or (kind == "alert" and allow_save):
        return
    sql = 'SELECT "Id" FROM "Account" WHERE "Name"=? AND "IsDeleted"=0 AND "Id" IS NOT ?'
    found = [r[0] for r in records.db.execute(sql, [row["Name"], row["Id"]])]
    if not found:
        return
    text = "Use one of these records?"
    matches = [
        {
            "matchConfidence": 100.0,
            "record": {"attributes": {"type": "Account"}, "Id": record},
            "additionalInformation": [],
            "fieldDiffs": [],
        }
        for record in found
    ]
    match = {"entityType": "Account", "matchRecords": matches, "size": len(matches), "errors": []}
    result = {
        "allowSave": kind == "alert",
        "duplicateRule": "Standard_Account_Duplicate_Rule",
        "duplicateRuleEntityType": "Account",
        "errorMessage": text,
        "matchResults": [{**match, "rule": "Standard_Account_Match_Rule_v1_0", "success": True}],
    }
    refused = Refused("DUPLICATES_DETECTED", text)
    refused.extra = {"duplicateResut": result}  # the misspelling is the vendor's
    raise refused


def _opportunity(records: Records, row: Row, given: Row, *, creating: bool) -> None:
    stage = STAGES.get(row["StageName"] or "")
    if row["StageName"] and stage is None:
        text = f"bad value for restricted picklist field: {row['StageName']}"
        raise Refused("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", text, "StageName")
    if stage:
        probability, closed, won, forecast = stage
        if "Probability" not in given and (creating or "StageName" in given):
            row["Probability"] = probability
        row |= {"IsClosed": int(closed), "IsWon": int(won), "ForecastCategoryName": forecast}
    if row["CloseDate"]:
        row["FiscalYear"] = int(row["CloseDate"][:4])
        row["FiscalQuarter"] = (int(row["CloseDate"][5:7]) + 2) // 3
    if not creating and row["HasOpportunityLineItem"]:
        row["Amount"] = round(_lines(records, row["Id"])[1], 2)  # an Amount sent is ignored


def _lines(records: Records, opportunity: str) -> tuple[int, float, float]:
    sql = (
        'SELECT count(*), total("TotalPrice"), total("Quantity") FROM "OpportunityLineItem"'
        ' WHERE "OpportunityId"=? AND "IsDeleted"=0'
    )
    count, amount, quantity = records.db.execute(sql, [opportunity]).fetchone()
    return int(count), float(amount), float(quantity)


def _entry_of(records: Records, line: Row) -> tuple[Any, ...]:
    sql = 'SELECT "Pricebook2Id" FROM "PricebookEntry" WHERE "Id"=?'
    found: tuple[Any, ...] | None = records.db.execute(sql, [line["PricebookEntryId"]]).fetchone()
    return found or (None,)


def _line(records: Records, row: Row, given: Row) -> None:
    opportunity = records.row(OBJECTS["Opportunity"], row["OpportunityId"] or "")
    if opportunity is None:
        return  # the check of required fields says so
    entry = _price(records, row, opportunity)
    product = records.row(OBJECTS["Product2"], entry["Product2Id"]) or {}
    row |= {
        "PricebookEntryId": entry["Id"],
        "Product2Id": entry["Product2Id"],
        "ProductCode": product.get("ProductCode"),
        "Name": f"{opportunity['Name']} {product.get('Name')}",
        "ListPrice": entry["UnitPrice"],
        "CurrencyIsoCode": entry["CurrencyIsoCode"],
    }
    quantity, share = row["Quantity"] or 0.0, 1 - (row["Discount"] or 0.0) / 100
    if given.get("TotalPrice") is not None and given.get("UnitPrice") is None:
        row["UnitPrice"] = round(row["TotalPrice"] / (quantity * share), 2) if quantity else 0.0
    else:
        row["UnitPrice"] = entry["UnitPrice"] if row["UnitPrice"] is None else row["UnitPrice"]
        row["TotalPrice"] = round(quantity * row["UnitPrice"] * share, 2)
    row["Subtotal"] = round(quantity * row["UnitPrice"], 2)


def _price(records: Records, row: Row, opportunity: Row) -> Row:
    entries = OBJECTS["PricebookEntry"]
    entry = records.row(entries, row["PricebookEntryId"] or "")
    if entry is None and row["Product2Id"]:
        book = opportunity["Pricebook2Id"] or records.well_known("pricebook")
        sql = (
            'SELECT "Id" FROM "PricebookEntry" WHERE "Product2Id"=? AND "Pricebook2Id"=?'
            ' AND "CurrencyIsoCode"=? AND "IsActive"=1'
        )
        currency = opportunity["CurrencyIsoCode"]
        found = records.db.execute(sql, [row["Product2Id"], book, currency]).fetchone()
        entry = records.row(entries, found[0]) if found else None
    if entry is None:
        text = "Required fields are missing: [PricebookEntryId]"
        raise Refused("REQUIRED_FIELD_MISSING", text, "PricebookEntryId")
    why = None
    if not entry["IsActive"]:
        why = "pricebook entry is inactive"
    elif entry["CurrencyIsoCode"] != opportunity["CurrencyIsoCode"]:
        why = "pricebook entry currency code does not match opportunity currency code"
    elif opportunity["Pricebook2Id"] not in {None, entry["Pricebook2Id"]}:
        why = "pricebook entry is in a different pricebook than the one assigned to the opportunity"
    if why:
        text = f"field integrity exception: PricebookEntryId ({why})"
        raise Refused("FIELD_INTEGRITY_EXCEPTION", text, "PricebookEntryId")
    return entry


def _entry(records: Records, row: Row) -> None:
    product = records.row(OBJECTS["Product2"], row["Product2Id"] or "")
    if product is None:
        return
    row |= {"Name": product["Name"], "ProductCode": product["ProductCode"]}
    row["CurrencyIsoCode"] = row["CurrencyIsoCode"] or CORPORATE_CURRENCY
    sql = (
        'SELECT "Id" FROM "PricebookEntry" WHERE "Product2Id"=? AND "Pricebook2Id"=?'
        ' AND "CurrencyIsoCode"=? AND "IsDeleted"=0 AND "Id" IS NOT ?'
    )
    standard, currency = records.well_known("pricebook"), row["CurrencyIsoCode"]
    twin = [row["Product2Id"], row["Pricebook2Id"], currency, row["Id"]]
    if records.db.execute(sql, twin).fetchone():
        text = "This price definition already exists in this price book"
        raise Refused("DUPLICATE_VALUE", text)
    base = [row["Product2Id"], standard, currency, row["Id"]]
    if row["Pricebook2Id"] != standard and not records.db.execute(sql, base).fetchone():
        text = "No standard price defined for this product"
        raise Refused("STANDARD_PRICE_NOT_DEFINED", text)


def _contract(records: Records, row: Row, *, creating: bool) -> None:
    if creating:
        row["ContractNumber"] = f"{100 + records.kit.next('ContractNumber'):08}"
        row["Status"] = row["Status"] or "Draft"
        if row["Status"] == "Activated":
            text = "Choose a valid contract status and save your changes."
            raise Refused("FAILED_ACTIVATION", text, "Status")
    row["StatusCode"] = "InApproval" if row["Status"] == "In Approval Process" else row["Status"]
    if row["Status"] == "Activated" and not row["ActivatedDate"]:
        row["ActivatedDate"] = records.now()
