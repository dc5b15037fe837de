"""Strict HTTP and JSON in: what is refused before anything costs.

Every refusal of the gateway is a row of `REFUSALS`, never an exception. The bad-input catalogue
under `tests/gateway/cases` says what each row is for.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from itertools import accumulate
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import msgspec

from contracts.errors import FieldError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]

MOST_HEADERS = 100
MOST_HEADER_BYTES = 32_768
MOST_URI_BYTES = 8_192
MOST_BODY_BYTES = 1 << 20
MOST_DEPTH = 32
MOST_VALUES = 50_000
MOST_KEYS = 1_000
MOST_NAMED = 10
MOST_NAME = 100


class Row(NamedTuple):
    """What a refusal is to the caller, and what to do about it."""

    status: int
    title: str
    remedy: str


_BODY = "set the body right and send it again"
_LATER = "try again later; if it stays, give the request id to whoever runs this gateway"
_TOKEN = "ask POST /oauth/token for a token and send it as `Authorization: Bearer <token>`"  # noqa: S105 - words
REFUSALS: dict[str, Row] = {
    "bad-request": Row(400, "The request is not valid HTTP", "set right what `detail` names"),
    "bad-path": Row(400, "The path is not in its plain form", "send the path in its plain form"),
    "malformed-json": Row(400, "The body is not valid JSON", _BODY),
    "duplicate-key": Row(400, "The body names a member twice", _BODY),
    "too-deep": Row(400, "The body is nested too deep", _BODY),
    "missing-token": Row(401, "An access token is needed", _TOKEN),
    "invalid-token": Row(401, "The access token is not valid", _TOKEN),
    "insufficient-scope": Row(
        403, "The access token does not allow this", "have the scope granted to this client"
    ),
    "certificate-refused": Row(
        403,
        "The client certificate is not accepted here",
        "show a certificate for a name that this listener is set up for",
    ),
    "not-found": Row(404, "There is nothing here", "look the path up in /catalog"),
    "method-not-allowed": Row(
        405, "This method is not served here", "use a method that `Allow` names"
    ),
    "request-timeout": Row(
        408, "The request did not come in time", "send the whole request without pauses"
    ),
    "version-retired": Row(
        410, "This version is no longer served", "move to the version that `Link` or /catalog names"
    ),
    "payload-too-large": Row(413, "The body is too large", "send less at once"),
    "uri-too-long": Row(414, "The address is too long", "send a shorter path or query"),
    "unsupported-media-type": Row(
        415, "The body must be application/json in UTF-8", "send JSON and say so in Content-Type"
    ),
    "misdirected-request": Row(
        421, "This host is not served here", "use a host that the gateway is set up for"
    ),
    "validation-failed": Row(
        422,
        "The request holds values that are not accepted",
        "set right what `errors` names, as the document in /catalog says, and send it again",
    ),
    "rate-limited": Row(429, "Too many requests", "wait as long as `Retry-After` says"),
    "headers-too-large": Row(431, "The headers are too large", "send fewer or shorter headers"),
    "internal": Row(500, "Something is wrong with Throughline itself", _LATER),
    "unavailable": Row(503, "The service is not available now", _LATER),
}

_ONCE = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding",
     b"authorization", b"traceparent", b"x-request-id", b"idempotency-key", b"if-match"}
)  # fmt: skip
_BAD_PATH = re.compile(
    rb"[^\x21-\x7e]|[\\;#?]|//|/\.{1,2}(?:/|\Z)"
    rb"|%(?:2[ef5]|3b|5c|[01][0-9a-f]|7f|(?![0-9a-f]{2}))",
    re.IGNORECASE,
)
_BAD_QUERY = re.compile(rb"[^\x21-\x7e]|%(?:[01][0-9a-f]|7f|(?![0-9a-f]{2}))", re.IGNORECASE)
_JSON_TYPE = re.compile(
    rb'application/json(?:[ \t]*;[ \t]*charset="?utf-8"?)?[ \t]*', re.IGNORECASE
)
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\x00\x00")
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class Refusal(msgspec.Struct, frozen=True):
    """One answer from the table, with what is particular to this request."""

    code: str
    detail: str = ""
    headers: tuple[Header, ...] = ()
    errors: tuple[FieldError, ...] = ()


JSON: Header = (b"content-type", b"application/json")
NO_STORE: Header = (b"cache-control", b"no-store")
PUBLIC: Header = (b"cache-control", b"public, max-age=300")
"""What everybody may read and keep for a while: the keys and the address of the token endpoint."""
CLOSE: tuple[Header, ...] = ((b"connection", b"close"),)
GONE = 499
"""In the log only: the client went away."""
NO_WEBSOCKET = Refusal("bad-request", "WebSocket is not served here.", CLOSE)
BAD_ESCAPE = Refusal("bad-path", "The path must be UTF-8 without dots, slashes or escapes in it.")
NOT_JSON = Refusal("unsupported-media-type")
TOO_LARGE = Refusal("payload-too-large", "The limit is 1 MiB.", CLOSE)
TOO_DEEP = Refusal("too-deep", f"At most {MOST_DEPTH} levels are accepted.")
TOO_MANY = Refusal("validation-failed", f"At most {MOST_VALUES} values, {MOST_KEYS} per object.")
MALFORMED = Refusal("malformed-json")


def not_allowed(methods: Iterable[str]) -> Refusal:
    """A method that is not served, and those that are."""
    allow = ", ".join(sorted(methods))
    return Refusal("method-not-allowed", headers=((b"allow", allow.encode()),))


def allowed_hosts(issuer: str, more: tuple[str, ...] = ()) -> frozenset[bytes]:
    """The host names (without port) that are served: the issuer's, loopback and the configured."""
    own = urlsplit(issuer).hostname or ""
    names = {own, "127.0.0.1", "localhost", "[::1]", *more}
    return frozenset(name.lower().encode() for name in names if name)


