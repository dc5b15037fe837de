"""`throughline explain` and `throughline gateway plan`, asked of the product as it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from click.testing import CliRunner

from apis.cli import main
from apis.gateway.policy import gateway_in
from apis.portal.applications import By, Draft, make
from apis.runtime.store import Store
from tests.firm import Firm
from tests.house import House

RUNS = "/process/deal-to-project/v1/runs"
PROJECTS = "/experience/delivery/v2/projects"
SHOP = "app-0db66acc89"


def changed(house: House, folder: Path, **clients: Any) -> str:
    """The policy as it is, but for these clients; None takes one out."""
    policy = yaml.safe_load(Path(house.env["THROUGHLINE_GATEWAY"]).read_text("utf-8"))
    for name, client in clients.items():
        policy["clients"][name.replace("_", "-")] = client
    policy["clients"] = {name: each for name, each in policy["clients"].items() if each}
    path = folder / "next.yaml"
    path.write_text(yaml.safe_dump(policy))
    return str(path)


async def test_why_a_call_was_refused_is_told_with_its_place(firm: Firm, house: House) -> None:
    refused = await firm.call("GET", RUNS, by="demo-partner")

    code, words = house.says("explain", refused.headers["x-request-id"])

    assert refused.status_code == 403
    assert code == 0, words
    assert (
        "demo-partner called process/deal-to-project v1 listRuns: 403 insufficient-scope" in words
    )
    assert "refused authorization: listRuns needs the scope runs.read" in words
    assert ": clients.demo-partner.scopes" in words
    assert "to change it: add runs.read to the scopes of demo-partner" in words


async def test_a_request_nobody_knows_is_told_in_a_sentence(house: House) -> None:
    code, words = house.says("explain", "no-such-request")

    assert code == 1
    assert "Traceback" not in words


async def test_a_new_policy_says_whom_it_would_have_affected(
    firm: Firm, house: House, tmp_path: Path
) -> None:
    seen = await firm.call("GET", "/catalog", by="demo-partner")
    house.says("explain", seen.headers["x-request-id"])  # what was decided is written now
    path = changed(house, tmp_path, demo_partner=None)

    code, words = house.says("gateway", "plan", path, "--json")
    _, table = house.says("gateway", "plan", path)

    assert (seen.status_code, code) == (200, 0)
    rows = {each["client"]: each for each in json.loads(words)["affected"]}
    assert rows["demo-partner"]["operation"] == "getCatalog"
    assert rows["demo-partner"]["would_be_refused"] >= 1
    assert rows["demo-partner"]["why"] == "the client is removed"
    assert "demo-partner" in table
    assert "1 would have been affected" in table


def test_a_policy_that_is_wrong_is_refused_with_its_findings(house: House, tmp_path: Path) -> None:
    wrong = {"plan": "gold", "scopes": ["nothing.read"]}

    code, words = house.says("gateway", "plan", changed(house, tmp_path, demo=wrong))

    assert code == 1
    assert "clients.demo.plan: there is no plan gold" in words
    assert "clients.demo.scopes: no API grants nothing.read" in words


@pytest.fixture(scope="module")
def shop(house: House) -> str:
    """The secret of an application that somebody registered in the portal."""
    portal = gateway_in(Path(house.env["THROUGHLINE_GATEWAY"])).portal
    store = Store(house.database_url, digest_key=(house.home / "digest.key").read_bytes())
    told = httpx.get(house.clock, trust_env=False).json()
    by = By("dev-ada", datetime.fromisoformat(told["now"]), "r-1")
    assert portal is not None
    try:
        made = store.write_now(make, portal, Draft(SHOP, "Shop", "To see projects"), by)
    finally:
        store.close()
    assert made is not None
    return made.secret


async def test_a_registered_client_is_foreseen_under_the_portal_of_each_policy(
    firm: Firm, house: House, shop: str, tmp_path: Path
) -> None:
    asked = {"grant_type": "client_credentials"}

    async def let_in() -> httpx.Response:
        return house.http.post(f"{house.gateway}/oauth/token", data=asked, auth=(SHOP, shop))

    given = (await firm.see(let_in, lambda answer: answer.status_code == 200)).json()
    bearer = {"authorization": f"Bearer {given['access_token']}"}
    seen = house.http.get(house.gateway + PROJECTS, headers=bearer)
    refused = house.http.get(house.gateway + RUNS, headers=bearer)
    _, words = house.says("explain", refused.headers["x-request-id"])

    def why(change: Callable[[dict[str, Any]], object]) -> set[str]:
        """Why this client would have been refused."""
        policy = yaml.safe_load(Path(house.env["THROUGHLINE_GATEWAY"]).read_text("utf-8"))
        change(policy)
        path = tmp_path / "next.yaml"
        path.write_text(yaml.safe_dump(policy))
        asking = ["gateway", "plan", str(path), "--json"]
        planned = CliRunner(env=house.env).invoke(main, asking)
        rows = json.loads(planned.stdout)["affected"]
        return {row["why"] for row in rows if row["client"] == SHOP}

    assert (seen.status_code, refused.status_code) == (200, 403)
    assert f"under another name than {SHOP}" in words
    assert await asyncio.to_thread(why, lambda policy: policy) == set()
    alone = await asyncio.to_thread(why, lambda policy: policy.pop("portal"))
    assert alone == {"the client is removed"}
    tight = await asyncio.to_thread(
        why, lambda policy: policy["portal"]["sandbox"].update(scopes=[])
    )
    assert tight == {"authorization: the scope projects.read is needed"}


@pytest.mark.usefixtures("shop")
def test_a_policy_that_names_a_registered_client_is_refused_as_at_a_start(
    house: House, tmp_path: Path
) -> None:
    taken = {"plan": "internal", "scopes": ["runs.read"], "secret": "home:clients.json"}

    code, words = house.says("gateway", "plan", changed(house, tmp_path, **{SHOP: taken}))

    assert code == 1
    assert f"clients.{SHOP}: this name is registered in the portal: take another" in words
