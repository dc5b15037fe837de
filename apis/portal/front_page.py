"""The front page: what this is, and the APIs a visitor sees, found by words, tier or state."""

from __future__ import annotations

from apis.portal.asking import Asked, Reply, Routes
from apis.portal.entries import (
    TIERS,
    Entry,
    audience_badge,
    data_badge,
    level_figures,
    version_badges,
)
from apis.portal.layout import ROOT, SIGN_IN_PATH, SIGN_UP_PATH, layout
from apis.portal.markup import (
    Child,
    Html,
    a,
    button,
    card,
    choice,
    e,
    facts,
    field,
    form,
    joined,
    notice,
)

MOST_WORDS = 200


class FrontPage:
    """The list of APIs."""

    def __init__(self, entries: dict[str, Entry], *, sign_up: bool = False) -> None:
        self._entries = entries
        self._sign_up = sign_up
        """Whether newcomers are taken."""

    @property
    def routes(self) -> Routes:
        """Its page."""
        return {("GET", ROOT): self.page, ("GET", f"{ROOT}/apis"): self.page}

    async def page(self, asked: Asked) -> Reply:
        """The APIs that fit the query."""
        words = asked.query.get("q", "")[:MOST_WORDS].strip()
        tier, state = asked.query.get("tier", ""), asked.query.get("state", "")
        seen = [each for each in self._entries.values() if each.seen_by(asked.who)]
        fitting = [each for each in seen if _fits(each, words.lower(), tier, state)]
        body = joined(
            [
                _intro(asked, sign_up=self._sign_up),
                _search(seen, words, tier, state),
                _found(seen, fitting),
            ]
        )
        return Reply(layout("APIs", body, who=asked.who, current="apis"))


def _fits(entry: Entry, words: str, tier: str, state: str) -> bool:
    told = f"{entry.name} {entry.title} {entry.summary} {entry.api.owner}".lower()
    states = {each.policy.status for each in entry.releases}
    return (
        all(word in told for word in words.split())
        and tier in {"", entry.tier}
        and (state == "" or state in states)
    )


def _intro(asked: Asked, *, sign_up: bool) -> Html:
    lead = (
        "Find an API, read what it takes and answers, try it here, and follow its changes. "
        "One gateway stands in front of all of them: one token, one form of errors."
    )
    told: list[Child] = [e("h1", "APIs of this gateway"), e("p", lead, class_="lead")]
    if sign_up and asked.who.name is None:
        begin = a(SIGN_UP_PATH, "Sign up", class_="button")
        told.append(e("p", begin, " A sandbox credential of your own, at once.", class_="acts"))
    if not asked.who.internal:
        more: tuple[Child, ...] = (
            "You see the APIs for partners. People of the firm see all of them when they ",
            a(SIGN_IN_PATH, "sign in") if asked.who.name is None else "sign in",
            ".",
        )
        told.append(notice("mark", e("p", *more)))
    return joined(told)


def _search(seen: list[Entry], words: str, tier: str, state: str) -> Html:
    tiers = [("", "Any tier"), *((name, words) for name, words in TIERS.items())]
    there = {release.policy.status for each in seen for release in each.releases} | {"deprecated"}
    states = [("", "Any state"), *((each, each.capitalize()) for each in sorted(there))]
    row = e(
        "div",
        field("q", "Search", words, type="search", maxlength=MOST_WORDS, autocomplete="off"),
        choice("tier", "Tier", tiers, tier),
        choice("state", "State of a version", states, state),
        button("Search"),
        class_="row",
    )
    return e("search", form("", row, action=ROOT, method="get"))


def _found(seen: list[Entry], fitting: list[Entry]) -> Html:
    if not fitting:
        told = "There is no API here yet." if not seen else "No API fits. Search for fewer words."
        return e("p", told, " ", a(ROOT, "Show all") if seen else None)
    parts: list[Child] = []
    for tier, words in TIERS.items():
        group = [each for each in fitting if each.tier == tier]
        if group:
            cards = [e("li", _card(each)) for each in group]
            parts += [e("h2", words), e("ul", cards, class_="cards")]
    return joined(parts)


def _card(entry: Entry) -> Html:
    return card(
        a(entry.path, entry.title),
        e("p", entry.summary, class_="soft") if entry.summary else None,
        version_badges(entry),
        e("p", data_badge(entry), audience_badge(entry), class_="badges"),
        facts([("Owner", entry.api.owner or None), ("Service level", level_figures(entry))]),
    )
