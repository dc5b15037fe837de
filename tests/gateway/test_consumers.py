"""Who uses what is known of all gateways together: before something goes, they are told."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.forked import says
from tests.gateway.front import Front, opened

V2, V3 = "process/orders/v2", "process/orders/v3"
WRITTEN_S = 20.0


@pytest.fixture
def front(tmp_path: Path, store_url: str, redis_url: str | None) -> Iterator[Front]:
    count = 2 if redis_url else 1  # without Redis only one may serve
    with opened(tmp_path, store_url, redis_url, count) as front:
        yield front


def told(front: Front, *command: str) -> subprocess.CompletedProcess[str]:
    """What `throughline contracts` says beside the running gateways."""
    done = says(["contracts", *command], front.house.env, front.house.folder)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def consumers(front: Front, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(told(front, "consumers", "--json", *options).stdout)
    return found


def asks(front: Front, gateway: int, client: str, target: str, **body: Any) -> None:
    """A call of a client by one of the gateways."""
    url = f"http://127.0.0.1:{front.wires[gateway % len(front.wires)].port}/{target}"
    with httpx.Client(trust_env=False) as http:
        headers = front.bearer(client)
        method = "POST" if body else "GET"
        answer = http.request(method, url, headers=headers, json=body or None)
    assert answer.status_code == 200, answer.text


def uses(found: list[dict[str, Any]]) -> set[tuple[str, str, str, str | None]]:
    return {(it["client"], it["target"], it["operation"], it["field"]) for it in found}


def written(front: Front, *wanted: tuple[str, str, str, str | None]) -> None:
    """Wait until what the gateways remember stands in the database."""
    end = time.monotonic() + WRITTEN_S
    while not set(wanted) <= (found := uses(consumers(front))):
        assert time.monotonic() < end, found
        time.sleep(0.2)


def test_all_gateways_know_together_who_used_what(front: Front) -> None:
    asks(front, 0, "reader", f"{V2}/orders")
    asks(front, 1, "clerk", f"{V3}/orders?state=open")
    asks(front, 0, "clerk", f"{V3}/orders?tag=a&t%61g=b")
    asks(front, 1, "clerk", f"{V3}/orders?dry_run=true", customer="C-1")
    written(
        front,
        ("reader", V2, "listOrders", None),
        ("clerk", V3, "listOrders", "query:state"),
        ("clerk", V3, "listOrders", "query:tag"),
        ("clerk", V3, "createOrder", "query:dry_run"),
    )

    assert uses(consumers(front, "--api", V3, "--field", "dry_run")) == {
        ("clerk", V3, "createOrder", "query:dry_run")
    }
    api = ("--api", "process/orders", "--operation", "listOrders")
    [used] = consumers(front, *api, "--field", "query:state")
    assert used["owner"] == "clerk@example.com"
    assert len(used["last_on"]) == 10

    assert uses(consumers(front, "--deprecated")) == {("reader", V2, "listOrders", None)}
    retired = told(front, "can-retire", V2)
    assert retired.returncode == 1
    assert f"{V2} must stay: reader" in retired.stdout

    agreed = told(front, "consent", "reader", V2, "--reason", "mail of 12 November")
    assert agreed.returncode == 0, agreed.stderr
    retired = told(front, "can-retire", V2)
    assert retired.returncode == 0
    assert "reader agreed" in retired.stdout
    assert told(front, "can-retire", V3).returncode == 1


def test_what_is_not_there_is_said(front: Front) -> None:
    unknown = told(front, "can-retire", "process/orders/v9")
    nobody = told(front, "consent", "stranger", V2, "--reason", "x")

    assert (unknown.returncode, nobody.returncode) == (2, 2)
    assert "gateway.yaml has no process/orders/v9" in unknown.stderr
    assert "there is no client stranger" in nobody.stderr
    assert consumers(front) == []
