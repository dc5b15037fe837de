"""The systems behind the processes: which there are, for whom, and what each says of itself."""

from __future__ import annotations

from typing import Any

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec.structs import replace

from apis.runtime.app import App, make_app
from apis.runtime.flow import Runtime
from apis.runtime.metadata import Metadata
from apis.runtime.whose import whole_firm
from contracts.connections import Connection, ConnectionPage, Part, System
from contracts.errors import NotFound

PAGE = 100


@get("/connections", operation_id="listConnections", guards=[whole_firm])
async def list_connections(
    runtime: NamedDependency[Any], cursor: FromQuery[str | None] = None
) -> ConnectionPage:
    """Every connection with the parts it plays, by name."""

    async def after(name: str | None) -> ConnectionPage:
        return page_of(runtime.metadata, name)

    page: ConnectionPage = await runtime.cursors.page("connections", cursor, after)
    return page


@get("/connections/{name:str}", operation_id="getConnection", guards=[whole_firm])
async def get_connection(name: FromPath[str], runtime: NamedDependency[Any]) -> Connection:
    """One connection, with what its system says of itself."""
    connection = known(runtime.metadata, name)
    said = await runtime.connect(System, f"system/{name}").about()
    return replace(
        connection,
        version=said.version,
        retires_on=said.retires_on,
        capabilities=said.capabilities,
    )


def page_of(metadata: Metadata, after: str | None) -> ConnectionPage:
    """The connections whose names follow one."""
    names = [name for name in sorted(metadata.connections) if after is None or name > after]
    items = tuple(known(metadata, name) for name in names[:PAGE])
    return ConnectionPage(items=items, next=names[PAGE - 1] if len(names) > PAGE else None)


def known(metadata: Metadata, name: str) -> Connection:
    """What metadata says of a connection; NotFound `connection.unknown`."""
    found = metadata.connections.get(name)
    if found is None:
        raise NotFound("connection.unknown", "there is no connection of this name")
    parts = (
        Part(kind=kind, entity=row.entity, valid_from=row.valid_from)
        for row in metadata.roles
        for kind, served in row.serves.items()
        if served == name
    )
    return Connection(name=name, vendor=found.vendor, parts=tuple(parts))


def app(runtime: Runtime) -> App:
    """The API of connections."""
    made = {"runtime": runtime}
    routes = [list_connections, get_connection]
    return make_app("Connections", version="1.0.0", routes=routes, dependencies=made)
