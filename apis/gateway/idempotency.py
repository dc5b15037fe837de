"""`Idempotency-Key`: a change that is asked for twice is done once and answered twice.

The draft's rules: 400 for a key that is missing or none, 422 for one that came with another
request, 409 while the first is under way, then the same answer, success or error, for as long as it
is kept. The record is on disk before the target is asked, and again before the answer is whole.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple
from urllib.parse import parse_qsl

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from apis.gateway.bodies import is_json
from apis.gateway.exchange import Exchange
from apis.gateway.guard import CLOSE, GONE, Header, Message, Receive, Refusal, Scope
from apis.gateway.request_keys import (
    Asked,
    Met,
    Running,
    claim,
    let_go,
    renew,
    settle,
    slot_of,
    sweep,
)
from apis.gateway.tokens import Claims
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY, Context
from apis.runtime.log import get_logger
from apis.runtime.records import Records
from apis.runtime.store import Store
from apis.runtime.watching import watch

KEY = b"idempotency-key"
METHODS = frozenset({"post", "put", "patch", "delete"})
REPLAYED: Header = (b"idempotent-replayed", b"true")
SOON: Header = (b"retry-after", b"1")
DAYS, MONEY_DAYS = 7, 30
MOST_KEPT = 1 << 20
"""Of an answer's body; a larger one reaches its caller and is not kept."""
MOST_HASHED = 8 << 20
"""Of a body that is not JSON: it has to be known whole before anything is sent."""
SWEEP_S = 60.0
_DAY_S = 86_400
_SHORT = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{1,255}")
_QUOTED = re.compile(rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"')
_ITS_OWN = frozenset(
    {b"x-request-id", b"traceparent", b"ratelimit", b"ratelimit-policy", b"date", b"server",
     b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"set-cookie"}
)  # fmt: skip
"""Headers of one call or one connection, which a later answer has for itself."""
_BODILESS = frozenset({204, 304})
_NOT_KEPT = frozenset({429, 503})
"""Answers that say: not now."""
_UNREACHED = 502
_read = msgspec.json.Decoder(float_hook=lambda text: msgspec.Raw(text.encode())).decode
_told = msgspec.json.Encoder(order="sorted").encode
_Kept = tuple[list[Header], bytes]
log = get_logger(__name__)


class Keyed(NamedTuple):
    """What an operation says of request keys; those that move money need one, and keep longer."""

    required: bool = False

    @property
    def days(self) -> int:
        """How long an answer is kept."""
        return MONEY_DAYS if self.required else DAYS


def keyed_of(method: str, required: bool) -> Keyed | None:  # noqa: FBT001 - the policy's own word
    """What an operation of this method says of request keys."""
    return Keyed(required) if method in METHODS else None


class Idempotency:
    """The request keys of one gateway; the records are those of all."""

    def __init__(self, store: Store, records: Records, clock: Clock, lease_s: float) -> None:
        self._store = store
        self._records = records
        self._clock = clock
        self._lease_s = lease_s
        self._held: set[Running] = set()

    async def begun(
        self, keyed: Keyed, claims: Claims, scope: Scope, body: Receive, exchange: Exchange
    ) -> Receive | Refusal | None:
        """What the target reads, once the request is on record; None where it was answered.

        From here on what leaves is recorded, and the tiers know the request by one key.
        """
        headers = dict(scope["headers"])
        key = key_of(headers.get(KEY))
        if isinstance(key, Refusal):
            return key
        read = await _whole(body)
        if read is None:
            exchange.status = GONE
        if not isinstance(read, bytes):
            return read
        now = int(self._clock.timestamp())
        slot = slot_of(claims.client_id, claims.sub, key)
        ends_at = now + keyed.days * _DAY_S
        asked = Asked(slot, fingerprint(scope, headers, read), now, ends_at, self._lease_s)
        try:
            found = await claim(self._store, asked)
        except SQLAlchemyError as error:
            log.warning("idempotency.unavailable", error=type(error).__name__)
            return Refusal("unavailable", "Nothing was done.")
        if isinstance(found, Met):
            return await self._met(found, slot, exchange)
        self._goes_on(found, scope, exchange)
        return _given(read)

    def _goes_on(self, running: Running, scope: Scope, exchange: Exchange) -> None:
        context: Context = scope[SCOPE_KEY]
        key = running.request_key
        scope[SCOPE_KEY] = msgspec.structs.replace(context, request_key=key)
        scope["headers"] = [
            (name, _like(value, key) if name == KEY else value) for name, value in scope["headers"]
        ]
        exchange.send = Recorder(self, running, exchange)
        self._held.add(running)
        if (task := asyncio.current_task()) is not None:  # the call, however it ends
            task.add_done_callback(lambda _: self._held.discard(running))

    async def _met(self, met: Met, slot: str, exchange: Exchange) -> Refusal | None:
        """Answer as the record says."""
        if met.what == "running":
            return Refusal("idempotency-in-progress", headers=(SOON,))
        if met.what == "reused":
            return Refusal("idempotency-key-reused")
        opened = None if met.answer is None else self._records.unsealed_bytes(met.answer, slot)
        if opened is None:
            told = f"It was answered with {met.status}; that answer is not kept."
            return Refusal("idempotency-answer-not-kept", told)
        headers, body = msgspec.msgpack.decode(opened, type=_Kept)
        headers = [each for each in headers if each not in exchange.more]
        if met.status not in _BODILESS:
            headers.append((b"content-length", b"%d" % len(body)))
        exchange.status = met.status
        exchange.decide("idempotency", "replayed", "allowed")
        headers += [REPLAYED, *exchange.more]
        start = {"type": "http.response.start", "status": met.status, "headers": headers}
        await exchange.send(start)
        await exchange.send({"type": "http.response.body", "body": body})
        return None

    async def ended(self, running: Running, status: int, kept: _Kept | None) -> None:
        """Keep an answer, or let the key go; a database that is away costs no caller the answer."""
        try:
            if status in _NOT_KEPT or (status == _UNREACHED and kept and _unreached(kept[1])):
                await self._store.write(let_go, running)
                return
            sealed = None
            if kept is not None:
                sealed = self._records.sealed_bytes(msgspec.msgpack.encode(kept), running.slot)
            await self._store.write(settle, running, status, sealed)
        except SQLAlchemyError as error:  # its words would repeat the answer
            log.warning("idempotency.unrecorded", error=type(error).__name__, status=status)
        finally:
            self._held.discard(running)

    async def renew(self) -> None:
        """Prolong the leases of what is under way here."""
        if self._held:
            await self._store.write(renew, tuple(self._held), self._lease_s)

    async def sweep(self) -> None:
        """Forget what has been kept long enough."""
        while await self._store.write(sweep, int(self._clock.timestamp())):
            pass

    async def go(self) -> None:
        """Renew and sweep for as long as the process lives."""
        await asyncio.gather(
            watch("idempotency.leases", self.renew, self._lease_s / 3),
            watch("idempotency.sweep", self.sweep, SWEEP_S),
        )


class Recorder:
    """Takes what leaves for one caller; the last part of it goes when the record is on disk."""

    __slots__ = (
        "_headers", "_keys", "_more", "_over", "_parts", "_running", "_send", "_size", "_status",
    )  # fmt: skip

    def __init__(self, keys: Idempotency, running: Running, exchange: Exchange) -> None:
        self._keys = keys
        self._send = exchange.send
        self._more = exchange.more
        self._headers: list[Header] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._running = running
        self._status = 0
        self._over = False

    async def __call__(self, message: Message) -> None:
        """Pass a part of the answer on, whether the caller is still there or not."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            named = [(name.lower(), value) for name, value in message["headers"]]
            told = [each for each in named if each[0] not in _ITS_OWN]
            self._headers = [each for each in told if each not in self._more]
        elif not self._over:
            self._take(message.get("body", b""))
            if not message.get("more_body"):
                large = self._size > MOST_KEPT
                kept = None if large else (self._headers, b"".join(self._parts))
                await self._keys.ended(self._running, self._status, kept)
                self._over = True
        await self._send(message)

    def _take(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= MOST_KEPT:
            self._parts.append(body)
        else:
            self._parts.clear()


def key_of(given: bytes | None) -> str | Refusal:
    """The key of a request, quoted (a structured field) or bare, or why it has none."""
    if given is None:
        return Refusal("idempotency-key-missing")
    if found := _QUOTED.fullmatch(given):
        return re.sub(rb"\\(.)", rb"\1", found[1]).decode()
    if _SHORT.fullmatch(given):
        return given.decode()
    return Refusal("idempotency-key-invalid")


def fingerprint(scope: Scope, headers: Mapping[bytes, bytes], body: bytes) -> str:
    """What a request asks for, however it is spelt: operation, query and body.

    `scope` is the target's: what its path begins behind is part of it.
    """
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    query = sorted(
        parse_qsl(scope["query_string"].decode(), keep_blank_values=True), key=lambda each: each[0]
    )
    if body and is_json(kind):
        body = canonical(body)
    path = scope["root_path"] + scope["path"]
    digest = sha256(body).hexdigest()
    said = scope["method"], path, query, kind.decode("latin-1"), digest
    return sha256(msgspec.json.encode(said)).hexdigest()


def canonical(body: bytes) -> bytes:
    """JSON without its spaces and the order of its members; a number is as it was written.

    1 and 1.0 are two: whether they mean the same is for the API to say, and to take two requests
    for one is worse than to ask.
    """
    try:
        return _told(_read(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return body


async def _whole(receive: Receive) -> bytes | Refusal | None:
    """All of a body; None when its caller went away."""
    parts, size = [], 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if not message.get("more_body"):
            return b"".join(parts)
        if size > MOST_HASHED:
            told = f"With an Idempotency-Key at most {MOST_HASHED >> 20} MiB that is not JSON."
            return Refusal("payload-too-large", told, CLOSE)


def _given(body: bytes) -> Receive:
    """Give the body; that the caller leaves is not told, since what was begun is finished."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _like(given: bytes, key: str) -> bytes:
    """A key as the caller spelt its own: another server must not take two callers for one."""
    return f'"{key}"'.encode() if given.startswith(b'"') else key.encode()


class _Coded(msgspec.Struct):
    code: str = ""


def _unreached(body: bytes) -> bool:
    """Whether this says that the server of an API was never reached."""
    try:
        return msgspec.json.decode(body, type=_Coded).code == "upstream-unreachable"
    except msgspec.MsgspecError:
        return False
