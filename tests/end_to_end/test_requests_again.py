"""A request that comes again under its key, through every tier: nothing is done twice."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from apis.gateway.request_keys import ENDED, REQUEST_KEYS
from apis.runtime.store import Store
from tests.firm import ITEMS, RUNS, Firm
from tests.house import House

QUEUES = (ITEMS, "/experience/operations/v1/work-items")
REPLAYED = "idempotent-replayed"


def loses_answers(house: House) -> None:
    """What the gateway's record says when it was killed after the tiers were done."""

    def work(connection: Connection) -> None:
        lost = {"status": None, "answer": None, "lease": ENDED}
        connection.execute(sa.update(REQUEST_KEYS).values(lost))

    store = Store(house.database_url)
    store.write_now(work)
    store.close()


async def test_a_note_is_on_the_item_once_though_the_answer_was_lost(
    firm: Firm, house: House
) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    for n, queue in enumerate(QUEUES):
        place, note = f"{queue}/{item['id']}/comments", {"text": f"asked {n}"}

        first = await firm.call("POST", place, json=note, key=f"note-{n}")
        replayed = await firm.call("POST", place, json=note, key=f"note-{n}")
        loses_answers(house)
        sent_again = await firm.call("POST", place, json=note, key=f"note-{n}")
        other = await firm.call("POST", place, json={"text": "another"}, key=f"note-{n}")

        assert first.status_code == 201
        assert (replayed.headers[REPLAYED], replayed.content) == ("true", first.content)
        assert REPLAYED not in sent_again.headers
        assert (sent_again.status_code, sent_again.json()) == (201, first.json())
        assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    [item] = await firm.work_items(run_id=item["run_id"])
    assert [each["text"] for each in item["comments"]] == ["asked 0", "asked 1"]


async def test_a_decision_that_is_sent_again_is_no_conflict(firm: Firm, house: House) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    place, decision = f"{ITEMS}/{item['id']}/decisions", {"decision": "approve"}

    first = await firm.call("POST", place, json=decision, key="approve", by="demo-approver")
    loses_answers(house)
    sent_again = await firm.call("POST", place, json=decision, key="approve", by="demo-approver")
    of_another_key = await firm.call(
        "POST", place, json=decision, key="approve-2", by="demo-approver"
    )

    assert (sent_again.status_code, sent_again.json()) == (200, first.json())
    assert of_another_key.status_code == 409
    assert (await firm.run_of(deal))["state"] == "done"


async def test_a_run_that_is_asked_for_again_is_one_run(firm: Firm, house: House) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    await firm.work_item(deal, owner="delivery-director")
    asked = {"deal": deal.source}

    first = await firm.call("POST", RUNS, json=asked, key=f"run-{deal.id}")
    loses_answers(house)
    sent_again = await firm.call("POST", RUNS, json=asked, key=f"run-{deal.id}")
    dry = await firm.call("POST", f"{RUNS}?dry_run=true", json=asked, key=f"run-{deal.id}")

    assert first.status_code == sent_again.status_code == 202
    assert first.json()["id"] == sent_again.json()["id"]
    assert first.headers["location"] == sent_again.headers["location"]
    assert (dry.status_code, dry.json()["code"]) == (422, "idempotency-key-reused")
    assert len(await firm.runs_of(deal)) == 1
