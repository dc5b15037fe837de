"""The addresses a person's browser visits: sign in, consent, sign out.

A form is taken only from a page of ours: the token in it follows from the cookie, which no script
and no other site can read, and the browser says where the form was.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from math import ceil
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749 import OAuth2Error

from apis.gateway.bodies import form_body
from apis.gateway.client_authentication import form_of
from apis.gateway.endpoints import SEE_OTHER, Answer
from apis.gateway.exchange import Exchange
from apis.gateway.guard import GONE, Header, Receive, Refusal, Scope
from apis.gateway.oauth import Asked, AuthorizationServer, BadRequestError
from apis.gateway.pages import (
    CSS,
    HTML,
    STYLE,
    consent_page,
    error_page,
    guest_page,
    page_headers,
    sign_in_page,
    sign_out_page,
)
from apis.gateway.people import People

SIGN_OUT_PATH = "/oauth/sign-out"
MOST_COOKIE = 100
WRONG = "The name or the password is wrong."
AGAIN = "This page was open too long, or cookies are off. Please try again."
KEPT: Header = (b"cache-control", b"public, max-age=3600")


class Visit:
    """One request of a browser, and what it brought."""

    def __init__(self, exchange: Exchange, headers: Mapping[bytes, bytes], cookie: str) -> None:
        self.exchange = exchange
        self.headers = headers
        self.given = _cookie(headers, cookie)
        self.session = self.given or secrets.token_urlsafe(32)
        self.token = sha256(f"form {self.session}".encode()).hexdigest()
        self.person: str | None = None

    def ours(self, form: Mapping[str, str]) -> bool:
        """Whether this form is of a page we gave to this browser."""
        host = self.headers.get(b"host", b"").decode("latin-1")
        origin = self.headers.get(b"origin", b"").decode("latin-1")
        site = self.headers.get(b"sec-fetch-site", b"same-origin")
        near = urlsplit(origin).netloc == host if origin else site in {b"same-origin", b"none"}
        given = form.get("token", "").encode("utf-8", "surrogatepass")
        return near and bool(self.given) and hmac.compare_digest(given, self.token.encode())


class SignIn:
    """Answers browsers, for one policy."""

    def __init__(self, oauth: AuthorizationServer, people: People, *, secure: bool) -> None:
        self._oauth = oauth
        self._people = people
        self._secure = secure
        self._cookie = cookie_name(secure=secure)

    async def authorize(
        self, exchange: Exchange, headers: dict[bytes, bytes], scope: Scope, receive: Receive
    ) -> Refusal | None:
        """Take an authorization request to its end: the person's browser back at the client."""
        visit = await self._visit(exchange, headers)
        try:
            asked = self._oauth.asked(scope["query_string"])
        except BadRequestError as error:
            return await self._shown(visit, error_page(str(error)), 400)
        if isinstance(asked, Answer):
            return await self._sent(visit, asked.location)
        exchange.client = asked.client
        if scope["method"] != "POST":
            return await self._asking(visit, asked)
        form = await self._form(visit, receive)
        if not isinstance(form, dict):
            return form
        if not visit.ours(form):
            return await self._asking(visit, asked, error=AGAIN, status=403)
        here = f"{scope['path']}?{scope['query_string'].decode()}"
        return await self._acted(visit, asked, form, here, scope)

    async def _acted(
        self, visit: Visit, asked: Asked, form: dict[str, str], here: str, scope: Scope
    ) -> Refusal | None:
        action = form.get("action")
        if action == "sign-in":
            return await self._signed_in(visit, asked, form, here, scope)
        if action == "sign-out":
            return await self._signed_out(visit, here)
        if visit.person not in self._oauth.gateway.people or action not in {"allow", "deny"}:
            return await self._asking(visit, asked)
        answer = await self._oauth.decide(asked, visit.person if action == "allow" else None)
        return await self._sent(visit, answer.location)

    async def _signed_in(
        self, visit: Visit, asked: Asked, form: dict[str, str], here: str, scope: Scope
    ) -> Refusal | None:
        name, password = form.get("name", "")[:200], form.get("password", "")
        right, wait = await self._people.tried(name, password, scope)
        if wait:
            minutes = ceil(wait / 60)
            told = f"Too many attempts. Try again in {minutes} minute{'s' * (minutes > 1)}."
            more = (b"retry-after", b"%d" % ceil(wait))
            return await self._asking(visit, asked, name, told, 429, more)
        if not right:
            return await self._asking(visit, asked, name, WRONG, 401)
        if visit.person is not None:
            await self._people.close(visit.session)
        session = await self._people.opened(name)  # a new one: what was set before is not theirs
        return await self._sent(visit, here, self._set(session))

    async def _signed_out(self, visit: Visit, to: str) -> Refusal | None:
        await self._people.close(visit.session)
        return await self._sent(visit, to, self._set("", "; Max-Age=0"))

    async def sign_out(
        self, exchange: Exchange, headers: dict[bytes, bytes], scope: Scope, receive: Receive
    ) -> Refusal | None:
        """End the session of this browser."""
        visit = await self._visit(exchange, headers)
        if scope["method"] == "POST":
            form = await self._form(visit, receive)
            if not isinstance(form, dict):
                return form
            if visit.ours(form):
                return await self._signed_out(visit, scope["path"])
        return await self._shown(visit, sign_out_page(visit.person, visit.token), 200)

    async def style(self, exchange: Exchange, *_: object) -> Refusal | None:
        """How the pages look."""
        await exchange.reply(200, STYLE, CSS, KEPT)
        return None

    async def _visit(self, exchange: Exchange, headers: Mapping[bytes, bytes]) -> Visit:
        visit = Visit(exchange, headers, self._cookie)
        visit.person = await self._people.of(visit.given)
        return visit

    async def _form(self, visit: Visit, receive: Receive) -> dict[str, str] | Refusal | None:
        body = await form_body(visit.headers, receive)
        if body is None:
            visit.exchange.status = GONE
        if not isinstance(body, bytes):
            return body
        try:
            return form_of(visit.headers, b"", body)
        except OAuth2Error as error:
            return Refusal("bad-request", error.description)

    async def _asking(
        self,
        visit: Visit,
        asked: Asked,
        name: str = "",
        error: str = "",
        status: int = 200,
        *more: Header,
    ) -> Refusal | None:
        redirect = asked.fields["redirect_uri"]
        if visit.person is None or error:
            body = sign_in_page(asked.client, visit.token, name, error)
        elif visit.person not in self._oauth.gateway.people:
            body, status = guest_page(asked.client, visit.person, visit.token), 403
        else:
            who = (asked.scopes, visit.person, visit.token)
            body = consent_page(asked.client, redirect, *who)
        return await self._shown(visit, body, status, *more, redirect=redirect)

    async def _shown(
        self, visit: Visit, body: bytes, status: int, *more: Header, redirect: str = ""
    ) -> Refusal | None:
        headers = [*page_headers(redirect, secure=self._secure), *more]
        if not visit.given and status != 400:  # noqa: PLR2004 - a page without a form
            headers.append(self._set(visit.session))
        await visit.exchange.reply(status, body, HTML, *headers)
        return None

    async def _sent(self, visit: Visit, to: str, *more: Header) -> Refusal | None:
        headers = [*page_headers(secure=self._secure), (b"location", to.encode()), *more]
        await visit.exchange.reply(SEE_OTHER, b"", HTML, *headers)
        return None

    def _set(self, value: str, more: str = "") -> Header:
        return cookie_set(self._cookie, value, more, secure=self._secure)


def cookie_name(*, secure: bool) -> str:
    """What the cookie of a browser's session is called."""
    return "__Host-throughline" if secure else "throughline"


def cookie_set(name: str, value: str, more: str = "", *, secure: bool) -> Header:
    """The header that gives a browser its session, for the browser alone."""
    kept = f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{more}"
    return (b"set-cookie", (kept + "; Secure" * secure).encode())


def _cookie(headers: Mapping[bytes, bytes], name: str) -> str:
    try:
        found = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1")).get(name)
    except CookieError:
        return ""
    value = found.value if found else ""
    return value if len(value) <= MOST_COOKIE else ""
