"""What must not be told is planted in every input, and then looked for everywhere."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.end_to_end.canaries import Canaries
from tests.end_to_end.declared import DECLARED, VENDORS_OWN
from tests.end_to_end.leaky import Between, Collected
from tests.end_to_end.newcomer import FORM_TOKEN, SelfService, typed
from tests.firm import ITEMS, RUNS, Firm
from tests.house import House
from tests.servers import Servers, drop_database, flush, fresh_database

CRASH = 1
BACK = "http://127.0.0.1:8400/back"
PKCE = {"code_challenge": "a" * 43, "code_challenge_method": "S256"}
PRIVATE_HALF = re.compile(r'"d":\s*"([\w-]+)"')
PEM_LINE = re.compile(r"^[A-Za-z0-9+/=]{40,}$", re.MULTILINE)


def planted() -> dict[str, str]:
    """Values that nobody else has."""
    n = secrets.token_hex(4)
    return {
        "bank account": bank_account(),
        "vendor's bank account": bank_account(),
        "vendor's e-mail": f"stieglitz.{n}@private.example",
        "private e-mail": f"vogelsang.{n}@private.example",
        "tax id in words": f"DE{secrets.randbelow(10**9):09d}",
        "cost rate": f"187.{secrets.randbelow(10**6):06d}",
        "person in words": f"Canaria Vogelsang{n}",
        "contact": f"Zilpzalp{n}",
        "wrong secret": f"wrong-secret-{n}{n}",
        "wrong password": f"wrong-password-{n}{n}",
        "wrong token": f"wrong-token-{n}{n}",
        "wrong api key": f"tlk_{n}_{n}{n}{n}{n}",
        "cookie": f"session-{n}-cookie",
        "header": f"header-{n}-value",
        "unknown name": f"name-{n}-of-a-field",
        "request id": f"request-{n}-id",
        "idempotency key": f"idem-{n}-key",
        "database password": f"database-{n}-password",
        "internal key": f"internal-{n}-key-of-processes",
        "vendor's note": f"note-{n}-of-the-vendor",
    }


def bank_account() -> str:
    """A German one with its check digits."""
    number = f"{secrets.randbelow(10**18):018d}"
    return f"DE{98 - int(number + '131400') % 97:02d}{number}"


def words(canary: dict[str, str]) -> str:
    """A person's words with everything in them that should not be."""
    names = ("person in words", "private e-mail", "bank account", "tax id in words", "cost rate")
    return "; ".join(canary[name] for name in names)


class Yard:
    """A deployment with canaries in it."""

    def __init__(self, house: House, canary: dict[str, str]) -> None:
        self.house, self.canary = house, canary
        self.collected = Collected()
        self.between = Between(house.sandboxes["kantata"], {"note": canary["vendor's note"]})
        self.answers: list[httpx.Response] = []
        self.portal = SelfService(house, canary, words(canary))
        self.said: list[str] = []
        self.tokens: dict[str, str] = {}
        self.contact_of = ""
        self.records_key = base64.b64encode(secrets.token_bytes(32)).decode()
        (house.home / "tmp").mkdir()
        (house.home / "records.key").touch(0o600)
        (house.home / "records.key").write_text(self.records_key)
        house.env |= {
            "KANTATA_URL": self.between.url,
            "KANTATA_LOGIN_URL": self.between.url,
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collected.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "THROUGHLINE_INTERNAL_KEY": canary["internal key"],
            "THROUGHLINE_RECORDS_KEY": "file:{home}/records.key",
            "THROUGHLINE_LOG": "DEBUG",
            "TMPDIR": str(house.home / "tmp"),
        }

    def opens(self) -> None:
        self.house.opens_sandboxes()
        self.house.opens_split("2")

    def close(self) -> None:
        self.house.close()
        self.between.close()
        self.collected.close()

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.house.http.request(method, self.house.gateway + path, **more)
        self.answers.append(answer)
        return answer

    def secrets(self) -> dict[str, str]:
        """What the home keeps, by its kind."""
        home = self.house.home
        clients = json.loads((home / "clients.json").read_text())
        vendors = json.loads((home / "sandboxes" / "credentials.json").read_text())
        found = {f"secret of {name}": told["client_secret"] for name, told in clients.items()}
        for vendor, account in vendors.items():
            for name, value in account.items():
                if name in {"client_secret", "private_key"}:
                    found[f"{name} at {vendor}"] = line_of(value)
        people = json.loads((home / "people.json").read_text())
        found |= {f"password of {name}": told["password"] for name, told in people.items()}
        found["records key"] = self.records_key
        found["digest key"] = (home / "digest.key").read_text()
        found["audit key"] = line_of((home / "audit.key").read_text())
        [found["signing key"]] = PRIVATE_HALF.findall((home / "signing.json").read_text())
        return found | {f"token of {name}": token for name, token in self.tokens.items()}


