"""A wrong `gateway.yaml` refuses the start and names the place."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from apis.gateway.app import gateway_app
from apis.gateway.client_authentication import ensure_clients, load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.policy import PolicyError, load_gateway
from tests.gateway.bench import HERE, Bench

GOOD = (HERE / "gateway.yaml").read_text()
ROOT = HERE.parents[1]

WRONG = [
    ("version: 1", "version: 2", "version: "),
    ("version: 1\n", "version: 1\nplan: {}\n", "2: plan: there is no such setting, only apis"),
    ("version: 1\n", "", "1: the file: `version` is missing"),
    ("rate: 5/h", "rates: 5/h", "plans.small.rates: there is no such setting"),
    ("rate: 5/h", "rate: 5/hour", "plans.small.rate: a limit is written like 600/min"),
    ("quota: 20/day", "quota: many", "plans.small.quota: a limit is written like"),
    (
        "{rate: 5/h, quota: 20/day}",
        "{}",
        "plans.small: a plan needs a rate, a quota or ",
    ),
    ("{rate: 5/h,", "{burst: 0, rate: 5/h,", "plans.small.burst: a burst is at least 1"),
    ("{rate: 5/h,", "{on_store_loss: ajar, rate: 5/h,", "plans.small.on_store_loss: "),
    ("plan: internal, secret", "plan: gold, secret", "clients.branch.plan: there is no plan gold"),
    ("roles: [finance]", "role: finance", "clients.clerk.role: there is no such setting"),
    ("roles: [finance]", "roles: 7", "clients.clerk.roles: "),
    ("rows: {entities", "rows: {entity", "clients.branch.rows"),
    ("rows: {entities: [DE]}", "rows: {}", "clients.branch.rows: name customers or entities"),
    (
        "[orders.read], rows",
        "[orders.read, salesforce.read], rows",
        "clients.branch.scopes: salesforce.read opens all of a system: no client with rows",
    ),
    (
        "[orders.read, orders.write], redirects",
        "[orders.read, salesforce.read], redirects",
        "people.ann.rows: salesforce.read of the client portal opens all of a system: nobody with",
    ),
    ("salesforce.read]", "netsuite.read]", "clients.clerk.scopes: no API grants netsuite.read"),
    ("http://127.0.0.1:8400/back", "http://127.0.0.1/a b", "127.0.0.1/a b: https is needed, or"),
    ("  slow:", '  "entra:app":', "clients.entra:app: a name has up to 50 plain characters and no"),
    ("  slow:", f"  {'s' * 51}:", f"clients.{'s' * 51}: a name has up to 50 plain characters"),
    ("  bob:", '  "bob\\0":', "a name has up to 50 plain characters and no colon"),
    ("  slow:", "  reader:", "gateway.yaml:15: `reader` is there twice"),
    (
        "vendor: salesforce",
        "vendors: salesforce",
        "apis.system.salesforce.vendors: there is no such setting",
    ),
    ("vendor: salesforce", "vendor: x, scopes: {a: [about]}", "apis.system.salesforce.scopes: "),
    (
        "vendor: salesforce",
        "vendor: salesforce, scopes: {catalog.read: [abouts]}",
        "apis.system.salesforce.scopes.catalog.read: operation abouts is not in",
    ),
    (
        "vendor: salesforce",
        "vendor: salesforce, uses: [process/order]",
        "apis.system.salesforce.uses: there is no other API process/order",
    ),
    (
        "vendor: salesforce",
        "vendor: salesforce, audience: partner",
        "apis.system.salesforce.audience: a system API is internal",
    ),
    (
        "vendor: salesforce",
        "vendor: salesforce, service_level: {availability: 101, latency_ms: 5}",
        "apis.system.salesforce.service_level: per cent up to 100",
    ),
    ("  system:", "  systems:", "apis.systems: there is no such setting"),
    (
        " getLine]",
        " getLines]",
        "apis.process.orders.scopes.orders.read: operation getLines is not",
    ),
    (", getLine]", "]", "apis.process.orders.scopes: operation getLine has no scope"),
    (
        "[createOrder,",
        "[createOrder, getOrder,",
        "orders.write: operation getOrder is in orders.read",
    ),
    ("3: {status", "4: {status", "apis.process.orders.versions.4: there is no published document"),
    ("since: 2026-06-01, ", "", "apis.process.orders.versions.2: deprecated since when?"),
    ("status: current", "status: newest", "apis.process.orders.versions.3.status: "),
    ("{deleteOrder: 2/h}", "{dropOrder: 2/h}", "limits.dropOrder: operation dropOrder is not in"),
    ("{deleteOrder: 2/h}", "{deleteOrder: 2}", "apis.process.orders.limits.deleteOrder: "),
    ("[gateway.example.com]", '["a b"]', "2: hosts.0: a b: one name or address is expected"),
    ("[gateway.example.com]", '["*"]', "2: hosts.0: *: one name or address is expected"),
    ("[gateway.example.com]", '["a:80"]', "2: hosts.0: a:80: one name or address is expected"),
    ("version: 1\n", "version: 1\nbalancers: [10.0.0.1/8]\n", "balancers.0: 10.0.0.1/8: a network"),
    ("3: {status", "-1: {status", "apis.process.orders.versions.-1: a major version is 1 or more"),
    ("version: 1\n", "version: [1\n", "gateway.yaml:2: did not find expected ',' or ']'"),
]


@pytest.mark.parametrize(("right", "wrong", "told"), WRONG, ids=[row[2] for row in WRONG])
def test_a_mistake_refuses_the_start_and_names_its_place(right: str, wrong: str, told: str) -> None:
    assert right in GOOD

    with pytest.raises(PolicyError) as refused:
        compile_policy(load_gateway(GOOD.replace(right, wrong, 1)), documents())

    assert all(re.match(r"gateway.yaml:\d+: ", line) for line in refused.value.mistakes)
    assert told in str(refused.value)


def documents() -> dict[str, Any]:
    return load_documents(HERE / "published")


def test_all_mistakes_are_told_at_once() -> None:
    text = GOOD.replace("rate: 5/h", "rate: 5/x").replace("salesforce.read]", "a.read, b.read]")

    with pytest.raises(PolicyError) as refused:
        compile_policy(load_gateway(text), documents())

    assert len(refused.value.mistakes) == 3


def test_mistakes_bear_the_name_of_their_file_and_stand_in_its_order() -> None:
    text = GOOD.replace("rate: 5/h", "rate: 5/x").replace("salesforce.read]", "a.read, b.read]")
    text = text.replace("3: {status: current}", "3: {status: deprecated}")

    with pytest.raises(PolicyError) as refused:
        compile_policy(load_gateway(text, "next.yaml"), documents())

    lines = [int(told.split(":")[1]) for told in refused.value.mistakes]
    assert all(told.startswith("next.yaml:") for told in refused.value.mistakes)
    assert len(lines) > 3
    assert lines == sorted(lines)


def test_a_version_that_is_served_needs_a_target(bench: Bench) -> None:

    with pytest.raises(ValueError, match="no target for process/orders/v1, "):
        gateway_app(bench.policy, {}, bench.edge)


@pytest.mark.parametrize(
    ("secret", "told"),
    [
        ("env:THROUGHLINE_NO_SUCH", "clients.reader.secret: the environment has no"),
        ("hunter2", "clients.reader.secret: a secret is named as env:NAME"),
        ("file:/nowhere/secret", "clients.reader.secret: "),
        ("home:open.json", "clients.reader.secret: .*open.json can be read by others"),
        ("home:blank", "clients.reader.secret: .*blank is empty"),
        ("home:empty.json", "clients.reader.secret: .*empty.json holds no client_secret of reader"),
    ],
)
def test_a_secret_that_leads_nowhere_refuses_the_start(
    bench: Bench, secret: str, told: str
) -> None:
    (bench.home / "open.json").write_text("{}")
    (bench.home / "open.json").chmod(0o644)
    (bench.home / "empty.json").write_text("{}")
    (bench.home / "empty.json").chmod(0o600)
    (bench.home / "blank").touch(0o600)
    text = GOOD.replace(
        "reader: {plan: internal, secret: home:clients.json",
        f"reader: {{plan: internal, secret: '{secret}'",
        1,
    )

    with pytest.raises(PolicyError, match=told):
        load_credentials(load_gateway(text), bench.home)


def test_private_keys_of_a_client_are_refused(bench: Bench) -> None:
    keys = {"keys": [bench.robot.as_dict(private=True)]}
    (bench.home / "robot.json").write_text(json.dumps(keys))

    with pytest.raises(PolicyError, match=r"clients.robot.keys: only public keys belong here"):
        load_credentials(load_gateway(GOOD), bench.home)


def test_clients_are_made_once_and_kept_private(tmp_path: Path) -> None:
    gateway = load_gateway(GOOD)
    ensure_clients(tmp_path, gateway)
    first = json.loads((tmp_path / "clients.json").read_bytes())

    ensure_clients(tmp_path, gateway)

    assert json.loads((tmp_path / "clients.json").read_bytes()) == first
    assert (tmp_path / "clients.json").stat().st_mode & 0o777 == 0o600
    assert first.keys() == {"branch", "clerk", "reader", "slow", "portal", "other", "auditor"}
    assert first["clerk"].keys() == {"client_secret", "scopes", "roles"}
    assert len({entry["client_secret"] for entry in first.values()}) == 7


def test_a_new_client_joins_and_the_others_keep_their_secrets(tmp_path: Path) -> None:
    ensure_clients(tmp_path, load_gateway(GOOD.replace("  slow:", "  # slow:")))
    first = json.loads((tmp_path / "clients.json").read_bytes())

    ensure_clients(tmp_path, load_gateway(GOOD))

    second = json.loads((tmp_path / "clients.json").read_bytes())
    assert second["clerk"] == first["clerk"]
    assert second.keys() - first.keys() == {"slow"}


def test_the_demo_clients_are_those_the_documentation_names() -> None:
    clients = load_gateway((ROOT / "gateway.yaml").read_text()).clients

    everything = {"runs.start", "runs.read", "work-items.read", "work-items.decide", "catalog.read"}
    assert clients["demo"].scopes == everything | {
        "journeys.read",
        "projects.read",
        "connections.read",
        "decisions.read",
    }
    assert clients["demo"].roles == ("integration", "resource-management")
    assert clients["demo-finance"].scopes == {"runs.read", "work-items.read", "work-items.decide"}
    assert clients["demo-finance"].roles == ("finance-master-data",)
    assert clients["demo-approver"].scopes == everything
    assert clients["demo-approver"].roles == ("delivery-director",)
    assert clients["demo-partner"].scopes == {"catalog.read"}
    assert clients["demo-partner"].rows is not None
    assert clients["demo-partner"].rows.customers == ()


@pytest.mark.parametrize("vendor", ["salesforce", "kantata", "netsuite"])
def test_whoever_may_read_the_catalog_may_ask_which_vendor_is_behind_a_connection(
    vendor: str,
) -> None:
    gateway = load_gateway((ROOT / "gateway.yaml").read_text())
    policy = compile_policy(gateway, load_documents(ROOT / "contracts" / "published" / "openapi"))

    opened = {
        route.operation: route.scope for _, route in policy.mounts[f"system/{vendor}/v1"].routes
    }

    assert opened.pop("about") == "catalog.read"
    assert set(opened.values()) == {f"{vendor}.read", f"{vendor}.write"}
