"""Programs of others that a benchmark stands on: nginx and wrk, and a peer with its own packages.

Used where they are installed, else fetched into `var/benchmarks`: no system service, no root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.product import READY_S, cpu_s
from tests.servers import ROOT, unpacked

KEPT = ROOT / "var" / "benchmarks"
DEBIAN = KEPT / "debian"
PEER = KEPT / "peer"
LOCK = ROOT / "tests" / "benchmarks" / "peer" / "requirements.lock"
STOP_S = 10
UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}
RATE = re.compile(r"^Requests/sec: +([\d.]+)", re.MULTILINE)
TOTAL = re.compile(r"^ +(\d+) requests in", re.MULTILINE)
P50 = re.compile(r"^ +50% +([\d.]+)(us|ms|s|m)$", re.MULTILINE)
BAD = re.compile(r"Non-2xx or 3xx responses: \d+|Socket errors: .*")


def program(name: str) -> str:
    """Where nginx or wrk is."""
    if found := shutil.which(name):
        return found
    for place in ("usr/sbin", "usr/bin"):
        if (path := DEBIAN / place / name).exists():
            return str(path)
    unpacked(DEBIAN, "nginx-light", "wrk", advice="install them")
    return program(name)


def peer_python() -> str:
    """The interpreter of the FastAPI peer, with what its lock names."""
    python = PEER / "bin" / "python"
    done = PEER / ".ready"
    if not done.exists() or done.read_text() != LOCK.read_text():
        KEPT.mkdir(parents=True, exist_ok=True)
        base = {"PYTHON": str(getattr(sys, "_base_executable", sys.executable))}
        subprocess.run(["sh", ".ci/venv", PEER, LOCK], cwd=ROOT, env=os.environ | base, check=True)
        done.write_text(LOCK.read_text())
    return str(python)


@contextmanager
def pinned(
    core: int, command: Sequence[object], env: Mapping[str, str] | None = None, *, log: Path
) -> Iterator[subprocess.Popen[str]]:
    """A process that has one core."""
    with log.open("w") as errors:
        started = subprocess.Popen(
            [str(part) for part in command], stdout=subprocess.PIPE, stderr=errors, text=True,
            env=os.environ | (env or {}), preexec_fn=lambda: os.sched_setaffinity(0, {core}),  # noqa: PLW1509 - nothing else runs in us
        )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(STOP_S)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


NGINX = """
daemon off; master_process off; pid {folder}/{name}.pid; error_log {folder}/{name}.err crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder};
  {more}
  server {{ listen 127.0.0.1:{port} backlog=4096; {location} }}
}}
"""
ANSWER = 'location / {{ default_type application/json; return 200 \'{{"note":"{}"}}\'; }}'


PROXY = """location / {{
  proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";
}}"""
UPSTREAM = """upstream up {{
  server 127.0.0.1:{}; keepalive 64; keepalive_requests 1000000000;
}}"""


@contextmanager
def answering(core: int, folder: Path, port: int, size: int) -> Iterator[int]:
    """The upstream, an nginx: so many bytes, at once; its pid."""
    location = ANSWER.format("x" * (size - 11))
    with nginx(core, folder, "upstream", {"port": port, "location": location}) as pid:
        yield pid


@contextmanager
def proxying(core: int, folder: Path, port: int, upstream: int) -> Iterator[int]:
    """An nginx as a plain proxy before it, with kept connections; its pid."""
    more = {"location": PROXY.format(), "more": UPSTREAM.format(upstream)}
    with nginx(core, folder, "proxy", {"port": port, **more}) as pid:
        yield pid


@contextmanager
def nginx(core: int, folder: Path, name: str, values: dict[str, object]) -> Iterator[int]:
    """An nginx of one process."""
    conf = folder / f"{name}.conf"
    conf.write_text(NGINX.format(**{"more": "", "folder": folder, "name": name} | values))
    command = [program("nginx"), "-p", folder, "-e", f"{folder}/{name}.err", "-c", conf]
    with pinned(core, command, log=folder / f"{name}.log") as started:
        yield started.pid


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw, and what it cost the server."""

    rate: float
    p50_ms: float
    requests: int
    cpu_s: float

    @property
    def capacity(self) -> float:
        """What one core could do if nothing else were the limit."""
        return self.requests / self.cpu_s


def wrk(core: int, script: Path, url: str, pid: int, *, connections: int, seconds: float) -> Load:
    """Ask as fast as it goes; every answer must be a success."""
    command = [
        program("wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "30s",
        "--latency",
        "-s",
        script,
        url,
    ]
    libraries = ":".join({str(path.parent) for path in DEBIAN.glob("usr/lib/**/*.so*")})
    before = cpu_s(pid)
    with pinned(
        core, command, {"LD_LIBRARY_PATH": libraries}, log=script.with_suffix(".log")
    ) as run:
        text = run.communicate()[0]
    spent = cpu_s(pid) - before
    if bad := BAD.search(text):
        raise RuntimeError(f"{url}: {bad[0]}\n{text}")
    rate, total, p50 = RATE.search(text), TOTAL.search(text), P50.search(text)
    if rate is None or total is None or p50 is None:
        raise RuntimeError(f"wrk said: {text}")
    return Load(float(rate[1]), float(p50[1]) * UNITS[p50[2]], int(total[1]), spent)


def script(folder: Path, name: str, method: str, token: str, body: bytes = b"") -> Path:
    """A request of wrk's."""
    path = folder / f"{name}.lua"
    text = f'wrk.method = "{method}"\nwrk.headers["Authorization"] = "Bearer {token}"\n'
    if body:
        text += f'wrk.headers["Content-Type"] = "application/json"\nwrk.body = {lua(body)}\n'
    path.write_text(text)
    return path


def lua(body: bytes) -> str:
    """Bytes as a literal."""
    return f"[==[{body.decode()}]==]"


def wait_for(url: str, log: Path) -> None:
    """Return when somebody answers there, whatever."""
    import httpx  # noqa: PLC0415 - as late as possible: it costs memory that a child would inherit

    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            httpx.get(url, trust_env=False, timeout=1)
        except httpx.HTTPError:
            time.sleep(0.02)
        else:
            return
    raise RuntimeError(f"{url} does not answer:\n{log.read_text()[-2000:]}")
