"""What the life of a version means to who calls it: told on every answer, refused at its end.

Decided once, at start; a version in its prime has no `Life` and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from math import ceil

from apis.gateway.exchange import Exchange
from apis.gateway.guard import Header, Refusal
from apis.gateway.policy import Api, Version, place_of
from apis.gateway.routes import Mount
from apis.runtime.typed_yaml import Finding, Place

RETIRED = Refusal("version-retired")
BLOCKED = Refusal("version-blocked")
PRIME = frozenset({"draft", "preview", "current"})
"""The states of a version that does not end; one that is blocked goes on from what it was."""
LONGEST = 24 * 60
"""Minutes in any seven days: a brown-out is a rehearsal, not the end."""
WEEK = timedelta(days=7)
Extended = Callable[[str, str | None], bool]
"""Whether a target is served beyond its end to a client, or with None to anybody."""


def never(target: str, client: str | None) -> bool:  # noqa: ARG001 - the shape of `Extended`
    """Serve nobody beyond the end."""
    return False


class Life:
    """A version that is not in its prime."""

    def __init__(
        self, mount: Mount, issuer: str, now: Callable[[], float], extended: Extended
    ) -> None:
        version = mount.version
        self._target = mount.target
        self._now = now
        self._extended = extended
        self._headers = headers_of(mount, issuer)
        self._blocked = version.status == "blocked"
        self._ended = version.status == "retired"
        self._end = end_of(version)
        self._windows = [
            tuple(each.timestamp() for each in brownout.window) for brownout in version.brownouts
        ]

    def begun(self, exchange: Exchange) -> Refusal | None:
        """Have every answer tell of it; say why nobody is served now, if so."""
        exchange.more += self._headers
        now = self._now()
        if self._blocked:
            return self._refused(exchange, BLOCKED)
        if self._over(now) and (self._ended or not self._extended(self._target, None)):
            return self._refused(exchange, RETIRED)
        for start, end in self._windows:
            if start <= now < end:
                wait = (b"retry-after", b"%d" % ceil(end - now))
                told = f"This is a rehearsal until {datetime.fromtimestamp(end, UTC):%H:%M} UTC."
                return self._refused(exchange, Refusal("version-brownout", told, (wait,)))
        return None

    def allowed(self, exchange: Exchange) -> Refusal | None:
        """Say why this client is not served: after the end only those with an extension are."""
        if self._over(self._now()) and not self._extended(self._target, exchange.client):
            return self._refused(exchange, RETIRED)
        return None

    def _over(self, now: float) -> bool:
        return self._ended or (self._end is not None and now > self._end)

    def _refused(self, exchange: Exchange, refusal: Refusal) -> Refusal:
        exchange.target = self._target
        exchange.decide("versions", refusal.code, "refused")
        return refusal


def lives(
    mounts: dict[str, Mount], issuer: str, now: Callable[[], float], extended: Extended
) -> dict[str, Life]:
    """The versions that tell something of their life, by their target."""
    return {
        target: Life(mount, issuer, now, extended)
        for target, mount in mounts.items()
        if mount.version.status not in {"current", "preview"}
    }


def last_second(day: date) -> datetime:
    """The end of a day: a version is served on the day of its sunset."""
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)


def end_of(version: Version) -> float | None:
    """The last second in which a version is served to everybody."""
    ends = version.sunset if version.status == "deprecated" else None
    return last_second(ends).timestamp() if ends else None


def headers_of(mount: Mount, issuer: str) -> tuple[Header, ...]:
    """`Deprecation` (RFC 9745), `Sunset` (RFC 8594), and where to read and to go on."""
    version, made = mount.version, []
    page = f"{issuer}/portal/apis/{mount.target.rpartition('/')[0]}#changelog"
    links = []
    if version.since is not None:
        day = version.since
        since = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        made.append((b"deprecation", b"@%d" % since))
        links.append(f'<{page}>; rel="deprecation"; type="text/html"')
    if version.sunset is not None:
        made.append((b"sunset", http_date(version.sunset)))
        links.append(f'<{page}>; rel="sunset"; type="text/html"')
    if mount.successor:
        on = f"{issuer}/portal/apis{mount.successor}"
        links.append(f'<{on}>; rel="successor-version"; type="text/html"')
    return (*made, (b"link", ", ".join(links).encode())) if links else tuple(made)


def http_date(day: date) -> bytes:
    """The end of a day as HTTP says it."""
    return format_datetime(last_second(day), usegmt=True).encode()


def version_findings(name: str, api: Api) -> Iterator[Finding]:
    """What no version's life can be."""
    for major, version in api.versions.items():
        place = (*place_of(name), "versions", major)
        if version.status == "deprecated" and version.since is None:
            yield place, "deprecated since when?"
        if version.status == "retired" and not (version.since and version.sunset):
            yield place, "retired when? leave its `since` and `sunset`: callers are told them"
        for day in ("since", "sunset") if version.status in PRIME else ():
            if getattr(version, day):
                told = f"a {version.status} version has none: deprecate it, with half a year to go"
                yield (*place, day), told
        if version.sunset and version.since and version.sunset <= version.since:
            told = f"it ends on {version.sunset}, but is deprecated since {version.since}"
            yield (*place, "sunset"), told
        if version.brownouts and version.status != "deprecated":
            told = "only a deprecated version rehearses its end"
            yield (*place, "brownouts"), told
        yield from _brownout_findings((*place, "brownouts"), version)
    if all(each.status == "draft" for each in api.versions.values()):
        yield place_of(name), "all of its versions are drafts"


def _brownout_findings(place: Place, version: Version) -> Iterator[Finding]:
    known: list[tuple[datetime, datetime]] = []
    for n, brownout in enumerate(version.brownouts):
        at = (*place, n)
        if not 1 <= brownout.minutes <= LONGEST:
            yield (*at, "minutes"), f"from 1 to {LONGEST} minutes"
            continue
        try:
            start, end = brownout.window
        except ValueError:
            yield (*at, "at"), "a moment with its zone is expected: 2026-12-01T10:00Z"
            continue
        if any(start < other and begun < end for begun, other in known):
            yield at, "it overlaps with another"
        if version.sunset and end > last_second(version.sunset):
            yield at, f"it never applies: the version ends on {version.sunset}"
        known.append((start, end))
        for begun, _ in known:
            week = [done - first for first, done in known if begun <= first < begun + WEEK]
            if sum(week, timedelta()) > timedelta(minutes=LONGEST):
                yield at, f"more than {LONGEST} minutes in seven days: callers must go on meanwhile"
                break
