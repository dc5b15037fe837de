"""Whether a process can serve: its database and leases, and the processes it passes calls to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import msgspec

from apis.runtime.app import PROBLEM
from apis.runtime.clients import Asgi, Send, outgoing
from apis.runtime.deployment import Deployment
from contracts.errors import Problem

Ready = Callable[[], Awaitable[list[str]]]
ASK_S = 0.5
KEEP_S = 1.0
PATH = "/readyz"
UNREADY = 503


async def unready(deployment: Deployment) -> list[str]:
    """What keeps this process from serving; nothing when it is ready."""
    if deployment.leaving:
        return ["this process is leaving"]
    try:
        await deployment.store.read(
            lambda connection: connection.exec_driver_sql("select 1").scalar()
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
        return [f"database: {type(error).__name__}"]
    return [f"lease lost: {name}" for name in deployment.leases.missing()]


class Peers:
    """The other processes' readiness, asked at most once a second however often we are asked."""

    def __init__(self, places: Mapping[str, str], http: httpx.AsyncClient) -> None:
        self._places = places
        self._http = http
        self._known: list[str] = []
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def unready(self) -> list[str]:
        """The parts that are not ready, by the names `THROUGHLINE_PEERS` gives them."""
        async with self._asking:
            if time.monotonic() >= self._until:
                asked = [self._asked(part, place) for part, place in self._places.items()]
                self._known = [told for told in await asyncio.gather(*asked) if told]
                self._until = time.monotonic() + KEEP_S
            return self._known

    async def _asked(self, part: str, place: str) -> str | None:
        try:
            answer = await self._http.get(place.rstrip("/") + PATH, timeout=ASK_S)
        except httpx.HTTPError:
            return f"{part} does not answer"
        return f"{part} is not ready" if answer.status_code == UNREADY else None


def peers_of(deployment: Deployment) -> dict[str, str]:
    """Where the apis that this process only passes on are, by their names in the settings."""
    told = deployment.settings.peers
    away = [name for name in deployment.gateway.own if name not in deployment.apps]
    named = {name if name in told else name.partition("/")[0] for name in away}
    return {part: told[part] for part in sorted(named) if part in told}


def with_peers(deployment: Deployment) -> Ready:
    """The readiness of a gateway: its own, and that of the processes behind it."""
    places = peers_of(deployment)
    if not places:
        return lambda: unready(deployment)
    http = outgoing()
    deployment.closing.append(http.aclose)
    peers = Peers(places, http)

    async def ready() -> list[str]:
        return await unready(deployment) or await peers.unready()

    return ready


def telling(app: Asgi, ready: Ready) -> Asgi:
    """The same app, which also says at `/readyz` whether it can serve."""

    async def told(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] == PATH:
            await _answered(await ready(), send)
        else:
            await app(scope, receive, send)

    return told


async def _answered(missing: list[str], send: Send) -> None:
    status, body, kind = 200, b'{"status":"ready"}', b"application/json"
    if missing:
        status, kind = UNREADY, PROBLEM.encode()
        detail = f"Not ready: {', '.join(missing)}."
        told = Problem(status=status, code="unavailable", detail=detail)
        body = msgspec.json.encode(told)
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
