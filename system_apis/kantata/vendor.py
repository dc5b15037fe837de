"""How Kantata OX is called: signing in and the error table (facts and links: README.md)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from apis.runtime.sign_in import OAUTH, Account, SignIn, TokenRequest, bearer
from apis.runtime.vendor import Errors, Pages, Vendor
from contracts.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    Transient,
    Unavailable,
)

UNAUTHORIZED = 401
NAMED = (  # Kantata has no codes: status, type and words of the message -> the name we give it
    (UNAUTHORIZED, "oauth", "", "INVALID_TOKEN"),
    (422, "validation", "has already been entered", "ALREADY_ENTERED"),
    (422, "validation", "has already been taken", "ALREADY_TAKEN"),
    (422, "validation", "locked", "LOCKED"),
    (422, "validation", "", "VALIDATION"),
    (503, "system", "", "UNAVAILABLE"),
)


def token_request(account: Account, _now: float) -> TokenRequest:
    """Client credentials, in the form."""
    known = account.credentials
    form = {"grant_type": "client_credentials"}
    form |= {part: known[part] for part in ("client_id", "client_secret")}
    return TokenRequest(f"{account.login_url}/oauth/token", form)


def told(status: int, body: Any) -> tuple[str, str, Sequence[str]]:
    """The name of an error, all its messages and the fields they are about."""
    listed = body.get("errors") if isinstance(body, dict) else None
    errors = [each for each in listed or () if isinstance(each, dict)]
    if not errors:
        return "", "", ()
    kind, text = (str(errors[0].get(part) or "") for part in ("type", "message"))
    fitting = (
        name
        for asked, of_type, words, name in NAMED
        if (asked, of_type) == (status, kind) and words in text.casefold()
    )
    messages = "; ".join(str(each.get("message") or "") for each in errors)
    return next(fitting, ""), messages, [str(e["field"]) for e in errors if e.get("field")]


def expired(status: int, code: str, _text: str) -> bool:
    """Whether a new token would help: one that was revoked is an INVALID_TOKEN."""
    return (status, code) == (UNAUTHORIZED, "INVALID_TOKEN")


KANTATA = Vendor(
    name="kantata",
    base_url="{instance_url}/api/{version}",
    docs="https://developer.kantata.com/",
    expired=expired,
    token_age_s=math.inf,  # tokens die by revocation only
    written="results.0.id",
    pages=Pages(items="results", next=""),  # pages are counted, there is no link
    sign_in=SignIn(token_request, bearer, OAUTH),
    errors=Errors(
        code="errors.0.type",
        detail="errors.0.message",
        told=told,
        classes={
            "INVALID_TOKEN": Misconfigured,  # and a new one was refused as well
            "ALREADY_ENTERED": Conflict,
            "ALREADY_TAKEN": Conflict,
            "LOCKED": Conflict,
            "VALIDATION": Rejected,
            "UNAVAILABLE": Unavailable,
        },
        statuses={
            400: ("BAD_REQUEST", Misconfigured),
            403: ("FORBIDDEN", Misconfigured),  # an access group or a participation is missing
            404: ("NOT_FOUND", NotFound),
            422: ("VALIDATION", Rejected),
            429: ("TOO_MANY_REQUESTS", Throttled),  # "a small delay", and no Retry-After
            504: ("TIMEOUT", Transient),  # over three minutes: nobody knows whether it acted
        },
    ),
)
