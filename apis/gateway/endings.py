"""Which operations and fields are to go, told to those who use them.

An answer bears one set of `Deprecation`, `Sunset` and `Link`: of its version, its operation and
the fields that the request uses, the earliest day of each counts. Nothing is done for operations
of which nothing is deprecated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

import msgspec

from apis.gateway.exchange import Exchange
from apis.gateway.fields import Ending, Member, ending_of, in_query
from apis.gateway.guard import Header
from apis.gateway.lifecycle import headers_of
from apis.gateway.routes import Mount, Route
from apis.gateway.shapes import METHODS

LONG_AGO = date(1970, 1, 1)
"""Since when, where nobody says it: `Deprecation` is never without a day."""
_TOLD = frozenset({b"deprecation", b"sunset", b"link"})


class Endings:
    """What is deprecated of one operation: itself, or fields of it."""

    def __init__(self, mount: Mount, route: Route, own: Ending | None, issuer: str) -> None:
        fields = route.fields
        self._mount = mount
        self._issuer = issuer
        self._own = own
        self._fields = dict(fields.deprecated) if fields else {}
        known = fields.query if fields else {}
        self._query = {name: told for name, told in known.items() if told in self._fields}
        self._headers = fields.headers if fields else ()
        inside = any(name.startswith("body:") for name in self._fields)
        self._body = fields.body if fields and inside else None
        self._begun = self._told([own]) if own else ()

    def begun(self, exchange: Exchange) -> None:
        """Have every answer tell that the operation itself is deprecated, if so."""
        if self._begun:
            _tell(exchange, self._begun)

    def used(self, exchange: Exchange, query: bytes, headers: Mapping[bytes, bytes]) -> None:
        """Have the answer tell of the deprecated fields that an accepted request uses."""
        found: set[str] = in_query(query, self._query) if query and self._query else set()
        found |= {told for name, told in self._headers if name in headers}
        if self._body is not None and exchange.said is not None:
            self._met(self._body, exchange.said, found)
        if found:
            used = [self._fields[name] for name in found]
            _tell(exchange, self._told([*used, self._own] if self._own else used))

    def _met(self, member: Member, value: Any, found: set[str]) -> None:
        if isinstance(value, list):
            for each in value:
                self._met(member.rest or member, each, found)
        elif isinstance(value, dict):
            for name, each in value.items():
                inner = member.members.get(name, member.rest)
                if inner is None:
                    continue
                if inner.ending is not None:
                    found.add(inner.name)
                self._met(inner, each, found)

    def _told(self, ending: Iterable[Ending]) -> tuple[Header, ...]:
        """The headers of a version that has the earliest of these days, and of its own."""
        version = self._mount.version
        its = Ending(version.since, version.sunset)
        every = [Ending(each.since or its.since, each.sunset or its.sunset) for each in ending]
        if version.status == "deprecated":
            every.append(its)
        sunset = min((each.sunset for each in every if each.sunset), default=None)
        since = min((each.since for each in every if each.since), default=LONG_AGO)
        until = msgspec.structs.replace(
            version, status="deprecated", since=min(since, sunset or since), sunset=sunset
        )
        return headers_of(msgspec.structs.replace(self._mount, version=until), self._issuer)


def _tell(exchange: Exchange, headers: tuple[Header, ...]) -> None:
    """In place of what was told of the version."""
    exchange.more[:] = [each for each in exchange.more if each[0] not in _TOLD]
    exchange.more += headers


def endings(mounts: Mapping[str, Mount], issuer: str) -> dict[tuple[str, str], Endings]:
    """The operations of which something is deprecated, by their target and name."""
    found = {}
    for target, mount in mounts.items():
        own = {
            operation["operationId"]: ending_of(operation)
            for item in mount.document.get("paths", {}).values()
            for method in METHODS
            if (operation := item.get(method)) and operation.get("deprecated")
        }
        for _, route in mount.routes:
            if route.operation in own or (route.fields and route.fields.deprecated):
                ending = Endings(mount, route, own.get(route.operation), issuer)
                found[target, route.operation] = ending
    return found
