"""What a CRM is asked, and how it fails, arrives over the Crm port as it was said."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest

from apis.runtime.app import make_app
from apis.runtime.clients import Local, client
from apis.runtime.openapi import publish
from contracts.canonical.deal import DealMark, DealPage
from contracts.canonical.identity import Ref
from contracts.errors import Conflict
from contracts.ports import Crm
from system_apis import crm
from tests.runtime.acme import asks


def test_a_published_document_is_not_changed(tmp_path: Path) -> None:
    assert publish({"system/x/v1": {"a": 1}}, tmp_path) == ["system/x/v1"]
    assert publish({"system/x/v1": {"a": 1}}, tmp_path) == []
    with pytest.raises(ValueError, match="is published"):
        publish({"system/x/v1": {"a": 2}}, tmp_path)
    assert publish({"system/x/v1": {"a": 2}}, tmp_path, draft=True) == ["system/x/v1"]


class Listening:
    """A Crm that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def list_deals(
        self, changed_since, cursor=None, state=None, closed_since=None
    ) -> DealPage:
        self.asked = [changed_since.isoformat(), cursor, state, closed_since]
        return DealPage(next="more")

    async def mark_deal(self, external_id: str, mark: DealMark) -> Ref:
        self.asked = [external_id, mark]
        raise Conflict("salesforce.DUPLICATE_VALUE", "another deal has it", source="salesforce")

    async def find_customer(self, key: str) -> Ref | None:
        self.asked = [key]
        return None


def served(behind: Listening) -> Crm:
    app = make_app("a CRM", version="1.0.0", routes=crm.routes, dependencies={"crm": behind})
    return client(Crm, Local(app))


async def test_arguments_and_errors_arrive_as_they_were_sent() -> None:
    asks()
    behind = Listening()
    crm_client = served(behind)
    since = datetime.fromisoformat("2026-03-01T10:00:00+01:00")

    page = await crm_client.list_deals(since, state="won", closed_since=date(2026, 3, 1))

    assert behind.asked == ["2026-03-01T10:00:00+01:00", None, "won", date(2026, 3, 1)]
    assert page.next == "more"
    assert await crm_client.find_customer("customer-1/ä?") is None
    assert behind.asked == ["customer-1/ä?"]
    with pytest.raises(Conflict) as raised:
        await crm_client.mark_deal("006A", DealMark(project_key="p-1", status="active"))
    assert raised.value.code == "salesforce.DUPLICATE_VALUE"
    assert behind.asked == ["006A", DealMark(project_key="p-1", status="active")]
