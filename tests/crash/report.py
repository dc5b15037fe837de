"""What the matrix prints: the boundaries, every row that failed, and one summary per store."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.crash import books, oracle
from tests.crash.facts import Facts
from tests.crash.harness import LEASE_S, Firm
from tests.crash.matrix import Row

SUMMED = (
    *("rows", "deals", "kills", "tried_again", "isolated", "calls_repeated", "effects_repeated"),
    *("found", "fired", "failures", "again"),
)


def say(text: str = "") -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass
class Report:
    """What one firm showed, or all of one store."""

    store: str
    began: float = field(default_factory=time.monotonic)
    boundaries: int = 0
    rows: int = 0
    deals: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    tried_again: int = 0
    isolated: int = 0
    calls_repeated: int = 0
    effects_repeated: int = 0
    found: int = 0
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)

    def counted(self, rows: list[Row]) -> None:
        """The boundaries of this store, by kind."""
        names = {(row.role, row.name) for row in rows}
        self.boundaries = len(names)
        kinds = Counter(f"{role} {name.split()[0]}" for role, name in names)
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        say(f"{self.store}: {self.boundaries} boundaries: {told}")
        say(f"{self.store}: {len(rows)} rows, leases of {LEASE_S} s")

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
        if not wrong:
            say(f"  {self.store:<10} {option:<34} {seconds:5.1f} s  {name}")
            return
        self.failures.append(f"{name}: {wrong}")
        self.again.append(f"python -m tests.crash --store {self.store} {option}")
        say(f"  FAILED {name}: {wrong}")
        say(f"         again: {self.again[-1]}")

    def judged(
        self, firm: Firm, facts: Facts, found: list[tuple[str, str, str]], owners: dict[str, str]
    ) -> None:
        """What the oracle found in one firm, each violation with the row it belongs to."""
        self.deals += len(facts.expected)
        self.found += len(found)
        self.fired += firm.fired
        self.isolated += firm.isolated
        self.calls_repeated += oracle.calls_repeated(facts)
        things = Counter((*oracle.things(facts), *books.things(facts)))
        self.effects_repeated += things.total() - len(things)
        for violation in found:
            self._told(violation, owners)

    def _told(self, violation: tuple[str, str, str], owners: dict[str, str]) -> None:
        invariant, where, what = violation
        option = next((row for deal, row in owners.items() if deal in where), "")
        again = f"python -m tests.crash --store {self.store} {option}"
        self.failures.append(f"{invariant}: {where}: {what}")
        if not option or again not in self.again:  # a row that failed is told once
            say(f"  VIOLATION {invariant}: {where}: {what}")
            say(f"            again: {again}")
            self.again.append(again)

    def add(self, part: Report) -> None:
        """Take in what one firm showed."""
        self.boundaries = max(self.boundaries, part.boundaries)
        for name in SUMMED:
            setattr(self, name, getattr(self, name) + getattr(part, name))

    def total(self) -> None:
        """The summary of the store."""
        kills = ", ".join(f"{count} {whose}" for whose, count in sorted(self.kills.items()))
        fired = ", ".join(
            f"{count} {fault} at {vendor}" for (vendor, fault), count in sorted(self.fired.items())
        )
        say(f"{self.store}: kills that hit {self.kills.total()} ({kills}), faults fired {fired}")
        say(
            f"{self.store}: boundaries {self.boundaries}, rows {self.rows}"
            f" (tried again {self.tried_again}, isolated by a busy machine {self.isolated}),"
            f" deals {self.deals}, calls repeated {self.calls_repeated},"
            f" effects repeated {self.effects_repeated}, violations {self.found},"
            f" failures {len(self.failures)}, {time.monotonic() - self.began:.0f} s"
        )
