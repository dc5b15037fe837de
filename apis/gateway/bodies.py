"""Strict bodies: type, size and form are counted in bytes before anything is parsed.

Each API may set its own `sizes` in `gateway.yaml`, within the caps that stand here.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache, lru_cache
from itertools import accumulate
from typing import Annotated, Any

import msgspec
from msgspec import UNSET

from apis.gateway.guard import CLOSE, CONTROL, MALFORMED, Receive, Refusal
from contracts.errors import FieldError

_JSON_TYPE = re.compile(
    rb"(?:application|text)/(?:[a-z0-9!#$&^_.+-]+\+)?json"
    rb"(?:[ \t]*;[ \t]*"
    rb'(?:charset="?utf-8"?|(?!charset)[a-z0-9!#$&^_.+-]+=(?:[a-z0-9!#$&^_.+-]+|"[^"\\]*")))*'
    rb"[ \t]*",
    re.IGNORECASE,
)
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SPACE = b" \t\n\r"
_read = msgspec.json.Decoder().decode
_told = msgspec.json.Encoder().encode
_STEPS = bytes.maketrans(b"[{]}", b"\x02\x02\x00\x00")
MOST_FORM_BYTES = 16_384
COMPRESSED = Refusal("unsupported-media-type", "Compressed bodies are not accepted.")
NOT_JSON = Refusal("unsupported-media-type")


def _size(most: int) -> Any:
    return msgspec.Meta(ge=1, le=most)


class Sizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much an API takes and gives: bytes (`body`, `stream`, `response`, `text`) and counts."""

    body: Annotated[int, _size(8 << 20)] = 1 << 20
    """Bytes of a JSON body, up to 8 MiB; it is held to be checked."""
    stream: Annotated[int, _size(1 << 32)] = 16 << 20
    """Bytes of a body that is not JSON, up to 4 GiB."""
    response: Annotated[int, _size(8 << 20)] = 1 << 20
    """Bytes of an answer that are held to be checked, up to 8 MiB."""
    depth: Annotated[int, _size(128)] = 32
    """Levels of lists and objects in a JSON body, up to 128."""
    values: Annotated[int, _size(500_000)] = 50_000
    """Values in a JSON body, up to 500,000."""
    keys: Annotated[int, _size(10_000)] = 1_000
    """Members of one object in a JSON body, up to 10,000."""
    text: Annotated[int, _size(8 << 20)] | None = None
    """Bytes of one text in a JSON body, up to 8 MiB; left out, only `body` limits it."""


SIZES = Sizes()


def too_large(most: int) -> Refusal:
    """A body of more bytes than are taken."""
    unit = f"{most >> 20} MiB" if most % (1 << 20) == 0 else f"{most} bytes"
    return Refusal("payload-too-large", f"The limit is {unit}.", CLOSE)


class TooLargeError(Exception):
    """A body that was let through turned out to be more than is taken."""

    def __init__(self, most: int) -> None:
        self.refusal = too_large(most)
        super().__init__(self.refusal.detail)


@lru_cache(1024)
def is_json(kind: bytes) -> bool:
    """Whether a content type says JSON, in UTF-8."""
    return _JSON_TYPE.fullmatch(kind) is not None


def says_json(kind: bytes) -> bool:
    """Whether a content type says JSON, be it in a form that cannot be read here."""
    return is_json(kind.partition(b";")[0].strip())


@lru_cache(1024)
def ranges_of(kind: bytes) -> tuple[str, str, str]:
    """The names under which a document may speak of a content type."""
    plain = kind.partition(b";")[0].strip().lower().decode("latin-1")
    return plain, f"{plain.partition('/')[0]}/*", "*/*"


def length_refusal(headers: Mapping[bytes, bytes], most: int) -> Refusal | None:
    """Say why a body of the length its header claims is refused."""
    length = headers.get(b"content-length")
    if length is None:
        return None
    if not length.isdigit():
        return Refusal("bad-request", "Content-Length is not a number.", CLOSE)
    return too_large(most) if int(length[:20]) > most else None


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, most: int = SIZES.body
) -> bytes | Refusal | None:
    """Read the body and stop at the limit; None when the client went away."""
    if refusal := length_refusal(headers, most):
        return refusal
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        body = message.get("body", b"")
        return body if len(body) <= most else too_large(most)
    parts, size = [], 0
    while True:
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return too_large(most)
        if not message.get("more_body"):
            return b"".join(parts)
        message = await receive()


