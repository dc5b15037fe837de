"""Whose a deal is: told by its feed, moved, or said by a person to be another's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apis.runtime.context import Rows
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from apis.runtime.whose import belongs, is_of, merged
from contracts.canonical.identity import Source

DEAL, OTHER = Source("crm", "D1"), Source("crm", "D2")
ACME, INITECH = Rows(customers=("acme",)), Rows(customers=("initech",))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url, pool=1)
    lift(store)
    yield store
    store.close()


def sees(store: Store, *rows: Rows) -> list[bool]:
    return [store.read_now(is_of, DEAL, each) for each in rows]


def test_a_deal_is_its_entitys_and_its_customers(store: Store) -> None:
    assert sees(store, ACME) == [False]

    store.write_now(belongs, DEAL, "DE", "acme")
    store.write_now(belongs, OTHER, "UK", "initech")

    assert sees(store, ACME, INITECH) == [True, False]
    assert sees(store, Rows(entities=("DE",)), Rows(entities=("UK",))) == [True, False]
    assert sees(store, Rows(entities=("UK",), customers=("acme",))) == [False]
    assert sees(store, Rows(customers=()), Rows(entities=())) == [False, False]


def test_what_is_not_known_of_a_deal_changes_nothing(store: Store) -> None:
    store.write_now(belongs, DEAL, None, None)
    store.write_now(belongs, DEAL, "DE", "acme")
    store.write_now(belongs, DEAL, None, None)

    assert sees(store, Rows(entities=("DE",), customers=("acme",))) == [True]


def test_a_deal_that_was_moved_is_neither_customers_to_see(store: Store) -> None:
    for customer in ("acme", "initech", "initech", "acme"):
        store.write_now(belongs, DEAL, "DE", customer)
    store.write_now(belongs, DEAL, "DE", "acme", "us")

    assert sees(store, ACME, INITECH, Rows(entities=("DE",))) == [False, False, True]


def test_two_customers_that_a_person_says_are_one_are_one(store: Store) -> None:
    store.write_now(belongs, DEAL, "DE", "acme")
    store.write_now(belongs, DEAL, "DE", "initech", "us")
    assert sees(store, ACME, INITECH) == [False, True]

    store.write_now(merged, "initech", "acme")
    store.write_now(belongs, DEAL, "DE", "acme")

    assert sees(store, ACME, INITECH) == [True, False]
