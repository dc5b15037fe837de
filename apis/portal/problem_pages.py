"""The pages that the `type` of a problem leads to, and the list of all problems."""

from __future__ import annotations

import json

import msgspec

from apis.gateway.guard import JSON
from apis.portal.asking import Asked, Reply, Routes
from apis.portal.changelog import inline
from apis.portal.layout import ROOT, Visitor, layout
from apis.portal.markup import (
    Child,
    Html,
    a,
    badge,
    button,
    code,
    e,
    facts,
    field,
    form,
    joined,
    table,
)
from apis.portal.problems import LIKE_A_CODE, Problems, Told

LIST = f"{ROOT}/problems"
PROBLEMS = (LIST, "Problems")
MOST_WORDS = 100
BROKEN = 500
LEFT = (
    "A problem is a JSON document (RFC 9457). Its type leads to a page here, its code is what "
    "programs ask for, errors names each member that was not accepted, and request_id is what we "
    "ask for when you need help."
)


class ProblemPages:
    """The pages of problems; everybody may see them, as everybody may get a problem."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems

    @property
    def routes(self) -> Routes:
        """Its pages."""
        return {
            ("GET", LIST): self.list_page,
            ("GET", "/problems"): self.list_page,
            ("GET", "/problems/{}"): self.page,
        }

    async def list_page(self, asked: Asked) -> Reply:
        """Every problem, or those that fit words or a status."""
        wanted = asked.query.get("q", "")[:MOST_WORDS].strip()
        status = asked.query.get("status", "")[:3]
        every = [told for each in self._problems.codes if (told := self._problems.of(each))]
        fitting = [each for each in every if _fits(each, wanted.lower(), status)]
        if as_json(asked):
            return _json([_plain(each) for each in fitting])
        search = form(
            "",
            e(
                "div",
                field("q", "Search", wanted, type="search", maxlength=MOST_WORDS),
                field("status", "Status", status, inputmode="numeric", maxlength=3),
                button("Search"),
                class_="row",
            ),
            action=LIST,
            method="get",
        )
        rows = [
            (_linked(each), str(each.status), each.title, each.owner, _again(each))
            for each in fitting
        ]
        heads = ("Code", "Status", "What it is", "Who acts", "Again?")
        found = table(heads, rows, caption=f"{len(rows)} problems")
        body = joined(
            [
                e("h1", "Problems"),
                e("p", LEFT, class_="lead"),
                e("search", search),
                found if rows else e("p", "No problem fits. ", a(LIST, "Show all")),
            ]
        )
        return Reply(layout("Problems", body, who=asked.who, current="problems"))

    async def page(self, asked: Asked) -> Reply:
        """What one code means; of a code that nobody tells, that it is none."""
        name = asked.parts[0]
        told = self._problems.of(name) if LIKE_A_CODE.fullmatch(name) else None
        if as_json(asked):
            missing = {"title": "There is no such problem", "status": 404, "code": "not-found"}
            return _json(_plain(told) if told else missing, 200 if told else 404)
        if told is None:
            return Reply(_unknown(asked.who), 404)
        return Reply(layout(told.title, _page(told), who=asked.who, current="problems"))


def as_json(asked: Asked) -> bool:
    """Whether a program asks: it accepts JSON and does not say HTML."""
    accept = asked.visit.headers.get(b"accept", b"").lower()
    return b"json" in accept and b"text/html" not in accept


def _json(value: object, status: int = 200) -> Reply:
    return Reply(msgspec.json.encode(value), status, JSON)


def _plain(told: Told) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(told)
    return plain


def _fits(told: Told, words: str, status: str) -> bool:
    said = f"{told.code} {told.title} {told.cause} {told.owner}".lower()
    return all(word in said for word in words.split()) and status in {"", str(told.status)}


def _linked(told: Told) -> Child:
    if "*" in told.code:
        return e("code", told.code)
    return a(f"/problems/{told.code}", e("code", told.code))


def _again(told: Told) -> str:
    return "yes" if told.retryable else "no"


def _page(told: Told) -> Html:
    registered = "iana.org" in told.type
    kind = badge(str(told.status), "bad" if told.status >= BROKEN else "warn")
    again = "as it is, after a while" if told.retryable else "not as it is"
    return joined(
        [
            e(
                "nav",
                e("ol", e("li", a(LIST, "Problems"))),
                class_="trail",
                aria_label="Breadcrumb",
            ),
            e("h1", told.title),
            e("p", kind, badge(told.code, "plain"), class_="badges"),
            e("h2", "Why"),
            e("p", inline(told.cause)) if told.cause else e("p", "`detail` says why."),
            e("h2", "What to do"),
            e("p", inline(told.remedy[:1].upper() + told.remedy[1:]), "."),
            facts(
                [
                    ("Who acts", told.owner),
                    ("Try again", again),
                    ("Type", a(told.type, told.type) if registered else e("code", told.type)),
                ]
            ),
            e("p", "This type is registered for everybody: RFC 9457 clients know it.")
            if registered
            else None,
            e("h2", "Example"),
            code(json.dumps(told.example, indent=2, ensure_ascii=False), label="Example"),
        ]
    )


def _unknown(who: Visitor) -> bytes:
    body = joined(
        [
            e("h1", "There is no such problem"),
            e("p", "No API of this gateway tells a problem with this code. Is it typed right?"),
            e("p", a(LIST, "See all problems")),
        ]
    )
    return layout("There is no such problem", body, who=who, current="problems")
