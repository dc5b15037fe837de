"""Logs: one JSON object a line, with the context bound to it and without secrets or personal data.

What may not be logged is known by the name of its key and by its looks, so a value is hidden
wherever it turns up: in a message, an exception, a nested record.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, NoReturn, TextIO

import msgspec
import structlog

from contracts.errors import Misconfigured

HIDDEN = "***"
DEEPEST = 8
LONGEST = 8_000
SHORTEST_IBAN = 15
QUIET = (
    *("httpx", "httpcore", "aiohttp", "uvicorn.access", "sqlalchemy.engine", "asyncio"),
    "alembic",  # `migrations` says what was done
    "authlib",  # it would say every token
)
KEYS = re.compile(
    r"secret|passw|authorization|cookie|assertion|private|credential|api_?key|(^|_)tokens?$|session_id"
    r"|iban|bank|account_number|tax_(id|number)|vat(_id|_number)?$|(^|_)ssn|e?mail|phone|birth|salary"
    r"|cost_rate",
    re.IGNORECASE,
)
LOOKS = (
    (re.compile(r"-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|$)", re.DOTALL), "[pem]"),
    (re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=!-]+", re.IGNORECASE), r"\1 ***"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+\.[\w-]*"), "[token]"),
    (re.compile(r"\b00D\w{12,15}![\w.]+"), "[token]"),
    (
        re.compile(
            r"((?:client_secret|client_assertion|assertion|password|access_token|refresh_token"
            r"|api_?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,}]+",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    (re.compile(r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"), HIDDEN),
    (re.compile(r"[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (re.compile(r"\b\d{2}-\d{7}\b|\b\d{3}-\d{2}-\d{4}\b"), "[tax id]"),
    (
        re.compile(
            r"\b(?:AT|BE|BG|CHE|CY|CZ|DE|DK|EE|EL|ES|FI|FR|GB|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO"
            r"|SE|SI|SK|XI)[ -]?[A-Z]?\d{7,12}(?:[A-Z]\d{0,3})?\b"
        ),
        "[tax id]",
    ),
)
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
RANDOM_ID = re.compile("[0-9a-f]{32}")
OURS = frozenset({"event", "trace_id", "method", "target", "operation", "status", "code", "ms"})
"""What the access log says in words of ours, never in the caller's."""
ENCODER = msgspec.json.Encoder(enc_hook=str)
SUSPECT = re.compile(
    r"@|%40|-----|bearer|basic|eyj|00d|secret|assert|passw|token|api|\d{4}|://", re.IGNORECASE
)


class Secret:
    """A value that cannot be printed, logged, pickled or encoded; `reveal()` where it is sent."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        self._value = value

    def reveal(self) -> Any:
        """Give out the value itself."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, _spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    __hash__ = None  # type: ignore[assignment] # a hash of a secret says something about it

    def __reduce__(self) -> NoReturn:
        msg = "a secret is not stored"
        raise TypeError(msg)


def redacted(value: Any, key: str = "", depth: int = 0) -> Any:  # noqa: PLR0911 - a case a type
    """The value as JSON may show it: secrets and personal data hidden, nothing endless."""
    if value is None or isinstance(value, bool | int | float):
        return HIDDEN if value is not None and KEYS.search(key) else value
    if isinstance(value, Secret) or depth > DEEPEST or KEYS.search(key):
        return HIDDEN
    if isinstance(value, str):
        return redacted_text(value)
    if isinstance(value, Mapping):
        return {redacted_text(str(k)): redacted(v, str(k), depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item, key, depth + 1) for item in value]
    if isinstance(value, msgspec.Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return redacted(fields, key, depth + 1)
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    return str(value) if isinstance(value, Decimal) else redacted_text(str(value))


def redacted_text(text: str) -> str:
    """The text without what looks like a secret or like personal data."""
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]}[and {len(text) - LONGEST} more]"
    if not SUSPECT.search(text):
        return text
    text = IBAN.sub(_without_iban, text)
    for looks, shown in LOOKS:
        text = looks.sub(shown, text)
    return text


