"""Whether an event is what its type is registered as: asked whenever one is announced."""

from __future__ import annotations

from functools import cache
from itertools import islice

import jsonschema_rs as js

from contracts.errors import ThroughlineError
from contracts.events import CATALOG, Event
from contracts.schemas import schema

MOST_TOLD = 3


def refuse_unregistered(event: Event) -> None:
    """ThroughlineError for an event of no known type, or of another form than its version has."""
    row = CATALOG.get(event.type)
    if row is None:
        raise ThroughlineError("event.not-registered", f"{event.type} is not in the catalog")
    registered = f"/contracts/{event.type}/{row.version}"
    if event.dataschema != registered:
        told = f"{event.type} says {event.dataschema}, registered is {registered}"
        raise ThroughlineError("event.other-version", told)
    check = _check(event.type)
    if not check.is_valid(event.data):
        errors = islice(check.iter_errors(event.data), MOST_TOLD)
        places = "; ".join(
            f"/{'/'.join(map(str, error.instance_path))}: {error.kind.name}" for error in errors
        )
        raise ThroughlineError("event.not-conforming", f"{registered}: {places}")


@cache
def _check(name: str) -> js.Draft202012Validator:
    return js.Draft202012Validator(schema(CATALOG[name].payload), validate_formats=True)
