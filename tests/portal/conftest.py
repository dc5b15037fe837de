"""The portal of the shipped policy, as a browser sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apis.gateway.documents import load_documents
from apis.portal.app import Portal
from apis.runtime.store import Store
from tests.gateway.bench import Bench
from tests.portal.estate import POLICY, Host, Hosts, Visitor, clock, migrated

PEOPLE = """\
  ann: {password: "home:people.json"}
  bob: {password: "home:people.json", rows: {customers: [C-1]}}
"""
SHIPPED = Path("gateway.yaml").read_text("utf-8")
DEMO = next(line for line in SHIPPED.splitlines(keepends=True) if "demo-person:" in line)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    text = SHIPPED.replace(DEMO, PEOPLE, 1)
    bench = Bench(tmp_path, text, load_documents(Path("contracts/published/openapi")))
    bench.edge = bench.edge._replace(portal=Portal, store=bench.store)
    bench.serve()
    yield bench
    bench.store.close()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = migrated(store_url)
    yield store
    store.close()


@pytest.fixture
def opens(store: Store, tmp_path: Path) -> Hosts:
    time = clock()

    def opened(text: str = POLICY) -> Host:
        return Host(tmp_path, store, time, text)

    return opened


@pytest.fixture
def hosts(opens: Hosts) -> tuple[Host, Host]:
    return opens(), opens()


@pytest.fixture
def ada(hosts: tuple[Host, Host]) -> Visitor:
    return Visitor(*hosts)
