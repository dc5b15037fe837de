"""The sandbox tenant behaves as Kantata OX does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.system_apis.kantata.sandbox_tenant import Tenant, in_process


@pytest.fixture
async def tenant(tmp_path: Path) -> AsyncIterator[Tenant]:
    async with in_process(tmp_path) as tenant:
        yield tenant


def reference(ref: str, service: str = "throughline") -> dict[str, str]:
    return {"service_name": service, "service_model": "X", "service_model_ref": ref}


async def titles(tenant: Tenant, kind: str, **params: Any) -> list[str]:
    listed = await tenant.lists(kind, **params)
    return [str(each.get("title") or each.get("name")) for each in listed]


async def test_results_are_the_order_and_the_map_holds_more(tenant: Tenant) -> None:
    project = await tenant.makes("workspaces", title="P")
    parent = await tenant.makes("stories", title="Parent", workspace_id=int(project))
    child = {"title": "Child", "workspace_id": int(project), "parent_id": int(parent)}
    child_id = await tenant.makes("stories", **child)

    answer = await tenant.gets("stories", with_parent_id=parent, include="parent,workspace")

    assert answer["results"] == [{"key": "stories", "id": child_id}]
    assert answer["stories"].keys() == {parent, child_id}
    assert answer["workspaces"].keys() == {project}
    assert answer["meta"] == {"count": 1, "page_count": 1, "page_number": 1, "page_size": 20}
    assert answer["count"] == 1


async def test_associations_appear_only_if_included(tenant: Tenant) -> None:
    group = await tenant.makes("workspace_groups", name="Northwind", company=True)
    fields = {"primary_workspace_group_id": int(group), "external_reference": reference("p-1")}
    project = await tenant.makes("workspaces", title="P", **fields)

    [bare] = await tenant.lists("workspaces")
    [whole] = await tenant.lists(
        "workspaces", include="primary_workspace_group,external_references,creator,nonsense"
    )

    assert not {"primary_workspace_group_id", "external_reference_ids", "creator_id"} & bare.keys()
    assert (whole["id"], whole["primary_workspace_group_id"]) == (project, group)
    assert len(whole["external_reference_ids"]) == 1
    assert whole["creator_id"] == "11"


async def test_money_dates_and_status_look_as_they_do_there(tenant: Tenant) -> None:
    await tenant.makes("workspaces", title="A")
    await tenant.makes("workspaces", title="B", price=250000.5, currency="EUR", status_key=310)
    await tenant.makes("workspaces", title="C", price="1.125", currency="KWD")

    a, b, c = await tenant.lists("workspaces", order="created_at:asc")

    assert (a["price"], a["price_in_cents"], a["due_date"]) == ("TBD", None, "")
    assert (b["price_in_cents"], b["currency_base_unit"]) == (25_000_050, 100)
    assert (c["price_in_cents"], c["currency_base_unit"]) == (1125, 1000)
    assert b["status"] == {"color": "green", "key": 310, "message": "In Progress"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d-0[78]:00", b["updated_at"])


async def test_a_rate_cards_currency_wins(tenant: Tenant) -> None:
    await tenant.makes("workspaces", title="P", currency="USD", rate_card_id=33)

    [workspace] = await tenant.lists("workspaces")

    assert (workspace["currency"], workspace["rate_card_id"]) == ("EUR", 33)


async def test_default_filters_hide_records_from_lists_and_from_reading(tenant: Tenant) -> None:
    project = await tenant.makes("workspaces", title="P")
    resource = await tenant.makes("workspace_resources", workspace_id=int(project), role_id=501)
    await tenant.call("PUT", f"workspaces/{project}", {"workspace": {"archived": True}})

    assert await tenant.lists("workspaces") == []
    assert await tenant.lists("workspaces", only=project) == []
    assert await titles(tenant, "workspaces", include_archived="true") == ["P"]
    assert await titles(tenant, "workspaces", archived="only") == ["P"]
    assert (await tenant.call("GET", f"workspaces/{project}")).status_code == 404
    assert (await tenant.call("GET", f"workspace_resources/{resource}")).status_code == 404
    assert await tenant.lists("workspace_resources", workspace_id=project) == []
    assert len(await tenant.lists("workspace_resources", only_unnamed="true")) == 1


async def test_only_never_says_404(tenant: Tenant) -> None:
    answer = await tenant.gets("workspaces", only="4711,x")

    assert answer["results"] == []


async def test_a_filter_that_is_not_known_changes_nothing(tenant: Tenant) -> None:
    await tenant.makes("workspaces", title="P")

    assert await titles(tenant, "workspaces", service_model_ref="nonsense") == ["P"]


async def test_a_flag_asks_by_being_there(tenant: Tenant) -> None:
    await tenant.makes("workspaces", title="Ours", creator_role="maven")
    await tenant.makes("workspaces", title="Bought", creator_role="buyer")

    for value in ("true", "false"):
        asked = {"current_user_is_maven_participant": value}
        assert await titles(tenant, "workspaces", **asked) == ["Ours"]


async def test_references_are_asked_for_by_service_and_ids(tenant: Tenant) -> None:
    for title, ref, service in (
        ("A", "k-1", "throughline"), ("B", "k-2", "throughline"), ("C", "k-1", "salesforce"),
    ):  # fmt: skip
        await tenant.makes("workspaces", title=title, external_reference=reference(ref, service))
    await tenant.makes("workspaces", title="D")
    ours = {"external_reference_service_name": "throughline"}

    async def found(**asked: str) -> list[str]:
        prefixed = {f"external_reference_{name}": value for name, value in asked.items()}
        return sorted(await titles(tenant, "workspaces", **ours, **prefixed))

    assert await found(service_model_refs="k-1,k-9") == ["A"]
    assert await found(service_model_refs="k-1,k-2") == ["A", "B"]
    assert await found(service_model_ref="k-1") == []
    assert await found() == ["A", "B"]
    assert sorted(await titles(tenant, "workspaces", has_external_references="false")) == ["D"]


async def test_a_name_matches_by_the_starts_of_its_words(tenant: Tenant) -> None:
    for name in ("Elbtal 1 GmbH", "Elbtal 10 GmbH", "Nordlicht AG"):
        await tenant.makes("workspace_groups", name=name)

    matching = await titles(tenant, "workspace_groups", matching="elbtal 1 gmbh")

    assert matching == ["Elbtal 1 GmbH", "Elbtal 10 GmbH"]


async def test_pages_are_counted_and_have_at_most_200_records(tenant: Tenant) -> None:
    project = int(await tenant.makes("workspaces", title="P"))
    stories = [{"title": f"S{n:03}", "workspace_id": project} for n in range(250)]
    await tenant.call("POST", "stories", {"stories": stories})
    everything = {"workspace_id": project, "order": "created_at:asc"}

    first = await tenant.gets("stories", **everything, per_page=1000)
    second = await tenant.gets("stories", **everything, per_page=200, page=2)
    window = await tenant.gets("stories", **everything, limit=5, offset=3, page=9)

    assert (len(first["results"]), len(second["results"])) == (200, 50)
    assert first["meta"] == {
        "count": 250,
        "page_count": 2,
        "page_number": 1,
        "page_size": 200,
    }
    assert len(window["results"]) == 5


async def test_a_put_changes_only_what_it_names(tenant: Tenant) -> None:
    project = await tenant.makes("workspaces", title="P", start_date="2026-04-01", price=10)
    change = {"status_key": 310, "creator_role": "buyer", "nonsense": 1}

    await tenant.call("PUT", f"workspaces/{project}", {"workspace": change})

    [now] = await tenant.lists("workspaces")
    assert (now["title"], now["start_date"], now["price_in_cents"]) == ("P", "2026-04-01", 1000)
    assert now["status"]["key"] == 310
    assert not {"nonsense", "creator_role"} & now.keys()
    assert (await tenant.state())["workspaces"][0]["creator_role"] == "maven"


async def test_a_repeated_post_is_a_second_record(tenant: Tenant) -> None:
    fields = {"title": "P", "external_reference": reference("p-1")}

    first, second = [await tenant.makes("workspaces", **fields) for _ in range(2)]

    assert first != second
    assert await tenant.keys("workspaces") == ["p-1", "p-1"]


async def test_a_delete_is_for_ever_and_says_nothing(tenant: Tenant) -> None:
    project = int(await tenant.makes("workspaces", title="P"))
    milestone = {"title": "M", "amount_in_cents": -100, "workspace_id": project}
    id_ = await tenant.makes("billing_milestones", external_reference=reference("m"), **milestone)

    answers = [await tenant.call("DELETE", f"billing_milestones/{id_}") for _ in range(2)]

    assert [each.status_code for each in answers] == [204, 404]
    assert answers[0].content == b""
    assert (await tenant.state())["external_references"] == []


@pytest.mark.parametrize(
    ("kind", "fields", "field"),
    [
        ("workspaces", {"price": 1}, "title"),
        ("workspaces", {"title": "P", "creator_role": "boss"}, "creator_role"),
        ("workspaces", {"title": "P", "status_key": 999}, "status_key"),
        ("workspaces", {"title": "P", "primary_workspace_group_id": 4711},
         "primary_workspace_group_id"),
        ("workspaces", {"title": "P", "price": "much"}, "price"),
        ("workspaces", {"title": "P", "external_reference": {"service_name": "x"}},
         "external_reference.service_model"),
        ("workspace_groups", {"name": "NORTHWIND"}, "name"),
        ("stories", {"title": "S"}, "workspace_id"),
        ("stories", {"title": "S", "workspace_id": 1, "due_date": "soon"}, "workspace_id"),
        ("billing_milestones", {"title": "M", "amount_in_cents": "5"}, "amount_in_cents"),
        ("workspace_resources", {"role_id": 501}, "workspace_id"),
    ],
)  # fmt: skip
async def test_a_record_that_breaks_a_rule_is_refused_with_its_field(
    tenant: Tenant, kind: str, fields: dict[str, Any], field: str
) -> None:
    await tenant.makes("workspace_groups", name="Northwind")
    one = {"stories": "story"}.get(kind, kind[:-1])

    answer = await tenant.call("POST", kind, {one: fields})

    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert (error["type"], error["field"]) == ("validation", field)
    assert (await tenant.state())[kind] == [] or kind == "workspace_groups"


async def test_what_is_due_upon_completion_names_its_task(tenant: Tenant) -> None:
    project = int(await tenant.makes("workspaces", title="P"))
    fields = {"title": "M", "amount_in_cents": 1, "workspace_id": project}

    milestone = fields | {"billing_type": "upon_completion"}
    answer = await tenant.call("POST", "billing_milestones", {"billing_milestone": milestone})

    assert answer.json()["errors"][0]["field"] == "story_id"


async def test_a_batch_is_whole_or_not_at_all_and_answers_in_its_own_order(tenant: Tenant) -> None:
    project = int(await tenant.makes("workspaces", title="P"))
    good = [{"title": title, "workspace_id": project} for title in "ABC"]

    made = (await tenant.call("POST", "stories", {"stories": good})).json()
    bad = await tenant.call("POST", "stories", {"stories": [*good, {"title": ""}]})
    many = await tenant.call("POST", "billing_milestones", {"billing_milestones": [{}] * 101})

    assert [made["stories"][each["id"]]["title"] for each in made["results"]] == ["C", "B", "A"]
    assert (bad.status_code, many.status_code) == (422, 400)
    assert len(await tenant.lists("stories")) == 3


async def test_a_value_of_a_unique_field_is_entered_once(tenant: Tenant) -> None:
    fields = [{"custom_field_id": 9002, "value": "SOW-1"}, {"custom_field_id": 9001, "value": "DE"}]
    await tenant.makes("workspaces", title="P", custom_fields=fields)

    again = await tenant.call(
        "POST", "workspaces", {"workspace": {"title": "Q", "custom_fields": fields}}
    )
    answer = await tenant.gets("workspaces", include="custom_field_values")

    assert (again.status_code, again.json()["errors"][0]["message"]) == (
        422,
        "SOW-1 has already been entered",
    )
    values = {v["custom_field_id"]: v["value"] for v in answer["custom_field_values"].values()}
    assert values == {9001: "DE", 9002: "SOW-1"}


async def test_a_reference_is_made_or_changed_by_its_subject_and_service(tenant: Tenant) -> None:
    project = await tenant.makes("workspaces", title="P")
    subject = {"subject_type": "Workspace", "subject_id": int(project)}
    path = "external_references/create_or_update"

    for ref in ("k-1", "k-2"):
        given = {"external_reference": subject | reference(ref)}
        assert (await tenant.call("POST", path, given)).status_code == 200

    assert await tenant.keys("workspaces") == ["k-2"]


async def test_a_fresh_tenant_has_roles_and_rate_cards_and_keeps_their_ids(tenant: Tenant) -> None:
    first = await tenant.makes("workspaces", title="P")
    before = await tenant.lists("roles", order="updated_at:asc")

    await tenant.http.post("/__sandbox__/reset")
    answer = await tenant.call("GET", "roles")
    await tenant.logs_in()

    assert answer.status_code == 401
    assert [r["id"] for r in await tenant.lists("roles", order="updated_at:asc")] == [
        r["id"] for r in before
    ]
    assert {card["currency"] for card in await tenant.lists("rate_cards")} == {"USD", "GBP", "EUR"}
    assert await tenant.lists("workspaces") == []
    assert int(await tenant.makes("workspaces", title="P")) > int(first)
    assert (await tenant.gets("users/me"))["results"] == [{"key": "users", "id": "11"}]


async def test_paths_work_with_and_without_json(tenant: Tenant) -> None:
    id_ = await tenant.makes("workspaces", title="P")

    for path in ("workspaces.json", f"workspaces/{id_}.json", f"workspaces/{id_}"):
        answer = await tenant.gets(path)
        assert answer["workspaces"][id_]["title"] == "P"
    for path in ("nonsense", "workspaces/4711", "workspaces/1/2"):
        assert (await tenant.call("GET", path)).status_code == 404


async def test_only_the_integration_signs_in_and_a_token_lives_until_revoked(
    tenant: Tenant,
) -> None:
    await tenant.waits(10 * 365 * 86400)
    assert (await tenant.call("GET", "roles")).status_code == 200

    token = tenant.http.headers["Authorization"].partition(" ")[2]
    await tenant.http.post("/oauth/revoke", data={"token": token})
    refused = await tenant.call("GET", "roles")
    wrong = await tenant.logs_in(client_secret="guess")
    other = await tenant.logs_in(grant_type="password")
    del tenant.http.headers["Authorization"]
    basic = (tenant.credentials["client_id"], tenant.credentials["client_secret"])
    form = {"grant_type": "client_credentials"}
    granted = await tenant.http.post("/oauth/token", data=form, auth=basic)

    assert refused.status_code == 401
    assert refused.json() == {"errors": [{"type": "oauth", "message": "Invalid OAuth 2 Request"}]}
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")
    assert (other.status_code, other.json()["error"]) == (400, "unsupported_grant_type")
    assert granted.json().keys() == {"access_token", "token_type", "scope", "created_at"}


async def test_an_example_is_a_record_that_somebody_made_by_hand(tenant: Tenant) -> None:
    for name, kind in (("customer", "workspace_groups"), ("project", "workspaces")):
        example = f"/__sandbox__/examples/{name}"
        [call] = (await tenant.http.get(example, params={"name": "By hand"})).json()
        answer = await tenant.http.request(call["method"], call["path"], json=call["body"])
        assert answer.status_code == 200
        assert await titles(tenant, kind) == ["By hand"]
    assert (await tenant.http.get("/__sandbox__/examples/nothing")).status_code == 422
