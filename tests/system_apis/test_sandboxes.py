"""What every vendor's sandbox has to do alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system_apis.sandboxes import reached

OPERATIONS = {
    "salesforce": ("Account.create", "Account.melt", "Account.create, Account.delete"),
    "kantata": ("workspaces.create", "workspaces.melt", "workspaces.create, workspaces.delete"),
    "netsuite": ("customer.upsert", "customer.melt", "customer.create, customer.delete"),
}


@pytest.mark.parametrize("vendor", OPERATIONS)
async def test_a_fault_that_nothing_can_meet_is_refused(vendor: str, tmp_path: Path) -> None:
    real, made_up, near = OPERATIONS[vendor]
    async with reached(vendor, tmp_path) as http:
        taken = await http.put("/__sandbox__/faults", json=[{"operation": real, "fault": "lock"}])
        plan = [{"operation": made_up, "fault": "lock"}]
        refused = await http.put("/__sandbox__/faults", json=plan)
        kept = (await http.get("/__sandbox__/faults")).json()

    assert (taken.status_code, refused.status_code) == (200, 422)
    assert f"no operation '{made_up}': one of {near}" in refused.json()["detail"]
    assert [each["operation"] for each in kept] == [real]


@pytest.mark.parametrize("vendor", OPERATIONS)
async def test_a_reset_leaves_an_account_as_it_comes(vendor: str, tmp_path: Path) -> None:
    async with reached(vendor, tmp_path) as http:
        before = (await http.get("/__sandbox__/state")).json()
        assert (await http.post("/__sandbox__/reset")).json() == {"reset": vendor}
        after = (await http.get("/__sandbox__/state")).json()

    assert {kind: len(records) for kind, records in before.items()} == {
        kind: len(records) for kind, records in after.items()
    }
    assert sum(map(len, after.values())) > 0
