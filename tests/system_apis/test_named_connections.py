"""Connections named otherwise than their vendor: what is refused names the connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from apis.runtime.app import App
from apis.runtime.attempts import Tries, refusal
from apis.runtime.clients import Local, client
from apis.runtime.clock import Clock
from apis.runtime.flow import Step
from apis.runtime.metadata import Metadata, Serving
from apis.runtime.store import Store
from apis.runtime.waits import adoptable
from contracts.canonical.party import Customer
from contracts.errors import Conflict, NotFound, Problem, Rejected, ThroughlineError
from contracts.ports import Crm, Erp
from process_apis.customer_setup import customers_in
from system_apis.app import app_of
from tests.runtime.acme import asks, made
from tests.system_apis.connections import SAMPLE, caller
from tests.system_apis.netsuite.sandbox_account import in_process as account_in_process
from tests.system_apis.salesforce.sandbox_org import in_process as org_in_process
from tests.system_apis.sandboxes import URL


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def served(vendor: str, name: str, http, store: Store, home: Path) -> App:
    """The system API of a connection that bears another name than its vendor."""
    known = Metadata.load(SAMPLE)
    parts = {"crm": "salesforce", "psa": "kantata", "erp": "netsuite"}
    renamed = {part: name if of == vendor else of for part, of in parts.items()}
    metadata = msgspec.structs.replace(
        known,
        connections={**known.connections, name: known.connections[vendor]},
        mappings={**known.mappings, name: known.mappings[vendor]},
        roles=msgspec.convert([{"serves": renamed}], tuple[Serving, ...]),
    )
    return app_of(
        caller(vendor, http, store, home, metadata=metadata, name=name, url=URL), metadata
    )


def adopts(step: Step[Any, Any], error: ThroughlineError) -> str | None:
    """The system of which the item's owner may adopt a record."""
    told = refusal(error, Tries(), Clock().now())
    return adoptable(step, msgspec.convert(told["park"], Problem))


async def test_a_record_that_is_missing_is_missing_in_that_connection(store, tmp_path) -> None:
    async with account_in_process(tmp_path) as account:
        app = served("netsuite", "netsuite_eu", account.http, store, tmp_path)
        asks()

        with pytest.raises(NotFound) as missing:
            await client(Erp, Local(app)).get_customer("999999")

    assert missing.value.source == "netsuite_eu"
    assert adopts(customers_in, missing.value) == "netsuite_eu"


async def test_what_the_vendor_refuses_names_the_connection(store, tmp_path) -> None:
    async with account_in_process(tmp_path) as account:
        app = served("netsuite", "netsuite_eu", account.http, store, tmp_path)
        asks()

        with pytest.raises(Rejected) as refused:
            await client(Erp, Local(app)).create_customer(Customer(name="No entity AG"), "c-1")

    assert (refused.value.code.partition(".")[0], refused.value.source) == (
        "netsuite",
        "netsuite_eu",
    )


async def test_a_record_of_a_batch_that_is_refused_names_the_connection(store, tmp_path) -> None:
    async with org_in_process(tmp_path) as org:
        app = served("salesforce", "salesforce_eu", org.http, store, tmp_path)
        asks()

        [told] = await client(Crm, Local(app)).upsert_customers(
            [Customer(key="customer-1", name="Far", website="https://" + "x" * 300)]
        )

    assert told.problem is not None
    assert told.problem.source == "salesforce_eu"


async def test_a_write_that_nobody_confirmed_is_looked_up_there() -> None:
    error = Conflict("netsuite.UNCERTAIN", "never confirmed", source="netsuite_eu")
    assert adopts(customers_in, error) == "netsuite_eu"
