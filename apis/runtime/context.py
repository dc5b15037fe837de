"""Who asks, for whom, until when: one context per call, in and out of headers."""

from __future__ import annotations

import secrets
from contextvars import ContextVar
from typing import Any

import msgspec

SCOPE_KEY = "throughline.context"
"""Where a caller in the same process puts the context in the ASGI scope. No server sets it."""


class Rows(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which rows a client may see; both None means all."""

    customers: tuple[str, ...] | None = None
    """Our ids of customers (golden records); `[]` is none of them, left out, no restriction."""
    entities: tuple[str, ...] | None = None
    """Names of legal entities, as in entities.yaml; with `customers` both must fit."""


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What travels with every call between tiers.

    `actor` is `<sub>` or `svc:process for <sub>`; `deadline` is absolute, in seconds since 1970
    (real time); `request_key` is run / step / n; `plan` asks for a dry run, in which `planned`
    writes were listed before this call.
    """

    actor: str
    client: str
    person: str | None = None
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    rows: Rows | None = None
    entity: str | None = None
    request_id: str = ""
    traceparent: str = ""
    deadline: float | None = None
    request_key: str | None = None
    cause: str | None = None
    plan: bool = False
    planned: int = 0
    decided: str | None = None
    """What a person decided about the step that runs again: `retry`, or `adopt:<external id>`."""


class Call:
    """One piece of work under a context: what it called, and what it wrote or, in a plan, would."""

    def __init__(self, context: Context, run: Any = None) -> None:
        self.context = context
        self.run = run
        self.calls: list[dict[str, Any]] = []
        self.planned: list[dict[str, Any]] = []
        self.wrote: list[dict[str, Any]] = []
        self.writes = 0


CURRENT: ContextVar[Call] = ContextVar("throughline.call")
"""The one context variable: set by `make_app` for a request and by `flow.py` for a step."""


def traceparent(trace_id: str | None = None) -> str:
    """A W3C traceparent of a new span, in a new trace unless one is given."""
    return f"00-{trace_id or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id_of(parent: str) -> str:
    """The trace id inside a traceparent, or nothing."""
    parts = parent.split("-")
    return parts[1] if len(parts) >= TRACE_PARTS else ""


TRACE_PARTS = 4
