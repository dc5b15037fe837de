"""The gateway as one of its clients sees it: a token, runs, work items, decisions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import httpx
import msgspec

from apis.gateway.client_authentication import CLIENTS_FILE
from apis.gateway.explaining import DECISIONS_PATH, Explained
from apis.gateway.policy import Client, Gateway
from apis.gateway.tokens import read_secret
from apis.runtime.clients import outgoing
from contracts.canonical.identity import Source
from contracts.errors import NotFound, Problem, Rejected, ThroughlineError, Unavailable, error_of
from contracts.runs import Backfill, DecisionKind, Run, RunPage, WorkItem, WorkItemPage

FLOWS = ("deal_to_project", "deal_change")
JOURNEYS = "/experience/operations/v1/journeys"
BACKFILLS = "/process/deal-to-project/v1/backfills"
ITEMS = "/process/work-queue/v1/work-items"
UNAUTHORIZED = 401
REFUSED = 400
DEMO = "demo"
"""Who asks where nobody is named."""


def runs_path(flow: str) -> str:
    """Where a flow's runs are found: `deal_to_project` is the api `deal-to-project`."""
    return f"/process/{flow.replace('_', '-')}/v1/runs"


def run_path(run_id: str) -> str:
    """Where one run is found; its id begins with its flow."""
    return f"{runs_path(run_id.partition(':')[0])}/{quote(run_id, safe=':')}"


class Calls:
    """Calls of one client; every refusal arrives as the error it stands for."""

    def __init__(self, base: str, client: str, secret: str, http: httpx.AsyncClient) -> None:
        self.base = base
        self._proof = (client, secret)
        self._http = http
        self._token = ""

    async def token(self) -> str:
        """A fresh token, by client credentials."""
        form = {"grant_type": "client_credentials"}
        answer = await self._send("POST", "/oauth/token", data=form, auth=self._proof)
        if answer.status_code == UNAUTHORIZED:
            told = f"{self.base} does not let the client {self._proof[0]!r} in"
            remedy = (
                "its gateway must have read the same THROUGHLINE_GATEWAY and the same secret, and"
                " the last day of the client (`until`) may be over"
            )
            raise Rejected("client.refused", told, remedy=remedy, status=answer.status_code)
        try:
            self._token = str(answer.json()["access_token"])
        except (ValueError, LookupError, TypeError):
            raise no_token(self.base, answer) from None
        return self._token

    async def run(self, run_id: str) -> Run:
        """One run; NotFound if there is none."""
        return msgspec.json.decode(await self._ask("GET", run_path(run_id)), type=Run)

    async def runs_of(self, deal: str) -> tuple[Run, ...]:
        """Every run of a deal, the newest of each flow first."""
        found: tuple[Run, ...] = ()
        for flow in FLOWS:
            body = await self._ask("GET", runs_path(flow), params={"deal": deal})
            found += msgspec.json.decode(body, type=RunPage).items
        return found

    async def find(self, name: str) -> Run:
        """The run of that id, or the foremost of the deal that has it or anything with that id."""
        if name.partition(":")[0] in FLOWS:
            return await self.run(name)
        if found := await self.runs_of(name):
            return foremost(found)
        body = await self._ask("GET", f"{JOURNEYS}/{quote(name, safe='')}")
        if (where := msgspec.json.decode(body).get("where")) is None:
            raise NotFound("run.unknown", f"no run of what has the id {name} has begun")
        return await self.run(where["run_id"])

    async def start(self, deal: Source) -> Run:
        """Start the flow of a deal, or the run it already has."""
        told = {"deal": msgspec.to_builtins(deal)}
        body = await self._ask("POST", runs_path(FLOWS[0]), json=told)
        return msgspec.json.decode(body, type=Run)

    async def backfill(
        self, asked: Mapping[str, str], *, dry_run: bool, cursor: str | None = None
    ) -> Backfill:
        """Ask for a backfill, or for a page of what it would start."""
        params = {"dry_run": str(dry_run).lower()} | ({"cursor": cursor} if cursor else {})
        body = await self._ask("POST", BACKFILLS, json=asked, params=params)
        return msgspec.json.decode(body, type=Backfill)

    async def backfill_of(self, id_: str, cursor: str | None = None) -> Backfill:
        """How far a backfill is, with a page of its deals."""
        params = {"cursor": cursor} if cursor else {}
        body = await self._ask("GET", f"{BACKFILLS}/{quote(id_, safe='')}", params=params)
        return msgspec.json.decode(body, type=Backfill)

    async def work_items(
        self, *, owner: str | None = None, run_id: str | None = None
    ) -> tuple[WorkItem, ...]:
        """Every open work item, the longest waiting first."""
        asked = {"state": "open", "owner": owner, "run_id": run_id}
        items: tuple[WorkItem, ...] = ()
        while True:
            given = {name: value for name, value in asked.items() if value}
            body = await self._ask("GET", ITEMS, params=given)
            page = msgspec.json.decode(body, type=WorkItemPage)
            items += page.items
            if page.next is None:
                return items
            asked["cursor"] = page.next

    async def decide(
        self, item: str, decision: DecisionKind, comment: str = "", record: Source | None = None
    ) -> WorkItem:
        """A decision on a work item; Conflict if somebody was quicker."""
        told: dict[str, Any] = {"decision": decision, "comment": comment}
        if record is not None:
            told["record"] = msgspec.to_builtins(record)
        body = await self._ask("POST", f"{ITEMS}/{quote(item, safe='')}/decisions", json=told)
        return msgspec.json.decode(body, type=WorkItem)

    async def explained(self, request_id: str) -> Explained:
        """What was decided for the requests of this id."""
        body = await self._ask("GET", f"{DECISIONS_PATH}/{quote(request_id, safe='')}")
        return msgspec.json.decode(body, type=Explained)

    async def _ask(self, method: str, path: str, **more: Any) -> bytes:
        key = {} if method == "GET" else {"Idempotency-Key": f'"{uuid4()}"'}
        answer = await self._send(method, path, headers=await self._bearer() | key, **more)
        if answer.status_code == UNAUTHORIZED:  # the token ran out: one more, once
            await self.token()
            answer = await self._send(method, path, headers=await self._bearer() | key, **more)
        if answer.status_code >= REFUSED:
            raise refusal(answer)
        return answer.content

    async def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token or await self.token()}"}

    async def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return await self._http.request(method, self.base + path, **more)
        except httpx.HTTPError as error:
            told = f"nothing answers at {self.base}"
            remedy = (
                "start it with `throughline up`, say on which port it listens with PORT=, or ask"
                " where it runs"
            )
            raise Unavailable("gateway.not-reached", told, remedy=remedy) from error


