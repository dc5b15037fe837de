from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apis.runtime.mapping import Map, Overrides, at, children, codes, const, flags, inside
from contracts.canonical.deal import Deal, DealFile, DealLine, Gap
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Budget, Project
from contracts.errors import Misconfigured

LINE = Map(
    DealLine,
    {
        "external_id": "id",
        "quantity": "qty",
        "position": "pos",
        "total.amount": "total",
        "total.currency": "cur",
    },
)
DEAL = Map(
    Deal,
    {
        "external_id": at("Id", readonly=True),
        "name": "Name",
        "state": flags("closed", "won", {(True, True): "won", (False, False): "open"}),
        "customer.external_id": "Account.Id",
        "value.amount": "Amount",
        "value.currency": "Currency",
        "billing_model": codes("Model", {"T+M": "time_and_materials", "FP": "fixed_price"}),
        "closed_on": "Close",
        "lines": children(
            "Lines.records", LINE, column="(SELECT {} FROM Lines)", whole="Lines.done"
        ),
        "changed_at": at("Changed", readonly=True),
        "extensions.x_rank": "Rank__c",
    },
)


def record(**more: Any) -> dict[str, Any]:
    return {"Id": "1", "closed": True, "won": True, **more}


def test_a_record_becomes_its_contract() -> None:
    deal = DEAL.read(
        record(
            Name="A",
            Account={"Id": "7"},
            Amount=Decimal("10.50"),
            Currency="EUR",
            Model="T+M",
            Close="2026-01-05",
            Changed="2026-01-05T10:11:12.000+0000",
            Rank__c=Decimal("2.5"),
            Lines={"done": True, "records": [{"id": "l", "qty": 3, "pos": Decimal("1.0")}]},
        )
    )
    assert deal == Deal(
        external_id="1",
        name="A",
        state="won",
        customer=Ref(None, "7"),
        value=Money(Decimal("10.50"), "EUR"),
        billing_model="time_and_materials",
        closed_on=date(2026, 1, 5),
        changed_at=datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC),
        lines=(DealLine(external_id="l", quantity=Decimal(3), position=1),),
        extensions={"x_rank": "2.5"},
    )


def test_what_the_vendor_leaves_empty_is_empty() -> None:
    deal = DEAL.read(record(Account=None, Amount=None, Currency="EUR", Lines=None, Rank__c=None))
    assert deal == Deal(external_id="1", state="won")


def test_an_amount_without_its_currency_is_not_lost_in_silence() -> None:
    with pytest.raises(Misconfigured) as caught:
        DEAL.read(record(Amount=Decimal(5)))
    assert caught.value.code == "mapping.contract-drift"
    assert "deal.value.currency (read from Currency)" in caught.value.detail


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        (
            {"Model": "Barter"},
            "mapping.unknown-value",
            "deal.billing_model (read from Model): 'Barter'",
        ),
        (
            {"won": False},
            "mapping.unknown-value",
            "deal.state (read from closed and won): True, False",
        ),
        (
            {"Name": 5},
            "mapping.contract-drift",
            "deal.name (read from Name) must be text or empty, not a",
        ),
        ({"Close": "soon"}, "mapping.contract-drift", "deal.closed_on (read from Close)"),
        ({"Account": "7"}, "mapping.contract-drift", "another shape"),
        ({"Model": ["T+M"]}, "mapping.contract-drift", "another shape"),
        ({"Lines": {"done": False, "records": []}}, "mapping.truncated", "only a part"),
        (
            {"Lines": {"records": [{"qty": 1}, {"qty": "many"}]}},
            "mapping.contract-drift",
            "deal.lines.quantity (read from Lines.records.qty)",
        ),
    ],
)
def test_what_cannot_be_read_names_field_value_and_place(
    fields: dict[str, Any], code: str, said: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        DEAL.read(record(**fields))
    assert caught.value.code == code
    assert said in caught.value.detail
    gap = DEAL.read_or_gap(record(Changed="2026-01-05T10:11:12Z", **fields))
    assert isinstance(gap, Gap)
    assert (gap.external_id, gap.code, gap.object) == ("1", code, "deal")
    assert gap.at == datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC)


