"""One request for a page: who asks, what for, the form they sent; and the answer to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import NamedTuple
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import OAuth2Error

from apis.gateway.bodies import form_body
from apis.gateway.client_authentication import form_of
from apis.gateway.guard import Header, Receive, Refusal, Scope
from apis.gateway.pages import HTML
from apis.gateway.sign_in import Visit
from apis.portal.layout import Visitor

SEE_OTHER = 303


class Reply(NamedTuple):
    """What is sent back: a page, or where to go."""

    body: bytes
    status: int = 200
    kind: Header = HTML
    headers: tuple[Header, ...] = ()


class Asked:
    """A request for a page; `parts` is what stands at the `{}` of its route's path."""

    def __init__(
        self, visit: Visit, who: Visitor, scope: Scope, receive: Receive, parts: tuple[str, ...]
    ) -> None:
        self.visit = visit
        self.who = who
        self.scope = scope
        self.parts = parts
        self.has_form = False
        self._receive = receive

    @property
    def path(self) -> str:
        """The path that was asked for."""
        return str(self.scope["path"])

    @cached_property
    def query(self) -> dict[str, str]:
        """The query by name; of a name that comes twice the last one."""
        return dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))

    @property
    def token(self) -> str:
        """The token for a form on the page that is made; the browser is given its cookie."""
        self.has_form = True
        return self.visit.token

    async def form(self) -> dict[str, str] | Refusal | None:
        """The form that was sent, or what is wrong with it; None when the sender has gone.

        Whether it is a form of ours `self.visit.ours(form)` says: ask before acting on it.
        """
        body = await form_body(self.visit.headers, self._receive)
        if not isinstance(body, bytes):
            return body
        try:
            return form_of(self.visit.headers, b"", body)
        except OAuth2Error as error:
            return Refusal("bad-request", error.description)


Page = Callable[[Asked], Awaitable[Reply | Refusal | None]]
"""Answers one route; None when the sender has gone."""
Routes = dict[tuple[str, str], Page]
"""By method and path, in which `{}` stands for any one part: `("GET", "/portal/apis/{}/{}")`."""


def sent_to(path: str, *headers: Header) -> Reply:
    """Go there, with GET."""
    return Reply(b"", SEE_OTHER, headers=((b"location", path.encode()), *headers))
