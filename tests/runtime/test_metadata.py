from __future__ import annotations

import re
import stat
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from apis.runtime.metadata import (
    Metadata,
    PerEntity,
    approval_for,
    converted,
    effective_mapping,
    serving,
)
from apis.runtime.metadata_findings import metadata_findings
from apis.runtime.references import resolve, secret
from apis.runtime.windows import maintenance_until
from contracts.canonical.money import Money
from contracts.errors import Misconfigured
from tests.runtime.acme import asks

SAMPLE = Path(__file__).parents[2] / "apis" / "entities.yaml"
DAY = date(2026, 3, 1)


def changed(tmp_path: Path, old: str, new: str) -> Path:
    text = SAMPLE.read_text()
    assert old in text
    path = tmp_path / "entities.yaml"
    path.write_text(text.replace(old, new))
    return path


def test_the_sample_is_right() -> None:
    metadata = Metadata.load(SAMPLE)
    assert {name: e.currency for name, e in metadata.entities.items()} == {
        "US": "USD",
        "UK": "GBP",
        "DE": "EUR",
    }
    assert list(metadata_findings(metadata, DAY)) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("concurrency:", "concurency:", "connections.salesforce.budgets.concurency: there is no"),
        ("rate: 100/s", "rate: fast", "budgets.rate: expected calls per period, such as 100/s"),
        ("country: DE", "country: Germany", "entities.DE.country: expected ISO 3166-1 code"),
        ("every_s: 30", "every_s: 0", "feeds.0.every_s: Expected `float` > 0"),
        ('"100000.00"', "100000.00", "approvals.2.above.amount: write it in quotes"),
        ("owner: delivery-director", "ower: delivery-director", "approvals.0.ower: there is no"),
        ("stewards:", "steward:", "steward: there is no such setting"),
        ("  UK:\n", "  US:\n", "`US` is there twice"),
        ("credentials: file:", "credentials: hunter2-", "auth.credentials: expected a reference"),
    ],
)
def test_a_typo_refuses_the_start_and_names_its_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        Metadata.load(changed(tmp_path, old, new))
    assert caught.value.code == "settings.invalid"
    assert said in caught.value.detail
    assert re.match(r"entities.yaml:\d+: ", caught.value.detail)
    assert "hunter2" not in caught.value.detail


def test_a_file_that_is_not_there_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"settings.invalid: none.yaml"):
        Metadata.load(tmp_path / "none.yaml")


def test_a_value_is_compared_in_the_currency_of_the_limit_at_the_dated_rate() -> None:
    metadata = Metadata.load(SAMPLE)
    flow = "deal_to_project"
    assert converted(metadata, Money(Decimal(100), "EUR"), "USD", date(2025, 12, 31)) == Decimal(
        "108.5"
    )
    assert converted(metadata, Money(Decimal(114), "USD"), "EUR", DAY) == Decimal(100)
    at_limit = Money(Decimal(114000), "USD")
    assert approval_for(metadata, "DE", flow, at_limit, DAY) is None
    above = approval_for(metadata, "DE", flow, Money(Decimal("114000.01"), "USD"), DAY)
    assert above is not None
    assert above.owner == "delivery-director"
    assert approval_for(metadata, "DE", flow, at_limit, date(2025, 1, 1)) is not None
    assert approval_for(metadata, "DE", "change_order", Money(Decimal(10**9), "EUR"), DAY) is None
    with pytest.raises(Misconfigured, match=r"rate.missing"):
        approval_for(metadata, "DE", flow, Money(Decimal(1), "CHF"), DAY)
    with pytest.raises(Misconfigured, match=r"rate.missing"):
        converted(metadata, at_limit, "EUR", date(2020, 1, 1))


def test_the_highest_limit_exceeded_decides(tmp_path: Path) -> None:
    limit = '{amount: "500000", currency: EUR}'
    more = f"{{entity: DE, flow: deal_to_project, above: {limit}, owner: cfo, from: 2026-02-01}}"
    metadata = Metadata.load(changed(tmp_path, "approvals:\n", f"approvals:\n  - {more}\n"))

    def owner(amount: int, on: date) -> str | None:
        found = approval_for(metadata, "DE", "deal_to_project", Money(Decimal(amount), "EUR"), on)
        return found.owner if found else None

    assert [owner(n, DAY) for n in (1, 200_000, 600_000)] == [None, "delivery-director", "cfo"]
    assert owner(600_000, date(2026, 1, 31)) == "delivery-director"


def test_a_cut_over_changes_who_serves_from_its_day(tmp_path: Path) -> None:
    more = "roles:\n  - {entity: DE, from: 2026-07-01, serves: {crm: other}}\n"
    metadata = Metadata.load(changed(tmp_path, "roles:\n", more))
    assert serving(metadata, "crm", "DE", date(2026, 6, 30)) == "salesforce"
    assert serving(metadata, "crm", "DE", date(2026, 7, 1)) == "other"
    assert serving(metadata, "crm", "US", date(2026, 7, 1)) == "salesforce"
    assert serving(metadata, "hcm", "DE", DAY) is None


