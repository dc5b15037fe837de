"""What steps made: which records, what earlier runs left for this one, and what stays for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from apis.runtime import run_views

if TYPE_CHECKING:
    from apis.runtime.flow import Running, Step

OURS = "Throughline"


class Made(NamedTuple):
    """A step that is done, its value, and the records it wrote or deleted: system, kind, id."""

    step: Step[Any, Any]
    value: Any
    wrote: Sequence[dict[str, Any]] = ()


async def made_before(running: Running, steps: Iterable[Step[Any, Any]]) -> list[Made]:
    """What earlier runs for this record made by these steps, and nobody took back, in order."""
    known = {each.name: each for each in steps}
    engine, store, records = running.runtime.engine, running.runtime.store, running.runtime.records

    async def look() -> list[str]:
        return await store.read(run_views.ended_before, running.source, running.run_id)

    made: list[Made] = []
    for run_id in await (look() if running.plan else engine.step("runs_before", look)):
        for name, outcome in await engine.recorded(run_id):  # of a run that is over: for good
            done, _, undo = name.partition(".")
            if done not in known or not isinstance(outcome, dict) or "ok" not in outcome:
                continue
            if not undo:
                value, wrote = records.load(outcome["ok"]), outcome.get("wrote", ())
                made.append(Made(known[done], value, wrote))
            elif undo == "undo" and (mine := [each for each in made if each.step.name == done]):
                made.reverse()
                made.remove(mine[-1])
                made.reverse()
    return made


def take_over(running: Running, made: list[Made]) -> None:
    """Make this run answer for what earlier ones made: abandoned, it takes that back too."""
    running.done[:0] = made


def but_for(made: Made, taken: Iterable[dict[str, Any]]) -> Made:
    """What a step made, without what an undo that was given up half way had deleted by then."""
    gone = {(each["system"], each["id"]) for each in taken if each.get("gone")}
    return made._replace(
        wrote=[each for each in made.wrote if (each["system"], each["id"]) not in gone]
    )


def remains(left: Iterable[tuple[Made, str]]) -> list[str]:
    """What stays and why, in words: each record once, for the first reason that is given."""
    lines: dict[tuple[str, str], list[str]] = {}
    seen: set[tuple[str, ...]] = set()
    for made, why in left:
        if not made.wrote:
            lines.setdefault(("", why), [])
        for each in made.wrote:
            if each.get("gone"):
                continue
            what = f"{each['system']} {each['object'].replace('-', ' ')}"
            if (what, each["id"]) not in seen:
                seen.add((what, each["id"]))
                lines.setdefault((what, why), []).append(each["id"])
    return [f"{what} {', '.join(ids)}: {why}" if ids else why for (what, why), ids in lines.items()]
