"""What changes of a whole version: is it served and where, how one signs in, whom it calls."""

from __future__ import annotations

from collections.abc import Iterable

from contracts.changes import (
    GRACE,
    UNSTABLE,
    At,
    Document,
    Promise,
    Report,
    deprecation,
    escaped,
    gone,
    resolved,
    stability,
)
from contracts.meanings import meaning
from contracts.merging import exact

ENDED = frozenset({"retired", "blocked"})
"""States in which a version is not served."""
SCHEME = ("type", "in", "name", "scheme", "openIdConnectUrl")
FLOW = ("authorizationUrl", "tokenUrl")


def promised(document: Document) -> Document:
    """What is said of a whole version, as it is said of an operation."""
    info = document.get("info", {})
    return {**info, "deprecated": info.get("x-status") == "deprecated"}


def life(report: Report, old: Document, new: Document) -> None:
    """A version that is no longer served is gone, whatever its document still says."""
    was, now = promised(old), promised(new)
    at = At("this version", "/info", "/info")
    report.grace = GRACE.get(stability({}, new), 0)
    if was.get("x-status") in ENDED:
        return
    if now.get("x-status") in ENDED:
        report.lenient = stability({}, old) in UNSTABLE
        gone(report, at, was, "api-version", "error")
        report.lenient = False
    else:
        deprecation(report, at, "api-version", Promise(was, now))


def addresses(document: Document) -> list[str]:
    """Where its servers are; on this one, where none is named."""
    servers = document.get("servers")
    told = servers if isinstance(servers, list) else []
    return [str(each.get("url", "")).strip("/") for each in told if isinstance(each, dict)] or [""]


def places(report: Report, at: At, old: Document, new: Document) -> None:
    """Who calls a server that is gone calls nobody."""
    after = addresses(new)
    for url in (each for each in addresses(old) if each not in after):
        says = f"{at.place} is no longer served at {url or '/'}"
        inner = at._replace(place=f"{at.place} server {url}")
        report.add("error", "api-server-removed", inner, says, sorted(after))


def signing_in(report: Report, old: Document, new: Document, names: Iterable[str]) -> None:
    """A caller that could sign in before can do so as it did."""
    for name in sorted(names):
        way = f"/components/securitySchemes/{escaped(name)}"
        was, now = asked(old, name), asked(new, name)
        lost = {word: told for word, told in was.items() if now.get(word) != told}
        if lost:
            at = At(f"security scheme {name}", way, way)
            says = f"{at.place} is another: {', '.join(lost)}"
            instead = {word: now.get(word) for word in lost}
            report.add("error", "api-security-component-changed", at, says, lost, instead)


def asked(document: Document, name: str) -> dict[str, str]:
    """What a caller must know to sign in; each flow of OAuth is a way by itself."""
    known = document.get("components", {}).get("securitySchemes", {})
    told, _ = resolved(document, known.get(name), f"/components/securitySchemes/{escaped(name)}")
    found = {word: str(told[word]) for word in SCHEME if word in told}
    if "scheme" in found:
        found["scheme"] = found["scheme"].lower()  # as HTTP reads it
    for flow, said in told.get("flows", {}).items():
        found[flow] = " ".join(str(said.get(word, "")) for word in FLOW)
    return found


def calls(
    report: Report, at: At, old: tuple[Document, Document], new: tuple[Document, Document]
) -> None:
    """What callers are called with, by name: compared whole, for they answer it as it is."""
    (before, was), (after, now) = old, new
    kind = at.place.rpartition(" ")[2]
    for name in sorted(was.keys() | now.keys()):
        inner = at._replace(
            place=f"{at.place} {name}",
            old=f"{at.old}/{escaped(name)}",
            new=f"{at.new}/{escaped(name)}",
        )
        meant = meaning(before, was.get(name)), meaning(after, now.get(name))
        if name not in now:
            says = f"{inner.place} is no longer called"
            report.add("error", f"{kind}-removed", inner, says, gone=True)
        elif name not in was:
            report.add("info", f"{kind}-added", inner, f"{inner.place} is new")
        elif exact(meant[0]) != exact(meant[1]):
            says = f"{inner.place} is called another way"
            report.add("error", f"{kind}-changed", inner, says, *meant)
