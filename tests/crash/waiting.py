"""Waiting for what must happen, and where a run is when it does not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
LOOK_S = 0.05
"""How often a file is looked at."""
PATIENCE_S = 60.0


class Stuck(Exception):
    """Something that must happen did not, in time."""


def until(
    what: str, look: Callable[[], T | None], seconds: float = PATIENCE_S, every: float = LOOK_S
) -> T:
    """The first answer that is not None or False; Stuck after so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(every)
    raise Stuck(f"{what}: not after {seconds:.0f} s")


def where(run: dict[str, Any] | None) -> str:
    """Where a run is: its state, its last step, and what that step or the run waits for."""
    if run is None:
        return "there is none"
    last = run["steps"][-1] if run["steps"] else "no step yet"
    return f"{run['state']}, since {run['since']}: {run['waiting'] or last}"
