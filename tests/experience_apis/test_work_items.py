"""Work items as operations handles them: nothing is copied, so nothing is stale."""

from __future__ import annotations

import pytest

from tests.experience_apis.audience import OPERATIONS, journey, waiting
from tests.firm import ITEMS, Firm

QUEUE = f"{OPERATIONS}/work-items"


async def test_operations_lists_what_the_queue_has_now(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)
    item = await firm.work_item(deal)

    asked = {"owner": item["owner"], "state": "open"}
    listed = await firm.call("GET", QUEUE, params=asked)

    queue = await firm.call("GET", ITEMS, params=asked)
    assert item["id"] in [each["id"] for each in listed.json()["items"]]
    assert listed.json() == queue.json()
    assert {each["owner"] for each in listed.json()["items"]} == {"finance-master-data"}


async def test_an_item_is_taken_on_by_a_person_and_given_back(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)
    item, place = await firm.work_item(deal), f"{QUEUE}/"
    place = f"{QUEUE}/{item['id']}/assignee"

    taken = await firm.call("PUT", place, json={"assignee": "kim@northline.example"})

    assert (taken.status_code, taken.json()["assignee"]) == (200, "kim@northline.example")
    found = await firm.see(
        lambda: waiting(firm, deal), lambda seen: seen["waiting"]["assignee"] is not None
    )
    assert found["waiting"]["assignee"] == "kim@northline.example"
    nobody = (await firm.call("PUT", place, json={"assignee": "kim"})).json()["errors"][0]
    told = "assignee must be a person's e-mail address such as kim@northline.example"
    assert nobody["message"] == told
    assert (await firm.call("PUT", place, json={})).json()["assignee"] is None


async def test_comments_stay_in_their_order_with_who_wrote_them(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)
    item = await firm.work_item(deal)
    place = f"{QUEUE}/{item['id']}"

    await firm.call("POST", f"{place}/comments", json={"text": "called the customer"})
    told = await firm.call(
        "POST", f"{place}/comments", by="demo-finance", json={"text": "it is exempt"}
    )

    assert told.status_code == 201
    comments = (await firm.call("GET", place)).json()["comments"]
    assert [(each["actor"], each["text"]) for each in comments] == [
        ("demo", "called the customer"),
        ("demo-finance", "it is exempt"),
    ]


async def test_a_decision_of_operations_is_the_queues_own(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)
    item = await firm.work_item(deal)
    place = f"{QUEUE}/{item['id']}"
    await firm.call("POST", f"{place}/comments", json={"text": "set right"})
    firm.salesforce.corrects(deal.customer_id, tax_code="US-SERVICES")

    decided = await firm.call(
        "POST", f"{place}/decisions", by="demo-finance", json={"decision": "retry"}
    )

    assert (decided.status_code, decided.json()["decision"]["actor"]) == (200, "demo-finance")
    assert [each["text"] for each in decided.json()["comments"]] == ["set right"]
    assert (await journey(firm, deal.id, "done"))["waiting"] is None
    again = await firm.call("POST", f"{place}/decisions", json={"decision": "retry"})
    assert (again.status_code, again.json()["code"]) == (409, "work-item.already-decided")
    late = await firm.call("PUT", f"{place}/assignee", json={"assignee": "kim@northline.example"})
    assert (late.status_code, late.json()["code"]) == (409, "work-item.already-decided")


async def test_another_role_can_neither_take_an_approval_nor_decide_it(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    place = f"{QUEUE}/{item['id']}"

    taken = await firm.call(
        "PUT", f"{place}/assignee", by="demo-finance", json={"assignee": "kim@northline.example"}
    )
    decided = await firm.call(
        "POST", f"{place}/decisions", by="demo-finance", json={"decision": "approve"}
    )

    assert (taken.status_code, taken.json()["code"]) == (403, "work-item.not-yours")
    assert (decided.status_code, decided.json()["code"]) == (403, "work-item.not-yours")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "work-items/wi-none", None, 404, "work-item.unknown"),
        ("PUT", "work-items/wi-none/assignee", {"assignee": "a@b.example"}, 404, None),
        ("PUT", "work-items/wi-none/assignee", {"assignee": ""}, 422, "validation-failed"),
        ("PUT", "work-items/wi-none/assignee", {"who": "a@b.example"}, 422, "validation-failed"),
        ("POST", "work-items/wi-none/comments", {"text": "seen"}, 404, "work-item.unknown"),
        ("POST", "work-items/wi-none/comments", {}, 422, "validation-failed"),
        ("POST", "work-items/wi-none/decisions", {"decision": "no"}, 422, "validation-failed"),
        ("GET", "work-items?state=asleep", None, 422, "validation-failed"),
        ("GET", "work-items?person=kim", None, 422, None),
        ("DELETE", "work-items/wi-none", None, 405, "method-not-allowed"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_a_reason(  # noqa: PLR0917 - one row of a table
    firm: Firm, method: str, path: str, body: object, status: int, code: str | None
) -> None:
    answer = await firm.call(method, f"{OPERATIONS}/{path}", json=body)

    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
