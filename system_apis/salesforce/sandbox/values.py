"""Literals of SOQL and values of records: how Salesforce writes and reads them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from system_apis.salesforce.sandbox.errors import Refused
from system_apis.salesforce.sandbox.schema import NUMBERS, Field

ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SHORT_ID, LONG_ID = 15, 18
CUT = re.compile(
    r"(?P<s>'(?:[^'\\]|\\.)*')"
    r"|(?P<t>\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)(?!\w))"
    r"|(?P<d>\b\d{4}-\d\d-\d\d\b)"
    r"|(?<![\w:.])(?P<n>[+-]?\d+(?:\.\d+)?)(?![\w.])",
    re.DOTALL,
)
ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


@dataclass(frozen=True)
class Literal:
    """One literal as written; `kind` is s, d, t, n or a keyword."""

    kind: str
    text: str

    @property
    def pattern(self) -> str:
        """As an SQL LIKE pattern, in which a backslash keeps a wildcard literal."""
        return ESCAPE.sub(_keep_wildcards, self.text[1:-1])

    @property
    def string(self) -> str:
        """A quoted literal without quotes and escapes."""
        return ESCAPE.sub(_unescape, self.text[1:-1])


Literals = dict[str, Literal]


def split_literals(text: str) -> tuple[str, Literals]:
    """The shape of a query and the literals cut out of it."""
    literals: Literals = {}

    def cut(found: re.Match[str]) -> str:
        kind = found.lastgroup or "s"
        name = f":{kind}{len(literals)}"
        literals[name] = Literal(kind, found.group(0))
        return name

    return CUT.sub(cut, text), literals


def _unescape(found: re.Match[str]) -> str:
    code = found.group(1)
    if code[0] == "u":
        return chr(int(code[1:], 16)) if len(code) > 1 else _bad_escape(code)
    if code in ESCAPES:
        return ESCAPES[code]
    return code if code in "'\"\\" else _bad_escape(code)


def _keep_wildcards(found: re.Match[str]) -> str:
    code = found.group(1)
    if code in "_%\\":
        return f"\\{code}"
    return _unescape(found)


def _bad_escape(code: str) -> str:
    text = f"Illegal character sequence '\\{code}' in string literal"
    raise Refused("MALFORMED_QUERY", text)


def bind(field: Field, literal: Literal, known: Literals) -> Any:
    """The SQL parameter of a literal compared with this field."""
    match literal.kind:
        case "NULL":
            return None
        case "TRUE" | "FALSE":
            return int(literal.kind == "TRUE")
        case "n":
            return float(literal.text)
        case "s":
            return _bind_string(field, literal.string)
        case "t" | "d":
            return _bind_moment(field, literal)
        case _:
            return _bind_day(field, _relative(literal.text, known["today"].text))


def _bind_string(field: Field, text: str) -> str:
    if not field.is_id:
        return text
    if (known := long_id(text)) is None:
        raise Refused("INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
    return known


def _bind_moment(field: Field, literal: Literal) -> str:
    try:
        if literal.kind == "t":
            return as_datetime(literal.text)
        return _bind_day(field, date.fromisoformat(literal.text))
    except ValueError:
        raise Refused("MALFORMED_QUERY", f"Invalid date: {literal.text}") from None


def _bind_day(field: Field, day: date) -> str:
    return f"{day}" if field.type == "date" else f"{day}T00:00:00.000+0000"


def _relative(word: str, today: str) -> date:
    name, _, days = word.upper().partition(":")
    shift = {"TODAY": 0, "YESTERDAY": -1, "TOMORROW": 1}.get(name)
    if shift is None:
        shift = int(days) * (-1 if name.startswith("LAST") else 1)
    return date.fromisoformat(today) + timedelta(days=shift)


def as_datetime(text: str) -> str:
    """Any ISO moment in the one form the API answers with; ValueError if it is none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return stamp(moment)


def stamp(moment: datetime) -> str:
    """`2026-01-05T10:11:12.000+0000`: whole seconds, no colon in the offset."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def long_id(text: str) -> str | None:
    """The 18-character form of a 15- or 18-character id; None if it is no id."""
    if len(text) not in {SHORT_ID, LONG_ID} or not (text.isascii() and text.isalnum()):
        return None
    short = text[:SHORT_ID]
    suffix = ""
    for block in (short[0:5], short[5:10], short[10:15]):
        bits = sum(1 << place for place, letter in enumerate(block) if letter.isupper())
        suffix += ID_LETTERS[bits]
    return short + suffix if text in {short, short + suffix} or len(text) == LONG_ID else None


def new_id(prefix: str, number: int) -> str:
    """The id of the n-th record of an object."""
    digits = ""
    while number:
        number, digit = divmod(number, len(DIGITS))
        digits = DIGITS[digit] + digits
    known = long_id(f"{prefix}Tl0000{digits:0>6}")
    assert known is not None  # noqa: S101 - made of letters and digits
    return known


def stored(field: Field, value: Any) -> Any:  # noqa: PLR0911 - a table of types
    """A JSON value as the column keeps it; Refused if it is of another type."""
    if value is None or value == "":
        return 0 if field.is_boolean else None
    try:
        match field.type:
            case "boolean":
                return _boolean(value)
            case "int":
                return int(_number(value))
            case kind if kind in NUMBERS:
                return _number(value)
            case "date":
                return date.fromisoformat(value[:10]).isoformat()
            case "datetime":
                return as_datetime(value)
    except (ValueError, TypeError):
        text = (
            f"Cannot deserialize instance of {field.type} from VALUE_{_json_kind(value)} value"
            f" {value} or request may be missing a required field at [line:1, column:2]"
        )
        raise Refused("JSON_PARSER_ERROR", text) from None
    return _string(field, value)


def _string(field: Field, value: Any) -> str:
    if isinstance(value, dict | list):
        why = f"Cannot deserialize instance of string from START_OBJECT value {field.name}"
        raise Refused("JSON_PARSER_ERROR", why)
    text = str(value).lower() if isinstance(value, bool) else str(value).strip()
    if field.length and len(text) > field.length and not field.is_id:
        message = f"{field.name}: data value too large: {text} (max length={field.length})"
        raise Refused("STRING_TOO_LONG", message, field.name)
    return text


def _boolean(value: Any) -> int:
    if isinstance(value, bool):
        return int(value)
    if str(value).lower() in {"true", "false"}:
        return int(str(value).lower() == "true")
    raise ValueError(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError(value)
    return float(value)


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    return "STRING" if isinstance(value, str) else "NUMBER"