def _without_iban(found: re.Match[str]) -> str:
    """Hide what has the check digits of an IBAN; a word in capitals may follow it."""
    text = found[0]
    ends = [len(text), *(at for at, char in enumerate(text) if char == " ")]
    for end in sorted(ends, reverse=True):
        code = text[:end].replace(" ", "")
        number = "".join(str(int(char, 36)) for char in code[4:] + code[:4])
        if len(code) >= SHORTEST_IBAN and int(number) % 97 == 1:
            return "[iban]" + text[end:]
    return text


def quick_line(event: Mapping[str, Any]) -> str:
    """The same line for less: what is not plain ASCII is left to the slower way."""
    line = ENCODER.encode(event)
    return json_line(event) if not line.isascii() or b"\x7f" in line else line.decode()


def _suspect(name: str, value: Any) -> bool:
    """Whether a value must be looked at; random ids of ours have digits, and need not."""
    if isinstance(value, str) and not _named(name):
        return RANDOM_ID.fullmatch(value) is None and _looks_secret(value)
    return value is not None


@lru_cache(1024)
def _looks_secret(text: str) -> bool:
    return SUSPECT.search(text) is not None


@cache
def _named(name: str) -> bool:
    return KEYS.search(name) is not None


def json_line(event: Mapping[str, Any]) -> str:
    """One line whatever the values hold: every control character is escaped."""
    return json.dumps(event, ensure_ascii=True, default=str).replace("\x7f", "\\u007f")


def _redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: redacted(value, name) for name, value in event.items()}


def _uncoloured(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """The event without uvicorn's second version of it, which is for terminals."""
    event.pop("color_message", None)
    return event


def _render(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return json_line(event)


def level_of(level: str) -> int:
    """How severe a level is; Misconfigured names those there are."""
    levels = logging.getLevelNamesMapping()
    if level.upper() not in levels:
        told = f"{level} is no log level: one of {', '.join(levels)}"
        raise Misconfigured("settings.invalid", told)
    return levels[level.upper()]


def setup(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send what this process logs, libraries included, to one stream (standard error)."""
    out = stream or sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.format_exc_info,
    ]
    number = level_of(level)
    structlog.configure(
        processors=[*shared, _redact, _render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    clean = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared[:-1], structlog.stdlib.ExtraAdder()],
            processors=[clean, shared[-1], _uncoloured, _redact, _render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def get_logger(name: str = "throughline") -> Any:
    """A logger: `log.info("run.started", run=run.id)`; the event is `subject.what-happened`."""
    return structlog.get_logger(part=name)


def bound(**names: Any) -> AbstractContextManager[None]:
    """Put names (request_id, trace_id, run, step, entity) on every line logged inside."""
    return structlog.contextvars.bound_contextvars(**{k: v for k, v in names.items() if v})


def trace_id(traceparent: str) -> str | None:
    """The trace of a W3C `traceparent`, or None."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) >= 4 else None  # noqa: PLR2004 - version-trace-parent-flags


class LineWriter:
    """Many lines with few writes, for the access log: flushed by size, by time and at close."""

    def __init__(
        self, stream: TextIO | None = None, *, lines: int = 256, seconds: float = 0.5
    ) -> None:
        self._stream = stream or sys.stderr
        self._most, self._seconds = lines, seconds
        self._lines: list[str] = []
        self._since = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, event: Mapping[str, Any]) -> None:
        """Take one line; its keys are the writer's own words, and so are the values of `OURS`."""
        hidden = {
            name: redacted(value, name)
            for name, value in event.items()
            if name not in OURS and _suspect(name, value)
        }
        line = quick_line({**event, **hidden} if hidden else event)
        if not self._lines:
            self._begin()
        self._lines.append(line)
        if len(self._lines) >= self._most or time.monotonic() - self._since >= self._seconds:
            self.flush()

    def _begin(self) -> None:
        self._since = time.monotonic()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # no loop: size, the next line or close flush it
        self._timer = loop.call_later(self._seconds, self.flush)

    def flush(self) -> None:
        """Write what is held."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self._stream.write("\n".join(lines) + "\n")
            self._stream.flush()

    close = flush
