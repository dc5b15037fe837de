"""`throughline explain` and `throughline gateway plan`, asked of the product as it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.firm import Firm
from tests.house import House

RUNS = "/process/deal-to-project/v1/runs"


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
