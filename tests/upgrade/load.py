"""Callers who never stop asking: each keeps its connection until an answer was the last on it."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx

Request = tuple[str, str, object]
"""Method, path, and the JSON that is sent."""


class Load:
    """Clients with a connection each, from entering until leaving the block."""

    def __init__(
        self, url: str, token: str, requests: Sequence[Request], *, clients: int, pause_s: float
    ) -> None:
        self._url, self._pause_s = url, pause_s
        self._headers = {"Authorization": f"Bearer {token}"}
        self._requests = itertools.cycle(requests)
        self._over = asyncio.Event()
        self._count = clients
        self._tasks: list[asyncio.Task[None]] = []
        self.statuses: Counter[int] = Counter()
        self.failures: list[str] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client()) for _ in range(self._count)]
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def _client(self) -> None:
        most = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(
            base_url=self._url, headers=self._headers, trust_env=False, limits=most, timeout=30
        ) as http:
            while not self._over.is_set():
                method, path, body = next(self._requests)
                try:
                    answer = await http.request(method, path, json=body)
                except httpx.HTTPError as error:
                    self.failures.append(f"{method} {path}: {error!r}")
                    continue
                self.statuses[answer.status_code] += 1
                if not answer.is_success:
                    self.failures.append(f"{method} {path}: {answer.status_code} {answer.text}")
                await asyncio.sleep(self._pause_s)
