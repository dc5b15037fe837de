"""Operations sees the systems that the processes stand on."""

from __future__ import annotations

from tests.experience_apis.audience import OPERATIONS
from tests.firm import Firm
from tests.house import VENDORS

CONNECTIONS = f"{OPERATIONS}/connections"


async def test_operations_sees_every_system_and_what_it_is_used_for(firm: Firm) -> None:
    answer = await firm.call("GET", CONNECTIONS)

    found = {each["name"]: each for each in answer.json()["items"]}
    assert set(found) == set(VENDORS)
    assert {part["kind"] for part in found["salesforce"]["parts"]} == {"crm"}


async def test_a_system_says_which_version_of_it_is_spoken_and_until_when(firm: Firm) -> None:
    answer = await firm.call("GET", f"{CONNECTIONS}/kantata")

    said = (await firm.call("GET", "/system/kantata/v1/about")).json()
    found = answer.json()
    assert (found["name"], found["vendor"]) == ("kantata", "kantata")
    assert found["version"] == said["version"]
    assert found.get("retires_on") == said.get("retires_on")


async def test_a_system_nobody_named_is_not_found(firm: Firm) -> None:
    answer = await firm.call("GET", f"{CONNECTIONS}/sap")

    assert (answer.status_code, answer.json()["code"]) == (404, "connection.unknown")


async def test_who_sees_a_part_of_the_firm_does_not_see_its_systems(firm: Firm) -> None:
    for path in (CONNECTIONS, f"{CONNECTIONS}/netsuite"):
        answer = await firm.call("GET", path, by="only-germany")

        assert (answer.status_code, answer.json()["code"]) == (403, "rows.restricted"), path