def head_refusal(  # noqa: PLR0911 - a list of refusals
    scope: Scope, headers: Mapping[bytes, bytes], hosts: frozenset[bytes]
) -> Refusal | None:
    """Say why this request line and these headers are refused; `headers` is `scope["headers"]`."""
    raw: list[Header] = scope["headers"]
    if len(raw) > MOST_HEADERS:
        return Refusal("headers-too-large", f"At most {MOST_HEADERS} headers.", CLOSE)
    if sum([len(name) + len(value) for name, value in raw]) > MOST_HEADER_BYTES:
        return Refusal("headers-too-large", f"At most {MOST_HEADER_BYTES} bytes.", CLOSE)
    if len(raw) != len(headers) and (twice := _twice(raw)):
        return Refusal("bad-request", f"The header {twice} may come once.", CLOSE)
    if b"_" in b"".join(headers):
        return Refusal("bad-request", "Header names with an underscore are refused.")
    host = headers.get(b"host")
    if host is None:
        return Refusal("bad-request", "The header host is missing.", CLOSE)
    if _name_of(host) not in hosts:
        return Refusal("misdirected-request")
    if headers.get(b"upgrade", b"").lower() == b"websocket":
        return NO_WEBSOCKET
    return _address_refusal(scope)


def _twice(raw: list[Header]) -> str | None:
    seen: set[bytes] = set()
    for name, _ in raw:
        if name in seen and name in _ONCE:
            return name.decode()
        seen.add(name)
    return None


