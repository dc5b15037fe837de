"""How targets fail: with errors of ours, with a vendor's, and with what is no problem document."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from apis.gateway.guard import Send
from contracts.errors import (
    Conflict,
    FieldError,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
    problem_of,
)

Answer = Callable[[Send], Awaitable[None]]
PROBLEM = b"application/problem+json"
FIELD = FieldError(pointer="/VAT__c", code="REQUIRED_FIELD_MISSING", message="VAT is missing")
ERRORS = {
    "not-yours": Rejected("work-item.not-yours", "decided by someone else", status=403),
    "taken": Conflict("work-item.already-decided", "somebody was quicker"),
    "gone": NotFound("run.unknown", "there is no such run"),
    "misread": Rejected("validation-failed", "no such connection", status=422),
    "v-rejected": Rejected("salesforce.STRING_TOO_LONG", "too long", source="salesforce"),
    "v-field": Rejected(
        "salesforce.REQUIRED_FIELD_MISSING", "VAT is missing", source="salesforce", errors=(FIELD,)
    ),
    "v-conflict": Conflict("salesforce.DUPLICATES_DETECTED", "twice", source="salesforce-emea"),
    "v-missing": NotFound("salesforce.NOT_FOUND", "no such deal", source="salesforce"),
    "v-denied": Misconfigured("salesforce.invalid_grant", "no consent", source="salesforce"),
    "v-busy": Throttled("salesforce.REQUEST_LIMIT_EXCEEDED", source="salesforce", retry_after=60),
    "v-away": Unavailable("salesforce.SERVER_UNAVAILABLE", source="salesforce", retry_after=29.7),
    "v-silent": Transient("salesforce.NO_ANSWER", "did not answer in time", source="salesforce"),
    "v-number": Rejected("salesforce.418", "a teapot", source="salesforce"),
    "v-unnamed": Transient("vendor.TOO_LARGE", "the answer is too large"),
}
BODIES = {
    "plain-404": (404, b"text/plain", b"Not Found"),
    "plain-405": (405, b"application/json", b'{"detail":"secret-canary"}'),
    "plain-409": (409, b"text/html", b"<h1>secret-canary</h1>"),
    "plain-500": (500, b"text/plain", b"Traceback secret-canary"),
    "plain-503": (503, b"text/plain", b""),
    "plain-599": (599, b"text/plain", b""),
    "tier-401": (401, PROBLEM, msgspec.json.encode(problem_of(Rejected("invalid-token")))),
    "unreadable": (422, PROBLEM, b"\xff{"),
    "huge": (422, PROBLEM, b'{"status":422,"code":"a.b","detail":"%s"}' % (b"x" * 70_000)),
    "lying": (422, PROBLEM, b'{"status":200,"code":"order.late","kind":"Rejected","x":1}'),
}


def failing(status: int, kind: bytes, body: bytes) -> Answer:
    """A target that answers in two parts, with a header that is not for callers."""
    headers = [(b"content-type", kind), (b"Allow", b"GET"), (b"x-inside", b"1")]

    async def answer(send: Send) -> None:
        half = len(body) // 2
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body[:half], "more_body": True})
        await send({"type": "http.response.body", "body": body[half:]})

    return answer


def refusing(error: ThroughlineError) -> Answer:
    """A target that answers an error as our apps do."""
    return failing(error.status, PROBLEM, msgspec.json.encode(problem_of(error)))


ANSWERS = {name: refusing(error) for name, error in ERRORS.items()} | {
    name: failing(*parts) for name, parts in BODIES.items()
}
