"""What `gateway.yaml` says of one API: what answers, its versions, modes, scopes and sizes."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Literal

import msgspec

from apis.gateway.bodies import Sizes

Windows = str | list[str] | dict[str, str]
"""`600/min`, or several at once: `[10/s, 600/min]`, or each with a name of its own."""


Mode = Literal["off", "observe", "enforce"]


class Modes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How each policy acts: `observe` counts what it would refuse; None leaves it to the API."""

    authorization: Literal["observe", "enforce"] | None = None
    limits: Literal["observe", "enforce"] | None = None
    requests: Mode | None = None
    responses: Mode | None = None

    def within(self, outer: Modes) -> Modes:
        """These where they say something, else the outer ones."""
        own = msgspec.structs.asdict(self)
        return msgspec.structs.replace(outer, **{name: own[name] for name in own if own[name]})


MODES = Modes("enforce", "enforce", "enforce", "off")
"""What holds where neither an API nor its version says anything."""


Status = Literal["draft", "preview", "current", "deprecated", "retired", "blocked"]
"""The states of a version, in the order of its life; any that is served may be blocked."""
SERVED = frozenset({"preview", "current", "deprecated"})


class Brownout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rehearsal of the end: from then, for so long, a version answers as if it had ended."""

    at: str
    minutes: int

    @property
    def window(self) -> tuple[datetime, datetime]:
        """From when until when; ValueError where that is no moment with its zone."""
        start = datetime.fromisoformat(self.at)
        if start.tzinfo is None:
            msg = "a moment needs its zone"
            raise ValueError(msg)
        return start, start + timedelta(minutes=self.minutes)


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a major version is served, since when it is not advised, and until when."""

    status: Status = "current"
    since: date | None = None
    sunset: date | None = None
    brownouts: tuple[Brownout, ...] = ()
    modes: Modes = Modes()
    url: str | None = None
    document: str | None = None


class Idempotency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operations that need an `Idempotency-Key`: those that move money. Others may have one."""

    required: tuple[str, ...] = ()


class ServiceLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What callers may count on: per cent of a month, and how soon 95 of 100 answers come."""

    availability: float
    latency_ms: int


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One API: what answers (`app`, `vendor` or `url`), its versions, what each scope opens."""

    app: str | None = None
    vendor: str | None = None
    url: str | None = None
    """Where an API that is not ours runs; `document` is its OpenAPI file."""
    document: str | None = None
    owner: str = ""
    title: str = ""
    """What it is called in the portal, where its document does not say it well."""
    summary: str = ""
    """What it is for, in one sentence."""
    uses: tuple[str, ...] = ()
    """The APIs it is built on, by call or by the events they announce: `<tier>/<api>`."""
    contact: str = ""
    """Where its owner is reached: an address of mail, or of a page."""
    audience: Literal["internal", "partner"] = "internal"
    """Who is told of it in the portal: people who signed in, or everybody."""
    data_class: Literal["public", "internal", "confidential", "personal"] = "internal"
    service_level: ServiceLevel | None = None
    versions: dict[int, Version] = msgspec.field(default_factory=lambda: {1: Version()})
    scopes: dict[str, list[str] | str] = {}
    """Operation ids, or of an API that is not ours methods (`GET`) or `*` for all others."""
    limits: dict[str, Windows] = {}
    idempotency: Idempotency = Idempotency()
    modes: Modes = Modes()
    sizes: Sizes = Sizes()

    @property
    def spoken(self) -> int:
        """The major that its app speaks: the newest that is more than a draft."""
        ready = [major for major, version in self.versions.items() if version.status != "draft"]
        return max(ready, default=max(self.versions, default=1))

    @property
    def foreign(self) -> bool:
        """Whether another's program answers: it is reached by its address."""
        addresses = [self.url, *(version.url for version in self.versions.values())]
        return any(addresses) or bool(self.documents)

    @property
    def documents(self) -> list[str]:
        """The files that describe it, where it is not ours."""
        named = [self.document, *(version.document for version in self.versions.values())]
        return [file for file in named if file]
