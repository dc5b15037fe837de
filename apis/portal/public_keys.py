"""Public keys that somebody pastes: only those that an assertion (RFC 7523) is checked by."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, RSAKey

MOST_KEYS = 4
MOST_KID = 100
SHORTEST_N = 342
"""2048 bits of an RSA modulus in base64url."""
PRIVATE = "This holds a private key. We do not keep it; make a new pair and paste the public part."
SHAPE = "A JWK or a JWK set is needed: an object with `kty`, or with `keys`."
COUNT = f"At least one key, and at most {MOST_KEYS}."
NAMES = f"Each key has a kid of its own, of at most {MOST_KID} characters."
KIND = "An EC key on P-256 or an RSA key of at least 2048 bits is needed."
UNREADABLE = "This is no key that can be read."
SECRET = re.compile(r'"(?:d|k)"\s*:|PRIVATE KEY')
"""What a private or shared key has in it, as JWK or PEM."""
OURS = {PRIVATE, SHAPE, COUNT, NAMES, KIND}


def keys_of(text: str) -> tuple[list[dict[str, Any]], str]:
    """The keys of a JWK or a JWK set (RFC 7517), each with a kid; and what is wrong with them."""
    if not text.strip():
        return [], SHAPE
    if SECRET.search(text):
        return [], PRIVATE
    try:
        return _kept(msgspec.json.decode(text)), ""
    except (msgspec.DecodeError, RecursionError):
        return [], "This is no JSON."
    except (JoseError, TypeError, KeyError, AttributeError):
        return [], UNREADABLE
    except ValueError as error:
        return [], str(error) if str(error) in OURS else UNREADABLE


def _kept(given: Any) -> list[dict[str, Any]]:
    listed = given.get("keys", [given]) if isinstance(given, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ValueError(SHAPE)
    if not 1 <= len(listed) <= MOST_KEYS:
        raise ValueError(COUNT)
    if any(
        each.get("kty") == "RSA" and len(str(each.get("n", ""))) < SHORTEST_N for each in listed
    ):
        raise ValueError(KIND)
    found: list[Any] = KeySet.import_key_set({"keys": listed}).keys
    if any(key.key_type == "oct" or key.is_private for key in found):
        raise ValueError(PRIVATE)
    if not all(map(_usable, found)):
        raise ValueError(KIND)
    kept = [{**key.as_dict(private=False), "kid": key.kid or key.thumbprint()} for key in found]
    kids = {each["kid"] for each in kept}
    if len(kids) != len(kept) or not all(
        len(kid) <= MOST_KID and kid.isprintable() for kid in kids
    ):
        raise ValueError(NAMES)
    return kept


def _usable(key: Any) -> bool:
    return isinstance(key, RSAKey) or (isinstance(key, ECKey) and key.curve_name == "P-256")
