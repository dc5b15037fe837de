"""Why a registered client was refused: what the advice says to do can be done, and helps."""

from __future__ import annotations

from typing import Any

import pytest

from tests.portal.estate import ORDERS, POLICY, Host, Hosts, Visitor
from tests.portal.test_access import Application, opens_the_wish

READS = POLICY.replace("catalog.read, salesforce", "decisions.read, catalog.read, salesforce")
GRANTS = "who has the role api-owner grants it at /portal/approvals"


@pytest.fixture
def hosts(opens: Hosts) -> tuple[Host, Host]:
    return opens(READS), opens(READS)


@pytest.fixture
async def app(ada: Visitor, hosts: tuple[Host, Host]) -> Application:
    await ada.signs_up()
    made = await ada.makes()
    for host in hosts:
        await host.looks()
    return made


async def token(host: Host, app: Application) -> str:
    given = await host.gets_token(*app)
    return str(given.json()["access_token"])


async def explained(host: Host, request_id: str) -> dict[str, Any]:
    """What the last policy said."""
    answer = await host.http.get(f"/decisions/{request_id}", headers=host.bearer())
    assert answer.status_code == 200, answer.text
    last: dict[str, Any] = answer.json()["items"][0]["reasons"][-1]
    return last


async def test_a_scope_that_is_missing_is_asked_for_in_the_portal_and_granted_there(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    host, client = hosts[0], app[0]
    headers = {"authorization": f"Bearer {await token(host, app)}"}
    refused = await host.http.delete(f"{ORDERS}/1", headers=headers)

    told = await explained(host, refused.headers["x-request-id"])

    assert (refused.status_code, told["outcome"]) == (403, "refused")
    assert told["place"].endswith(": portal")
    asks = f"its owner asks for orders.write at /portal/applications/{client}"
    assert told["change"] == f"{asks}, and {GRANTS}"

    await ada.asks_for(client)
    bob = Visitor(*hosts)
    await bob.signs_in("bob")
    await opens_the_wish(bob)
    await bob.sends("approve", customers="C-1")
    await host.looks()

    told = await explained(host, refused.headers["x-request-id"])
    assert told["change"] == "the client has the scope now: ask for a new token that holds it"
    headers = {"authorization": f"Bearer {await token(host, app)}"}
    assert (await host.http.delete(f"{ORDERS}/1", headers=headers)).status_code == 200


async def test_what_a_sandbox_allows_stands_in_the_section_of_the_portal(
    hosts: tuple[Host, Host], app: Application
) -> None:
    host = hosts[0]
    answer = await host.asks(await token(host, app))
    found = await host.decisions.found(answer.headers["x-request-id"])

    page = await host.http.get(f"/decisions/{found[0].request_id}", headers=host.bearer())

    [granted, limited] = page.json()["items"][0]["reasons"]
    assert granted["place"].endswith(": portal.sandbox.scopes")
    assert limited["place"].endswith(": plans.small")
    assert "change" not in granted


async def test_a_plan_that_is_used_up_may_be_asked_for_larger(
    hosts: tuple[Host, Host], app: Application
) -> None:
    host = hosts[0]
    given = await token(host, app)
    answers = [await host.asks(given) for _ in range(21)]

    told = await explained(host, answers[-1].headers["x-request-id"])

    asks = f"its owner asks for another plan at /portal/applications/{app[0]}"
    assert told["change"] == f"wait as long as `t` says, or {asks}, and {GRANTS}"


@pytest.mark.parametrize("closed", [("plans: [internal]", "plans: []"), ("audience: partner", "")])
async def test_what_nobody_may_ask_for_is_given_in_the_file_under_another_name(
    hosts: tuple[Host, Host], app: Application, closed: tuple[str, str]
) -> None:
    host = hosts[0]
    headers = {"authorization": f"Bearer {await token(host, app)}"}
    refused = await host.http.delete(f"{ORDERS}/1", headers=headers)
    host.reads(READS.replace(*closed))

    told = await explained(host, refused.headers["x-request-id"])

    another = f"is a client of gateway.yaml, under another name than {app[0]}"
    assert told["change"] == f"the portal offers orders.write to nobody: who needs it {another}"


async def test_a_client_that_is_gone_is_not_sent_to_a_place_that_is_not_there(
    ada: Visitor, hosts: tuple[Host, Host], app: Application
) -> None:
    host, client = hosts[0], app[0]
    headers = {"authorization": f"Bearer {await token(host, app)}"}
    refused = await host.http.delete(f"{ORDERS}/1", headers=headers)
    await ada.presses(client, "delete", sure="yes")
    await host.looks()

    told = await explained(host, refused.headers["x-request-id"])

    assert "place" not in told
    assert told["change"] == f"{client} is no client any more, of gateway.yaml or of the portal"
