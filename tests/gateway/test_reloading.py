"""Who runs the gateway changes its policy while it serves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apis.gateway.app import Front
from apis.gateway.client_authentication import load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.policy import Gateway, load_gateway
from apis.gateway.version_states import Lives
from apis.runtime.reloading import Reloading
from tests.gateway.bench import HERE, Bench, echo

ORDERS = "/process/orders/v3/orders"
GOOD = (HERE / "gateway.yaml").read_text()
SHOP = '    shop: {url: "https://shop.example.com", document: shop.yaml}\n'


class Operator:
    """Edits the policy file, and lets the gateway look as often as it takes a change."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.file = bench.home / "gateway.yaml"
        self.file.write_text(GOOD)
        policy = load_gateway(GOOD)
        self.reloading = Reloading(
            bench.app, policy, (bench.home, self.file), self.front, self.take
        )

    def take(self, policy: Gateway) -> None:
        Lives(self.bench.store).take(policy, self.bench.clock.now())

    def front(self, policy: Gateway) -> Front:
        bench = self.bench
        named = foreign_documents(policy, bench.home)
        compiled = compile_policy(policy, load_documents(HERE / "published") | named)
        known = load_credentials(policy, bench.home)
        oauth = AuthorizationServer(policy, known, bench.tokens, bench.store, bench.uses)
        targets = dict.fromkeys(compiled.mounts, echo)
        return Front(compiled, targets, bench.edge._replace(oauth=oauth))

    def writes(self, old: str, new: str) -> None:
        assert old in GOOD
        self.file.write_text(GOOD.replace(old, new))
        self.reloading.look()
        self.reloading.look()

    def rotates(self, client: str, secret: str) -> None:
        file: Path = self.bench.home / "clients.json"
        held = json.loads(file.read_bytes())
        held[client]["client_secret"] = secret
        file.write_text(json.dumps(held))
        self.reloading.look()
        self.reloading.look()

    def describes(self, document: str) -> None:
        (self.bench.home / "shop.yaml").write_text(document)
        self.reloading.look()
        self.reloading.look()

    async def asks(self, client: str = "clerk") -> int:
        answer = await self.bench.http.get(f"{ORDERS}/7", headers=self.bench.bearer(client))
        return answer.status_code


@pytest.fixture
def operator(bench: Bench) -> Operator:
    return Operator(bench)


async def test_a_scope_that_is_taken_away_is_gone_for_tokens_given_before(
    operator: Operator,
) -> None:
    assert await operator.asks("reader") == 200

    operator.writes(
        "reader: {plan: internal, secret: home:clients.json, scopes: [orders.read]}",
        "reader: {plan: internal, secret: home:clients.json, scopes: [orders.write]}",
    )

    assert await operator.asks("reader") == 403


async def test_a_client_that_is_taken_away_is_unknown(operator: Operator) -> None:
    operator.writes(
        '  robot: {plan: internal, keys: "home:robot.json", scopes: [orders.read]}\n', ""
    )

    assert await operator.asks("robot") == 401


async def test_a_wrong_file_changes_nothing_and_every_place_is_told(operator: Operator) -> None:
    operator.writes("rate: 100000/min", "rate: often")

    assert "plans.internal.rate: a limit is written like" in operator.reloading.mistakes[0]
    assert await operator.asks() == 200

    operator.writes("rate: 100000/min", "rate: 100001/min")

    assert not operator.reloading.mistakes


def test_an_api_of_ours_that_comes_or_goes_needs_a_start(operator: Operator) -> None:
    operator.writes("    salesforce: {vendor: salesforce}", "    crm: {vendor: salesforce}")

    assert "restart to serve it" in " ".join(operator.reloading.mistakes)


async def test_a_document_that_comes_later_or_is_mended_is_taken_when_it_is_right(
    operator: Operator,
) -> None:
    operator.writes("  process:\n", f"  experience:\n{SHOP}  process:\n")
    assert "No such file" in operator.reloading.mistakes[0]

    operator.describes("openapi: 3.1.0\npaths: {/orders: null}\n")
    assert "shop.yaml:2: paths./orders: " in operator.reloading.mistakes[0]
    assert await operator.asks() == 200

    operator.describes((HERE / "foreign" / "shop.yaml").read_text())
    assert not operator.reloading.mistakes
    assert "experience/shop/v1" in operator.bench.app.front.policy.mounts


async def test_a_file_that_is_being_written_is_left_alone(operator: Operator) -> None:
    operator.file.write_text("version: 1\n")
    operator.reloading.look()
    operator.file.write_text(GOOD.replace("5/h", "4/h"))
    operator.reloading.look()

    assert await operator.asks("slow") == 200  # the policy of the start still holds
    assert operator.bench.app.front.policy.gateway.plans["small"].rate == "5/h"

    operator.reloading.look()

    assert operator.bench.app.front.policy.gateway.plans["small"].rate == "4/h"


async def test_a_secret_that_is_rotated_is_asked_for_at_once(operator: Operator) -> None:
    operator.rotates("clerk", "another-secret-of-the-clerk")

    form = {"grant_type": "client_credentials"}
    old = ("clerk", operator.bench.secrets["clerk"])
    new = ("clerk", "another-secret-of-the-clerk")
    assert (await operator.bench.http.post("/oauth/token", data=form, auth=old)).status_code == 401
    assert (await operator.bench.http.post("/oauth/token", data=form, auth=new)).status_code == 200
