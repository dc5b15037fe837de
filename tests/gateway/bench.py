"""A gateway over one small published API, whose target tells what arrived."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
from joserfc.jwk import ECKey
from sqlalchemy import Connection

from apis.gateway.app import Edge, gateway_app
from apis.gateway.client_authentication import ensure_clients, load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.guard import Receive, Scope, Send
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People, hashed, load_passwords
from apis.gateway.policy import load_documents, load_gateway
from apis.gateway.tokens import Tokens, signing_keys
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY
from apis.runtime.limits import MemoryLimiter
from apis.runtime.store import METADATA, Store
from contracts.errors import Throttled
from tests.gateway.failures import ANSWERS

HERE = Path(__file__).parent
ISSUER = "http://127.0.0.1:8080"
PASSWORD = "correct horse"
HASH = hashed(PASSWORD)
PEOPLE = json.dumps({name: {"password_hash": HASH} for name in ("ann", "bob")})
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer what arrived; some ids make it fail."""
    if answer := ANSWERS.get(scope["path"].rpartition("/")[2]):
        await answer(send)
        return
    if scope["path"] == "/orders/broken":
        raise RuntimeError("secret-canary")
    if scope["path"] == "/orders/throttled":
        raise Throttled("vendor.throttled", "The vendor is busy.", retry_after=7)
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    seen = {
        "path": scope["path"],
        "root_path": scope["root_path"],
        "raw_path": scope["raw_path"].decode(),
        "query": scope["query_string"].decode(),
        "body": body.decode(),
        "context": msgspec.to_builtins(scope[SCOPE_KEY]),
    }
    told = json.dumps(seen).encode()
    headers = [(b"content-type", b"application/json"), (b"X-Request-Id", b"not-ours")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


def made(connection: Connection) -> None:
    """The gateway's tables, in one transaction."""
    ours = [table for table in METADATA.sorted_tables if table.schema == "gateway"]
    METADATA.create_all(connection, ours, checkfirst=False)


class Bench:
    """The gateway and all that a test may turn."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.robot = ECKey.generate_key("P-256", auto_kid=True)
        (home / "robot.json").write_text(json.dumps({"keys": [self.robot.as_dict(private=False)]}))
        self.clock = Clock()
        self.clock.set(NOW)
        gateway = load_gateway((HERE / "gateway.yaml").read_text())
        ensure_clients(home, gateway)
        (home / "people.json").write_text(PEOPLE)
        (home / "people.json").chmod(0o600)
        self.secrets: dict[str, str] = {
            name: entry["client_secret"]
            for name, entry in json.loads((home / "clients.json").read_bytes()).items()
        }
        self.policy = compile_policy(gateway, load_documents(HERE / "published"))
        self.tokens = Tokens(signing_keys(None, home), issuer=ISSUER, clock=self.clock)
        self.store = Store(f"sqlite:///{home}/gateway.sqlite", pool=1)
        self.store.write_now(made)
        known = load_credentials(gateway, home)
        self.oauth = AuthorizationServer(gateway, known, self.tokens, self.store, self.clock)
        limiter = MemoryLimiter()
        self.people = People(load_passwords(gateway, home), self.store, limiter, self.clock)
        self.missing: list[str] = []
        self.log: list[dict[str, Any]] = []
        self.edge = Edge(
            ISSUER, self.clock, limiter, self.tokens, self.oauth, self.people, self.ready,
            self.log.append,
        )  # fmt: skip
        self.app = gateway_app(self.policy, dict.fromkeys(self.policy.mounts, echo), self.edge)
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url=ISSUER)

    async def ready(self) -> list[str]:
        return self.missing

    def token(self, client: str = "clerk", **claims: Any) -> str:
        known = self.policy.gateway.clients[client]
        return self.tokens.issue(
            client, known.scopes, roles=known.roles, person=known.person, **claims
        )

    def bearer(self, client: str = "clerk", **claims: Any) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(client, **claims)}"}
