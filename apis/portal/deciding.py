"""Deciding on what others ask for: what waits, one of them with all that a decision needs."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection

from apis.gateway.guard import CONTROL, Refusal
from apis.gateway.policy import Client, ClientRows, Gateway
from apis.gateway.registered import Application
from apis.portal import access
from apis.portal.access import OPEN, Wish
from apis.portal.applications import one
from apis.portal.asking import Asked, Reply, Routes, sent_to
from apis.portal.desk import (
    APPLICATIONS,
    BELOW,
    CONFLICT,
    FORBIDDEN,
    MISUSED,
    WRONG,
    Desk,
    Form,
    area,
    moment,
    shown,
    told,
    written,
)
from apis.portal.entries import trail
from apis.portal.markup import (
    Child,
    Html,
    a,
    badge,
    button,
    card,
    e,
    facts,
    field,
    form,
    notice,
)
from apis.portal.newcomers import called, names_of
from apis.portal.wishes import DECIDED, STATES, wish_card
from apis.portal.words import rows_words

APPROVALS = "/portal/approvals"
MOST_IDS, MOST_ID = 50, 200
OWN = "Who asks does not decide: another person with the role has to."
NO_REASON = "Say why you reject it: who asked is told."
OFFERED_NO_MORE = "The policy does not offer this any more: reject it."


class Side(NamedTuple):
    """What somebody who decides looks at."""

    wish: Wish
    application: Application | None
    called: str
    email: str
    own: bool
    """Whether it is their own wish."""


class DecidingPages:
    """What waits for who decides, and their decisions."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> Routes:
        """Its pages."""
        sees, takes = self._desk.sees, self._desk.takes
        return {
            ("GET", APPROVALS): sees(self.all),
            ("GET", f"{APPROVALS}/{{}}"): sees(self.one),
            ("POST", f"{APPROVALS}/{{}}"): takes(self.decided),
        }

    async def all(self, asked: Asked) -> Reply:
        """What waits for a decision."""
        if not self._desk.approves(asked.who.name):
            return self._not_theirs(asked)
        wishes = await self._desk.store.read(access.waiting)
        still = [each for each in wishes if each.state == OPEN]
        done = [each for each in wishes if each.state != OPEN]
        return shown(
            asked,
            "Requests for access",
            _cards(still, 2) if still else e("p", "Nothing waits for a decision.", class_="lead"),
            [e("h2", "Decided"), _cards(done, 3)] if done else None,
            back=trail((APPLICATIONS, "My applications")),
        )

    def _not_theirs(self, asked: Asked) -> Reply:
        role = self._desk.portal.approver
        return told(
            asked, FORBIDDEN, "This is not yours to see", f"The role {role} is needed for it."
        )

    async def one(self, asked: Asked) -> Reply:
        """One of them, with all that a decision needs."""
        if not self._desk.approves(asked.who.name):
            return self._not_theirs(asked)
        side = await self._side(asked)
        return _no_wish(asked) if side is None else self._shown(asked, side)

    async def _side(self, asked: Asked) -> Side | None:
        gateway = self._desk.policy.gateway
        return await self._desk.store.read(_side_of, asked.parts[0], asked.who.name or "", gateway)

    def _shown(
        self, asked: Asked, side: Side, given: Form | None = None, wrong: Form | None = None
    ) -> Reply:
        """The request, with the form for who may decide on it: as it was sent, where it was."""
        wish, application, wrong = side.wish, side.application, wrong or {}
        gone = e("p", "The application was deleted.")
        decide: Child = None
        if wish.state == OPEN and side.own:
            decide = notice("warn", e("p", OWN))
        elif wish.state == OPEN and application is not None:
            known = self._desk.edge.entities
            decide = _deciding(asked.token, wish, application.client, known, given or {}, wrong)
        email = a(f"mailto:{side.email}", side.email) if side.email else "not known"
        return shown(
            asked, f"Access for {application.title if application else wish.client}",
            notice("bad", e("p", wrong.get("", BELOW))) if wrong else None,
            facts([("Asked by", f"{side.called} ({wish.person})"), ("E-mail, not checked", email)]),
            e("p", application.purpose, class_="soft") if application else gone,
            wish_card(wish), decide, status=WRONG if wrong else 200,
            back=trail((APPLICATIONS, "My applications"), (APPROVALS, "Requests for access")),
        )  # fmt: skip

    async def decided(self, asked: Asked, given: Form) -> Reply | Refusal | None:
        """Approve or reject; never one's own, and only once."""
        desk = self._desk
        if not desk.approves(asked.who.name):
            return self._not_theirs(asked)
        side = await self._side(asked)
        if side is None:
            return _no_wish(asked)
        if side.own:
            return told(asked, FORBIDDEN, "This is your own", OWN)
        if side.wish.state != OPEN:
            return told(asked, CONFLICT, "Too late", DECIDED)
        decide = {"approve": self._approved, "reject": self._rejected}.get(given.get("action", ""))
        return await decide(asked, given, side) if decide else told(asked, WRONG, *MISUSED)

    async def _rejected(self, asked: Asked, given: Form, side: Side) -> Reply:
        desk = self._desk
        if not given.get("answer", "").strip():
            return self._shown(asked, side, given, {"answer": NO_REASON})
        answer, wrong = written(given, "answer", lines=True)
        if wrong:
            return self._shown(asked, side, given, {"answer": wrong})
        wish, by = side.wish, desk.by(asked)
        return _done(asked, done=await desk.store.write(access.end, wish, "rejected", answer, by))

    async def _approved(self, asked: Asked, given: Form, side: Side) -> Reply:
        desk, wish = self._desk, side.wish
        offered = desk.policy.gateway.asked_for
        if wish.plan not in desk.portal.plans or not offered.issuperset(wish.scopes.split()):
            return self._shown(asked, side, given, {"": OFFERED_NO_MORE})
        if wrong := _mistakes(given, desk.edge.entities):
            return self._shown(asked, side, given, wrong)
        rows, answer = _rows(given), written(given, "answer", lines=True)[0]
        done = await desk.store.write(access.approve, wish, rows, answer, desk.by(asked))
        return _done(asked, done=done)


