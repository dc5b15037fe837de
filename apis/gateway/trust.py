"""Tokens of other issuers, checked as strictly as ours; their keys, fetched by policy alone.

Keys are read at start and every ten minutes, and for an unknown `kid` at most once a minute. The
last good set serves for a day while its address does not answer. No token says where to look.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from apis.gateway.issuers import Issuer, only, rows_of, said, secure, usable
from apis.gateway.policy import Client, ClientRows
from apis.gateway.tokens import LEEWAY_S, MOST_REMEMBERED, MOST_TOKEN_BYTES, Claims, opened, peeked
from apis.runtime.clock import Clock
from apis.runtime.log import get_logger
from apis.runtime.watching import watch

EVERY_S = 600.0
AGAIN_S = 60.0
KEPT_S = 86_400.0
LOOK_S = 1.0
LONGEST_S = 86_400
REMEMBERED_S = 300.0
MOST_BYTES = 1 << 18
LEAST_MODULUS = 342
"""The letters of the modulus of an RSA key of 2,048 bits."""
HEADERS = frozenset({"alg", "kid", "typ", "x5t", "x5t#S256", "nonce"})
"""What a header may hold: the last three are there at known issuers, and say nothing here."""
KINDS: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
log = get_logger(__name__)


class Ring:
    """The keys of one issuer."""

    def __init__(self, issuer: Issuer, http: httpx.AsyncClient, clock: Clock) -> None:
        self._issuer = issuer
        self._http = http
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._good_at = self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self.turn = 0
        """Counts the sets there were: what was checked with an earlier one is checked again."""

    def pick(self, kid: str | None) -> Key | None:
        """The key of this name, unless the set is too old."""
        fresh = self._clock.timestamp() - self._good_at <= KEPT_S
        return self._keys.get(kid or "") if fresh else None

    @property
    def due(self) -> bool:
        """Whether it is time to ask again."""
        gap = EVERY_S if self._keys else AGAIN_S
        return self._clock.timestamp() - self._asked_at >= gap

    async def sought(self, kid: str | None) -> Key | None:
        """The key of this name, asked for if it is unknown and nobody asked this minute."""
        async with self._asking:
            if (key := self.pick(kid)) is not None:
                return key
            if self._clock.timestamp() - self._asked_at >= AGAIN_S:
                await self.refresh()
        return self.pick(kid)

    async def refresh(self) -> None:
        """Ask for the keys; what cannot be had or used leaves the last good set."""
        self._asked_at = self._clock.timestamp()
        try:
            keys = keys_of(await self._document())
        except Exception as error:  # noqa: BLE001 - whatever it serves, the last good set is left
            told = type(error).__name__
            log.warning("issuer.keys-away", issuer=self._issuer.issuer, error=told)
            return
        if keys.keys() != self._keys.keys():
            self.turn += 1
        self._keys, self._good_at = keys, self._asked_at

    async def _document(self) -> Any:
        issuer, place = self._issuer, self._issuer.jwks
        if place is None:
            base = issuer.issuer.rstrip("/")
            told = await self._fetched(f"{base}/.well-known/openid-configuration")
            place = told.get("jwks_uri") if isinstance(told, dict) else None
            if not isinstance(place, str) or told.get("issuer") != issuer.issuer:
                msg = "the metadata is of another issuer"
                raise ValueError(msg)
        if place.startswith("file:"):
            text = await asyncio.to_thread(Path(place.removeprefix("file:")).read_bytes)
            return json.loads(text)
        return await self._fetched(place)

    async def _fetched(self, url: str) -> Any:
        if not secure(url):
            msg = "keys come over https"
            raise ValueError(msg)
        async with self._http.stream("GET", url) as answer:
            answer.raise_for_status()
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > MOST_BYTES:
                    msg = "the answer is too large"
                    raise ValueError(msg)
        return json.loads(body)


def keys_of(document: Any) -> dict[str, Key]:
    """The public keys of a set that may check signatures; ValueError where there are none."""
    told = document.get("keys") if isinstance(document, dict) else None
    found: dict[str, Key] = {}
    for each in told if isinstance(told, list) else ():
        with suppress(JoseError, ValueError, TypeError, KeyError, AttributeError):
            kind = KINDS[each["kty"]]
            if each.get("use", "sig") != "sig" or not isinstance(each["kid"], str):
                continue
            if kind is RSAKey and len(each["n"]) < LEAST_MODULUS:
                continue
            found[each["kid"]] = kind.import_key(each)
    if not found:
        msg = "there is no key that could be used"
        raise ValueError(msg)
    return found


class Rings:
    """The keys of all issuers, kept while the policy changes."""

    def __init__(self, http: httpx.AsyncClient, clock: Clock) -> None:
        self._http = http
        self._clock = clock
        self._rings: dict[tuple[str, str | None], Ring] = {}

    def of(self, issuer: Issuer) -> Ring:
        """The keys of one issuer."""
        place = issuer.issuer, issuer.jwks
        if place not in self._rings:
            self._rings[place] = Ring(issuer, self._http, self._clock)
        return self._rings[place]

    async def look(self) -> None:
        """Ask where it is time to."""
        await asyncio.gather(*[ring.refresh() for ring in self._rings.values() if ring.due])

    async def go(self) -> None:
        """Look for as long as the process lives."""
        await watch("issuers", self.look, LOOK_S, wait=self._clock.sleep)


class Trust:
    """Checks the tokens of the issuers of one policy."""

    def __init__(
        self,
        issuers: Mapping[str, Issuer],
        rings: Rings | None,
        clock: Clock,
        whole: frozenset[str] = frozenset(),
    ) -> None:
        self._clock = clock
        self._whole = whole
        """The scopes that open all of a system."""
        self._issuers = {
            issuer.issuer: (name, issuer, rings.of(issuer))
            for name, issuer in issuers.items()
            if rings is not None
        }
        self._known: dict[bytes, tuple[Claims, float, int]] = {}

    async def verify(self, token: bytes) -> Claims | None:
        """Give the claims of a token of a trusted issuer that is right in every respect."""
        if not self._issuers or len(token) > MOST_TOKEN_BYTES:
            return None
        told = peeked(token)
        iss = told[1].get("iss") if told else None
        known = self._issuers.get(iss) if isinstance(iss, str) else None
        if told is None or known is None:
            return None
        ring = known[2]
        digest, now = sha256(token).digest(), self._clock.timestamp()
        if (held := self._known.get(digest)) and held[1] > now and held[2] == ring.turn:
            return held[0]
        claims = await _checked(token, told[0].get("kid"), known, now, self._whole)
        if claims is not None:
            if len(self._known) >= MOST_REMEMBERED:
                del self._known[next(iter(self._known))]
            until = min(claims.exp + LEEWAY_S, now + REMEMBERED_S)
            self._known[digest] = claims, until, ring.turn
        return claims


async def _checked(
    token: bytes, kid: Any, known: tuple[str, Issuer, Ring], now: float, whole: frozenset[str]
) -> Claims | None:
    name, issuer, ring = known
    if not isinstance(kid, str):
        return None
    if ring.pick(kid) is None and await ring.sought(kid) is None:
        return None
    found = opened(token, ring.pick, list(issuer.algorithms), issuer.types, HEADERS)
    return _claims(name, issuer, found, now, whole) if found else None


class _Said(msgspec.Struct, frozen=True):
    """What every token says."""

    sub: str
    aud: str | list[str]
    exp: float
    iat: float = 0
    nbf: float = 0
    cnf: dict[str, str] | None = None


def _claims(
    name: str, issuer: Issuer, found: dict[str, Any], now: float, whole: frozenset[str]
) -> Claims | None:
    try:
        told = msgspec.convert(found, _Said)
    except msgspec.ValidationError:
        return None
    client = only(issuer.client, found)
    lives = now - LEEWAY_S < told.exp <= now + LONGEST_S + LEEWAY_S
    begun = 0 <= told.iat <= now + LEEWAY_S and told.nbf <= now + LEEWAY_S
    ours = issuer.audience in ([told.aud] if isinstance(told.aud, str) else told.aud)
    bound = told.cnf.get("x5t#S256") if told.cnf else None
    if told.cnf is not None and told.cnf.keys() != {"x5t#S256"}:
        return None  # bound to a key that nobody here could ask for
    if not (lives and begun and ours and client and usable(told.sub)):
        return None
    rows = rows_of(issuer, found)
    scopes, roles = said(issuer.scopes, found), said(issuer.roles, found)
    if rows is not None:  # a system knows nothing of rows
        scopes = tuple(scope for scope in scopes if scope not in whole)
    guest = Client(
        plan=issuer.plan,
        scopes=frozenset(scopes),
        roles=roles,
        rows=ClientRows(rows.customers, rows.entities) if rows is not None else None,
    )
    return Claims(
        client_id=f"{name}:{client}",
        sub=f"{name}:{told.sub}",
        scopes=scopes,
        person=only(issuer.person, found),
        exp=int(told.exp),
        iat=int(told.iat),
        jti="",
        bound=bound,
        guest=guest,
    )
