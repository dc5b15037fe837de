"""How an older major of an API is served by the next one: inside, only the newest exists.

Requests go up and answers come down, a major at a time; each operation is a row of `CONVERSIONS`.
All functions take and give JSON values and change nothing they are given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from contracts.errors import FieldError

Json = Any


class Asked(msgspec.Struct, frozen=True):
    """A request: the parts of its path by their names, its query in order, its body."""

    path: dict[str, str] = {}
    query: tuple[tuple[str, str], ...] = ()
    body: Json = None


def _same(value: Any) -> Any:
    return value


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """One operation of an older major, in the words of the next."""

    operation: str = ""
    """What the next major calls it, where that is another name."""
    parameters: dict[str, str] = {}
    """Parameters of the path and the query that have another name: the old one, then the new."""
    members: dict[str, str] = {}
    """Places in the body (JSON pointers) that moved: the old one, then the new."""
    up: Callable[[Asked], Asked] = _same
    """What is to be changed in a request beyond names of parameters."""
    down: Callable[[Json], Json] = _same
    """The answer as the older major tells it."""

    def lifted(self, asked: Asked) -> Asked:
        """A request of the older major as one of the next."""
        named = self.parameters
        return self.up(
            Asked(
                path={named.get(name, name): text for name, text in asked.path.items()},
                query=tuple((named.get(name, name), text) for name, text in asked.query),
                body=asked.body,
            )
        )

    def blamed(self, error: FieldError) -> FieldError:
        """The same fault where the older major has it."""
        back = {new: old for old, new in self.parameters.items()}
        name = back.get(error.parameter or "")
        message = error.message
        if name and error.parameter:
            message = message.replace(error.parameter, name)
        moved = _moved(error.pointer, {new: old for old, new in self.members.items()})
        return msgspec.structs.replace(
            error, parameter=name or error.parameter, pointer=moved, message=message
        )


def _moved(pointer: str, places: Mapping[str, str]) -> str:
    """A pointer at, or below, a place that moved; the longest such place counts."""
    for at in sorted(places, key=len, reverse=True):
        if pointer == at or pointer.startswith(f"{at}/"):
            return places[at] + pointer[len(at) :]
    return pointer


SAME = Conversion()
"""An operation that is the same in both majors."""
Majors = Mapping[int, Mapping[str, Conversion]]
"""By the older major: its operations."""


class Chain(msgspec.Struct, frozen=True):
    """The conversions of one operation from an older major up to the one that is spoken inside."""

    operation: str
    """What it is called inside."""
    steps: tuple[Conversion, ...]

    def lifted(self, asked: Asked) -> Asked:
        """A request as it is asked inside."""
        for step in self.steps:
            asked = step.lifted(asked)
        return asked

    def lowered(self, answer: Json) -> Json:
        """What was answered inside, as the older major tells it."""
        for step in reversed(self.steps):
            answer = step.down(answer)
        return answer

    def blamed(self, error: FieldError) -> FieldError:
        """A fault that was found inside, where the caller has it."""
        for step in reversed(self.steps):
            error = step.blamed(error)
        return error


def chain(majors: Majors, operation: str, old: int, spoken: int) -> Chain | None:
    """All that leads from an older major to the one spoken; None where a step is missing."""
    steps = []
    for major in range(old, spoken):
        step = majors.get(major, {}).get(operation)
        if step is None:
            return None
        steps.append(step)
        operation = step.operation or operation
    return Chain(operation, tuple(steps))


def _summary_1(project: dict[str, Json]) -> dict[str, Json]:
    """A project in a list, whose `project_manager` was its `manager`."""
    return {"manager" if name == "project_manager" else name: project[name] for name in project}


def _page_1(page: dict[str, Json]) -> dict[str, Json]:
    return {**page, "items": [_summary_1(each) for each in page.get("items", [])]}


SUMMARY_1 = (
    *("id", "key", "number", "name", "state", "entity", "customer", "billing_model", "budget"),
    *("project_manager", "starts_on", "ends_on", "activated_at"),
)
"""What stood apart in `summary`, in its order; its budget was only the total."""


def _detail_1(project: dict[str, Json]) -> dict[str, Json]:
    """One project, whose first part stood apart."""
    total = (project.get("budget") or {}).get("total")
    first = {name: project[name] for name in SUMMARY_1 if name in project}
    if "budget" in first:
        first["budget"] = total
    kept = {name: project[name] for name in project if name not in first or name == "budget"}
    return {"summary": _summary_1(first), **kept}


def _health_1(health: dict[str, Json]) -> dict[str, Json]:
    """How a project is; the `amount` that was burnt was called `total`."""
    burn = health.get("burn")
    if burn is None:
        return health
    told = {"total" if name == "amount" else name: burn[name] for name in burn}
    return {**health, "burn": told}


CONVERSIONS: dict[str, Majors] = {
    "experience/delivery": {
        1: {
            "listProjects": Conversion(parameters={"customer": "customer_id"}, down=_page_1),
            "getProject": Conversion(down=_detail_1),
            "getProjectHealth": Conversion(down=_health_1),
        }
    }
}
"""By `<tier>/<api>`."""
