"""Internal tokens: what one process of a deployment shows another (HS256, 60 s, one audience)."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Mapping

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from apis.runtime.context import Context
from contracts.errors import Rejected

LIFETIME_S = 60
RENEW_S = 15
CACHED = 2_000
UNAUTHORIZED = 401
REQUEST_KEY = "throughline-request-key"
DEADLINE = "throughline-deadline"
CAUSE = "throughline-cause"
DECIDED = "throughline-decided"


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What the token says; what differs per call travels in headers beside it."""

    aud: str
    exp: float
    ctx: Context


class InternalTokens:
    """Makes and checks internal tokens with the deployment's key; both are cached."""

    def __init__(self, key: bytes) -> None:
        self._key = OctKey.import_key(key)
        self._made: OrderedDict[tuple[str, Context], tuple[str, float]] = OrderedDict()
        self._seen: OrderedDict[bytes, Claims] = OrderedDict()

    def headers(self, context: Context, audience: str) -> dict[str, str]:
        """The headers of a call under `context` to `audience` (`tier/api`)."""
        lasting = msgspec.structs.replace(
            context,
            request_key=None,
            deadline=None,
            cause=None,
            request_id="",
            traceparent="",
            decided=None,
        )
        headers = {"Authorization": f"Bearer {self._token(lasting, audience)}"}
        if context.request_key:
            headers[REQUEST_KEY] = context.request_key
        if context.deadline is not None:
            headers[DEADLINE] = repr(context.deadline)
        if context.cause:
            headers[CAUSE] = context.cause
        if context.decided:
            headers[DECIDED] = context.decided
        if context.request_id:
            headers["X-Request-Id"] = context.request_id
        if context.traceparent:
            headers["traceparent"] = context.traceparent
        return headers

    def _token(self, context: Context, audience: str) -> str:
        now = time.time()
        made = self._made.get((audience, context))
        if made is None or made[1] < now + RENEW_S:
            claims = {
                "aud": audience,
                "exp": int(now) + LIFETIME_S,
                "ctx": msgspec.to_builtins(context),
            }
            made = (
                jwt.encode({"alg": "HS256", "typ": "internal+jwt"}, claims, self._key),
                now + LIFETIME_S,
            )
            self._made[audience, context] = made
            while len(self._made) > CACHED:
                self._made.popitem(last=False)
        return made[0]

    def context(self, headers: Mapping[str, str], audience: str) -> Context:
        """The context of a request; Rejected (401) without a valid token for this audience."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise self._refused("there is no internal token")
        digest = hashlib.sha256(token.encode()).digest()
        claims = self._seen.get(digest) or self._checked(token, digest)
        if claims.exp < time.time() or claims.aud != audience:
            raise self._refused("the internal token has expired or is meant for another app")
        deadline = headers.get(DEADLINE)
        return msgspec.structs.replace(
            claims.ctx,
            request_key=headers.get(REQUEST_KEY),
            deadline=float(deadline) if deadline else None,
            cause=headers.get(CAUSE),
            decided=headers.get(DECIDED),
            request_id=headers.get("x-request-id", ""),
            traceparent=headers.get("traceparent", ""),
        )

    def _checked(self, token: str, digest: bytes) -> Claims:
        try:
            decoded = jwt.decode(token, self._key, algorithms=["HS256"])
            if decoded.header.get("typ") != "internal+jwt":
                raise self._refused("this is no internal token")
            claims = msgspec.convert(decoded.claims, Claims)
        except (JoseError, ValueError, msgspec.ValidationError) as error:
            raise self._refused("the internal token is not ours") from error
        self._seen[digest] = claims
        while len(self._seen) > CACHED:
            self._seen.popitem(last=False)
        return claims

    def _refused(self, why: str) -> Rejected:
        return Rejected("invalid-token", why, status=UNAUTHORIZED)
