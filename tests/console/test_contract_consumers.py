"""Whoever uses a version can be asked, also those that registered themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from apis.console.contract_consumers import Consumer, affected, consumers
from apis.console.contract_consumers import Wanted as Uses
from apis.gateway.decisions import COUNTS, DAY_S
from apis.gateway.policy import Client
from apis.gateway.registered import CLIENTS, PEOPLE
from apis.runtime.migrations import lift
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.changes import Change
from contracts.errors import Unavailable

V1 = "experience/delivery/v1"
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
GONE = Change(
    rule="api-path-removed-without-deprecation",
    level="error",
    document=V1,
    place="GET /projects",
    pointer="/paths/~1projects",
    says="GET /projects is gone",
    fingerprint="0123456789ab",
    operation="listProjects",
)


def used(tmp_path: Path, store_url: str) -> Settings:
    """A deployment whose delivery v1 was called by an application of the portal."""
    store = Store(store_url)
    lift(store)
    person = {"called": "Ada", "email": "ada@example.com", "password": "-", "joined_at": 0.0}
    client = msgspec.json.encode(Client(plan="sandbox")).decode()
    words = {"title": "T", "purpose": "P", "stage": "sandbox", "client": client, "made_at": 0.0}
    count = {
        "target": V1, "operation": "listProjects", "policy": "authorization", "rule": "",
        "outcome": "allowed", "client": "app-1", "count": 2, "day": int(NOW.timestamp() // DAY_S),
    }  # fmt: skip
    for table, row in (
        (PEOPLE, {"name": "dev-ada", **person}),
        (CLIENTS, {"id": "app-1", "owner": "dev-ada", **words}),
        (COUNTS, count),
    ):
        store.write_now(
            lambda connection, one: connection.execute(one), sa.insert(table).values(row)
        )
    store.close()
    return Settings.from_env(
        {"THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_DATABASE_URL": store_url}
    )


def test_an_application_of_the_portal_is_told_with_its_owner_and_contact(
    tmp_path: Path, store_url: str
) -> None:
    [found] = consumers(used(tmp_path, store_url), Uses(V1), NOW)

    assert (found.client, found.calls) == ("app-1", 2)
    assert (found.owner, found.contact) == ("dev-ada", "ada@example.com")


def test_what_an_approval_keeps_of_it_has_no_address(tmp_path: Path, store_url: str) -> None:
    found: list[Consumer] = affected(used(tmp_path, store_url), GONE, NOW)

    assert [(each.client, each.owner, each.contact) for each in found] == [("app-1", "dev-ada", "")]


def test_a_database_of_the_release_before_is_told(tmp_path: Path, store_url: str) -> None:
    settings = used(tmp_path, store_url)
    store = Store(store_url)
    name = "gateway_alembic_version" if store.sqlite else "gateway.alembic_version"
    older = sa.text(f"update {name} set version_num = '0001'")  # noqa: S608 - one of two names
    store.write_now(lambda connection: connection.execute(older))
    store.close()

    with pytest.raises(Unavailable) as refused:
        consumers(settings, Uses(V1), NOW)

    assert refused.value.code == "database.older"
