"""What was promised of each version, remembered: a policy file may go on from it, never back.

The first policy that a database sees is taken as it is: nobody knows when callers were told, so
`since` counts. From then on a version only takes the steps of `NEXT`, its grace begins on the day
its sunset is first taken, and it ends no earlier than the furthest sunset ever announced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Boolean, Column, Connection, Date, Float, String, Text

from apis.gateway.policy import Brownout, Gateway, PolicyError, Version, place_of
from apis.runtime.audit import record
from apis.runtime.store import Store, put_all, table
from apis.runtime.typed_yaml import Finding, Place

LOCK = 7_401_003
GRACE = {True: 180, False: 30}
"""How many days lie between deprecation and sunset, of a version that was stable or was not."""
NOTICE = timedelta(days=7)
"""How long before it begins a brown-out is announced at the latest."""
BEGINNINGS = frozenset({"draft", "preview", "current"})
NEXT: dict[str, frozenset[str]] = {
    "draft": BEGINNINGS,
    "preview": frozenset({"preview", "current", "deprecated"}),
    "current": frozenset({"current", "deprecated"}),
    "deprecated": frozenset({"deprecated", "current", "retired"}),
    "retired": frozenset({"retired"}),
    "blocked": frozenset({"current", "deprecated", "retired"}),
}
"""What may follow a state; a version is blocked in any state but `retired`, and goes on from it."""
INSTEAD = {
    "draft": "nobody was promised anything: leave it out, or make it a preview or current",
    "preview": "callers know it: make it current, or deprecate it first",
    "current": "callers rely on it: deprecate it first, with a sunset",
    "deprecated": "callers rely on it until its sunset: leave it deprecated, or make it current",
    "retired": "what is retired stays so: publish the next major",
    "blocked": "make it current, deprecated or retired",
}

STATES = table(
    "gateway",
    "version_states",
    Column("target", String(200), primary_key=True),
    Column("status", String(20), nullable=False),
    Column("life", String(20), nullable=False),
    Column("stable", Boolean, nullable=False),
    Column("since", Date),
    Column("sunset", Date),
    Column("brownouts", Text, nullable=False),
    Column("seen_at", Float(53), nullable=False),
)


class State(NamedTuple):
    """A version as the last policy that was taken had it."""

    status: str
    life: str
    """Its status, or the one it had before it was blocked."""
    stable: bool
    """Whether it ever was more than a preview."""
    since: date | None
    sunset: date | None
    """The furthest that was ever announced, also where the version is current again."""
    brownouts: str
    """Its rehearsals, each as `<from>/<to>`."""


States = Mapping[str, State]


def states(connection: Connection) -> dict[str, State]:
    """Every version that a policy ever named, by its target."""
    rows = connection.execute(sa.select(STATES))
    return {row.target: State(*(getattr(row, name) for name in State._fields)) for row in rows}


def versions_of(policy: Gateway) -> Iterator[tuple[str, Place, Version]]:
    """The versions of a policy, with their targets and where they stand."""
    for name, api in policy.apis.items():
        for major, version in api.versions.items():
            yield f"{name}/v{major}", (*place_of(name), "versions", major), version


class Lives:
    """Takes a policy if every version in it goes on from what is recorded."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def take(self, policy: Gateway, now: datetime) -> None:
        """Record what is new, once for all gateways; PolicyError names each forbidden step."""
        today = now.date()
        if _changed(policy, self._store.read_now(states), today):
            self._store.write_now(_taken, policy, now)


def _taken(connection: Connection, policy: Gateway, now: datetime) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    known = states(connection)
    rows = []
    for target, new in _changed(policy, known, now.date()).items():
        old = known.get(target)
        rows.append({"target": target, **new._asdict(), "seen_at": now.timestamp()})
        record(
            connection, "gateway", at=now, actor="operator", action="version.changed",
            object="version", key=target, detail={"before": _told(old), "after": _told(new)},
        )  # fmt: skip
    put_all(connection, STATES, rows)


def _changed(policy: Gateway, known: States, today: date) -> dict[str, State]:
    """What is to be recorded; PolicyError where it may not be."""
    if found := list(transition_findings(policy, known, today)):
        raise PolicyError([policy.lines.told(*each) for each in found])
    after = {
        target: _after(version, known.get(target)) for target, _, version in versions_of(policy)
    }
    return {target: new for target, new in after.items() if new != known.get(target)}


def _after(version: Version, old: State | None) -> State:
    status = version.status
    stable = status not in {"draft", "preview"}
    told = " ".join("/".join(map(str, each)) for each in _windows(version).values())
    if old is None:
        return State(status, status, stable, version.since, version.sunset, told)
    if status == "blocked":
        return old._replace(status=status)
    stable = old.stable or status == "current"
    sunset = version.sunset if status == "deprecated" else version.sunset or old.sunset
    return State(status, status, stable, version.since, sunset, told)


def _windows(version: Version) -> dict[int, tuple[str, str]]:
    """From when until when it rehearses its end, by place; what is no moment is told elsewhere."""
    found = {}
    for place, brownout in enumerate(version.brownouts):
        if (window := _window(brownout)) is not None:
            found[place] = window
    return found


