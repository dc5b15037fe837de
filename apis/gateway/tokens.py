"""Access tokens (RFC 9068, ES256): made here, checked here, a checked one remembered.

joserfc does the cryptography. What it lets pass (a missing kid, any typ, `exp` of 1e300, other
spellings of the same bytes) is refused here, before or after.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, KeySet

from apis.gateway.policy import FILE, NAMED, Client, PolicyError
from apis.runtime.clock import Clock

SIGNING = "home:signing.json"
ALGORITHM = "ES256"
TYPE = "at+jwt"
LIFETIME_S = 300
LONGEST_S = 600
LEEWAY_S = 30
SEEN_S = 5
"""After so long every process has seen a new signing key (`reloading.py` looks twice a second)."""
MOST_TOKEN_BYTES = 8_192
MOST_REMEMBERED = 10_000
HEADERS = frozenset({"alg", "kid", "typ"})
OLD_NAME = "EdDSA"
"""What issuers call Ed25519 (RFC 9864); joserfc warns of it."""


class Claims(msgspec.Struct, frozen=True):
    """What a checked token says."""

    client_id: str
    sub: str
    scopes: tuple[str, ...]
    person: str | None
    exp: int
    iat: int
    jti: str
    grant: str | None = None
    """What a person granted the client; None where the client acts for itself."""
    bound: str | None = None
    """The thumbprint of the client certificate without which it is not valid (RFC 8705)."""
    guest: Client | None = None
    """What the policy says of a client of another issuer."""


class _Confirmation(msgspec.Struct, frozen=True):
    x5t: str = msgspec.field(name="x5t#S256")


class _Payload(msgspec.Struct, frozen=True):
    iss: str
    aud: str | list[str]
    sub: str
    client_id: str
    scope: str
    jti: str
    exp: int
    iat: int
    nbf: int | None = None
    roles: tuple[str, ...] = ()
    person: str | None = None
    grant: str | None = None
    cnf: _Confirmation | None = None


def signing_keys(reference: str | None, home: Path) -> KeySet:
    """Load the keys `reference` names, or `$THROUGHLINE_HOME/signing.json`, made once."""
    if reference is None:
        path = home / "signing.json"
        if not path.exists():
            key = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
            write_private(path, json.dumps({"keys": [key.as_dict(private=True)]}))
        reference = SIGNING
    try:
        keys = KeySet.import_key_set(json.loads(read_secret(reference, home)))
    except (ValueError, LookupError, TypeError, OSError, JoseError) as error:
        raise PolicyError([f"{FILE}: signing: {error}"]) from error
    if not keys.keys or not all(_signs(key) for key in keys.keys):
        what = "private ES256 keys, each with a kid, are expected; the first of them signs"
        raise PolicyError([f"{FILE}: signing: {reference}: {what}"])
    return keys


def rotated(reference: str | None, home: Path, now: float) -> tuple[str, str]:
    """Put a new key before those there are; the kids of the new one and of the one it follows.

    The new one signs when every process has seen it. The old one is accepted until the last token
    it signed has ended, and then left out by the next rotation.
    """
    keys: list[Any] = signing_keys(reference, home).as_dict(private=True)["keys"]
    kind, _, name = (reference or SIGNING).partition(":")
    if kind == "env":
        raise PolicyError([f"{FILE}: signing: {reference} is rotated where it is set"])
    begins = now + SEEN_S
    made = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
    ends = {"exp": int(begins + LONGEST_S + LEEWAY_S) + 1}
    kept = [{**ends, **key} for key in keys if key.get("exp", inf) >= now]
    held = [{**made.as_dict(private=True), "nbf": int(begins)}, *kept]
    path = home / name if kind == "home" else Path(name)
    write_private(path, json.dumps({"keys": held}), replace=True)
    return str(made.kid), str(keys[0]["kid"])


def _moment(key: Key, name: str, otherwise: float) -> float:
    said: Any = key.get(name)
    return said if isinstance(said, int) else otherwise


def _signs(key: Key) -> bool:
    return isinstance(key, ECKey) and key.curve_name == "P-256" and bool(key.kid and key.is_private)


def read_secret(
    reference: str,
    home: Path,
    *,
    member: str = "",
    field: str = "client_secret",
    public: bool = False,
) -> str:
    """Read `env:NAME`, `file:/path` or `home:name`; of a file of many, a field of that member.

    `file:/path#client` names the member itself. ValueError when others may read a private file.
    """
    kind, _, name = reference.partition(":")
    if kind == "env":
        if not (value := os.environ.get(name)):
            msg = f"the environment has no {name}"
            raise ValueError(msg)
        return value
    if kind not in ("file", "home") or not name:
        raise ValueError(NAMED)
    name, _, named = name.partition("#")
    path = home / name if kind == "home" else Path(name)
    if path.stat().st_mode & 0o077 and not public:
        msg = f"{path} can be read by others: chmod 600"
        raise ValueError(msg)
    text = path.read_text().strip()
    member = named or (member if path.suffix == ".json" else "")
    if not text:
        msg = f"{path} is empty"
        raise ValueError(msg)
    if not member:
        return text
    held = json.loads(text)
    entry = held.get(member) if isinstance(held, dict) else None
    if not isinstance(entry, dict) or not entry.get(field):
        msg = f"{path} holds no {field} of {member}"
        raise ValueError(msg)
    return str(entry[field])


def write_private(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file that only we may read, whole or not at all; an existing one stays as it is."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    if replace:
        draft.replace(path)
        return
    try:
        os.link(draft, path)
    except FileExistsError:
        return  # another process was first
    finally:
        draft.unlink()


class Tokens:
    """Issues and checks the access tokens of one issuer, which is their audience as well."""

    def __init__(
        self, keys: KeySet, *, issuer: str, clock: Clock, lifetime_s: int = LIFETIME_S
    ) -> None:
        if not LIFETIME_S <= lifetime_s <= LONGEST_S:
            msg = f"a token lives {LIFETIME_S} to {LONGEST_S} seconds, not {lifetime_s}"
            raise ValueError(msg)
        self.issuer = issuer
        self.lifetime_s = lifetime_s
        self.clock = clock
        self._known: dict[bytes, Claims] = {}
        self._revoked: dict[str, float] = {}
        self.use(keys)

    def use(self, keys: KeySet) -> None:
        """Sign with the first of these keys whose time has come; accept what any of them signed."""
        self._keys = {str(key.kid): key for key in keys.keys}
        self._known.clear()

    @property
    def signer(self) -> Key:
        """The key that signs now: one that was just made is published for a while before."""
        now = self.clock.timestamp()
        keys = list(self._keys.values())
        return next((key for key in keys if _moment(key, "nbf", 0) <= now), keys[-1])

    def revoke(self, names: Mapping[str, float]) -> None:
        """Refuse the tokens of these identifiers and grants, known until the moment each has."""
        new = names.keys() - self._revoked.keys()
        if not new:
            return
        now = self.clock.timestamp()
        live = {**self._revoked, **names}.items()
        self._revoked = {name: until for name, until in live if until > now}
        for digest, claims in list(self._known.items()):
            if claims.jti in new or claims.grant in new:
                del self._known[digest]

    def jwks(self) -> dict[str, Any]:
        """Give the public keys, as `/.well-known/jwks.json` shows them."""
        now = self.clock.timestamp()
        live = (key for key in self._keys.values() if _moment(key, "exp", inf) >= now)
        return {"keys": [dict(key.as_dict(private=False)) for key in live]}

    def issue(
        self,
        client_id: str,
        scopes: Collection[str],
        *,
        roles: Collection[str] = (),
        person: str | None = None,
        **claims: Any,
    ) -> str:
        """Sign a token: for a client acting for itself, unless `claims` name a `sub`."""
        now = int(self.clock.timestamp())
        payload = {
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": client_id,
            "client_id": client_id,
            "scope": " ".join(sorted(scopes)),
            "roles": sorted(roles),
            "jti": secrets.token_urlsafe(16),
            "iat": now,
            "nbf": now,
            "exp": now + self.lifetime_s,
            **({"person": person} if person else {}),
            **claims,
        }
        key = self.signer
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
        return jwt.encode(header, payload, key, [ALGORITHM])

    def verify(self, token: bytes) -> Claims | None:
        """Give the claims of a token that is right in every respect, else None."""
        if len(token) > MOST_TOKEN_BYTES:
            return None
        digest = sha256(token).digest()
        now = self.clock.timestamp()
        if (known := self._known.get(digest)) is not None:
            return known if known.exp + LEEWAY_S > now else None
        found = opened(token, self._key, [ALGORITHM], (TYPE,))
        if found is None or (claims := self._claims(found, now)) is None:
            return None
        self._remember(digest, claims)
        return claims

    def remember(self, key: bytes, claims: Claims) -> None:
        """Know an API key as a token until these claims end."""
        if claims.jti not in self._revoked:
            self._remember(sha256(key).digest(), claims)

    def _remember(self, digest: bytes, claims: Claims) -> None:
        if len(self._known) >= MOST_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[digest] = claims

    def _key(self, kid: str | None) -> Key | None:
        key = self._keys.get(kid or "")
        return key if key and _moment(key, "exp", inf) >= self.clock.timestamp() else None

    def _claims(self, found: dict[str, Any], now: float) -> Claims | None:
        try:
            said = msgspec.convert(found, _Payload)
        except msgspec.ValidationError:
            return None
        right = (
            said.iss == self.issuer
            and said.aud in (self.issuer, [self.issuer])
            and now - LEEWAY_S < said.exp <= said.iat + LONGEST_S
            and said.iat <= now + LEEWAY_S
            and (said.nbf is None or said.nbf <= now + LEEWAY_S)
            and bool(said.jti and said.sub and said.client_id)
            and self._revoked.keys().isdisjoint((said.jti, said.grant or said.jti))
        )
        if not right:
            return None
        scopes = tuple(said.scope.split())
        bound = said.cnf.x5t if said.cnf else None
        return Claims(
            said.client_id, said.sub, scopes, said.person, said.exp, said.iat,
            said.jti, said.grant, bound,
        )  # fmt: skip


def opened(
    token: bytes,
    pick: Callable[[str | None], Key | None],
    algorithms: list[str],
    types: Collection[str | None],
    headers: frozenset[str] = HEADERS,
) -> dict[str, Any] | None:
    """Give the payload of a compact JWS whose form, header and signature are right, else None."""
    if (told := peeked(token)) is None:
        return None
    header, payload = told
    alg, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
    if not header.keys() <= headers or alg not in algorithms or kind not in types:
        return None
    key = pick(kid) if kid is None or isinstance(kid, str) else None
    if key is None:
        return None
    try:
        with warnings.catch_warnings() if alg == OLD_NAME else nullcontext():
            if alg == OLD_NAME:
                warnings.simplefilter("ignore", SecurityWarning)
            jws.deserialize_compact(token, key, algorithms)
    except (JoseError, ValueError):
        return None
    return payload


def peeked(token: bytes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Give header and payload of a token in its right form; nothing of it is believed yet."""
    try:
        header_part, payload_part, _ = (_plain(part) for part in token.split(b"."))
        header, payload = json.loads(header_part), json.loads(payload_part)
    except (ValueError, RecursionError):
        return None
    if not isinstance(header, dict) or not isinstance(payload, dict):
        return None
    return header, payload


def _plain(part: bytes) -> bytes:
    """Decode base64url in its one right spelling."""
    decoded = base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != part:
        raise ValueError
    return decoded
