"""What every suite shares: the form under test, its database and its Redis.

The same tests run in both forms; THROUGHLINE_TEST_FORM=production chooses PostgreSQL and Redis.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml

from tests.firm import Firm
from tests.house import House, opened
from tests.servers import Servers, drop_database, flush, fresh_database, servers

FORM = os.environ.get("THROUGHLINE_TEST_FORM", "embedded")
STRANGER = "0" * 26
AUDIENCE = [
    *("journeys.read", "projects.read", "runs.read", "runs.start"),
    *("work-items.read", "work-items.decide", "connections.read"),
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The house opens last: whatever needs none has the machine for itself.

    In production form run no tests that open neither database nor Redis, nor those that say of
    themselves that one form is enough: the embedded one runs them. Several hosts need Redis.
    Where lanes keep groups together, a file is one, and so are all that share the house.
    """
    items.sort(key=lambda item: uses(item, "house"))
    other = [item for item in items if in_the_other_form(item)]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if item not in other]
    for item in items:
        lane = "house" if uses(item, "house") else str(item.path)
        item.add_marker(pytest.mark.xdist_group(lane))


def in_the_other_form(item: pytest.Item) -> bool:
    """Whether the other form shows it: what is the same in both, or needs several hosts."""
    if FORM == "production":
        return in_one_form(item)
    return item.get_closest_marker("several_hosts") is not None


def in_one_form(item: pytest.Item) -> bool:
    """Whether a test shows the same in both forms."""
    return not uses(item, "production") or item.get_closest_marker("one_form") is not None


def uses(item: pytest.Item, fixture: str) -> bool:
    """Whether a test stands on a fixture, if only through others."""
    return fixture in getattr(item, "fixturenames", ())


@pytest.fixture(scope="session")
def form() -> str:
    """`embedded` or `production`."""
    assert FORM in {"embedded", "production"}, f"THROUGHLINE_TEST_FORM={FORM}"
    return FORM


@pytest.fixture(scope="session")
def production(form: str) -> Iterator[Servers | None]:
    """The two servers in production form: those of `python -m tests.servers`, else our own."""
    if form == "embedded":
        yield None
        return
    given = os.environ.get("THROUGHLINE_DATABASE_URL"), os.environ.get("THROUGHLINE_REDIS_URL")
    if given[0] and given[1]:
        yield Servers(given[0], given[1])
        return
    with servers() as both:
        yield both


@pytest.fixture
def store_url(production: Servers | None, tmp_path: Path) -> Iterator[str]:
    """An empty database for one test."""
    if production is None:
        yield f"sqlite:///{tmp_path / 'throughline.sqlite'}"
        return
    url = fresh_database(production.database_url)
    yield url
    drop_database(production.database_url, url)


@pytest.fixture
def redis_url(production: Servers | None) -> str | None:
    """An empty Redis database for one test; None in embedded form."""
    if production is None:
        return None
    flush(production.redis_url)
    return production.redis_url


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gateway's policy with every answer checked, and clients that see few rows or none."""
    policy = yaml.safe_load(Path("gateway.yaml").read_text())
    for api in chain.from_iterable(tier.values() for tier in policy["apis"].values()):
        api["modes"] = {"responses": "enforce"}
    for name, rows in (
        ("only-germany", {"entities": ["DE"]}),
        ("another-customer", {"customers": [STRANGER]}),
        ("nobody", {"customers": []}),
    ):
        policy["clients"][name] = {
            "plan": "internal",
            "secret": "home:clients.json",
            "scopes": AUDIENCE,
            "roles": ["integration"],
            "rows": rows,
        }
    path = tmp_path_factory.mktemp("policy") / "gateway.yaml"
    path.write_text(yaml.safe_dump(policy))
    return path


@pytest.fixture(scope="session")
def entities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample metadata, and billing contacts in the ERP: what the sample leaves off."""
    path = tmp_path_factory.mktemp("metadata") / "entities.yaml"
    sample = Path("apis/entities.yaml").read_text()
    path.write_text(sample.replace("#  - {connection: netsuite,", "  - {connection: netsuite,"))
    return path


@pytest.fixture(scope="session")
def house(
    production: Servers | None,
    policy: Path,
    entities: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[House]:
    """The deployment of all business readings; its answers are as its documents say."""
    home: Path = tmp_path_factory.mktemp("firm")
    named = {"THROUGHLINE_GATEWAY": str(policy), "THROUGHLINE_ENTITIES": str(entities)}
    with opened(home, production, **named) as house:
        yield house
        logs = [path.read_text() for path in (home / "logs").glob("*.log")]
        assert not [line for log in logs for line in log.splitlines() if "response.invalid" in line]


@pytest.fixture
async def firm(house: House) -> AsyncIterator[Firm]:
    """The firm on a day when nothing is wrong with its systems."""
    firm = Firm(house)
    yield firm
    await firm.close()
