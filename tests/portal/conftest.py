"""The portal of the shipped policy, as a browser sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apis.gateway.documents import load_documents
from apis.portal.app import Portal
from tests.gateway.bench import Bench

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
    bench.edge = bench.edge._replace(portal=Portal)
    bench.serve()
    yield bench
    bench.store.close()
