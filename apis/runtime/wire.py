"""What a vendor answered: read up to a size, decoded without floats, classified by its code."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import httpx
import msgspec

from apis.runtime.context import CURRENT
from apis.runtime.log import redacted_text
from apis.runtime.traces import SPANS, Span, child_of
from contracts.errors import (
    FieldError,
    Misconfigured,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
)

DETAIL = 500
SUCCESS = range(200, 300)
WRITTEN = {200, 201, 204}
"""Of these a Location is that of the record; of a 202 it is that of a job."""
REFUSED = range(400, 500)
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Unanswered(Transient):
    """Nobody knows whether the vendor acted: no answer, a cut one, or an error it did not name."""


class Errors(msgspec.Struct, frozen=True, kw_only=True):
    """A vendor's error table: where its code and text are, and which class each code is.

    `statuses` name and class an answer without a known code; `refused` is for any other 4xx.
    A code in `wraps` is classed by another one in its text, if there is one; `fields` is where the
    names of refused fields are. `told` is for a vendor that has no codes: it makes code, text and
    fields of status and body. A code in `repeated` is a success: the vendor has that very write.
    """

    code: str
    detail: str
    classes: Mapping[str, type[ThroughlineError]]
    statuses: Mapping[int, tuple[str, type[ThroughlineError]]] = {}
    refused: type[ThroughlineError] = Rejected
    wraps: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()
    fields: str = ""
    told: Callable[[int, Any], tuple[str, str, Sequence[str]]] | None = None


class Body(msgspec.Struct, frozen=True):
    """A whole answer; `value` is decoded JSON, or None when there was none."""

    status: int
    headers: Mapping[str, str]
    value: Any


class Noted:
    """The status of a call being made, for the list of what was called."""

    status: int | None = None


def lost(system: str, operation: str, at: str) -> dict[str, Any]:
    """A call of which only the ledger knows: whoever made it died before it could say more."""
    return {"system": system, "operation": operation, "status": None, "ms": None, "at": at}


def unlisted(call: dict[str, Any], listed: Sequence[dict[str, Any]]) -> bool:
    """Whether a call is new to a list: one the ledger tells of may be there, known better."""
    same = (call["system"], call["at"])
    return call["ms"] is not None or same not in {(each["system"], each["at"]) for each in listed}


@contextmanager
def noted(system: str, operation: str, at: datetime) -> Iterator[Noted]:
    """Put a call on the list of the work under way, whatever comes of it."""
    call, began = Noted(), time.perf_counter()
    try:
        yield call
    finally:
        ms = round((time.perf_counter() - began) * 1000, 1)
        row = {"system": system, "operation": operation, "status": call.status, "ms": ms}
        work = CURRENT.get()
        work.calls.append(row | {"at": at.isoformat()})
        if SPANS.recorder is not None:
            SPANS.recorder.record(called(work.context.traceparent, row))


def called(parent: str, row: dict[str, Any]) -> Span:
    """The span of a call that is over."""
    told = {"throughline.connection": row["system"], "http.response.status_code": row["status"]}
    return Span(
        name=f"{row['system']} {row['operation']}",
        kind="client",
        own=child_of(parent),
        parent=parent,
        began_ns=time.time_ns() - int(row["ms"] * 1e6),
        failed=row["status"] is None,
        attributes=told,
    )


NEVER_MADE = {"ClientConnectorError", "ConnectionTimeoutError"}


def of_transport(error: Exception) -> bool:
    """Whether a call failed on its way; aiohttp's transport lets some of its own errors through."""
    return isinstance(error, httpx.HTTPError | TimeoutError | OSError) or _of_aiohttp(error)


def unsent(error: Exception) -> bool:
    """Whether there was no connection, so that nothing can have been sent.

    aiohttp's transport calls a connection that broke one that was not made: the cause tells.
    """
    if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return False
    cause = error.__cause__
    return not _of_aiohttp(cause) or any(c.__name__ in NEVER_MADE for c in type(cause).__mro__)


def _of_aiohttp(error: BaseException | None) -> bool:
    return type(error).__module__.startswith("aiohttp")


async def received(answer: httpx.Response, most: int) -> bytes:
    """All bytes, decompressed; Unanswered when there are more than `most`."""
    parts, size = [], 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > most:
            raise Unanswered("vendor.TOO_LARGE", f"the answer is larger than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def decoded(system: str, status: int, headers: Mapping[str, str], data: bytes) -> Body:
    """The answer with its JSON; a success whose body cannot be read leaves us not knowing."""
    if status == httpx.codes.OK and not data:  # what has nothing to say says 204
        raise Unanswered(f"{system}.UNREADABLE", f"{system} sent an empty answer", source=system)
    try:
        return Body(status, headers, _DECODER.decode(data) if data else None)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if status in SUCCESS:
            told = f"{system} sent an answer that is no JSON"
            raise Unanswered(f"{system}.UNREADABLE", told, source=system) from error
        return Body(status, headers, None)


def classified(system: str, errors: Errors, answer: Body) -> ThroughlineError | None:
    """The error an answer stands for: by the vendor's code first, by its status second.

    An error that comes as a success leaves us not knowing.
    """
    if answer.status in SUCCESS:
        if not (code := at(answer.value, errors.code)):
            return None
        told = f"{system} answered {answer.status} with an error: {code}"
        return Unanswered(f"{system}.UNCLEAR", told[:DETAIL], source=system)
    fields: Any = at(answer.value, errors.fields) if errors.fields else None
    code, detail = (str(at(answer.value, path) or "") for path in (errors.code, errors.detail))
    if errors.told is not None:
        code, detail, fields = errors.told(answer.status, answer.value)
    if code in errors.repeated:
        return None
    error = error_for(system, errors, code, detail, status=answer.status, fields=fields)
    if isinstance(error, Transient):
        error.retry_after = retry_after(answer.headers) or error.retry_after
    return error


def error_for(
    system: str, errors: Errors, code: str, detail: str, *, status: int, fields: Any = None
) -> ThroughlineError:
    """The error of one refusal, of a whole call or of one record in it."""
    hidden = (each for each in errors.classes if each in detail) if code in errors.wraps else ()
    name, kind = code, errors.classes.get(next(iter(hidden), code))
    if kind is None:
        named = errors.statuses.get(status, (str(status), by_status(status, errors.refused)))
        name, kind = code or named[0], named[1]
        kind = Unanswered if kind is Transient else kind
    detail = redacted_text(detail)[:DETAIL]  # a vendor repeats what it was sent
    return kind(
        f"{system}.{name}",
        detail or f"{system} answered {status} without saying why",
        errors=tuple(
            FieldError(pointer=f"/{redacted_text(str(field))}", code=name, message=detail)
            for field in ([fields] if isinstance(fields, str) else fields or ())
        ),
        source=system,
    )


def by_status(status: int, refused: type[ThroughlineError]) -> type[ThroughlineError]:
    """The class of an answer that neither code nor status of the vendor's table knows."""
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Misconfigured
    if status in REFUSED:
        return refused
    return Transient if status >= httpx.codes.INTERNAL_SERVER_ERROR else Misconfigured


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if the vendor says so in seconds."""
    told = headers.get("retry-after", "")
    return float(told) if told.isdecimal() else None


def located(answer: Body) -> str | None:
    """The id at the end of the address of the record that was written, if the vendor tells it."""
    if answer.status not in WRITTEN:
        return None
    return answer.headers.get("location", "").rstrip("/").rpartition("/")[2] or None


def at(value: Any, path: str) -> Any:
    """The value at a dotted path (`0.errorCode`), or None."""
    for part in path.split("."):
        if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value
