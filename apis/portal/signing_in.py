"""Signing in at the portal itself: a name and a password, as on the way to a client."""

from __future__ import annotations

from math import ceil
from typing import Any

from apis.gateway.guard import Header, Refusal
from apis.gateway.people import People
from apis.gateway.sign_in import AGAIN, WRONG, cookie_name, cookie_set
from apis.portal.asking import Asked, Reply, Routes, sent_to
from apis.portal.layout import ROOT, SIGN_IN_PATH, SIGN_UP_PATH, layout
from apis.portal.markup import a, button, e, field, form, joined, notice


class SigningIn:
    """The sign-in page of the portal; `next` in its query is the page to go on to."""

    def __init__(self, people: People, *, secure: bool, sign_up: bool = False) -> None:
        self._people = people
        self._secure = secure
        self._sign_up = sign_up
        """Whether newcomers are taken."""

    @property
    def routes(self) -> Routes:
        """Its pages."""
        return {("GET", SIGN_IN_PATH): self.page, ("POST", SIGN_IN_PATH): self.signed_in}

    async def page(self, asked: Asked) -> Reply:
        """Ask who it is; who is known goes on."""
        if asked.who.name is not None:
            return sent_to(onward(asked))
        return self._shown(asked)

    async def signed_in(self, asked: Asked) -> Reply | Refusal | None:
        """Take a name and a password; attempts are counted as everywhere."""
        given = await asked.form()
        if not isinstance(given, dict):
            return given
        if not asked.visit.ours(given):
            return self._shown(asked, error=AGAIN, status=403)
        name, password = given.get("name", "")[:200], given.get("password", "")
        right, wait = await self._people.tried(name, password, asked.scope)
        if wait:
            minutes = ceil(wait / 60)
            told = f"Too many attempts. Try again in {minutes} minute{'s' * (minutes > 1)}."
            later: Header = (b"retry-after", b"%d" % ceil(wait))
            return self._shown(asked, name, told, 429, later)
        if not right:
            return self._shown(asked, name, WRONG, 401)
        if asked.who.name is not None:
            await self._people.close(asked.visit.session)
        session = await self._people.opened(name)
        kept = cookie_set(cookie_name(secure=self._secure), session, secure=self._secure)
        return sent_to(onward(asked), kept)

    def _shown(
        self, asked: Asked, name: str = "", error: str = "", status: int = 200, *more: Header
    ) -> Reply:
        wrong: dict[str, Any] = {"aria_invalid": "true"} if error and name else {}
        body = joined(
            [
                e("h1", "Sign in"),
                e("p", "See the APIs, your applications and your calls.", class_="lead"),
                notice("bad", e("p", error)) if error else None,
                form(
                    asked.token,
                    field(
                        "name", "Name", name, autocomplete="username", autocapitalize="none",
                        spellcheck="false", maxlength="200", required=True, **wrong,
                    ),
                    field(
                        "password", "Password", type="password", autocomplete="current-password",
                        maxlength="1000", required=True, **wrong,
                    ),
                    button("Sign in"),
                ),
                e("p", "New here? ", a(SIGN_UP_PATH, "Sign up")) if self._sign_up else None,
            ]
        )  # fmt: skip
        title = "Error: Sign in" if error else "Sign in"
        return Reply(layout(title, body, who=asked.who, current="sign-in"), status, headers=more)


def onward(asked: Asked) -> str:
    """Where to go after signing in: a page of the portal, never another site."""
    to = asked.query.get("next", ROOT)
    plain = to.isascii() and to.isprintable() and " " not in to and "\\" not in to
    return to if plain and (to == ROOT or to.startswith(f"{ROOT}/")) else ROOT
