"""What is said where there is no page, or none for who asks."""

from __future__ import annotations

from apis.portal.asking import Asked, Reply
from apis.portal.layout import ROOT, SIGN_IN_PATH, layout
from apis.portal.markup import a, e, joined


def nothing_here(asked: Asked) -> Reply:
    """Say that there is no such page; the same words where one is only for others."""
    told = "It may have moved, or be shown only to people of the firm."
    here = f"{SIGN_IN_PATH}?next={asked.path}"
    ways = [a(ROOT, "See all APIs")]
    if asked.who.name is None:
        ways.append(a(here, "Sign in"))
    body = joined(
        [
            e("h1", "There is no such page"),
            e("p", told),
            e("ul", [e("li", way) for way in ways]),
        ]
    )
    return Reply(layout("There is no such page", body, who=asked.who), 404)
