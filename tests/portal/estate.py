"""Hosts of one deployment with the portal, and people whose browsers go to any of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import msgspec

from apis.gateway.app import Edge, Front, Gateway
from apis.gateway.client_authentication import load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.decisions import Decisions
from apis.gateway.documents import load_documents
from apis.gateway.idempotency import Idempotency
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People, load_passwords
from apis.gateway.policy import Gateway as Policy
from apis.gateway.policy import load_gateway
from apis.gateway.registered import Registry
from apis.gateway.revocations import Revocations
from apis.gateway.uses import Uses
from apis.portal.app import Portal
from apis.runtime.clock import Clock
from apis.runtime.limits import MemoryLimiter
from apis.runtime.migrations import lift
from apis.runtime.permits import MemoryPermits
from apis.runtime.records import Records
from apis.runtime.store import Store
from tests.gateway.bench import HERE, ISSUER, NOW, PASSWORD, PEOPLE, echo
from tests.gateway.keys import Keys
from tests.gateway.portal import TOKEN

ORDERS = "/process/orders/v3/orders"
SHIPPED = (HERE / "gateway.yaml").read_text("utf-8")
SECTION = """\
portal:
  sign_up: open
  approver: api-owner
  plans: [internal]
  sandbox: {plan: small, scopes: [orders.read], rows: {customers: []}, days: 30, most: 2}
