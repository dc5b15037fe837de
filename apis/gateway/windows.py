"""The limits of the policy file: one window or several, each with its name on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from apis.gateway.policy import Plan, Recording, Windows
from apis.runtime.limits import Limit, parse_limit
from apis.runtime.typed_yaml import Finding, Place

CONCURRENCY = "concurrency"
_UNITS = {"s": "second", "min": "minute", "h": "hour", "day": "day"}


class Window(NamedTuple):
    """One limit: its name in the `RateLimit` fields, its place in the policy file."""

    name: str
    limit: Limit
    rule: str


Named = tuple[Window, ...]
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")


def counted_at(target: str) -> str:
    """Where the limits of an operation are counted: with those of all versions of its API."""
    return f":{target.rpartition('/')[0]}:"


def named(
    name: str, written: Windows | None, place: Place, found: list[Finding], **more: Any
) -> Named:
    """Each window with its name: `rate`, of several `rate-per-second`, or as the file calls it."""
    if written is None:
        return ()
    if isinstance(written, str):
        each = [(name, place, written)]
    elif isinstance(written, dict):
        each = [(own, (*place, own), text) for own, text in written.items()]
    else:
        each = [(_called(name, text), (*place, n), text) for n, text in enumerate(written)]
    limits = []
    seen: set[str] = set()
    for called, at, text in each:
        try:
            rule = ".".join(map(str, at))
            limits.append(Window(called, parse_limit(text, **more), rule))
        except ValueError as error:
            found.append((at, str(error)))
        if called in seen:
            found.append((at, "two limits for the same window: give them names"))
        if not _NAME.fullmatch(called):
            found.append((at, "a limit is named with letters, digits and -"))
        seen.add(called)
    if not each:
        found.append((place, "no limit is named here"))
    return tuple(limits)


def _called(name: str, written: str) -> str:
    return f"{name}-per-{_UNITS.get(written.rpartition('/')[2], 'window')}"


def plan_limits(name: str, plan: Plan, found: list[Finding]) -> Named:
    """The limits of a plan, and what is wrong with them."""
    place, loss = ("plans", name), plan.on_store_loss
    if plan.rate is None and plan.quota is None and plan.concurrency is None:
        found.append((place, "a plan needs a rate, a quota or a concurrency"))
    if plan.burst is not None and (plan.burst < 1 or not isinstance(plan.rate, str)):
        found.append(((*place, "burst"), "a burst is at least 1 and belongs to one rate"))
    if plan.concurrency is not None and plan.concurrency < 1:
        found.append(((*place, CONCURRENCY), "at least 1 call at once"))
    rate = named("rate", plan.rate, (*place, "rate"), found, burst=plan.burst, on_store_loss=loss)
    quota = named("quota", plan.quota, (*place, "quota"), found, quota=True, on_store_loss=loss)
    taken = {each.name for each in rate} | {CONCURRENCY}
    twice = [each.name for each in quota if each.name in taken]
    found += [((*place, "quota"), f"the name {name} is taken") for name in twice]
    return (*rate, *quota)


def recording_problems(recording: Recording) -> Iterator[Finding]:
    """What cannot be kept."""
    for name in ("days", "most", "counts_days"):
        if getattr(recording, name) < 1:
            yield ("decisions", name), "at least 1"
