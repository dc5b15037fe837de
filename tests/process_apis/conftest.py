"""One deployment for all business readings: one process, or split with two workers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.firm import Firm
from tests.house import House
from tests.servers import Servers, drop_database, flush, fresh_database


@pytest.fixture(scope="session")
def house(production: Servers | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """`throughline up` on SQLite; in production form four processes on PostgreSQL and Redis."""
    home: Path = tmp_path_factory.mktemp("firm")
    if production is None:
        house = House(home, f"sqlite:///{home}/throughline.sqlite", None)
    else:
        flush(production.redis_url)
        house = House(home, fresh_database(production.database_url), production.redis_url)
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
    await firm.close()