async def form_body(headers: Mapping[bytes, bytes], receive: Receive) -> bytes | Refusal | None:
    """Read the body of a form; None when the client went away."""
    return (
        COMPRESSED
        if b"content-encoding" in headers
        else await read_body(headers, receive, MOST_FORM_BYTES)
    )


class _TwiceError(ValueError):
    """A member name came twice."""


class _TooManyError(ValueError):
    """An object has too many members."""


def json_value(body: bytes, sizes: Sizes = SIZES) -> Any:
    """The value of a body, or its refusal; sizes and depth are counted before it is parsed."""
    if counted := _size_refusal(body, sizes):
        return counted
    value = _plain(body, sizes)
    return _looked_at(body, sizes) if value is UNSET else value


def _plain(body: bytes, sizes: Sizes) -> Any:
    """The value of a body that is told again as it came: then no member of it came twice."""
    if b"\\" in body or b"\x7f" in body:
        return UNSET
    if len(body) > sizes.keys and body.count(b":") > sizes.keys:
        return UNSET
    try:
        value = _read(body)
        if not body.isascii() and not body.decode().isprintable():
            return UNSET
    except (ValueError, RecursionError):
        return UNSET
    same = _told(value).translate(None, _SPACE) == body.translate(None, _SPACE)
    return value if same else UNSET


def _looked_at(body: bytes, sizes: Sizes) -> Any:
    """The value of any other body, member by member."""
    try:
        text = body.decode()
        value = _decoder(sizes.keys).decode(text)
    except _TwiceError as twice:
        return Refusal("duplicate-key", f"The member {str(twice)[:100]} comes twice.")
    except _TooManyError:
        return _too_many(sizes)
    except (ValueError, RecursionError):  # also UnicodeDecodeError and numbers without end
        return MALFORMED
    if "\\" in text or not text.isprintable():
        return _text_refusal(value, "") or value
    return value


def _too_many(sizes: Sizes) -> Refusal:
    told = f"At most {sizes.values} values, {sizes.keys} per object."
    return Refusal("validation-failed", told)


def _size_refusal(body: bytes, sizes: Sizes) -> Refusal | None:
    if sizes.text is not None and len(body) > sizes.text:
        longest = max((len(each[0]) for each in _STRINGS.finditer(body)), default=0) - 2
        if longest > sizes.text:
            return Refusal("validation-failed", f"At most {sizes.text} bytes in one text.")
    opened = body.count(b"[") + body.count(b"{")
    few = len(body) <= sizes.values or body.count(b",") <= sizes.values
    if few and opened <= sizes.depth:
        return None
    bare = _STRINGS.sub(b"", body)
    if bare.count(b",") > sizes.values:
        return _too_many(sizes)
    too_deep = Refusal("too-deep", f"At most {sizes.depth} levels are accepted.")
    brackets = bare.translate(None, _NOT_BRACKETS)
    if len(brackets) > 2 * sizes.values:
        return too_deep
    depths = accumulate(map((-1).__add__, brackets.translate(_STEPS)))
    return too_deep if max(depths, default=0) > sizes.depth else None


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
    if not CONTROL.search(text):
        return None
    message = "Control and direction characters are not accepted."
    error = FieldError(pointer=pointer, code="control-character", message=message)
    return Refusal("validation-failed", message, errors=(error,))


@cache
def _decoder(most: int) -> json.JSONDecoder:
    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(pairs) > most:
            raise _TooManyError
        made = dict(pairs)
        if len(made) != len(pairs):
            names = Counter(name for name, _ in pairs)
            raise _TwiceError(names.most_common(1)[0][0])
        return made

    return json.JSONDecoder(
        object_pairs_hook=members, parse_float=_number, parse_constant=_no_constant
    )


def _number(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _no_constant(name: str) -> float:
    raise ValueError(name)
