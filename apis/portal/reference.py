"""The page of one version: its operations as people read them, samples to copy, and a console."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from functools import cache

from apis.gateway.bodies import Sizes
from apis.gateway.guard import JSON, REFUSALS, Refusal
from apis.gateway.policy import Brownout
from apis.portal.asking import Asked, Reply, Routes
from apis.portal.changelog import inline
from apis.portal.console import console, trial
from apis.portal.entries import APIS, Entry, Release, contact_link, state_words, trail
from apis.portal.examples import Examples
from apis.portal.layout import ROOT, layout
from apis.portal.lineage import named
from apis.portal.markup import Child, Html, Kind, a, badge, code, e, facts, joined, notice, table
from apis.portal.missing import nothing_here
from apis.portal.operations import Answer, Operation, operations_of
from apis.portal.samples import samples
from apis.portal.shapes import bounds, members, schema_sections, words

FAILED = "4", "5", "d"
"""How the statuses of errors begin (`default` too)."""
KINDS: dict[str, Kind] = {
    "GET": "good",
    "POST": "mark",
    "PUT": "warn",
    "PATCH": "warn",
    "DELETE": "bad",
}


class Reference:
    """One page per version of an API, and its document as it is."""

    def __init__(self, entries: Mapping[str, Entry], issuer: str) -> None:
        self._entries = entries
        self._issuer = issuer
        self._made: Callable[[str, int], Html] = cache(self._body)

    @property
    def routes(self) -> Routes:
        """Its pages."""
        page = f"{ROOT}/apis/{{}}/{{}}/{{}}"
        return {("GET", page): self.page, ("GET", f"{page}/openapi.json"): self.document}

    async def page(self, asked: Asked) -> Reply | Refusal:
        """The version, readable and callable; made when first asked for, then kept."""
        found = self._found(asked)
        if found is None:
            return nothing_here(asked)
        entry, release = found
        body = self._made(entry.name, release.major)
        title = f"{entry.title} {release.name}"
        return Reply(layout(title, body, who=asked.who, current="apis", script=True))

    async def document(self, asked: Asked) -> Reply | Refusal:
        """The OpenAPI document, with the address it is served at."""
        found = self._found(asked)
        if found is None:
            return nothing_here(asked)
        _, release = found
        served = [{"url": f"{self._issuer}/{release.mount.target}"}]
        told = json.dumps(release.document | {"servers": served}, indent=2, ensure_ascii=False)
        return Reply(told.encode(), kind=JSON)

    def _found(self, asked: Asked) -> tuple[Entry, Release] | None:
        tier, api, version = asked.parts
        entry = self._entries.get(f"{tier}/{api}")
        if entry is None or not entry.seen_by(asked.who):
            return None
        return next(((entry, each) for each in entry.releases if each.name == version), None)

    def _body(self, name: str, major: int) -> Html:
        entry = self._entries[name]
        release = next(each for each in entry.releases if each.major == major)
        operations = list(operations_of(release.mount))
        here = f"{entry.path}/{release.name}"
        return joined(
            [
                trail(APIS, (entry.path, entry.title), (here, release.name)),
                e("h1", f"{entry.title} {release.name}"),
                e("p", entry.summary, class_="lead") if entry.summary else None,
                e("p", state_words(release), class_="badges"),
                _leaving(release),
                e("p", e("span", f"{self._issuer}/{release.mount.target}"), class_="address"),
                _about(entry, release),
                e("h2", "Operations", id="operations"),
                _contents(operations),
                console(self._issuer, entry.scopes),
                [_operation(each, entry, release, self._issuer) for each in operations],
                schema_sections(release.document),
            ]
        )


def _leaving(release: Release) -> Html | None:
    version = release.policy
    if version.status != "deprecated":
        return None
    ends = f" and ends on {version.sunset}" if version.sunset else ""
    to = release.mount.successor
    next_ = [" Move to ", a(f"{ROOT}/apis{to}", e("code", to)), "."] if to else None
    told = f"This version is deprecated since {version.since}{ends}."
    return notice("warn", [e("p", told, next_), _rehearsals(version.brownouts)])


def _rehearsals(brownouts: Iterable[Brownout]) -> Html | None:
    """When it answers as if it had ended."""
    windows = sorted(
        tuple(each.astimezone(UTC) for each in brownout.window) for brownout in brownouts
    )
    if not windows:
        return None
    told = "It rehearses its end: in these times it answers 410 "
    times = [f"{start:%F %H:%M} to {end:%F %H:%M} UTC" for start, end in windows]
    ended = e("p", told, e("code", "version-brownout"), ".")
    return joined([ended, e("ul", [e("li", each) for each in times])])


def _about(entry: Entry, release: Release) -> Html:
    here = f"{entry.path}/{release.name}"
    changes = f"{entry.path}#changelog-{release.name}"
    return facts(
        [
            ("Release", release.number or None),
            ("Owner", entry.api.owner or None),
            ("Contact", contact_link(entry)),
            ("Document", a(f"{here}/openapi.json", "openapi.json")),
            ("Changes", a(changes, "Changelog")),
            ("Bodies", _sizes(entry.api.sizes)),
        ]
    )


def _sizes(sizes: Sizes) -> str:
    return f"JSON up to {sizes.body // 1024} KiB, {sizes.depth} levels deep"


def _contents(operations: list[Operation]) -> Html:
    links = [
        e(
            "li",
            badge(each.method, KINDS.get(each.method, "plain")),
            " ",
            a(f"#{each.anchor}", each.id),
        )
        for each in operations
    ]
    return e("nav", e("ul", links), class_="contents", aria_label="Operations")


def _operation(each: Operation, entry: Entry, release: Release, issuer: str) -> Html:
    limit = entry.api.limits.get(each.id)
    own = f"{limit}, beside those of the client's plan" if limit else "those of the client's plan"
    address = e(
        "p",
        _method(each),
        e("span", each.path),
        class_="address",
    )
    return e(
        "section",
        e("h3", each.id, " ", badge("deprecated", "warn") if each.deprecated else None),
        address,
        e("p", inline(each.summary)),
        e("p", inline(each.description)) if each.description else None,
        facts([("Scope", e("code", each.route.scope)), ("Limits", own), ("Again", _again(each))]),
        _parameters(each, release),
        _taken(each, release),
        _given(each, release),
        _errors(each),
        _samples(each, issuer),
        trial(each),
        class_="operation",
        id=each.anchor,
    )


def _method(each: Operation) -> Html:
    return badge(each.method, KINDS.get(each.method, "plain"))


def _again(each: Operation) -> str:
    if each.method in {"GET", "HEAD"}:
        return "changes nothing: ask as often as you like"
    keys = [p for p in each.parameters if p.name.lower() == "idempotency-key"]
    if each.idempotency == "required" or any(key.required for key in keys):
        return "Idempotency-Key is required"
    if each.idempotency or keys:
        return "send Idempotency-Key, and the same request twice is done once"
    return "send the same request again: what is done is not done twice"


def _parameters(each: Operation, release: Release) -> Html | None:
    if not each.parameters:
        return None
    rows = [
        (
            e("code", p.name),
            p.place,
            [words(p.schema, release.document), [[", ", b] for b in bounds(p.schema)]],
            "yes" if p.required else "no",
            inline(p.description),
        )
        for p in each.parameters
    ]
    if not any(p.description for p in each.parameters):
        rows_ = [row[:4] for row in rows]
        heads: tuple[str, ...] = ("Parameter", "In", "Value", "Required")
        return table(heads, rows_, caption=f"Parameters of {each.id}")
    heads = ("Parameter", "In", "Value", "Required", "Meaning")
    return table(heads, rows, caption=f"Parameters of {each.id}")


def _folded(title: Child, *inside: Child, id_: str | None = None) -> Html:
    return e("details", e("summary", title), e("div", *inside, class_="inside"), id=id_)


def _lines(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _taken(each: Operation, release: Release) -> Html | None:
    if each.body is None:
        return None
    needed = "required" if each.body_required else "may be left out"
    return _folded(
        f"Request body ({needed})",
        e("p", words(each.body, release.document), " as ", e("code", each.body_type)),
        members(each.body, release.document),
        e("h4", "Example"),
        code(_lines(each.example), label=f"Example of a body for {each.id}"),
    )


def _given(each: Operation, release: Release) -> Html:
    examples = Examples(release.document, whole=True)
    parts: list[Child] = []
    for answer in each.answers:
        if answer.status.startswith(FAILED):
            continue
        parts.append(e("h4", f"{answer.status} {answer.description}"))
        if answer.schema is not None:
            label = f"Example of {answer.status} from {each.id}"
            parts += [
                e("p", words(answer.schema, release.document)),
                members(answer.schema, release.document),
                code(_lines(examples.of(answer.schema)), label=label),
            ]
    return _folded("Answer", *parts)


def _errors(each: Operation) -> Html | None:
    failing = [answer for answer in each.answers if answer.status.startswith(FAILED)]
    if not failing:
        return None
    rows = [(answer.status, answer.description, _problems(answer)) for answer in failing]
    heads = ("Status", "Meaning", "Problems")
    return _folded("Errors", table(heads, rows, caption=f"Errors of {each.id}"))


def _problems(answer: Answer) -> Child:
    if not answer.status.isdigit():
        return a(f"{ROOT}/problems", "all")
    codes = [name for name, row in REFUSALS.items() if row.status == int(answer.status)]
    links = [a(f"/problems/{name}", e("code", name)) for name in codes]
    return [
        named(links), ", " if links else "",
        a(f"{ROOT}/problems?status={answer.status}", "all with this status"),
    ]  # fmt: skip


def _samples(each: Operation, issuer: str) -> Html:
    parts = [
        [e("h4", language), code(lines, label=f"{each.id} in {language}")]
        for language, lines in samples(each, issuer)
    ]
    return _folded("Code samples", *parts)