"""
BOB = 'bob: {password: "home:people.json", roles: [api-owner]}'
POLICY = (
    SHIPPED.replace("owner: order-desk\n", "owner: order-desk\n      audience: partner\n")
    .replace("roles: [partner], rows: {customers: [C-1]}, person", "roles: [api-owner], person")
    .replace('bob: {password: "home:people.json"}', BOB)
    .replace("rate: 5/h, quota: 20/day", "rate: 60/min, quota: 20/day")
) + SECTION
LEASE_S = 10.0


class Host(Keys):
    """One gateway process."""

    def __init__(self, home: Path, store: Store, clock: Clock, text: str = POLICY) -> None:
        self.home, self.store = home, store
        policy = load_gateway(text)
        (home / "people.json").write_text(PEOPLE)
        (home / "people.json").chmod(0o600)
        super().__init__(home, policy, ISSUER, clock)
        self.registry = Registry(store, clock)
        self.registry.tells(self.again)
        self.revocations = Revocations(store, self.tokens)
        self.uses = Uses(store, clock)
        self.decisions = Decisions(store, clock, policy.decisions)
        self.limiter = MemoryLimiter()
        self.log: list[dict[str, Any]] = []
        self.policy = policy
        self.app = Gateway(self.front(policy), self.log.append)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=ISSUER)

    def front(self, policy: Policy) -> Front:
        joined = self.registry.joined(policy)
        compiled = compile_policy(policy, load_documents(HERE / "published"))
        known = self.registry.proofs(joined, load_credentials(policy, self.home))
        passwords = load_passwords(policy, self.home)
        people = People(
            passwords, self.store, self.limiter, self.clock, registered=policy.portal is not None
        )
        edge = Edge(
            ISSUER, self.clock, self.limiter, MemoryPermits, self.tokens,
            AuthorizationServer(joined, known, self.tokens, self.store, self.uses),
            people, self.ready, self.log.append, self.decisions,
            Idempotency(self.store, Records(), self.clock, LEASE_S),
            portal=Portal, store=self.store, registered=self.registry.look,
            entities=("DE", "UK"),
        )  # fmt: skip
        compiled = msgspec.structs.replace(compiled, gateway=joined)
        return Front(compiled, dict.fromkeys(compiled.mounts, echo), edge)

    async def ready(self) -> list[str]:
        return []

    def reads(self, text: str) -> None:
        """Its policy file is another one."""
        self.policy = load_gateway(text)
        self.again()

    def again(self) -> None:
        self.app.use(self.front(self.policy))

    async def looks(self) -> None:
        """What it does several times a second."""
        await self.registry.look()
        await self.revocations.look()

    async def gets_token(self, client: str, secret: str) -> httpx.Response:
        form = {"grant_type": "client_credentials"}
        return await self.http.post("/oauth/token", data=form, auth=(client, secret))

    async def calls(self, client: str, secret: str, path: str = ORDERS) -> httpx.Response:
        """A token and a call with it."""
        given = await self.gets_token(client, secret)
        assert given.status_code == 200, given.text
        return await self.asks(given.json()["access_token"], path)

    async def asks(self, token: str, path: str = ORDERS) -> httpx.Response:
        return await self.http.get(path, headers={"authorization": f"Bearer {token}"})


Hosts = Callable[..., Host]
"""Opens one more host of a deployment, with the policy that is given."""


class Visitor:
    """A person with a browser: it follows redirects, and sends the forms it is shown."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = hosts
        self.cookies = httpx.Cookies()
        self.turn = 0
        self.page: httpx.Response

    async def sees(self, path: str) -> httpx.Response:
        self.page = await self._sent("GET", path)
        return self.page

    async def sends(self, action: str = "", to: str = "", **fields: str) -> httpx.Response:
        """Send the form of the page that is shown, with its token unless another is given."""
        found = TOKEN.search(self.page.text)
        data = {"token": found[1] if found else "", "action": action, **fields}
        self.page = await self._sent("POST", to or self.page.request.url.path, data)
        return self.page

    async def posts(self, path: str, data: dict[str, str], **headers: str) -> httpx.Response:
        """Send a form that nobody showed."""
        return await self._asked("POST", path, data, headers)

    async def _sent(self, method: str, path: str, data: dict[str, str] | None = None) -> Any:
        page = await self._asked(method, path, data, {})
        while page.status_code == 303:
            page = await self._asked("GET", page.headers["location"].partition("#")[0], None, {})
        return page

    async def _asked(
        self, method: str, path: str, data: dict[str, str] | None, more: dict[str, str]
    ) -> httpx.Response:
        self.turn += 1  # a balancer sends each request to the next host
        http = self.hosts[self.turn % len(self.hosts)].http
        http.cookies = self.cookies
        headers = {"origin": ISSUER, **more}
        page = await http.request(method, path, data=data, headers=headers)
        self.cookies.update(page.cookies)
        if "Max-Age=0" in page.headers.get("set-cookie", ""):
            self.cookies.clear()
        return page

    async def signs_up(self, **changes: str) -> httpx.Response:
        await self.sees("/portal/sign-up")
        return await self.sends(**newcomer(**changes))

    async def signs_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        await self.sees("/portal/sign-in")
        return await self.sends(name=name, password=password)

    async def makes(self, title: str = "Shop", purpose: str = "To see orders") -> tuple[str, str]:
        """A new application: its client id and its secret."""
        await self.sees("/portal/applications/new")
        await self.sends(title=title, purpose=purpose)
        return shown_in(self.page)

    async def presses(self, client: str, action: str, **fields: str) -> httpx.Response:
        """A button on the page of an application."""
        await self.sees(f"/portal/applications/{client}")
        return await self.sends(action, **fields)

    async def asks_for(self, client: str, **changes: str) -> httpx.Response:
        await self.sees(f"/portal/applications/{client}")
        wish = {"plan": "internal", "api": "process/orders", "reason": "We sell.", **changes}
        return await self.sends("ask", f"/portal/applications/{client}/access", **wish)


def newcomer(**changes: str) -> dict[str, str]:
    fields = {
        "called": "Ada", "email": "ada@example.com", "password": "three loose words",
        "again": "three loose words", "terms": "accepted", **changes,
    }  # fmt: skip
    return {name: value for name, value in fields.items() if value}


def shown_in(page: httpx.Response) -> tuple[str, str]:
    """The client id and the credential that a page shows once."""
    text = page.text
    client = re.search("<dt>Client id</dt><dd><code>([^<]+)", text)
    secret = re.search("<dt>(?:Client secret|API key)</dt><dd><code>([^<]+)", text)
    assert client, text
    assert secret, text
    return client[1], unescape(secret[1])


def name_of(page: httpx.Response) -> str:
    """The name that somebody signs in with."""
    found = re.search("dev-[a-z2-7]{8}", page.text)
    assert found, page.text
    return found[0]


def migrated(url: str) -> Store:
    store = Store(url)
    lift(store)
    return store


def clock() -> Clock:
    made = Clock()
    made.set(NOW)
    return made
