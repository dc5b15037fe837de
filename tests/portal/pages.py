"""A page as a browser without a script reads it: links, ids, headings, what is wrong with it."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urljoin

VOID = {"br", "hr", "img", "input", "link", "meta"}
HEADINGS = ("h1", "h2", "h3", "h4")


class Page(HTMLParser):
    """What stands on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.labels: set[str] = set()
        self.fields: list[str] = []
        self.described: set[str] = set()
        self.headings: list[int] = []
        self.wrong: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> is left open" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if len(given) != len(attrs):
            self.wrong.append(f"<{tag}> has an attribute twice")
        if tag not in VOID:
            self._open.append(tag)
        self.wrong += [f"{name} is inline" for name in given if name == "style" or name[:2] == "on"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.wrong.append(f"<{tag}> is inline")
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        if given.get("id"):
            self.ids.append(given["id"] or "")
        self.described |= set((given.get("aria-describedby") or "").split())
        if tag == "label":
            self.labels.add(given.get("for") or "")
        if tag in {"input", "select", "textarea"} and given.get("type") != "hidden":
            self.fields.append(given.get("id") or "")
        if tag in HEADINGS:
            self.headings.append(int(tag[1]))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self._open[-1:]}")
            return
        self._open.pop()

    def findings(self) -> list[str]:
        """What a validator and a screen reader would stumble over."""
        found = list(self.wrong)
        found += [
            f"the id {each} is there twice" for each in {*self.ids} if self.ids.count(each) > 1
        ]
        found += [
            f"the field {each} has no label" for each in self.fields if each not in self.labels
        ]
        found += [f"nothing is {each}" for each in self.described if each not in self.ids]
        if self.headings.count(1) != 1 or self.headings[:1] != [1]:
            found.append(f"one h1 is expected first: {self.headings}")
        steps = zip(self.headings, self.headings[1:], strict=False)
        found += [f"h{one} is followed by h{two}" for one, two in steps if two > one + 1]
        return found


def absolute(page: str, link: str) -> str:
    """Where a link on a page leads."""
    return urljoin(page, link)
