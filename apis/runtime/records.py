"""Values that the engine keeps: `{type, version, data}` from a closed list, encrypted with a key.

The key is named by a reference; of several the first encrypts and all decrypt. Read back by the
stored type and version, never by annotation; older versions are lifted.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apis.runtime.references import secret
from contracts.canonical.identity import Ref, Source
from contracts.schemas import contracts
from contracts.versions import current, lift

PLAIN: dict[str, Any] = {
    "str": str, "int": int, "bool": bool, "Decimal": Decimal, "datetime": datetime, "date": date,
    "Ref": Ref, "Source": Source,
}  # fmt: skip
KEY = "THROUGHLINE_RECORDS_KEY"
NONCE = 12
SEALED = '{"sealed":"'
PLAIN_BYTES, SEALED_BYTES = b"o", b"s"
"""What bytes that are kept begin with."""


def keys_of(env: Mapping[str, str], home: Path) -> list[bytes]:
    """The keys that `THROUGHLINE_RECORDS_KEY` holds or refers to; ValueError for no base64."""
    named = [part.strip() for part in env.get(KEY, "").split(",")]
    keys = [secret(part, env, home).reveal() for part in named if part]
    return [base64.b64decode(key, validate=True) for key in keys]


class Records:
    """Writes and reads recorded values; a key is 32 bytes, none keeps them readable."""

    def __init__(self, *keys: bytes) -> None:
        self._types = PLAIN | contracts()
        self._names = {kind: name for name, kind in self._types.items()}
        self._ciphers = [AESGCM(key) for key in keys]

    @classmethod
    def from_env(cls, env: Mapping[str, str], home: Path) -> Records:
        """With the keys of `THROUGHLINE_RECORDS_KEY` (base64, or references to it), or without."""
        return cls(*keys_of(env, home))

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
        return {"type": name, "version": current(name), "data": msgspec.to_builtins(value)}

    def load(self, record: Mapping[str, Any] | None) -> Any:
        """The value of a stored form, as the current version of its type."""
        if record is None:
            return None
        if "sealed" in record:  # by releases that sealed each value, and not all that is kept
            record = msgspec.json.decode(self._opened(record["sealed"]))
        if record["type"] == "list":
            return [self.load(each) for each in record["data"]]
        data = lift(record["type"], record["version"], record["data"])
        return msgspec.convert(data, self._types[record["type"]], strict=False)

    def seal(self, text: str) -> str:
        """What may be kept of a text: with a key, nothing that can be read."""
        if not self._ciphers:
            return text
        nonce = os.urandom(NONCE)
        sealed = self._ciphers[0].encrypt(nonce, text.encode(), None)
        return SEALED + base64.b64encode(nonce + sealed).decode() + '"}'

    def unseal(self, kept: str) -> str:
        """The text again; what was kept before there was a key is itself."""
        if not kept.startswith(SEALED):
            return kept
        return self._opened(kept[len(SEALED) : -2]).decode()

    def sealed_bytes(self, data: bytes, of: str) -> bytes:
        """The stored form of bytes that belong to one row: elsewhere they cannot be opened."""
        if not self._ciphers:
            return PLAIN_BYTES + data
        nonce = os.urandom(NONCE)
        return SEALED_BYTES + nonce + self._ciphers[0].encrypt(nonce, data, of.encode())

    def unsealed_bytes(self, stored: bytes, of: str) -> bytes | None:
        """The bytes of a stored form; None where the key to them is gone or another."""
        kind, data = stored[:1], stored[1:]
        if kind == PLAIN_BYTES:
            return data
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(data[:NONCE], data[NONCE:], of.encode())
            except InvalidTag:  # sealed with another of the keys
                continue
        return None

    def _opened(self, sealed: str) -> bytes:
        data = base64.b64decode(sealed)
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(data[:NONCE], data[NONCE:], None)
            except InvalidTag:  # sealed with another of the keys
                continue
        msg = f"a recorded value is encrypted and no key of {KEY} opens it"
        raise ValueError(msg)
