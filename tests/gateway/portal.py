"""A portal whose users sign in at the gateway, as their browser and the portal's server do it."""

from __future__ import annotations

import base64
import re
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx

from tests.gateway.bench import ISSUER, PASSWORD, Bench

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "https://portal.example/back"
BACKS = {"portal": BACK, "cli": "http://127.0.0.1:8400/back"}
TOKEN = re.compile('name="token" value="([0-9a-f]+)"')


class Browser:
    """One person's browser: it keeps cookies and sends the forms it is shown."""

    def __init__(self, bench: Bench) -> None:
        transport = httpx.ASGITransport(bench.app)
        self.http = httpx.AsyncClient(
            transport=transport, base_url=ISSUER, headers={"origin": ISSUER}
        )
        self.page: httpx.Response

    async def opens(self, address: str) -> httpx.Response:
        self.page = await self.http.get(address)
        return self.page

    async def sends(self, action: str, **fields: Any) -> httpx.Response:
        data = {"token": token_of(self), "action": action, **fields}
        self.page = await self.http.post(self.page.url, data=data)
        if urlsplit(self.page.headers.get("location", ISSUER)).netloc in {
            "",
            "127.0.0.1:8080",
        } and (self.page.status_code == 303):
            await self.opens(self.page.headers["location"])
        return self.page

    async def signs_in(self, name: str = "ann", password: str = PASSWORD) -> httpx.Response:
        return await self.sends("sign-in", name=name, password=password)


def token_of(browser: Browser) -> str:
    """The token in the form that a browser shows."""
    found = TOKEN.search(browser.page.text)
    return found[1] if found else ""


def asking(client: str = "portal", **changes: Any) -> str:
    fields = {
        "response_type": "code", "client_id": client, "redirect_uri": BACKS[client],
        "state": "s-1", "code_challenge": CHALLENGE, "code_challenge_method": "S256", **changes,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    return f"/oauth/authorize?{urlencode(given, quote_via=quote)}"


def came_back(page: httpx.Response) -> dict[str, str]:
    """What the browser brings to the portal."""
    assert page.status_code == 303, page.text
    return dict(parse_qsl(urlsplit(page.headers["location"]).query))


async def code_for(bench: Bench, client: str = "portal", **ask: Any) -> str:
    browser = Browser(bench)
    await browser.opens(asking(client, **ask))
    await browser.signs_in()
    return came_back(await browser.sends("allow"))["code"]


async def tokens_for(bench: Bench, client: str = "portal", **ask: Any) -> dict[str, Any]:
    return (await exchanged(bench, await code_for(bench, client, **ask), client)).json()


async def exchanged(bench: Bench, code: str, client: str = "portal") -> httpx.Response:
    fields = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": BACKS[client],
        "code_verifier": VERIFIER,
    }  # fmt: skip
    return await posted(bench, "token", fields, client)


async def posted(
    bench: Bench, endpoint: str, fields: dict[str, str], client: str = "portal"
) -> httpx.Response:
    secret = bench.secrets.get(client)
    if secret is None:
        return await bench.http.post(f"/oauth/{endpoint}", data=fields | {"client_id": client})
    return await bench.http.post(f"/oauth/{endpoint}", data=fields, auth=(client, secret))
