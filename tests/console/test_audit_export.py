"""The audit of a period leaves with its proof, and somebody else can check it alone."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apis.cli import main
from apis.runtime.audit import AUDIT, record, seal, sign
from apis.runtime.audit_heads import Signer
from apis.runtime.migrations import lift
from apis.runtime.settings import Settings
from apis.runtime.store import Store

CELLS = (
    *("position", "previous", "seq", "at", "actor", "cause", "action", "object", "key"),
    *("connection", "before_hash", "after_hash", "detail"),
)
FIRST = datetime(2025, 10, 30, 12, tzinfo=UTC)
NOVEMBER = ("--from", "2025-11-01", "--to", "2025-11-30")
Lines = list[dict[str, Any]]


@pytest.fixture
def home(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A row each noon for 40 days from the 30th of October, with a head every fifth day."""
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    monkeypatch.setenv("THROUGHLINE_DATABASE_URL", store_url)
    store = Store(store_url, digest_key=Settings.from_env(os.environ).digest_key)
    lift(store)
    signer = Signer(tmp_path / "audit.key", tmp_path / "audit")
    store.read_now(sign, "process", signer, FIRST)
    for n in range(40):
        at = FIRST + timedelta(days=n)
        told: dict[str, Any] = {"actor": "fay", "action": "work-item.approve", "after": {"n": n}}
        store.write_now(record, "process", at=at, key=f"Zoë-{n}", **told)
        store.write_now(seal, "process")
        if n % 5 == 4:
            store.read_now(sign, "process", signer, at)
    store.close()
    return tmp_path


def said(*words: str) -> Result:
    return CliRunner().invoke(main, ["audit", *words])


def exported(home: Path, *more: str) -> Path:
    file = home / "november.jsonl"
    result = said("export", *NOVEMBER, "--out", str(file), *more)
    assert result.exit_code == 0, result.output
    return file


def lines_of(file: Path) -> Lines:
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def test_a_month_can_be_proved_with_a_hash_and_a_signature_alone(home: Path) -> None:
    """By nothing of ours: the recipe of docs/audit.md."""
    told, *lines = lines_of(exported(home, "--tier", "process"))
    whole, begin, end = told["export"], lines[0]["begin"], lines[-1]["end"]
    heads = {line["head"]["position"]: line["head"] for line in lines if "head" in line}
    rows = [line for line in lines if "hash" in line]
    key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(whole["public_key"]))

    previous = begin["previous"]
    for place, row in enumerate(rows, begin["first"]):
        cells = [row[name] for name in CELLS]
        text = json.dumps(cells, separators=(",", ":"), ensure_ascii=False).encode()
        assert (row["position"], row["previous"]) == (place, previous)
        assert row["hash"] == hashlib.sha256(text).hexdigest()
        assert place not in heads or heads[place]["hash"] == row["hash"]
        previous = row["hash"]
    for head in (whole, *heads.values(), end):
        text = json.dumps(head | {"signature": ""}, separators=(",", ":"), sort_keys=True).encode()
        key.verify(base64.b64decode(head["signature"]), text)

    assert [row["at"][:10] for row in (rows[0], rows[-1])] == ["2025-11-01", "2025-12-03"]
    assert sorted(heads) == [5, 10, 15, 20, 25, 30, 35]
    assert (end["position"], end["hash"]) == (35, previous)
    assert (end["first"], end["previous"]) == (begin["first"], begin["previous"])
    assert (end["export"], end["forged"], end["unmarked"]) == (whole["signature"], [], 0)
    assert (whole["tiers"], whole["since"], whole["until"]) == (["process"], *NOVEMBER[1::2])
    assert (rows[0]["actor"], rows[0]["key"]) == ("fay", "Zoë-2")


def test_an_export_is_found_whole_by_its_key_and_by_no_other(home: Path) -> None:
    file = exported(home)
    key = said("export", *NOVEMBER, "--out", str(file)).output.rpartition("key ")[2].split()[0]

    whole = said("verify", "--export", str(file), "--key", key)
    other = said("verify", "--export", str(file), "--key", "0" * 16)

    assert (whole.exit_code, whole.stderr) == (0, "")
    assert (
        f"process from 2025-11-01 to 2025-11-30: rows 3 to 35, heads signed by {key}"
        in whole.stdout
    )
    assert "gateway from 2025-11-01 to 2025-11-30: no rows" in whole.stdout
    assert other.exit_code == 1
    assert "audit.key-other" in other.stderr
    assert file.stat().st_mode & 0o777 == 0o600


