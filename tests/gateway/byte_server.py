"""A server of bytes, for what a real one would never say."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
Answer = Callable[["Server", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """A server of bytes: `answer` is told of each request and writes what it likes."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.answer: Answer = says(OK)
        self.port = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.asked.append(await reader.readuntil(b"\r\n\r\n"))
                await self.answer(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def head(self, n: int = -1) -> dict[str, str]:
        lines = self.asked[n].decode().split("\r\n")[1:-2]
        return dict(line.split(": ", 1) for line in lines)


def says(answer: bytes, *, close: bool = False, after: int | None = None) -> Answer:
    """Read the body there is, then write these bytes."""

    async def say(
        server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        length = after if after is not None else int(server.head().get("content-length", "0"))
        server.bodies.append(await reader.readexactly(length))
        writer.write(answer)
        await writer.drain()
        if close:
            raise ConnectionResetError

    return say
