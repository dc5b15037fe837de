"""A typed client is the same in one process and across two: results, errors, context, plans."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.app import make_app
from apis.runtime.clients import Local, Remote, Target, client, outgoing, peer_of
from apis.runtime.context import CURRENT, Call, Context
from apis.runtime.deployment import Inside
from apis.runtime.flow import Running
from apis.runtime.tokens import InternalTokens
from contracts.canonical.deal import Deal, DealMark, DealPage
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.errors import (
    Conflict,
    FieldError,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
)
from contracts.ports import Crm
from system_apis import crm
from tests.runtime.acme import asks
from tests.runtime.flow_bench import Bench
from tests.servers import free_port

API = "system/acme"
KEY = b"a key of this deployment, long enough for HS256"
MARK = DealMark(project_key="project-1", status="active")
SINCE = datetime(2026, 3, 1, 10, tzinfo=UTC)
WON = Deal(
    external_id="006A",
    state="won",
    value=Money(Decimal("1200.10"), "EUR"),
    closed_on=date(2026, 3, 1),
    extensions={"ä/?": "ü"},
)


class Told:
    """A Crm that answers what it is told to, and keeps what it was asked and by whom."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.asked: list[Any] = []
        self.contexts: list[Context] = []
        self.planned: list[dict[str, Any]] = []

    def _asked(self, *what: Any) -> None:
        call = CURRENT.get()
        self.asked += what
        self.contexts.append(call.context)
        call.calls.append({"system": "acme", "operation": "GET /things", "status": 200})
        call.planned += self.planned
        if self.error is not None:
            raise self.error

    async def list_deals(
        self,
        changed_since: datetime,
        cursor: str | None = None,
        state: str | None = None,
        closed_since: date | None = None,
    ) -> DealPage:
        self._asked(changed_since, cursor, state, *filter(None, [closed_since]))
        return DealPage(items=(WON,), next="more", until=SINCE)

    async def get_customer(self, external_id: str) -> Customer:
        self._asked(external_id)
        return Customer(external_id=external_id, name="Straße & Söhne")

    async def find_customer(self, key: str) -> Ref | None:
        self._asked(key)
        return None

    async def mark_deal(self, external_id: str, mark: DealMark) -> Ref:
        self._asked(external_id, mark)
        return Ref(None, external_id)


@pytest.fixture
def behind() -> Told:
    return Told()


@pytest.fixture(params=["here", "elsewhere"])
async def target(request: pytest.FixtureRequest, behind: Told) -> AsyncIterator[Target]:
    """The way to the app: a direct call, or HTTP with the internal token."""
    app = make_app("Acme", version="1.0.0", routes=crm.routes, dependencies={"crm": behind})
    if request.param == "here":
        yield Local(app)
        return
    tokens = InternalTokens(KEY)
    inside = Inside({f"/{API}/v1": app.serving(tokens, API)})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=inside)) as http:
        yield Remote(f"http://other.test/{API}/v1", API, tokens, http)


@pytest.fixture
def called(target: Target) -> Crm:
    return client(Crm, target)


async def test_arguments_and_results_arrive_as_they_were_sent(called: Crm, behind: Told) -> None:
    asks()

    page = await called.list_deals(SINCE, state="won")
    customer = await called.get_customer("a b ü?#%2F")

    assert page == DealPage(items=(WON,), next="more", until=SINCE)
    assert customer == Customer(external_id="a b ü?#%2F", name="Straße & Söhne")
    assert await called.find_customer(key="k & l=1") is None
    assert await called.mark_deal("006A", MARK) == Ref(None, "006A")
    assert behind.asked == [SINCE, None, "won", "a b ü?#%2F", "k & l=1", "006A", MARK]


