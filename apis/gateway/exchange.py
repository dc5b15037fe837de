"""What leaves: the answer with its ids, and every failure of ours as a problem document.

An answer under 400 passes untouched. From 400 on it is read, up to a size, and told anew: with an
absolute `type`, without what only our own hops need, and with a vendor's own code as evidence.
What an API that is not ours answers is its own.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from math import ceil
from typing import Any, Literal, NamedTuple

import msgspec

from apis.gateway.guard import JSON, NO_STORE, REFUSALS, Header, Message, Refusal, Scope, Send
from apis.runtime.outside import outward
from contracts.errors import Problem

Outcome = Literal["allowed", "refused", "observed"]
Decision = tuple[str, str, Outcome]
"""A policy, the rule of it that applied, and what it said."""
PROBLEM: Header = (b"content-type", b"application/problem+json")
MOST_PROBLEM_BYTES = 65_536
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACE = re.compile(rb"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_OURS = frozenset({b"x-request-id", b"traceparent", b"ratelimit", b"ratelimit-policy", b"server"})
_KEPT = frozenset({b"retry-after", b"allow", b"link", b"deprecation", b"sunset"})
_FAILED = 400
_UNAUTHORIZED = 401
_BROKEN = 500
_AWAY = 503
RETRY: Header = (b"retry-after", b"5")
"""When to come back where nobody knows better."""
_KEYS = "idempotency-"
_BY_STATUS = {
    row.status: code for code, row in reversed(REFUSALS.items()) if not code.startswith(_KEYS)
}
_LATER = frozenset(
    {"rate-limited", "reduced-capacity", "unavailable", "overloaded", "upstream-unreachable"}
)
"""What may be asked again as it is: nothing was done."""
POLICIES = {
    "missing-token": "authentication",
    "invalid-token": "authentication",
    "version-retired": "versions",
    "validation-failed": "requests",
} | {code: "idempotency" for code in REFUSALS if code.startswith(_KEYS)}
"""Which policy a refusal belongs to; the others are plain HTTP and JSON."""
_REMEDIES = {
    403: "have someone do this who may, or ask for the right to",
    404: "look the record up again: it may be gone, or have another id",
    409: "read the record again, then decide",
}
"""What a caller does about an error that says no more than its status."""
_DECODER = msgspec.json.Decoder(Problem)


class Outside(NamedTuple):
    """How problems are told to callers: under which address, and whose codes are not ours."""

    issuer: str
    vendors: Collection[str]

    def refused(self, refusal: Refusal) -> Problem:
        """The problem of a refusal of the gateway's own."""
        return self.told(
            Problem(
                status=REFUSALS[refusal.code].status,
                code=refusal.code,
                detail=refusal.detail,
                errors=refusal.errors,
                violated_policies=refusal.violated,
                retryable=True if refusal.code in _LATER else None,
            )
        )

    def answered(self, status: int, body: bytes) -> Problem:
        """The problem a target answered, or one for its status when it said nothing readable."""
        if status == _UNAUTHORIZED:  # a tier refused us, not the caller
            return self.told(Problem(status=_BROKEN, code="internal"))
        try:
            problem = _DECODER.decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        else:
            return self.told(msgspec.structs.replace(problem, status=status))
        code = _BY_STATUS.get(status, "refused" if status < _BROKEN else "internal")
        return self.told(Problem(status=status, code=code))

    def told(self, problem: Problem) -> Problem:
        """The same problem as it may leave."""
        problem = outward(problem, self.issuer, self.vendors)
        row = REFUSALS.get(problem.code)
        owner = "caller" if problem.status < _BROKEN else "operations"
        return msgspec.structs.replace(
            problem,
            type=row.type or problem.type if row else problem.type,
            title=row.title if row else problem.title or _phrase(problem.status),
            remedy=problem.remedy or (row.remedy if row else _remedy(problem.status)),
            owner=problem.owner or owner,
        )


def _remedy(status: int) -> str:
    if status >= _BROKEN:
        return REFUSALS["unavailable"].remedy
    return _REMEDIES.get(status, "set right what `detail` and `errors` name, and send it again")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Refused"


class Failing:
    """A target's failure while it arrives; a body that is too large counts as none."""

    def __init__(self, start: Message) -> None:
        self.status: int = start["status"]
        told = [(name.lower(), value) for name, value in start["headers"]]
        self.headers = [header for header in told if header[0] in _KEPT]
        self.body = b""
        self._readable = dict(told).get(b"content-type", b"").startswith(PROBLEM[1])

    def ended(self, message: Message) -> bool:
        """Take a part of the body; whether it was the last."""
        if self._readable:
            self.body += message.get("body", b"")
            self._readable = len(self.body) <= MOST_PROBLEM_BYTES
        if not self._readable:
            self.body = b""
        return not message.get("more_body")


