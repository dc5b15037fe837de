"""What the engine keeps: a closed list, readable again whatever version wrote it."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from apis.runtime.engine import Json
from apis.runtime.records import KEY, Records
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.errors import Misconfigured

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
    records = Records.from_env({KEY: base64.b64encode(bytes(32)).decode()}, Path())

    kept = Json(records).serialize({"ok": records.dump(DEAL)})

    assert "006A" not in kept
    assert records.load(Json(records).deserialize(kept)["ok"]) == DEAL
    with pytest.raises(ValueError, match="encrypted"):
        Json(Records()).deserialize(kept)


def test_a_key_is_named_and_the_one_before_it_still_opens_what_it_sealed(tmp_path: Path) -> None:
    for name, key in (("old", bytes(32)), ("new", bytes(range(32)))):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text(base64.b64encode(key).decode() + "\n")
    old = Records.from_env({KEY: "file:{home}/old"}, tmp_path)
    both = Records.from_env({KEY: "file:{home}/new, file:{home}/old"}, tmp_path)
    vault = base64.b64encode(bytes(range(32))).decode()
    new = Records.from_env({KEY: "env:VAULT", "VAULT": vault}, tmp_path)

    assert both.unseal(old.seal("told")) == "told"
    assert new.unseal(both.seal("told")) == "told"
    with pytest.raises(ValueError, match="no key of THROUGHLINE_RECORDS_KEY opens it"):
        old.unseal(both.seal("told"))
    (tmp_path / "old").chmod(0o640)
    with pytest.raises(Misconfigured, match="chmod 600"):
        Records.from_env({KEY: "file:{home}/old"}, tmp_path)


def test_what_was_recorded_before_a_key_was_set_is_still_read() -> None:
    kept = Json(Records()).serialize({"ok": Records().dump(DEAL)})

    assert Records().load(Json(Records(bytes(32))).deserialize(kept)["ok"]) == DEAL


def test_a_value_that_an_earlier_release_sealed_by_itself_is_still_read() -> None:
    records = Records(bytes(32))
    kept = json.loads(records.seal(json.dumps(records.dump(DEAL))))

    assert records.load(kept) == DEAL


def test_an_older_version_is_lifted() -> None:
    line = {"external_id": "00k1"}
    kept = {"type": "deal", "version": "1.0", "data": {"state": "won", "lines": [line, line]}}

    deal = Records().load(kept)

    assert [each.position for each in deal.lines] == [1, 2]