def test_a_gap_needs_no_readable_moment() -> None:
    gap = DEAL.read_or_gap(record(Changed="yesterday"))
    assert isinstance(gap, Gap)
    assert gap.at is None


def test_a_literal_the_contract_does_not_know_is_an_unknown_value() -> None:
    plain = DEAL.over(Overrides(fields={"billing_model": "Other"}))
    plain = Map(Deal, {**plain.fields, "billing_model": "Other"}, name="deal")
    with pytest.raises(Misconfigured, match=r"unknown-value.*read from Other"):
        plain.read(record(Other="barter"))


def test_columns_are_what_a_query_selects() -> None:
    assert DEAL.columns == (
        "Id, Name, closed, won, Account.Id, Amount, Currency, Model, Close, "
        "(SELECT id, qty, pos, total, cur FROM Lines), Changed, Rank__c"
    )
    assert DEAL.path("name") == "Name"


def test_overrides_change_paths_codes_and_constants_and_are_compiled_once() -> None:
    overrides = Overrides(
        fields={
            "value.amount": "Amount__c",
            "name": None,
            "lines.quantity": "hours",
            "extensions.x_new": "New__c",
        },
        codes={"billing_model": {"Zeit": "time_and_materials"}},
        constants={"value.currency": "EUR", "lines.total.currency": "EUR"},
    )
    layered = DEAL.over(overrides)
    assert DEAL.over(msgspec.structs.replace(overrides)) is layered
    deal = layered.read(
        record(
            Name="ignored",
            Amount__c=Decimal(9),
            Model="Zeit",
            New__c=True,
            Lines={"records": [{"hours": 4, "total": Decimal(1)}]},
        )
    )
    assert deal.name is None
    assert deal.value == Money(Decimal(9), "EUR")
    assert deal.billing_model == "time_and_materials"
    assert deal.extensions == {"x_new": "true"}
    assert deal.lines[0].quantity == Decimal(4)
    assert deal.lines[0].total == Money(Decimal(1), "EUR")
    assert layered.read(record(Model="FP")).billing_model == "fixed_price"
    assert "(SELECT id, hours, pos, total FROM Lines)" in layered.columns
    assert DEAL.read(record(Name="kept")).name == "kept"


def test_the_mappings_of_two_units_are_compared() -> None:
    one = Overrides(fields={"name": "A", "region": "R"}, codes={"region": {"x": "X", "y": "Y"}})
    other = Overrides(fields={"name": "B", "region": "R"}, codes={"region": {"x": "X"}})
    assert one.differences(one) == []
    assert one.differences(other) == ["codes.region.y: Y | (default)", "fields.name: A | B"]


def test_unmapped_live_values_are_listed_before_a_run() -> None:
    records = [
        record(Model="T+M"),
        record(Model="Barter"),
        record(Model="Barter"),
        record(won=False),
    ]
    found = DEAL.unreadable(records)
    assert sorted(found.values()) == [1, 2]
    assert found["deal.billing_model (read from Model): 'Barter' is not in its code list"] == 2


def test_a_field_that_the_contract_does_not_have_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match=r"deal\.nmae"):
        DEAL.over(Overrides(fields={"nmae": "Name"}))


def test_a_struct_may_hold_nothing_but_structs() -> None:
    sums = Map(
        Project, {"name": "n", "budget.total.amount": "price", "budget.total.currency": "money"}
    )

    assert sums.read({"n": "Rollout"}).budget is None
    total = Money(Decimal("10.00"), "EUR")
    known = sums.read({"n": "Rollout", "price": Decimal(10), "money": "EUR"})
    assert known.budget == Budget(total=total)
    assert sums.write(known) == {"n": "Rollout", "price": Decimal("10.00"), "money": "EUR"}


