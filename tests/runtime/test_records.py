"""What the engine keeps: a closed list, readable again whatever version wrote it."""

from __future__ import annotations

import base64
from decimal import Decimal

import msgspec
import pytest

from apis.runtime.records import KEY, Records
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money

DEAL = Deal(
    external_id="006A",
    state="won",
    value=Money(Decimal("42800.00"), "EUR"),
    lines=(DealLine(external_id="00k1", position=1),),
)


@pytest.mark.parametrize(
    "value",
    [None, "text", 7, True, Decimal("1.50"), Ref("A", "B"), Source("crm", "006A"), DEAL, [DEAL]],
)
def test_a_recorded_value_comes_back_as_it_was(value: object) -> None:
    records = Records()
    text = msgspec.json.encode(records.dump(value))

    assert records.load(msgspec.json.decode(text)) == value


def test_what_is_no_contract_cannot_be_recorded() -> None:
    with pytest.raises(TypeError, match="no contract"):
        Records().dump(object())


def test_with_a_key_nothing_can_be_read_without_it() -> None:
    key = base64.b64encode(bytes(32)).decode()
    records = Records.from_env({KEY: key})

    kept = records.dump(DEAL)

    assert "006A" not in str(kept)
    assert records.load(kept) == DEAL
    with pytest.raises(ValueError, match="encrypted"):
        Records().load(kept)


def test_what_was_recorded_before_a_key_was_set_is_still_read() -> None:
    kept = Records().dump(DEAL)

    assert Records(bytes(32)).load(kept) == DEAL


def test_an_older_version_is_lifted() -> None:
    line = {"external_id": "00k1"}
    kept = {"type": "deal", "version": "1.0", "data": {"state": "won", "lines": [line, line]}}

    deal = Records().load(kept)

    assert [each.position for each in deal.lines] == [1, 2]
