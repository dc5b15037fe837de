"""What the gateway itself costs a governed call: direct ASGI, a target that answers at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from apis.gateway.app import Edge, gateway_app
from apis.gateway.client_authentication import ensure_clients, load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.decisions import Decisions
from apis.gateway.documents import load_documents
from apis.gateway.idempotency import Idempotency
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People
from apis.gateway.policy import Recording, load_gateway
from apis.gateway.tokens import Tokens, signing_keys
from apis.gateway.uses import Uses
from apis.runtime.clock import Clock
from apis.runtime.limits import MemoryLimiter
from apis.runtime.permits import MemoryPermits
from apis.runtime.records import Records
from apis.runtime.store import Store
from tests.benchmarks.figures import Figure
from tests.benchmarks.hops import bare, sent, timed
from tests.benchmarks.product import home

ISSUER = "http://127.0.0.1:8080"
RUNS = "/process/deal-to-project/v1/runs"
BODY = json.dumps({"deal": {"system": "salesforce", "external_id": "006000000000001AAA"}}).encode()
NO_LIMIT = ("6000/min", "1000000/s")  # the count is kept, and never refuses


def edge() -> list[Figure]:
    """A read and a write through the shipped policy: token, scope, limits, body, log."""
    with home() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        policy = Path("gateway.yaml").read_text("utf-8").replace(*NO_LIMIT)
        found = runner.run(measured(folder, policy))
    return [
        Figure("gateway, GET, p50", found["GET"] - found["bare"], "us",
               beside=f"its target alone {found['bare']:.1f} us"),
        Figure("gateway, POST with a body, p50", found["POST"] - found["bare"], "us",
               beside=f"{len(BODY)} bytes, checked"),
    ]  # fmt: skip


async def measured(folder: Path, text: str) -> dict[str, float]:
    """The same target, with and without the gateway before it."""
    policy = compile_policy(load_gateway(text), load_documents(Path("contracts/published/openapi")))
    ensure_clients(folder, policy.gateway)
    clock = Clock()
    tokens = Tokens(signing_keys(None, folder), issuer=ISSUER, clock=clock)
    known = load_credentials(policy.gateway, folder)
    store = Store(f"sqlite:///{folder}/gateway.sqlite")  # never written: one client, no assertion
    oauth = AuthorizationServer(policy.gateway, known, tokens, store, Uses(store, clock))
    people = People({}, store, MemoryLimiter(), clock)
    around = Edge(
        ISSUER, clock, MemoryLimiter(), MemoryPermits, tokens, oauth, people, ready,
        lambda _line: None, Decisions(store, clock, Recording()),
        Idempotency(store, Records(), clock, 10),
    )  # fmt: skip
    app = gateway_app(policy, dict.fromkeys(policy.mounts, bare), around)
    client = policy.gateway.clients["demo"]
    token = tokens.issue("demo", client.scopes, roles=client.roles, person=client.person)
    get, post = scope("GET", RUNS, token), scope("POST", RUNS, token, BODY)
    seen: list[int] = []

    async def answered(message: dict[str, Any]) -> None:
        seen.append(message.get("status", 200))

    await app(dict(get), body(b""), answered)
    await app(dict(post), body(BODY), answered)
    if set(seen) != {200}:
        raise RuntimeError(f"the gateway answered {seen}")
    return {
        "bare": await timed(lambda: bare(get, body(b""), sent)),
        "GET": await timed(lambda: app(dict(get), body(b""), sent)),
        "POST": await timed(lambda: app(dict(post), body(BODY), sent)),
    }


async def ready() -> list[str]:
    """Always."""
    return []


def body(data: bytes) -> Callable[[], Any]:
    """A body that comes at once."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    return receive


def scope(method: str, path: str, token: str, data: bytes = b"") -> dict[str, Any]:
    """A call as the server hands it over."""
    headers = [
        (b"host", b"127.0.0.1:8080"),
        (b"authorization", f"Bearer {token}".encode()),
        (b"accept", b"application/json"),
    ]
    if data:
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(data)).encode()),
        ]
    return {
        "type": "http", "http_version": "1.1", "method": method, "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8080),
    }  # fmt: skip