def changed(lines: Lines) -> None:
    row_at(lines, 10)["actor"] = "nobody"


def deleted(lines: Lines) -> None:
    lines.remove(row_at(lines, 10))


def exchanged(lines: Lines) -> None:
    one, other = lines.index(row_at(lines, 10)), lines.index(row_at(lines, 20))
    lines[one], lines[other] = lines[other], lines[one]


def inserted(lines: Lines) -> None:
    lines.insert(lines.index(row_at(lines, 10)), dict(row_at(lines, 9)))


def cut(lines: Lines) -> None:
    lines[:] = [line for line in lines if line.get("position", 0) <= 29]


def cut_with_its_end(lines: Lines) -> None:
    cut(lines)
    lines[:] = [line for line in lines if "end" not in line]


def begun_later(lines: Lines) -> None:
    second = row_at(lines, 4)
    lines.remove(row_at(lines, 3))
    lines[1]["begin"] |= {"first": 4, "previous": second["previous"]}


def rewritten(lines: Lines) -> None:
    row_at(lines, 10)["actor"] = "nobody"
    previous = lines[1]["begin"]["previous"]
    for row in (line for line in lines if "hash" in line):
        row["previous"] = previous
        text = json.dumps([row[name] for name in CELLS], separators=(",", ":"), ensure_ascii=False)
        previous = row["hash"] = hashlib.sha256(text.encode()).hexdigest()


def row_at(lines: Lines, position: int) -> dict[str, Any]:
    return next(line for line in lines if line.get("position") == position)


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (changed, "row 10: audit.changed"),
        (deleted, "row 10: audit.missing"),
        (exchanged, "row 10: audit.missing"),
        (inserted, "row 10: audit.inserted"),
        (cut, "row 30: export.cut"),
        (cut_with_its_end, "row 30: export.cut"),
        (begun_later, "export.forged"),
        (rewritten, "row 10: audit.rewritten"),
    ],
)
def test_an_export_that_was_touched_is_refused(
    home: Path, tamper: Callable[[Lines], None], found: str
) -> None:
    file = exported(home, "--tier", "process")
    lines = lines_of(file)
    tamper(lines)
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n")

    result = said("verify", "--export", str(file))

    assert result.exit_code == 1
    assert found in result.stderr.splitlines()[0], result.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", '{"begin": {}}', "\xff", '{"hash": 1}'])
def test_what_is_no_export_is_refused_in_a_sentence(home: Path, text: str) -> None:
    file = home / "other"
    file.write_bytes(text.encode("latin-1"))

    result = said("verify", "--export", str(file))

    assert result.exit_code == 1, result.output
    assert "export." in result.stderr
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_a_period_must_be_one(home: Path) -> None:
    turned = said("export", "--from", "2025-11-30", "--to", "2025-11-01")
    no_day = said("export", "--from", "2025-02-30", "--to", "2025-11-01")
    nowhere = said("export", *NOVEMBER, "--out", str(home / "no" / "file"))

    assert (turned.exit_code, no_day.exit_code, nowhere.exit_code) == (2, 2, 2)
    assert "2025-11-01 is before 2025-11-30" in turned.stderr
    assert "No such file or directory" in nowhere.stderr


def test_where_nothing_was_ever_signed_nothing_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    monkeypatch.delenv("THROUGHLINE_DATABASE_URL", raising=False)

    result = said("export", *NOVEMBER)

    assert result.exit_code == 2
    assert "is not there" in result.stderr
    assert not (tmp_path / "audit.key").exists()


def test_another_key_proves_nothing(home: Path, tmp_path: Path) -> None:
    stranger = Signer(tmp_path / "other.key", tmp_path / "heads")
    head = next(line["head"] for line in lines_of(exported(home)) if "head" in line)
    text = json.dumps(head | {"signature": ""}, separators=(",", ":"), sort_keys=True).encode()

    with pytest.raises(InvalidSignature):
        stranger.public.verify(base64.b64decode(head["signature"]), text)


def part(lines: Lines, tier: str) -> Lines:
    """The lines of a tier, from its begin to its end."""
    first = next(n for n, line in enumerate(lines) if line.get("begin", {}).get("tier") == tier)
    last = next(n for n, line in enumerate(lines) if line.get("end", {}).get("tier") == tier)
    return lines[first : last + 1]


