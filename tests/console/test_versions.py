"""`throughline versions`: what is listed, what is extended, and what is refused with its reason."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from apis.console.checking import configured
from apis.console.versions import Given, end_time, give_time, listed, show_versions
from apis.gateway.version_states import Lives
from apis.runtime.audit import AUDIT
from apis.runtime.audit_marks import WRITTEN, marker
from apis.runtime.deployment import policy_of
from apis.runtime.migrations import lift
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.errors import NotFound, Rejected
from tests.console.edits import ROOT, edited

V1 = "experience/delivery/v1"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
WHY = "their release slips"
GIVEN = Given(date(2027, 7, 31), WHY, "ann", NOW)


@pytest.fixture
def started(settings: Settings, store_url: str) -> Settings:
    """Settings of a deployment whose gateway was started once."""
    settings = msgspec.structs.replace(settings, database_url=store_url)
    store = Store(store_url)
    lift(store)
    Lives(store).take(policy_of(settings), NOW)
    store.close()
    return settings


def audited(settings: Settings, action: str) -> list[Any]:
    rows, store = AUDIT["gateway"], Store(settings.database_url)
    wanted = sa.select(rows).where(rows.c.action == action)
    found = store.read_now(lambda connection: list(connection.execute(wanted)))
    store.close()
    return found


def test_more_time_is_listed_audited_and_taken_back(started: Settings) -> None:
    told = give_time(started, V1, "demo", GIVEN)

    assert told == f"{V1} is served to demo until 2027-07-31, in two seconds"
    [version] = [each for each in listed(started) if each.target == V1]
    assert (version.status, version.sunset) == ("deprecated", date(2027, 6, 30))
    [more] = version.extensions
    assert (more.client, more.until, more.reason, more.actor) == ("demo", GIVEN.until, WHY, "ann")
    [row] = audited(started, "version.extended")
    assert (row.key, row.actor) == (V1, "ann")
    assert marker(started.digest_key).made(row.mark, "gateway", [row._mapping[c] for c in WRITTEN])
    detail = {"client": "demo", "until": "2027-07-31", "reason": WHY}
    assert json.loads(row.detail) == detail

    end_time(started, V1, "demo", "bob", NOW)
    [row] = audited(started, "version.extension-ended")
    assert (row.key, row.actor) == (V1, "bob")
    with pytest.raises(NotFound, match="no more time"):
        end_time(started, V1, "demo", "bob", NOW)


@pytest.mark.one_form
@pytest.mark.parametrize(
    ("target", "client", "changes", "told"),
    [
        ("experience/delivery/v9", "demo", {}, "no version experience/delivery/v9"),
        ("experience/delivery/v2", "demo", {}, "only a deprecated version with a sunset"),
        (V1, "nobody", {}, "neither gateway.yaml nor the portal has nobody"),
        (V1, "demo", {"until": date(2026, 11, 21)}, "2026-11-21 is over"),
        (V1, "demo", {"until": date(2027, 6, 30)}, "a day after it, up to 2027-09-28"),
        (V1, "demo", {"until": date(2027, 9, 29)}, "a day after it, up to 2027-09-28"),
        (V1, None, {"reason": "  "}, "say why"),
    ],
)
def test_more_time_that_cannot_be_is_refused_with_the_reason(
    started: Settings, target: str, client: str | None, changes: dict[str, str], told: str
) -> None:
    with pytest.raises((NotFound, Rejected), match=told):
        give_time(started, target, client, msgspec.structs.replace(GIVEN, **changes))

    assert audited(started, "version.extended") == []


@pytest.mark.one_form
def test_versions_are_listed_for_people_and_for_programs(
    started: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    give_time(started, V1, None, GIVEN)

    show_versions(started, as_json=False)
    line = next(line for line in capsys.readouterr().out.splitlines() if V1 in line)
    cells = "deprecated", "2026-11-02", "2027-06-30", f"* until 2027-07-31: {WHY}"
    assert all(each in line for each in cells)

    show_versions(started, as_json=True)
    by_target = {each["target"]: each for each in json.loads(capsys.readouterr().out)}
    assert by_target[V1]["extensions"][0]["client"] == "*"
    assert by_target["experience/delivery/v2"]["status"] == "current"


LIFE = "1: {status: deprecated, since: 2026-11-02, sunset: 2027-06-30}"


@pytest.mark.parametrize(
    ("new", "told"),
    [
        (
            "1: {status: deprecated, since: 2026-11-02, sunset: 2027-02-01}",
            "sunset: 91 days after `since`; at least 180 are promised",
        ),
        ("1: {status: deprecated, sunset: 2027-06-30}", "deprecated since when?"),
        (
            LIFE[:-1] + ", brownouts: [{at: 2026-12-01T10:00, minutes: 30}]}",
            "brownouts.0.at: a moment with its zone is expected",
        ),
        (
            LIFE[:-1] + ", brownouts: [{at: 2026-12-01T10:00Z, minutes: 1441}]}",
            "brownouts.0.minutes: from 1 to 1440 minutes",
        ),
        (
            LIFE[:-1] + ", brownouts: [{at: 2027-07-01T10:00Z, minutes: 30}]}",
            "brownouts.0: it never applies: the version ends on 2027-06-30",
        ),
        (
            "1: {status: current, brownouts: [{at: 2026-12-01T10:00Z, minutes: 30}]}",
            "brownouts: only a deprecated version rehearses its end",
        ),
        (
            LIFE[:-1]
            + ", brownouts: [{at: 2026-12-01T10:00Z, minutes: 1440},"
            + " {at: 2026-12-08T09:59Z, minutes: 1}]}",
            "brownouts.1: more than 1440 minutes in seven days",
        ),
        ("1: {status: current, sunset: 2026-11-21}", "sunset: a current version has none"),
        ("1: {status: preview, since: 2026-11-02}", "since: a preview version has none"),
        ("1: {status: retired, since: 2026-11-02}", "versions.1: retired when?"),
    ],
)
def test_check_tells_what_no_version_may_be(settings: Settings, new: str, told: str) -> None:
    place, found = edited(settings, "gateway.yaml", LIFE, new)

    assert any(each.startswith(place) and told in each for each in found), found


def test_check_tells_a_step_that_no_gateway_would_take(started: Settings, tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(
        (ROOT / "gateway.yaml").read_text().replace(LIFE, LIFE.replace("deprecated", "retired"))
    )

    _, found = configured(msgspec.structs.replace(started, gateway=file))

    [told] = found
    assert "deprecated -> retired: it is promised until 2027-06-30" in told
