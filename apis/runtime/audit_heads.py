"""Signed heads: where each audit chain ended at a moment, kept outside the database.

A chain alone shows neither a tail that was cut off nor a chain that was made anew; a head does,
to whoever has it and the public half of the key.
"""

from __future__ import annotations

import base64
import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from apis.runtime.settings import made_once
from contracts.errors import Misconfigured

_encode = msgspec.json.Encoder(order="sorted").encode


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a tier's chain at a moment; what is signed is all but the signature."""

    tier: str
    position: int
    hash: str
    at: str
    key: str
    signature: str = ""


class Signer:
    """The key that signs heads (made once, mode 600) and the folder they are kept in."""

    def __init__(self, key: Path, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = _key(key)
        self.public = self._key.public_key()
        self._last: dict[str, Head | None] = {}
        self._behind: set[str] = set()

    def heads(self, tier: str) -> Path:
        """The second place: one signed head a line."""
        return heads_of(self.folder, tier)

    def sign(self, head: Head) -> None:
        """Append the head with its signature, and see it onto the disk."""
        line = b"\n" + _encode(self.signed(head)) + b"\n"
        handle = os.open(self.heads(head.tier), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(handle, "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self._last[head.tier] = head
        self._behind.discard(head.tier)

    def signed(self, head: Head) -> Head:
        """The head with the key's name and signature."""
        head = msgspec.structs.replace(head, key=fingerprint(self.public))
        signature = base64.b64encode(self._key.sign(_signed(head))).decode()
        return msgspec.structs.replace(head, signature=signature)

    def behind(self, tier: str) -> bool:
        """Whether rows were chained so late that their head is due at once."""
        return tier in self._behind

    def chained(self, tier: str, at: str, late: datetime) -> None:
        """A row of that moment was chained; before `late` its head should stand already."""
        if at < late.astimezone(UTC).isoformat(timespec="microseconds"):
            self._behind.add(tier)

    def last(self, tier: str) -> Head | None:
        """The head signed last; the file is read once, for one sealer writes it."""
        if tier not in self._last:
            heads = read_heads(self.heads(tier))
            self._last[tier] = max(heads, key=lambda head: head.position, default=None)
        return self._last[tier]


def heads_of(folder: Path, tier: str) -> Path:
    """The file of a tier's heads."""
    return folder / f"{tier}.heads.jsonl"


def _key(path: Path) -> Ed25519PrivateKey:
    text = made_once(path, _new_key)
    if path.stat().st_mode & 0o077:
        raise Misconfigured("audit.key-open", f"others can read it: chmod 600 {path}")
    found = load_pem_private_key(text, password=None)
    if not isinstance(found, Ed25519PrivateKey):
        raise Misconfigured("audit.key-wrong", f"{path} is no Ed25519 key")
    return found


def _new_key() -> bytes:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_key(path: Path) -> Ed25519PublicKey | None:
    """Our half that checks signatures, or None where nothing was ever signed."""
    if not path.exists():
        return None
    key = load_pem_private_key(path.read_bytes(), password=None)
    return key.public_key() if isinstance(key, Ed25519PrivateKey) else None


def fingerprint(key: Ed25519PublicKey) -> str:
    """The name of a key in the heads it signed."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def genuine(head: Head, key: Ed25519PublicKey) -> bool:
    """Whether the key signed this head as it stands."""
    try:
        key.verify(base64.b64decode(head.signature), _signed(head))
    except (InvalidSignature, ValueError):
        return False
    return True


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
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Head(tier="", position=0, hash="", at="", key="")
