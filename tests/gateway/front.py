"""The gateway as its own processes, one or two, in front of a tier that tells what reached it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import uvicorn

from apis.gateway.guard import Message, Receive, Scope, Send
from apis.gateway.policy import load_gateway
from apis.runtime.app import refuse
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY
from apis.runtime.tokens import InternalTokens
from contracts.errors import ThroughlineError
from tests.gateway.bench import HERE, echo
from tests.gateway.catalogue import Answer, Case, raw_of, request_of
from tests.gateway.keys import Keys
from tests.gateway.wire import Wire
from tests.house import House, address, port
from tests.servers import ROOT, free_port

APIS = ("process/orders", "system/salesforce")
READY_S = 30.0


class Tier:
    """Serves what the gateway passes on, to calls with its internal token, and counts them."""

    def __init__(self, key: bytes) -> None:
        self._tokens = InternalTokens(key)
        self.calls: list[str] = []
        self.keys: list[str | None] = []
        """The request key of each call."""
        self.open = threading.Event()
        self.open.set()
        self.url = address(free_port())
        config = uvicorn.Config(
            self, port=int(port(self.url)), lifespan="off", log_config=None, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))

    def opens(self) -> None:
        self._thread.start()
        end = time.monotonic() + READY_S
        while not self._server.started:
            assert time.monotonic() < end, "the tier did not start"
            time.sleep(0.01)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path == "/readyz":
            await answered(send, 200)
            return
        _, tier, api, version, *_ = path.split("/")
        prefix = f"/{tier}/{api}/{version}"
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            context = self._tokens.context(headers, f"{tier}/{api}")
            self.keys.append(context.request_key)
            self.calls.append(path)
            if not self.open.is_set():
                await asyncio.to_thread(self.open.wait, READY_S)
            inner = {"path": path.removeprefix(prefix), "root_path": prefix, SCOPE_KEY: context}
            await echo({**scope, **inner}, receive, send)
        except ThroughlineError as error:
            await refuse(send, error)
        except RuntimeError:  # what a tier's framework makes of a defect
            await answered(send, 500)


async def answered(send: Send, status: int) -> None:
    start: Message = {"type": "http.response.start", "status": status, "headers": []}
    await send({**start, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


class Front(Keys):
    """As many gateways as named; each request goes to the next of them."""

    def __init__(self, house: House, tier: Tier, count: int) -> None:
        policy = (HERE / "gateway.yaml").read_text().replace("2027-06-30", "2999-06-30")
        (house.home / "gateway.yaml").write_text(policy)
        published = house.home / "contracts/published"
        published.mkdir(parents=True)
        (published / "openapi").symlink_to(HERE / "published")
        super().__init__(house.home, load_gateway(policy), house.gateway, Clock())
        self.house, self.tier = house, tier
        ports = [port(house.gateway), *(str(free_port()) for _ in range(1, count))]
        for n, each in enumerate(ports, 1):
            house.start(f"gateway-{n}", "serve", "gateway", "--port", each)
        for n, each in enumerate(ports, 1):
            house.answers(f"gateway-{n}", f"http://127.0.0.1:{each}/readyz")
        self.wires = [Wire(int(each)) for each in ports]
        self._turn = cycle(self.wires)
        self.slowest: list[tuple[float, str]] = []

    def asks(self, case: Case) -> Answer:
        """The answer of the next gateway."""
        return next(self._turn).asks(request_of(self, case))

    def says(self, case: Case) -> list[Answer]:
        """All that the next gateway answers to a row's bytes."""
        said = [raw_of(self, case, part) for part in ("raw", "then")]
        return next(self._turn).says(*said)

    def took(self, began: float, name: str) -> None:
        """Remember how long a row took: shown at the end, asserted nowhere."""
        self.slowest.append((time.perf_counter() - began, name))

    def told(self) -> str:
        """Everything the gateways wrote to their logs."""
        return "".join(path.read_text() for path in (self.house.home / "logs").glob("gateway-*"))


@contextmanager
def opened(
    home: Path, database_url: str, redis_url: str | None, count: int, **env: str
) -> Iterator[Front]:
    """Gateways started as an operator starts them, on this store."""
    key = "a key of the tests, for calls between tiers"
    tier = Tier(key.encode())
    tier.opens()
    peers = ",".join(f"{api}={tier.url}" for api in APIS)
    house = House(
        home, database_url, redis_url, THROUGHLINE_CLOCK="", THROUGHLINE_INTERNAL_KEY=key,
        THROUGHLINE_PEERS=peers, THROUGHLINE_GATEWAY=str(home / "gateway.yaml"),
        THROUGHLINE_ENTITIES=str(ROOT / "apis/entities.yaml"), PYTHONPATH=str(ROOT), **env,
    )  # fmt: skip
    house.folder = home
    try:
        front = Front(house, tier, count)
        yield front
        for wire in front.wires:
            wire.close()
    finally:
        tier.open.set()
        house.close()
        tier.close()