def line_of(secret: str) -> str:
    """A line of a key that no other key has, or the secret itself."""
    lines = PEM_LINE.findall(secret.replace("\\n", "\n"))
    return lines[len(lines) // 2] if lines else secret


@pytest.fixture(scope="module")
def yard(
    production: Servers | None, entities: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Yard]:
    home: Path = tmp_path_factory.mktemp("yard")
    canary = planted() | typed()
    url, redis = f"sqlite:///{home}/throughline.sqlite", None
    if production is not None:
        url = fresh_database(production.database_url)
        redis = production.redis_url.rpartition("/")[0] + "/3"
        flush(redis)
    known = url.replace("postgres@", f"postgres:{canary['database password']}@")
    policy = yaml.safe_load(Path("gateway.yaml").read_text())
    policy["clients"]["prometheus"] = {
        "plan": "internal", "secret": "home:clients.json", "scopes": ["metrics.read"],
    }  # fmt: skip
    (home / "gateway.yaml").write_text(yaml.safe_dump(policy))
    files = {"GATEWAY": f"{home}/gateway.yaml", "ENTITIES": str(entities)}
    named = {f"THROUGHLINE_{name}": file for name, file in files.items()}
    yard = Yard(House(home, known, redis, **named), canary)
    try:
        yard.opens()
        yield yard
    finally:
        yard.close()
        if production is not None:
            drop_database(production.database_url, url)


@pytest.mark.one_form
async def test_what_is_planted_in_every_input_is_nowhere_but_where_it_is_declared(
    yard: Yard,
) -> None:
    firm = Firm(yard.house)
    await deals(yard, firm)
    knocks(yard)
    bearer(yard, "prometheus")
    signs_in(yard)
    yard.portal.goes_through(yard.secrets()["password of demo-owner"])
    commands(yard)
    own = {f"client {name}": token for name, token in firm._tokens.items()}
    yard.tokens |= yard.portal.shown | own
    canaries = Canaries(yard.canary | yard.secrets() | contact(firm))
    await firm.close()

    look_everywhere(yard, canaries)

    assert canaries.looked["process.audit.actor"] > 5
    assert canaries.looked["trace"]
    left = canaries.undeclared(DECLARED)
    assert not left, "\n".join(f"{place}: {kinds}" for place, kinds in sorted(left.items()))
    a_planted_leak_is_found(yard, canaries)


def look_everywhere(yard: Yard, canaries: Canaries) -> None:
    house = yard.house
    canaries.look_at_processes(
        process.pid for part, process in house.processes.items() if "sandbox" not in part
    )
    reader = {"Authorization": f"Bearer {yard.tokens['prometheus']}"}
    metrics = yard.call("GET", "/metrics", headers=reader)
    assert metrics.status_code == 200
    canaries.look("metrics", metrics.content)
    for name in [part for part in house.processes if "sandbox" not in part]:
        house.stop(name)
    canaries.look_at_database(house.database_url)
    if house.redis_url:
        canaries.look_at_redis(house.redis_url)
    canaries.look_at_files(house.home, VENDORS_OWN)
    for body in yard.collected.bodies:
        canaries.look("trace", body)
    for answer in yard.answers:
        kind = "problem" if "problem" in answer.headers.get("content-type", "") else "answer"
        canaries.look(kind, answer.content)
        canaries.look(f"{kind} headers", str(answer.headers))
    for page in yard.portal.pages:
        canaries.look("page", page.content)
        canaries.look("page headers", str(page.headers))
    for text in yard.said:
        canaries.look("terminal", text)


async def deals(yard: Yard, firm: Firm) -> None:
    """Good ones, one that waits for people, refused, broken and crashing ones."""
    salesforce, canary = firm.salesforce, yard.canary
    good = salesforce.wins_deal(entity="DE")
    waits = salesforce.wins_deal(entity="DE", tax_code=None)
    item = await firm.work_item(waits, owner="finance-master-data")
    yard.contact_of = salesforce.has_contact(waits, canary["contact"], "Billing")
    for told in (words(canary), canary["person in words"]):
        path = f"{ITEMS}/{item['id']}/comments"
        yard.answers.append(await firm.call("POST", path, by="demo-finance", json={"text": told}))
    salesforce.corrects(waits.customer_id, tax_code="DE-VAT-19")
    await firm.decides(item, "retry", comment=words(canary))
    await firm.run_of(good)
    await firm.run_of(waits)
    for n, answer in enumerate(spoiled(canary)):
        spoils = Spoils(answer)
        yard.between.answers = spoils
        spoilt = salesforce.wins_deal(entity="DE")
        await firm.see(spoils.fired, bool)
        if n == CRASH:  # in the middle of a step that is tried again
            restarted(yard, "process")
        await settled(firm, spoilt)
    yard.between.answers = lambda _method, _path: None


class Spoils:
    """Answers the vendor's first call for a project itself."""

    def __init__(self, answer: tuple[int, bytes, str]) -> None:
        self._left = [answer]

    def __call__(self, method: str, path: str) -> tuple[int, bytes, str] | None:
        wanted = method == "POST" and "workspaces" in path and self._left
        return self._left.pop() if wanted else None

    async def fired(self) -> bool:
        return not self._left


async def settled(firm: Firm, deal: Any) -> None:
    """A run that waits for a person, or is done."""
    firm.later(minutes=10)
    run = await firm.run_of(deal, "done", "waiting")
    if run["state"] == "waiting" and (items := await firm.work_items_of(deal)):
        await firm.decides(items[0], "abandon", comment="no")


def restarted(yard: Yard, part: str) -> None:
    house = yard.house
    house.processes[part].kill()
    house.processes.pop(part).wait()
    house.start(part, *house.commands[part])
    house.answers(part, f"{house.tiers['process']}/nowhere", status=404)


def spoiled(canary: dict[str, str]) -> Iterator[tuple[int, bytes, str]]:
    """How a vendor tells too much."""
    note = canary["vendor's note"]
    told = "; ".join(canary[name] for name in ("vendor's bank account", "vendor's e-mail"))
    error = {"type": "validation", "message": f"{told} is no title", "field": told}
    yield 422, json.dumps({"errors": [error]}).encode(), "application/json"
    yield 500, f"<html>at Customer({told})</html>".encode(), "text/html"
    yield 200, f'{{"results": "{told}'.encode(), "application/json"
    yield 418, f"{told} {note}".encode(), "text/plain"


def knocks(yard: Yard) -> None:
    """Every way of asking wrongly, each with a canary in it."""
    canary, told = yard.canary, words(yard.canary)
    headers = bearer(yard, "demo") | {
        "X-Whatever": told, "User-Agent": canary["header"], "Cookie": f"s={canary['cookie']}",
        "X-Request-Id": canary["request id"], "Idempotency-Key": canary["idempotency key"],
        "Referer": f"https://{canary['header']}.example/", "tracestate": f"x={canary['header']}",
    }  # fmt: skip
    for body in (
        {"deal": {"system": "salesforce", "external_id": told}},
        {"deal": {"system": told, "external_id": "006"}},
        {canary["unknown name"]: told},
        {"deal": told},
    ):
        yard.call("POST", RUNS, headers=headers, json=body)
    yard.call("POST", RUNS, headers=headers, content=f'{{"{told}'.encode())
    yard.call("POST", RUNS, headers=headers | {"Content-Type": told}, content=told.encode())
    for name in ("deal", "cursor", canary["unknown name"], "state"):
        yard.call("GET", RUNS, headers=headers, params={name: told})
    for place in (f"{RUNS}/{told}", f"/{told}", f"/process/{told}/v1/runs", f"{ITEMS}/{told}"):
        yard.call("GET", place, headers=headers)
        yard.call(canary["header"].upper(), place, headers=headers)
    for secret in ("wrong token", "wrong api key", "bank account"):
        yard.call("GET", RUNS, headers={"Authorization": f"Bearer {canary[secret]}"})
        yard.call("GET", RUNS, headers={"Authorization": f"Basic {canary[secret]}"})
        yard.call("GET", RUNS, headers={"Authorization": canary[secret]})
        yard.call("GET", RUNS, params={"access_token": canary[secret]})
    form = {"grant_type": "client_credentials"}
    for name in ("demo", canary["person in words"]):
        yard.call("POST", "/oauth/token", data=form, auth=(name, canary["wrong secret"]))
        own = {"client_id": name, "client_secret": canary["wrong secret"]}
        yard.call("POST", "/oauth/token", data=form | own)
        yard.call("POST", "/oauth/token", params=own, data=form)
        yard.call("POST", "/oauth/token", json=form | own)
    for field in ("scope", "grant_type", "resource", "client_assertion", "code", "refresh_token"):
        yard.call("POST", "/oauth/token", data=form | {field: told}, auth=basic(yard, "demo"))
    for token in (canary["wrong token"], yard.tokens["demo"]):
        for endpoint in ("introspect", "revoke"):
            path = f"/oauth/{endpoint}"
            yard.call("POST", path, data={"token": token}, auth=basic(yard, "demo"))
            yard.call("POST", path, data={"token": token}, auth=("demo", canary["wrong secret"]))


def basic(yard: Yard, client: str) -> tuple[str, str]:
    known = json.loads((yard.house.home / "clients.json").read_text())
    return client, known[client]["client_secret"]


def bearer(yard: Yard, client: str) -> dict[str, str]:
    """A token of a client, which nobody else may see."""
    form = {"grant_type": "client_credentials"}
    url = f"{yard.house.gateway}/oauth/token"
    told = yard.house.http.post(url, data=form, auth=basic(yard, client)).json()
    yard.tokens[client] = told["access_token"]
    return {"Authorization": f"Bearer {told['access_token']}"}


def signs_in(yard: Yard) -> None:
    """A person with a wrong and the right password, and what a portal gets of it."""
    canary, house = yard.canary, yard.house
    asked = {"response_type": "code", "client_id": "demo-portal", "redirect_uri": BACK} | PKCE
    with httpx.Client(base_url=house.gateway, headers={"origin": house.gateway}) as browser:
        for more in ({"state": words(canary)}, {"scope": words(canary)}, {"client_id": "nobody"}):
            yard.answers.append(browser.get("/oauth/authorize", params=asked | more))
        page = browser.get("/oauth/authorize", params=asked, follow_redirects=True)
        password = yard.secrets()["password of demo-person"]
        for name, word in (
            (canary["private e-mail"], canary["wrong password"]),
            ("demo-person", canary["wrong password"]),
            ("demo-person", password),
        ):
            token = FORM_TOKEN.findall(page.text)[0]
            form = {"token": token, "action": "sign-in", "name": name, "password": word}
            page = browser.post(page.url, data=form, follow_redirects=True)
        token = FORM_TOKEN.findall(page.text)[0]
        done = browser.post(page.url, data={"token": token, "action": "allow"})
    yard.tokens["code"] = httpx.URL(done.headers["location"]).params["code"]
    form = {"grant_type": "authorization_code", "code": yard.tokens["code"], "redirect_uri": BACK}
    yard.call("POST", "/oauth/token", data=form | {"client_id": "demo-portal"})


def commands(yard: Yard) -> None:
    """What an operator is told; a key is shown once, and then it is a secret."""
    house = yard.house
    code, key = house.says("api-keys", "make", "--client", "demo", "--scope", "catalog.read")
    assert code == 0, key
    yard.tokens["api key"] = key.splitlines()[0]
    used = {"Authorization": f"Bearer {yard.tokens['api key']}"}
    assert yard.call("GET", "/catalog", headers=used).status_code == 200
    days = ("--from", "2020-01-01", "--to", f"{datetime.now(UTC):%F}")
    for command in (
        ("api-keys", "list"), ("clients", "--json"), ("audit", "verify"),
        ("audit", "export", *days, "--out", str(house.home / "audit.jsonl")),
        ("explain", yard.answers[-1].headers["x-request-id"]),
    ):  # fmt: skip
        yard.said.append(house.says(*command)[1])
    assert (house.home / "audit.jsonl").stat().st_size > 10_000


def contact(firm: Firm) -> dict[str, str]:
    """What the CRM holds of people and firms."""
    accounts = [each for each in firm.salesforce.state()["Account"] if each.get("TL_Tax_Id__c")]
    return {"tax id": accounts[-1]["TL_Tax_Id__c"], "customer": accounts[-1]["Name"]}


def a_planted_leak_is_found(yard: Yard, canaries: Canaries) -> None:
    """The control: in a table and a log, packed twice, the search finds each kind."""
    for kind, value in (yard.canary | yard.secrets()).items():
        packed = base64.b64encode(json.dumps({"told": value, "by": "x" * 20}).encode())
        canaries.look("a planted leak", b'{"body": "' + packed + b'"}')
        assert kind in canaries.found["a planted leak"], kind
    assert canaries.looked["process.runs.context"] > 3
