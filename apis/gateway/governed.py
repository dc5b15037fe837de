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
    """How each policy acts: `observe` counts what it would refuse; left out, the API says."""

    authorization: Literal["observe", "enforce"] | None = None
    """Scopes; `enforce` where neither the version nor the API says more."""
    limits: Literal["observe", "enforce"] | None = None
    """Plans and `limits` of an API; `enforce` where nobody says more."""
    requests: Mode | None = None
    """Parameters and bodies by the API's document; `off` looks at none; `enforce` where nobody says
    more."""
    responses: Mode | None = None
    """Answers by the document; `enforce` makes a wrong one 502; `off` where nobody says more."""

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
    """Its beginning with its zone: `2026-12-01T10:00Z`; in the file at least 7 days before that
    day."""
    minutes: int
    """How long it lasts: 1 to 1440, and no more in any seven days; none overlaps with another."""

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
    """What a call meets: `draft` 404, `retired` 410, `blocked` 403; `deprecated` answers until its
    `sunset`."""
    since: date | None = None
    """Day (UTC) from which it is not advised, told as `Deprecation`; needed by a version deprecated
    or retired."""
    sunset: date | None = None
    """Last day on which it answers, to 23:59:59 UTC: 180 days after `since` or later (30 after a
    preview)."""
    brownouts: tuple[Brownout, ...] = ()
    """Rehearsals of the end of a deprecated version."""
    modes: Modes = Modes()
    """Before those of the API."""
    url: str | None = None
    """Where this version of an API that is not ours runs, in place of the API's `url`."""
    document: str | None = None
    """Its OpenAPI 3.1 file, in place of the API's `document`."""


class Idempotency(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operations that need an `Idempotency-Key`: those that move money. Others may have one."""

    required: tuple[str, ...] = ()
    """Operation ids, each of one that changes something: without the header they answer 400;
    answers are kept 30 days."""


class ServiceLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What callers may count on: per cent of a month, and how soon 95 of 100 answers come."""

    availability: float
    """Per cent of a month in which it answers: above 0, up to 100, such as `99.9`."""
    latency_ms: int
    """Milliseconds, above 0, within which 95 of 100 answers come."""


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One API: what answers (`app`, `vendor` or `url`), its versions, what each scope opens."""

    app: str | None = None
    """For a process or experience API of ours: `package.module:name` of its program."""
    vendor: str | None = None
    """For a system API of ours: the folder in `system_apis/`, as its connection in entities.yaml
    says."""
    url: str | None = None
    """Where an API that is not ours runs: `https://shop.internal/v1`, no query, no password."""
    document: str | None = None
    """OpenAPI 3.1 of an API that is not ours, JSON or YAML, by its path from the folder of
    gateway.yaml."""
    owner: str = ""
    """Who answers for it: named in the catalog, the portal and the problems that it gives."""
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
    """What its data is, shown in the portal and its document; nothing is decided by it."""
    service_level: ServiceLevel | None = None
    """What its callers may count on, shown to them; left out, nothing is promised."""
    versions: dict[int, Version] = msgspec.field(default_factory=lambda: {1: Version()})
    """By major version, 1 or more; left out, there is one, and it is current."""
    scopes: dict[str, list[str] | str] = {}
    """Operation ids, or of an API that is not ours methods (`GET`) or `*` for all others."""
    limits: dict[str, Windows] = {}
    """Operation id to limits, written as a plan's `rate`: for each client, beside its plan."""
    idempotency: Idempotency = Idempotency()
    """Which operations take no call without an `Idempotency-Key`."""
    modes: Modes = Modes()
    """Whether policies refuse or only count, for all versions that do not say it themselves."""
    sizes: Sizes = Sizes()
    """How large requests and checked answers may be."""

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
