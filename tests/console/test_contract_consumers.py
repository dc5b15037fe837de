"""Whoever uses a version can be asked, also those that registered themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from apis.console.contract_consumers import Wanted as Uses
from apis.console.contract_consumers import affected, can_retire, consumers
from apis.gateway.decisions import COUNTS, DAY_S
from apis.gateway.fields import FIELDS
from apis.gateway.policy import Client
from apis.gateway.registered import CLIENTS, PEOPLE
from apis.runtime.migrations import lift
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.api_changes import api_changes
from contracts.changes import Change
from contracts.errors import Rejected, Unavailable

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
    found = affected(used(tmp_path, store_url), GONE, {}, NOW).consumers

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


# Who would miss what an approved change takes away ---------------------------------------------

QUEUE = "process/work-queue/v1"
LIST, NOTE = ("/work-items", "get"), ("/work-items/{id}/comments", "post")
Document = dict[str, Any]


def document() -> Document:
    return json.loads(Path(f"contracts/published/openapi/{QUEUE}.json").read_bytes())


def parameter(told: Document, operation: tuple[str, str], name: str) -> Document:
    path, method = operation
    every = told["paths"][path][method]["parameters"]
    return next(each for each in every if each["name"] == name)


def without_parameter(operation: tuple[str, str], name: str) -> Callable[[Document], None]:
    def change(told: Document) -> None:
        path, method = operation
        gone = parameter(told, operation, name)
        told["paths"][path][method]["parameters"].remove(gone)

    return change


def required(told: Document) -> None:
    parameter(told, LIST, "cursor")["required"] = True


def another_default(told: Document) -> None:
    parameter(told, LIST, "state")["schema"]["default"] = "open"


def fewer_choices(told: Document) -> None:
    parameter(told, LIST, "state")["schema"]["enum"].remove("decided")


def shorter(told: Document) -> None:
    told["components"]["schemas"]["Note"]["properties"]["text"]["maxLength"] = 10


def one_more_to_send(told: Document) -> None:
    note = told["components"]["schemas"]["Note"]
    note["properties"]["kind"] = {"type": "string", "maxLength": 10}
    note["required"].append("kind")


def another_answer(told: Document) -> None:
    told["components"]["schemas"]["WorkItemPage"]["properties"]["items"] = {"type": "string"}


def no_list(told: Document) -> None:
    del told["paths"]["/work-items"]


def working(tmp_path: Path, store_url: str, policy: str = "") -> Settings:
    """A deployment in which some call an operation with a field and some without it."""
    store = Store(store_url)
    lift(store)
    day = int(NOW.timestamp() // DAY_S)
    for client, operation, field in (
        ("plain", "listWorkItems", ""),
        ("states", "listWorkItems", "query:state"),
        ("noting", "commentWorkItem", "body:/text"),
        ("empty", "commentWorkItem", ""),
    ):
        use = {"client": client, "target": QUEUE, "operation": operation}
        many = {"policy": "authorization", "rule": "", "outcome": "allowed", "count": 1, "day": day}
        rows: list[tuple[sa.Table, dict[str, Any]]] = [(COUNTS, {**use, **many})]
        if field:
            rows.append((FIELDS, {**use, "field": field, "used_at": NOW.timestamp()}))
        for table, row in rows:
            store.write_now(
                lambda connection, one: connection.execute(one), sa.insert(table).values(row)
            )
    store.close()
    env = {"THROUGHLINE_HOME": str(tmp_path), "THROUGHLINE_DATABASE_URL": store_url}
    if policy:
        env["THROUGHLINE_GATEWAY"] = str(tmp_path / "gateway.yaml")
        (tmp_path / "gateway.yaml").write_text(Path("gateway.yaml").read_text() + policy)
    return Settings.from_env(env)


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        pytest.param(without_parameter(LIST, "state"), {"states"}, id="who sent what goes"),
        pytest.param(fewer_choices, {"states"}, id="who sent what is narrowed"),
        pytest.param(shorter, {"noting"}, id="who sent the member that is narrowed"),
        pytest.param(
            without_parameter(NOTE, "Idempotency-Key"), {"noting", "empty"},
            id="all, of a header: headers are not noted",
        ),
        pytest.param(required, {"plain", "states"}, id="all, where who does not send it breaks"),
        pytest.param(another_default, {"plain", "states"}, id="all, of another default"),
        pytest.param(one_more_to_send, {"noting", "empty"}, id="all, where more must be sent"),
        pytest.param(another_answer, {"plain", "states"}, id="all, of the answer"),
        pytest.param(no_list, {"plain", "states"}, id="all, of the operation"),
    ],
)  # fmt: skip
def test_an_approval_keeps_who_breaks(
    tmp_path: Path, store_url: str, change: Callable[[Document], None], missing: set[str]
) -> None:
    old, new = document(), deepcopy(document())
    change(new)
    settings = working(tmp_path, store_url)

    broken = [
        each
        for each in api_changes(old, new, today=NOW.date(), name=QUEUE)
        if each.level == "error" and each.operation in {"listWorkItems", "commentWorkItem"}
    ]
    found = [affected(settings, each, old, NOW) for each in broken]

    assert found
    assert [{it.client for it in each.consumers} for each in found] == [missing] * len(found)
    assert {name for each in found for name in each.used_by} == {"experience/operations"}


def test_what_our_own_apis_are_built_on_may_not_go(tmp_path: Path, store_url: str) -> None:
    settings = working(tmp_path, store_url)

    found = can_retire(settings, "process/connections/v1", NOW)

    assert (found.blocked_by, found.used_by) == ([], ["experience/operations"])
    assert not found.may_go
    assert can_retire(settings, V1, NOW).may_go  # nobody calls an older major inside


def test_uses_of_days_that_are_not_kept_cannot_be_asked_for(tmp_path: Path, store_url: str) -> None:
    settings = working(tmp_path, store_url, "decisions: {counts_days: 1}\n")

    with pytest.raises(Rejected, match="uses are kept for 1 day:"):
        consumers(settings, Uses(QUEUE, days=2), NOW)

    found = can_retire(settings, V1, NOW)
    assert (found.days, found.kept_days, found.may_go) == (1, 1, False)
