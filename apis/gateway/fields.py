"""Which client used which field of which operation, last when: before a field goes, they are told.

Fields are told as their documents have them: `query:state`, `body:/lines/*/hours`, `header:X-Old`.
Every use of an accepted call is looked at; what is new in the hour is written beside the calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String

from apis.gateway.schemas import Schemas
from apis.runtime.clock import Clock
from apis.runtime.log import get_logger
from apis.runtime.store import Store, put_all, table
from contracts.changes import escaped, sunset_of

EVERY_S = 0.5
HOUR_S = 3_600.0
MOST = 400
"""Letters of a field's name that are kept."""
MOST_NAMES = 1_000
"""Names of one object that are remembered as met."""
FORMS = ("anyOf", "oneOf", "allOf")
log = get_logger(__name__)

FIELDS = table(
    "gateway",
    "field_uses",
    Column("client", String(200), primary_key=True),
    Column("target", String(200), primary_key=True),
    Column("operation", String(200), primary_key=True),
    Column("field", String(MOST), primary_key=True),
    Column("used_at", Float(53), nullable=False, index=True),
)


class Ending(NamedTuple):
    """Since when something is deprecated, and on which day it ends, where that is told."""

    since: date | None
    sunset: date | None


def ending_of(told: Mapping[str, Any]) -> Ending:
    """What a document says of something that it marks deprecated; no day counts as none."""
    try:
        since = date.fromisoformat(str(told.get("x-since", ""))[:10])
    except ValueError:
        since = None
    return Ending(since, sunset_of(dict(told)))


class Member:
    """A place in a body, and the members that the document has there."""

    __slots__ = ("ending", "members", "name", "rest")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ending: Ending | None = None
        """Where it is deprecated."""
        self.members: dict[str, Member] = {}
        self.rest: Member | None = None
        """What every other member is."""


class Fields:
    """The fields of an operation, as its document has them."""

    __slots__ = ("body", "deprecated", "headers", "query")

    def __init__(self, schemas: Schemas, template: str, method: str) -> None:
        self.query: dict[str, str] = {}
        self.headers: tuple[tuple[bytes, str], ...] = ()
        self.body = Member("body:")
        self.deprecated: dict[str, Ending] = {}
        at, item = schemas.find("paths", template)
        place, body = schemas.find(*at, method, "requestBody")
        for way, within in ((at, item), schemas.find(*at, method)):
            for index in range(len(within.get("parameters", ()))):
                _, told = schemas.find(*way, "parameters", str(index))
                if told.get("deprecated"):
                    self.deprecated[f"{told['in']}:{told['name']}"[:MOST]] = ending_of(told)
                if told["in"] == "query":
                    self.query[told["name"]] = f"query:{told['name']}"[:MOST]
                elif told["in"] == "header" and told.get("deprecated"):
                    name = told["name"].lower().encode()
                    self.headers += ((name, f"header:{told['name']}"[:MOST]),)
        for kind in (body or {}).get("content", {}):
            _grown(self.body, schemas, (*place, "content", kind, "schema"), {})
        self.deprecated |= _ending(self.body, set())

    @property
    def noted(self) -> bool:
        """Whether there is any."""
        return bool(self.query or self.headers or self.body.members or self.body.rest)

    def told(self) -> set[str]:
        """Every parameter of the query and member of a body whose use is noted."""
        found, left = set(self.query.values()), [self.body]
        while left:
            member = left.pop()
            inner = [*member.members.values(), *([member.rest] if member.rest else [])]
            left += [each for each in inner if each.name not in found]
            found |= {each.name for each in inner}
        return found


def _grown(
    member: Member,
    schemas: Schemas,
    place: tuple[str, ...],
    above: Mapping[tuple[str, ...], Member],
) -> None:
    """Add what the schema says; one inside itself is the member it was met as."""
    place, schema = schemas.find(*place)
    if not isinstance(schema, dict):
        return
    above = {**above, place: member}
    for word in FORMS:
        for index in range(len(schema.get(word, ()))):
            _grown(member, schemas, (*place, word, str(index)), above)
    if isinstance(schema.get("items"), dict):
        _grown_into(member, "*", schemas, ((*place, "items"), above))
    for name, told in schema.get("properties", {}).items():
        _grown_into(member, name, schemas, ((*place, "properties", name), above))
        inner = schemas.find(*place, "properties", name)[1]
        for each in (inner, told):
            if isinstance(each, dict) and each.get("deprecated"):
                member.members[name].ending = ending_of(each)
    if isinstance(schema.get("additionalProperties"), dict):
        _grown_into(member, "*", schemas, ((*place, "additionalProperties"), above))


