"""One deal, one trace: from the request at the gateway to the vendors, and on after a wait."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.firm import Firm
from tests.house import House


class Seen(NamedTuple):
    """One span, as it arrived."""

    name: str
    trace: bytes
    id: bytes
    parent: bytes
    links: tuple[bytes, ...]
    told: dict[str, Any]


class Collector:
    """An OTLP endpoint that keeps what it is sent."""

    def __init__(self) -> None:
        self.spans: list[Seen] = []
        spans = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                spans.extend(seen(ExportTraceServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def of(self, trace: str) -> list[Seen]:
        return [span for span in self.spans if span.trace.hex() == trace]


def seen(request: Any) -> Iterator[Seen]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                told = {each.key: each.value.string_value for each in span.attributes}
                links = tuple(link.span_id for link in span.links)
                yield Seen(span.name, span.trace_id, span.span_id, span.parent_span_id, links, told)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    collector = Collector()
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def traced(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A process per tier and vendor, all of which tell the collector."""
    home: Path = tmp_path_factory.mktemp("traces")
    named = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    named["THROUGHLINE_FEED_EVERY"] = "3600"  # the run is asked for at the gateway
    house = House(home, f"sqlite:///{home}/throughline.sqlite", None, **named)
    house.opens_sandboxes()
    house.opens_split()
    yield house
    house.close()


@pytest.fixture
async def firm(traced: House) -> AsyncIterator[Firm]:
    firm = Firm(traced)
    yield firm
    await firm.close()


def ancestors(span: Seen, spans: list[Seen]) -> list[str]:
    """The names from a span up to the one without a parent among them."""
    by_id = {each.id: each for each in spans}
    names = [span.name]
    while parent := by_id.get(span.parent):
        names.append(parent.name)
        span = parent
    return names


async def test_one_deal_is_one_trace_from_the_gateway_to_the_vendor_and_on_after_a_wait(
    firm: Firm, collector: Collector
) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", tax_code=None)
    started = await firm.starts(deal)
    item = await firm.work_item(deal, owner="finance-master-data")
    firm.salesforce.corrects(deal.customer_id, tax_code="DE-VAT-19")
    await firm.decides(item, "retry")
    await firm.run_of(deal)
    trace, asked = started.headers["traceparent"].split("-")[1:3]

    async def of_trace() -> list[Seen]:
        return collector.of(trace)

    spans = await firm.see(of_trace, lambda spans: len(stretches(spans)) > 1 and whole(spans))

    request = next(each for each in spans if each.id.hex() == asked)
    assert (request.name, request.parent) == ("POST process/deal-to-project/v1", b"")
    assert request.told["throughline.operation"] == "startRun"
    lines = [ancestors(each, spans) for each in spans if each.name.startswith("kantata POST")]
    assert lines
    for line in lines:
        assert line[1].endswith(" kantata as psa")
        assert line[3:] == ["deal_to_project", "POST Deal to project", request.name], line
    first, later = stretches(spans)
    assert (first.links, later.links) == ((), (first.id,))


def whole(spans: list[Seen]) -> bool:
    """Whether all parents have arrived; each process sends its spans by itself."""
    return {span.parent for span in spans} <= {span.id for span in spans} | {b""}


def stretches(spans: list[Seen]) -> list[Seen]:
    """How the run went on, those that follow last."""
    found = [each for each in spans if each.name == "deal_to_project"]
    return sorted(found, key=lambda each: len(each.links))
