"""One deployment for the audiences, with clients that may see only a part of the firm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from apis.runtime.store import Store
from tests.firm import Firm
from tests.house import House
from tests.servers import Servers, drop_database, flush, fresh_database

SCOPES = ["journeys.read", "projects.read", "work-items.read", "work-items.decide"]
STRANGER = "0" * 26


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The policy as it is, and clients of one legal entity, of one customer, and of none."""
    policy = yaml.safe_load(Path("gateway.yaml").read_text())
    for name, rows in (
        ("only-germany", {"entities": ["DE"]}),
        ("another-customer", {"customers": [STRANGER]}),
        ("nobody", {"customers": []}),
    ):
        policy["clients"][name] = {
            "plan": "internal",
            "secret": "home:clients.json",
            "scopes": SCOPES,
            "roles": ["integration"],
            "rows": rows,
        }
    path = tmp_path_factory.mktemp("policy") / "gateway.yaml"
    path.write_text(yaml.safe_dump(policy))
    return path


@pytest.fixture(scope="session")
def house(
    production: Servers | None, gateway: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """`throughline up` on SQLite; in production form one process per tier."""
    home: Path = tmp_path_factory.mktemp("audiences")
    more = {"THROUGHLINE_GATEWAY": str(gateway)}
    if production is None:
        house = House(home, f"sqlite:///{home}/throughline.sqlite", None, **more)
    else:
        flush(production.redis_url)
        url = fresh_database(production.database_url)
        house = House(home, url, production.redis_url, **more)
    try:
        house.opens_sandboxes()
        if production is None:
            house.opens_in_one_process()
        else:
            house.opens_split("2")
        yield house
    finally:
        house.close()
        if production is not None:
            drop_database(production.database_url, house.database_url)


@pytest.fixture
async def firm(house: House) -> AsyncIterator[Firm]:
    """The firm on a day when nothing is wrong with its systems."""
    firm = Firm(house)
    yield firm
    firm.salesforce.works_again()
    await firm.close()


@pytest.fixture
def store(house: House) -> Iterator[Store]:
    """The deployment's database: what a tier announces is written there."""
    store = Store(house.database_url, pool=1)
    yield store
    store.close()
