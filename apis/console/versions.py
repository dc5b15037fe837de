"""`throughline versions`: where every version is in its life, and more time for who needs it."""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from apis.console.access import stored
from apis.console.terminal import console, table
from apis.gateway.extensions import EVERYBODY, Extension, end, extend, extensions
from apis.gateway.policy import Version
from apis.gateway.registered import joined, snapshot
from apis.gateway.version_states import State, states, versions_of
from apis.runtime.deployment import policy_of
from apis.runtime.settings import Settings
from contracts.errors import FieldError, NotFound, Rejected, Unavailable

MOST_DAYS = 90


class Given(msgspec.Struct, frozen=True):
    """How long, why, by whom, when."""

    until: date
    reason: str
    by: str
    at: datetime


class Extended(msgspec.Struct, frozen=True):
    """Who has more time, until when, why, and who gave it."""

    client: str
    until: date
    reason: str
    actor: str


class Listed(msgspec.Struct, frozen=True):
    """A version as who runs the gateway sees it."""

    target: str
    status: str
    since: date | None
    sunset: date | None
    brownouts: list[dict[str, Any]]
    extensions: list[Extended]


def show_versions(settings: Settings, *, as_json: bool) -> int:
    """Print every version of the policy; answers the exit code."""
    found = listed(settings)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        console(plain_width=240).print(shown(found))
    return 0


def listed(settings: Settings) -> list[Listed]:
    """Every version of the policy with the extensions it has."""
    policy = policy_of(settings)
    given: list[Extension] = stored(settings, extensions)
    return [
        Listed(
            target, version.status, version.since, version.sunset,
            [{"at": each.at, "minutes": each.minutes} for each in version.brownouts],
            [
                Extended(each.client, each.until, each.reason, each.actor)
                for each in given
                if each.target == target
            ],
        )
        for target, _, version in sorted(versions_of(policy), key=lambda each: each[0])
    ]  # fmt: skip


def shown(found: list[Listed]) -> Any:
    """A row a version; its brown-outs and extensions in their own lines."""
    made = table("Version", "Status", "Since", "Sunset", "Brown-outs", "Extensions")
    for each in found:
        brownouts = "\n".join(f"{it['at']}, {it['minutes']} min" for it in each.brownouts)
        more = "\n".join(f"{it.client} until {it.until}: {it.reason}" for it in each.extensions)
        days = (str(day or "") for day in (each.since, each.sunset))
        made.add_row(each.target, each.status, *days, brownouts, more)
    return made


def give_time(settings: Settings, target: str, client: str | None, given: Given) -> str:
    """Serve a version beyond its sunset to a client, or to everybody."""
    policy, now = policy_of(settings), given.at
    version = {name: each for name, _, each in versions_of(policy)}.get(target)
    if version is None:
        raise NotFound("version.unknown", f"gateway.yaml has no version {target}")
    _check(target, version, given, now.date())
    if client is not None:
        known = joined(policy, stored(settings, snapshot), now.timestamp()).clients
        if client not in known and client.partition(":")[0] not in policy.issuers:
            raise NotFound("client.unknown", f"neither gateway.yaml nor the portal has {client}")
    row = Extension(
        target, client or EVERYBODY, given.until, given.reason.strip(), given.by, now.timestamp()
    )
    stored(settings, lambda connection: extend(connection, row, now))
    return f"{target} is served to {client or 'everybody'} until {given.until}, in two seconds"


def end_time(settings: Settings, target: str, client: str | None, by: str, now: datetime) -> str:
    """Take back what `give_time` gave."""
    whom = client or EVERYBODY
    if not stored(settings, lambda each: end(each, target, whom, by, now)):
        raise NotFound(
            "extension.unknown", f"{client or 'everybody'} has no more time for {target}"
        )
    return f"{target} is no longer extended for {client or 'everybody'}, in two seconds"


def _check(target: str, version: Version, given: Given, today: date) -> None:
    if version.status != "deprecated" or version.sunset is None:
        told = f"{target} is {version.status}: only a deprecated version with a sunset is extended"
        raise _refused("target", told)
    last = version.sunset + timedelta(days=MOST_DAYS)
    if given.until < today:
        raise _refused("until", f"{given.until} is over")
    if not version.sunset < given.until <= last:
        told = f"{target} ends on {version.sunset}: name a day after it, up to {last}"
        raise _refused("until", told)
    if not given.reason.strip():
        raise _refused("reason", "say why it is needed")


def _refused(name: str, told: str) -> Rejected:
    wrong = FieldError(pointer="", parameter=name, code="invalid", message=told)
    return Rejected("extension.refused", told, errors=(wrong,))


def known_states(settings: Settings) -> dict[str, State]:
    """What gateways recorded of versions; nothing where there is no database of theirs."""
    kind, _, path = settings.database_url.partition(":///")
    if kind == "sqlite" and not Path(path).exists():
        return {}
    try:
        found: dict[str, State] = stored(settings, states)
    except (Unavailable, SQLAlchemyError):
        return {}
    return found
