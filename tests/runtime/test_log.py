from __future__ import annotations

import asyncio
import io
import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import structlog

from apis.runtime.log import LineWriter, Secret, bound, get_logger, redacted_text, setup, trace_id

PEM = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\n-----END PRIVATE KEY-----"
CANARIES = {
    "bearer": ("Authorization: Bearer canary.bearer-1", "canary.bearer-1"),
    "jwt": ("token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl", "eyJhbGciOiJFUzI1NiJ9"),
    "session": ("00D5g000004XyZ1!AQEAQCanarySession.x", "AQEAQCanarySession"),
    "form": ("grant_type=x&client_secret=canary-form&a=b", "canary-form"),
    "json": ('{"access_token": "canary-json"}', "canary-json"),
    "pem": (PEM, "MIGHAgEAMBMGByqGSM49"),
    "url": ("postgresql://tl:canary-url@db/x", "canary-url"),
    "iban": ("pay to DE89 3704 0044 0532 0130 00 now", "3704 0044"),
    "iban2": ("PAY DE89370400440532013000 NOW", "370400440532"),
    "vat": ("customer DE136695976 is missing", "136695976"),
    "ein": ("EIN 12-3456789", "3456789"),
    "e-mail": ("ask jane.canary@example.com", "jane.canary"),
    "encoded": ("/contacts/jane.canary%40example.com", "jane.canary"),
}


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.handlers[:], root.level
    setup("INFO", stream)
    yield stream
    root.handlers[:], level = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_one_json_object_a_line_with_its_context(out: io.StringIO) -> None:
    with bound(request_id="r-1", run="run-1", step=None):
        get_logger("runs").info("run.started", note="two\nlines\x1b[31m\x7f\u2028", n=3)
    get_logger("runs").debug("run.detail")
    (line,) = lines(out)
    assert out.getvalue().isascii()
    assert "\x7f" not in out.getvalue()
    assert line["event"] == "run.started"
    assert (line["request_id"], line["run"], line["level"], line["n"]) == (
        "r-1",
        "run-1",
        "info",
        3,
    )
    assert "step" not in line
    assert line["at"].endswith("Z")


@pytest.mark.parametrize("canary", CANARIES)
@pytest.mark.parametrize(
    "channel", ["message", "value", "nested", "exception", "library", "access"]
)
def test_no_canary_comes_out(out: io.StringIO, canary: str, channel: str) -> None:
    text, planted = CANARIES[canary]
    log = get_logger()
    if channel == "message":
        log.info(text)
    elif channel == "value":
        log.info("x.y", detail=text)
    elif channel == "nested":
        log.info("x.y", body=[{"deep": {"er": text}}])
    elif channel == "access":
        writer = LineWriter(out)
        writer.write({"path": text})
        writer.close()
    else:
        try:
            raise_with(text)
        except ValueError as error:
            if channel == "exception":
                log.error("app.defect", exc_info=error)  # noqa: TRY400 - as the runtime does
            else:
                logging.getLogger("library").exception("failed with %s", text)
    assert out.getvalue()
    assert planted not in out.getvalue()
    assert planted not in redacted_text(text)


def raise_with(text: str) -> None:
    raise ValueError(text)


def test_what_its_key_names_is_hidden_whatever_it_looks_like(out: io.StringIO) -> None:
    class Account(msgspec.Struct):
        iban: str = "canary"
        holder: str = "Acme"

    hidden = {
        "client_secret": "canary",
        "tax_id": "canary",
        "Set-Cookie": "canary",
        "cost_rate": 17,
    }
    shown = {"tokens_left": 5, "key": "customer-1", "code": "customer.tax-id-missing"}
    get_logger().info(
        "x.y", **hidden, **shown, account=Account(), raw=b"canary", s=Secret("canary")
    )
    (line,) = lines(out)
    assert "canary" not in out.getvalue()
    assert all(line[name] == "***" for name in hidden)
    assert {name: line[name] for name in shown} == shown
    assert line["account"] == {"iban": "***", "holder": "Acme"}


@pytest.mark.parametrize(
    "text",
    [
        "01JCABCDEFGHJKMNPQRSTVWXYZ",
        "006XX0000000001AAA",
        "2026-01-05T10:11:12Z",
        "DE12ABCDEFGHJKMNPQRSTVWXYZ",
    ],
)
def test_our_own_ids_stay_readable(text: str) -> None:
    assert redacted_text(text) == text


def test_a_line_of_the_server_says_what_happened_once_and_without_colours(
    out: io.StringIO,
) -> None:
    coloured = {"color_message": "Started server process [\x1b[36m%d\x1b[0m]"}
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7, extra=coloured)

    (line,) = lines(out)
    assert line["event"] == "Started server process [7]"
    assert not [value for value in line.values() if "\x1b" in str(value)]


def test_libraries_that_log_every_call_are_quiet(out: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET https://x")
    logging.getLogger("httpx").warning("slow")
    logging.getLogger("anything").info("said")
    assert [line["event"] for line in lines(out)] == ["slow", "said"]


def test_a_secret_does_not_leave_by_accident() -> None:
    secret = Secret("canary")
    shown = f"{secret} {secret!r} {secret:>20} {[secret]} {vars}".replace(str(vars), "")
    assert "canary" not in shown
    assert secret.reveal() == "canary"
    assert secret == Secret("canary")
    for leave in (pickle.dumps, msgspec.json.encode, json.dumps, hash):
        with pytest.raises(TypeError):
            leave(secret)


def test_the_access_log_is_written_in_few_pieces() -> None:
    class Counting(io.StringIO):
        writes = 0

        def write(self, text: str) -> int:
            self.writes += 1
            return super().write(text)

    stream = Counting()
    writer = LineWriter(stream, lines=10, seconds=60)
    for n in range(25):
        writer.write({"n": n})
    assert stream.writes == 2
    writer.close()
    assert [line["n"] for line in lines(stream)] == list(range(25))


async def test_the_access_log_does_not_wait_for_the_next_line() -> None:
    stream = io.StringIO()
    LineWriter(stream, seconds=0.01).write({"n": 1})
    assert stream.getvalue() == ""
    await asyncio.sleep(0.05)
    assert lines(stream) == [{"n": 1}]


def test_the_trace_of_a_traceparent() -> None:
    assert (
        trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        == "4bf92f3577b34da6a3ce929d0e0e4736"
    )
    assert trace_id("") is None
