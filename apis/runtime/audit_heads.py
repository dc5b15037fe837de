"""Signed heads: where each audit chain ended at a moment, kept outside the database.

A chain alone shows neither a tail that was cut off nor a chain that was made anew; a head does,
to whoever has it and the public half of the key.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import Any, TypeVar

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


S = TypeVar("S", bound=msgspec.Struct)


class Signer:
    """The key that signs heads (made once, mode 600) and the folder they are kept in.

    For each tier there are three files: the newest head, those that are kept, one a line, and what
    tells from which row on rows are marked.
    """

    def __init__(self, key: Path, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._key = _key(key)
        self.public = self._key.public_key()
        self._kept: dict[str, Head | None] = {}
        self._since: dict[str, Head] = {}

    def heads(self, tier: str) -> Path:
        """The second place: one signed head a line."""
        return heads_of(self.folder, tier)

    def sign(self, head: Head) -> Head:
        """The head signed, on the disk in the place of the newest; kept where nothing gives way."""
        head = self.signed(head)
        try:
            _replace(newest_of(self.folder, head.tier), head)
        except OSError:
            self.keep(head)
        return head

    def newest(self, tier: str) -> Head | None:
        """The head signed last, by whichever process; what cannot be read is none of ours."""
        path = newest_of(self.folder, tier)
        if not path.exists():
            return self.kept(tier)
        found = read_heads(path)
        return found[-1] if found and genuine(found[-1], self.public) else None

    def keep(self, head: Head) -> None:
        """Append a signed head to those that stay, and see it onto the disk; once is enough."""
        if self.kept(head.tier) == head:
            return
        _append(self.heads(head.tier), head)
        self._kept[head.tier] = head

    def kept(self, tier: str) -> Head | None:
        """The head kept last; the file is read once, for one sealer writes it."""
        if tier not in self._kept:
            heads = read_heads(self.heads(tier))
            self._kept[tier] = heads[-1] if heads else None
        return self._kept[tier]

    def begin(self, head: Head) -> None:
        """Tell, once, that all rows after this place are marked."""
        head = self.signed(msgspec.structs.replace(head, tier=marked(head.tier)))
        _append(since_of(self.folder, head.tier.split()[0]), head)

    def since(self, tier: str) -> Head | None:
        """The place after which all rows are marked; the file is read until it is there."""
        if tier not in self._since and (found := told_since(self.folder, tier, self.public)):
            self._since[tier] = found
        return self._since.get(tier)

    def signed(self, what: S) -> S:
        """The same with the key's name and signature: all but the signature is signed."""
        what = msgspec.structs.replace(what, key=fingerprint(self.public))
        signature = base64.b64encode(self._key.sign(_signed(what))).decode()
        return msgspec.structs.replace(what, signature=signature)


def heads_of(folder: Path, tier: str) -> Path:
    """The file of a tier's heads that are kept."""
    return folder / f"{tier}.heads.jsonl"


def newest_of(folder: Path, tier: str) -> Path:
    """The file of a tier's newest head."""
    return folder / f"{tier}.head.json"


def since_of(folder: Path, tier: str) -> Path:
    """The file that tells from which row on a tier's rows are marked."""
    return folder / f"{tier}.marked.json"


def marked(tier: str) -> str:
    """How a head is told from what is signed of the marks."""
    return f"{tier} marked"


def told_since(folder: Path, tier: str, key: Ed25519PublicKey) -> Head | None:
    """The place after which all rows are marked, where the key signed it."""
    told = read_heads(since_of(folder, tier))
    ours = (each for each in told if each.tier == marked(tier) and genuine(each, key))
    return next(ours, None)


def _append(path: Path, head: Head) -> None:
    """Add a line to a file, and see it onto the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "ab") as file:
        file.write(b"\n" + _encode(head) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _replace(path: Path, head: Head) -> None:
    """Put a line in the place of a file, whole or not at all, and see it onto the disk."""
    draft = path.with_name(f".{path.name}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(_encode(head) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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


def genuine(what: Any, key: Ed25519PublicKey) -> bool:
    """Whether the key signed this, a head or another struct with a signature, as it stands."""
    try:
        key.verify(base64.b64decode(what.signature), _signed(what))
    except (InvalidSignature, ValueError):
        return False
    return True


def _signed(what: msgspec.Struct) -> bytes:
    return _encode(msgspec.structs.replace(what, signature=""))


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
