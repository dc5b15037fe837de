"""What changed in an API, release by release, as CHANGELOG.md tells it under a heading per API."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from apis.portal.markup import Child, Html, a, e, joined

NAME, APIS = "CHANGELOG.md", Path(__file__).parents[1]
FILE = APIS / NAME if (APIS / NAME).is_file() else APIS.parent / NAME
"""That of the installed package, else of the tree we are part of."""
RELEASE = re.compile(r"^## (.+)$")
SUBJECT = re.compile(r"^### (.+)$")
KIND = re.compile(r"^#### (.+)$")
OF_AN_API = re.compile(r"(\w+/[\w-]+) v(\d+)")
INLINE = re.compile(r"`([^`]+)`|\[([^\]]+)\]\((https?://[^)\s]+)\)|\*{1,2}([^*]+)\*{1,2}")


class Change(msgspec.Struct, frozen=True):
    """One line of the changelog."""

    release: str
    kind: str
    text: str


def changes(text: str) -> dict[str, list[Change]]:
    """The changes by heading: `process/work-queue v1`, or `Gateway`."""
    found: dict[str, list[Change]] = {}
    release = subject = kind = ""
    lines: list[str] = []

    def ended() -> None:
        if lines and subject:
            told = Change(release, kind, " ".join(lines))
            found.setdefault(subject, []).append(told)
        lines.clear()

    for line in text.splitlines():
        if line.startswith(("- ", "#")) or not line.strip():
            ended()
        if match := RELEASE.match(line):
            release, subject, kind = match[1], "", ""
        elif match := SUBJECT.match(line):
            subject, kind = match[1].strip(), ""
        elif match := KIND.match(line):
            kind = match[1].strip()
        elif line.startswith("- "):
            lines.append(line[2:].strip())
        elif lines and line.strip():
            lines.append(line.strip())
    ended()
    return found


def read_changes(file: Path = FILE) -> dict[str, list[Change]]:
    """The changes the file tells; none where it is not there."""
    return changes(file.read_text("utf-8")) if file.is_file() else {}


def listed(told: list[Change]) -> Html:
    """Changes as a page shows them, by release and kind."""
    parts: list[Child] = []
    groups: dict[tuple[str, str], list[Change]] = {}
    for each in told:
        groups.setdefault((each.release, each.kind), []).append(each)
    release = ""
    for (name, kind), held in groups.items():
        if name != release:
            parts.append(e("h4", name))
            release = name
        if kind:
            parts.append(e("p", e("strong", kind)))
        parts.append(e("ul", [e("li", inline(each.text)) for each in held]))
    return joined(parts)


def inline(text: str) -> Html:
    """A line of Markdown: code, links and strong words; all else is text."""
    parts: list[Child] = []
    at = 0
    for match in INLINE.finditer(text):
        parts.append(text[at : match.start()])
        if match[1]:
            parts.append(e("code", match[1]))
        elif match[2]:
            parts.append(a(match[3], match[2]))
        else:
            parts.append(e("strong", match[4]))
        at = match.end()
    return joined([*parts, text[at:]])
