"""What Prometheus reads: with the scope at the gateway, without on the process's own port."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.newcomer import SelfService, typed
from tests.firm import Firm
from tests.house import House, address, port
from tests.servers import free_port

READER = {"plan": "internal", "secret": "home:clients.json", "scopes": ["metrics.read"]}
UNSEALED_S = 60
PATIENCE_S = 10.0
Samples = dict[str, list[tuple[dict[str, str], float]]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """All in one process, which also answers on a port for this machine alone."""
    home: Path = tmp_path_factory.mktemp("metrics")
    policy = yaml.safe_load(Path("gateway.yaml").read_text())
    policy["clients"]["prometheus"] = READER
    (home / "gateway.yaml").write_text(yaml.safe_dump(policy))
    own = address(free_port())
    named = {"THROUGHLINE_GATEWAY": f"{home}/gateway.yaml", "THROUGHLINE_METRICS_PORT": port(own)}
    house = House(home, f"sqlite:///{home}/throughline.sqlite", None, **named)
    house.opens_sandboxes()
    house.opens_in_one_process()
    house.tiers["metrics"] = own
    yield house
    house.close()


@pytest.fixture
async def firm(measured: House) -> AsyncIterator[Firm]:
    firm = Firm(measured)
    yield firm
    await firm.close()


def samples(text: str) -> Samples:
    told: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            told.setdefault(sample.name, []).append((sample.labels, sample.value))
    return told


def asked(house: House, client: str, scope: str) -> httpx.Response:
    """`/metrics` at the gateway by a client of the policy."""
    secret = json.loads((house.home / "clients.json").read_text())[client]["client_secret"]
    form = {"grant_type": "client_credentials", "scope": scope}
    given = house.http.post(f"{house.gateway}/oauth/token", data=form, auth=(client, secret))
    headers = {"Authorization": f"Bearer {given.json()['access_token']}"}
    return house.http.get(f"{house.gateway}/metrics", headers=headers)


async def test_a_deal_is_seen_from_the_gateway_to_the_vendor(firm: Firm, measured: House) -> None:
    deal = firm.salesforce.wins_deal(entity="UK")
    await firm.run_of(deal)

    own = measured.http.get(f"{measured.tiers['metrics']}/metrics")
    told = samples(own.text)

    requests = told["throughline_request_seconds_count"]
    assert any(
        labels["api"].startswith("process/") and labels["version"] == "v1"
        and labels["status"] == "2xx" and labels["plan"] == "internal" and count > 0
        for labels, count in requests
    )  # fmt: skip
    calls = {
        (each["connection"], each["outcome"]): n
        for each, n in told["throughline_vendor_calls_total"]
    }
    assert all(calls[vendor, "ok"] > 0 for vendor in ("salesforce", "kantata", "netsuite"))
    assert ({"connection": "salesforce"}, 0.0) in told["throughline_breaker_open"]
    done = {"flow": "deal_to_project", "state": "done"}
    assert (done, 1.0) in told["throughline_runs"]
    assert {labels["tier"] for labels, _ in told["throughline_outbox_waiting"]} >= {"process"}
    assert ({"flow": "deal_change", "state": "failed"}, 0.0) in told["throughline_runs"]
    held = {labels["of"]: count for labels, count in told["throughline_lease_held"]}
    assert held.keys() >= {"reaper", "failures", "sealer/process"}
    assert held["worker"] == 1
    unsealed = {each["tier"]: s for each, s in told["throughline_audit_unsealed_seconds"]}
    assert unsealed.keys() == {"gateway", "system", "process", "experience"}
    assert max(unsealed.values()) < UNSEALED_S
    assert told["throughline_event_loop_lag_seconds"][0][1] >= 0
    assert deal.id not in own.text


def test_what_a_registered_client_calls_counts_for_the_plan_it_has(measured: House) -> None:
    said = typed() | {"wrong secret": "wrong-secret", "wrong password": "wrong-password"}
    people = json.loads((measured.home / "people.json").read_text())

    SelfService(measured, said, "Ours.").goes_through(people["demo-owner"]["password"])

    told = samples(measured.http.get(f"{measured.tiers['metrics']}/metrics").text)
    plans = {
        labels["plan"]: count
        for labels, count in told["throughline_request_seconds_count"]
        if (labels["api"], labels["status"]) == ("experience/delivery", "2xx")
    }
    assert plans == {"partner": 3.0}


def test_metrics_are_not_for_everybody(measured: House) -> None:
    nobody = measured.http.get(f"{measured.gateway}/metrics")
    wrong = asked(measured, "demo", "runs.read")
    right = asked(measured, "prometheus", "metrics.read")

    assert (nobody.status_code, nobody.json()["code"]) == (401, "missing-token")
    assert (wrong.status_code, wrong.json()["code"]) == (403, "insufficient-scope")
    assert right.status_code == 200
    refused = samples(asked(measured, "prometheus", "metrics.read").text)[
        "throughline_refusals_total"
    ]
    assert ({"code": "insufficient-scope", "plan": "internal"}, 1.0) in refused
    assert measured.http.get(f"{measured.tiers['metrics']}/elsewhere").status_code == 404


def test_a_backup_and_a_proof_of_the_audit_are_seen(measured: House, tmp_path: Path) -> None:
    before = samples(measured.http.get(f"{measured.tiers['metrics']}/metrics").text)

    assert measured.says("backup", str(tmp_path / "backup"))[0] == 0
    assert measured.says("audit", "verify")[0] == 0  # which changes nothing
    backed = samples(measured.http.get(f"{measured.tiers['metrics']}/metrics").text)
    assert measured.says("audit", "verify", "--tell")[0] == 0
    proven = samples(measured.http.get(f"{measured.tiers['metrics']}/metrics").text)

    assert "throughline_chore_age_seconds" not in before
    assert [labels for labels, _ in backed["throughline_chore_age_seconds"]] == [{"of": "backup"}]
    assert proven["throughline_chore_findings"] == [({"of": "audit"}, 0), ({"of": "backup"}, 0)]
    assert measured.says("audit", "verify", "--tell", "--export", "x")[0] == 2


def test_a_file_that_is_refused_moves_nobody_to_its_plans(measured: House) -> None:
    file = Path(measured.env["THROUGHLINE_GATEWAY"])
    served = file.read_text()
    policy = yaml.safe_load(served)
    policy["plans"]["unpromised"] = policy["plans"]["internal"]
    policy["clients"]["prometheus"]["plan"] = "unpromised"
    policy["apis"]["process"]["work-queue"]["versions"][1]["status"] = "preview"
    file.write_text(yaml.safe_dump(policy))
    end = time.monotonic() + PATIENCE_S
    while "policy.refused" not in (measured.home / "logs" / "up.log").read_text():
        assert time.monotonic() < end
        asked(measured, "prometheus", "metrics.read")

    told = asked(measured, "prometheus", "metrics.read").text
    file.write_text(served)

    assert 'plan="internal"' in told
    assert "unpromised" not in told