def test_a_tier_that_was_taken_out_of_an_export_or_put_in_is_found(home: Path) -> None:
    file = exported(home)
    lines = lines_of(file)
    first = lines_of(exported(home))

    def found(lines: Lines) -> str:
        file.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
        result = said("verify", "--export", str(file))
        assert result.exit_code == 1
        return result.stderr

    for tier in ("gateway", "process", "experience"):
        gone = [line for line in lines if line not in part(lines, tier)]
        assert f"{tier}: export.cut: the part of this tier is not there" in found(gone)
    more = [*lines, *part(lines, "process")]
    assert "export.unreadable: what follows is not of this export" in found(more)
    mixed = [lines[0], *first[1:]]  # all four parts, of an export at another moment
    assert "process: export.forged: the end of the part is not of this export" in found(mixed)
    lines[0]["export"]["tiers"].remove("process")
    rest = [line for line in lines if line not in part(lines, "process")]
    assert "export.forged: its first line is not of this key" in found(rest)


def test_an_export_says_when_it_was_made_and_holds_no_day_that_has_not_been(home: Path) -> None:
    file = exported(home)
    today = datetime.now(UTC).date()

    made = json.loads(file.read_bytes().splitlines()[0])["export"]["at"]
    told = said("verify", "--export", str(file)).stdout.splitlines()[0]
    assert told == f"exported at {made}, 2025-11-01 to 2025-11-30"
    assert datetime.fromisoformat(made).date() == today
    for day in (today + timedelta(days=1), "9999-12-31"):
        out = home / "later.jsonl"
        result = said("export", "--from", "2025-11-01", "--to", str(day), "--out", str(out))
        assert result.exit_code == 2
        assert f"{day} has not been yet: today is {today}, in UTC" in result.stderr
        assert not out.exists()
    assert said("export", "--from", "0001-01-01", "--to", str(today)).exit_code == 0


def test_a_row_that_nobody_of_us_wrote_leaves_as_such(home: Path, store_url: str) -> None:
    rows, store = AUDIT["process"], Store(store_url)
    false = {"at": "2025-11-05T10:00:00+00:00", "actor": "demo-owner", "detail": "{}"}
    approval = sa.insert(rows).values(**false, action="decision.approved", key="forged-1")
    store.write_now(lambda connection: connection.execute(approval))
    store.write_now(seal, "process")
    store.close()
    file = home / "day.jsonl"

    day = ("--from", "2025-11-05", "--to", "2025-11-05")
    written = said("export", *day, "--tier", "process", "--out", str(file))
    result = said("verify", "--export", str(file))

    assert "1 of them not ours" in written.stderr
    assert result.exit_code == 1
    assert "process, row 41: audit.forged: row 41 was found not to be ours" in result.stderr
    lines = lines_of(file)
    lines[-1]["end"]["forged"] = []
    file.write_text("\n".join(json.dumps(line) for line in lines) + "\n")
    assert "export.forged" in said("verify", "--export", str(file)).stderr


def test_where_there_is_no_audit_nothing_is_exported(home: Path, tmp_path: Path) -> None:
    env = {"THROUGHLINE_DATABASE_URL": f"sqlite:///{tmp_path}/other.sqlite"}
    out = home / "none.jsonl"

    result = CliRunner(env=env).invoke(main, ["audit", "export", *NOVEMBER, "--out", str(out)])

    assert result.exit_code == 2
    assert "there is nothing to export" in result.stderr
    assert not out.exists()


def moved(rows: sa.Table) -> sa.Executable:
    """All rows of November, told to be of another month."""
    return sa.update(rows).where(rows.c.at >= "2025-11-01").values(at="2025-10-31T12:00:00")


def removed(rows: sa.Table) -> sa.Executable:
    """The end of November and whatever came after it."""
    return sa.delete(rows).where(rows.c.position > 30)


@pytest.mark.parametrize("tamper", [moved, removed])
def test_rows_that_were_taken_out_of_the_period_are_told_with_the_export(
    home: Path, store_url: str, tamper: Callable[[sa.Table], sa.Executable]
) -> None:
    store = Store(store_url)
    store.write_now(lambda connection: connection.execute(tamper(AUDIT["process"])))
    store.close()
    file = home / "november.jsonl"

    written = said("export", *NOVEMBER, "--tier", "process", "--out", str(file))
    result = said("verify", "--export", str(file))

    assert "the audit is not whole" in written.stderr
    assert result.exit_code == 1
    assert "process: audit.not-whole: at the export" in result.stderr
