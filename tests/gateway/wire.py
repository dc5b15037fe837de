"""A plain socket to a gateway: bytes out, answers as they come, nothing put right on the way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress

from tests.gateway.catalogue import Answer, Request

WAIT_S = 20.0
NO_BODY = {204, 304}


class Wire:
    """One connection at a time, kept open from one request to the next while the server lets us."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None
        self._read = b""

    def asks(self, request: Request) -> Answer:
        """The answer to one request; a connection the server closes is made anew for the next."""
        sent = packed(request)
        fresh = self._socket is None
        if not self._sends(sent) and not fresh:  # the server had closed it: as any client does
            self.close()
            self._sends(sent)
        answer = self._answer(head=request.method == "HEAD")
        if answer.headers.get("connection") == "close":
            self.close()
        return answer

    def says(self, raw: bytes, then: bytes = b"") -> list[Answer]:
        """Every answer to these bytes, on a connection of their own, until the server closes it.

        `then` is sent after the first answer.
        """
        self.close()
        self._sends(raw)
        answers = []
        if then:
            answers.append(self._answer(head=False))
            self._sends(then)
        while self._more():
            answers.append(self._answer(head=False))
        self.close()
        return answers

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._read = None, b""

    def _sends(self, data: bytes) -> bool:
        """Send all; whether there will be an answer (a refused body may be cut short)."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        with suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(data)
        return self._more()

    def _more(self) -> bool:
        """Whether another byte comes before the end."""
        return bool(self._read) or self._takes()

    def _takes(self) -> bool:
        assert self._socket is not None
        try:
            got = self._socket.recv(1 << 16)
        except ConnectionResetError:
            got = b""
        self._read += got
        return bool(got)

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._read:
            assert self._takes(), f"the answer ends after {self._read[:300]!r}"
        found, _, self._read = self._read.partition(mark)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            assert self._takes(), f"the body ends after {len(self._read)} of {size} bytes"
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _answer(self, *, head: bool) -> Answer:
        first, *lines = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        version, status, *_ = first.split(" ")
        assert version == "HTTP/1.1"
        named = [line.partition(": ")[::2] for line in lines]
        headers = {name.lower(): value for name, value in named}
        body = b""
        if headers.get("transfer-encoding") == "chunked" and not head:
            body = b"".join(self._chunks())
        elif not head and int(status) not in NO_BODY:
            body = self._exactly(int(headers.get("content-length", "0")))
        return Answer(int(status), headers, body)

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            self._until(b"\r\n")
        self._until(b"\r\n")


def packed(request: Request) -> bytes:
    """A request as bytes; several parts of a body are chunks."""
    lines = [f"{request.method} {request.target} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in request.headers]
    if len(request.parts) == 1:
        body = request.parts[0]
    else:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in request.parts)
        body += b"0\r\n\r\n"
    return b"\r\n".join([*lines, b"", b""]) + body
