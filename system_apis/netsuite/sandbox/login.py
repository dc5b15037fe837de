"""Who may call: tokens for a signed assertion, and requests that are each signed (OAuth 1.0a)."""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote

import msgspec
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_sessions import Sessions
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.netsuite.sandbox.errors import no_login, token_error

TOKEN = "/services/rest/auth/oauth2/v1/token"  # noqa: S105 - a path
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ["PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
ACCOUNT = "30000_SB1"
LIFE_S = 3600
LONGEST_ASSERTION_S = 3600
DRIFT_S = 300


def fresh_credentials() -> dict[str, str]:
    """Both ways in: a certificate of each kind, and a consumer with its token."""
    return {
        "account": ACCOUNT,
        "client_id": secrets.token_hex(32),
        "certificate_id": secrets.token_urlsafe(32),
        "private_key": ECKey.generate_key("P-256").as_pem(private=True).decode(),
        "rsa_certificate_id": secrets.token_urlsafe(32),
        "rsa_private_key": RSAKey.generate_key(2048).as_pem(private=True).decode(),
        "consumer_key": secrets.token_hex(32),
        "consumer_secret": secrets.token_hex(32),
        "token_id": secrets.token_hex(32),
        "token_secret": secrets.token_hex(32),
    }


class Login:
    """Issues access tokens, checks each request; both survive a restart."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.known = known = kit.credentials(fresh_credentials)
        self.keys: dict[str, Any] = {
            known["certificate_id"]: ECKey.import_key(known["private_key"]),
            known["rsa_certificate_id"]: RSAKey.import_key(known["rsa_private_key"]),
        }
        self.sessions = Sessions(kit)
        kit.db.execute("CREATE TABLE IF NOT EXISTS _nonces (nonce TEXT PRIMARY KEY, at REAL)")

    def grant(self, call: Call) -> Answer:
        """Answer the token endpoint."""
        form = call.form
        if form.get("grant_type") != "client_credentials":
            return token_error("unsupported_grant_type")
        if form.get("client_assertion_type") != JWT_BEARER:
            return token_error("invalid_request", "client_assertion_type is missing or invalid")
        try:
            refused = self._check(form.get("client_assertion", ""), call.origin + TOKEN)
        except (JoseError, ValueError, KeyError, TypeError):
            refused = "the assertion cannot be read or its signature does not hold"
        if refused:
            return token_error("invalid_client", refused, 401)
        token = "eyJraWQiOiJjLlNZU1RFTS4" + secrets.token_urlsafe(120)
        self.sessions.begin(token, LIFE_S)
        body = {"access_token": token, "expires_in": str(LIFE_S), "token_type": "bearer"}
        return Answer(200, msgspec.json.encode(body), {"content-type": "application/json"})

    def check(self, call: Call) -> None:
        """Refused unless somebody known calls."""
        scheme, rest = call.authorization
        if scheme == "OAuth":
            self._check_signature(call, rest)
            return
        if scheme != "Bearer" or not self.sessions.alive(rest):
            raise no_login()

    def _check(self, assertion: str, audience: str) -> str:
        """Why an assertion is refused, or nothing."""
        header = jws.extract_compact(assertion.encode()).headers()
        key = self.keys.get(str(header.get("kid")))
        if header.get("alg") not in ALGORITHMS or key is None:
            return "the algorithm is not allowed or the certificate is not known"
        claims = jwt.decode(assertion, key, algorithms=ALGORITHMS).claims
        scope = claims["scope"]
        asked = scope if isinstance(scope, list) else str(scope).replace(" ", "").split(",")
        now, issued, ends = self.kit.clock.timestamp(), float(claims["iat"]), float(claims["exp"])
        if claims["iss"] != self.known["client_id"] or "rest_webservices" not in asked:
            return "the client or the scope is not allowed"
        if claims["aud"] != audience:
            return "the audience is not this endpoint"
        early, late = self.kit.clock.drift_s(DRIFT_S), self.kit.clock.drift_s(0)
        if ends - issued >= LONGEST_ASSERTION_S or not issued - early <= now <= ends + late:
            return "the assertion is not within its validity period"
        return ""

    def _check_signature(self, call: Call, rest: str) -> None:
        parts = [part.strip().partition("=") for part in rest.split(",")]
        given = {name: unquote(value.strip('"')) for name, _, value in parts}
        signature, realm = given.pop("oauth_signature", ""), given.pop("realm", "")
        text = base_string(call, [*given.items(), *call.query.items()])
        key = f"{quoted(self.known['consumer_secret'])}&{quoted(self.known['token_secret'])}"
        wanted = b64encode(hmac.new(key.encode(), text.encode(), sha256).digest()).decode()
        known = {
            "oauth_consumer_key": self.known["consumer_key"],
            "oauth_token": self.known["token_id"],
            "oauth_signature_method": "HMAC-SHA256",
        }
        fresh = self._fresh(given.get("oauth_timestamp", ""), given.get("oauth_nonce", ""))
        same = all(given.get(name) == value for name, value in known.items())
        if realm != ACCOUNT or not same or not hmac.compare_digest(signature, wanted) or not fresh:
            raise no_login("INVALID_LOGIN_ATTEMPT")

    def _fresh(self, stamp: str, nonce: str) -> bool:
        now, drift = self.kit.clock.timestamp(), self.kit.clock.drift_s(DRIFT_S)
        if not stamp.isdecimal() or not nonce or abs(now - int(stamp)) > drift:
            return False
        self.kit.db.execute("DELETE FROM _nonces WHERE at<?", [now - 2 * DRIFT_S])
        used = "INSERT INTO _nonces VALUES (?, ?) ON CONFLICT DO NOTHING"
        return self.kit.db.execute(used, [nonce, now]).rowcount == 1


def base_string(call: Call, params: list[tuple[str, str]]) -> str:
    """What is signed of a request, as RFC 5849 says in section 3.4.1."""
    pairs = sorted((quoted(name), quoted(value)) for name, value in params)
    listed = "&".join(f"{name}={value}" for name, value in pairs)
    return "&".join(quoted(each) for each in (call.method, call.origin + call.path, listed))


def quoted(text: str) -> str:
    """A text as RFC 5849 encodes it."""
    return quote(text, safe="-._~")
