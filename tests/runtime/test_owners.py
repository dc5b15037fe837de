"""A write of what another system is the record of is refused, per entity and per day."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apis.runtime.metadata import Metadata, Owner, Serving
from apis.runtime.owners import Owners
from apis.runtime.writes import Write
from contracts.canonical.identity import Source
from contracts.errors import Rejected

JUNE, JULY = date(2026, 6, 30), date(2026, 7, 1)
CRM_OWNS_TERMS = {
    "object": "customer",
    "attribute": "payment_terms",
    "entity": "DE",
    "system": "crm",
    "from": "2026-07-01",
}


def owners(connection: str = "salesforce", **sections: Any) -> Owners:
    known = {
        "ownership": msgspec.convert(sections.get("ownership", []), tuple[Owner, ...]),
        "roles": msgspec.convert(
            sections.get("roles", [{"serves": {"crm": "salesforce", "erp": "netsuite"}}]),
            tuple[Serving, ...],
        ),
        "stewards": sections.get("stewards", {}),
    }
    return Owners(
        msgspec.structs.replace(Metadata.load(Path("apis/entities.yaml")), **known), connection
    )


def changes(*attributes: str, **more: Any) -> Write:
    given = {"object": "customer", "key": "customer-1", "kind": "upsert", **more}
    return Write(attributes=attributes, **given)


def test_what_the_system_owns_and_what_is_ours_may_be_written() -> None:
    owners().check(changes("key", "name", "phone", "external_id"), "DE", JUNE)
    owners().check(changes("project_key", "project_status", object="deal"), "DE", JUNE)
    owners("netsuite").check(changes("key", "tax_code", "payment_terms"), "DE", JUNE)


def test_the_refusal_names_the_owner_and_whom_to_ask() -> None:
    with pytest.raises(Rejected) as refusal:
        owners().check(changes("name", "tax_code", "payment_terms"), "DE", JUNE)

    error = refusal.value
    assert (error.code, error.status) == ("ownership.not-owner", 422)
    assert (error.source, error.owner) == ("erp", "finance-master-data")
    assert [field.pointer for field in error.errors] == ["/payment_terms", "/tax_code"]
    assert error.detail.startswith("salesforce may not change this of a customer")


def test_what_others_own_can_be_left_out() -> None:
    write = changes("key", "name", "tax_code")

    assert owners("netsuite").others(write, "DE", JUNE) == {"name"}
    assert owners().others(write, "DE", JUNE) == {"tax_code"}


def test_metadata_gives_an_attribute_away_from_a_day_on_for_one_entity() -> None:
    changed = owners(ownership=[CRM_OWNS_TERMS])

    changed.check(changes("payment_terms"), "DE", JULY)
    for entity, day in (("DE", JUNE), ("UK", JULY), (None, JULY)):
        with pytest.raises(Rejected):
            changed.check(changes("payment_terms"), entity, day)
    with pytest.raises(Rejected):
        owners("netsuite", ownership=[CRM_OWNS_TERMS]).check(changes("payment_terms"), "DE", JULY)


def test_a_connection_owns_what_its_part_owns_where_and_since_it_plays_it() -> None:
    roles = [
        {"serves": {"crm": "salesforce", "erp": "netsuite"}},
        {"entity": "UK", "from": "2026-07-01", "serves": {"erp": "salesforce"}},
    ]
    moved = owners(roles=roles)

    moved.check(changes("tax_code", "name"), "UK", JULY)
    for entity, day in (("UK", JUNE), ("DE", JULY)):
        with pytest.raises(Rejected):
            moved.check(changes("tax_code", "name"), entity, day)


def test_the_steward_of_the_metadata_is_named() -> None:
    with pytest.raises(Rejected) as refusal:
        owners(stewards={"erp": "controlling"}).check(changes("tax_code"), "DE", JUNE)
    assert refusal.value.owner == "controlling"


def test_a_new_record_mirrors_what_its_owners_hold() -> None:
    owners("netsuite").check(changes("name", "tax_code", kind="create"), "DE", JUNE)


def test_a_mirror_of_the_owners_record_may_be_written() -> None:
    books, account = Source("netsuite", "8812"), Source("salesforce", "001A")

    owners("netsuite").check(changes("key", "name", "parent", origin=account), "DE", JUNE)
    owners().check(changes("key", "tax_id", "payment_terms", origin=books), "DE", JUNE)


@pytest.mark.parametrize("origin", ["salesforce", "kantata"])
def test_a_value_that_comes_from_another_than_its_owner_is_no_mirror(origin: str) -> None:
    copied = changes("name", "tax_id", origin=Source(origin, "1"))
    with pytest.raises(Rejected) as refusal:
        owners("netsuite").check(copied, "DE", JUNE)

    assert refusal.value.code == "ownership.not-owner"
    assert "/tax_id" in {field.pointer for field in refusal.value.errors}
    assert refusal.value.detail.startswith(origin)


def test_an_object_that_nobody_declared_is_a_defect() -> None:
    with pytest.raises(LookupError, match="yacht"):
        owners().check(changes("name", object="yacht"), "DE", JUNE)
