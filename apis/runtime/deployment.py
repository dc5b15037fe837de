"""One process of a deployment: what it serves itself, what it reaches elsewhere, what it runs."""

from __future__ import annotations

import asyncio
import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from redis.asyncio import Redis
from sqlalchemy.exc import OperationalError

from apis.gateway.policy import Gateway, gateway_in
from apis.gateway.upstream import Upstream
from apis.runtime.app import App
from apis.runtime.budget import Budget
from apis.runtime.clients import Asgi, Local, Remote, Target, client, outgoing, peer_of
from apis.runtime.clock import Clock, simulated_clock_url
from apis.runtime.cursors import Cursors
from apis.runtime.engine import Engine
from apis.runtime.flow import Runtime
from apis.runtime.leases import Leases
from apis.runtime.limits import Limiter, MemoryLimiter, RedisLimiter
from apis.runtime.metadata import Metadata
from apis.runtime.permits import MemoryPermits, Permits, RedisPermits
from apis.runtime.records import KEY, Records
from apis.runtime.references import resolve
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from apis.runtime.tokens import InternalTokens
from apis.runtime.variables import told
from contracts.errors import Conflict, Misconfigured, Unavailable

SYSTEM_APP = "system_apis.app:app_for"


class Deployment:
    """Everything a process is made of, wired once."""

    def __init__(self, settings: Settings, part: str, parts: tuple[str, ...]) -> None:
        self.settings = settings
        self.parts = parts
        self.gateway = policy_of(settings)
        self.metadata = Metadata.load(settings.entities)
        self.store = Store(settings.database_url, digest_key=settings.digest_key)
        self.records = records(os.environ, settings.home)
        self.engine = Engine(
            settings.database_url, poll_s=settings.queue_every_s, records=self.records
        )
        self.clock = Clock()
        self.tokens = InternalTokens(settings.internal_key)
        self.redis: Redis | None = (
            Redis.from_url(settings.redis_url) if settings.redis_url else None
        )
        self.limiter: Limiter = (
            RedisLimiter(self.redis, workers=settings.workers) if self.redis else MemoryLimiter()
        )
        self.leases = Leases(self.store, part, ttl=settings.lease_s)
        self.leaving = False
        self.budgets: dict[str, Budget] = {}
        """Of the connections that this process calls."""
        self.flows: list[str] = []
        """Of a worker: what it runs."""
        self.closing: list[Callable[[], Any]] = []
        self._http = outgoing()
        self._clients: dict[tuple[type, str], Any] = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self.apps: dict[str, App] = {}
        self._upstreams: dict[str, Upstream] = {}

    async def start(self) -> None:
        """Make the tables, follow the clock if told to, and load the apps of this process."""
        await asyncio.to_thread(migrated, self)
        if url := simulated_clock_url(dict(os.environ)):
            await self.clock.look(url)  # before anything, such as a feed, asks what time it is
            self._tasks.append(asyncio.create_task(self.clock.follow(url)))
        for name in self.served():
            self.apps[name] = self._load(name)
        if self.redis is None:
            for name in self.apps:
                if name.startswith("system/"):
                    await self.alone(name)

    async def alone(self, name: str) -> None:
        """Refuse to be the second one: without Redis, budgets and limits are this process's."""
        if not await self.leases.hold(name):
            told = f"another process serves {name}: without THROUGHLINE_REDIS_URL only one may"
            raise Conflict("part.served-already", told)

    def served(self) -> list[str]:
        """The apis (`tier/name`) that live in this process."""
        return [
            name
            for name in self.gateway.own
            if not {"all", name, name.partition("/")[0]}.isdisjoint(self.parts)
        ]

    def _load(self, name: str) -> App:
        api, tier_name = self.gateway.apis[name], name.partition("/")[2]
        if api.vendor:
            return cast("App", loaded(SYSTEM_APP)(tier_name, deployment=self))
        return cast("App", loaded(api.app or "")(self.runtime()))

    def runtime(self) -> Runtime:
        """What flows and process apps stand on."""
        return Runtime(
            store=self.store,
            engine=self.engine,
            clock=self.clock,
            metadata=self.metadata,
            records=self.records,
            connect=self.connect,
            leases=self.leases,
            cursors=Cursors(self.settings.internal_key),
            links=self.links(),
            issuer=self.settings.issuer,
        )

    def links(self) -> dict[str, str]:
        """Where people open a record of each connection, but for its id."""
        home, found = self.settings.home, {}
        for name, connection in self.metadata.connections.items():
            if connection.record_url:
                url = resolve(connection.url, os.environ, home).rstrip("/")
                found[name] = connection.record_url.replace("{url}", url)
        return found

    def permits(self, limit: int) -> Permits:
        """Slots of one connection: shared by all hosts with Redis, of this process without."""
        if self.redis is None:
            return MemoryPermits(limit)
        return RedisPermits(limit, self.redis, workers=self.settings.workers)

    def connect(self, port: type, api: str) -> Any:
        """A typed client of an api (`system/salesforce`), wherever it lives."""
        found = self._clients.get((port, api))
        if found is None:
            found = self._clients[port, api] = client(port, self.target(api))
        return found

    def target(self, api: str) -> Target:
        """The way to an api: a direct call in this process, HTTP to another."""
        if api in self.apps:
            return Local(self.apps[api])
        return self._remote(api)

    def _remote(self, api: str) -> Remote:
        peer = peer_of(self.settings.peers, api)
        if peer is None:
            told = f"{api} is not served here and THROUGHLINE_PEERS does not say where it is"
            remedy = f"say where: THROUGHLINE_PEERS={api}=http://<host>:<port>,..."
            raise Misconfigured("peer.unknown", told, remedy=remedy)
        major = self.gateway.apis[api].spoken
        return Remote(f"{peer.rstrip('/')}/{api}/v{major}", api, self.tokens, self._http)

    def mounts(self, policy: Gateway) -> dict[str, Asgi]:
        """Every version of every api that a policy serves as an ASGI app, for the gateway."""
        mounted: dict[str, Asgi] = {}
        for name, api in policy.apis.items():
            for major, version in api.versions.items():
                local = self.apps.get(name)
                if url := version.url or api.url:
                    mounted[f"{name}/v{major}"] = self._upstream(url)
                else:
                    mounted[f"{name}/v{major}"] = local or self._remote(name).asgi
        return mounted

    def _upstream(self, url: str) -> Upstream:
        """The pool of an address: kept when the policy changes."""
        if url not in self._upstreams:
            self._upstreams[url] = Upstream(url)
        return self._upstreams[url]

    def inside(self) -> Asgi:
        """The apps of this process behind the internal token, for other processes."""
        served = {
            f"/{name}/v{major}": app.serving(self.tokens, name)
            for name, app in self.apps.items()
            for major in self.gateway.apis[name].versions
        }
        return Inside(served)

    def spawn(self, work: Any) -> None:
        """Run a coroutine for as long as the process lives."""
        self._tasks.append(asyncio.create_task(work))

    async def close(self) -> None:
        """Stop what runs, then let go of everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for close in self.closing:
            await close()
        for upstream in self._upstreams.values():
            upstream.close()
        await self._http.aclose()
        if self.redis is not None:
            await self.redis.aclose()
        await self.engine.close()
        await asyncio.to_thread(self.leases.stop)
        self.store.close()


class Inside:
    """Several apps under their public paths, for calls that show an internal token."""

    def __init__(self, apps: Mapping[str, App]) -> None:
        self._apps = apps

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Find the app of `/tier/api/vN/...` and call it with the rest of the path."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        prefix = "/".join(path.split("/", 4)[:4])
        app = self._apps.get(prefix)
        if app is None:
            await send(
                {
                    "type": "http.response.start",
                    "status": 404,
                    "headers": [(b"content-length", b"0")],
                }
            )
            await send({"type": "http.response.body", "body": b""})
            return
        rest = path[len(prefix) :] or "/"
        await app(scope | {"path": rest, "raw_path": rest.encode(), "root_path": ""}, receive, send)


def policy_of(settings: Settings) -> Gateway:
    """The policy file's content; Misconfigured where there is none."""
    return gateway_in(settings.gateway)


