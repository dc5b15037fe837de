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
        pattern="^[1-9][0-9]{0,11}/(s|min|h|day)$",
        description="calls per period",
        examples=["100/s"],
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
    """`client_credentials`: id and secret (salesforce, kantata); `jwt`: a signed assertion
    (salesforce, netsuite); `oauth1`: each request is signed (netsuite)."""
    credentials: Reference
    """`file:{home}/path#pointer` (mode 600) or `env:NAME` of a JSON object; read at each sign-in,
    so it may change."""
    audience: str | None = None
    """`aud` of the assertion of `jwt`; left out, where the sign-in is asked for."""


class Api(Section, frozen=True, kw_only=True):
    """The vendor's version we are pinned to and its end; `batches`: records a call, per object."""

    version: str
    """The vendor's name of it: `v62.0`; part of what salesforce and kantata are called by, shown
    for netsuite."""
    retires_on: date | None = None
    """The day from which the vendor serves it no more; `throughline check` refuses one that has
    come."""
    batches: dict[str, int] = {}
    """Records written in one call, by the vendor's object: `{stories: 100}`; 1 is one by one
    (kantata, 100 if left out)."""


class Weekly(Section, frozen=True, kw_only=True):
    """Maintenance every week; a window whose end is not after its start ends the next day."""

    day: Weekday
    """The day on which it begins, in `zone`."""
    start: Clocktime = msgspec.field(name=FROM)
    """Time of day in `zone`: `04:00`."""
    until: Clocktime
    """Time of day in `zone` at which calls begin again: `05:00`."""
    zone: str = "UTC"
    """A name of the IANA time zones, such as `America/Los_Angeles`."""


class Once(Section, frozen=True, kw_only=True):
    """Announced maintenance."""

    start: Moment = msgspec.field(name=FROM)
    """Its beginning, with its zone: `2026-12-05T02:00:00Z`."""
    until: Moment
    """When calls begin again, with its zone; later than `from`."""


class Windows(Section, frozen=True, kw_only=True):
    """A connection's maintenance calendar."""

    weekly: tuple[Weekly, ...] = ()
    """Times in every week in which nothing is asked of it."""
    once: tuple[Once, ...] = ()
    """Single times in which nothing is asked of it."""


class Budgets(Section, frozen=True, kw_only=True):
    """What we may ask of a vendor: calls at a time, per period, per day."""

    concurrency: Count = 10
    """Calls under way at the same moment, at least 1, of all our processes where there is Redis."""
    rate: Rate | None = None
    """Calls in `s`, `min`, `h` or `day`, such as `100/s`; left out, there is no such limit."""
    daily: Count | None = None
    """Calls in a day of UTC, at least 1; left out, there is no such limit."""


class Connection(Section, frozen=True, kw_only=True):
    """An account at a vendor; `url` and `login_url` may be references with a default.

    `record_url` is where a person opens a record: `{url}` and `{external_id}` are filled in.
    """

    vendor: str
    """The folder in `system_apis/`: `salesforce`, `kantata`, `netsuite`."""
    url: str
    """An address, `env:NAME`, `env:NAME|default` or `file:{home}/path`; salesforce names the host
    to call itself at sign-in."""
    login_url: str | None = None
    """Where tokens are asked for, written alike; left out, `url`."""
    record_url: str | None = None
    """Such as `{url}/workspaces/{external_id}`; left out, work items and runs have no link."""
    auth: Auth
    """How we sign in there."""
    api: Api
    """The version of its API."""
    windows: Windows = Windows()
    """When it is down for maintenance: work waits instead of failing."""
    budgets: Budgets = Budgets()
    """How much we may ask of it."""
    search_lag_s: Annotated[float, msgspec.Meta(ge=0)] = 60
    """Seconds until its search shows a new record: so long nothing unanswered is sent again;
    `THROUGHLINE_SEARCH_LAG` wins."""
    deadline_s: Seconds = 10
    """Seconds, above 0, that one call may take with all its attempts; less where the caller has
    less."""
    transport: Literal["httpx", "aiohttp"] = "httpx"
    """The HTTP client underneath; `aiohttp` is the lighter one."""
    max_answer_bytes: Count = 10_000_000
    """Bytes of one answer, decompressed; a longer one is given up."""


class Feed(Section, frozen=True, kw_only=True):
    """What is read from a connection, how often, and how far back each time."""

    connection: str
    """The name of one of `connections`, a CRM."""
    object: str
    """`deal`: no other is read; each connection and object once."""
    every_s: Seconds = 30
    """Seconds between two readings, above 0; more after failures; `THROUGHLINE_FEED_EVERY` wins."""
    overlap_s: Seconds = 300
    """Seconds, above 0, that each reading goes back behind the last: what became visible late."""
    sweep_at: Clocktime | None = "02:30"
    """Time of day (UTC) of a reading of everything since `from`: `02:30`; null is never."""
    begins_at: Moment | None = msgspec.field(name=FROM, default=None)
    """Deals changed since then, with its zone: `2026-01-01T00:00:00Z`; left out, its first start.
    Later changes do nothing."""


class Layers(Section, frozen=True, kw_only=True):
    """A connection's mapping, object by object: base < region < entity < acquired unit."""

    base: dict[str, Overrides] = {}
    """Object, such as `project`, to what is mapped otherwise for everybody."""
    regions: dict[str, dict[str, Overrides]] = {}
    """The same by `region` of an entity; one that no entity has is refused."""
    entities: dict[str, dict[str, Overrides]] = {}
    """The same by name of an entity."""
    units: dict[str, dict[str, Overrides]] = {}
    """The same by `unit` of an entity: what an acquired firm brought along."""

    def each(self) -> Iterator[tuple[tuple[str, ...], dict[str, Overrides]]]:
        """Every layer and its place, the lowest first."""
        yield ("base",), self.base
        for kind in ("regions", "entities", "units"):
            for name, objects in getattr(self, kind).items():
                yield (kind, name), objects
