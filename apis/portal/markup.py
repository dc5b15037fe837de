"""HTML as calls: text is escaped, what was made here is not; tables, cards, badges and forms."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Literal

Kind = Literal["plain", "good", "warn", "bad", "mark"]


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | int | float | None | Iterable["Child"]
"""Text (escaped), markup (`Html`), nothing, or several of these."""
Attribute = str | int | bool | None
VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


def e(tag: str, *children: Child, **attributes: Attribute) -> Html:
    """One element: `class_` and `for_` lose their `_`, other `_` become `-`; None is left out."""
    told = "".join(
        f" {name.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in VOID:
        return Html(f"<{tag}{told}>")
    return Html(f"<{tag}{told}>{joined(children)}</{tag}>")


def joined(children: Child) -> Html:
    """Children one after another."""
    if children is None:
        return Html("")
    if isinstance(children, Html):
        return children
    if isinstance(children, str | int | float):
        return Html(escape(str(children)))
    return Html("".join(map(joined, children)))


def a(to: str, *children: Child, **attributes: Attribute) -> Html:
    """A link."""
    return e("a", *children, href=to, **attributes)


def badge(text: Child, kind: Kind = "plain") -> Html:
    """A word in a coloured frame; the word says it all, the colour only helps."""
    return e("span", text, class_=f"badge {kind}")


def table(heads: Iterable[Child], rows: Iterable[Iterable[Child]], *, caption: str) -> Html:
    """A table that scrolls by itself on a phone; the first cell of a row names the row."""
    head = e("tr", [e("th", each, scope="col") for each in heads])
    body = []
    for row in rows:
        first, *rest = row
        body.append(e("tr", e("th", first, scope="row"), [e("td", each) for each in rest]))
    inner = e("table", e("caption", caption), e("thead", head), e("tbody", body))
    return e("div", inner, class_="scroll", tabindex="0", role="region", aria_label=caption)


def facts(pairs: Iterable[tuple[Child, Child]]) -> Html:
    """Names and what they are; what is None is left out."""
    told = [e("div", e("dt", name), e("dd", value)) for name, value in pairs if value is not None]
    return e("dl", told, class_="facts")


def card(title: Child, *children: Child, level: int = 3) -> Html:
    """A framed part of a page with a heading."""
    return e("section", e(f"h{level}", title), *children, class_="card")


def notice(kind: Kind, *children: Child) -> Html:
    """Something to know before going on; what is wrong is read out at once."""
    return e("div", *children, class_=f"notice {kind}", role="alert" if kind == "bad" else None)


def field(
    name: str,
    label: str,
    value: str = "",
    *,
    hint: str = "",
    error: str = "",
    **attributes: Attribute,
) -> Html:
    """A labelled input; `hint` and `error` are read out with it."""
    told = [f"{name}-hint"] * bool(hint) + [f"{name}-error"] * bool(error)
    around = {"aria_describedby": " ".join(told) or None, "aria_invalid": "true" if error else None}
    return e(
        "div",
        e("label", label, for_=name),
        e("p", hint, class_="hint", id=f"{name}-hint") if hint else None,
        e("p", error, class_="wrong", id=f"{name}-error") if error else None,
        e("input", id=name, name=name, value=value, **(around | attributes)),
        class_="field",
    )


def choice(
    name: str, label: str, options: Iterable[tuple[str, str]], chosen: str = "", *, hint: str = ""
) -> Html:
    """A labelled list to choose one of, as (value, words)."""
    made = [e("option", words, value=value, selected=value == chosen) for value, words in options]
    return e(
        "div",
        e("label", label, for_=name),
        e("p", hint, class_="hint", id=f"{name}-hint") if hint else None,
        e("select", made, id=name, name=name, aria_describedby=f"{name}-hint" if hint else None),
        class_="field",
    )


def form(token: str, *children: Child, action: str = "", method: str = "post") -> Html:
    """A form of ours: `token` is `Asked.token`, which says that the page was."""
    hidden = e("input", type="hidden", name="token", value=token) if method == "post" else None
    return e("form", hidden, *children, method=method, action=action or None)


def button(text: str, *, kind: str = "", name: str = "action", value: str = "") -> Html:
    """What sends a form; `kind` is empty, `plain`, `bad` or `link`."""
    named = name if value else None
    return e("button", text, class_=kind or None, name=named, value=value or None)


def code(text: str, *, label: str) -> Html:
    """Lines to copy; they scroll by themselves and are named for who does not see them."""
    return e("pre", e("code", text), tabindex="0", role="region", aria_label=label)
