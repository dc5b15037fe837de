"""Public keys that somebody pastes: only those that an assertion (RFC 7523) is checked by."""

from __future__ import annotations

from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

MOST_KEYS = 4
MOST_KID = 100
SHORTEST_RSA = 2048
PRIVATE = "This holds a private key. We do not keep it; make a new pair and paste the public part."
KIND = "An EC key on P-256 or an RSA key of at least 2048 bits is needed."


def keys_of(text: str) -> tuple[list[dict[str, Any]], str]:
    """The keys of a JWK or a JWK set (RFC 7517), each with a kid; and what is wrong with them."""
    try:
        given = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return [], "This is no JSON."
    listed = given.get("keys", [given]) if isinstance(given, dict) else given
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        return [], "A JWK or a JWK set is needed: an object with `kty`, or with `keys`."
    if not 1 <= len(listed) <= MOST_KEYS:
        return [], f"At least one key, and at most {MOST_KEYS}."
    try:
        found = KeySet.import_key_set({"keys": listed}).keys
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return [], "This is no key that can be read."
    if any(key.is_private or key.key_type == "oct" for key in found):
        return [], PRIVATE
    if not all(_usable(key) for key in found):
        return [], KIND
    kept = [{**key.as_dict(private=False), "kid": key.kid or key.thumbprint()} for key in found]
    kids = [each["kid"] for each in kept]
    if any(not (isinstance(kid, str) and 0 < len(kid) <= MOST_KID and kid.isprintable()) for kid in kids):
        return [], f"A kid is a text of at most {MOST_KID} characters."
    if len(set(kids)) != len(kids):
        return [], "Two keys have the same kid."
    return kept, ""


def _usable(key: Any) -> bool:
    if isinstance(key, ECKey):
        return key.curve_name == "P-256"
    return isinstance(key, RSAKey) and key.public_key.key_size >= SHORTEST_RSA
