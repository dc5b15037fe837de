"""Who may write what, where and since when."""

from contextlib import nullcontext
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import Rejected
from contracts.ownership import ALL, OWNERSHIP, check_write, owner_of, row_of
from contracts.schemas import RECORDS

TODAY = date(2026, 1, 31)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    object: str = "customer"
    attribute: str | None = None
    entity: str | None = None
    system: str = "billing"
    valid_from: date | None = None


@pytest.mark.parametrize(
    ("thing", "attribute", "owner"),
    [
        ("deal", "value", "crm"),
        ("deal", "lines", "crm"),
        ("deal", "project_key", "throughline"),
        ("contact", "email", "crm"),
        ("customer", "name", "crm"),
        ("customer", "parent", "crm"),
        ("customer", "account_manager", "crm"),
        ("customer", "legal_name", "erp"),
        ("customer", "tax_id", "erp"),
        ("customer", "payment_terms", "erp"),
        ("customer", "credit_hold", "erp"),
        ("customer", "key", "throughline"),
        ("contract", "versions", "throughline"),
        ("project", "milestones", "psa"),
        ("project", "dimensions", "erp"),
        ("resource", "cost_rates", "hcm"),
        ("time-entry", "hours", "psa"),
        ("billing-schedule", "lines", "psa"),
        ("invoice", "net", "erp"),
        ("revenue-schedule", "lines", "erp"),
    ],
)
def test_the_system_of_record_by_default(thing, attribute, owner):
    assert owner_of(thing, attribute, "DE", TODAY) == owner


def test_every_row_speaks_of_attributes_that_exist():
    for row in OWNERSHIP:
        fields = set(RECORDS[row.object].__struct_fields__)
        assert set(row.attributes) <= fields | {ALL}, row.object


def test_every_owned_object_has_an_owner_for_all_the_rest():
    for name in {row.object for row in OWNERSHIP}:
        assert row_of(name, "extensions").steward


def test_nobody_is_guessed_for_an_object_that_is_not_declared():
    with pytest.raises(LookupError, match="yacht"):
        owner_of("yacht", "name", None, TODAY)


def test_the_crm_may_not_set_a_tax_id_and_is_told_whom_to_ask():
    with pytest.raises(Rejected) as refusal:
        check_write("customer", {"name", "tax_id"}, "crm", on=TODAY, entity="DE")
    error = refusal.value
    assert (error.code, error.status, error.owner) == (
        "ownership.not-owner", 422, "finance-master-data",
    )  # fmt: skip
    assert [field.pointer for field in error.errors] == ["/tax_id"]
    assert "erp" in error.detail
    assert "finance-master-data" in error.detail


def test_an_owner_writes_and_what_a_connection_says_of_itself_is_no_write():
    check_write("customer", ["name", "external_id", "changed_at"], "crm", on=TODAY)


def test_metadata_names_its_own_stewards():
    with pytest.raises(Rejected) as refusal:
        check_write("invoice", ["net"], "psa", on=TODAY, stewards={"erp": "billing-desk"})
    assert refusal.value.owner == "billing-desk"


def test_the_billing_address_moves_to_the_erp_on_a_day():
    """A replay of an older write is judged by the rules of its day."""
    move = Row(attribute="addresses", system="crm", valid_from=date(2026, 1, 1))
    back = Row(attribute="addresses", system="erp", valid_from=date(2026, 6, 1))
    owners = [
        owner_of("customer", "addresses", "DE", on, [back, move])
        for on in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 5, 31), date(2026, 6, 1))
    ]
    assert owners == ["erp", "crm", "crm", "erp"]


def test_the_nearest_override_wins():
    rows = [
        Row(system="billing"),
        Row(system="psa", entity="DE"),
        Row(system="tax", attribute="tax_code"),
        Row(system="hcm", attribute="tax_code", entity="UK"),
    ]
    found = {
        (attribute, entity): owner_of("customer", attribute, entity, TODAY, rows)
        for attribute in ("tax_code", "currency")
        for entity in ("DE", "UK", "US")
    }
    assert found == {
        ("tax_code", "DE"): "tax", ("tax_code", "UK"): "hcm", ("tax_code", "US"): "tax",
        ("currency", "DE"): "psa", ("currency", "UK"): "billing", ("currency", "US"): "billing",
    }  # fmt: skip


@given(st.dates(date(2000, 1, 1), date(2050, 1, 1)), st.integers(0, 5000))
def test_an_override_holds_from_its_day_and_not_before(begins, days):
    rows = [Row(attribute="tax_code", system="tax", valid_from=begins)]
    before = begins - timedelta(days=days + 1)
    assert owner_of("customer", "tax_code", None, begins + timedelta(days=days), rows) == "tax"
    assert owner_of("customer", "tax_code", None, before, rows) == "erp"


@given(st.sets(st.sampled_from(RECORDS["customer"].__struct_fields__)))
def test_a_write_passes_exactly_if_the_writer_owns_every_attribute(attributes):
    mine = all(
        owner_of("customer", name, None, TODAY) == "crm"
        for name in attributes - {"external_id", "changed_at"}
    )
    with nullcontext() if mine else pytest.raises(Rejected):
        check_write("customer", attributes, "crm", on=TODAY)
