"""A deal won in the Salesforce sandbox through its own REST API, and what the records say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec

from apis.console.sandboxes import TITLES
from apis.console.terminal import Change
from contracts.canonical.money import Money

SYSTEM = "salesforce"
TITLE = TITLES[SYSTEM]
SIGN_IN = "/services/oauth2/token"
EXAMPLE = "/__sandbox__/examples/won-deal"
MISSING = 404
REFUSED = 400
SHOWN = {  # record of the example -> field -> what people call it
    "deal": {"TL_Project_Key__c": "project key", "TL_Project_Status__c": "project status"},
    "account": {"TL_Customer_Key__c": "customer key"},
}
CALLED = {"deal": "deal", "account": "customer"}


class SandboxError(Exception):
    """The sandbox refused a call."""


class Sold(NamedTuple):
    """The deal and its account as Salesforce has them now."""

    records: Mapping[str, Mapping[str, Any]]

    @property
    def deal_id(self) -> str:
        """The deal's id in Salesforce."""
        return str(self.records["deal"]["Id"])

    @property
    def title(self) -> str:
        """What was sold to whom."""
        return f"{self.records['deal']['Name']}, {self.records['account']['Name']}"

    @property
    def value(self) -> Money | None:
        """What the deal is worth."""
        amount = self.records["deal"].get("Amount")
        currency = self.records["deal"].get("CurrencyIsoCode")
        return None if amount is None else Money(Decimal(str(amount)), str(currency))

    @property
    def won(self) -> bool:
        """Whether it is won."""
        return bool(self.records["deal"].get("IsWon"))


class Org:
    """The sandbox org, signed in as any Salesforce client is."""

    def __init__(self, url: str, home: Path, http: httpx.AsyncClient) -> None:
        self._url = url
        self._credentials = home / "sandboxes" / "credentials.json"
        self._http = http
        self._headers: dict[str, str] = {}

    async def sign_in(self) -> None:
        """A token, by client credentials."""
        known = json.loads(self._credentials.read_text("utf-8"))[SYSTEM]
        form = {
            "grant_type": "client_credentials",
            "client_id": known["client_id"],
            "client_secret": known["client_secret"],
        }
        answer = await self._call("POST", SIGN_IN, data=form)
        self._headers = {"Authorization": f"Bearer {answer['access_token']}"}

    async def example(self, number: int) -> list[dict[str, Any]]:
        """The calls that win the demo's deal of that number."""
        calls: list[dict[str, Any]] = await self._call("GET", f"{EXAMPLE}?n={number}")
        return calls

    async def first_unused(self) -> int:
        """The lowest number whose deal does not exist."""
        number = 1
        while await self.sold(await self.example(number)):
            number += 1
        return number

    async def sold(self, calls: list[dict[str, Any]]) -> Sold | None:
        """The deal these calls win and its account, or None before they were sent."""
        records = {}
        urls = {part["referenceId"]: part["url"] for part in parts(calls)}
        for name in SHOWN:
            records[name] = await self._call("GET", urls[name], may_miss=True)
        return Sold(records) if all(records.values()) else None

    async def win(self, calls: list[dict[str, Any]]) -> Sold:
        """Send the calls; SandboxError if a part of them was refused."""
        for call in calls:
            answer = await self._call(call["method"], call["path"], json=call["body"])
            for part in answer.get("compositeResponse", ()):
                if part["httpStatusCode"] >= REFUSED:
                    told = f"{TITLE} refused {part['referenceId']}: {part['body']}"
                    raise SandboxError(told)
        won = await self.sold(calls)
        if won is None:
            raise SandboxError(f"{TITLE} does not have the deal it has just won")
        return won

    async def _call(self, method: str, path: str, *, may_miss: bool = False, **more: Any) -> Any:
        answer = await self._http.request(method, self._url + path, headers=self._headers, **more)
        if may_miss and answer.status_code == MISSING:
            return None
        if answer.status_code >= REFUSED:
            raise SandboxError(f"{TITLE} answered {answer.status_code} to {method} {path}")
        return msgspec.json.decode(answer.content)


def parts(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The single requests within the example's composite call."""
    return [part for call in calls for part in call["body"]["compositeRequest"]]


def changes(before: Sold | None, after: Sold) -> list[Change]:
    """What Throughline wrote on the deal and its account."""
    return [
        Change(
            TITLE,
            f"{CALLED[name]} {record['Name']}",
            str(record["Id"]),
            called,
            before.records[name].get(field) if before else None,
            record.get(field),
        )
        for name, record in after.records.items()
        for field, called in SHOWN[name].items()
    ]
