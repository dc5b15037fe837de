"""Strict HTTP in: what is refused before anything costs.

Every refusal of the gateway is a row of `REFUSALS`, never an exception. The bad-input catalogue
under `tests/gateway/cases` says what each row is for.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping
from typing import Any, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

import msgspec

from contracts.errors import FieldError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
Where = Literal["query", "header", "path"]

VERSIONS = frozenset({"1.0", "1.1"})
MOST_HEADERS = 100
MOST_HEADER_BYTES = 32_768
MOST_URI_BYTES = 8_192
MOST_NAMED = 100
MOST_NAME = 100


class Row(NamedTuple):
    """What a refusal is to the caller, and what to do about it."""

    status: int
    title: str
    remedy: str
    type: str = ""
    """A type registered for everybody; else it is `<issuer>/problems/<code>`."""


IANA = "https://iana.org/assignments/http-problem-types"
_BODY = "set the body right and send it again"
_WAIT = "wait as long as `Retry-After` says"
_LATER = "try again later; if it stays, give the request id to whoever runs this gateway"
_UNSURE = "look whether it was done, then try again; if it stays, tell the owner named here"
_TOKEN = "ask POST /oauth/token for a token and send it as `Authorization: Bearer <token>`"  # noqa: S105 - words
_KEY = "such as a UUID that you keep for the retries of this one request"
REFUSALS: dict[str, Row] = {
    "bad-request": Row(400, "The request is not valid HTTP", "set right what `detail` names"),
    "bad-path": Row(400, "The path is not in its plain form", "send the path in its plain form"),
    "malformed-json": Row(400, "The body is not valid JSON", _BODY),
    "duplicate-key": Row(400, "The body names a member twice", _BODY),
    "too-deep": Row(400, "The body is nested too deep", _BODY),
    "idempotency-key-missing": Row(
        400, "This operation needs an Idempotency-Key", f"send one, {_KEY}"
    ),
    "idempotency-key-invalid": Row(
        400,
        "The Idempotency-Key is not one",
        f"send 1 to 255 ASCII letters in quotes, {_KEY}",
    ),
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
    "request-unknown": Row(
        404,
        "Nothing is known of this request",
        "give the `X-Request-Id` of an answer; `decisions` in gateway.yaml says how long",
    ),
    "method-not-allowed": Row(
        405, "This method is not served here", "use a method that `Allow` names"
    ),
    "idempotency-in-progress": Row(
        409, "The first request with this Idempotency-Key is still under way", _WAIT
    ),
    "idempotency-answer-not-kept": Row(
        409,
        "This request was answered before, and the answer is not kept",
        "it is not done again: read the record instead; for a new request send a new key",
    ),
    "request-timeout": Row(
        408, "The request did not come in time", "send the whole request without pauses"
    ),
    "version-retired": Row(
        410, "This version is no longer served", "move to the version that `Link` or /catalog names"
    ),
    "version-brownout": Row(
        410,
        "This version rehearses its end",
        "move to the version that `Link` names; until then wait as long as `Retry-After` says",
    ),
    "version-blocked": Row(
        403, "This version is blocked", "move to the version that `Link` or /catalog names"
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
    "idempotency-key-reused": Row(
        422,
        "This Idempotency-Key came with another request",
        f"send the request as it was the first time, or a new key, {_KEY}",
    ),
    "rate-limited": Row(429, "Too many requests", _WAIT, f"{IANA}#quota-exceeded"),
    "headers-too-large": Row(431, "The headers are too large", "send fewer or shorter headers"),
    "internal": Row(500, "Something is wrong with Throughline itself", _LATER),
    "response-invalid": Row(
        502, "The API answered what its document does not allow", "tell the owner named here"
    ),
    "upstream-unreachable": Row(
        502,
        "The server of this API cannot be reached",
        "nothing was done: try again later; if it stays, tell the owner named here",
    ),
    "upstream-failed": Row(502, "The server of this API broke off its answer", _UNSURE),
    "upstream-timeout": Row(504, "The server of this API did not answer in time", _UNSURE),
    "unavailable": Row(503, "The service is not available now", _LATER),
    "overloaded": Row(503, "There is more to do than can be done", _WAIT),
    "reduced-capacity": Row(
        503, "Less than usual is served now", _WAIT, f"{IANA}#temporary-reduced-capacity"
    ),
}

HOP_BY_HOP = frozenset(
    {b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate",
     b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
     b"upgrade"}
)  # fmt: skip
_USUAL = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
_ONCE = frozenset(
    {b"host", b"content-length", b"content-type", b"content-encoding", b"transfer-encoding",
     b"authorization", b"x-api-key", b"traceparent", b"x-request-id", b"idempotency-key",
     b"if-match"}
)  # fmt: skip
_BAD_PATH = re.compile(
    rb"[^\x21-\x7e]|[\\;#?]|//|/\.{1,2}(?:/|\Z)"
    rb"|%(?:2[ef5]|3b|5c|[01][0-9a-f]|7f|(?![0-9a-f]{2}))",
    re.IGNORECASE,
)
_PLAIN = b"/-_~.:@" + (string.ascii_letters + string.digits).encode()
_BAD_QUERY = re.compile(rb"[^\x21-\x7e]|%(?:[01][0-9a-f]|7f|(?![0-9a-f]{2}))", re.IGNORECASE)
CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class Refusal(msgspec.Struct, frozen=True):
    """One answer from the table, with what is particular to this request."""

    code: str
    detail: str = ""
    headers: tuple[Header, ...] = ()
    errors: tuple[FieldError, ...] = ()
    violated: tuple[str, ...] = ()
    """The names of the limits that are used up."""


JSON: Header = (b"content-type", b"application/json")
NO_STORE: Header = (b"cache-control", b"no-store")
PUBLIC: Header = (b"cache-control", b"public, max-age=300")
"""What everybody may read and keep for a while: where the token endpoint is and what it can do."""
CLOSE: tuple[Header, ...] = ((b"connection", b"close"),)
GONE = 499
"""In the log only: the client went away."""
NO_WEBSOCKET = Refusal("bad-request", "WebSocket is not served here.", CLOSE)
BAD_ESCAPE = Refusal("bad-path", "The path must be UTF-8 without dots, slashes or escapes in it.")
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
        return Refusal("bad-request", "Header names with an underscore are refused.", CLOSE)
    if (version := scope.get("http_version", "1.1")) not in VERSIONS:
        return Refusal("bad-request", f"HTTP/{version} is not spoken here.", CLOSE)
    coding = headers.get(b"transfer-encoding")
    if coding is not None and (coding.lower() != b"chunked" or version == "1.0"):
        return Refusal("bad-request", "Of all transfer codings only chunked is accepted.", CLOSE)
    host = headers.get(b"host")
    if host is None:
        return Refusal("bad-request", "The header host is missing.", CLOSE)
    if _name_of(host) not in hosts:
        return Refusal("misdirected-request")
    return _hop_refusal(raw, headers) or _address_refusal(scope)


def _twice(raw: list[Header]) -> str | None:
    seen: set[bytes] = set()
    for name, _ in raw:
        if name in seen and name in _ONCE:
            return name.decode()
        seen.add(name)
    return None


def _hop_refusal(raw: list[Header], headers: Mapping[bytes, bytes]) -> Refusal | None:
    if headers.get(b"upgrade", b"").lower() == b"websocket":
        return NO_WEBSOCKET
    if b"connection" in headers and (name := _taken_out(raw, headers)):
        return Refusal("bad-request", f"Connection may not name the header {name}.", CLOSE)
    return None


def _taken_out(raw: list[Header], headers: Mapping[bytes, bytes]) -> str | None:
    """A header that `Connection` would have dropped on the way, after it was checked here."""
    if len(raw) == len(headers) and headers[b"connection"] in _USUAL:
        return None
    named = b",".join([value for name, value in raw if name == b"connection"]).lower()
    for name in (each.strip() for each in named.split(b",")):
        if name in headers and name not in HOP_BY_HOP:
            return name.decode("latin-1")
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
    odd = path.translate(None, _PLAIN) or b"//" in path or b"/." in path
    if odd and (_BAD_PATH.search(path) or (b"%" in path and _misleads(path))):
        return BAD_ESCAPE
    if query and _BAD_QUERY.search(query):
        return Refusal("bad-request", "The query holds characters that are not accepted.")
    return None


def _misleads(path: bytes) -> bool:
    """Whether escapes hide the API that is called, or letters nobody sees.

    What names the API must be the same in the bytes that are passed on.
    """
    if b"%" in b"".join(path.split(b"/", 4)[:4]):
        return True
    try:
        return CONTROL.search(unquote_to_bytes(path).decode()) is not None
    except UnicodeDecodeError:
        return True


def query_refusal(query: bytes, taken: Mapping[str, bool]) -> Refusal | None:
    """Say which parameters an operation does not take, or takes only once."""
    counts = Counter(name for name, _ in parse_qsl(query.decode(), keep_blank_values=True))
    wrong = [name for name, count in counts.items() if count > 1 or name not in taken]
    errors = tuple(
        unknown(name, taken) if name not in taken else repeated(name)
        for name in wrong
        if not taken.get(name)
    )
    if not errors:
        return None
    return Refusal("validation-failed", errors[0].message, errors=errors[:MOST_NAMED])


def unknown(name: str, taken: Collection[str]) -> FieldError:
    """A query parameter that an operation does not take."""
    shown = name[:MOST_NAME]
    known = f"it takes {', '.join(sorted(taken))}" if taken else "it takes none"
    told = f"This operation has no parameter {shown}: {known}."
    return parameter_error(shown, "query", "unknown-parameter", told)


def repeated(name: str, where: Where = "query") -> FieldError:
    """A parameter that came more than once."""
    told = f"The parameter {name} may come once."
    return parameter_error(name, where, "repeated-parameter", told)


def parameter_error(name: str, where: Where, code: str, message: str) -> FieldError:
    """Something wrong with a parameter, and where that was looked for."""
    return FieldError(pointer="", parameter=name, where=where, code=code, message=message)