@pytest.mark.parametrize(
    "error",
    [
        Transient("acme.LOCKED", "in use", source="acme"),
        Throttled("acme.SLOW_DOWN", "slow down", retry_after=600.0),
        Unavailable("acme.CLOSED", "closed", retry_after=30.0, owner="integration"),
        Rejected(
            "customer.tax-id-missing",
            "no tax id",
            errors=(FieldError(pointer="/tax_id", code="missing", message="a customer has one"),),
            owner="finance",
            remedy="enter it",
        ),
        Conflict("acme.TAKEN", "somebody was quicker"),
        NotFound("deal.not-found", "no such deal"),
        Misconfigured("acme.CREDENTIALS", "a part is missing", owner="integration"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_arrives_as_it_was_raised(
    called: Crm, behind: Told, error: ThroughlineError
) -> None:
    asks()
    behind.error = error

    with pytest.raises(ThroughlineError) as met:
        await called.mark_deal("006A", MARK)

    assert type(met.value) is type(error)
    names = {*vars(error), "status", "title"}
    assert {name: getattr(met.value, name) for name in names} == {
        name: getattr(error, name) for name in names
    }


async def test_a_defect_tells_nothing_about_itself(called: Crm, behind: Told) -> None:
    asks()
    behind.error = KeyError("s3cret")

    with pytest.raises(ThroughlineError) as met:
        await called.get_customer("001A")

    assert (type(met.value), met.value.code) == (ThroughlineError, "internal")
    assert "s3cret" not in str(vars(met.value))


async def test_who_asks_travels_along_and_every_write_has_a_key_of_its_own(
    called: Crm, behind: Told
) -> None:
    until = time.time() + 5
    call = asks(entity="DE", roles=("finance",), deadline=until, traceparent="00-a-b-01")

    await called.get_customer("001A")
    await called.mark_deal("006A", MARK)
    await called.mark_deal("006A", MARK)

    keys = [context.request_key for context in behind.contexts]
    assert keys == ["run-1/step", "run-1/step/mark_deal.1", "run-1/step/mark_deal.2"]
    for context in behind.contexts:
        given = {name: getattr(call.context, name) for name in context.__struct_fields__}
        here = {name: getattr(context, name) for name in context.__struct_fields__}
        assert here | {"request_key": None} == given | {"request_key": None}


async def test_what_the_other_side_called_is_known_here(called: Crm) -> None:
    call = asks()

    await called.get_customer("001A")

    assert [each["operation"] for each in call.calls] == ["GET /things"]


async def test_a_dry_run_brings_its_writes_and_its_answer(called: Crm, behind: Told) -> None:
    behind.planned = [{"system": "acme", "operation": "update deal", "body": {"a": "1.10"}}]
    call = asks(plan=True)

    answer = await called.mark_deal("006A", MARK)

    assert answer == Ref(None, "006A")
    assert call.planned == behind.planned
    assert behind.contexts[0].plan


async def test_another_deployments_token_opens_nothing(behind: Told) -> None:
    app = make_app("Acme", version="1.0.0", routes=crm.routes, dependencies={"crm": behind})
    inside = Inside({f"/{API}/v1": app.serving(InternalTokens(KEY), API)})
    asks()

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=inside)) as http:
        base = f"http://other.test/{API}/v1"
        for audience, tokens in ((API, InternalTokens(KEY[::-1])), ("x/y", InternalTokens(KEY))):
            with pytest.raises(Rejected) as refused:
                await client(Crm, Remote(base, audience, tokens, http)).get_customer("001A")
            assert refused.value.status == 401

    assert behind.asked == []


@pytest.fixture
async def away() -> AsyncIterator[Crm]:
    """A client of a process at a port where nobody listens."""
    async with outgoing() as http:
        base = f"http://127.0.0.1:{free_port()}/{API}/v1"
        yield client(Crm, Remote(base, API, InternalTokens(KEY), http))


async def test_a_process_that_is_not_there_is_unavailable(away: Crm) -> None:
    asks()

    with pytest.raises(Unavailable, match=r"tier\.not-reached") as met:
        await away.get_customer("001A")

    assert met.value.retry_after is None  # whoever waits decides how long


async def test_an_answer_that_never_comes_is_transient(away: Crm, httpx_mock: HTTPXMock) -> None:
    asks()
    httpx_mock.add_exception(httpx.ReadTimeout("nothing came"))

    with pytest.raises(Transient, match=r"tier\.no-answer"):
        await away.get_customer("001A")


async def test_an_error_without_a_problem_document_is_a_defect(
    away: Crm, httpx_mock: HTTPXMock
) -> None:
    asks()
    httpx_mock.add_response(status_code=502, html="<h1>Bad Gateway</h1>")

    with pytest.raises(ThroughlineError, match=r"tier\.unreadable") as met:
        await away.get_customer("001A")

    assert met.value.status == 502


def test_an_api_is_looked_for_under_its_own_name_first() -> None:
    peers = {"system": "http://a", "system/salesforce": "http://b"}

    assert peer_of(peers, "system/salesforce") == "http://b"
    assert peer_of(peers, "system/netsuite") == "http://a"
    assert peer_of(peers, "process/work-queue") is None


async def test_a_worker_whose_lease_is_late_asks_again_within_a_moment(
    called: Crm, bench: Bench
) -> None:
    source = Source("salesforce", "006A")
    running = Running(bench.runtime, "run-1", source, Context(actor="demo", client="demo"))
    await asyncio.to_thread(bench.leases.stop)
    CURRENT.set(Call(running.context, running))

    with pytest.raises(Unavailable) as refused:
        await called.mark_deal("006A", MARK)

    assert refused.value.code == "worker.lease-lost"
    assert refused.value.retry_after == 1.0
