"""Who did what to which record: rows written with their effect, then chained and signed.

A row is sealed afterwards, by one leased sealer: its hash covers the row, its place and the hash
before it. The head is signed into a file outside the database, since a chain alone shows neither a
tail that was cut off nor a chain that was made anew.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from sqlalchemy import Column, Connection, RowMapping, Table

from apis.runtime.store import table
from contracts.errors import Misconfigured

GENESIS = "0" * 64
SIGN_EVERY = timedelta(minutes=1)
UNSEALED_AFTER = timedelta(seconds=5)
BATCH = 2_000
COVERED = (
    *("position", "previous", "seq", "at", "actor", "cause", "action", "object", "key"),
    *("connection", "before_hash", "after_hash", "detail"),
)
_encode = msgspec.json.Encoder(order="sorted").encode


def _audit(tier: str) -> Table:
    return table(
        tier,
        "audit",
        Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        Column("at", sa.String(32), nullable=False),
        Column("actor", sa.String(200), nullable=False),
        Column("cause", sa.String(400)),
        Column("action", sa.String(100), nullable=False),
        Column("object", sa.String(100)),
        Column("key", sa.String(400)),
        Column("connection", sa.String(100)),
        Column("before_hash", sa.String(64)),
        Column("after_hash", sa.String(64)),
        Column("detail", sa.Text, nullable=False),
        Column("position", sa.BigInteger, unique=True),
        Column("previous", sa.String(64), unique=True),
        Column("hash", sa.String(64)),
    )


AUDIT = {tier: _audit(tier) for tier in ("gateway", "system", "process", "experience")}
INSERT = {tier: sa.insert(rows).inline() for tier, rows in AUDIT.items()}


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a tier's chain at a moment; what is signed is all but the signature."""

    tier: str
    position: int
    hash: str
    at: str
    key: str
    signature: str = ""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a chain, and where it shows first."""

    tier: str
    code: str
    position: int | None = None
    detail: str


def digest(value: Any) -> str | None:
    """The hash that stands for a value in the audit; None for none."""
    return None if value is None else hashlib.sha256(_encode(value)).hexdigest()


def record(
    connection: Connection,
    tier: str,
    *,
    at: datetime,
    actor: str,
    action: str,
    cause: str | None = None,
    object: str | None = None,  # noqa: A002 - the column
    key: str | None = None,
    system: str | None = None,
    before: Any = None,
    after: Any = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write one row in the transaction of its effect; of `before` and `after` only hashes."""
    _refuse_floats(detail)
    row = {
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": actor,
        "cause": cause,
        "action": action,
        "object": object,
        "key": key,
        "connection": system,
        "before_hash": digest(before),
        "after_hash": digest(after),
        "detail": _encode(detail or {}).decode(),
    }
    connection.execute(INSERT[tier], row)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        msg = "an audit row holds no float: it has no one way of writing"
        raise TypeError(msg)
    for item in (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    ):
        _refuse_floats(item)


class Signer:
    """The key that signs heads: `$THROUGHLINE_HOME/audit.key`, made once, mode 600."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "audit"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._key = _key(home / "audit.key")
        self.public = self._key.public_key()
        self._last: dict[str, Head | None] = {}

    def heads(self, tier: str) -> Path:
        """The second place: one signed head a line."""
        return self._folder / f"{tier}.heads.jsonl"

    def sign(self, head: Head) -> None:
        """Append the head with its signature, and see it onto the disk."""
        head = msgspec.structs.replace(head, key=fingerprint(self.public))
        signature = base64.b64encode(self._key.sign(_signed(head))).decode()
        line = b"\n" + _encode(msgspec.structs.replace(head, signature=signature)) + b"\n"
        handle = os.open(self.heads(head.tier), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._last[head.tier] = head

    def last(self, tier: str) -> Head | None:
        """The head signed last; the file is read once, for one sealer writes it."""
        if tier not in self._last:
            heads = read_heads(self.heads(tier))
            self._last[tier] = max(heads, key=lambda head: head.position, default=None)
        return self._last[tier]


def _key(path: Path) -> Ed25519PrivateKey:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise Misconfigured("audit.key-open", f"others can read it: chmod 600 {path}") from None
        found = load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(found, Ed25519PrivateKey):
            raise Misconfigured("audit.key-wrong", f"{path} is no Ed25519 key") from None
        return found
    made = Ed25519PrivateKey.generate()
    with os.fdopen(handle, "wb") as file:
        file.write(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


def fingerprint(key: Ed25519PublicKey) -> str:
    """The name of a key in the heads it signed."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def _signed(head: Head) -> bytes:
    return _encode(msgspec.structs.replace(head, signature=""))


def read_heads(path: Path) -> list[Head]:
    """The heads of the second place; a line that cannot be read is a head nobody signed."""
    if not path.exists():
        return []
    return [_head(line) for line in path.read_bytes().splitlines() if line]


