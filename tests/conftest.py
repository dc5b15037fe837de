"""What every suite shares: the form under test, its database and its Redis.

The same tests run in both forms; THROUGHLINE_TEST_FORM=production chooses PostgreSQL and Redis.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Servers, drop_database, flush, fresh_database, servers

FORM = os.environ.get("THROUGHLINE_TEST_FORM", "embedded")


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
