"""What is announced: the catalog and its envelope."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical.deal import Deal
from contracts.events import (
    CATALOG,
    DealLost,
    DealWon,
    Event,
    event_id,
    event_of,
    key_of,
    payload_of,
)

WON = DealWon(connection="salesforce", deal=Deal(id="D1", external_id="006A", state="won"))
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def won() -> Event:
    return event_of("deal.won", WON, id=event_id("run", "step", 1), source="/system", time=NOW)


def test_an_event_is_a_cloud_event_on_the_wire():
    told = msgspec.json.decode(msgspec.json.encode(won()))
    assert told["specversion"] == "1.0"
    assert told["datacontenttype"] == "application/json"
    assert told["type"] == "deal.won"
    assert told["partitionkey"] == "006A"
    assert all(name.isalnum() and name.islower() for name in told)
    assert None not in told.values()


def test_an_event_carries_both_ids_and_comes_back_as_it_went():
    event = msgspec.json.decode(msgspec.json.encode(won()), type=Event)
    assert event == won()
    assert payload_of(event) == WON
    assert (payload_of(event).deal.id, payload_of(event).deal.external_id) == ("D1", "006A")


def test_an_event_with_the_wrong_payload_is_a_defect():
    with pytest.raises(TypeError, match=r"deal\.lost carries DealLost, not DealWon"):
        event_of("deal.lost", WON, id="1", source="/system", time=NOW)


@pytest.mark.parametrize("row", CATALOG.values(), ids=lambda row: row.type)
def test_a_row_of_the_catalog_names_an_ordering_key_that_its_payload_has(row):
    assert row.type.split(".")[1] in {
        "won", "lost", "changed", "validated", "activated", "started", "progressed", "ended",
        "raised", "called", "opened", "decided",
    }  # fmt: skip
    struct = row.payload
    for part in row.key.split("."):
        fields = {field.name: field.type for field in msgspec.structs.fields(struct)}
        assert part in fields
        struct = fields[part]
    assert row.title


def test_won_and_lost_of_one_deal_are_read_in_order():
    lost = DealLost(connection="salesforce", deal=WON.deal)
    assert key_of("deal.won", WON) == key_of("deal.lost", lost) == "006A"


PARTS = st.lists(st.text() | st.integers(), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_the_same_fact_has_the_same_id_and_another_fact_another(one, other):
    same = [str(part) for part in one] == [str(part) for part in other]
    assert (event_id(*one) == event_id(*other)) == same


def test_where_one_part_ends_matters():
    assert event_id("run-1", "1") != event_id("run-11", "")
