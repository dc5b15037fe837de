"""What proves who a client is: replaced, watched and taken away while gateways serve."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from apis.console.access import make_key, revoke_key
from apis.console.clients import known_clients
from apis.runtime.settings import Settings
from tests.house import House, address, gateways_alone
from tests.servers import Servers, free_port

FORM = {"grant_type": "client_credentials"}
OLD, NEW = "the-secret-of-last-year", "the-secret-of-this-year"
PATIENCE_S = 20.0
TIMES = 5


class Operator:
    """Edits the policy, and reads what `throughline` says."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.file = house.home / "gateway.yaml"
        house.env |= {"THROUGHLINE_GATEWAY": str(self.file), "THROUGHLINE_ISSUER": house.gateway}
        for name, secret in (("old", OLD), ("new", NEW)):
            (house.home / name).touch(0o600)
            (house.home / name).write_text(secret)
        self.names(["home:old", "home:new"])

    def names(self, secret: str | list[str]) -> None:
        """The secrets of the client `demo`, from now on."""
        policy = yaml.safe_load(Path("gateway.yaml").read_text("utf-8"))
        policy["clients"]["demo"]["secret"] = secret
        draft = self.file.with_suffix(".draft")
        draft.write_text(yaml.safe_dump(policy))
        draft.replace(self.file)

    def opens(self, *parts: str) -> None:
        for part in parts:
            self.house.start(part, "serve", "gateway", PORT=self.port(part))
        for part in parts:
            self.house.answers(part, f"{self.at(part)}/healthz")

    def at(self, part: str) -> str:
        return address(int(self.port(part)))

    def port(self, part: str) -> str:
        return self.house.env.setdefault(f"PORT_OF_{part}", str(free_port()))

    def posts(self, part: str, endpoint: str, secret: str, **form: str) -> tuple[int, Any]:
        url = f"{self.at(part)}/oauth/{endpoint}"
        answer = self.house.http.post(url, data=form, auth=("demo", secret))
        return answer.status_code, answer.json()

    def token(self, part: str, secret: str = NEW) -> tuple[int, Any]:
        status, told = self.posts(part, "token", secret, **FORM)
        return status, told.get("access_token")

    def opens_catalog(self, part: str, token: str) -> int:
        bearer = {"authorization": f"Bearer {token}"}
        return self.house.http.get(f"{self.at(part)}/catalog", headers=bearer).status_code

    def shown(self) -> dict[str, datetime | None]:
        """When each of the client's credentials was last used, by its name."""
        known = {each.name: each for each in known_clients(self.settings())}
        return {each.name: each.last_used_at for each in known["demo"].credentials}

    def used(self, name: str) -> datetime:
        """When it was last used, as soon as that is known."""
        end = time.monotonic() + PATIENCE_S
        while (found := self.shown()[name]) is None:
            assert time.monotonic() < end, f"{name} was never used"
            time.sleep(0.05)
        return found

    def makes_key(self) -> tuple[str, str]:
        """An API key of the client, and its id."""
        key, told = make_key(self.settings(), "demo", ("catalog.read",), 1).splitlines()
        return key, told.partition("id is ")[2].partition(";")[0]

    def settings(self) -> Settings:
        return Settings.from_env(self.house.env)

    def refused(self, part: str, token: str) -> float:
        """Wait until a gateway refuses it; how many seconds that took."""
        began = time.monotonic()
        while self.opens_catalog(part, token) != 401:
            assert time.monotonic() < began + PATIENCE_S, f"{part} accepts it still"
            time.sleep(0.02)
        return time.monotonic() - began


@pytest.fixture
def operator(production: Servers | None, tmp_path: Path) -> Iterator[Operator]:
    with gateways_alone(tmp_path, production) as house:
        yield Operator(house)


def test_of_two_secrets_the_older_goes_when_nobody_uses_it_any_more(operator: Operator) -> None:
    operator.opens("gateway")
    status, token = operator.token("gateway", NEW)
    key, key_id = operator.makes_key()

    assert (status, operator.opens_catalog("gateway", token)) == (200, 200)
    assert operator.opens_catalog("gateway", key) == 200
    assert operator.used("home:new")
    assert operator.used(key_id)
    assert operator.shown()["home:old"] is None
    assert operator.token("gateway", OLD)[0] == 200
    assert operator.used("home:old")

    process = operator.house.processes["gateway"].pid
    operator.names("home:new")
    end = time.monotonic() + PATIENCE_S
    while operator.token("gateway", OLD)[0] != 401:
        assert time.monotonic() < end, "the older secret is accepted still"
        time.sleep(0.05)

    assert operator.token("gateway", NEW)[0] == 200
    code, words = operator.house.says("clients", "--json")
    demo = next(each for each in json.loads(words) if each["name"] == "demo")
    assert (code, [each["name"] for each in demo["credentials"]]) == (0, ["home:new", key_id])
    assert all(each["last_used_at"] for each in demo["credentials"])
    assert operator.house.processes["gateway"].poll() is None
    assert operator.house.processes["gateway"].pid == process


@pytest.mark.several_hosts
def test_what_one_gateway_revokes_the_other_refuses_within_a_second(operator: Operator) -> None:
    operator.opens("gateway", "gateway-2")
    took = []
    for _ in range(TIMES):
        _, token = operator.token("gateway")
        assert operator.opens_catalog("gateway-2", token) == 200
        assert operator.posts("gateway", "revoke", NEW, token=token) == (200, {})
        took.append(operator.refused("gateway-2", token))
        _, told = operator.posts("gateway-2", "introspect", NEW, token=token)
        assert told == {"active": False}
    key, key_id = operator.makes_key()
    assert [operator.opens_catalog(part, key) for part in ("gateway", "gateway-2")] == [200, 200]

    revoke_key(operator.settings(), key_id)
    for part in ("gateway", "gateway-2"):
        operator.refused(part, key)

    assert statistics.median(took) < 1  # each takes the pause between two looks at most
    assert key_id not in operator.shown()
