"""What every problem means: one table over the gateway's refusals, OAuth's words and our codes."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from apis.gateway.exchange import Outside
from apis.gateway.guard import REFUSALS, Refusal
from apis.runtime.typed_yaml import read_yaml
from contracts.errors import ERRORS, problem_of

FILE = Path(__file__).parents[1] / "problems.yaml"
LIKE_A_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
REQUEST = {
    "request_id": "0f8c4d5e6a7b4c1d9e2f3a4b5c6d7e8f",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
}
Kind = Literal[
    "ThroughlineError", "Transient", "Throttled", "Unavailable", "Rejected", "Conflict",
    "NotFound", "Misconfigured",
]  # fmt: skip


class OfATier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A problem that a tier, a flow or the command line tells."""

    kind: Kind
    owner: str
    title: str
    cause: str
    remedy: str
    status: int | None = None


class OfAToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer of the token endpoint."""

    status: int
    title: str
    cause: str
    remedy: str


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`apis/problems.yaml`."""

    gateway: dict[str, str]
    tokens: dict[str, OfAToken]
    problems: dict[str, OfATier]


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page says of one problem; `example` is what a caller gets."""

    code: str
    status: int
    title: str
    cause: str
    remedy: str
    owner: str
    retryable: bool
    type: str
    family: bool = False
    """Whether `code` has a `*`, in whose place any words may stand."""
    example: dict[str, Any]


@cache
def table() -> Table:
    """The file, read once."""
    return read_yaml(FILE.name, FILE.read_text("utf-8"), Table)[0]


class Problems:
    """What is known of problems, told with this gateway's own addresses."""

    def __init__(self, issuer: str) -> None:
        self._outside = Outside(issuer, ())
        self._issuer = issuer

    @property
    def codes(self) -> list[str]:
        """Every code by the alphabet, then the families of codes."""
        known = table()
        every = {*REFUSALS, *known.tokens, *known.problems}
        return sorted(every, key=lambda code: ("*" in code, code))

    def of(self, code: str) -> Told | None:
        """What a code means, by itself or by the family it belongs to."""
        known = table()
        if code in REFUSALS:
            return self._refusal(code)
        if code in known.tokens:
            return self._token(code, known.tokens[code])
        name = family_of(code, known.problems)
        return self._problem(code, name, known.problems[name]) if name else None

    def _refusal(self, code: str) -> Told:
        problem = self._outside.refused(Refusal(code))
        return Told(
            code=code,
            status=problem.status,
            title=problem.title,
            cause=table().gateway.get(code, ""),
            remedy=problem.remedy or "",
            owner=problem.owner or "",
            retryable=bool(problem.retryable),
            type=problem.type,
            example=msgspec.to_builtins(problem) | REQUEST,
        )

    def _problem(self, code: str, name: str, row: OfATier) -> Told:
        shown = code.replace("*", "example")
        error = ERRORS[row.kind](shown, owner=row.owner, remedy=row.remedy, status=row.status)
        problem = self._outside.told(problem_of(error))
        return Told(
            code=code,
            status=problem.status,
            title=row.title,
            cause=row.cause,
            remedy=row.remedy,
            owner=row.owner,
            retryable=error.retryable,
            type=problem.type,
            family="*" in name,
            example=msgspec.to_builtins(problem) | REQUEST,
        )

    def _token(self, code: str, row: OfAToken) -> Told:
        return Told(
            code=code,
            status=row.status,
            title=row.title,
            cause=row.cause,
            remedy=row.remedy,
            owner="caller",
            retryable=False,
            type=f"{self._issuer}/problems/{code}",
            example={"error": code, "error_description": f"{row.title}."},
        )


def family_of(code: str, known: dict[str, OfATier]) -> str | None:
    """The row of a code: its own, else the family that says most of it."""
    if code in known:
        return code
    families = sorted((each for each in known if "*" in each), key=len, reverse=True)
    return next((each for each in families if _pattern(each).fullmatch(code)), None)


@cache
def _pattern(family: str) -> re.Pattern[str]:
    return re.compile("[a-z0-9-]+".join(map(re.escape, family.split("*"))))