def foremost(runs: Sequence[Run]) -> Run:
    """The run to show first: the newest that waits for a person, else the newest of the first flow.

    `runs` are those of a deal, flow by flow, the newest of each first.
    """
    asking = [
        (run.waiting.since, n)
        for n, run in enumerate(runs)
        if run.waiting and run.waiting.work_item_id
    ]
    return runs[max(asking)[1]] if asking else runs[0]


def refusal(answer: httpx.Response) -> ThroughlineError:
    """The error an answer stands for, whatever its body."""
    try:
        return error_of(msgspec.json.decode(answer.content, type=Problem))
    except msgspec.DecodeError:
        told = f"answer {answer.status_code} without a problem document"
        return ThroughlineError("answer.unreadable", told, status=answer.status_code)


def no_token(base: str, answer: httpx.Response) -> ThroughlineError:
    """The error of an answer that brings no token."""
    with suppress(msgspec.DecodeError):
        return error_of(msgspec.json.decode(answer.content, type=Problem))
    told = f"what answers at {base} is no gateway ({answer.status_code})"
    return Unavailable("gateway.not-reached", told, remedy="say where it is with PORT=")


class Place(NamedTuple):
    """Where a gateway is asked; under the name it knows itself by, if it has another address."""

    base: str
    name: str | None = None


class Proof(NamedTuple):
    """A client, and the secret by which it proves itself."""

    client: str
    secret: str


def proof_of(policy: Gateway, home: Path, name: str | None) -> Proof:
    """A client of the policy with its secret, read here as the gateway reads it."""
    client = policy.clients.get(name or DEMO)
    if client is None:
        told = policy.lines.told(("clients",), f"there is no {name}")
        raise NotFound(
            "client.unknown", told if name else "no client is named", remedy=which(policy)
        )
    name = name or DEMO
    place = "clients", name, "secret"
    if (why := unable(client)) is not None:
        raise Rejected("client.unable", policy.lines.told(place, why), remedy=which(policy))
    mistakes = []
    for reference in client.secrets:
        try:
            return Proof(name, read_secret(reference, home, member=name))
        except FileNotFoundError as error:
            mistakes.append(f"{error.filename} is not there")
        except (ValueError, OSError) as error:
            mistakes.append(str(error))
    remedy = "ask where the gateway runs, with its environment"
    if f"home:{CLIENTS_FILE}" in client.secrets:
        remedy = "the gateway writes it at its first start; THROUGHLINE_HOME says where"
    told = policy.lines.told(place, "; ".join(mistakes))
    raise NotFound("client.no-secret", told, remedy=remedy)


def unable(client: Client) -> str | None:
    """Why a client cannot ask from a terminal, whatever can be read here."""
    if client.redirects:
        return "it acts for people who sign in, never for itself"
    if client.certificate:
        return "its tokens need its certificate"
    return None if client.secrets else "it has no secret"


def which(policy: Gateway) -> str:
    """Who may be named instead."""
    able = [name for name, client in policy.clients.items() if unable(client) is None]
    if not able:
        return "enter one in it: docs/running.md says how"
    return f"name one with --client: {', '.join(able)}"


@asynccontextmanager
async def calling(place: Place, proof: Proof) -> AsyncIterator[Calls]:
    """The gateway at a place, for one client."""
    async with outgoing() as http:
        if place.name is not None:
            http.headers["host"] = place.name
        yield Calls(place.base, *proof, http)