def test_records_inside_records_are_read_by_their_own_maps() -> None:
    customer = Map(
        Customer, {"external_id": "Id", "name": "Name", "parent.external_id": "ParentId"}
    )
    contact = Map(Contact, {"name": "Name", "primary": "Main"})
    file = Map(
        DealFile,
        {
            "deal": inside(None, Map(Deal, {"external_id": "Id", "state": const("won")})),
            "customer": inside("Account", customer),
            "parents.0": inside("Account.Parent", customer),
            "contact": inside("Contact", contact),
        },
    )
    assert file.columns.startswith(
        "Id, Account.Id, Account.Name, Account.ParentId, Account.Parent.Id"
    )
    account = {"Id": "2", "Name": "N", "ParentId": "3", "Parent": {"Id": "3", "Name": "P"}}
    read = file.read({"Id": "1", "Account": account, "Contact": {"Name": "C", "Main": None}})
    assert read == DealFile(
        deal=Deal(external_id="1", state="won"),
        customer=Customer(external_id="2", name="N", parent=Ref(None, "3")),
        parents=(Customer(external_id="3", name="P"),),
        contact=Contact(name="C", primary=False),
    )
    with pytest.raises(Misconfigured, match=r"deal_file.customer.name \(read from Account.Name\)"):
        file.read({"Id": "1", "Account": {"Id": "2"}})


def test_writes_leave_out_what_is_not_ours_and_what_is_not_named() -> None:
    deal = Deal(external_id="1", state="won", name="A", value=Money(Decimal("1.50"), "EUR"))
    assert DEAL.write(deal) == {
        "Name": "A",
        "Amount": Decimal("1.50"),
        "Currency": "EUR",
        "Lines": {"records": []},
    }
    assert DEAL.write({"name": None, "value.amount": Decimal(2)}) == {
        "Name": None,
        "Amount": Decimal(2),
    }
    assert DEAL.write({"customer": {"external_id": "7"}}) == {"Account": {"Id": "7"}}
    assert DEAL.write({"billing_model": "fixed_price"}) == {"Model": "FP"}
    with pytest.raises(Misconfigured, match="milestone"):
        DEAL.write({"billing_model": "milestone"})
    assert Map(Customer, {"key": "Key__c"}).write("customer-1") == {"Key__c": "customer-1"}


def test_a_loose_code_list_does_not_mind_case() -> None:
    customer = Map(
        Customer, {"name": const("x"), "country": codes("Land", {"Germany": "DE"}, loose=True)}
    )
    assert customer.read({"Land": " GERMANY "}).country == "DE"
    assert customer.read({"Land": None}).country is None
    with pytest.raises(Misconfigured, match="Atlantis"):
        customer.read({"Land": "Atlantis"})


class Thing(msgspec.Struct, frozen=True, kw_only=True):
    text: str | None = None
    count: int | None = None
    amount: Decimal | None = None
    on: date | None = None
    at: datetime | None = None
    flag: bool | None = None
    kind: Literal["a", "b"] | None = None
    money: Money | None = None
    things: tuple[Ref, ...] = ()
    extensions: dict[str, str] = {}


THING = Map(
    Thing,
    {
        "text": "T",
        "count": "Deep.N",
        "amount": "A",
        "on": "D",
        "at": "M",
        "flag": "F",
        "kind": codes("K", {"alpha": "a", "beta": "b"}),
        "money.amount": "V",
        "money.currency": "C",
        "things": children("L", Map(Ref, {"id": "i", "external_id": "e"})),
        "extensions.x_one": "X",
    },
)
amounts = st.decimals(
    allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9
)
texts = st.text(min_size=1)


@given(
    st.builds(
        Thing,
        text=st.none() | texts,
        count=st.none() | st.integers(-(2**60), 2**60),
        amount=st.none() | amounts,
        on=st.none() | st.dates(),
        at=st.none() | st.datetimes(timezones=st.just(UTC)),
        flag=st.none() | st.booleans(),
        kind=st.none() | st.sampled_from(["a", "b"]),
        money=st.none() | st.builds(Money, amounts, st.sampled_from(["EUR", "USD"])),
        things=st.lists(st.builds(Ref, texts, st.none() | texts)).map(tuple),
        extensions=st.just({}) | st.builds(lambda text: {"x_one": text}, texts),
    )
)
def test_what_was_written_is_read_again(thing: Thing) -> None:
    written = THING.write(thing)
    assert THING.read(written) == thing
    over_the_wire = msgspec.json.Encoder(decimal_format="number").encode(written)
    assert THING.read(msgspec.json.Decoder(float_hook=Decimal).decode(over_the_wire)) == thing
