"""What a new account holds: the lists that the sample metadata names by their ids."""

from __future__ import annotations

from system_apis.netsuite.sandbox.records import Records
from system_apis.netsuite.sandbox.schema import RECORDS
from system_apis.netsuite.sandbox.values import stamp

LISTS: dict[str, dict[int, dict[str, str]]] = {
    "subsidiary": {
        1: {"name": "Northline Consulting, Inc."},
        2: {"name": "Northline Consulting Ltd"},
        3: {"name": "Northline Consulting GmbH"},
    },
    "currency": {
        1: {"name": "US Dollar", "symbol": "USD"},
        2: {"name": "British Pound", "symbol": "GBP"},
        3: {"name": "Canadian Dollar", "symbol": "CAD"},
        4: {"name": "Euro", "symbol": "EUR"},
        5: {"name": "Swiss Franc", "symbol": "CHF"},
    },
    "term": {1: {"name": "Net 15"}, 2: {"name": "Net 30"}, 3: {"name": "Net 60"}},
    "salesTaxItem": {
        11: {"name": "DE-VAT-19"},
        12: {"name": "GB-VAT-20"},
        13: {"name": "US-SERVICES"},
    },
    "billingSchedule": {
        21: {"name": "Time and materials, monthly"},
        22: {"name": "Fixed price, on completion"},
        23: {"name": "Milestones"},
        24: {"name": "Retainer, monthly"},
    },
    "department": {
        1: {"name": "Implementation"},
        2: {"name": "Advisory"},
        3: {"name": "Managed Services"},
    },
    "classification": {1: {"name": "External"}, 2: {"name": "Internal"}},
    "location": {1: {"name": "Americas"}, 2: {"name": "EMEA"}, 3: {"name": "APAC"}},
}


def furnish(records: Records) -> None:
    """Fill an empty account."""
    now = stamp(records.kit.clock.now())
    for name, rows in LISTS.items():
        table = RECORDS[name].table
        for id_, given in rows.items():
            row = {"id": id_, "isinactive": "F", "datecreated": now, "lastmodifieddate": now}
            row |= given
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            sql = f'INSERT INTO "{table}" ({names}) VALUES ({marks})'  # noqa: S608 - names come from the schema
            records.db.execute(sql, [*row.values()])
