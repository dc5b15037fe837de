"""Who may decide what about a parked step: adopt where it means something, retry, abandon."""

from __future__ import annotations

import pytest

from contracts.canonical.identity import Source
from contracts.errors import Conflict, Rejected
from tests.runtime.flow_bench import DONE, REFUSALS, Bench

CUSTOMER = Source("netsuite", "17")


def unclear() -> Conflict:
    """What a step that can adopt says of two customers that are alike."""
    return Conflict("customer.match-unclear", "two alike", owner="finance", source="netsuite")


async def test_a_record_of_the_system_that_asked_is_adopted(bench: Bench) -> None:
    REFUSALS["matched A"] = [unclear()]
    run_id = await bench.starts("matching", "A")
    item = await bench.item(run_id)

    await bench.decides(item, "adopt", record=CUSTOMER)

    assert item.adopts == "netsuite"
    assert (await bench.until(run_id, "done")).result == "adopt:17"


async def test_a_record_of_another_system_is_not_adopted(bench: Bench) -> None:
    REFUSALS["matched A"] = [unclear()]
    item = await bench.item(await bench.starts("matching", "A"))

    with pytest.raises(Rejected, match=r"other-system.*of netsuite.*not one of salesforce") as told:
        await bench.decides(item, "adopt", record=Source("salesforce", "17"))
    assert told.value.status == 422
    with pytest.raises(Rejected, match="record-missing"):
        await bench.decides(item, "adopt")


async def test_where_a_record_settles_nothing_none_is_adopted(bench: Bench) -> None:
    missing = Rejected("customer.tax-code-missing", "no tax code", source="netsuite")
    REFUSALS["matched A"], REFUSALS["second A"] = [missing], [unclear()]

    for name in ("matching", "three_steps"):  # another refusal, and a step that adopts nothing
        item = await bench.item(await bench.starts(name, "A"))
        assert item.adopts is None
        with pytest.raises(Rejected, match=r"nothing-to-adopt.*retry, abandon") as told:
            await bench.decides(item, "adopt", record=CUSTOMER)
        assert told.value.status == 422


async def test_a_create_nobody_confirmed_can_be_adopted_after_any_step(bench: Bench) -> None:
    REFUSALS["second A"] = [Conflict("acme.UNCERTAIN", "never confirmed", source="netsuite")]
    run_id = await bench.starts("three_steps", "A")

    await bench.decides(await bench.item(run_id), "adopt", record=CUSTOMER)

    assert (await bench.until(run_id, "done")).state == "done"


async def test_an_undo_that_is_abandoned_is_listed_and_the_others_go_on(bench: Bench) -> None:
    REFUSALS["third A"] = [Rejected("deal.wrong", "wrong")]
    REFUSALS["undo A"] = [Rejected("project.locked", "time is booked on it")]
    run_id = await bench.starts("two_undos", "A")
    parked = await bench.item(run_id)
    await bench.decides(parked, "abandon")
    undo = await bench.see(lambda: bench.item(run_id), lambda item: item.id != parked.id)

    await bench.decides(undo, "abandon", comment="the hours stay")

    run = await bench.until(run_id, "abandoned", "failed")
    assert run.state == "abandoned"
    assert run.kept == ("not taken back, the hours stay", "a first step stays")
    assert DONE == ["first A", "second A", "earlier undo A"]
    assert (await bench.engine.statuses([run_id]))[run_id] != "ERROR"


async def test_integration_retries_what_others_own_and_decides_nothing_else(bench: Bench) -> None:
    REFUSALS["matched A"] = [unclear()]
    run_id = await bench.starts("matching", "A")
    item = await bench.item(run_id)

    for decision, record in (("abandon", None), ("adopt", CUSTOMER)):
        with pytest.raises(Rejected, match=r"not-yours.*finance") as refused:
            await bench.decides(item, decision, "integration", record=record)
        assert refused.value.status == 403
    await bench.decides(item, "retry", "integration")

    assert (await bench.until(run_id, "done")).state == "done"


async def test_the_next_version_of_a_flow_runs_as_itself(bench: Bench) -> None:
    run_id = await bench.starts("reshaped", "A")

    assert (await bench.until(run_id, "done")).result == "first and third"