def _head(line: bytes) -> Head:
    try:
        return msgspec.json.decode(line, type=Head)
    except msgspec.DecodeError:
        return Head(tier="", position=0, hash="", at="", key="")


def seal(connection: Connection, tier: str, signer: Signer, now: datetime) -> int:
    """Chain the rows not chained yet; sign the head once a minute. The number of rows chained.

    The head signed is the one found at the beginning: what this transaction adds may still be
    rolled back, and a signed head that never was would look like a tail cut off.
    """
    rows = AUDIT[tier]
    position, previous = _end(connection, rows)
    last = signer.last(tier)
    due = last is None or not last.at or now - datetime.fromisoformat(last.at) >= SIGN_EVERY
    if position and due and (last is None or last.position < position):
        at = now.astimezone(UTC).isoformat(timespec="microseconds")
        signer.sign(Head(tier=tier, position=position, hash=previous, at=at, key=""))
    waiting = sa.select(rows).where(rows.c.position.is_(None)).order_by(rows.c.seq).limit(BATCH)
    changes = []
    for row in connection.execute(waiting).mappings():
        position += 1
        chained = {**row, "position": position, "previous": previous}
        previous = _hash(chained)
        changes.append(
            {"of": row["seq"], "p": position, "prev": chained["previous"], "h": previous}
        )
    if changes:
        bind = sa.bindparam
        change = rows.update().where(rows.c.seq == bind("of"))
        connection.execute(
            change.values(position=bind("p"), previous=bind("prev"), hash=bind("h")), changes
        )
    return len(changes)


def _end(connection: Connection, rows: Table) -> tuple[int, str]:
    last = sa.select(rows.c.position, rows.c.hash).where(rows.c.position.is_not(None))
    row = connection.execute(last.order_by(rows.c.position.desc()).limit(1)).first()
    return (row.position, row.hash) if row else (0, GENESIS)


def _hash(row: Any) -> str:
    return hashlib.sha256(_encode([row[name] for name in COVERED])).hexdigest()


def verify(
    connection: Connection, tier: str, heads: Path, key: Ed25519PublicKey, now: datetime
) -> list[Finding]:
    """Everything wrong with a tier's chain, the first place first; an empty list is good news."""
    signed = {head.position: head for head in read_heads(heads)}
    found = [
        Finding(tier=tier, code=code, position=position, detail=detail)
        for position, code, detail in (
            *_broken(connection, AUDIT[tier], signed, _moment(now - 2 * SIGN_EVERY)),
            *_forged(signed.values(), key),
            *_late(connection, AUDIT[tier], now),
        )
    ]
    return sorted(found, key=lambda finding: finding.position or 0)


Trouble = Iterator[tuple[int | None, str, str]]


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _broken(
    connection: Connection, rows: Table, signed: dict[int, Head], signed_by: str
) -> Trouble:
    place, previous, first = 0, GENESIS, signed_by
    for row in _sealed(connection, rows):
        place += 1
        first = min(first, row["at"])
        if row["position"] != place:
            yield place, "audit.missing", f"rows {place} to {row['position'] - 1} are not there"
            place = row["position"]
        elif row["previous"] != previous:
            yield place, "audit.broken", f"row {place} does not follow the row before it"
        if row["hash"] != _hash(row):
            yield place, "audit.changed", f"row {place} is not what was sealed"
        if place in signed and signed[place].hash != row["hash"]:
            yield place, "audit.rewritten", f"row {place} is not the one whose head was signed"
        previous = row["hash"]
    if first < signed_by and not signed:
        yield None, "audit.heads-missing", "rows are sealed and no head of them was signed"
    if signed and (last := max(signed)) > place:
        yield place + 1, "audit.cut", f"rows {place + 1} to {last} were signed and are not there"


def _sealed(connection: Connection, rows: Table) -> Iterator[RowMapping]:
    """All sealed rows in the order of their positions, fetched in parts."""
    place = sa.tuple_(rows.c.position, rows.c.seq)
    part = sa.select(rows).where(rows.c.position.is_not(None)).order_by(*place.clauses).limit(BATCH)
    found = connection.execute(part).mappings().all()
    while found:
        yield from found
        last = sa.tuple_(sa.literal(found[-1]["position"]), sa.literal(found[-1]["seq"]))
        found = connection.execute(part.where(place > last)).mappings().all()


def _forged(heads: Any, key: Ed25519PublicKey) -> Trouble:
    for head in heads:
        try:
            key.verify(base64.b64decode(head.signature), _signed(head))
        except (InvalidSignature, ValueError):
            yield head.position, "audit.head-forged", f"the head of row {head.position} is not ours"


def _late(connection: Connection, rows: Table, now: datetime) -> Trouble:
    before = _moment(now - UNSEALED_AFTER)
    late = sa.select(sa.func.count()).where(rows.c.position.is_(None), rows.c.at < before)
    if count := connection.execute(late).scalar_one():
        yield None, "audit.unsealed", f"{count} rows wait for their seal for over 5 s"