def test_mapping_layers_lie_over_each_other(tmp_path: Path) -> None:
    layers = """
    base: {deal: {fields: {region: R__c, name: N__c}, codes: {region: {a: A}}}}
    regions: {EMEA: {deal: {fields: {region: R_EMEA__c}, codes: {region: {b: B}}}}}
    entities: {DE: {deal: {fields: {region: R_DE__c}}}}
    units: {acme: {deal: {fields: {region: R_ACME__c}, constants: {entity: DE}}}}
"""
    text = SAMPLE.read_text()
    start = text.index("    base: {}")
    end = text.index("# Only what differs")
    path = tmp_path / "entities.yaml"
    path.write_text(
        (text[:start] + layers.lstrip("\n") + "\n" + text[end:]).replace(
            "    region: EMEA\n    currency: EUR",
            "    region: EMEA\n    unit: acme\n    currency: EUR",
        )
    )
    metadata = Metadata.load(path)

    def region(entity: str | None) -> str | None:
        return effective_mapping(metadata, "salesforce", "deal", entity).fields["region"]

    assert [region(e) for e in (None, "US", "UK", "DE")] == [
        "R__c",
        "R__c",
        "R_EMEA__c",
        "R_ACME__c",
    ]
    german = effective_mapping(metadata, "salesforce", "deal", "DE")
    assert german.fields["name"] == "N__c"
    assert german.codes == {"region": {"a": "A", "b": "B"}}
    assert german.constants == {"entity": "DE"}
    assert effective_mapping(metadata, "salesforce", "contact").fields == {}


def test_what_differs_by_entity_is_that_of_the_record_else_of_the_call() -> None:
    made = PerEntity(Metadata.load(SAMPLE), lambda entity: entity or "any")
    asks(entity="UK")

    assert list(made) == ["any", "US", "UK", "DE"]
    assert [made.of(each) for each in (None, "DE", "XX")] == ["any", "DE", "any"]
    assert [made.own(each) for each in (None, "DE", "XX")] == ["UK", "DE", "UK"]
    asks()
    assert made.own() == "any"


def test_maintenance_windows(tmp_path: Path) -> None:
    weekly = "weekly: [{day: saturday, from: 22:30, until: 02:00, zone: Europe/Berlin}] # "
    once = "once: [{from: 2026-12-05T02:00:00Z, until: 2026-12-05T06:00:00Z}] # "
    path = changed(tmp_path, "weekly: [] #", weekly)
    path.write_text(path.read_text().replace("once: [] #", once))
    salesforce = Metadata.load(path).connections["salesforce"]

    def until(year: int, month: int, day: int, hour: int, minute: int) -> datetime | None:
        return maintenance_until(salesforce, datetime(year, month, day, hour, minute, tzinfo=UTC))

    assert until(2026, 12, 5, 21, 29) is None
    assert until(2026, 12, 5, 21, 30) == datetime(2026, 12, 6, 1, tzinfo=UTC)
    assert until(2026, 12, 6, 0, 59) == datetime(2026, 12, 6, 1, tzinfo=UTC)
    assert until(2026, 12, 6, 1, 0) is None
    assert until(2026, 12, 5, 3, 0) == datetime(2026, 12, 5, 6, tzinfo=UTC)


def test_references_are_read_when_asked(tmp_path: Path) -> None:
    assert resolve("https://x.example", {}, tmp_path) == "https://x.example"
    assert resolve("env:URL|http://127.0.0.1:1", {}, tmp_path) == "http://127.0.0.1:1"
    assert resolve("env:URL|http://127.0.0.1:1", {"URL": "u"}, tmp_path) == "u"
    file = tmp_path / "c.json"
    file.write_text('{"salesforce": {"client_id": "a", "client_secret": "b"}}')
    file.chmod(0o600)
    reference = "file:{home}/c.json#salesforce"
    held = secret(reference, {}, tmp_path)
    assert "b" not in f"{held} {held!r}"[7:-4]
    assert held.reveal() == {"client_id": "a", "client_secret": "b"}
    assert secret(f"{reference}/client_secret", {}, tmp_path).reveal() == "b"
    file.chmod(file.stat().st_mode | stat.S_IRGRP)
    with pytest.raises(Misconfigured, match="chmod 600"):
        secret(reference, {}, tmp_path)
    for wrong in ("env:NONE", "file:{home}/none.json#a", "file:{home}/c.json#netsuite"):
        with pytest.raises(Misconfigured, match=r"reference.missing"):
            resolve(wrong, {}, tmp_path)
