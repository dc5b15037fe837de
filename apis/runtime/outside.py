"""How a problem is told to callers: an absolute `type`, our own codes, nothing of our hops."""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from contracts.errors import ERRORS, FieldError, Problem, error_of

OF_A_VENDOR = re.compile(r"[a-z0-9_-]+\.[A-Z0-9_]+")
VENDOR_CODES = {
    "Rejected": "vendor.rejected",
    "Conflict": "vendor.conflict",
    "NotFound": "vendor.not-found",
    "Misconfigured": "vendor.misconfigured",
    "Throttled": "vendor.throttled",
    "Unavailable": "vendor.unavailable",
    "Transient": "vendor.unavailable",
}
"""What a vendor's code is called outside, by the class of its error."""


def outward(problem: Problem, issuer: str, vendors: Collection[str]) -> Problem:
    """The same problem as it may leave; `vendors` are those whose codes are not ours."""
    name, dot, own = problem.code.partition(".")
    if dot and (name in vendors or OF_A_VENDOR.fullmatch(problem.code)):
        problem = of_vendor(problem, name if name in vendors else None, own)
    return msgspec.structs.replace(problem, type=f"{issuer}/problems/{problem.code}", kind=None)


def of_vendor(problem: Problem, vendor: str | None, own: str) -> Problem:
    """A vendor's refusal under our code; its own one stays as evidence."""
    kind = problem.kind if problem.kind in ERRORS else type(error_of(problem)).__name__
    errors = problem.errors
    if own not in {each.code for each in errors}:
        evidence = FieldError(pointer="", code=own, message=problem.detail or problem.title)
        errors = (evidence, *errors)
    return msgspec.structs.replace(
        problem,
        code=VENDOR_CODES.get(kind, "vendor.failed"),
        source=problem.source or vendor,
        errors=errors,
    )
