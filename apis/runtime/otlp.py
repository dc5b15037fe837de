"""Spans as OpenTelemetry sends them: OTLP over HTTP, where and how the OTEL_* variables say."""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from apis.runtime.traces import Span

KINDS = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
}


class Given(IdGenerator):
    """The ids that were in our traceparent."""

    own = SpanContext(0, 0, is_remote=False)

    def generate_span_id(self) -> int:
        """The span's."""
        return self.own.span_id

    def generate_trace_id(self) -> int:
        """The trace's, where the span has no parent."""
        return self.own.trace_id


class Otlp:
    """Sends spans in batches, from a thread of its own."""

    def __init__(self, part: str) -> None:
        self._ids = Given()
        named = Resource.create({"service.instance.id": part})
        if named.attributes.get("service.name") == "unknown_service":
            named = named.merge(Resource({"service.name": "throughline"}))
        self._provider = TracerProvider(id_generator=self._ids, resource=named)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("throughline")

    def record(self, span: Span) -> None:
        """Take a span that is over."""
        own, parent = context_of(span.own), context_of(span.parent)
        if own is None:
            return
        self._ids.own = own
        around = Context()
        if parent is not None and parent.span_id != own.span_id:
            around = trace.set_span_in_context(NonRecordingSpan(parent), around)
        link = context_of(span.link) if span.link else None
        made = self._tracer.start_span(
            span.name,
            around,
            KINDS[span.kind],
            {name: value for name, value in span.attributes.items() if value is not None},
            [trace.Link(link)] if link else [],
            start_time=span.began_ns,
        )
        if span.failed:
            made.set_status(StatusCode.ERROR)
        made.end()

    def close(self) -> None:
        """Send what is held."""
        self._provider.shutdown()


def context_of(traceparent: str) -> SpanContext | None:
    """The ids of a traceparent."""
    try:
        _, trace_id, span_id, flags = traceparent.split("-")
        return SpanContext(
            int(trace_id, 16),
            int(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(int(flags, 16)),
        )
    except ValueError:
        return None
