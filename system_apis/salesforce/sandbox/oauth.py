"""The token endpoint: client credentials and JWT bearer, as an External Client App gets them."""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_sessions import Sessions
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.salesforce.sandbox.errors import (
    ODD_SESSIONS,
    SESSION,
    Refused,
    json_answer,
    oauth_error,
)

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SHARED_HOSTS = ("login.", "test.")
LONGEST_ASSERTION_S = 300
SESSION_S = 7200


def fresh_credentials() -> dict[str, str]:
    """What a new org's integration app is known by."""
    return {
        "client_id": "3MVG9Tl" + secrets.token_urlsafe(40),
        "client_secret": secrets.token_hex(32).upper(),
        "username": "integration@throughline.example",
        "private_key": RSAKey.generate_key(2048).as_pem(private=True).decode(),
    }


class Tokens:
    """Issues access tokens and knows which are alive; they survive a restart."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.app = kit.credentials(fresh_credentials)
        self.key = RSAKey.import_key(
            RSAKey.import_key(self.app["private_key"]).as_pem(private=False)
        )
        self.sessions = Sessions(kit)

    def grant(self, call: Call, organization: str, user: str) -> Answer:
        """Answer `POST /services/oauth2/token`."""
        form = call.form | call.query
        match form.get("grant_type"):
            case "client_credentials":
                refused = self._check_secret(call, form)
            case kind if kind == JWT_BEARER:
                refused = self._check_assertion(form.get("assertion", ""), call.origin)
            case None:
                refused = oauth_error("invalid_request", "must provide grant_type")
            case _:
                refused = oauth_error("unsupported_grant_type", "grant type not supported")
        return refused or self._issue(call, organization, user)

    def check(self, call: Call) -> None:
        """Refused unless the call carries a token that is alive."""
        odd = ODD_SESSIONS.get(str(self.kit.settings.get("odd_session")))
        if odd:
            raise Refused("INVALID_SESSION_ID", odd, status=401)
        scheme, token = call.authorization
        if scheme not in {"Bearer", "OAuth"} or not token:
            raise Refused("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", status=401)
        if not self.sessions.alive(token):
            raise Refused("INVALID_SESSION_ID", SESSION, status=401)

    def _issue(self, call: Call, organization: str, user: str) -> Answer:
        token = f"{organization[:15]}!AQ{secrets.token_urlsafe(60)}"
        self.sessions.begin(token, float(self.kit.settings.get("session_s", SESSION_S)))
        body = {
            "access_token": token,
            "scope": "api",
            "instance_url": call.origin,
            "id": f"https://login.salesforce.com/id/{organization}/{user}",
            "token_type": "Bearer",
        }
        return json_answer(200, body)

    def _check_secret(self, call: Call, form: dict[str, str]) -> Answer | None:
        if call.headers.get("host", "").startswith(SHARED_HOSTS):
            text = "request not supported on this domain"
            return oauth_error("invalid_grant", text)
        client, secret = call.client(form)
        if client != self.app["client_id"]:
            return oauth_error("invalid_client_id", "client identifier invalid")
        if not hmac.compare_digest(secret.encode(), self.app["client_secret"].encode()):
            return oauth_error("invalid_client", "invalid client credentials")
        return None

    def _check_assertion(self, assertion: str, origin: str) -> Answer | None:
        try:
            claims = jwt.decode(assertion, self.key, algorithms=["RS256"]).claims
            expires = float(claims["exp"])  # a string is taken too: simple-salesforce sends one
        except (JoseError, ValueError, KeyError, TypeError):
            return oauth_error("invalid_grant", "invalid assertion")
        if claims.get("iss") != self.app["client_id"]:
            return oauth_error("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != self.app["username"]:
            return oauth_error("invalid_grant", "user hasn't approved this consumer")
        if not _is_audience(str(claims.get("aud")), origin):
            return oauth_error("invalid_grant", "audience is invalid")
        now, early = self.kit.clock.timestamp(), self.kit.clock.drift_s(1)
        late = self.kit.clock.drift_s(LONGEST_ASSERTION_S)
        if not now - early <= expires <= now + late:
            return oauth_error("invalid_grant", "assertion is not within the validity period")
        return None


def _is_audience(claimed: str, origin: str) -> bool:
    host = urlsplit(claimed).hostname or ""
    return claimed.rstrip("/") == origin or host.endswith(".salesforce.com")
