"""Errors cross tiers as problem documents and arrive as themselves."""

from __future__ import annotations

import msgspec
import pytest

from contracts.errors import (
    ERRORS,
    FieldError,
    Problem,
    Rejected,
    ThroughlineError,
    error_of,
    problem_of,
)

PARAMETER = FieldError(pointer="", parameter="state", code="unknown-value", message="cannot be x")


@pytest.mark.parametrize("kind", ERRORS.values())
def test_an_error_arrives_at_the_next_tier_as_itself(kind: type[ThroughlineError]) -> None:
    sent = kind("deal.late", "too late", errors=(PARAMETER,), owner="sales", remedy="be early")

    wire = msgspec.json.encode(problem_of(sent))
    arrived = error_of(msgspec.json.decode(wire, type=Problem))

    assert (type(arrived), arrived.code, arrived.detail) == (kind, "deal.late", "too late")
    assert (arrived.errors, arrived.owner, arrived.remedy) == ((PARAMETER,), "sales", "be early")
    assert arrived.status == kind.status


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (None, "A rule was not met"),
        (403, "You may not do this"),
        (401, "It is not known who asks"),
        (413, "A rule was not met"),
    ],
)
def test_what_may_not_be_done_is_not_called_a_rule(status: int | None, title: str) -> None:
    problem = problem_of(Rejected("work-item.not-yours", status=status))

    assert (problem.title, problem.status) == (title, status or 422)


def test_a_refused_field_of_the_body_needs_no_parameter() -> None:
    error = FieldError(
        pointer="/deal/external_id", code="missing", message="external_id is missing"
    )

    assert "parameter" not in msgspec.to_builtins(error)
