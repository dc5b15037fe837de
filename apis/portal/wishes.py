"""Asking for more than the sandbox, deciding on it, and what became of it."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection

from apis.gateway.guard import Refusal
from apis.gateway.policy import Api, Client, ClientRows, Gateway
from apis.gateway.registered import Application
from apis.portal import access
from apis.portal.access import OPEN, Wish
from apis.portal.applications import one
from apis.portal.asking import Asked, Reply, Routes, sent_to
from apis.portal.desk import (
    APPLICATIONS,
    CONFLICT,
    FORBIDDEN,
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
    Kind,
    a,
    badge,
    button,
    card,
    choice,
    e,
    facts,
    field,
    form,
    notice,
)
from apis.portal.newcomers import called, names_of
from apis.portal.pages_of_one import no_such
from apis.portal.words import rows_words, scope_told

APPROVALS = "/portal/approvals"
STATES: dict[str, Kind] = {
    "open": "warn", "approved": "good", "rejected": "bad", "withdrawn": "plain",
}  # fmt: skip
MOST_IDS = 50
DECIDED = "Somebody decided on this already, or it was withdrawn."
NOT_OFFERED = "Choose one of the plans and APIs that are offered."
OWN = "Who asks does not decide: another person with the role has to."


class Side(NamedTuple):
    """What somebody who decides looks at."""

    wish: Wish
    application: Application | None
    called: str
    email: str
    own: bool
    """Whether it is their own wish."""


class WishPages:
    """Asking, withdrawing, and deciding."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> Routes:
        """Its pages."""
        sees, takes = self._desk.sees, self._desk.takes
        return {
            ("POST", f"{APPLICATIONS}/{{}}/access"): takes(self.asked_for),
            ("GET", APPROVALS): sees(self.all),
            ("GET", f"{APPROVALS}/{{}}"): sees(self.one),
            ("POST", f"{APPROVALS}/{{}}"): takes(self.decided),
        }

    async def asked_for(self, asked: Asked, given: Form) -> Reply | Refusal | None:
        """Ask for a plan and an API's scopes, or take that back."""
        desk = self._desk
        application = await desk.store.read(one, asked.parts[0], asked.who.name)
        if application is None:
            return no_such(asked)
        if given.get("action") == "withdraw":
            return await self._withdrawn(asked, given, application)
        reason, vague = written(given, "reason", lines=True)
        plan, api = given.get("plan", ""), given.get("api", "")
        offered = _offered(desk.policy.gateway)
        unknown = plan not in desk.portal.plans or (api and api not in offered)
        if vague or unknown:
            return self._again(asked, application, given, "" if unknown else vague)
        scopes = offered[api] if api else frozenset()
        done = await desk.store.write(
            access.ask, application.id, plan, scopes, reason=reason, by=desk.by(asked)
        )
        if not done:
            return told(
                asked,
                CONFLICT,
                "Something is asked for already",
                "Wait for the decision, or withdraw it.",
            )
        return sent_to(f"{APPLICATIONS}/{application.id}#access")

    def _again(self, asked: Asked, application: Application, given: Form, vague: str) -> Reply:
        here = f"{APPLICATIONS}/{application.id}"
        wrong = None if vague else notice("bad", e("p", NOT_OFFERED))
        client = application.client
        return shown(
            asked, "Error: Ask for access", wrong,
            _asking(self._desk, asked.token, f"{here}/access", client, given, vague),
            back=trail((APPLICATIONS, "My applications"), (here, application.title)), status=WRONG,
        )  # fmt: skip

    async def _withdrawn(self, asked: Asked, given: Form, application: Application) -> Reply:
        wish = await self._desk.store.read(access.known, given.get("which", ""))
        if wish is None or wish.client != application.id:
            return no_such(asked)
        done = await self._desk.store.write(access.end, wish, "withdrawn", "", self._desk.by(asked))
        if not done:
            return told(asked, CONFLICT, "Too late", DECIDED)
        return sent_to(f"{APPLICATIONS}/{application.id}#access")

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
            _cards(still) if still else e("p", "Nothing waits for a decision.", class_="lead"),
            [e("h2", "Decided"), _cards(done)] if done else None,
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

    def _shown(self, asked: Asked, side: Side, wrong: str = "") -> Reply:
        wish, application = side.wish, side.application
        gone = e("p", "The application was deleted.")
        decide: Child = None
        if wish.state == OPEN and side.own:
            decide = notice("warn", e("p", OWN))
        elif wish.state == OPEN and application is not None:
            decide = _deciding(asked.token, wish, application.client, wrong)
        email = a(f"mailto:{side.email}", side.email) if side.email else "not known"
        return shown(
            asked, f"Access for {application.title if application else wish.client}",
            notice("bad", e("p", wrong)) if wrong else None,
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
        if given.get("answer", "").strip() and (wrong := written(given, "answer", lines=True)[1]):
            return self._shown(asked, side, f"The answer: {wrong}")
        decide = self._approved if given.get("action") == "approve" else self._rejected
        return await decide(asked, given, side)

    async def _rejected(self, asked: Asked, given: Form, side: Side) -> Reply:
        desk = self._desk
        answer, wrong = written(given, "answer", lines=True)
        if given.get("action") != "reject" or wrong:
            return self._shown(asked, side, "Say why you reject it: who asked is told.")
        wish, by = side.wish, desk.by(asked)
        return _done(asked, done=await desk.store.write(access.end, wish, "rejected", answer, by))

    async def _approved(self, asked: Asked, given: Form, side: Side) -> Reply:
        desk, wish = self._desk, side.wish
        offered = desk.policy.gateway.asked_for
        if wish.plan not in desk.portal.plans or not offered.issuperset(wish.scopes.split()):
            return self._shown(asked, side, "The policy does not offer this any more: reject it.")
        try:
            rows = _rows(given)
        except ValueError as error:
            return self._shown(asked, side, str(error))
        answer = written(given, "answer", lines=True)[0]
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


def _rows(given: Form) -> ClientRows | None:
    """What records a client may see from now on; None leaves them as they are."""
    told = {name: _ids(given, name) for name in ("customers", "entities")}
    if not any(told.values()):
        return None
    return ClientRows(**{name: ids or None for name, ids in told.items()})


def _ids(given: Form, name: str) -> tuple[str, ...]:
    text = given.get(name, "")
    ids = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if len(ids) > MOST_IDS or not all(each.isprintable() and len(each) <= 200 for each in ids):  # noqa: PLR2004 - as in the tables
        msg = f"At most {MOST_IDS} {name}, by their ids."
        raise ValueError(msg)
    return ids


def _offered(gateway: Gateway) -> dict[str, frozenset[str]]:
    """The APIs whose scopes may be asked for, with these."""
    apis: dict[str, Api] = gateway.apis
    found = {name: frozenset(api.scopes) & gateway.asked_for for name, api in apis.items()}
    return {n: scopes for n, scopes in found.items() if scopes and apis[n].audience == "partner"}


def _cards(wishes: list[Wish]) -> Html:
    return e("ul", [e("li", _card(each)) for each in wishes], class_="cards")


def _card(wish: Wish) -> Html:
    return card(
        a(f"{APPROVALS}/{wish.id}", f"{wish.client}: plan {wish.plan}"),
        e("p", badge(wish.state, STATES[wish.state]), class_="badges"),
        e("p", wish.reason, class_="soft"),
        facts([
            ("Asked by", wish.person),
            ("Asked", moment(wish.asked_at)),
            ("Decided by", wish.decided_by),
        ]),
        level=3,
    )  # fmt: skip


def wish_card(wish: Wish, *more: Child) -> Html:
    """What was asked for, and what became of it."""
    scopes = [e("li", scope_told(each)) for each in wish.scopes.split()]
    decided = wish.decided_at is not None
    return e(
        "section",
        e("p", badge(wish.state, STATES[wish.state]), class_="badges"),
        facts([
            ("Plan", wish.plan),
            ("Scopes", e("ul", scopes) if scopes else "those it has"),
            ("Asked by", f"{wish.person}"),
            ("Asked", moment(wish.asked_at)),
            ("Decided by", wish.decided_by),
            ("Decided", moment(wish.decided_at) if decided else None),
        ]),
        e("p", e("strong", "Reason: "), wish.reason),
        e("p", e("strong", "Answer: "), wish.answer) if wish.answer else None,
        *more,
        class_="card",
    )  # fmt: skip


def wish_parts(
    desk: Desk, token: str, application: Application, client: Client | None, wishes: list[Wish]
) -> list[Child]:
    """Asking for more on an application's page, and all that was asked before."""
    to = f"{APPLICATIONS}/{application.id}/access"
    parts: list[Child] = [e("h2", "Access", id="access")]
    if not any(each.state == OPEN for each in wishes):
        inside = _asking(desk, token, to, client, {}, "")
        more = e("summary", "Ask for more than the sandbox")
        parts.append(e("details", more, e("div", inside, class_="inside")))
    for wish in wishes:
        back = None
        if wish.state == OPEN:
            which = e("input", type="hidden", name="which", value=wish.id)
            back = form(
                token, which, button("Withdraw it", kind="plain", value="withdraw"), action=to
            )
        parts.append(wish_card(wish, back))
    return parts


def _asking(  # noqa: PLR0917 - a form and what was in it
    desk: Desk, token: str, to: str, client: Client | None, given: Form, vague: str
) -> Html:
    if not desk.portal.plans:
        return e("p", "Nothing but the sandbox is offered here.")
    gateway = desk.policy.gateway
    apis = [(n, f"{n}: {', '.join(sorted(s))}") for n, s in _offered(gateway).items()]
    held = given.get("plan") or (client.plan if client else "")
    return form(
        token,
        e("p", f"A person with the role {desk.portal.approver} decides, and you see it here."),
        choice("plan", "Plan", [(each, each) for each in desk.portal.plans], held),
        choice("api", "Scopes of", [("", "no other API than now"), *apis], given.get("api", "")),
        area("reason", "Why", given.get("reason", ""), error=vague,
             hint="What you will do with it, for whom, and whose records you need."),
        button("Ask for it", value="ask"),
        action=to,
    )  # fmt: skip


def _deciding(token: str, wish: Wish, client: Client, wrong: str) -> Html:
    return form(
        token,
        e("h2", "Decide"),
        e("p", f"It sees records of {rows_words(client.rows)}. Two empty fields keep that."),
        field("customers", "Customers", hint="Ids with spaces between them."),
        field("entities", "Legal entities", hint="Ids with spaces between them."),
        area("answer", "Answer", hint="Who asked reads it. To reject, say why.", error=wrong),
        e("p", button("Approve", value="approve"), button("Reject", kind="bad", value="reject"),
          class_="acts"),
        action=f"{APPROVALS}/{wish.id}",
    )  # fmt: skip
