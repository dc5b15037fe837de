"""Token-based auth: each request signed as OAuth 1.0a says (RFC 5849), with HMAC-SHA256."""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from secrets import token_urlsafe
from urllib.parse import parse_qsl, urlsplit

from authlib.oauth1.rfc5849.parameters import prepare_headers
from authlib.oauth1.rfc5849.signature import construct_base_string
from authlib.oauth1.rfc5849.util import escape

PARTS = ("account", "consumer_key", "consumer_secret", "token_id", "token_secret")


def signed(credentials: Mapping[str, str], method: str, url: str, now: float) -> dict[str, str]:
    """The `Authorization` of one request: its query is signed, a JSON body is not."""
    given = [
        ("oauth_consumer_key", credentials["consumer_key"]),
        ("oauth_token", credentials["token_id"]),
        ("oauth_signature_method", "HMAC-SHA256"),
        ("oauth_timestamp", str(int(now))),
        ("oauth_nonce", token_urlsafe(24)),
        ("oauth_version", "1.0"),
    ]
    query = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    text = construct_base_string(method, url, [*given, *query])
    key = "&".join(escape(credentials[part]) for part in ("consumer_secret", "token_secret"))
    signature = b64encode(hmac.new(key.encode(), text.encode(), sha256).digest()).decode()
    made = prepare_headers([*given, ("oauth_signature", signature)], realm=realm(credentials))
    return {"Authorization": made["Authorization"]}


def realm(credentials: Mapping[str, str]) -> str:
    """The account id as OAuth wants it: `30000_SB1`, where the host says `30000-sb1`."""
    return credentials["account"].upper().replace("-", "_")
