"""What the audiences' tests stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apis.runtime.store import Store
from tests.house import House


@pytest.fixture
def store(house: House) -> Iterator[Store]:
    """The deployment's database: what a tier announces is written there."""
    store = Store(house.database_url, pool=1)
    yield store
    store.close()
