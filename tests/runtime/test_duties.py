"""Segregation of duties: one person may not hold both ends of a decision, by whatever client."""

from __future__ import annotations

from datetime import date

import pytest

from apis.runtime.context import Context
from apis.runtime.duties import Act, broken, in_force, same_person
from apis.runtime.metadata import Duty
from apis.runtime.work_items import Deciding, comment, decide
from contracts.canonical.identity import Source
from contracts.errors import Conflict, Rejected
from contracts.runs import WorkItem
from tests.runtime.flow_bench import REFUSALS, Bench

KIM = "kim@northline.example"
ADOPTED = Act("adopt", ("portal", KIM))
DUTIES = (
    Duty(did="adopt", may_not="approve"),
    Duty(did="comment", may_not="adopt", entity="DE"),
    Duty(did="approve", may_not="approve", valid_from=date(2026, 7, 1)),
)


@pytest.mark.parametrize(
    ("decision", "by", "entity", "told"),
    [
        ("approve", Context(actor="bi", client="bi", person=KIM), None, "adopt"),
        ("approve", Context(actor="bi", client="bi", person=KIM.upper()), "DE", "adopt"),
        ("approve", Context(actor="portal", client="portal"), "UK", "adopt"),
        ("approve", Context(actor="bi", client="bi", person="lee@northline.example"), "DE", None),
        ("approve", Context(actor="bi", client="bi"), "DE", None),
        ("retry", Context(actor="portal", client="portal", person=KIM), "DE", None),
    ],
)
def test_two_clients_of_one_person_are_one(
    decision: str, by: Context, entity: str | None, told: str | None
) -> None:
    assert broken(DUTIES, decision, by, [ADOPTED], entity) == told


def test_a_duty_holds_for_its_entity_and_from_its_day_on() -> None:
    noted, kim = Act("comment", (None, KIM)), Context(actor="a", client="a", person=KIM)

    assert broken(DUTIES, "adopt", kim, [noted], "DE") == "comment"
    assert broken(DUTIES, "adopt", kim, [noted], "UK") is None
    assert in_force(DUTIES, date(2026, 6, 30)) == DUTIES[:2]
    assert in_force(DUTIES, date(2026, 7, 1)) == DUTIES


def test_nobody_is_the_same_as_somebody_unnamed() -> None:
    assert not same_person(Context(actor="a", client="a"), [None, ""])


async def test_who_did_the_one_is_refused_the_other_and_the_item_waits_for_somebody_else(
    bench: Bench,
) -> None:
    item = await parked(bench)
    await bench.store.write(comment, item.id, "it is 17", by("portal", KIM), bench.clock.now())

    with pytest.raises(Rejected, match=r"duties-conflict.*whose part was comment") as refused:
        await adopts(bench, item, by("desk", KIM))

    assert (refused.value.status, refused.value.owner) == (403, item.owner)
    assert (await bench.item(item.run_id or "")).state == "open"
    decided = await adopts(bench, item, by("desk", "lee@northline.example"))
    assert decided.decision is not None
    assert decided.decision.person == "lee@northline.example"
    with pytest.raises(Conflict, match="already-decided"):
        await adopts(bench, item, by("desk", "lee@northline.example"))


async def parked(bench: Bench) -> WorkItem:
    """A step that asks which customer it is."""
    told = Conflict("customer.match-unclear", "two alike", owner="finance", source="netsuite")
    REFUSALS["matched A"] = [told]
    return await bench.item(await bench.starts("matching", "A"))


async def adopts(bench: Bench, item: WorkItem, who: Context) -> WorkItem:
    """Somebody says which customer it is; who proposed it may not."""
    deciding = Deciding(
        decision="adopt",
        record=Source("netsuite", "17"),
        by=who,
        at=bench.clock.now(),
        duties=(Duty(did="comment", may_not="adopt"),),
    )
    return await bench.store.write(decide, item.id, deciding)


def by(client: str, person: str) -> Context:
    """A person at a client."""
    return Context(actor=client, client=client, person=person, roles=("finance",))
