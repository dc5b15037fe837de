"""A gateway told to stop says so first and finishes what it has begun; nobody notices a restart."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House, gateways_alone, port
from tests.servers import Servers

FORM = b"grant_type=client_credentials"
TOKEN = (
    b"POST /oauth/token HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(FORM)
)
PATH = "/experience/delivery/v2/projects"
CLIENTS = 8


@pytest.fixture
def house(production: Servers | None, tmp_path: Path) -> Iterator[House]:
    with gateways_alone(tmp_path, production) as house:
        yield house


def connected(house: House) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(port(house.gateway))), timeout=20)


def heard(connection: socket.socket) -> tuple[bytes, bytes]:
    """One answer, or all that comes until the end."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += connection.recv(65_536)
    head, _, body = got.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += connection.recv(65_536)
    return head, body


def refuses(house: House) -> bool:
    """Whether it comes to accept nobody."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            connected(house).close()
        except ConnectionError:
            return True
    return False


@pytest.mark.parametrize("times", [1, 2])
def test_what_is_in_flight_finishes_and_nobody_else_comes_in(house: House, times: int) -> None:
    house.start("gateway", "serve", "gateway")
    house.answers("gateway", f"{house.gateway}/healthz")
    with connected(house) as begun, connected(house) as kept:
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        heard(kept)
        kept.sendall(b"GET /readyz HTTP/1.1\r\n")
        begun.sendall(TOKEN + FORM[:5])
        process = house.processes["gateway"]
        process.send_signal(signal.SIGTERM)

        assert refuses(house)
        kept.sendall(b"Host: 127.0.0.1\r\n\r\n")
        head, body = heard(kept)
        for _ in range(times - 1):
            process.send_signal(signal.SIGTERM)
        begun.sendall(FORM[5:])
        last, _ = heard(begun)

    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["detail"] == "Not ready: this process is leaving."
    assert b"connection: close" in head
    assert last.startswith(b"HTTP/1.1 401 ")  # the client did not say who it is
    assert b"connection: close" in last
    assert process.wait(20) == 0
    assert not house.pid_file("gateway").exists()


def test_load_balancers_are_given_time_to_notice(house: House) -> None:
    house.start("gateway", "serve", "gateway", THROUGHLINE_DRAIN="60")
    house.answers("gateway", f"{house.gateway}/healthz")
    process = house.processes["gateway"]
    process.send_signal(signal.SIGTERM)

    house.answers("gateway", f"{house.gateway}/readyz", status=503)
    with connected(house) as late:
        late.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        head, _ = heard(late)

    assert head.startswith(b"HTTP/1.1 200 ")
    process.send_signal(signal.SIGTERM)  # who is in a hurry says it twice
    assert process.wait(30) == 0


class Load:
    """Clients that keep their connections until an answer says that it was the last."""

    def __init__(self, house: House, token: str) -> None:
        self.port = int(port(house.gateway))
        self.request = (
            f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self.answers: list[bytes] = []
        self.failures: list[str] = []
        self.opened = 0
        self.over = asyncio.Event()

    async def client(self, pause: float) -> None:
        while not self.over.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.opened += 1
                while await self.asks(reader, writer) and not self.over.is_set():  # noqa: ASYNC110 - its pace
                    await asyncio.sleep(pause)
                writer.close()
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                self.failures.append(repr(error))

    async def asks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request on a connection; whether another may follow."""
        writer.write(self.request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        self.answers.append(head.split(b" ", 2)[1])
        return b"connection: close" not in head

    async def more(self, count: int) -> None:
        """Wait for so many more answers."""
        wanted = len(self.answers) + count
        async with asyncio.timeout(60):
            while len(self.answers) < wanted:  # noqa: ASYNC110 - several clients count
                await asyncio.sleep(0.01)


async def restarted(house: House, part: str, load: Load) -> int:
    """Stop one of two and start it again; its exit code."""
    process = house.processes.pop(part)
    process.send_signal(signal.SIGTERM)
    code = await asyncio.to_thread(process.wait, 30)
    await load.more(100)
    await asyncio.to_thread(starts, house, part)
    await load.more(100)
    return code


def starts(house: House, part: str) -> None:
    """One more gateway on the same port, from its start until it takes connections."""
    log = house.home / "logs" / f"{part}.log"
    before = log.read_text().count("process.ready") if log.exists() else 0
    house.start(part, "serve", "gateway")
    end = time.monotonic() + 60
    while log.read_text().count("process.ready") == before:
        assert time.monotonic() < end, house.told(part)
        time.sleep(0.05)


@pytest.mark.several_hosts
async def test_two_gateways_on_one_port_restart_in_turn_and_nobody_notices(house: House) -> None:
    tier = house.tiers["experience"]
    house.start("experience", "serve", "experience", "--port", port(tier))
    house.env["THROUGHLINE_PEERS"] += f",experience={tier}"
    for part in ("gateway", "gateway-2"):
        await asyncio.to_thread(starts, house, part)
    assert int(house.pid_file("gateway-2").read_text()) == house.processes["gateway-2"].pid
    secret = json.loads((house.home / "clients.json").read_text())["demo"]["client_secret"]
    asked = {"grant_type": "client_credentials", "scope": "projects.read"}
    given = house.http.post(f"{house.gateway}/oauth/token", data=asked, auth=("demo", secret))
    load = Load(house, given.json()["access_token"])
    clients = [asyncio.create_task(load.client(pause=0.05 + n * 0.02)) for n in range(CLIENTS)]
    await load.more(100)

    codes = [await restarted(house, part, load) for part in ("gateway", "gateway-2")]
    load.over.set()
    await asyncio.gather(*clients)

    assert load.failures == []
    assert set(load.answers) == {b"200"}
    assert codes == [0, 0]
    assert load.opened > CLIENTS
