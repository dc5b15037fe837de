"""Signing up: a newcomer is signed in with the form's answer, and can call a minute later."""

from __future__ import annotations

import re
from typing import Any

from apis.gateway.grants import digest
from apis.gateway.guard import Refusal
from apis.gateway.sign_in import AGAIN, cookie_name, cookie_set
from apis.portal.asking import Asked, Reply, Routes, sent_to
from apis.portal.desk import (
    APPLICATIONS,
    BELOW,
    CONFLICT,
    FORBIDDEN,
    WRONG,
    Desk,
    Form,
    box,
    too_many,
    written,
)
from apis.portal.layout import SIGN_IN_PATH, SIGN_UP_PATH, layout
from apis.portal.markup import a, button, e, field, form, joined, notice
from apis.portal.newcomers import BY_ADDRESS, IN_ALL, join, name_for

SHORTEST, LONGEST = 12, 1_000
MOST_NAME, MOST_EMAIL = 100, 254
SIGNED_IN = f"{SIGN_IN_PATH}?next={APPLICATIONS}"
EMAIL = re.compile(r"[^@\s<>\"',;]+@[^@\s<>\"',;]+\.[^@\s<>\"',;.]+")
CLOSED = "Nobody new is taken here now. Ask the owner of an API for a client."
TERMS = (
    "The sandbox is for trying the APIs. It may change, and it ends by itself.",
    "Keep passwords and secrets to yourself. What is called with them is yours.",
    "Every call is recorded: when, what and how it was answered, never its content.",
)


class SigningUp:
    """The page for newcomers."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._open = desk.portal.sign_up == "open"

    @property
    def routes(self) -> Routes:
        """Its pages."""
        return {("GET", SIGN_UP_PATH): self.page, ("POST", SIGN_UP_PATH): self.signed_up}

    async def page(self, asked: Asked) -> Reply:
        """Ask who it is; who is known goes on."""
        if asked.who.name is not None:
            return sent_to(APPLICATIONS)
        return self._shown(asked) if self._open else _closed(asked)

    async def signed_up(self, asked: Asked) -> Reply | Refusal | None:
        """Take a newcomer, and sign them in."""
        given = await asked.form()
        return await self._taken(asked, given) if isinstance(given, dict) else given

    async def _taken(self, asked: Asked, given: Form) -> Reply:
        if not self._open:
            return _closed(asked)
        if not asked.visit.ours(given):
            return self._shown(asked, error=AGAIN, status=FORBIDDEN)
        if asked.who.name is not None:
            return sent_to(APPLICATIONS)
        if wrong := _mistakes(given):
            return self._shown(asked, given, wrong, status=WRONG)
        if wait := await self._wait(asked):
            return too_many(asked, wait)
        return await self._joined(asked, given)

    async def _wait(self, asked: Asked) -> float:
        """Count a newcomer; the seconds to wait where there are too many of them."""
        edge, now = self._desk.edge, self._desk.now
        address = digest(edge.people.address(asked.scope))
        for key, limit in ((f"sign-up:{address}", BY_ADDRESS), ("sign-up", IN_ALL)):
            verdict = await edge.limiter.take(key, limit, now)
            if not verdict.allowed:
                return max(1.0, verdict.retry_after)
        return 0.0

    async def _joined(self, asked: Asked, given: Form) -> Reply:
        edge, name, password = self._desk.edge, name_for(asked.visit.session), given["password"]
        kept = await edge.people.hashed(password)
        who = (written(given, "called")[0], written(given, "email")[0], kept)
        new = await self._desk.store.write(join, *who, self._desk.by(asked, name))
        if not new and not await edge.people.right(name, password):  # the form came twice
            return self._shown(asked, given, error=AGAIN, status=CONFLICT)
        secure = edge.issuer.startswith("https://")
        session = await edge.people.opened(name)
        return sent_to(APPLICATIONS, cookie_set(cookie_name(secure=secure), session, secure=secure))

    def _shown(
        self,
        asked: Asked,
        given: Form | None = None,
        wrong: dict[str, str] | None = None,
        *,
        error: str = "",
        status: int = 200,
    ) -> Reply:
        given, wrong = given or {}, wrong or {}
        title = "Sign up"
        told = error or (BELOW if wrong else "")
        body = joined(
            [
                e("h1", title),
                e("p", "A sandbox credential of your own, at once. Nobody has to approve it.",
                  class_="lead"),
                notice("bad", e("p", told)) if told else None,
                form(asked.token, *_fields(asked, given, wrong), button("Sign up")),
                e("p", "You have an account? ", a(SIGNED_IN, "Sign in")),
            ]
        )  # fmt: skip
        heading = f"Error: {title}" if told else title
        return Reply(layout(heading, body, who=asked.who, current="sign-in"), status)


def _fields(asked: Asked, given: Form, wrong: dict[str, str]) -> list[Any]:
    sandbox_name = name_for(asked.visit.session)
    return [
        field("called", "Your name", given.get("called", ""), error=wrong.get("called", ""),
              autocomplete="name", maxlength=MOST_NAME, required=True),
        field("email", "E-mail", given.get("email", ""), error=wrong.get("email", ""),
              hint="Who decides on what you ask for sees it. It is not sent anything by itself.",
              type="email", autocomplete="email", maxlength=MOST_EMAIL, required=True),
        field("sign-in-name", "You will sign in as", sandbox_name,
              hint="This name is made for you: keep it with your password.",
              autocomplete="username", readonly=True),
        field("password", "Password", type="password", error=wrong.get("password", ""),
              hint=f"At least {SHORTEST} characters: three words that do not belong together.",
              autocomplete="new-password", minlength=SHORTEST, maxlength=LONGEST, required=True),
        field("again", "The same password again", type="password", error=wrong.get("again", ""),
              autocomplete="new-password", minlength=SHORTEST, maxlength=LONGEST, required=True),
        e("fieldset", e("legend", "Terms"), e("ul", [e("li", each) for each in TERMS]),
          e("p", wrong["terms"], class_="wrong") if "terms" in wrong else None,
          box("terms", "accepted", "I accept these terms", required=True), class_="terms"),
    ]  # fmt: skip


def _mistakes(given: Form) -> dict[str, str]:
    """What is wrong with a form, by field; nothing of it depends on who is known here."""
    wrong = {
        "called": written(given, "called", MOST_NAME)[1],
        "email": written(given, "email", MOST_EMAIL)[1],
    }
    email, password = given.get("email", "").strip(), given.get("password", "")
    if not wrong["email"] and not EMAIL.fullmatch(email):
        wrong["email"] = "An address is written like ada@example.com."
    if not SHORTEST <= len(password) <= LONGEST:
        wrong["password"] = f"Between {SHORTEST} and {LONGEST} characters."
    elif password.casefold() in {email.casefold(), given.get("called", "").strip().casefold()}:
        wrong["password"] = "Not your name or address: others know them."  # noqa: S105 - words
    elif password != given.get("again"):
        wrong["again"] = "The two passwords are not the same."
    if given.get("terms") != "accepted":
        wrong["terms"] = "Accept the terms to go on."
    return {name: text for name, text in wrong.items() if text}


def _closed(asked: Asked) -> Reply:
    body = joined(
        [e("h1", "Sign-up is closed"), e("p", CLOSED), e("p", a("/portal", "See all APIs"))]
    )
    return Reply(layout("Sign-up is closed", body, who=asked.who), FORBIDDEN)