def _side_of(connection: Connection, wanted: str, name: str, gateway: Gateway) -> Side | None:
    wish = access.known(connection, wanted)
    if wish is None:
        return None
    told, mail = called(connection, wish.person)
    theirs = names_of(connection, wish.person, gateway)
    own = not theirs.isdisjoint(names_of(connection, name, gateway))
    return Side(wish, one(connection, wish.client), told, mail, own)


def _no_wish(asked: Asked) -> Reply:
    return told(asked, 404, "There is no such request", "It is not known here.")


def _done(asked: Asked, *, done: bool) -> Reply:
    return sent_to(APPROVALS) if done else told(asked, CONFLICT, "Too late", DECIDED)


def _mistakes(given: Form, entities: Collection[str]) -> dict[str, str]:
    """What is wrong with an approval, by field; an answer is not needed for one."""
    wrong = {name: _of_ids(given, name) for name in ("customers", "entities")}
    if not wrong["entities"]:
        unknown = [each for each in _ids(given, "entities") if each not in entities]
        wrong["entities"] = f"There is no legal entity {', '.join(unknown)}." if unknown else ""
    if given.get("answer", "").strip():
        wrong["answer"] = written(given, "answer", lines=True)[1]
    return {name: text for name, text in wrong.items() if text}


def _of_ids(given: Form, name: str) -> str:
    ids = _ids(given, name)
    if len(ids) > MOST_IDS:
        return f"At most {MOST_IDS} ids."
    fit = all(len(each) <= MOST_ID and not CONTROL.search(each) for each in ids)
    return "" if fit else f"An id has at most {MOST_ID} characters, all of them visible."


def _ids(given: Form, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given.get(name, "").replace(",", " ").split()))


def _rows(given: Form) -> ClientRows | None:
    """What records a client may see from now on; None leaves them as they are."""
    customers, entities = _ids(given, "customers"), _ids(given, "entities")
    return ClientRows(customers or None, entities or None) if customers or entities else None


def _cards(wishes: list[Wish], level: int) -> Html:
    return e("ul", [e("li", _card(each, level)) for each in wishes], class_="cards")


def _card(wish: Wish, level: int) -> Html:
    return card(
        a(f"{APPROVALS}/{wish.id}", f"{wish.client}: plan {wish.plan}"),
        e("p", badge(wish.state, STATES[wish.state]), class_="badges"),
        e("p", wish.reason, class_="soft"),
        facts([
            ("Asked by", wish.person),
            ("Asked", moment(wish.asked_at)),
            ("Decided by", wish.decided_by),
        ]),
        level=level,
    )  # fmt: skip


def _deciding(  # noqa: PLR0917 - a form and what was in it
    token: str, wish: Wish, client: Client, known: Collection[str], given: Form, wrong: Form
) -> Html:
    return form(
        token,
        e("h2", "Decide"),
        e("p", f"It sees records of {rows_words(client.rows)}. Two empty fields keep that."),
        field("customers", "Customers", given.get("customers", ""),
              error=wrong.get("customers", ""),
              hint="Ids with spaces between them. They are not checked: look each of them up."),
        field("entities", "Legal entities", given.get("entities", ""),
              error=wrong.get("entities", ""),
              hint=f"Ids with spaces between them, of {', '.join(sorted(known)) or 'none'}."),
        area("answer", "Answer", given.get("answer", ""), error=wrong.get("answer", ""),
             hint="Who asked reads it. To reject, say why."),
        e("p", button("Approve", value="approve"), button("Reject", kind="bad", value="reject"),
          class_="acts"),
        action=f"{APPROVALS}/{wish.id}",
    )  # fmt: skip
