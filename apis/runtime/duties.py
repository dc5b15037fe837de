"""Segregation of duties: who did one thing for a record may not do another, as one person."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import msgspec

from apis.runtime.context import Context
from apis.runtime.metadata import Duty


class Act(msgspec.Struct, frozen=True):
    """What was done for a record, and by whom: clients of one person are one."""

    did: str
    by: tuple[str | None, ...]
    run_id: str | None = None


def same_person(one: Context, others: Iterable[str | None]) -> bool:
    """Two are the same if subject or person is equal, however it is spelt."""
    mine = {name.casefold() for name in (one.actor, one.person) if name}
    return not mine.isdisjoint(other.casefold() for other in others if other)


def broken(
    duties: Iterable[Duty], decision: str, by: Context, acts: Iterable[Act], entity: str | None
) -> str | None:
    """What this person did before that forbids the decision, if a duty in force says so."""
    forbidden = {
        duty.did for duty in duties if duty.may_not == decision and duty.entity in (None, entity)
    }
    done = (act.did for act in acts if act.did in forbidden and same_person(by, act.by))
    return next(done, None)


def in_force(duties: Iterable[Duty], on: date) -> tuple[Duty, ...]:
    """The duties that hold on a day."""
    return tuple(duty for duty in duties if (duty.valid_from or on) <= on)
