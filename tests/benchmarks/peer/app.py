"""The same governed call as a team would write it with FastAPI, tuned: what stands beside ours.

Run by a virtual environment of its own with what `requirements.txt` pins.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging.handlers import MemoryHandler
from typing import Annotated

import httpx
import jwt
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field, constr

UPSTREAM, ISSUER = os.environ["UPSTREAM"], os.environ["ISSUER"]
KEY = os.environ["PUBLIC_KEY"]
Name = Annotated[str, constr(min_length=1, max_length=200)]
RATE = 100_000.0
CACHE: dict[str, tuple[float, str, frozenset[str]]] = {}
BUCKETS: dict[str, tuple[float, float]] = {}
FILE = MemoryHandler(
    256, flushLevel=logging.CRITICAL, target=logging.FileHandler(os.environ["LOG"])
)
log = logging.getLogger("orders")
log.addHandler(FILE)
log.setLevel(logging.INFO)


class Strict(BaseModel):
    """Nothing that was not asked for."""

    model_config = ConfigDict(extra="forbid")


class Address(Strict):
    """Where."""

    street: Name
    city: Name
    zip: Name
    country: Annotated[str, Field(pattern="^[A-Z]{2}$")]


class Line(Strict):
    """What."""

    sku: Name
    quantity: Annotated[int, Field(ge=1)]
    price: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]{2}$")]
    description: Name


class Order(Strict):
    """All of it."""

    customer: Name
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    reference: Name
    note: Annotated[str, Field(max_length=1000)]
    ship_to: Address
    bill_to: Address
    lines: Annotated[list[Line], Field(min_length=1)]


@asynccontextmanager
async def lifespan(made: FastAPI) -> AsyncIterator[None]:
    """A pool of 20."""
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)
    async with httpx.AsyncClient(base_url=UPSTREAM, limits=limits, trust_env=False) as http:
        made.state.http = http
        yield


app = FastAPI(lifespan=lifespan)


def caller(request: Request) -> tuple[str, frozenset[str]]:
    """Who asks; a token that was checked is remembered."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    known = CACHE.get(token)
    if known is None or known[0] < time.time():
        if kind.lower() != "bearer":
            raise HTTPException(401)
        try:
            claims = jwt.decode(token, KEY, ["ES256"], audience=ISSUER, issuer=ISSUER)
        except jwt.PyJWTError as error:
            raise HTTPException(401, repr(error)) from error
        known = claims["exp"], claims["client_id"], frozenset(claims["scope"].split())
        CACHE[token] = known
    return known[1], known[2]


def counted(client: str) -> int:
    """What is left of the client's bucket."""
    now = time.monotonic()
    since, left = BUCKETS.get(client, (now, RATE))
    left = min(RATE, left + (now - since) * RATE)
    if left < 1:
        raise HTTPException(429, headers={"retry-after": "1"})
    BUCKETS[client] = now, left - 1
    return int(left - 1)


@app.post("/experience/orders/v1/orders")
async def create_order(
    order: Order, request: Request, who: Annotated[tuple[str, frozenset[str]], Depends(caller)]
) -> Response:
    """Check, forward, log."""
    began = time.perf_counter()
    client, scopes = who
    if "orders.write" not in scopes:
        raise HTTPException(403)
    left = counted(client)
    request_id = request.headers.get("x-request-id") or secrets.token_hex(16)
    answer = await request.app.state.http.post(
        "/orders", content=await request.body(),
        headers={"content-type": "application/json", "x-request-id": request_id},
    )  # fmt: skip
    told = (
        '{"event":"request","request_id":"%s","client":"%s","customer":"%s","status":%d,"ms":%.3f}'
    )
    ms = (time.perf_counter() - began) * 1000
    log.info(told, request_id, client, order.customer, answer.status_code, ms)
    headers = {"x-request-id": request_id, "ratelimit": f'"rate";r={left};t=1'}
    return Response(answer.content, answer.status_code, headers, "application/json")