def kept(headers: list[Header]) -> list[Header]:
    """Headers that say whether the answer may be kept: by nobody, unless they say otherwise."""
    if any(name.lower() == NO_STORE[0] for name, _ in headers):
        return headers
    return [*headers, NO_STORE]


THUMBPRINT = "x5t#S256"
"""Where a request's ASGI state holds the thumbprint (RFC 8705) of its client certificate."""


class Exchange:
    """One request and its answer: ids, what is known of it for the log, headers for the answer."""

    __slots__ = (
        "at", "began", "client", "code", "decisions", "failing", "foreign", "head", "held",
        "limits", "more", "operation", "outside", "request_id", "said", "send", "state", "status",
        "target", "trace_id", "traceparent",
    )  # fmt: skip

    def __init__(
        self, scope: Scope, headers: Mapping[bytes, bytes], send: Send, outside: Outside
    ) -> None:
        self.began = time.perf_counter()
        self.at = 0.0
        self.send = send
        self.state = scope.get("state")
        self.outside = outside
        self.head = scope["method"] == "HEAD"
        self.failing: Failing | None = None
        # what one process makes ascends: an index over it grows at its end
        made = f"{int(self.began * 1e6):013x}{random.getrandbits(268):067x}"
        given = headers.get(b"x-request-id")
        known = given if given and _REQUEST_ID.fullmatch(given) else None
        self.request_id = known.decode() if known else made[:32]
        parent = headers.get(b"traceparent")
        trace = _TRACE.fullmatch(parent) if parent else None
        if trace and int(trace[1], 16) and int(trace[2], 16):
            self.trace_id, flags = trace[1].decode(), trace[3].decode()
        else:
            self.trace_id, flags = made[32:64], "01"
        self.traceparent = f"00-{self.trace_id}-{made[64:]}-{flags}"
        self.more: list[Header] = [
            (b"x-request-id", self.request_id.encode()),
            (b"traceparent", self.traceparent.encode()),
        ]
        self.status = 0
        self.code: str | None = None
        self.client: str | None = None
        self.target: str | None = None
        self.operation: str | None = None
        self.foreign = False
        self.said: Any = None
        """The value of its body, where that is JSON."""
        self.decisions: list[Decision] = []
        self.limits = b""
        self.held: AbstractAsyncContextManager[None] | None = None

    def decide(self, policy: str, rule: str, outcome: Outcome) -> None:
        """Remember what a policy said; `observed` would have been refused."""
        self.decisions.append((policy, rule, outcome))

    async def let_go(self) -> None:
        """Give back the permit that the call held, if any."""
        held, self.held = self.held, None
        if held is not None:
            await held.__aexit__(None, None, None)

    @property
    def certificate(self) -> str | None:
        """The thumbprint of the client certificate that its connection showed."""
        return self.state.get(THUMBPRINT) if self.state else None

    async def answer(self, message: Message) -> None:
        """Send what a target answers, with our headers; a failure is read and told anew."""
        if message["type"] == "http.response.start":
            if message["status"] >= _FAILED and not self.foreign:
                self.failing = Failing(message)
                return
            self.status = message["status"]
            headers = [each for each in message["headers"] if each[0].lower() not in _OURS]
            headers = headers if self.foreign else kept(headers)
            message = {**message, "headers": headers + self.more}
        elif self.failing is not None:
            if self.failing.ended(message):
                problem = self.outside.answered(self.failing.status, self.failing.body)
                await self.problem(problem, *self.failing.headers)
            return
        await self.send(message)

    async def reply(self, status: int, body: bytes, kind: Header = JSON, *more: Header) -> None:
        """Send an answer of our own."""
        self.status = status
        length = (b"content-length", b"%d" % len(body))
        own = [kind, length, (b"x-content-type-options", b"nosniff"), *more]
        headers = kept(own) + self.more
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": b"" if self.head else body})

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal of our own; one that no policy has told yet is told by its code."""
        if refusal.code != "internal" and "refused" not in {told[2] for told in self.decisions}:
            self.decide(POLICIES.get(refusal.code, "http"), refusal.code, "refused")
        await self.problem(self.outside.refused(refusal), *refusal.headers)

    async def problem(self, problem: Problem, *more: Header) -> None:
        """Send a problem document (RFC 9457) that may leave."""
        self.code = problem.code
        if b"retry-after" not in dict(more):
            if problem.retry_after is not None:
                more = (*more, (b"retry-after", b"%d" % max(1, ceil(problem.retry_after))))
            elif problem.status == _AWAY:
                more = (*more, RETRY)
        document = msgspec.to_builtins(problem) | {
            "status": problem.status,
            "code": problem.code,
            "request_id": self.request_id,
            "trace_id": self.trace_id,
        }
        await self.reply(problem.status, msgspec.json.encode(document), PROBLEM, *more)
