"""The error classes and their problem+json form (RFC 9457).

The class says who acts next, the `code` says what happened, `errors` carry the evidence.
Errors cross tiers as problem documents and arrive as the same class.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class FieldError(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that was refused: where, a stable code and a sentence for people.

    `pointer` is a JSON Pointer (RFC 6901) into the body. A parameter is named by `parameter` and
    `where` it belongs instead, and its `pointer` is empty.
    """

    pointer: str
    code: str
    message: str
    parameter: str | None = None
    where: Literal["query", "header", "path"] | None = None


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An RFC 9457 document.

    `kind` names the error class, so that it arrives as itself; it does not leave the gateway.
    """

    status: int
    code: str
    type: str = "about:blank"
    title: str = ""
    detail: str = ""
    errors: tuple[FieldError, ...] = ()
    request_id: str | None = None
    trace_id: str | None = None
    retryable: bool | None = None
    retry_after: float | None = None
    violated_policies: tuple[str, ...] = msgspec.field(default=(), name="violated-policies")
    owner: str | None = None
    remedy: str | None = None
    source: str | None = None
    work_item_id: str | None = None
    kind: str | None = None


TITLES = {401: "It is not known who asks", 403: "You may not do this"}
"""Titles that a status of its own brings with it, whatever the class."""


class ThroughlineError(Exception):
    """A defect: alert, never retried. Subclasses say who acts next.

    `code` is `subject.reason` (or `<vendor>.<CODE>` inside the process tier), `detail` tells a
    person in finance what to fix and where, `source` is the system that said no.
    """

    status = 500
    title = "Something is wrong with Throughline itself"
    retryable = False

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        owner: str | None = None,
        remedy: str | None = None,
        source: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.retry_after = retry_after
        self.owner = owner
        self.remedy = remedy
        self.source = source
        if status is not None:
            self.status = status
            self.title = TITLES.get(status, self.title)


class Transient(ThroughlineError):
    """The step tries again, with growing pauses."""

    status = 503
    title = "A system did not answer as it should; it will be tried again"
    retryable = True


class Throttled(Transient):
    """The step waits `retry_after` seconds and uses no attempt."""

    title = "A system asked us to slow down"


class Unavailable(Transient):
    """The step waits for the next probe or the end of a window and uses no attempt."""

    title = "A system is not available now"


class Rejected(ThroughlineError):
    """A business rule said no; the owner of the data acts."""

    status = 422
    title = "A rule was not met"


class Conflict(ThroughlineError):
    """Changed since it was read: read again, then decide."""

    status = 409
    title = "The record is not in the state this needs"


class NotFound(ThroughlineError):
    """There is no such record."""

    status = 404
    title = "There is no such record"


class Misconfigured(ThroughlineError):
    """Credentials, permission or mapping: the integration owner acts."""

    status = 502
    title = "A connection is not set up as it must be"


ERRORS: dict[str, type[ThroughlineError]] = {
    error.__name__: error
    for error in (
        ThroughlineError,
        Transient,
        Throttled,
        Unavailable,
        Rejected,
        Conflict,
        NotFound,
        Misconfigured,
    )
}


def problem_of(error: ThroughlineError, *, issuer: str = "", **more: Any) -> Problem:
    """The problem document of `error`; `more` are further members, such as `request_id`."""
    return Problem(
        type=f"{issuer}/problems/{error.code}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        code=error.code,
        errors=error.errors,
        retryable=error.retryable,
        retry_after=error.retry_after,
        owner=error.owner,
        remedy=error.remedy,
        source=error.source,
        kind=type(error).__name__,
        **more,
    )


def error_of(problem: Problem) -> ThroughlineError:
    """The error a problem document stands for; without `kind` its status decides."""
    by_status: dict[int, type[ThroughlineError]] = {
        404: NotFound, 409: Conflict, 412: Conflict, 422: Rejected, 400: Rejected,
        429: Throttled, 502: Misconfigured, 503: Transient, 504: Transient,
    }  # fmt: skip
    kind = ERRORS.get(problem.kind or "") or by_status.get(problem.status, ThroughlineError)
    return kind(
        problem.code,
        problem.detail,
        errors=problem.errors,
        retry_after=problem.retry_after,
        owner=problem.owner,
        remedy=problem.remedy,
        source=problem.source,
        status=problem.status,
    )
