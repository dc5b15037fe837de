"""One app per connection: the routes of its port on the adapter of its vendor."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from apis.runtime.app import App, make_app
from apis.runtime.budget import Budget
from apis.runtime.clients import outgoing
from apis.runtime.clock import Clock
from apis.runtime.deployment import Deployment
from apis.runtime.limits import Limiter
from apis.runtime.metadata import Connection, Metadata
from apis.runtime.owners import Owners
from apis.runtime.permits import Permits
from apis.runtime.references import resolve, secret
from apis.runtime.sign_in import Account, Tokens, fetcher
from apis.runtime.store import Store
from apis.runtime.vendor import Vendor, VendorHttp
from contracts.errors import Misconfigured

VERSION = "1.0.0"


class Home(msgspec.Struct, frozen=True):
    """Where references of the metadata lead: the environment and the home of this deployment."""

    env: Mapping[str, str]
    path: Path


def app_for(name: str, *, deployment: Deployment) -> App:
    """The app of a connection, as one process of a deployment serves it."""
    metadata, settings = deployment.metadata, deployment.settings
    connection = metadata.connections[name]
    if settings.search_lag_s is not None:
        connection = msgspec.structs.replace(connection, search_lag_s=settings.search_lag_s)
    slots = connection.budgets.concurrency
    http = outgoing(transport=connection.transport, pool=slots + 1)  # one more, to sign in
    deployment.closing.append(http.aclose)
    caller = caller_of(
        name,
        connection,
        metadata=metadata,
        home=Home(os.environ, settings.home),
        store=deployment.store,
        clock=deployment.clock,
        limiter=deployment.limiter,
        permits=deployment.permits(slots),
        http=http,
    )
    deployment.budgets[name] = caller.budget
    return app_of(caller, metadata)


def app_of(caller: VendorHttp, metadata: Metadata) -> App:
    """The routes of the vendor's port, served by its adapter."""
    vendor = caller.vendor.name
    return _app(vendor, part_of(vendor, "adapter:adapter")(caller, metadata), caller.name)


def described(vendor: str) -> App:
    """The app of any connection to a vendor with nothing behind it: for its published document."""
    return _app(vendor, None)


def _app(vendor: str, adapter: object, connection: str | None = None) -> App:
    port = part_of(vendor, "adapter:PORT")
    return make_app(
        f"{vendor} as {port}",
        version=VERSION,
        routes=loaded(f"system_apis.{port}:routes"),
        dependencies={port: adapter},
        source=connection,
    )


def caller_of(
    name: str,
    connection: Connection,
    *,
    metadata: Metadata,
    home: Home,
    store: Store,
    clock: Clock,
    limiter: Limiter,
    permits: Permits,
    http: httpx.AsyncClient,
) -> VendorHttp:
    """What calls the connection; its credentials are read at each sign-in, so they may change."""
    url = resolve(connection.url, home.env, home.path)
    connection = msgspec.structs.replace(connection, url=url)
    vendor: Vendor = part_of(connection.vendor, f"vendor:{connection.vendor.upper()}")
    fetch = fetcher(
        vendor.name,
        name,
        vendor.sign_in,
        lambda: account_of(connection, home),
        http=http,
        clock=clock,
        deadline_s=connection.deadline_s,
    )
    return VendorHttp(
        vendor,
        name,
        connection,
        store=store,
        clock=clock,
        http=http,
        tokens=Tokens(fetch, clock, age_s=vendor.token_age_s),
        budget=Budget(name, connection, limiter, permits),
        owners=Owners(metadata, name),
    )


def account_of(connection: Connection, home: Home) -> Account:
    """The account behind a connection, its references followed now."""
    url = resolve(connection.url, home.env, home.path)
    login = resolve(connection.login_url, home.env, home.path) if connection.login_url else url
    credentials = secret(connection.auth.credentials, home.env, home.path).reveal()
    if isinstance(credentials, str):
        credentials = msgspec.json.decode(credentials)
    return Account(
        url=url.rstrip("/"),
        login_url=login.rstrip("/"),
        kind=connection.auth.kind,
        audience=connection.auth.audience,
        credentials=credentials,
    )


def part_of(vendor: str, what: str) -> Any:
    """A part of a vendor's folder, by name."""
    try:
        return loaded(f"system_apis.{vendor}.{what}")
    except ModuleNotFoundError as error:
        raise Misconfigured("connection.unknown-vendor", f"there is no vendor {vendor}") from error


def loaded(name: str) -> Any:
    """What `package.module:name` is."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
