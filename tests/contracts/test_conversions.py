"""An older major is served through all that lie between it and the one spoken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs as js
from hypothesis import given
from hypothesis import strategies as st

from contracts.conversions import CONVERSIONS, Asked, Conversion, chain
from contracts.errors import FieldError

OPENAPI = Path("contracts/published/openapi/experience/delivery")
OLD = json.loads((OPENAPI / "v1.json").read_text())
THREE = {
    1: {"take": Conversion(operation="put", parameters={"who": "client"}, members={"/a": "/b"})},
    2: {
        "put": Conversion(
            parameters={"client": "client_id"},
            members={"/b": "/deep/c"},
            up=lambda asked: Asked(asked.path, asked.query, {"deep": {"c": asked.body}}),
            down=lambda answer: answer["deep"]["c"],
        )
    },
}
TEXT = st.none() | st.text()
AMOUNT = st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str)
MONEY = st.fixed_dictionaries({"amount": AMOUNT, "currency": st.just("EUR")})
DETAIL = st.fixed_dictionaries(
    {
        "id": st.text(),
        "key": TEXT,
        "name": st.text(),
        "state": st.sampled_from(["active", "on_hold"]),
        "customer": st.none() | st.fixed_dictionaries({"id": TEXT, "external_id": TEXT}),
        "project_manager": TEXT,
        "activated_at": st.just("2026-03-02T09:00:00Z"),
        "budget": st.none() | st.fixed_dictionaries({"total": MONEY}),
        "as_of": st.just("2026-03-02T09:00:00Z"),
    }
)
SUMMARY = st.fixed_dictionaries(
    {
        "id": st.text(),
        "name": st.text(),
        "state": st.sampled_from(["planned", "active", "completed"]),
        "activated_at": st.just("2026-03-02T09:00:00Z"),
    },
    optional={"project_manager": TEXT, "budget": st.none() | MONEY, "entity": TEXT},
)
PAGE = st.fixed_dictionaries({}, optional={"items": st.lists(SUMMARY, max_size=3), "next": TEXT})
BURN = st.fixed_dictionaries(
    {"hours": AMOUNT, "entries": st.integers(0, 10), "as_of": st.just("2026-03-02T09:00:00Z")},
    optional={"amount": st.none() | MONEY},
)
HEALTH = st.fixed_dictionaries(
    {
        "id": st.text(),
        "state": st.sampled_from(["active", "on_hold"]),
        "burn": BURN,
        "as_of": st.just("2026-03-02T09:00:00Z"),
    },
    optional={"budget": st.none() | st.fixed_dictionaries({"total": MONEY})},
)
DELIVERY = CONVERSIONS["experience/delivery"]


def renamed(told: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if name == old else name: told[name] for name in told}


def fits(name: str, value: Any) -> bool:
    """Whether the frozen document of version 1 allows it."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": OLD["components"]}
    return js.is_valid(schema, value)


def raised(project: dict[str, Any]) -> dict[str, Any]:
    """The inverse: a project of version 1 as version 2 tells it."""
    first = {k: v for k, v in project["summary"].items() if k != "budget"}
    first["project_manager"] = first.pop("manager")
    return first | {k: v for k, v in project.items() if k != "summary"}


def test_a_request_climbs_three_majors_and_its_answer_comes_back_down() -> None:
    found = chain(THREE, "take", 1, 3)

    assert found is not None
    assert found.operation == "put"
    asked = found.lifted(Asked({"who": "C"}, (("who", "x"),), 7))
    assert asked == Asked({"client_id": "C"}, (("client_id", "x"),), {"deep": {"c": 7}})
    assert found.lowered({"deep": {"c": 8}}) == 8
    told = found.blamed(FieldError(pointer="/deep/c/0", code="x", message="x"))
    assert told.pointer == "/a/0"
    named = FieldError(pointer="", code="x", message="client_id is odd", parameter="client_id")
    assert (found.blamed(named).parameter, found.blamed(named).message) == ("who", "who is odd")
    assert chain(THREE, "other", 1, 3) is None


@given(DETAIL)
def test_a_project_goes_down_valid_and_comes_back_the_same(project: dict[str, Any]) -> None:
    found = chain(DELIVERY, "getProject", 1, 2)
    assert found is not None

    lowered = found.lowered(project)

    assert fits("ProjectDetail", lowered)
    assert raised(lowered) == project


@given(PAGE)
def test_a_page_of_projects_goes_down_valid_and_comes_back_the_same(page: dict[str, Any]) -> None:
    found = chain(DELIVERY, "listProjects", 1, 2)
    assert found is not None
    given_items = [dict(each) for each in page.get("items", [])]

    lowered = found.lowered(page)

    assert fits("ProjectPage", lowered)
    assert [renamed(each, "manager", "project_manager") for each in lowered["items"]] == given_items
    assert {**lowered, "items": given_items} == {"items": [], **page}


@given(HEALTH)
def test_the_health_of_a_project_goes_down_valid_and_comes_back_the_same(
    health: dict[str, Any],
) -> None:
    found = chain(DELIVERY, "getProjectHealth", 1, 2)
    assert found is not None

    lowered = found.lowered(health)

    assert fits("ProjectHealth", lowered)
    assert {**lowered, "burn": renamed(lowered["burn"], "total", "amount")} == health


@given(st.lists(st.tuples(st.sampled_from(["entity", "state", "customer", "cursor"]), st.text())))
def test_a_query_for_projects_goes_up_and_comes_back_in_its_order(
    query: list[tuple[str, str]],
) -> None:
    found = chain(DELIVERY, "listProjects", 1, 2)
    assert found is not None
    asked = Asked(query=tuple(query))

    lifted = found.lifted(asked)

    back = [("customer" if name == "customer_id" else name, text) for name, text in lifted.query]
    assert back == query
    assert "customer" not in dict(lifted.query)


@given(st.sampled_from(["getProject", "getProjectHealth"]), st.text())
def test_a_request_for_one_project_goes_up_as_it_came(operation: str, project: str) -> None:
    found = chain(DELIVERY, operation, 1, 2)
    assert found is not None

    asked = Asked({"id": project})

    assert found.lifted(asked) == asked
    blamed = FieldError(pointer="", code="x", message="x", parameter="id")
    assert found.blamed(blamed) == blamed
