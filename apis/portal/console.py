"""The console: forms that a script sends; without a script they are not shown."""

from __future__ import annotations

import json
from collections.abc import Iterable

from apis.portal.layout import ROOT
from apis.portal.markup import Child, Html, a, e, field
from apis.portal.operations import Operation


def console(issuer: str, scopes: Iterable[str]) -> Html:
    """Where the token comes from: it stays in the page, and is gone when that is left."""
    told = e(
        "p",
        "A token or a client's secret that you enter stays in this page: it is not stored, and "
        "leaves only for this gateway. ",
        a(f"{ROOT}/applications", "Make a credential"), " if you have none.",
    )  # fmt: skip
    asking = e(
        "form",
        field("client-id", "Client id", autocomplete="off", spellcheck="false"),
        field("client-secret", "Client secret", type="password", autocomplete="off"),
        field("client-scope", "Scopes", " ".join(sorted(scopes)), autocomplete="off"),
        e("button", "Get a token"),
        class_="row",
        id="token-form",
    )
    return e(
        "section",
        e("h3", "Try it"),
        e("noscript", e("p", "The console needs JavaScript; the code samples do not.")),
        e(
            "div",
            told,
            field("token", "Access token", autocomplete="off", spellcheck="false",
                  hint="Paste one, or get one with client id and secret."),
            asking,
            e("p", id="token-told", role="status"),
            id="console", hidden=True, data_issuer=issuer,
        ),
        class_="operation try",
        aria_label="Console",
    )  # fmt: skip


def trial(operation: Operation) -> Html:
    """The form that calls one operation; its answer appears below it."""
    at = operation.anchor
    fields: list[Child] = [
        field(
            f"try-{at}-{n}", f"{each.name} ({each.place})",
            each.value if each.required and each.place != "header" else "",
            required=each.required, autocomplete="off", spellcheck="false",
            data_place=each.place, data_name=each.name,
        )
        for n, each in enumerate(operation.parameters)
    ]  # fmt: skip
    if operation.body is not None:
        text = json.dumps(operation.example, indent=2, ensure_ascii=False)
        name = f"try-{at}-body"
        box = e(
            "textarea", text, id=name, rows=10, spellcheck="false", data_body=operation.body_type
        )
        fields.append(e("div", e("label", "Body", for_=name), box, class_="field wide"))
    if operation.method not in {"GET", "HEAD"}:
        fields.append(e("p", "This is a real call: it changes what the token may change."))
    return e(
        "details",
        e("summary", "Try it"),
        e(
            "div",
            e("form", *fields, e("button", "Send"), class_="trial",
              data_method=operation.method, data_path=operation.path, data_id=operation.id),
            e("div", class_="answer", role="status"),
            class_="inside",
        ),
        class_="try", hidden=True,
    )  # fmt: skip
