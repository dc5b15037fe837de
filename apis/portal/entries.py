"""The APIs as the portal tells of them: what is known of each, who sees it, who stands on it."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import msgspec

from apis.gateway.compiled import Policy
from apis.gateway.policy import Api, Version
from apis.gateway.routes import Mount
from apis.portal.layout import ROOT, Visitor
from apis.portal.markup import Child, Html, Kind, a, badge, e

TIERS = {
    "experience": "For an audience",
    "process": "Business flows",
    "system": "Connected systems",
}
STATES: dict[str, Kind] = {
    "current": "good", "deprecated": "warn", "blocked": "bad", "retired": "bad",
}  # fmt: skip
CLASSES: dict[str, Kind] = {"confidential": "warn", "personal": "bad"}
Sees = Literal["all", "partner"]


class Release(msgspec.Struct, frozen=True):
    """One major version of an API."""

    major: int
    mount: Mount

    @property
    def policy(self) -> Version:
        """What the policy says of it."""
        return self.mount.version

    @property
    def document(self) -> dict[str, Any]:
        """Its OpenAPI document."""
        return self.mount.document

    @property
    def name(self) -> str:
        """The version as its address has it."""
        return f"v{self.major}"

    @property
    def number(self) -> str:
        """The whole number of what is served."""
        return str(self.document.get("info", {}).get("version", ""))


class Entry(msgspec.Struct, frozen=True, dict=True):
    """One API, by `<tier>/<api>`."""

    name: str
    api: Api
    releases: tuple[Release, ...]

    @property
    def tier(self) -> str:
        """The tier it belongs to."""
        return self.name.partition("/")[0]

    @property
    def path(self) -> str:
        """Its page."""
        return f"{ROOT}/apis/{self.name}"

    @cached_property
    def info(self) -> dict[str, Any]:
        """What its newest document says of itself."""
        found: dict[str, Any] = self.releases[-1].document.get("info", {}) if self.releases else {}
        return found

    @property
    def title(self) -> str:
        """What it is called: a connection by its own name."""
        own = self.name.partition("/")[2]
        if self.api.title:
            return self.api.title
        if self.tier == "system" and not self.api.foreign:
            return own.replace("-", " ").capitalize()
        return str(self.info.get("title") or own)

    @property
    def summary(self) -> str:
        """What it is for, in a sentence."""
        told = self.api.summary or self.info.get("summary") or self.info.get("description") or ""
        return str(told).strip().split("\n")[0]

    @cached_property
    def scopes(self) -> frozenset[str]:
        """The scopes that open any of its operations."""
        routes = (route for each in self.releases for _, route in each.mount.routes)
        return frozenset(route.scope for route in routes) - {""}

    def seen_by(self, who: Visitor) -> bool:
        """Whether this visitor is told of it."""
        return who.sees(self.api)


def entries_of(policy: Policy) -> dict[str, Entry]:
    """Every API of the policy with the versions that it has a place for."""
    found = {}
    for name, api in policy.gateway.apis.items():
        places = {major: policy.mounts.get(f"{name}/v{major}") for major in sorted(api.versions)}
        releases = tuple(Release(major, mount) for major, mount in places.items() if mount)
        if releases:
            found[name] = Entry(name, api, releases)
    return found


def version_badges(entry: Entry) -> Html:
    """Each version with its state and, where it ends, its last day."""
    told = [a(f"{entry.path}/{each.name}", *state_words(each)) for each in entry.releases[::-1]]
    return e("p", told, class_="badges")


def state_words(release: Release) -> tuple[Child, ...]:
    """A version and its state."""
    version = release.policy
    ends = f", until {version.sunset}" if version.sunset else ""
    return (badge(f"{release.name} {version.status}{ends}", STATES.get(version.status, "mark")),)


def data_badge(entry: Entry) -> Html:
    """What kind of data it holds."""
    kind = entry.api.data_class
    return badge(f"{kind} data", CLASSES.get(kind, "plain"))


def audience_badge(entry: Entry) -> Html:
    """Who it is for."""
    return badge(entry.api.audience, "mark" if entry.api.audience == "partner" else "plain")


def level_words(entry: Entry) -> str | None:
    """What callers may count on."""
    level = entry.api.service_level
    if level is None:
        return None
    return f"{level.availability:g} % of a month, 95 of 100 answers within {level.latency_ms} ms"


def level_figures(entry: Entry) -> str | None:
    """The same in figures alone."""
    level = entry.api.service_level
    return f"{level.availability:g} %, {level.latency_ms} ms" if level else None


def contact_link(entry: Entry) -> Child:
    """Where the owner is reached."""
    contact = entry.api.contact
    if not contact:
        return None
    if contact.startswith(("https://", "http://")):
        return a(contact, contact)
    return a(f"mailto:{contact}", contact) if "@" in contact else contact


APIS = (ROOT, "APIs")


def trail(*steps: tuple[str, str]) -> Html:
    """The way to this page: addresses and what they are called."""
    links = [e("li", a(to, words)) for to, words in steps]
    return e("nav", e("ol", links), class_="trail", aria_label="Breadcrumb")
