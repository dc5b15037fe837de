"""Whether a request is as the document of its API says: every part, all errors in one answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from apis.gateway.bodies import (
    COMPRESSED,
    NOT_JSON,
    SIZES,
    Sizes,
    TooLargeError,
    is_json,
    json_value,
    length_refusal,
    ranges_of,
    read_body,
    says_json,
)
from apis.gateway.exchange import Exchange
from apis.gateway.guard import MALFORMED, MOST_NAMED, Message, Receive, Refusal, Scope
from apis.gateway.parameters import Parameters, parameters_of
from apis.gateway.policy import MODES, Modes
from apis.gateway.schemas import Check, Fault, Schemas
from apis.runtime.refusals import pointer
from contracts.canonical.money import money_problems
from contracts.errors import FieldError

Headers = Mapping[bytes, bytes]
INVALID = "validation-failed"
_UNDOCUMENTED = "the operation takes no body"


class Rules(NamedTuple):
    """What applies to all operations of a version."""

    modes: Modes = MODES
    sizes: Sizes = SIZES
    owner: str = ""
    foreign: bool = False
    """Whether another's program answers: bodies may be more than JSON, its errors are its own."""
    keyed: frozenset[str] = frozenset()
    """The operations that need an `Idempotency-Key`."""


class Takes(msgspec.Struct, frozen=True):
    """What an operation takes, by its document."""

    rules: Rules = Rules()
    parameters: Parameters = Parameters()
    kinds: dict[str, Check | None] = {}
    """The content types of its body, and what each must hold."""
    required: bool = False
    money: bool = False
    """Whether amounts of ours are in its body: currencies and their decimals are checked too."""


def takes_of(schemas: Schemas, template: str, method: str, rules: Rules) -> Takes:
    """Read what the document says of requests; ValueError where what is checked cannot be."""
    checked = rules.modes.requests != "off"
    parameters = parameters_of(schemas, template, method) if checked else Parameters()
    at, _ = schemas.find("paths", template)
    place, body = schemas.find(*at, method, "requestBody")
    if body is None:
        return Takes(rules, parameters)
    kinds = kinds_of(schemas, (*place, "content"), checked=checked)
    money = not rules.foreign and schemas.exact(*place)
    return Takes(rules, parameters, kinds, bool(body.get("required")), money)


def kinds_of(
    schemas: Schemas, place: tuple[str, ...], *, checked: bool = True
) -> dict[str, Check | None]:
    """The content types at a place; what is not JSON has nothing that could be checked."""
    made: dict[str, Check | None] = {}
    for kind, told in (schemas.find(*place)[1] or {}).items():
        known = checked and "schema" in told and is_json(kind.encode())
        plain = ranges_of(kind.encode())[0]
        made[plain] = schemas.check(*place, kind, "schema") if known else None
    return made


def media(kind: bytes, kinds: Mapping[str, Check | None]) -> str | None:
    """Which of these content types and ranges a content type is."""
    for each in ranges_of(kind):
        if each in kinds:
            return each
    return None


async def accepted(
    takes: Takes, scope: Scope, headers: Headers, receive: Receive, exchange: Exchange
) -> Receive | Refusal | None:
    """What the target reads, or why it does not; None when the client went away.

    `scope` is the target's: its path begins behind the version.
    """
    mode = takes.rules.modes.requests
    errors: list[FieldError] = []
    if mode != "off":
        errors = takes.parameters.errors(scope["path"], scope["query_string"], scope["headers"])
    read = await _body(takes, headers, receive, errors, exchange)
    if not errors or read is None or isinstance(read, Refusal):
        return read
    if mode == "enforce":
        return Refusal(INVALID, errors[0].message, errors=tuple(errors[:MOST_NAMED]))
    exchange.decide("requests", INVALID, "observed")
    return read


async def _body(
    takes: Takes,
    headers: Headers,
    receive: Receive,
    errors: list[FieldError],
    exchange: Exchange,
) -> Receive | Refusal | None:
    """Read a body that is JSON, let others through; what is wrong with it joins the errors."""
    rules = takes.rules
    if headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers:
        return _missing(takes, errors) or replay(b"", receive)
    if b"content-encoding" in headers:
        return COMPRESSED
    kind = headers.get(b"content-type", b"")
    found = media(kind, takes.kinds)
    if refusal := _kind_refusal(takes, kind, found, errors):
        return refusal
    if not is_json(kind):
        refused = length_refusal(headers, rules.sizes.stream)
        return refused or counted(receive, rules.sizes.stream)
    body = await read_body(headers, receive, rules.sizes.body)
    if not isinstance(body, bytes):
        return body
    if body:
        check = takes.kinds[found] if found else None
        refused = _json(takes, check, body, errors, exchange)
    else:
        refused = _missing(takes, errors)
    return refused or replay(body, receive)


def _json(
    takes: Takes, check: Check | None, body: bytes, errors: list[FieldError], exchange: Exchange
) -> Refusal | None:
    value, rules = json_value(body, takes.rules.sizes), takes.rules
    if isinstance(value, Refusal):
        return value
    exchange.said = value
    if rules.modes.requests == "off":
        return None
    money = money_problems(value) if takes.money else []
    if check is not None:
        known = {each.pointer for each in money}
        if not check.fits(value):
            errors += (each for each in body_errors(check, value) if each.pointer not in known)
        errors += money
    elif not rules.foreign and not isinstance(value, dict):
        errors.append(_error("", "wrong-type", "the body must be an object"))
    return None


def _missing(takes: Takes, errors: list[FieldError]) -> Refusal | None:
    """Say that a body is missing; one of ours is JSON, and nothing is not."""
    if not takes.required or takes.rules.modes.requests == "off":
        return None
    if not takes.rules.foreign:
        return MALFORMED
    errors.append(_error("", "missing", "the body is missing"))
    return None


def _kind_refusal(
    takes: Takes, kind: bytes, found: str | None, errors: list[FieldError]
) -> Refusal | None:
    """Say why a body of this content type is not taken."""
    rules = takes.rules
    if not is_json(kind) and (says_json(kind) or not rules.foreign):
        return NOT_JSON
    if found is not None or rules.modes.requests == "off":
        return None
    if not takes.kinds:
        errors.append(_error("", "unexpected-body", _UNDOCUMENTED))
        return None
    told = f"This operation takes {', '.join(sorted(takes.kinds))}."
    if rules.modes.requests == "enforce":
        return Refusal("unsupported-media-type", told)
    errors.append(_error("", "unknown-value", told))
    return None


def body_errors(check: Check, value: Any) -> Iterator[FieldError]:
    """Everything that a JSON body breaks, with its place in it."""
    for fault in check.faults(value):
        yield _error(pointer(*fault.path), fault.code, f"{_subject(fault)} {fault.sentence}")


def _subject(fault: Fault) -> str:
    if not fault.path:
        return "the body"
    last = fault.path[-1]
    return f"entry {last}" if last.isdigit() else last


def _error(place: str, code: str, message: str) -> FieldError:
    return FieldError(pointer=place, code=code, message=message)


def replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then what the server says."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def counted(receive: Receive, most: int) -> Receive:
    """Let a body through, up to a size."""
    size = 0

    async def more() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise TooLargeError(most)
        return message

    return more
