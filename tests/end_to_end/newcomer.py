"""A newcomer at the forms of the portal, with mistakes and without, and who decides."""

from __future__ import annotations

import json
import re
import secrets
from html import unescape
from typing import Any

import httpx
from joserfc.jwk import ECKey

from tests.house import House

FORM_TOKEN = re.compile('name="token" value="([0-9a-f]+)"')
CLIENT = re.compile("<dt>Client id</dt><dd><code>([^<]+)")
SHOWN = re.compile("<dt>(?:Client secret|API key)</dt><dd><code>([^<]+)")
WISH = re.compile("/portal/approvals/[0-9a-f]+")
LONG = "x" * 1_001
PROJECTS = "/experience/delivery/v2/projects"


def typed() -> dict[str, str]:
    """What a newcomer writes into forms, by its kind."""
    n = secrets.token_hex(4)
    return {
        "newcomer": f"Zaunkoenig{n}",
        "newcomer's e-mail": f"zaunkoenig.{n}@private.example",
        "newcomer's password": f"three-loose-words-{n}",
        "mistyped password": f"three-lose-words-{n}",
        "application": f"Shop window {n}",
        "purpose": f"purpose-{n}-of-an-application",
        "private key": str(ECKey.generate_key("P-256").as_dict(private=True)["d"]),
    }


class Browser:
    """Somebody's browser: it follows redirects and sends the forms that it is shown."""

    def __init__(self, house: House, pages: list[httpx.Response]) -> None:
        origin = {"origin": house.gateway}
        self.http = httpx.Client(
            base_url=house.gateway, headers=origin, follow_redirects=True, trust_env=False
        )
        self.pages = pages
        self.page: httpx.Response

    def opens(self, path: str) -> str:
        return self._seen(self.http.get(path))

    def sends(self, path: str, form: dict[str, str], status: int = 200) -> str:
        """The form of the page that is shown, and what is answered to it."""
        token = FORM_TOKEN.findall(self.page.text)[0]
        told = self._seen(self.http.post(path, data={"token": token} | form))
        assert self.page.status_code == status, told
        return told

    def _seen(self, page: httpx.Response) -> str:
        self.pages += [*page.history, page]
        self.page = page
        return page.text

    def signs_in(self, name: str, *passwords: str) -> None:
        """With each of these passwords; the last is right."""
        path = "/portal/sign-in"
        self.opens(path)
        for password in passwords:
            status = 200 if password is passwords[-1] else 401
            self.sends(path, {"name": name, "password": password}, status)


class SelfService:
    """One newcomer from the sign-up form to a granted application; what they were shown is kept."""

    def __init__(self, house: House, said: dict[str, str], words: str) -> None:
        self.house, self.said, self.words = house, said, words
        self.pages: list[httpx.Response] = []
        self.shown: dict[str, str] = {}
        """Credentials, each seen once on a page, and tokens that they got."""

    def goes_through(self, owner_password: str) -> None:
        """Everything that the portal asks people for."""
        ada, said = Browser(self.house, self.pages), self.said
        self._signs_up(ada)
        client = self._makes(ada)
        self._keeps_keys(ada, client)
        asking = f"/portal/applications/{client}/access"
        wish = {"action": "ask", "plan": "partner", "api": "experience/delivery"}
        for reason, status in ((self.words + LONG, 422), (self.words, 200)):
            ada.opens(f"/portal/applications/{client}")
            ada.sends(asking, wish | {"reason": reason}, status)
        owner = Browser(self.house, self.pages)
        owner.signs_in("demo-owner", said["wrong password"], owner_password)
        [path] = set(WISH.findall(owner.opens("/portal/approvals")))
        owner.opens(path)
        answer = {"action": "approve", "customers": "C-1", "answer": self.words}
        owner.sends(path, answer | {"entities": said["newcomer"]}, 422)
        owner.sends(path, answer | {"answer": self.words + LONG}, 422)
        owner.sends(path, answer)
        self._calls(client)
        for path in (f"/portal/applications/{client}", "/portal/requests"):
            ada.opens(path)
        for browser, name in ((ada, "newcomer"), (owner, "owner")):
            self.shown[f"session of {name}"] = dict(browser.http.cookies)["throughline"]
            browser.http.close()

    def _signs_up(self, ada: Browser) -> None:
        said, path = self.said, "/portal/sign-up"
        form = {"called": said["newcomer"], "email": said["newcomer's e-mail"], "terms": "accepted"}
        password, mistyped = said["newcomer's password"], said["mistyped password"]
        ada.opens(path)
        ada.sends(path, form | {"password": password, "again": mistyped}, 422)
        ada.sends(path, form | {"password": password, "again": password})

    def _makes(self, ada: Browser) -> str:
        said, path = self.said, "/portal/applications/new"
        ada.opens(path)
        form = {"title": said["application"], "purpose": said["purpose"]}
        ada.sends(path, form | {"title": said["application"] * 9}, 422)
        told = ada.sends(path, form)
        client = CLIENT.findall(told)[0]
        self._keeps("client secret", told)
        for action, kind in (("new-secret", "second secret"), ("new-api-key", "own API key")):
            ada.opens(f"/portal/applications/{client}")
            self._keeps(kind, ada.sends(f"/portal/applications/{client}", {"action": action}))
        return client

    def _keeps(self, kind: str, told: str) -> None:
        self.shown[kind] = unescape(SHOWN.findall(told)[0])

    def _keeps_keys(self, ada: Browser, client: str) -> None:
        path = f"/portal/applications/{client}"
        key = ECKey.generate_key("P-256").as_dict(private=False)
        ada.opens(path)
        both: dict[str, Any] = {**key, "d": self.said["private key"]}
        for keys, status in ((json.dumps(both), 422), (self.words, 422), (json.dumps(key), 200)):
            ada.sends(path, {"action": "set-keys", "keys": keys}, status)

    def _calls(self, client: str) -> None:
        """With each credential; a wrong one, too."""
        http, form = self.house.http, {"grant_type": "client_credentials"}
        for kind in ("client secret", "second secret"):
            secret = (client, self.shown[kind])
            given = http.post(f"{self.house.gateway}/oauth/token", data=form, auth=secret)
            self.shown[f"token by {kind}"] = token = given.json()["access_token"]
            self._gets({"Authorization": f"Bearer {token}"})
        self._gets({"X-API-Key": self.shown["own API key"]})
        wrong = (client, self.said["wrong secret"])
        refused = http.post(f"{self.house.gateway}/oauth/token", data=form, auth=wrong)
        assert refused.status_code == 401

    def _gets(self, headers: dict[str, str]) -> None:
        answer = self.house.http.get(self.house.gateway + PROJECTS, headers=headers)
        assert answer.status_code == 200, answer.text
