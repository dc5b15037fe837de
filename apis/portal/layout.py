"""What every page of the portal has around it: skip link, navigation, foot; and its headers."""

from __future__ import annotations

from typing import Literal, NamedTuple

from apis.gateway.guard import Header
from apis.gateway.policy import Api
from apis.portal.markup import Html, a, e

ROOT = "/portal"
STYLE_PATH = f"{ROOT}/portal.css"
SCRIPT_PATH = f"{ROOT}/try-it.js"
ICON_PATH = f"{ROOT}/icon.svg"
SIGN_IN_PATH = f"{ROOT}/sign-in"
SIGN_UP_PATH = f"{ROOT}/sign-up"
SIGN_OUT_PATH = "/oauth/sign-out"
Place = Literal["apis", "events", "problems", "applications", "sign-in", ""]
PLACES: tuple[tuple[Place, str, str], ...] = (
    ("apis", ROOT, "APIs"),
    ("events", f"{ROOT}/events", "Events"),
    ("problems", f"{ROOT}/problems", "Problems"),
    ("applications", f"{ROOT}/applications", "My applications"),
)
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


class Visitor(NamedTuple):
    """Who looks at a page: nobody we know, someone who signed in, someone of the firm."""

    name: str | None = None
    internal: bool = False
    """Whether they are told of internal APIs."""

    def sees(self, api: Api) -> bool:
        """Whether they are told of this API."""
        return self.internal or api.audience == "partner"


def page_headers(*, secure: bool) -> list[Header]:
    """What keeps a page ours: nothing inline, nothing from elsewhere, no frame."""
    headers: list[Header] = [
        (b"content-security-policy", POLICY.encode()),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]
    if secure:
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return headers


def layout(
    title: str, body: Html, *, who: Visitor, current: Place = "", script: bool = False
) -> bytes:
    """A whole page; `body` brings its own `h1`, `script` is for pages with a try-it form."""
    head = e(
        "head",
        Html('<meta charset="utf-8">'),
        e("meta", name="viewport", content="width=device-width, initial-scale=1"),
        e("meta", name="color-scheme", content="light dark"),
        e("title", f"{title} - Throughline"),
        e("link", rel="stylesheet", href=STYLE_PATH),
        e("link", rel="icon", href=ICON_PATH, type="image/svg+xml"),
        e("script", type="module", src=SCRIPT_PATH) if script else None,
    )
    inside = e(
        "body",
        a("#main", "Skip to content", class_="skip"),
        e("header", e("div", a(ROOT, "Throughline", class_="brand"), _nav(who, current))),
        e("main", body, id="main", tabindex="-1"),
        e("footer", e("p", "Throughline developer portal")),
    )
    return f'<!doctype html>\n<html lang="en">{head}\n{inside}</html>\n'.encode("utf-8", "replace")


def _nav(who: Visitor, current: Place) -> Html:
    links = [
        e("li", a(to, words, aria_current="page" if place == current else None))
        for place, to, words in PLACES
    ]
    if who.name is None:
        here = "page" if current == "sign-in" else None
        links.append(e("li", a(SIGN_IN_PATH, "Sign in", aria_current=here), class_="who"))
    else:
        out = a(SIGN_OUT_PATH, "Sign out")
        links.append(e("li", e("span", who.name), " ", out, class_="who"))
    return e("nav", e("ul", links), aria_label="Portal")
