"""Spans across gateway, tiers, steps and vendor calls, when the standard OTEL_* variables ask.

The ids are those that travel in our `traceparent`s, so a span is recorded when its work is over and
nothing is carried along for it. Without a recorder the work costs one look at `SPANS.recorder`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Literal, Protocol

import msgspec

from apis.runtime.context import Call, trace_id_of, traceparent
from contracts.errors import Misconfigured

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Where spans go: the first that is given."""
Kind = Literal["server", "client", "internal"]
Attributes = Mapping[str, str | int | None]


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Work that is over; `own`, `parent` and `link` are traceparents."""

    name: str
    kind: Kind
    own: str
    parent: str
    began_ns: int
    failed: bool = False
    attributes: Attributes = {}
    link: str | None = None


class Recorder(Protocol):
    """Where spans go."""

    def record(self, span: Span) -> None:
        """Take one."""

    def close(self) -> None:
        """Send what is held."""


class Spans:
    """Whether this process records spans, as its logging it is set up once at its start."""

    recorder: Recorder | None = None


SPANS = Spans()


def begin(part: str, env: Mapping[str, str]) -> None:
    """Record spans if the environment names where they go."""
    if (recorder := recording(env)) is not None:
        SPANS.recorder = recorder(part)


def recording(env: Mapping[str, str]) -> Callable[[str], Recorder] | None:
    """What sends spans, where they are asked for; Misconfigured where it is not installed."""
    exporter = env.get("OTEL_TRACES_EXPORTER", "")
    named = exporter == "otlp" or any(env.get(name) for name in ENDPOINTS)
    off = env.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not named or off or exporter == "none":
        return None
    try:
        from apis.runtime.otlp import Otlp  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        told = f"OTEL_* asks for traces, and {error.name} is not installed"
        remedy = "pip install 'throughline[traces]', or take the variables out"
        raise Misconfigured("traces.not-installed", told, remedy=remedy) from error
    return Otlp


def end() -> None:
    """Send what is held, record no more."""
    recorder, SPANS.recorder = SPANS.recorder, None
    if recorder is not None:
        recorder.close()


@contextmanager
def spanning(call: Call, name: str, kind: Kind, attributes: Attributes) -> Iterator[None]:
    """A span around a piece of work; what it calls has it as parent."""
    parent, own = call.context.traceparent, child_of(call.context.traceparent)
    call.context = msgspec.structs.replace(call.context, traceparent=own)
    began_ns, failed = time.time_ns(), True
    try:
        yield
        failed = False
    finally:
        if SPANS.recorder is not None:
            SPANS.recorder.record(
                Span(
                    name=name,
                    kind=kind,
                    own=own,
                    parent=parent,
                    began_ns=began_ns,
                    failed=failed,
                    attributes=attributes,
                )
            )


def child_of(parent: str) -> str:
    """The traceparent of a new span in the same trace."""
    return traceparent(trace_id_of(parent) or None)
