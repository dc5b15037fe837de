"""What `entities.yaml` says of a connection: account, calendar, budget, feeds and mapping."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Literal, get_args

import msgspec

from apis.runtime.mapping import Overrides
from contracts.canonical.moment import Moment

Reference = Annotated[
    str,
    msgspec.Meta(
        pattern="^(env|file):.",
        description="a reference, never the secret itself",
        examples=["env:NAME or file:{home}/path#pointer"],
    ),
]
Rate = Annotated[
    str,
    msgspec.Meta(
        pattern="^[1-9][0-9]*/(s|min|h|day)$", description="calls per period", examples=["100/s"]
    ),
]
Clocktime = Annotated[
    str,
    msgspec.Meta(
        pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$", description="a time of day", examples=["02:30"]
    ),
]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
FROM = "from"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file; a member it does not know stops the start."""


class Auth(Section, frozen=True, kw_only=True):
    """How a connection signs in; `credentials` points at an object with the parts of its kind."""

    kind: Literal["client_credentials", "jwt", "oauth1"]
    credentials: Reference
    audience: str | None = None


class Api(Section, frozen=True, kw_only=True):
    """The vendor's version we are pinned to and its end; `batches`: records a call, per object."""

    version: str
    retires_on: date | None = None
    batches: dict[str, int] = {}


class Weekly(Section, frozen=True, kw_only=True):
    """Maintenance every week; a window whose end is not after its start ends the next day."""

    day: Weekday
    start: Clocktime = msgspec.field(name=FROM)
    until: Clocktime
    zone: str = "UTC"


class Once(Section, frozen=True, kw_only=True):
    """Announced maintenance."""

    start: Moment = msgspec.field(name=FROM)
    until: Moment


class Windows(Section, frozen=True, kw_only=True):
    """A connection's maintenance calendar."""

    weekly: tuple[Weekly, ...] = ()
    once: tuple[Once, ...] = ()


class Budgets(Section, frozen=True, kw_only=True):
    """What we may ask of a vendor: calls at a time, per period, per day."""

    concurrency: Count = 10
    rate: Rate | None = None
    daily: Count | None = None


class Connection(Section, frozen=True, kw_only=True):
    """An account at a vendor; `url` and `login_url` may be references with a default.

    `record_url` is where a person opens a record: `{url}` and `{external_id}` are filled in.
    """

    vendor: str
    url: str
    login_url: str | None = None
    record_url: str | None = None
    auth: Auth
    api: Api
    windows: Windows = Windows()
    budgets: Budgets = Budgets()
    search_lag_s: Annotated[float, msgspec.Meta(ge=0)] = 60
    deadline_s: Seconds = 10
    transport: Literal["httpx", "aiohttp"] = "httpx"
    max_answer_bytes: Count = 10_000_000


class Feed(Section, frozen=True, kw_only=True):
    """What is read from a connection, how often, and how far back each time."""

    connection: str
    object: str
    every_s: Seconds = 30
    overlap_s: Seconds = 300
    sweep_at: Clocktime | None = "02:30"
    begins_at: Moment | None = msgspec.field(name=FROM, default=None)


class Layers(Section, frozen=True, kw_only=True):
    """A connection's mapping, object by object: base < region < entity < acquired unit."""

    base: dict[str, Overrides] = {}
    regions: dict[str, dict[str, Overrides]] = {}
    entities: dict[str, dict[str, Overrides]] = {}
    units: dict[str, dict[str, Overrides]] = {}

    def each(self) -> Iterator[tuple[tuple[str, ...], dict[str, Overrides]]]:
        """Every layer and its place, the lowest first."""
        yield ("base",), self.base
        for kind in ("regions", "entities", "units"):
            for name, objects in getattr(self, kind).items():
                yield (kind, name), objects