def _grown_into(
    member: Member,
    name: str,
    schemas: Schemas,
    behind: tuple[tuple[str, ...], Mapping[tuple[str, ...], Member]],
) -> None:
    """Add a member by its name, or as what all others are."""
    place, above = behind
    met = above.get(schemas.find(*place)[0])
    inner = member.rest if name == "*" else member.members.get(name)
    if inner is None:
        inner = met or Member(f"{member.name}/{escaped(name)}"[:MOST])
        if name == "*":
            member.rest = inner
        else:
            member.members[name] = inner
    if met is None:
        _grown(inner, schemas, place, above)


def _ending(member: Member, met: set[int]) -> dict[str, Ending]:
    """A member and those inside it that are deprecated, by their names."""
    if id(member) in met:
        return {}
    met.add(id(member))
    found = {member.name: member.ending} if member.ending else {}
    for inner in (*member.members.values(), *([member.rest] if member.rest else [])):
        found |= _ending(inner, met)
    return found


class Seen:
    """What a client used of a place in a body within the hour."""

    __slots__ = ("_entries", "deep", "member", "names")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.names: set[str] = set()
        self.deep: dict[str, Seen] = {}
        """Those members met that may hold others."""
        self._entries: Seen | None = None

    def walk(self, value: Any, fresh: set[str]) -> None:
        """Add what the document has of a value and what was not met yet."""
        if type(value) is dict:
            if not value.keys() <= self.names:
                self._meet(value, fresh)
            for name, inner in self.deep.items():
                if each := value.get(name):
                    inner.walk(each, fresh)
        elif type(value) is list:
            if self._entries is None:
                self._entries = self if self.member.rest is None else Seen(self.member.rest)
            for each in value:
                self._entries.walk(each, fresh)

    def _meet(self, value: dict[str, Any], fresh: set[str]) -> None:
        for name in value.keys() - self.names:
            inner = self.member.members.get(name, self.member.rest)
            if inner is not None:
                fresh.add(inner.name)
            if len(self.names) < MOST_NAMES:
                self.names.add(name)
            if inner is None or not (inner.members or inner.rest):
                continue
            if len(self.deep) < MOST_NAMES:
                self.deep[name] = Seen(inner)
            else:  # a map of very many names
                Seen(inner).walk(value[name], fresh)


Key = tuple[str, str, str]
"""A client, a target and an operation."""


class FieldUses:
    """The uses that this gateway saw, on their way into the table."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._hour = 0.0
        self._seen: dict[Key, tuple[Seen, set[str]]] = {}
        self._due: dict[tuple[str, str, str, str], float] = {}

    def note(
        self, fields: Fields, key: Key, call: tuple[bytes, Any, Mapping[bytes, bytes]]
    ) -> None:
        """Remember what a call used: `call` is its query, the value of its body, its headers."""
        query, value, headers = call
        if not query and value is None and not fields.headers:
            return
        now = self._clock.timestamp()
        if now // HOUR_S != self._hour:
            self._hour = now // HOUR_S
            self._seen.clear()
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = Seen(fields.body), set()
        body, others = seen
        fresh: set[str] = set()
        if query:
            fresh |= in_query(query, fields.query)
        for header, told in fields.headers:
            if header in headers:
                fresh.add(told)
        fresh -= others
        others |= fresh
        if value is not None:
            body.walk(value, fresh)
        for field in fresh:
            self._due[*key, field] = now

    async def go(self) -> None:
        """Write what is new for as long as the process lives."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.close()

    async def close(self) -> None:
        """Write what is new if that can be; else with the next."""
        due, self._due = self._due, {}
        if not due:
            return
        try:
            await self._store.write(_written, due)
        except Exception as error:  # noqa: BLE001 - a lost database ends nothing
            self._due = due | self._due
            log.warning("field-uses.unwritten", error=type(error).__name__)


def in_query(query: bytes, known: Mapping[str, str]) -> set[str]:
    """The parameters of a query; their names may be written with escapes."""
    if b"%" not in query and b"+" not in query:
        parts = query.decode("latin-1").split("&")
        names = [part.partition("=")[0] for part in parts]
    else:
        names = [name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)]
    return {known[name] for name in names if name in known}


def _written(connection: Connection, due: dict[tuple[str, str, str, str], float]) -> None:
    names = ("client", "target", "operation", "field")
    rows = [
        {**dict(zip(names, key, strict=True)), "used_at": at}
        for key, at in sorted(due.items())  # one order for all gateways
    ]
    put_all(connection, FIELDS, rows)


def used_since(connection: Connection, since: float) -> list[dict[str, Any]]:
    """Every field that was used since, by whom and last when."""
    recent = sa.select(FIELDS).where(FIELDS.c.used_at >= since)
    every = recent.order_by(*FIELDS.primary_key.columns)
    return [dict(row) for row in connection.execute(every).mappings()]
