"""An upgrade under load: the release before and this one beside each other, and nobody notices."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.duplicates import doubled, projects
from tests.firm import RUNS, Firm
from tests.house import House, port
from tests.servers import Servers, drop_database, flush, fresh_database
from tests.systems import Deal
from tests.upgrade.load import Load, Request
from tests.upgrade.release import unpacked

DEALS = 50
SLOW_MS = 3000
"""So slow that most flows are still under way when the last process is replaced."""
READY_S = 150.0
TIERS = ("system", "process", "experience")
WORKERS = ("worker-a", "worker-b")
READS: list[Request] = [
    ("GET", "/experience/delivery/v1/projects", None),
    ("GET", RUNS, None),
    ("GET", "/system/salesforce/v1/about", None),
    ("GET", "/process/work-queue/v1/work-items", None),
]


class Rolled:
    """A deployment of several hosts whose processes are replaced one after another."""

    def __init__(self, house: House) -> None:
        self.house = house
        house.env["THROUGHLINE_LOG"] = "INFO"
        house.env["THROUGHLINE_PEERS"] = ",".join(f"{tier}={house.tiers[tier]}" for tier in TIERS)

    async def starts(self, *parts: str) -> None:
        """Start parts at once, and wait until each has said that it is ready."""
        for part in parts:
            kind = part.partition("-")[0]
            command: tuple[str, ...] = ("serve", kind, "--port", port(self._url(kind)))
            if kind == "worker":
                command = ("worker", "--name", part.partition("-")[2])
            self._log(part).unlink(missing_ok=True)
            self.house.start(part, *command)
        for part in parts:
            await self._says(part, "process.ready")

    def _url(self, kind: str) -> str:
        return self.house.gateway if kind == "gateway" else self.house.tiers.get(kind, ":0")

    def _log(self, part: str) -> Path:
        return self.house.home / "logs" / f"{part}.log"

    async def _says(self, part: str, words: str) -> None:
        end = time.monotonic() + READY_S
        while not (self._log(part).exists() and words in self._log(part).read_text()):
            assert time.monotonic() < end, self.house.told(part)
            assert self.house.processes[part].poll() is None, self.house.told(part)
            await asyncio.sleep(0.05)

    async def ends(self, *parts: str) -> list[int]:
        """Drain parts at once; their exit codes."""
        processes = [self.house.processes.pop(part) for part in parts]
        for process in processes:
            process.send_signal(signal.SIGTERM)
        return [await asyncio.to_thread(process.wait, READY_S) for process in processes]

    def open_runs(self) -> int:
        """The flows that have begun and not ended."""
        asked = "select count(*) from process.runs where state in ('queued', 'running', 'waiting')"
        with psycopg.connect(self.house.database_url) as connection:
            row = connection.execute(asked).fetchone()
        return int(row[0]) if row else 0


@pytest.fixture
def rolled(production: Servers, tmp_path: Path) -> Iterator[Rolled]:
    url = fresh_database(production.database_url)
    redis = production.redis_url.rpartition("/")[0] + "/3"
    flush(redis)
    house = House(tmp_path, url, redis)
    house.tiers = {tier: house.tiers.get(tier, house.tiers["system/salesforce"]) for tier in TIERS}
    try:
        yield Rolled(house)
    finally:
        house.close()
        drop_database(production.database_url, url)


@pytest.mark.several_hosts
async def test_an_upgrade_with_fifty_flows_in_flight_strands_repeats_and_fails_nothing(
    rolled: Rolled, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    house, this = rolled.house, Path.cwd()
    house.folder, what = unpacked(tmp_path / "before")
    house.opens_sandboxes()
    await rolled.starts(*TIERS, "gateway-1", "gateway-2", *WORKERS)
    firm = Firm(house)
    deals = begun(firm)
    writes: list[Request] = [("POST", RUNS, {"deal": deal.source}) for deal in deals]
    token = await firm._sign_in("demo")
    requests = [each for pair in zip(writes, READS * DEALS, strict=False) for each in pair]

    async with Load(house.gateway, token, requests, clients=6, pause_s=0.15) as load:
        await firm.see(lambda: asyncio.to_thread(rolled.open_runs), lambda n: n >= DEALS)
        house.folder = this
        for tier in TIERS:
            await rolled.starts(f"{tier}-next")
            assert await rolled.ends(tier) == [0]
        for number in (1, 2):
            await rolled.starts(f"gateway-{number}-next")
            assert await rolled.ends(f"gateway-{number}") == [0]
        assert await rolled.ends(*WORKERS) == [0, 0]  # never two generations at once
        in_flight = rolled.open_runs()
        await rolled.starts(*WORKERS)
        for system in firm.systems:
            system.latency(0)
        runs = [await firm.run_of(deal) for deal in deals]
    code, told = await asyncio.to_thread(house.says, "audit", "verify")
    await firm.close()

    with capsys.disabled():
        asked = sum(load.statuses.values())
        sys.stdout.write(f"\n{what}: {in_flight} flows in flight, {asked} requests\n")
    assert in_flight >= DEALS // 2
    assert load.failures == []
    assert len({run["id"] for run in runs}) == DEALS
    assert rolled.open_runs() == 0
    assert projects(firm) == (DEALS, DEALS)
    assert doubled(firm) == {}
    assert code == 0, told  # rows of both releases, in one chain
    assert "process: " in told


def begun(firm: Firm) -> list[Deal]:
    """So many deals won, at vendors that take their time."""
    deals = [firm.salesforce.wins_deal() for _ in range(DEALS)]
    for system in firm.systems:
        system.latency(SLOW_MS)
    return deals
