"""Asking for more than the sandbox, and what became of it."""

from __future__ import annotations

from apis.gateway.guard import Refusal
from apis.gateway.policy import Api, Client, Gateway
from apis.gateway.registered import Application
from apis.portal import access
from apis.portal.access import OPEN, Wish
from apis.portal.applications import one
from apis.portal.asking import Asked, Reply, Routes, sent_to
from apis.portal.desk import (
    APPLICATIONS,
    CONFLICT,
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
from apis.portal.markup import Child, Html, Kind, badge, button, choice, e, facts, form, notice
from apis.portal.pages_of_one import no_such
from apis.portal.words import scope_told

STATES: dict[str, Kind] = {
    "open": "warn", "approved": "good", "rejected": "bad", "withdrawn": "plain",
}  # fmt: skip
DECIDED = "Somebody decided on this already, or it was withdrawn."
NOT_OFFERED = "Choose one of the plans and APIs that are offered."


class WishPages:
    """Asking, and taking it back."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @property
    def routes(self) -> Routes:
        """Its pages."""
        return {("POST", f"{APPLICATIONS}/{{}}/access"): self._desk.takes(self.asked_for)}

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
            asked, "Ask for access", wrong,
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


def _offered(gateway: Gateway) -> dict[str, frozenset[str]]:
    """The APIs whose scopes may be asked for, with these."""
    apis: dict[str, Api] = gateway.apis
    found = {name: frozenset(api.scopes) & gateway.asked_for for name, api in apis.items()}
    return {n: scopes for n, scopes in found.items() if scopes and apis[n].audience == "partner"}


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