def _window(brownout: Brownout) -> tuple[str, str] | None:
    try:
        start, end = (each.astimezone(UTC).isoformat("T", "minutes") for each in brownout.window)
    except (ValueError, OverflowError):
        return None
    return start, end


def _told(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    told: dict[str, Any] = {"status": state.status}
    if state.life in {"deprecated", "retired"}:
        days = {"since": state.since, "sunset": state.sunset}
        told |= {name: str(day) for name, day in days.items() if day}
    return told | ({"brownouts": state.brownouts.split()} if state.brownouts else {})


def transition_findings(policy: Gateway, known: States, today: date) -> Iterator[Finding]:
    """Each step that no version may take; none where nothing is recorded yet."""
    named = set()
    for target, place, version in versions_of(policy) if known else ():
        named.add(target)
        old = known.get(target)
        if old is None:
            if version.status not in BEGINNINGS:
                told = f"a new version begins as draft, preview or current, not {version.status}"
                yield (*place, "status"), told
        elif version.status != "blocked":
            yield from _step(place, old, version, today)
        elif old.life == "retired":
            yield (*place, "status"), f"retired -> blocked: {INSTEAD['retired']}"
    for target in sorted(known.keys() - named):
        if _missed(target, known[target], today):
            name, _, major = target.rpartition("/v")
            told = f"it is {known[target].status} and may not just go: {INSTEAD['current']}"
            yield (*place_of(name), "versions", major), told


def _missed(target: str, state: State, today: date) -> bool:
    """Whether callers rely on a version; a system's goes with its connection."""
    if target.startswith("system/"):
        return False
    if state.life == "deprecated":
        return not _over(state, today)
    return state.life in {"preview", "current"}


def _over(state: State, today: date) -> bool:
    return state.sunset is not None and today > state.sunset


def _step(place: Place, old: State, new: Version, today: date) -> Iterator[Finding]:
    """What is wrong with the way from a state to what the file says now."""
    at, over = (*place, "status"), old.life == "deprecated" and _over(old, today)
    if new.status not in NEXT[old.life]:
        yield at, f"{old.life} -> {new.status}: {INSTEAD[old.life]}"
    elif new.status == "retired":
        yield from _retired(place, old, new, today)
    elif over and (new.status == "current" or new.sunset != old.sunset):
        told = f"it ended on {old.sunset}: retire it, or give a client more time by"
        yield at, f"{told} `throughline versions extend`"
    elif new.status == "deprecated":
        if old.sunset and (new.sunset or date.min) < old.sunset >= today:
            told = "it may come later, not earlier or not at all"
            yield (*place, "sunset"), f"it was announced for {old.sunset}: {told}"
        elif not _same(old, new):
            yield from _grace(place, new, _first_told(old, new, today), stable=old.stable)
        yield from _unannounced(place, old, new, today)


def _retired(place: Place, old: State, new: Version, today: date) -> Iterator[Finding]:
    """What is wrong with retiring a version: callers were promised it until its sunset."""
    at, ended = (*place, "status"), old.sunset or new.sunset
    if old.life == "deprecated" and not _over(old, today):
        told = f"until {old.sunset}" if old.sunset else "and has no sunset yet: name it first"
        yield at, f"deprecated -> retired: it is promised {told}"
    elif old.life != "retired" and ended and ended >= today:
        yield at, f"{old.life} -> retired: it is promised until {ended}"
    elif new.sunset != ended:
        yield (*place, "sunset"), f"it ended on {ended}: callers are told so"


def _same(old: State, new: Version) -> bool:
    return (old.life, old.since, old.sunset) == (new.status, new.since, new.sunset)


def _first_told(old: State, new: Version, today: date) -> date | None:
    """The day on which callers first hear of this end, if that is now."""
    return today if old.life != "deprecated" or (new.sunset and not old.sunset) else None


def _unannounced(place: Place, old: State, new: Version, today: date) -> Iterator[Finding]:
    """Rehearsals that begin too soon for anybody to be told; those of before stay."""
    known = [each.split("/") for each in old.brownouts.split()]
    for n, (start, end) in _windows(new).items():
        within = any(begun <= start and end <= done for begun, done in known)
        if not within and end >= str(today) and start < str(today + NOTICE):
            told = f"it begins on {start[:10]}: it is announced at least {NOTICE.days} days before"
            yield (*place, "brownouts", n), told


def grace_findings(policy: Gateway, known: States) -> Iterator[Finding]:
    """Deprecated versions that end too soon; what is not recorded is taken for stable."""
    for target, place, version in versions_of(policy):
        old = known.get(target)
        if old is None or _same(old, version):  # another step is told of by `transition_findings`
            yield from _grace(place, version, None, stable=old is None or old.stable)


def _grace(
    place: Place, version: Version, today: date | None, *, stable: bool
) -> Iterator[Finding]:
    """An end that comes too soon after `since`, and after the day on which callers first hear."""
    if version.status != "deprecated" or version.since is None or version.sunset is None:
        return
    begun = max(version.since, today or version.since)
    if (days := (version.sunset - begun).days) < GRACE[stable]:
        after = "`since`" if begun == version.since else f"{begun}, when callers are first told"
        told = f"{days} days after {after}; at least {GRACE[stable]} are promised"
        yield (*place, "sunset"), told
