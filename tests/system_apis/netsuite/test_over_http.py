"""The port over real HTTP to the sandbox's own process: both transports, both ways to sign in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apis.runtime.clients import outgoing
from contracts.canonical.identity import Ref
from contracts.canonical.party import Address, Customer
from contracts.canonical.project import Project
from tests.runtime.acme import asks, made, rows
from tests.system_apis.netsuite.connected import on
from tests.system_apis.sandboxes import running

CUSTOMER = Customer(
    name="Müller & Söhne + 1/2 GmbH",
    entity="DE",
    tax_id="DE136695976",
    addresses=(Address(city="Köln", country="DE"),),
)


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    home = tmp_path_factory.mktemp("home")
    with running("netsuite", home) as (url, _):
        yield url, home


def back_door(url: str, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, f"{url}/__sandbox__/{path}", json=body, trust_env=False)
    assert answer.is_success, answer.text
    return answer.json()


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
@pytest.mark.parametrize("kind", ["jwt", "oauth1"])
async def test_a_customer_and_its_project_are_made_and_found(
    sandbox, store, transport: str, kind: str
) -> None:
    url, home = sandbox
    back_door(url, "POST", "reset")
    http = outgoing(transport=transport)
    erp = on(url, http, store, home, kind=kind)
    asks()

    ref = await erp.create_customer(CUSTOMER, "customer-1")
    [found] = await erp.match_customers([CUSTOMER])
    assert (found.name, found.addresses[0].city) == (CUSTOMER.name, "Köln")
    made = str(ref.external_id)
    assert found.external_id == made
    assert await erp.find_customer("customer-1") == ref
    await erp.update_customer(made, CUSTOMER, "customer-2")
    assert (await erp.get_customer(made)).key == "customer-2"
    job = await erp.create_project(
        Project(name="Rollout", entity="DE", customer=Ref(None, made)), "project-1"
    )
    assert await erp.set_project_state(str(job.external_id), "active", "project-1") == job

    await http.aclose()
    assert {row.state for row in await rows(store)} == {"done"}
    log = (home / "sandboxes" / "netsuite.jsonl").read_text().splitlines()
    keys = [json.loads(line).get("key") for line in log if '"received"' in line]
    assert "customer-1" in keys
    assert "project-1" in keys


async def test_a_connection_that_breaks_after_the_record_was_made_makes_no_second(
    sandbox, store
) -> None:
    url, home = sandbox
    back_door(url, "POST", "reset")
    fault = {"operation": "customer.upsert", "fault": "timeout-after-commit", "nth": 1}
    http = outgoing(transport="aiohttp")
    erp = on(url, http, store, home)
    asks()
    await erp.find_customer("nobody")
    back_door(url, "PUT", "faults", [fault | {"seconds": 0.1}])

    with pytest.raises(Exception, match="NO_ANSWER"):
        await erp.create_customer(CUSTOMER, "customer-1")
    ref = await erp.create_customer(CUSTOMER, "customer-1")

    await http.aclose()
    state = back_door(url, "GET", "state")
    assert [each["id"] for each in state["customer"]] == [ref.external_id]
