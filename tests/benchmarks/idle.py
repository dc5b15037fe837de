"""`throughline up`: how soon it is ready, and what it takes when nothing happens."""

from __future__ import annotations

import time

from tests.benchmarks.figures import Figure, p50
from tests.benchmarks.product import cpu_s, home, rss_mb, sandboxes, up

STARTS, QUIET_S, IDLE_S = 3, 3, 10


def idle() -> list[Figure]:
    """Starts on an empty home and on its own state; memory and CPU in a quiet stretch."""
    ready, spent = [], []
    with home() as folder, sandboxes(folder) as vendors:
        for _ in range(STARTS):
            with up(folder, vendors.urls) as product:
                ready.append(product.ready_s)
                spent.append(product.ready_cpu_s)
                time.sleep(QUIET_S)
                before = cpu_s(product.pid)
                time.sleep(IDLE_S if len(ready) == STARTS else 0)
                busy = (cpu_s(product.pid) - before) / IDLE_S * 100
                memory = rss_mb(product.pid)
    return [
        Figure(
            "`throughline up` ready, empty home",
            ready[0],
            "s",
            3,
            beside=f"{spent[0]:.1f} s of CPU",
        ),
        Figure(
            "`throughline up` ready, again",
            p50(ready[1:]),
            "s",
            3,
            beside=f"{p50(spent[1:]):.1f} s of CPU",
        ),
        Figure("`throughline up` idle memory", memory, "MB", 250),
        Figure("`throughline up` idle CPU", busy, "%", beside="of one core"),
    ]
