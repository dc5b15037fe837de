"""What the pages of self-service stand on: who may come, which forms are taken, plain text."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import ceil
from typing import NamedTuple
from urllib.parse import quote

from apis.gateway.app import Edge
from apis.gateway.compiled import Policy
from apis.gateway.guard import CONTROL, Refusal
from apis.gateway.policy import Portal
from apis.gateway.sign_in import AGAIN
from apis.portal.applications import By
from apis.portal.asking import Asked, Page, Reply, sent_to
from apis.portal.layout import SIGN_IN_PATH, Visitor, layout
from apis.portal.markup import Child, Html, a, e, joined, notice
from apis.runtime.limits import Limit
from apis.runtime.store import Store

APPLICATIONS = "/portal/applications"
CHANGES = Limit(60, 3600, 60)
"""How many forms of one person are taken."""
TEXT = 1_000
FORBIDDEN, CONFLICT, WRONG, MANY = 403, 409, 422, 429
MISUSED = "That was not understood", "Use a button of the page."
BELOW = "Some of this is not right yet: see below."

Form = dict[str, str]
Posted = Callable[[Asked, Form], Awaitable[Reply | Refusal | None]]
"""Answers a form that is ours, of somebody who signed in."""


class Desk(NamedTuple):
    """What those pages are made from, under one policy."""

    policy: Policy
    portal: Portal
    edge: Edge
    store: Store

    @property
    def now(self) -> float:
        """The moment in seconds since 1970."""
        return self.edge.clock.timestamp()

    def by(self, asked: Asked, person: str = "") -> By:
        """Who does what is asked."""
        name = person or asked.who.name or ""
        return By(name, self.edge.clock.now(), asked.visit.exchange.request_id)

    def approves(self, name: str | None) -> bool:
        """Whether this person decides on what others ask for."""
        person = self.policy.gateway.people.get(name or "")
        return person is not None and self.portal.approver in person.roles

    def tells(self, who: Visitor, target: str | None, *, let_in: bool) -> bool:
        """Whether somebody is told which operation a call was for; `let_in`: they had its scope.

        An API that is not for them is not told of; neither is what the gateway itself keeps closed.
        """
        if not target:
            return let_in or who.internal
        api = self.policy.gateway.apis.get(target.rpartition("/")[0])
        return who.internal if api is None else who.sees(api)

    def sees(self, page: Page) -> Page:
        """A page for who signed in; the others sign in first."""

        async def seen(asked: Asked) -> Reply | Refusal | None:
            if asked.who.name is None:
                return _first_sign_in(asked)
            return await page(asked)

        return seen

    def takes(self, page: Posted) -> Page:
        """A form of who signed in: from a page of ours, and not too many of them."""

        async def taken(asked: Asked) -> Reply | Refusal | None:
            if asked.who.name is None:
                return _first_sign_in(asked)
            form = await asked.form()
            if not isinstance(form, dict):
                return form
            if not asked.visit.ours(form):
                return told(asked, FORBIDDEN, "Please try again", AGAIN)
            counted = self.edge.limiter.take
            verdict = await counted(f"portal form:{asked.who.name}", CHANGES, self.now)
            if not verdict.allowed:
                return too_many(asked, verdict.retry_after)
            reply = await page(asked, form)
            if self.edge.registered is not None:
                await self.edge.registered()
            return reply

        return taken


def _first_sign_in(asked: Asked) -> Reply:
    here = asked.path
    if asked.scope["method"] == "GET" and (query := asked.scope["query_string"].decode("latin-1")):
        here = f"{here}?{query}"
    return sent_to(f"{SIGN_IN_PATH}?next={quote(here, safe='/')}")


def too_many(asked: Asked, wait: float) -> Reply:
    """Say when to come back."""
    minutes = ceil(wait / 60)
    text = f"That was often. Try again in {minutes} minute{'s' * (minutes > 1)}."
    reply = told(asked, MANY, "Too many changes", text)
    return reply._replace(headers=((b"retry-after", b"%d" % max(1, ceil(wait))),))


def told(asked: Asked, status: int, title: str, text: str) -> Reply:
    """Say why a thing was not done, and how to go on."""
    back = e("p", a(APPLICATIONS, "My applications"))
    return shown(asked, title, notice("bad", e("p", text)), back, status=status)


def shown(asked: Asked, title: str, *parts: Child, back: Child = None, status: int = 200) -> Reply:
    """A page of self-service; `back` is the way up from it."""
    body = joined([back, e("h1", title), *parts])
    heading = f"Error: {title}" if status == WRONG else title
    return Reply(layout(heading, body, who=asked.who, current="applications"), status)


def written(form: Form, name: str, most: int = TEXT, *, lines: bool = False) -> tuple[str, str]:
    """A text of a form, and what is wrong with it."""
    text = form.get(name, "").replace("\r\n", "\n").strip()
    if not text:
        return "", "This is needed."
    if len(text) > most:
        return text[:most], f"At most {most} characters."
    if CONTROL.search(text) or "\t" in text or "\r" in text or ("\n" in text and not lines):
        return "", "Control and direction characters are not accepted."
    return text, ""


def area(name: str, label: str, value: str = "", *, hint: str = "", error: str = "") -> Html:
    """A labelled field of several lines."""
    about = [f"{name}-hint"] * bool(hint) + [f"{name}-error"] * bool(error)
    return e(
        "div",
        e("label", label, for_=name),
        e("p", hint, class_="hint", id=f"{name}-hint") if hint else None,
        e("p", error, class_="wrong", id=f"{name}-error") if error else None,
        e(
            "textarea", Html("\n"), value, id=name, name=name, rows=3,
            aria_describedby=" ".join(about) or None, aria_invalid="true" if error else None,
        ),
        class_="field",
    )  # fmt: skip


def box(
    name: str, value: str, label: Child, *, checked: bool = False, required: bool = False
) -> Html:
    """A box to tick."""
    mark = f"{name}-{value}"
    return e(
        "div",
        e("input", type="checkbox", id=mark, name=name, value=value, checked=checked,
          required=required),
        e("label", label, for_=mark, class_="beside"),
        class_="tick",
    )  # fmt: skip


def moment(seconds: float | None, otherwise: str = "never") -> Html | str:
    """A moment as people read it, and as programs do."""
    if seconds is None:
        return otherwise
    at = datetime.fromtimestamp(seconds, UTC)
    return e("time", f"{at:%d %b %Y, %H:%M:%S} UTC", datetime=at.isoformat(timespec="seconds"))


def brief(seconds: float | None) -> Html | str:
    """The same in a column, which says that it is UTC."""
    if seconds is None:
        return "never"
    at = datetime.fromtimestamp(seconds, UTC)
    return e("time", f"{at:%d %b %H:%M:%S}", datetime=at.isoformat(timespec="seconds"))


def day(seconds: float) -> Html:
    """A day as people read it."""
    at = datetime.fromtimestamp(seconds, UTC)
    return e("time", f"{at:%d %B %Y}", datetime=f"{at:%Y-%m-%d}")
