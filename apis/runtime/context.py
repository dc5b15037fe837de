"""Who asks, for whom, until when: one context per call, in and out of headers."""

from __future__ import annotations

import msgspec

SCOPE_KEY = "throughline.context"
"""Where a caller in the same process puts the context in the ASGI scope. No server sets it."""


class Rows(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which rows a client may see; both None means all."""

    customers: tuple[str, ...] | None = None
    entities: tuple[str, ...] | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What travels with every call between tiers.

    `actor` is `<sub>` or `svc:process for <sub>`; `deadline` is absolute, in seconds since 1970
    (real time); `request_key` is run / step / n; `plan` asks for a dry run.
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