def records(env: Mapping[str, str], home: Path) -> Records:
    """What writes and reads recorded values; Misconfigured where their key is none."""
    try:
        return Records.from_env(env, home)
    except Misconfigured as error:
        raise Misconfigured(error.code, told(KEY, error.detail)) from None
    except (ValueError, TypeError):
        what, remedy = "it is not 32 bytes in base64", "openssl rand -base64 32, as file:/path"
        raise Misconfigured("settings.invalid", told(KEY, what), remedy=remedy) from None


def reached(store: Store) -> None:
    """Unavailable if the database is not there: said before anything is started."""
    try:
        store.read_now(lambda connection: connection.scalar(sa.select(1)))
    except OperationalError as error:
        told = f"the database cannot be reached: {str(error.orig).partition(chr(10))[0]}"
        remedy = "THROUGHLINE_DATABASE_URL names it"
        raise Unavailable("database.not-reached", told, remedy=remedy) from error


def migrated(deployment: Deployment) -> None:
    """Lift the database to this release; one process at a time."""
    from apis.runtime.migrations import migrate  # noqa: PLC0415 - costs time that only the start has

    migrate(deployment.store, deployment.engine, deployment.settings.home)


def loaded(name: str) -> Any:
    """The object `package.module:attribute` names: the floor does not import the tiers."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
