"""The deployment under test: its parts, the sandboxes' back doors, the public API, the knife."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.crash.launcher import FOLDER
from tests.crash.processes import Processes
from tests.crash.waiting import LOOK_S, PATIENCE_S, Stuck, T, until, where
from tests.house import urls
from tests.servers import ROOT, free_port

LEASE_S = 2
"""Two seconds: on a machine that is busy with all of this, one is too short to be heard."""
DEADLINE_S = 2
WRITE_LEASE_S = DEADLINE_S + 1
SEARCH_LAG_S = WRITE_LEASE_S + 2
"""Longer than the lease of a write, so that a record may be hidden when it is looked up first."""
ASK_S = 0.25
"""How often the gateway is asked."""
FEED_S, QUEUE_S = 1, 0.6
"""A firm has three workers, and several firms share two cores: idle ones must cost little."""
START_S = 60.0
EXPIRED = 401
MOST_DEATHS = 5
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - folders of our own
"""A killed process loses nothing that it has written, so nothing need reach a disk."""
WORKERS = ("a", "b", "c")
SOLD_AS = {"entity": "US", "billing_model": "fixed_price"}
"""So that there is something of everything: tasks, a milestone, billing lines, roles."""
SELLERS, *BOOKS = VENDORS = ("salesforce", "kantata", "netsuite")
NEEDED = 2
RUNS = "/process/deal-to-project/v1/runs"
ITEMS = "/process/work-queue/v1/work-items"


class Sold(NamedTuple):
    """What the seller entered: the ids and the fields of group, account, deal, line1, line2."""

    ids: dict[str, str]
    fields: dict[str, dict[str, Any]]


class Firm:
    """One deployment with its sandbox: wins deals, asks the gateway, arms the knife."""

    def __init__(self, home: Path, store: str, database_url: str) -> None:
        self.home = home
        self.store = store
        self.database_url = database_url
        self.knife = home / "knife"
        self.knife.mkdir()
        self.tokens = 0
        self.keep = False
        self.sold: dict[str, Sold] = {}
        self.expected: dict[str, str] = {}
        self.fired: Counter[tuple[str, str]] = Counter()
        self.isolated = 0
        self._arms: dict[str, dict[str, Any]] = {}
        names = (*VENDORS, "gateway", "process", "system", "experience")
        self.ports = {name: free_port() for name in names}
        self.processes = Processes(home, self._environment())
        self.http = httpx.Client(trust_env=False, timeout=35)
        self._headers: dict[str, dict[str, str]] = {}

    def url(self, part: str) -> str:
        """Where a part listens."""
        return f"http://127.0.0.1:{self.ports[part]}"

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("THROUGHLINE_", "PORT"))}
        return kept | {
            "THROUGHLINE_HOME": str(self.home),
            "THROUGHLINE_DATABASE_URL": self.database_url,
            "THROUGHLINE_ENV": "test",
            "THROUGHLINE_LEASE": str(LEASE_S),
            "THROUGHLINE_QUEUE_EVERY": str(QUEUE_S),
            "THROUGHLINE_SEARCH_LAG": str(SEARCH_LAG_S),
            "THROUGHLINE_FEED_EVERY": str(FEED_S),
            "THROUGHLINE_ENTITIES": str(self._entities()),
            "THROUGHLINE_PEERS": ",".join(
                f"{tier}={self.url(tier)}" for tier in ("system", "process", "experience")
            ),
            "PORT": str(self.ports["gateway"]),
            **urls({vendor: self.url(vendor) for vendor in VENDORS}),
            FOLDER: str(self.knife),
        }

    def _entities(self) -> Path:
        """The sample firm with short deadlines, and calls through the transport that is watched."""
        text = (ROOT / "apis/entities.yaml").read_text()
        for old, new in (
            ("transport: aiohttp", "transport: httpx"),
            ("deadline_s: 10", f"deadline_s: {DEADLINE_S}"),
            ("overlap_s: 300", "overlap_s: 5"),
        ):
            assert old in text, f"entities.yaml does not say {old!r} any more"
            text = text.replace(old, new)
        path = self.home / "entities.yaml"
        path.write_text(text)
        return path

    def start(self, *, split: bool = True) -> None:
        """Start all parts and wait until each is ready."""
        begin = self.processes.start
        for vendor in VENDORS:
            begin(vendor, "sandbox", vendor, "--port", str(self.ports[vendor]))
        for vendor in VENDORS:
            door = f"{self.url(vendor)}/__sandbox__/faults"
            until(f"the sandbox of {vendor}", partial(answers, self.http, door))
        if split:
            begin("system", "serve", "system", "--port", str(self.ports["system"]))
            begin("process", "serve", "process", "--port", str(self.ports["process"]))
            begin("experience", "serve", "experience", "--port", str(self.ports["experience"]))
            begin("gateway", "serve", "gateway", "--port", str(self.ports["gateway"]))
            for name in WORKERS:
                begin(name, "worker", "--name", name)
        else:
            begin("up", "up")
        self.whole()

    def tend(self) -> None:
        """Servers are started again at once, workers only when none is left."""
        dead = self.processes.dead()
        left = set(self.processes.running) & set(WORKERS) - set(dead)
        self.processes.restart([name for name in dead if name not in WORKERS or not left])

    def until(
        self,
        what: str,
        look: Callable[[], T | None],
        seconds: float = PATIENCE_S,
        every: float = LOOK_S,
    ) -> T:
        """`until`, while dead servers are started again."""

        def tended() -> T | None:
            self.tend()
            return look()

        return until(what, tended, seconds, every)

    def whole(self) -> None:
        """Start again what is dead; wait until the servers and enough workers are ready."""
        died: list[str] = []

        def look() -> bool:
            dead = self.processes.dead()
            self.processes.restart(dead)
            died.extend(dead)
            if len(died) > MOST_DEATHS:
                raise Stuck(f"{died[-1]} ends by itself: see {self.home}/{died[-1]}.log")
            ready = {name for name in self.processes.running if self.processes.ready(name)}
            spare = len(ready & set(WORKERS)) >= NEEDED or "up" in ready
            return spare and ready >= set(self.processes.running) - set(WORKERS) and self.serving()

        until("all processes ready", look, START_S)

    def serving(self) -> bool:
        """Whether gateway and tiers answer and each worker holds its lease."""
        parts = [part for part in ("system", "process") if part in self.processes.running]
        told = [answers(self.http, f"{self.url(part)}/") for part in parts]
        return all(told) and answers(self.http, f"{self.url('gateway')}/readyz")

    # ----------------------------------------------------------------------------- the sandboxes

    def door(self, vendor: str, name: str) -> Any:
        """What a sandbox tells by its back door."""
        return self.http.get(f"{self.url(vendor)}/__sandbox__/{name}").raise_for_status().json()

    def log(self, vendor: str) -> list[dict[str, Any]]:
        """Every call that a sandbox has seen."""
        text = (self.home / f"sandboxes/{vendor}.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def salesforce(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """A call that a seller makes."""
        if SELLERS not in self._headers:
            known = json.loads((self.home / "sandboxes/credentials.json").read_text())[SELLERS]
            asked = {"grant_type": "client_credentials", "client_id": known["client_id"]}
            asked["client_secret"] = known["client_secret"]
            told = self.http.post(f"{self.url(SELLERS)}/services/oauth2/token", data=asked).json()
            self._headers[SELLERS] = {"Authorization": f"Bearer {told['access_token']}"}
        url, headers = f"{self.url(SELLERS)}{path}", self._headers[SELLERS]
        answer = self.http.request(method, url, json=body, headers=headers)
        if answer.status_code == EXPIRED:
            del self._headers[SELLERS]
            return self.salesforce(method, path, body)
        answer.raise_for_status()
        return answer

    def deal(self, n: int, **options: Any) -> str:
        """An open deal, ready to be won; answers its id."""
        asked = {"n": n, "stage": "Negotiation/Review", "customer": "new", **SOLD_AS, **options}
        door = f"{self.url(SELLERS)}/__sandbox__/examples/won-deal"
        call = self.http.get(door, params=asked).json()[0]
        parts = self.salesforce(call["method"], call["path"], call["body"]).json()
        made = {part["referenceId"]: part["body"]["id"] for part in parts["compositeResponse"]}
        told = {part["referenceId"]: part["body"] for part in call["body"]["compositeRequest"]}
        deal = str(made["deal"])
        self.sold[deal] = Sold(made, told)
        return deal

    def stage(self, deal: str, stage: str) -> None:
        """Move a deal to another stage."""
        path = f"/services/data/v62.0/sobjects/Opportunity/{deal}"
        self.salesforce("PATCH", path, {"StageName": stage})

    def win(self, deal: str) -> None:
        """Win a deal; the feed sees it within a second or so."""
        self.stage(deal, "Closed Won")

    def faults(self, vendor: str, *plan: dict[str, Any]) -> list[int]:
        """Replace a sandbox's faults; answers how often each of the former ones has fired."""
        fired = []
        for fault in self.door(vendor, "faults"):
            fired.append(int(fault.get("fired", 0)))
            self.fired[vendor, fault["fault"]] += fired[-1]
        door = f"{self.url(vendor)}/__sandbox__/faults"
        self.http.put(door, json=list(plan)).raise_for_status()
        return fired

    def latency(self, milliseconds: int) -> None:
        """How slow the vendors are."""
        for vendor in VENDORS:
            door = f"{self.url(vendor)}/__sandbox__/latency"
            self.http.put(door, json={"ms": milliseconds}).raise_for_status()

    # --------------------------------------------------------------------------------- the product

    def ask(self, method: str, path: str, client: str = "demo", **rest: Any) -> httpx.Response:
        """A call through the gateway."""
        try:
            answer = self._asked(method, path, client, **rest)
            if answer.status_code == EXPIRED:
                del self._headers[client]
                answer = self._asked(method, path, client, **rest)
        except httpx.TransportError:  # the gateway itself was hit: nobody answers
            return httpx.Response(503)
        return answer

    def _asked(self, method: str, path: str, client: str, **rest: Any) -> httpx.Response:
        if client not in self._headers:
            known = json.loads((self.home / "clients.json").read_text())[client]
            told = self.http.post(
                f"{self.url('gateway')}/oauth/token",
                data={"grant_type": "client_credentials"},
                auth=(client, known["client_secret"]),
            ).json()
            self._headers[client] = {"Authorization": f"Bearer {told['access_token']}"}
        url = f"{self.url('gateway')}{path}"
        return self.http.request(method, url, headers=self._headers[client], **rest)

    def begin(self, deal: str) -> int:
        """Start the flow by POST; answers the status."""
        body = {"deal": {"system": "salesforce", "external_id": deal}}
        return self.ask("POST", RUNS, json=body).status_code

    def run(self, deal: str) -> dict[str, Any] | None:
        """The newest run of a deal."""
        answer = self.ask("GET", RUNS, params={"deal": deal})
        items = answer.json().get("items") if answer.is_success else None
        return items[0] if items else None

    def reaches(self, deal: str, *states: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until the deal's run is in one of these states; Stuck says where it is instead."""
        seen: list[dict[str, Any] | None] = []

        def look() -> dict[str, Any] | None:
            run = self.run(deal)
            seen[:] = [run]
            if run and run["state"] == "waiting" and "waiting" not in states:
                self._mend(run)
            return run if run and run["state"] in states else None

        try:
            return self.until(f"run of {deal} {' or '.join(states)}", look, seconds, ASK_S)
        except Stuck as stuck:
            raise Stuck(f"{stuck}, but {where(seen[0])}") from stuck

    def _mend(self, run: dict[str, Any]) -> None:
        """An operator's part: a run that lost too many workers to a busy machine is tried again."""
        if (run["waiting"] or {}).get("owner") != "integration":
            return
        item = self.ask("GET", f"{ITEMS}/{run['waiting']['work_item_id']}").json()
        if item.get("code") == "flow.poison" and item["state"] == "open":
            self.isolated += self.decide(item, "retry") < 300

    def item(self, deal: str, code: str = "") -> dict[str, Any]:
        """Wait for the open work item of a deal."""

        def look() -> dict[str, Any] | None:
            answer = self.ask("GET", ITEMS, params={"state": "open"})
            items = answer.json().get("items", []) if answer.is_success else []
            mine = (each for each in items if deal in (each["run_id"] or ""))
            return next((each for each in mine if each["code"].startswith(code)), None)

        return self.until(f"work item {code} of {deal}", look, every=ASK_S)

    def decide(self, item: dict[str, Any], decision: str, client: str = "demo") -> int:
        """Decide a work item; answers the status."""
        body = {"decision": decision, "comment": "crash matrix"}
        return self.ask("POST", f"{ITEMS}/{item['id']}/decisions", client, json=body).status_code

    # ----------------------------------------------------------------------------------- the knife

    def arm(self, deal: str, **what: Any) -> str:
        """Point the knife at a boundary of a deal, or only watch the deal; answers the token."""
        self.tokens += 1
        self._arms[deal] = {"token": str(self.tokens), "deal": deal, "action": "kill", **what}
        self._point()
        return str(self.tokens)

    def disarm(self, *deals: str) -> None:
        """Hurt nobody any more, or none of these deals; they are not watched either."""
        for deal in deals or tuple(self._arms):
            self._arms.pop(deal, None)
        self._point()

    def _point(self) -> None:
        part = self.knife / "arm.part"
        part.write_text(json.dumps(list(self._arms.values())))
        part.rename(self.knife / "arm.json")

    def trail(self, token: str) -> list[dict[str, Any]]:
        """The boundaries that were met under an arm, in order."""
        path = self.knife / f"trail-{token}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def hits(self, token: str) -> list[dict[str, Any]]:
        """Who was hit under an arm."""
        marks = sorted(self.knife.glob(f"hit-{token}-*"))
        return [json.loads(mark.read_text() or "{}") for mark in marks]

    def struck(self, deal: str) -> bool:
        """Whether the knife has hit somebody who worked for a deal."""
        return deal in self._arms and bool(self.hits(self._arms[deal]["token"]))

    def hit(self, token: str, seconds: float = PATIENCE_S) -> dict[str, Any]:
        """Wait until the knife has hit."""
        return self.until("its hit", lambda: next(iter(self.hits(token)), None), seconds)

    def release(self, token: str) -> None:
        """Let a paused process go on."""
        (self.knife / f"release-{token}").touch()


def answers(http: httpx.Client, url: str) -> bool:
    """Whether anything listens and says it is well (404 and 401 are answers too)."""
    try:
        return http.get(url, timeout=5).status_code < 500
    except httpx.HTTPError:
        return False


@contextmanager
def firm(store: str, database_url: str | None, *, split: bool = True) -> Iterator[Firm]:
    """A running deployment in a folder of its own; the folder is kept when something failed."""
    home = Path(tempfile.mkdtemp(prefix=f"throughline-crash-{store}-", dir=MEMORY))
    made = Firm(home, store, database_url or f"sqlite:///{home}/throughline.sqlite")
    try:
        made.start(split=split)
        yield made
    finally:
        made.http.close()
        made.processes.stop()
    if not made.keep:
        shutil.rmtree(home, ignore_errors=True)
