"""A process may hold the connections that it lets come."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from apis.runtime.sockets import allow_sockets

FEW = 256


@pytest.fixture
def most() -> Iterator[int]:
    """How many files we might ask for; we begin with few."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_process_that_begins_with_few_files_asks_for_all_it_may_have(most: int) -> None:
    allow_sockets()

    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
