"""The token endpoint: client credentials. A token lives until it is revoked."""

from __future__ import annotations

import hmac
import secrets

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_sessions import Sessions
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.kantata.sandbox.errors import answered, oauth_error, unauthorized


def fresh_credentials() -> dict[str, str]:
    """What a new tenant's integration is known by."""
    return {"client_id": secrets.token_hex(32), "client_secret": secrets.token_hex(32)}


class Tokens:
    """Issues access tokens and knows which are alive; they survive a restart."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.app = kit.credentials(fresh_credentials)
        self.sessions = Sessions(kit)

    def grant(self, call: Call) -> Answer:
        """Answer `POST /oauth/token`."""
        form = call.form
        if form.get("grant_type") != "client_credentials":
            told = "The authorization grant type is not supported by the authorization server."
            return oauth_error(400, "unsupported_grant_type", told)
        if not self._known(*call.client(form)):
            return oauth_error(401, "invalid_client", "Client authentication failed")
        token = secrets.token_hex(32)
        self.sessions.begin(token)
        body = {"access_token": token, "token_type": "bearer", "scope": "api_only"}
        return answered(200, body | {"created_at": int(self.kit.clock.timestamp())})

    def revoke(self, call: Call) -> Answer:
        """Answer `POST /oauth/revoke`."""
        self.sessions.end(call.form.get("token", ""))
        return answered(200, {})

    def check(self, call: Call) -> None:
        """Refused unless the call carries a token that is alive."""
        scheme, token = call.authorization
        if scheme != "Bearer" or not self.sessions.alive(token):
            raise unauthorized()

    def _known(self, client: str, secret: str) -> bool:
        right = hmac.compare_digest(secret.encode(), self.app["client_secret"].encode())
        return client == self.app["client_id"] and right
