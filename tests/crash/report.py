"""What the matrix prints: the boundaries, every row that failed, and one summary per store."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.harness import LEASE_S
from tests.crash.matrix import Row
from tests.crash.oracle import Facts, calls_repeated, effects_repeated


def say(text: str = "") -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Report:
    """What one store showed."""

    store: str
    began: float = field(default_factory=time.monotonic)
    boundaries: int = 0
    rows: int = 0
    kills: int = 0
    tried_again: int = 0
    failures: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def counted(self, rows: list[Row]) -> None:
        """The boundaries of this store, by kind."""
        names = {(row.role, row.name) for row in rows}
        self.boundaries = len(names)
        kinds = Counter(f"{role} {name.split()[0]}" for role, name in names)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        say(f"{self.store}: {self.boundaries} boundaries: {told}")
        say(f"{self.store}: {len(rows)} rows to play, leases of {LEASE_S} s")

    def tested(self, wrong: list[str], plants: int) -> None:
        """What the oracle's own test showed."""
        self.failures += wrong
        for each in wrong:
            say(f"  ORACLE {each}")
        if not wrong:
            say(
                f"{self.store}: the oracle finds nothing in clean runs and {plants} planted defects"
            )

    def row(self, name: str, option: str, wrong: str, seconds: float) -> None:
        """One row or scenario that has been played."""
        self.rows += 1
        if wrong:
            self.failures.append(f"{name}: {wrong}")
            self.again.append(f"python -m tests.crash --store {self.store} {option}")
            say(f"  FAILED {name}: {wrong}")
            say(f"         again: {self.again[-1]}")
        else:
            say(f"  {option:<34} {seconds:5.1f} s  {name}")

    def verdict(
        self, facts: Facts, found: list[tuple[str, str, str]], owners: dict[str, str]
    ) -> None:
        """What the oracle found, each with the row it belongs to."""
        for invariant, where, what in found:
            option = next((row for deal, row in owners.items() if deal in where), "")
            again = f"python -m tests.crash --store {self.store} {option}"
            self.failures.append(f"{invariant}: {where}: {what}")
            if not option or again not in self.again:  # a row that failed is told once
                say(f"  VIOLATION {invariant}: {where}: {what}")
                say(f"            again: {again}")
                self.again.append(again)
        say(
            f"{self.store}: boundaries {self.boundaries}, rows {self.rows},"
            f" kills that hit {self.kills} (tried again {self.tried_again}),"
            f" deals {len(facts.expected)}, calls repeated {calls_repeated(facts)},"
            f" effects repeated {effects_repeated(facts)}, violations {len(found)},"
            f" failures {len(self.failures)}, {time.monotonic() - self.began:.0f} s"
        )

    def logs(self, home: Path) -> None:
        """Where to look when something failed."""
        if self.failures:
            say(f"{self.store}: logs in {home}")
