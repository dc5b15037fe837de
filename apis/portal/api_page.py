"""The page of one API: whose it is, what it promises, who depends on it, versions and changes."""

from __future__ import annotations

from collections.abc import Mapping

from apis.gateway.compiled import Policy
from apis.portal.asking import Asked, Reply, Routes
from apis.portal.changelog import Change, inline, listed
from apis.portal.entries import (
    APIS,
    Entry,
    audience_badge,
    contact_link,
    data_badge,
    level_words,
    state_words,
    trail,
)
from apis.portal.layout import ROOT, layout
from apis.portal.lineage import Lineage, named
from apis.portal.markup import Child, Html, a, e, facts, joined, notice, table
from apis.portal.missing import nothing_here


class ApiPage:
    """One page per API."""

    def __init__(
        self, policy: Policy, entries: Mapping[str, Entry], told: Mapping[str, list[Change]]
    ) -> None:
        self._gateway = policy.gateway
        self._entries = entries
        self._changes = told
        self._lineage = Lineage(entries, policy.gateway.clients)

    @property
    def routes(self) -> Routes:
        """Its page."""
        return {("GET", f"{ROOT}/apis/{{}}/{{}}"): self.page}

    async def page(self, asked: Asked) -> Reply:
        """All that is known of one API; of what it stands on, to people of the firm alone."""
        entry = self._entries.get("/".join(asked.parts))
        if entry is None or not entry.seen_by(asked.who):
            return nothing_here(asked)
        body = joined(
            [
                trail(APIS, (entry.path, entry.title)),
                e("h1", entry.title),
                e("p", entry.summary, class_="lead") if entry.summary else None,
                e("p", data_badge(entry), audience_badge(entry), class_="badges"),
                _ending(entry),
                self._facts(entry),
                e("h2", "Versions", id="versions"),
                _versions(entry),
                self._scopes(entry),
                self._around(entry) if asked.who.internal else None,
                e("h2", "Changelog", id="changelog"),
                self._changed(entry),
            ]
        )
        return Reply(layout(entry.title, body, who=asked.who, current="apis"))

    def _facts(self, entry: Entry) -> Html:
        return facts(
            [
                ("Owner", entry.api.owner or None),
                ("Contact", contact_link(entry)),
                ("Service level", level_words(entry)),
                ("Address", e("code", f"/{entry.name}/v{entry.releases[-1].major}")),
            ]
        )

    def _scopes(self, entry: Entry) -> Html:
        routes = [route for each in entry.releases for _, route in each.mount.routes]
        opened = {
            scope: sorted({route.operation for route in routes if route.scope == scope})
            for scope in sorted(entry.scopes)
        }
        rows = [
            (e("code", scope), named(e("code", each) for each in held))
            for scope, held in opened.items()
        ]
        how = e(
            "p", "A client is given scopes; ", a(f"{ROOT}/applications", "apply for them"),
            " with an application of yours.",
        )  # fmt: skip
        heads = ("Scope", "Operations it opens")
        return joined([e("h2", "Access", id="access"), how, table(heads, rows, caption="Scopes")])

    def _around(self, entry: Entry) -> Html:
        used, users = self._lineage.used_by(entry.name), self._lineage.users_of(entry.name)
        apis = [each for each in users if each in self._entries]
        clients = [each.partition("/")[2] for each in users if each not in self._entries]
        plans = sorted({self._gateway.clients[each].plan for each in clients})
        told: list[tuple[Child, Child]] = [
            ("Uses", self._links(used) if used else "nothing of ours"),
            ("Used by", self._links(apis) if apis else "no other API"),
            ("Clients that may call it", ", ".join(sorted(clients)) or "none"),
            ("Plans of these clients", named(self._plan(each) for each in plans) or "none"),
        ]
        return joined(
            [e("h2", "Dependants", id="dependants"), self._lineage.picture(entry.name), facts(told)]
        )

    def _links(self, names: list[str]) -> Html:
        return named(a(self._entries[each].path, self._entries[each].title) for each in names)

    def _plan(self, name: str) -> Html:
        plan = self._gateway.plans[name]
        limits = [str(each) for each in (plan.rate, plan.quota) if each]
        return joined([e("strong", name), f" ({', '.join(limits)})" if limits else ""])

    def _changed(self, entry: Entry) -> Html:
        parts: list[Child] = []
        for release in entry.releases[::-1]:
            told = self._changes.get(f"{entry.name} {release.name}", [])
            parts.append(e("h3", f"Version {release.major}", id=f"changelog-{release.name}"))
            parts.append(listed(told) if told else e("p", "Nothing is told of this version yet."))
        return joined(parts)


def _ending(entry: Entry) -> Html | None:
    ending = [each for each in entry.releases if each.policy.sunset]
    if not ending:
        return None
    told = [
        e("p", f"Version {each.major} ends on {each.policy.sunset}. ", inline(_way_out(each.mount)))
        for each in ending
    ]
    return notice("warn", told)


def _way_out(mount: object) -> str:
    successor = getattr(mount, "successor", None)
    return f"Move to `{successor}`." if successor else "Nothing follows it."


def _versions(entry: Entry) -> Html:
    rows = []
    for each in entry.releases[::-1]:
        page = f"{entry.path}/{each.name}"
        count = sum(1 for _ in each.mount.routes)
        rows.append(
            (
                a(page, f"{entry.title} {each.name}"),
                state_words(each),
                each.number,
                str(each.policy.since or ""),
                str(each.policy.sunset or ""),
                str(count),
                a(f"{page}/openapi.json", "openapi.json"),
            )
        )
    heads = ("Version", "State", "Release", "Deprecated since", "Ends", "Operations", "Document")
    return table(heads, rows, caption="Versions, the newest first")
