"""`python -m tests.benchmarks.governed --port N --upstream URL`: what is measured.

A process of its own, as `throughline serve gateway` is one: the same server, pipeline, tokens,
limits and log, over a policy with one API. It prints a token for it when it listens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

from apis.gateway.app import Edge, gateway_app
from apis.gateway.client_authentication import ensure_clients, load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.decisions import Decisions
from apis.gateway.idempotency import Idempotency
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People
from apis.gateway.policy import load_gateway
from apis.gateway.tokens import Tokens, signing_keys
from apis.gateway.upstream import Upstream
from apis.gateway.uses import Uses
from apis.runtime import log
from apis.runtime.caps import Caps
from apis.runtime.clock import Clock
from apis.runtime.limits import MemoryLimiter
from apis.runtime.log import LineWriter
from apis.runtime.migrations import lift
from apis.runtime.permits import MemoryPermits
from apis.runtime.records import Records
from apis.runtime.server import Door, kept_as_made, server_of
from apis.runtime.sockets import opened
from apis.runtime.store import Store
from tests.benchmarks.product import home

POLICY = """
version: 1
plans: {internal: {rate: 100000/s}}
clients:
  bench: {plan: internal, secret: "home:clients.json", scopes: [orders.write]}
apis:
  experience:
    orders:
      app: "bench:app"
      scopes: {orders.write: [createOrder]}
"""
NAME = {"type": "string", "minLength": 1, "maxLength": 200}
CLOSED = {"type": "object", "additionalProperties": False}
ADDRESS = {**CLOSED, "required": ["street", "city", "country"],
           "properties": {"street": NAME, "city": NAME, "zip": NAME,
                          "country": {"type": "string", "pattern": "^[A-Z]{2}$"}}}  # fmt: skip
LINE = {**CLOSED, "required": ["sku", "quantity", "price"],
        "properties": {"sku": NAME, "quantity": {"type": "integer", "minimum": 1},
                       "price": {"type": "string", "pattern": r"^[0-9]+\.[0-9]{2}$"},
                       "description": NAME}}  # fmt: skip
ORDER = {**CLOSED, "required": ["customer", "currency", "lines"],
         "properties": {"customer": NAME, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                        "reference": NAME, "note": {"type": "string", "maxLength": 1000},
                        "ship_to": ADDRESS, "bill_to": ADDRESS,
                        "lines": {"type": "array", "minItems": 1, "items": LINE}}}  # fmt: skip
OK = {"200": {"description": "OK", "content": {"application/json": {"schema": {"type": "object"}}}}}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Orders", "version": "1.0.0"},
    "paths": {
        "/orders": {"post": {
            "operationId": "createOrder", "responses": OK,
            "requestBody": {"required": True, "content": {"application/json": {"schema": ORDER}}},
        }},
    },
}  # fmt: skip
ORDER_BYTES = 1_040


def order() -> bytes:
    """An order of 1,040 bytes."""
    street = {"street": "Speicherstadt 14", "city": "Hamburg", "zip": "20457", "country": "DE"}
    line = {
        "sku": "SRV-1001",
        "quantity": 8,
        "price": "145.50",
        "description": "Consulting, senior",
    }
    made = {"customer": "CUST-004711", "currency": "EUR", "reference": "PO-2026-0815",
            "ship_to": street, "bill_to": street, "lines": [line] * 5, "note": ""}  # fmt: skip
    short = ORDER_BYTES - len(json.dumps(made))
    return json.dumps(made | {"note": "x" * short}).encode()


async def serve(upstream: str, folder: Path, port: int) -> None:
    """Be the gateway until the end."""
    issuer = f"http://127.0.0.1:{port}"
    policy = compile_policy(load_gateway(POLICY), {"experience/orders/v1": DOCUMENT})
    ensure_clients(folder, policy.gateway)
    clock, store = Clock(), Store(f"sqlite:///{folder}/gateway.sqlite")
    lift(store)
    tokens = Tokens(signing_keys(None, folder), issuer=issuer, clock=clock, lifetime_s=600)
    known = load_credentials(policy.gateway, folder)
    oauth = AuthorizationServer(policy.gateway, known, tokens, store, Uses(store, clock))
    people, decisions = (
        People({}, store, MemoryLimiter(), clock),
        Decisions(store, clock, policy.gateway.decisions),
    )
    with (folder / "gateway.log").open("w") as calls, opened("127.0.0.1", port) as door:
        write = LineWriter(calls).write
        edge = Edge(
            issuer, clock, MemoryLimiter(), MemoryPermits, tokens, oauth, people, ready, write,
            decisions, Idempotency(store, Records(), clock, 10),
        )  # fmt: skip
        app = gateway_app(policy, {"experience/orders/v1": Upstream(upstream)}, edge)
        server = server_of(app, [Door(door)], issuer=issuer, caps=Caps())
        sys.stdout.write(tokens.issue("bench", policy.gateway.clients["bench"].scopes) + "\n")
        sys.stdout.flush()
        kept_as_made()
        recording = asyncio.create_task(decisions.go())
        await server.serve()
        recording.cancel()


async def ready() -> list[str]:
    """Always."""
    return []


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    asked = parser.parse_args()
    log.setup("WARNING")
    with home() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(asked.upstream, folder, asked.port))


if __name__ == "__main__":
    main()
