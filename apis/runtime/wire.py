"""What came back from a vendor: read up to a size, decoded without floats, classified by its code."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from contracts.errors import Misconfigured, Rejected, ThroughlineError, Throttled, Transient

if TYPE_CHECKING:
    from apis.runtime.vendor import Vendor

DETAIL = 500
SUCCESS = range(200, 300)
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class Unanswered(Transient):
    """Nobody knows whether the vendor acted: no answer, a cut one, or an error that names nothing."""


class Body(msgspec.Struct, frozen=True):
    """A whole answer; `value` is decoded JSON or None, `text` the raw text when it was no JSON."""

    status: int
    headers: Mapping[str, str]
    value: Any
    text: str = ""


async def received(answer: httpx.Response, most: int) -> bytes:
    """All bytes, decompressed; Unanswered when there are more than `most`."""
    parts, size = [], 0
    async for part in answer.aiter_bytes():
        size += len(part)
        if size > most:
            raise Unanswered("answer-too-large", f"the answer is larger than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def decoded(vendor: Vendor, status: int, headers: Mapping[str, str], data: bytes) -> Body:
    """The answer with its JSON; a success whose body cannot be read leaves us not knowing."""
    if not data:
        return Body(status, headers, None)
    try:
        return Body(status, headers, _DECODER.decode(data))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if status in SUCCESS:
            raise Unanswered(f"{vendor.name}.UNREADABLE", f"{vendor.name} sent an answer that is no JSON") from error
        return Body(status, headers, None, data[:DETAIL].decode("utf-8", "replace"))


def classified(vendor: Vendor, answer: Body) -> ThroughlineError | None:
    """The error an answer stands for: by the vendor's code first, by its status second."""
    if answer.status in SUCCESS:
        return None
    code = str(at(answer.value, vendor.errors.code) or "")
    detail = str(at(answer.value, vendor.errors.detail) or "")
    kind = vendor.errors.classes.get(code) or vendor.errors.statuses.get(answer.status)
    if kind is None:
        kind = by_status(answer.status)
    if kind is Transient and not code:
        kind = Unanswered
    error = kind(f"{vendor.name}.{code or answer.status}", detail[:DETAIL], source=vendor.name)
    if isinstance(error, Transient):
        error.retry_after = retry_after(answer.headers)
    return error


def by_status(status: int) -> type[ThroughlineError]:
    """The class of an answer whose code is not in the vendor's table."""
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return Throttled
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return Misconfigured
    return Transient if status >= httpx.codes.INTERNAL_SERVER_ERROR else Rejected


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, if the vendor says so in seconds."""
    told = headers.get("retry-after", "")
    return float(told) if told.isdigit() else None


def at(value: Any, path: str) -> Any:
    """The value at a dotted path (`0.errorCode`), or None."""
    for part in path.split("."):
        if isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        elif isinstance(value, dict):
            value = value.get(part)
        else:
            return None
    return value
