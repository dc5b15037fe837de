"""Three times what the gateway can do, for a minute: what it answers, what it costs, what stays."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Figure, say
from tests.benchmarks.gateway import CONNECTIONS, OTHER, THREE_TIERS, Peer, in_turns, shipped
from tests.benchmarks.loaded import pinned, script
from tests.benchmarks.product import home, rss_mb

SECONDS = float(os.environ.get("OVERLOAD_SECONDS", "60"))
PEAK_S, AFTER_S, SETTLE_S = 2, 2, 10
TIMES = 3
MOST = 1_500  # connections: more than the gateway works on at once
MB = 50
WANTED = {"200", "429", "503"}


def overload() -> list[Figure]:
    """The route of three tiers: peak, three times that, and what it does afterwards."""
    with ExitStack() as stack:
        folder, spare = (stack.enter_context(home()) for _ in range(2))
        port, pid, token = stack.enter_context(shipped(folder))
        ours = asking(folder, port, pid, token)
        spared = asking(spare, *stack.enter_context(shipped(spare)))
        peak = in_turns({"ours": ours}, CONNECTIONS, PEAK_S)["ours"]
        request = folder / "request"
        head = f"GET {THREE_TIERS} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}"
        request.write_text(f"{head}\r\n\r\n", newline="")
        asked(port, request, TIMES * peak.rate, 2)
        before = rss_mb(pid)
        seen = asked(port, request, TIMES * peak.rate, SECONDS)
        grown = rss_mb(pid) - before
        time.sleep(SETTLE_S)
        after = in_turns({"ours": ours, "spared": spared}, CONNECTIONS, AFTER_S)
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
        Figure("... rate ten seconds later, of one that was spared",
               after["ours"].rate / after["spared"].rate, "", 0.9, best="high",
               beside=f"{after['ours'].rate:,.0f} and {after['spared'].rate:,.0f}/s, in turns"),
    ]  # fmt: skip


def asking(folder: Path, port: int, pid: int, token: str) -> Peer:
    """The route of three tiers of a gateway."""
    url = f"http://127.0.0.1:{port}{THREE_TIERS}"
    return Peer(url, pid, script(folder, "tiers", "GET", token))


def asked(port: int, request: Path, rate: float, seconds: float) -> dict[str, Any]:
    """What callers that do not wait see."""
    command = [sys.executable, "-m", "tests.benchmarks.open_loop", "--port", port, "--rate", rate]
    command += ["--seconds", seconds, "--most", MOST, "--request", request]
    with pinned(OTHER, command, log=request.with_suffix(".log")) as run:
        text = run.communicate()[0]
    told: dict[str, Any] = json.loads(text)
    return told
