"""A deployment whose feeds sleep, for tests that count calls or let every one go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.firm import Firm
from tests.house import House, opened
from tests.servers import Servers

SAMPLE = Path("apis/entities.yaml")
DEADLINE = "deadline_s: 10", "deadline_s: 6"


@pytest.fixture(scope="module")
def quiet_house(
    production: Servers | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A deployment of its own whose feeds sleep: every call in the vendors' logs is of a run.

    Calls end sooner than in the sample.
    """
    home = tmp_path_factory.mktemp("quiet")
    entities = home / "entities.yaml"
    entities.write_text(SAMPLE.read_text().replace(*DEADLINE))
    env = {"ENTITIES": str(entities), "FEED_EVERY": "1e9"}
    named = {f"THROUGHLINE_{name}": value for name, value in env.items()}
    with opened(home, production, **named) as house:
        yield house


@pytest.fixture
async def quiet_firm(quiet_house: House) -> AsyncIterator[Firm]:
    """The firm of that deployment: its deals begin when somebody asks."""
    firm = Firm(quiet_house)
    yield firm
    await firm.close()
