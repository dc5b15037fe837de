"""The portal: finds who asks and the page they want, and sends it with the headers it needs."""

from __future__ import annotations

from pathlib import Path

from apis.gateway.app import Edge
from apis.gateway.compiled import Policy
from apis.gateway.exchange import Exchange
from apis.gateway.guard import GONE, Header, Receive, Refusal, Scope, not_allowed
from apis.gateway.pages import CSS, PALETTE
from apis.gateway.sign_in import KEPT, Visit, cookie_name, cookie_set
from apis.portal.api_page import ApiPage
from apis.portal.asking import Asked, Page, Reply, Routes
from apis.portal.changelog import read_changes
from apis.portal.entries import entries_of
from apis.portal.events_page import EventsPage
from apis.portal.front_page import FrontPage
from apis.portal.layout import (
    ICON_PATH,
    SCRIPT_PATH,
    STYLE_PATH,
    Visitor,
    page_headers,
)
from apis.portal.missing import nothing_here
from apis.portal.problem_pages import ProblemPages
from apis.portal.problems import Problems
from apis.portal.reference import Reference
from apis.portal.self_service import self_service
from apis.portal.signing_in import SigningIn

ASSETS = Path(__file__).parent / "assets"
SCRIPT: Header = (b"content-type", b"text/javascript; charset=utf-8")
IMAGE: Header = (b"content-type", b"image/svg+xml")


class Portal:
    """All pages of one policy."""

    def __init__(self, policy: Policy, edge: Edge) -> None:
        self._people = edge.people
        self._gateway = policy.gateway
        self._secure = edge.issuer.startswith("https://")
        self._cookie = cookie_name(secure=self._secure)
        self._routes = _by_length(routes_of(policy, edge))

    async def serve(
        self, exchange: Exchange, headers: dict[bytes, bytes], scope: Scope, receive: Receive
    ) -> Refusal | None:
        """Answer one request for a page."""
        visit = Visit(exchange, headers, self._cookie)
        who = await self.who(visit)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        parts, found = self._found(scope["path"])
        if found and method not in found:
            return not_allowed(found)
        asked = Asked(visit, who, scope, receive, parts)
        answer = await found[method](asked) if found else nothing_here(asked)
        if isinstance(answer, Refusal):
            return answer
        if answer is None:
            exchange.status = GONE
            return None
        more = [*page_headers(secure=self._secure), *answer.headers]
        if asked.has_form and not visit.given:
            more.append(cookie_set(self._cookie, visit.session, secure=self._secure))
        await exchange.reply(answer.status, answer.body, answer.kind, *more)
        return None

    async def who(self, visit: Visit) -> Visitor:
        """Who this browser belongs to; those `people` names without customers are of the firm."""
        visit.person = name = await self._people.of(visit.given)
        person = self._gateway.people.get(name) if name else None
        inside = person is not None and not (person.rows and person.rows.customers is not None)
        return Visitor(name, inside)

    def _found(self, path: str) -> tuple[tuple[str, ...], dict[str, Page]]:
        parts = tuple(path.rstrip("/").split("/"))
        for template, pages in self._routes.get(len(parts), ()):
            if all(own in {"{}", part} for own, part in zip(template, parts, strict=True)):
                return tuple(
                    p for own, p in zip(template, parts, strict=True) if own == "{}"
                ), pages
        return (), {}


Table = dict[int, list[tuple[tuple[str, ...], dict[str, Page]]]]


def _by_length(routes: Routes) -> Table:
    """The routes by how many parts their path has, the plainest first."""
    paths: dict[str, dict[str, Page]] = {}
    for (method, path), page in routes.items():
        paths.setdefault(path, {})[method] = page
    table: Table = {}
    for path in sorted(paths, key=lambda each: each.count("{}")):
        parts = tuple(path.split("/"))
        table.setdefault(len(parts), []).append((parts, paths[path]))
    return table


def routes_of(policy: Policy, edge: Edge) -> Routes:
    """Every page; each part of the portal brings its own."""
    entries = entries_of(policy)
    secure = edge.issuer.startswith("https://")
    return {
        **SigningIn(edge.people, secure=secure, sign_up=_takes_newcomers(policy)).routes,
        **self_service(policy, edge),
        **FrontPage(entries, sign_up=_takes_newcomers(policy)).routes,
        **ApiPage(policy, entries, read_changes()).routes,
        **Reference(entries, edge.issuer).routes,
        **ProblemPages(Problems(edge.issuer)).routes,
        **EventsPage().routes,
        ("GET", STYLE_PATH): _file("portal.css", CSS, PALETTE),
        ("GET", SCRIPT_PATH): _file("try-it.js", SCRIPT),
        ("GET", ICON_PATH): _file("icon.svg", IMAGE),
    }


def _takes_newcomers(policy: Policy) -> bool:
    portal = policy.gateway.portal
    return portal is not None and portal.sign_up == "open"


def _file(name: str, kind: Header, before: bytes = b"") -> Page:
    """A file that all pages share; browsers may keep it for an hour."""
    body = before + (ASSETS / name).read_bytes()

    async def page(_: Asked) -> Reply:
        return Reply(body, kind=kind, headers=(KEPT,))

    return page
