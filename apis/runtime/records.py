"""Values that the engine keeps: `{type, version, data}` from a closed list, encrypted with a key.

Read back by the stored type and version, never by annotation; older versions are lifted.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.canonical.identity import Ref, Source
from contracts.schemas import contracts
from contracts.versions import current, lift

PLAIN: dict[str, Any] = {
    "str": str, "int": int, "bool": bool, "Decimal": Decimal, "datetime": datetime, "date": date,
    "Ref": Ref, "Source": Source,
}  # fmt: skip
KEY = "THROUGHLINE_RECORDS_KEY"
NONCE = 12
OPEN, SEALED = b"o", b"s"
"""What bytes that are kept begin with."""


class Records:
    """Writes and reads recorded values; `key` is 32 bytes, or None to keep them readable."""

    def __init__(self, key: bytes | None = None) -> None:
        self._types = PLAIN | contracts()
        self._names = {kind: name for name, kind in self._types.items()}
        self._cipher = AESGCM(key) if key else None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Records:
        """With the key in `THROUGHLINE_RECORDS_KEY` (base64, 32 bytes) or without one."""
        return cls(base64.b64decode(env[KEY]) if env.get(KEY) else None)

    def dump(self, value: object) -> dict[str, Any] | None:
        """The stored form of a value; TypeError for a type that is not on the list."""
        if value is None:
            return None
        if isinstance(value, (list, tuple)):
            return {"type": "list", "data": [self.dump(each) for each in value]}
        name = self._names.get(type(value))
        if name is None:
            msg = f"{type(value).__name__} cannot be recorded: it is no contract"
            raise TypeError(msg)
        record = {"type": name, "version": current(name), "data": msgspec.to_builtins(value)}
        return self._sealed(record) if self._cipher else record

    def load(self, record: Mapping[str, Any] | None) -> Any:
        """The value of a stored form, as the current version of its type."""
        if record is None:
            return None
        if "sealed" in record:
            record = self._opened(record["sealed"])
        if record["type"] == "list":
            return [self.load(each) for each in record["data"]]
        data = lift(record["type"], record["version"], record["data"])
        return msgspec.convert(data, self._types[record["type"]], strict=False)

    def sealed(self, data: bytes, of: str) -> bytes:
        """The stored form of bytes that belong to one row: elsewhere they cannot be opened."""
        if self._cipher is None:
            return OPEN + data
        nonce = os.urandom(NONCE)
        return SEALED + nonce + self._cipher.encrypt(nonce, data, of.encode())

    def unsealed(self, stored: bytes, of: str) -> bytes | None:
        """The bytes of a stored form; None where the key to them is gone or another."""
        kind, data = stored[:1], stored[1:]
        if kind == OPEN:
            return data
        if self._cipher is None:
            return None
        try:
            return self._cipher.decrypt(data[:NONCE], data[NONCE:], of.encode())
        except InvalidTag:
            return None

    def _sealed(self, record: Mapping[str, Any]) -> dict[str, Any]:
        assert self._cipher is not None  # noqa: S101 - for the type checker
        nonce = os.urandom(NONCE)
        text = self._cipher.encrypt(nonce, msgspec.json.encode(record), None)
        return {"sealed": base64.b64encode(nonce + text).decode()}

    def _opened(self, sealed: str) -> dict[str, Any]:
        if self._cipher is None:
            msg = f"a recorded value is encrypted and {KEY} is not set"
            raise ValueError(msg)
        data = base64.b64decode(sealed)
        opened: dict[str, Any] = msgspec.json.decode(
            self._cipher.decrypt(data[:NONCE], data[NONCE:], None)
        )
        return opened
