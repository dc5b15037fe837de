"""How records are named: ours, a connection's, and pointers between them."""

from __future__ import annotations

import msgspec


class Ref(msgspec.Struct, frozen=True):
    """A reference in a record: `id` is ours (None until known), `external_id` the connection's."""

    id: str | None = None
    """The id that Throughline gave it."""
    external_id: str | None = None
    """Its id in the connection that it comes from."""


class Source(msgspec.Struct, frozen=True):
    """A pointer to a record of a connection; on the wire `{"system", "external_id"}`."""

    connection: str = msgspec.field(name="system")
    external_id: str
