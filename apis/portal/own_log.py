"""What was decided for the calls of a person's own applications, and how much they used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.gateway.decisions import COUNTS, DAY_S, DECISIONS
from apis.gateway.exchange import Decision

DAYS = 7
PAGE = 50
SCOPES = "authorization"
"""The policy that says whether a token has the scope."""
STATUSES = {"good": (200, 399), "refused": (400, 499), "failed": (500, 599)}
_REFUSED = "refused"
Called = tuple[str, str]
"""An API version and an operation of it; of the gateway's own the first is empty."""


class Call(msgspec.Struct, frozen=True):
    """One call, as whose it was may see it."""

    request_id: str
    at: float
    ms: float
    client: str
    target: str | None
    operation: str | None
    status: int
    code: str | None
    decided: tuple[Decision, ...]
    limits: str

    @property
    def let_in(self) -> bool:
        """Whether no scope was missing."""
        return not any(each[0] == SCOPES and each[2] == _REFUSED for each in self.decided)


class Wanted(NamedTuple):
    """Which calls to list."""

    clients: Collection[str]
    since: float
    status: str = ""
    called: Collection[Called] | None = None
    """Only these operations."""
    before: float | None = None


def _call(row: Any) -> Call:
    values = {name: getattr(row, name) for name in Call.__struct_fields__}
    told = msgspec.json.decode(row.decided, type=tuple[Decision, ...])
    return Call(**values | {"decided": told})


def calls(connection: Connection, wanted: Wanted) -> list[Call]:
    """A page of calls and one more where there are more, the latest first."""
    of = [DECISIONS.c.client.in_(list(wanted.clients)), DECISIONS.c.at >= wanted.since]
    if wanted.status in STATUSES:
        of.append(DECISIONS.c.status.between(*STATUSES[wanted.status]))
    if wanted.called is not None:
        target = sa.func.coalesce(DECISIONS.c.target, "")
        of.append(sa.tuple_(target, DECISIONS.c.operation).in_(list(wanted.called)))
    if wanted.before is not None:
        of.append(DECISIONS.c.at < wanted.before)
    page = sa.select(DECISIONS).where(*of).order_by(DECISIONS.c.at.desc()).limit(PAGE + 1)
    return [_call(row) for row in connection.execute(page)]


def call(connection: Connection, request_id: str, wanted: Wanted) -> list[Call]:
    """The calls of this id that are theirs: a caller may give one id to several."""
    of = (
        DECISIONS.c.request_id == request_id,
        DECISIONS.c.client.in_(list(wanted.clients)),
        DECISIONS.c.at >= wanted.since,
    )
    rows = connection.execute(sa.select(DECISIONS).where(*of).order_by(DECISIONS.c.at.desc()))
    return [_call(row) for row in rows]


def operations(connection: Connection, wanted: Wanted) -> dict[Called, bool]:
    """The operations that were called, and whether a scope let any call in."""
    of = COUNTS.c.client.in_(list(wanted.clients)), COUNTS.c.day >= int(wanted.since // DAY_S)
    named = sa.select(COUNTS).where(*of, COUNTS.c.operation != "")
    found: dict[Called, bool] = {}
    for row in connection.execute(named):
        called = row.target, row.operation
        let_in = row.policy == SCOPES and row.outcome != _REFUSED
        found[called] = found.get(called, False) or let_in
    return found


class Use(NamedTuple):
    """What an application used: by operation today and this week, refusals by reason."""

    today: int
    operations: dict[Called, tuple[int, int]]
    """By API version and operation: today, and in the last seven days."""
    refused: dict[tuple[str, str, str], int]
    """By API version, policy and rule, in the last seven days."""


def use(connection: Connection, client: str, now: float) -> Use:
    """Count by days of UTC, as quotas do."""
    today = int(now // DAY_S)
    of = COUNTS.c.day > today - DAYS, COUNTS.c.client == client
    day: Counter[tuple[str, str]] = Counter()
    week: Counter[tuple[str, str]] = Counter()
    refused: Counter[tuple[str, str, str]] = Counter()
    for row in connection.execute(sa.select(COUNTS).where(*of)).mappings():
        called = row["target"], row["operation"]
        if row["policy"] == "limits" and row["outcome"] != _REFUSED:
            week[called] += row["count"]
            day[called] += row["count"] if row["day"] == today else 0
        if row["outcome"] == _REFUSED:
            refused[row["target"], row["policy"], row["rule"]] += row["count"]
    each = {called: (day[called], week[called]) for called in sorted(week)}
    return Use(sum(day.values()), each, dict(refused.most_common()))


def admitted(connection: Connection, client: str, since: float) -> int:
    """How many calls a plan's limits let pass since then."""
    passed = DECISIONS.c.decided.like('%["limits",%"allowed"]%')
    of = DECISIONS.c.client == client, DECISIONS.c.at >= since, passed
    return connection.execute(sa.select(sa.func.count()).where(*of)).scalar_one()


def first_good(connection: Connection, client: str, since: float) -> Call | None:
    """The last good answer of an API, if there was one lately."""
    good = DECISIONS.c.status < 400, DECISIONS.c.operation.is_not(None)  # noqa: PLR2004 - HTTP's border
    of = sa.select(DECISIONS).where(DECISIONS.c.client == client, DECISIONS.c.at >= since, *good)
    row = connection.execute(of.order_by(DECISIONS.c.at.desc()).limit(1)).first()
    return _call(row) if row else None
