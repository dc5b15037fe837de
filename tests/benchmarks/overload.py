"""Three times what the gateway can do, for a minute: what it answers, what it costs, what stays."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, say
from tests.benchmarks.gateway import CONNECTIONS, OTHER, THREE_TIERS, shipped
from tests.benchmarks.loaded import pinned, script, wrk
from tests.benchmarks.product import home, rss_mb

SECONDS = float(os.environ.get("OVERLOAD_SECONDS", "60"))
PEAK_S, AFTER_S, SETTLE_S = 5, 5, 10
TIMES = 3
MOST = 1_500  # connections: more than the gateway works on at once
MB = 50
WANTED = {"200", "429", "503"}


def overload() -> list[Figure]:
    """The route of three tiers: peak, three times that, and ten seconds later."""
    with home() as folder, shipped(folder) as (port, pid, token):
        asks, url = script(folder, "tiers", "GET", token), f"http://127.0.0.1:{port}{THREE_TIERS}"
        peak = wrk(OTHER, asks, url, pid, connections=CONNECTIONS, seconds=PEAK_S)
        request = folder / "request"
        head = f"GET {THREE_TIERS} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}"
        request.write_text(f"{head}\r\n\r\n", newline="")
        asked(port, request, TIMES * peak.rate, 2)
        before = rss_mb(pid)
        seen = asked(port, request, TIMES * peak.rate, SECONDS)
        grown = rss_mb(pid) - before
        time.sleep(SETTLE_S)
        after = wrk(OTHER, asks, url, pid, connections=CONNECTIONS, seconds=AFTER_S)
    say(f"  {seen}")
    other = sum(count for told, count in seen["statuses"].items() if told not in WANTED)
    p50, p99 = seen["ms"]["200"]
    rate = f"{TIMES} x {peak.rate:,.0f}/s asked for {SECONDS:g} s, {seen['kept_back']} not sent"
    bad = other + seen["without"] + seen["unanswered"]
    return [
        Figure("overload: answers that are no 2xx, 429, 503", bad, "", 0, beside=rate),
        Figure("... served, of the peak", seen["served"] / peak.rate, "", 0.5, 0.9, "high",
               beside=f"p50 {p50:.0f}, p99 {p99:.0f} ms; at the peak p50 {peak.p50_ms:.0f} ms"),
        Figure("... memory", grown, "MB", MB, beside=f"from {before:.0f} MB"),
        Figure("... rate ten seconds later, of the peak", after.rate / peak.rate, "", 0.9,
               best="high"),
    ]  # fmt: skip


def asked(port: int, request: Path, rate: float, seconds: float) -> dict[str, Any]:
    """What callers that do not wait see."""
    command = [sys.executable, "-m", "tests.benchmarks.open_loop", "--port", port, "--rate", rate]
    command += ["--seconds", seconds, "--most", MOST, "--request", request]
    with pinned(OTHER, command, log=request.with_suffix(".log")) as run:
        text = run.communicate()[0]
    told: dict[str, Any] = json.loads(text)
    return told
