"""Who stands on whom: systems, processes, audiences, clients, as a picture and as sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from apis.gateway.policy import OWN_SCOPES, Client
from apis.portal.entries import Entry
from apis.portal.markup import Html, e, joined

COLUMNS = ("system", "process", "experience", "client")
HEADS = {
    "system": "Systems", "process": "Processes", "experience": "Audiences", "client": "Clients",
}  # fmt: skip
WIDE, HIGH, ACROSS, DOWN, TOP, LETTERS = 168, 34, 228, 46, 26, 21


class Edge(NamedTuple):
    """`user` stands on `used`; both by name."""

    used: str
    user: str


class Lineage:
    """All that is known of who uses what: between APIs, and which client may call which."""

    def __init__(self, entries: Mapping[str, Entry], clients: Mapping[str, Client]) -> None:
        self._entries = entries
        self._edges = [
            Edge(used, name)
            for name, entry in entries.items()
            for used in entry.api.uses
            if used in entries
        ]
        self._edges += [
            Edge(name, f"client/{client}")
            for name, entry in entries.items()
            for client, known in clients.items()
            if known.scopes & (entry.scopes - OWN_SCOPES.keys())
        ]

    def used_by(self, name: str) -> list[str]:
        """What an API stands on, at once."""
        return [edge.used for edge in self._edges if edge.user == name]

    def users_of(self, name: str) -> list[str]:
        """The APIs and clients that stand on an API, at once."""
        return [edge.user for edge in self._edges if edge.used == name]

    def around(self, name: str) -> list[Edge]:
        """What an API stands on, down to the systems; who stands on it; the clients it has."""
        below, above = self._reached(name, down=True), self._reached(name, down=False)
        return [
            edge
            for edge in self._edges
            if {*edge} <= below or ({*edge} <= above and (edge.used == name or _is_api(edge.user)))
        ]

    def _reached(self, name: str, *, down: bool) -> set[str]:
        found, left = {name}, [name]
        while left:
            at = left.pop()
            near = self.used_by(at) if down else self.users_of(at)
            more = [each for each in near if each not in found]
            found.update(more)
            left += more
        return found

    def title(self, name: str) -> str:
        """What a node is called."""
        return self._entries[name].title if name in self._entries else name.partition("/")[2]

    def picture(self, name: str) -> Html:
        """An API and what is around it, from the systems on the left to the clients."""
        edges = self.around(name)
        nodes = {name, *(node for edge in edges for node in edge)}
        at = _places(nodes, name)
        width = max(x for x, _ in at.values()) + WIDE + 2
        height = max(y for _, y in at.values()) + DOWN
        parts = [_line(at[edge.used], at[edge.user]) for edge in edges]
        parts += [_box(at[node], self.title(node), here=node == name) for node in sorted(nodes)]
        starts = {node.split("/")[0]: x for node, (x, _) in at.items()}
        heads = [e("text", HEADS[tier], x=x, y=14, class_="column") for tier, x in starts.items()]
        told = f"{self.title(name)} between what it uses and who uses it; told in words below"
        svg = e(
            "svg", _tip(), heads, parts, xmlns="http://www.w3.org/2000/svg", role="img",
            aria_label=told, viewBox=f"0 0 {width} {height}", width=width, height=height,
        )  # fmt: skip
        return e("div", svg, class_="picture", tabindex="0", role="region", aria_label="Lineage")


def _is_api(name: str) -> bool:
    return not name.startswith("client/")


def _places(nodes: set[str], here: str) -> dict[str, tuple[int, int]]:
    """Where each node stands: a column per tier; clients below the APIs that lines would cross."""
    columns = {tier: sorted(n for n in nodes if n.split("/")[0] == tier) for tier in COLUMNS}
    tiers = [tier for tier in COLUMNS if columns[tier]]
    own = tiers.index(here.split("/", maxsplit=1)[0])
    over = max((len(columns[tier]) for tier in tiers[own + 1 :] if tier != "client"), default=0)
    clients = len(columns["client"])
    low = over if clients else 0
    middle = low + clients / 2 if clients else over / 2
    middle = max(middle, *(len(columns[tier]) / 2 for tier in tiers[: own + 1]))
    at = {}
    for x, tier in enumerate(tiers):
        held = columns[tier]
        first = middle - len(held) / 2
        if x > own and low:
            first = low if tier == "client" else 0
        for n, node in enumerate(held):
            at[node] = (x * ACROSS + 1, TOP + round((first + n) * DOWN))
    return at


def _tip() -> Html:
    shape = e("path", d="M0 0 8 4 0 8z", class_="tip")
    return e(
        "defs",
        e("marker", shape, id="tip", refX="7", refY="4", markerWidth="8", markerHeight="8",
          orient="auto"),
    )  # fmt: skip


def _line(start: tuple[int, int], end: tuple[int, int]) -> Html:
    middle = HIGH // 2
    (x1, y1), (x2, y2) = (start[0], start[1] + middle), (end[0], end[1] + middle)
    if x1 == x2:  # two of one tier: around the right side, one above the other
        out = x1 + WIDE
        way = f"M{out} {y1}C{out + 36} {y1} {out + 36} {y2} {out + 2} {y2}"
    else:  # it bends in the first gap, and goes straight on
        x1, bend = x1 + WIDE, ACROSS - WIDE
        way = f"M{x1} {y1}C{x1 + bend * 0.6:g} {y1} {x1 + bend * 0.4:g} {y2} {x1 + bend} {y2}H{x2}"
    return e("path", d=way, class_="edge", marker_end="url(#tip)")


def _box(at: tuple[int, int], title: str, *, here: bool) -> Html:
    x, y = at
    short = title if len(title) <= LETTERS else title[: LETTERS - 1] + "…"
    frame = e("rect", x=x, y=y, width=WIDE, height=HIGH, rx=8, class_="box")
    words = e("text", short, x=x + 12, y=y + 22)
    return e("g", e("title", title), frame, words, class_="here" if here else None)


def named(links: Iterable[Html]) -> Html:
    """Several things in a sentence."""
    parts: list[Html] = []
    for link in links:
        parts += [Html(", "), link] if parts else [link]
    return joined(parts)
