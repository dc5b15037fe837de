"""What the processes and audiences say of the systems a firm runs on."""

from __future__ import annotations

from datetime import date
from typing import Protocol

import msgspec

from contracts.ports import About, operation


class System(Protocol):
    """What every system offers, whatever else it is."""

    @operation("GET", "/about")
    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a connection is for one legal entity, or for all, from a day on."""

    kind: str
    entity: str | None = None
    valid_from: date | None = None


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """An account at a system; `version` and `retires_on` are the system's own word."""

    name: str
    vendor: str
    parts: tuple[Part, ...] = ()
    version: str | None = None
    retires_on: date | None = None
    capabilities: dict[str, bool] = {}


class ConnectionPage(msgspec.Struct, frozen=True, kw_only=True):
    """Connections by name; nobody was asked, so there are no versions."""

    items: tuple[Connection, ...] = ()
    next: str | None = None
