"""One request on a connection and its answer, whose head leaves with the first part of its body."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_BODILESS = frozenset({204, 304})
_START, _BODY = "http.response.start", "http.response.body"


class BadAnswerError(RuntimeError):
    """An app has answered what cannot be sent."""


class Cycle(RequestResponseCycle):
    """uvicorn's cycle with one write where that sends two."""

    _head = b""

    @property
    def sent(self) -> bool:
        """Whether anything of the answer has left."""
        return self.response_started and not self._head

    async def send(self, message: Any) -> None:
        """Take a part of the answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started and kind == _START:
            self._begin(message["status"], message.get("headers", ()))
        elif self.response_started and not self.response_complete and kind == _BODY:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            told = f"{kind} does not belong here"
            raise BadAnswerError(told)

    def _begin(self, status: int, headers: Any) -> None:
        """Make the head; it waits for the first part of the body."""
        length, chunked, closes = None, False, False
        lines = [b"%b: %b\r\n" % header for header in self.default_headers]
        for given, value in headers:
            name = given.lower()
            if name == b"content-length":
                length = int(value)
            elif name == b"transfer-encoding":
                chunked = value.lower() == b"chunked"
            elif name == b"connection":
                closes = b"close" in value.lower()
            lines.append(b"%b: %b\r\n" % (name, value))
        self.keep_alive = self.keep_alive and not closes
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        bodiless = status in _BODILESS or self.scope["method"] == "HEAD"
        if length is None and not chunked and not bodiless:
            lines.append(b"transfer-encoding: chunked\r\n")
            chunked = True
        head, count = b"".join(lines), len(lines)
        whole = head.count(b"\n") == head.count(b"\r") == count and b"\0" not in head
        if not whole or (chunked and length is not None):
            told = "these headers would not be read as they are meant"
            raise BadAnswerError(told)
        self.response_started, self.waiting_for_100_continue = True, False
        self.chunked_encoding = chunked
        self.expected_content_length = 0 if bodiless or length is None else length
        self._head = b"%b%b\r\n" % (STATUS_LINE[status], head)

    def _go_on(self, body: bytes, *, more: bool) -> None:
        """Send a part of the body, the first with the head, and end with the last."""
        if self.scope["method"] == "HEAD":
            body = b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (
                b"" if more else b"0\r\n\r\n"
            )
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0 or (self.expected_content_length and not more):
                told = "the body is not as long as its header says"
                raise BadAnswerError(told)
        if self._head:
            body, self._head = self._head + body, b""
        self.transport.write(body)
        if more:
            return
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
