"""What callers of a gateway under test hold: its clients' secrets, and the keys it signs with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey

from apis.gateway.client_authentication import ensure_clients
from apis.gateway.policy import Gateway
from apis.gateway.tokens import Tokens, signing_keys
from apis.runtime.clock import Clock


class Keys:
    """The secrets of one gateway's home: enough to be let in, and to be refused with some art."""

    def __init__(self, home: Path, gateway: Gateway, issuer: str, clock: Clock) -> None:
        self.issuer, self.clock, self.clients = issuer, clock, gateway.clients
        self.robot = ECKey.generate_key("P-256", auto_kid=True)
        (home / "robot.json").write_text(json.dumps({"keys": [self.robot.as_dict(private=False)]}))
        ensure_clients(home, gateway)
        self.secrets: dict[str, str] = {
            name: entry["client_secret"]
            for name, entry in json.loads((home / "clients.json").read_bytes()).items()
        }
        self.tokens = Tokens(signing_keys(None, home), issuer=issuer, clock=clock)

    def token(self, client: str = "clerk", **claims: Any) -> str:
        known = self.clients[client]
        return self.tokens.issue(
            client, known.scopes, roles=known.roles, person=known.person, **claims
        )

    def bearer(self, client: str = "clerk", **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(client, **claims)}"}
