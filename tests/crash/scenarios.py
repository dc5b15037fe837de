"""Beyond plain kills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.crash.harness import Firm


@dataclass
class Told:
    expected: dict[str, str] = field(default_factory=dict)
    wrong: str = ""
    kills: int = 0


SCENARIOS: dict[str, Callable[..., str]] = {}


def play(firm: Firm, scenario: Callable[..., str], n: int) -> Told:
    return Told()
