"""Tokens and assertions that must be refused, by name, and the few that must not."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import string
from collections.abc import Callable
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

from tests.gateway.keys import Keys

FOREIGN = ECKey.generate_key("P-256", {"kid": "foreign"})
URL_SAFE = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def packed(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(key: Any, header: dict[str, Any], payload: Any, algorithm: str = "ES256") -> str:
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    registry.check_header = lambda _: None  # type: ignore[method-assign,assignment] # forgers do not check
    return jws.serialize_compact(header, json.dumps(payload), key, registry=registry)


def hs256(secret: bytes, header: dict[str, Any], payload: Any) -> str:
    text = f"{packed(header)}.{packed(payload)}"
    return f"{text}.{packed(hmac.digest(secret, text.encode(), 'sha256'))}"


def token(keys: Keys, name: str) -> str:
    """Make the access token a case names."""
    right = keys.token()
    head, body, _ = right.split(".")
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    public = keys.tokens.jwks()["keys"][0]
    ours = keys.tokens.signer
    if name in (plain := _unsigned(right, header, payload, keys)):
        return plain[name]
    headers: dict[str, dict[str, Any]] = {
        "crit": {"crit": ["x"], "x": 1},
        "header-jwk": {"jwk": FOREIGN.as_dict(private=False)},
        "header-jku": {"jku": "https://evil.example/keys"},
        "header-x5u": {"x5u": "https://evil.example/cert"},
        "kid-unknown": {"kid": "unknown"},
        "kid-path": {"kid": "../../../dev/null"},
        "kid-sql": {"kid": "' or 1=1 --"},
        "kid-missing": {"kid": None},
        "kid-number": {"kid": 1},
        "typ-jwt": {"typ": "JWT"},
        "typ-none": {"typ": None},
        "typ-capitals": {"typ": "AT+JWT"},
        "typ-list": {"typ": ["at+jwt"]},
        "typ-object": {"typ": {}},
    }
    if name in headers:
        made = {k: v for k, v in {**header, **headers[name]}.items() if v is not None}
        return signed(FOREIGN if name == "header-jwk" else ours, made, payload)
    if name == "foreign-key":
        return signed(FOREIGN, header, payload)
    if name == "es384":
        key = ECKey.generate_key("P-384", {"kid": public["kid"]})
        return signed(key, {**header, "alg": "ES384"}, payload, "ES384")
    if name in ("hs256-pem", "hs256-jwk"):
        known = ECKey.import_key(public).as_pem(private=False)
        secret = known if name == "hs256-pem" else json.dumps(public).encode()
        return hs256(secret, {**header, "alg": "HS256"}, payload)
    return signed(ours, header, _changed(keys, payload, name))


def _unsigned(right: str, header: Any, payload: Any, keys: Keys) -> dict[str, str]:
    head, body, signature = right.split(".")
    last = URL_SAFE[URL_SAFE.index(signature[-1]) ^ 1]
    made = {
        "right": right,
        "tampered": f"{head}.{packed({**payload, 'scope': 'admin'})}.{signature}",
        "stripped": f"{head}.{body}.",
        "swapped": f"{head}.{body}.{keys.token('reader').split('.')[2]}",
        "trailing": right + "A",
        "respelled": right[:-1] + last,
        "padded": right + "==",
    }
    for spelling in ("none", "NONE", "nOnE", ""):
        made[f"alg-{spelling or 'empty'}"] = f"{packed({**header, 'alg': spelling})}.{body}."
    without = {key: value for key, value in header.items() if key != "alg"}
    made["alg-missing"] = f"{packed(without)}.{body}.{signature}"
    return made


def _changed(keys: Keys, payload: dict[str, Any], name: str) -> Any:
    t = int(keys.clock.timestamp())
    changes: dict[str, dict[str, Any]] = {
        "expired": {"iat": t - 400, "nbf": t - 400, "exp": t - 31},
        "expired-20s": {"iat": t - 320, "nbf": t - 320, "exp": t - 20},
        "exp-none": {"exp": None},
        "exp-1e300": {"exp": 1e300},
        "exp-text": {"exp": str(t + 300)},
        "exp-true": {"exp": True},
        "exp-far": {"exp": t + 10 * 365 * 86400},
        "nbf-later": {"nbf": t + 600},
        "iat-tomorrow": {"iat": t + 86400, "exp": t + 86700},
        "iat-none": {"iat": None},
        "jti-none": {"jti": None},
        "sub-none": {"sub": None},
        "client-none": {"client_id": None},
        "aud-other": {"aud": "https://other.example"},
        "aud-two": {"aud": [keys.issuer, "https://other.example"]},
        "aud-none": {"aud": None},
        "iss-other": {"iss": "https://evil.example"},
        "client-unknown": {"client_id": "nobody", "sub": "nobody"},
    }
    if name == "payload-list":
        return [payload]
    return {k: v for k, v in {**payload, **changes[name]}.items() if v is not None}


def assertion(keys: Keys, name: str) -> str:
    """Make the client assertion a case names."""
    if name == "access-token":
        return keys.token("robot")
    key: Any = FOREIGN if name in ("stranger", "header-jwk") else keys.robot
    t = int(keys.clock.timestamp())
    header: dict[str, Any] = {"alg": "ES256", "typ": "JWT", "kid": keys.robot.kid}
    claims: dict[str, Any] = {
        "iss": "robot", "sub": "robot", "aud": keys.issuer, "iat": t, "exp": t + 60,
        "jti": secrets.token_hex(8),
    }  # fmt: skip
    changes: dict[str, dict[str, Any]] = {
        "aud-endpoint": {"aud": f"{keys.issuer}/oauth/token"},
        "aud-list": {"aud": ["https://other.example", keys.issuer]},
        "unknown": {"iss": "nobody", "sub": "nobody"},
        "clerk": {"iss": "clerk", "sub": "clerk"},
        "jti-none": {"jti": None},
        "jti-empty": {"jti": ""},
        "jti-half": {"jti": "\ud800"},
        "expired": {"exp": t - 31},
        "exp-none": {"exp": None},
        "exp-far": {"exp": t + 3600},
        "exp-text": {"exp": str(t + 60)},
        "exp-nan": {"exp": float("nan")},
        "nbf-later": {"nbf": t + 120},
        "aud-other": {"aud": "https://other.example"},
        "aud-none": {"aud": None},
        "iss-other": {"iss": "clerk"},
    }
    claims = {k: v for k, v in {**claims, **changes.get(name, {})}.items() if v is not None}
    special: dict[str, Callable[[], str]] = {
        "alg-none": lambda: f"{packed({**header, 'alg': 'none'})}.{packed(claims)}.",
        "hs256": lambda: hs256(
            keys.robot.as_pem(private=False), {**header, "alg": "HS256"}, claims
        ),
        "header-jwk": lambda: signed(
            key, {**header, "jwk": FOREIGN.as_dict(private=False)}, claims
        ),
    }  # fmt: skip
    if name in special:
        return special[name]()
    made = signed(key, header, claims)
    if name == "tampered":
        head, _, signature = made.split(".")
        return f"{head}.{packed({**claims, 'exp': t + 200})}.{signature}"
    return made