def _name_of(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    if not colon or host.endswith(b"]"):
        return host.lower()
    return name.lower() if port.isdigit() else b""


def _address_refusal(scope: Scope) -> Refusal | None:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    if len(path) + len(query) > MOST_URI_BYTES:
        return Refusal("uri-too-long", f"At most {MOST_URI_BYTES} bytes.", CLOSE)
    if _BAD_PATH.search(path):
        return BAD_ESCAPE
    if query and _BAD_QUERY.search(query):
        return Refusal("bad-request", "The query holds characters that are not accepted.")
    if b"%" in path:
        try:
            plain = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            return BAD_ESCAPE
        if _CONTROL.search(plain):
            return BAD_ESCAPE
    return None


def query_refusal(query: bytes, taken: Mapping[str, bool]) -> Refusal | None:
    """Say which parameters an operation does not take, or takes only once."""
    counts = Counter(name for name, _ in parse_qsl(query.decode(), keep_blank_values=True))
    wrong = [name for name, count in counts.items() if count > 1 or name not in taken]
    errors = tuple(
        _unknown(name, taken) if name not in taken else _repeated(name)
        for name in wrong
        if not taken.get(name)
    )
    if not errors:
        return None
    return Refusal("validation-failed", errors[0].message, errors=errors[:MOST_NAMED])


def _unknown(name: str, taken: Mapping[str, bool]) -> FieldError:
    shown = name[:MOST_NAME]
    known = f"it takes {', '.join(sorted(taken))}" if taken else "it takes none"
    told = f"This operation has no parameter {shown}: {known}."
    return FieldError(pointer="", parameter=shown, code="unknown-parameter", message=told)


def _repeated(name: str) -> FieldError:
    told = f"The parameter {name} may come once."
    return FieldError(pointer="", parameter=name, code="repeated-parameter", message=told)


def type_refusal(headers: Mapping[bytes, bytes]) -> Refusal | None:
    """Say why a body under these headers is refused."""
    if b"content-encoding" in headers:
        return Refusal("unsupported-media-type", "Compressed bodies are not accepted.")
    if not _JSON_TYPE.fullmatch(headers.get(b"content-type", b"")):
        return NOT_JSON
    return None


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, most: int = MOST_BODY_BYTES
) -> bytes | Refusal | None:
    """Read the body and stop at the limit; None when the client went away."""
    length = headers.get(b"content-length")
    if length is not None:
        if not length.isdigit():
            return Refusal("bad-request", "Content-Length is not a number.", CLOSE)
        if int(length[:20]) > most:
            return TOO_LARGE
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = message.get("body", b"")
        return body if len(body) <= most else TOO_LARGE
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return TOO_LARGE
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


class _TwiceError(ValueError):
    """A member name came twice."""


class _TooManyError(ValueError):
    """An object has too many members."""


def json_refusal(body: bytes, *, array: bool = False) -> Refusal | None:  # noqa: PLR0911 - a list of refusals
    """Say why this body is refused; sizes and depth are counted in bytes, before it is parsed."""
    if counted := _size_refusal(body):
        return counted
    try:
        text = body.decode()
        value = _DECODER.decode(text)
    except _TwiceError as twice:
        return Refusal("duplicate-key", f"The member {str(twice)[:100]} comes twice.")
    except _TooManyError:
        return TOO_MANY
    except (ValueError, RecursionError):  # also UnicodeDecodeError and numbers without end
        return MALFORMED
    if not isinstance(value, dict) and not (array and isinstance(value, list)):
        return Refusal("validation-failed", "The body must be a JSON object.")
    if "\\" in text or not text.isprintable():
        return _text_refusal(value, "")
    return None


def _size_refusal(body: bytes) -> Refusal | None:
    opened = body.count(b"[") + body.count(b"{")
    if opened <= MOST_DEPTH and body.count(b",") <= MOST_VALUES:
        return None
    bare = _STRINGS.sub(b"", body)
    if bare.count(b",") > MOST_VALUES:
        return TOO_MANY
    brackets = bare.translate(None, _NOT_BRACKETS)
    if len(brackets) > 2 * MOST_VALUES:
        return TOO_DEEP
    depths = accumulate(map((-1).__add__, brackets.translate(_STEPS)))
    return TOO_DEEP if max(depths, default=0) > MOST_DEPTH else None


def _text_refusal(value: Any, pointer: str) -> Refusal | None:
    """Find control and direction characters, and halves of surrogate pairs, in any text."""
    if isinstance(value, str):
        return None if value.isprintable() else _mark_refusal(value, pointer)
    if isinstance(value, list):
        inner = [(str(index), item) for index, item in enumerate(value)]
    elif isinstance(value, dict):
        inner = [(key.replace("~", "~0").replace("/", "~1"), value[key]) for key in value]
        inner += [("", key) for key in value]
    else:
        return None
    found = (_text_refusal(item, f"{pointer}/{name}") for name, item in inner)
    return next((refusal for refusal in found if refusal), None)


def _mark_refusal(text: str, pointer: str) -> Refusal | None:
    if any("\ud800" <= mark <= "\udfff" for mark in text):
        return MALFORMED
    if not _CONTROL.search(text):
        return None
    message = "Control and direction characters are not accepted."
    error = FieldError(pointer=pointer, code="control-character", message=message)
    return Refusal("validation-failed", message, errors=(error,))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    if len(made) > MOST_KEYS:
        raise _TooManyError
    return made


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _no_constant(name: str) -> float:
    raise ValueError(name)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_members, parse_float=_number, parse_constant=_no_constant
)
