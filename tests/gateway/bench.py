"""A gateway over one small published API, whose target tells what arrived."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import msgspec
from sqlalchemy import Connection

from apis.gateway.app import Edge, gateway_app
from apis.gateway.client_authentication import load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.decisions import Decisions
from apis.gateway.documents import load_documents
from apis.gateway.guard import ASGIApp, Receive, Scope, Send
from apis.gateway.idempotency import Idempotency
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People, hashed, load_passwords
from apis.gateway.policy import load_gateway
from apis.gateway.uses import Uses
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY
from apis.runtime.limits import MemoryLimiter
from apis.runtime.permits import MemoryPermits
from apis.runtime.records import Records
from apis.runtime.store import METADATA, Store
from contracts.errors import Throttled
from tests.gateway.failures import ANSWERS
from tests.gateway.keys import Keys

HERE = Path(__file__).parent
GATEWAY = (HERE / "gateway.yaml").read_text("utf-8")
ISSUER = "http://127.0.0.1:8080"
PASSWORD = "correct horse"
HASH = hashed(PASSWORD)
LEASE_S = 10.0
PEOPLE = json.dumps({name: {"password_hash": HASH} for name in ("ann", "bob", "demo-owner")})
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


class Bench(Keys):
    """The gateway and all that a test may turn."""

    def __init__(
        self,
        home: Path,
        text: str = GATEWAY,
        documents: Mapping[str, dict[str, Any]] | None = None,
        target: ASGIApp = echo,
    ) -> None:
        self.home = home
        self.target = target
        clock = Clock()
        clock.set(NOW)
        gateway = load_gateway(text)
        super().__init__(home, gateway, ISSUER, clock)
        (home / "people.json").write_text(PEOPLE)
        (home / "people.json").chmod(0o600)
        self.policy = compile_policy(gateway, documents or load_documents(HERE / "published"))
        self.store = Store(f"sqlite:///{home}/gateway.sqlite", pool=1)
        self.store.write_now(made)
        known = load_credentials(gateway, home)
        self.uses = Uses(self.store, self.clock)
        self.oauth = AuthorizationServer(gateway, known, self.tokens, self.store, self.uses)
        limiter = MemoryLimiter()
        passwords = load_passwords(gateway, home)
        self.people = People(passwords, self.store, limiter, self.clock, gateway.balancers)
        self.decisions = Decisions(self.store, self.clock, gateway.decisions)
        self.idempotency = Idempotency(self.store, Records(), self.clock, LEASE_S)
        self.missing: list[str] = []
        self.log: list[dict[str, Any]] = []
        self.edge = Edge(
            ISSUER, self.clock, limiter, cache(MemoryPermits), self.tokens, self.oauth,
            self.people, self.ready, self.log.append, self.decisions, self.idempotency,
        )  # fmt: skip
        self.serve()

    def serve(self) -> None:
        """Stand the gateway on what the edge is now."""
        targets = dict.fromkeys(self.policy.mounts, self.target)
        self.app = gateway_app(self.policy, targets, self.edge)
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url=ISSUER)

    async def ready(self) -> list[str]:
        return self.missing
