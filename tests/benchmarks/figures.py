"""What a benchmark answers, and how it is printed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """One measured number; `best` says which direction is good, `beside` what stood next to it."""

    name: str
    value: float
    unit: str
    target: float | None = None
    moonshot: float | None = None
    best: Literal["low", "high"] = "low"
    beside: str = ""

    @property
    def met(self) -> str:
        """How the value stands to its target and moonshot, in words."""
        if self.target is None:
            return ""
        if not self._reaches(self.target):
            return "BELOW TARGET"
        if self.moonshot is not None and self._reaches(self.moonshot):
            return "moonshot"
        return "met"

    def _reaches(self, bar: float) -> bool:
        return self.value <= bar if self.best == "low" else self.value >= bar

    @property
    def bar(self) -> str:
        """The target as the table shows it."""
        sign = "<=" if self.best == "low" else ">="
        return "" if self.target is None else f"{sign} {self.target:g}"


def table(figures: Iterable[Figure]) -> str:
    """All figures as aligned columns."""
    head = ("figure", "value", "target", "moonshot", "", "beside")
    rows = [
        (
            each.name,
            f"{each.value:,.{places(each.value)}f} {each.unit}".strip(),
            each.bar,
            "" if each.moonshot is None else f"{each.moonshot:g}",
            each.met,
            each.beside,
        )
        for each in figures
    ]
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def places(value: float) -> int:
    """As many decimals as three digits need."""
    return 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0


def p(values: Sequence[float], share: float) -> float:
    """A percentile, such as p(values, 0.95)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def p50(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)


def say(text: str) -> None:
    """Progress, as it happens."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
