"""Misbehaviour on request: which call of a sandbox goes wrong, and how."""

from __future__ import annotations

import random
import zlib
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec

from apis.runtime.sandbox_wire import Answer

SPOILED = frozenset({"truncate", "drift", "empty", "flood", "bomb", "drip"})
"""Faults of an answer: the vendor has acted."""
CLAIMED = frozenset({"error-as-success", "redirect"})
"""Faults of an answer to a call that the vendor refused."""
KINDS = frozenset(
    {
        *("throttle", "error", "lock", "expire-token", "html", "maintenance"),
        *("timeout-before-commit", "timeout-after-commit", "hide", *SPOILED, *CLAIMED),
    }
)
OK, NO_CONTENT = 200, 204
FLOOD, BOMB, DRIPS = 12_000_000, 50_000_000, 20
ELSEWHERE = "http://elsewhere.example/"


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One planned misbehaviour; without `nth` every call meets it, with `rate` a share of them."""

    operation: str
    fault: str
    nth: Annotated[int, msgspec.Meta(ge=1)] | None = None
    seconds: Annotated[float, msgspec.Meta(ge=0)] = 5
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    seed: int = 0
    seen: int = 0
    fired: int = 0
    until: float = 0

    def __post_init__(self) -> None:
        if self.fault not in KINDS:
            msg = f"no fault {self.fault!r}: one of {', '.join(sorted(KINDS))}"
            raise ValueError(msg)


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """How answers look after a schema change: members renamed or gone, some values as text."""

    renamed: Mapping[str, str]
    gone: frozenset[str]
    texts: tuple[type, ...] = (int, float)

    def of(self, body: bytes) -> bytes:
        """The same answer after the change."""
        return msgspec.json.encode(self._changed(msgspec.json.decode(body))) if body else body

    def _changed(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._changed(item) for item in value]
        if isinstance(value, dict):
            return {
                self.renamed.get(name, name): self._changed(each)
                for name, each in value.items()
                if name not in self.gone
            }
        return str(value) if type(value) in self.texts else value


class Faults:
    """The plan since the last PUT; counts calls per operation and says what befalls each."""

    def __init__(self, operations: Collection[str]) -> None:
        self.plan: list[Fault] = []
        self._dice: list[random.Random] = []
        self._operations = operations

    def put(self, body: bytes) -> list[Fault]:
        """Replace the plan, all counts begin again; ValueError for one that can never be met."""
        plan = msgspec.json.decode(body, type=list[Fault])
        for fault in plan:
            self._check(fault.operation)
            fault.seen, fault.fired, fault.until = 0, 0, 0
        self.plan = plan
        self._dice = [random.Random(f.seed) for f in plan]  # noqa: S311 - repeatable dice
        return self.plan

    def clear(self) -> None:
        """No faults."""
        self.plan, self._dice = [], []

    def _check(self, pattern: str) -> None:
        """Refuse a pattern that names no operation, with the names that come next to it."""
        if any(fnmatchcase(name, pattern) for name in self._operations):
            return
        verbs: dict[str, list[str]] = {}
        for name in sorted(self._operations):
            verbs.setdefault(name.rpartition(".")[0], []).append(name)
        kind = pattern.rpartition(".")[0]
        near = [name for each in verbs if fnmatchcase(each, kind) for name in verbs[each]]
        allowed = near or [f"{each}.*" for each in verbs]
        msg = f"no operation {pattern!r}: one of {', '.join(allowed)}"
        raise ValueError(msg)

    def meet(self, operations: list[str], now: float) -> tuple[Fault, int] | None:
        """The fault this call meets and which of its operations met it; maintenance first."""
        met: tuple[Fault, int] | None = None
        for fault in self.plan:
            if fault.until > now:
                fault.fired += 1
                return fault, 0
        for fault, dice in zip(self.plan, self._dice, strict=True):
            for index, operation in enumerate(operations):
                if self._hits(fault, dice, operation) and met is None:
                    met = fault, index
        if met:
            met[0].fired += 1
            if met[0].fault == "maintenance":
                met[0].until = now + met[0].seconds
        return met

    @staticmethod
    def _hits(fault: Fault, dice: random.Random, operation: str) -> bool:
        if not fnmatchcase(operation, fault.operation):
            return False
        fault.seen += 1
        if fault.nth:
            return fault.seen == fault.nth
        if fault.fault == "maintenance":
            return fault.until == 0
        return fault.rate >= 1 or dice.random() < fault.rate


def spoiled(fault: Fault, answer: Answer, drift: Drift) -> Answer:
    """The answer as this fault leaves it; one without content gets some where it needs it."""
    kind, body = fault.fault, answer.body
    if kind in {"empty", "error-as-success"} or answer.status == NO_CONTENT:
        answer.status = NO_CONTENT if kind in {"truncate", "drift"} else OK
    match kind:
        case "truncate":
            answer.body = body[: len(body) // 2]
        case "drift":
            answer.body = drift.of(body)
        case "empty":
            answer.body, answer.headers = b"", {}
        case "flood":
            answer.body = b" " * FLOOD + body
        case "bomb":
            answer.body = packed(b" " * BOMB + body)
            answer.headers["content-encoding"] = "gzip"
        case "drip":
            answer.body, answer.drips = b" " * DRIPS + body, DRIPS
            answer.drip_s = fault.seconds / DRIPS
        case "redirect":
            answer.status, answer.body, answer.headers = 302, b"", {"location": ELSEWHERE}
    return answer


def packed(body: bytes) -> bytes:
    """As gzip packs it."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(body) + packer.flush()
