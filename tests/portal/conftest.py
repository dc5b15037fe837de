"""The portal of the shipped policy, as a browser sees it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from apis.gateway.documents import load_documents
from apis.portal.app import Portal
from tests.gateway.bench import Bench

SHIPPED = Path("gateway.yaml").read_text("utf-8")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    text = SHIPPED.replace("demo-person: {", 'ann: {password: "home:people.json"}\n  bob: {', 1)
    bench = Bench(tmp_path, text, load_documents(Path("contracts/published/openapi")))
    bench.edge = bench.edge._replace(portal=Portal)
    bench.serve()
    yield bench
    bench.store.close()
