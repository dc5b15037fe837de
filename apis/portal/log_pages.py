"""The calls of a person's own applications: a list of them, and one by its request id."""

from __future__ import annotations

from math import isfinite
from typing import NamedTuple
from urllib.parse import urlencode

from sqlalchemy import Connection

from apis.gateway.guard import Refusal
from apis.portal.applications import DAY_S, mine
from apis.portal.asking import Asked, Reply, Routes
from apis.portal.desk import APPLICATIONS, Desk, brief, moment, shown, told
from apis.portal.entries import trail
from apis.portal.markup import Child, Html, Kind, a, badge, button, choice, e, facts, form, table
from apis.portal.own_log import DAYS, PAGE, Call, Wanted, call, calls, operations
from apis.portal.words import NOT_TOLD, decision_words, limits_words

LOG = "/portal/requests"
OUTCOMES = (
    ("", "All answers"),
    ("good", "Good (2xx, 3xx)"),
    ("refused", "Refused (4xx)"),
    ("failed", "Failed (5xx)"),
)
UNKNOWN = "No call of yours in the last seven days has this request id."
_GOOD, _REFUSED = 400, 500


class Found(NamedTuple):
    """A page of calls, and what to filter them by."""

    titles: dict[str, str]
    """The applications: their names by their ids."""
    calls: list[Call]
    operations: list[str]


class LogPages:
    """What was answered, when and why; of nobody else's calls."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> Routes:
        """Its pages."""
        sees = self._desk.sees
        return {("GET", LOG): sees(self.all), ("GET", f"{LOG}/{{}}"): sees(self.one)}

    async def all(self, asked: Asked) -> Reply | Refusal | None:
        """The latest calls that fit the query."""
        await self._desk.edge.decisions.close()
        query = {name: asked.query.get(name, "") for name in ("client", "status", "operation")}
        titles, listed, named = await self._desk.store.read(self._listed, asked, query)
        nothing = "No call fits." if any(query.values()) else "There were no calls in seven days."
        return shown(
            asked, "My calls",
            e("p", "Calls of the last seven days, the latest first.", class_="lead"),
            _filter(titles, named, query),
            self._rows(asked, titles, listed[:PAGE]) if listed else e("p", nothing),
            _older(query, listed),
            back=trail((APPLICATIONS, "My applications")),
        )  # fmt: skip

    async def one(self, asked: Asked) -> Reply | Refusal | None:
        """One call; what is not there and what is another's look the same."""
        await self._desk.edge.decisions.close()
        since = self._desk.now - DAYS * DAY_S
        found = await self._desk.store.read(_called, asked.parts[0], asked.who.name or "", since)
        titles, told_of = found
        if not told_of:
            return told(asked, 404, "There is no such call", UNKNOWN)
        return shown(
            asked, "One call", [self._whole(asked, titles, each) for each in told_of],
            back=trail((APPLICATIONS, "My applications"), (LOG, "My calls")),
        )  # fmt: skip

    def _listed(self, connection: Connection, asked: Asked, query: dict[str, str]) -> Found:
        titles = _owned(connection, asked.who.name or "")
        wanted = Wanted(titles.keys(), self._desk.now - DAYS * DAY_S)
        called = operations(connection, wanted)
        told_of = [
            (target, operation)
            for (target, operation), let_in in called.items()
            if self._desk.tells(asked.who, target, let_in=let_in)
        ]
        if query["client"]:
            wanted = wanted._replace(clients=titles.keys() & {query["client"]})
        if query["operation"]:
            wanted = wanted._replace(called=[c for c in told_of if c[1] == query["operation"]])
        wanted = wanted._replace(status=query["status"], before=_mark(asked))
        named = sorted({operation for _, operation in told_of})
        return Found(titles, calls(connection, wanted), named)

    def _tells(self, asked: Asked, each: Call) -> bool:
        return self._desk.tells(asked.who, each.target, let_in=each.let_in)

    def _rows(self, asked: Asked, titles: dict[str, str], listed: list[Call]) -> Html:
        rows = [
            (
                a(f"{LOG}/{each.request_id}", brief(each.at)),
                _status(each),
                (each.operation or "a token") if self._tells(asked, each) else NOT_TOLD,
                each.code or "",
                titles[each.client],
                f"{each.ms:.1f} ms",
            )
            for each in listed
        ]
        heads = ("When", "Status", "Operation", "Code", "Application", "Took")
        return table(heads, rows, caption="Calls, in UTC")

    def _whole(self, asked: Asked, titles: dict[str, str], each: Call) -> Html:
        known = self._tells(asked, each)
        problem = a(f"/problems/{each.code}", each.code) if each.code else None
        said = [e("li", decision_words(decision)) for decision in each.decided] if known else []
        left = [e("li", told) for told in limits_words(each.limits)]
        return e(
            "section",
            e("p", _status(each), class_="badges"),
            facts([
                ("Request id", e("code", each.request_id)),
                ("When", moment(each.at)),
                ("Took", f"{each.ms:.1f} ms"),
                ("Application", f"{titles[each.client]} ({each.client})"),
                *_called_of(each, known=known),
                ("Problem", problem),
            ]),
            None if known else e("p", f"{NOT_TOLD}: nothing more is told of the call."),
            [e("h2", "What was decided"), e("ul", said)] if said else None,
            [e("h2", "Limits"), e("ul", left)] if left else None,
            class_="card",
        )  # fmt: skip


def _called_of(each: Call, *, known: bool) -> list[tuple[Child, Child]]:
    """What was called; of what is not for them, the path that they sent and no more."""
    api, _, version = (each.target or "").rpartition("/")
    if not known:
        return [("Path", e("code", f"/{each.target}/...") if each.target else None)]
    return [("API", api or None), ("Version", version or None), ("Operation", each.operation)]


def _mark(asked: Asked) -> float | None:
    try:
        mark = float(asked.query.get("before", ""))
    except ValueError:
        return None
    return mark if isfinite(mark) else None


def _owned(connection: Connection, owner: str) -> dict[str, str]:
    return {each.id: each.title for each in mine(connection, owner)}


def _called(
    connection: Connection, request_id: str, owner: str, since: float
) -> tuple[dict[str, str], list[Call]]:
    titles = _owned(connection, owner)
    return titles, call(connection, request_id, Wanted(titles.keys(), since))


def _filter(titles: dict[str, str], named: list[str], query: dict[str, str]) -> Html:
    owned = [("", "All applications"), *titles.items()]
    called = [("", "All operations"), *((each, each) for each in named)]
    return form(
        "",
        e(
            "div",
            choice("client", "Application", owned, query["client"]),
            choice("status", "Answer", OUTCOMES, query["status"]),
            choice("operation", "Operation", called, query["operation"]),
            button("Show", kind="plain"),
            class_="row",
        ),
        method="get",
    )


def _status(each: Call) -> Html:
    kind: Kind = "good" if each.status < _GOOD else "warn" if each.status < _REFUSED else "bad"
    return badge(str(each.status), kind)


def _older(query: dict[str, str], listed: list[Call]) -> Child:
    if len(listed) <= PAGE:
        return None
    given = {name: value for name, value in query.items() if value}
    more = urlencode({**given, "before": repr(listed[PAGE - 1].at)})
    return e("p", a(f"{LOG}?{more}", "Older calls", class_="button plain"))
