"""What an open run has recorded, handed to its dry run: that shows what is still to come."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Literal

Kind = Literal["done", "left", "approval"]
"""A step that is done, one that a person abandoned, and what was decided about an approval."""
ENDS = frozenset({"abandon", "reject"})


class Replay:
    """Recorded events in their order; each is taken once."""

    def __init__(self, recorded: Iterable[tuple[str, Any]] = ()) -> None:
        self._left = deque(events(recorded))

    def __len__(self) -> int:
        return len(self._left)

    def taken(self, kind: Kind, name: str = "") -> dict[str, Any] | None:
        """What was recorded, if it is this that comes next."""
        if self._left and self._left[0][:2] == (kind, name):
            return self._left.popleft()[2]
        return None


def events(recorded: Iterable[tuple[str, Any]]) -> Iterable[tuple[Kind, str, dict[str, Any]]]:
    """What steps have answered and people decided, without pauses and what was tried in vain."""
    asking: str | None = None
    for name, value in recorded:
        if not isinstance(value, dict):
            continue
        if "ok" in value and not name.endswith(".adopt"):
            yield "done", name, value
        elif (decision := value.get("decision")) and decision != "due":
            if asking is None:
                yield "approval", "", value
            elif decision in ENDS:
                yield "left", asking, value
        asking = name if "park" in value else None
