"""Converters between adjacent published versions: inside, only the current version exists.

A converter takes and gives JSON values (dict, list, str, ...) and changes nothing it is given.
Up and down are a pair: an old record lifted and lowered again is the same record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from contracts.errors import ThroughlineError

Record = dict[str, Any]
Converter = Callable[[Record], Record]

CURRENT: dict[str, str] = {"deal": "1.1", "deal-file": "1.1", "deal-page": "1.1"}
"""Contracts that are beyond their first version."""
FIRST = "1.0"


def current(contract: str) -> str:
    """The version that code speaks."""
    return CURRENT.get(contract, FIRST)


def _deal_1_1(deal: Record) -> Record:
    """Give the lines, which had only their order, the position they stood in."""
    lines = enumerate(deal.get("lines", []), start=1)
    return {**deal, "lines": [{**line, "position": at} for at, line in lines]}


def _deal_1_0(deal: Record) -> Record:
    """Put the lines in order of their positions, then take those away."""
    told = deal.get("lines", [])
    lines = sorted(told, key=lambda line: (line.get("position") is None, line.get("position") or 0))
    return {**deal, "lines": [_without(line, "position") for line in lines]}


def _file(convert: Converter) -> Converter:
    return lambda file: {**file, "deal": convert(file["deal"])}


def _page(convert: Converter) -> Converter:
    return lambda page: {**page, "items": [convert(deal) for deal in page.get("items", [])]}


def _without(record: Record, name: str) -> Record:
    return {key: value for key, value in record.items() if key != name}


CONVERTERS: dict[tuple[str, str, str], Converter] = {
    ("deal", "1.0", "1.1"): _deal_1_1,
    ("deal", "1.1", "1.0"): _deal_1_0,
    ("deal-file", "1.0", "1.1"): _file(_deal_1_1),
    ("deal-file", "1.1", "1.0"): _file(_deal_1_0),
    ("deal-page", "1.0", "1.1"): _page(_deal_1_1),
    ("deal-page", "1.1", "1.0"): _page(_deal_1_0),
}


def lift(contract: str, version: str, data: Record) -> Record:
    """A record of an older version as the current one; recorded values come back through here."""
    return _converted(contract, version, current(contract), data)


def lower(contract: str, version: str, data: Record) -> Record:
    """A current record as a client of an older version expects it."""
    return _converted(contract, current(contract), version, data)


def _converted(contract: str, start: str, end: str, data: Record) -> Record:
    up = _order(start) < _order(end)
    while start != end:
        step = _next(contract, start, up=up)
        if step is None or (_order(step) > _order(end) if up else _order(step) < _order(end)):
            msg = f"{contract} {start} cannot be read as {end}: there is no converter"
            raise ThroughlineError("contract.version-unknown", msg)
        data = CONVERTERS[contract, start, step](data)
        start = step
    return data


def _next(contract: str, start: str, *, up: bool) -> str | None:
    """The adjacent version in that direction that a converter leads to."""
    steps = [
        end
        for name, begin, end in CONVERTERS
        if (name, begin) == (contract, start) and (_order(end) > _order(start)) == up
    ]
    return min(steps, key=_order) if up and steps else max(steps, key=_order, default=None)


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
