"""What is answered about one application: that there is none, and a credential shown once."""

from __future__ import annotations

from apis.gateway.api_keys import PREFIX
from apis.gateway.policy import Client
from apis.portal.applications import Shown
from apis.portal.asking import Asked, Reply
from apis.portal.desk import APPLICATIONS, Desk, shown, told
from apis.portal.entries import trail
from apis.portal.first_call import command, first_call, key_command
from apis.portal.markup import Child, a, code, e, facts, notice


def no_such(asked: Asked) -> Reply:
    """One answer for what is not there and for what is somebody else's."""
    return told(asked, 404, "There is no such application", "It was deleted, or is not yours.")


def secret_page(desk: Desk, asked: Asked, made: Shown, client: Client, *, title: str) -> Reply:
    """Show a secret or an API key once, with what to do with it."""
    call = first_call(desk.policy, client)
    is_key = made.secret.startswith(PREFIX)
    what = "API key" if is_key else "Client secret"
    write = key_command if is_key else command
    steps: list[Child] = []
    if call is not None:
        lines = write(desk.edge.issuer, made, call)
        steps = [
            e("h2", "Try it now"),
            e(
                "p",
                "Paste this into a terminal. It ends with ",
                e("code", "200"),
                " and an answer.",
            ),
            code(lines, label="Commands for a terminal"),
            e("p", "Or ", a(call.page(made.client), "try it in the browser"), "."),
        ]
    return shown(
        asked, title,
        notice("warn", e("p", f"The {what.lower()} is shown this one time. Keep it now.")),
        facts([("Client id", e("code", made.client)), (what, e("code", made.secret))]),
        *steps,
        e("p", a(f"{APPLICATIONS}/{made.client}", "Go to the application", class_="button plain")),
        back=trail((APPLICATIONS, "My applications")),
    )  # fmt: skip
