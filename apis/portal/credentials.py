"""Secrets, keys and API keys of an application: one can replace another while both are good."""

from __future__ import annotations

from sqlalchemy import Connection

from apis.gateway.guard import Refusal
from apis.gateway.policy import Client
from apis.gateway.registered import Application, within
from apis.portal import access, applications
from apis.portal.applications import MOST_API_KEYS, MOST_SECRETS, By, Proof, Proofs, Shown
from apis.portal.asking import Asked, Reply, Routes, sent_to
from apis.portal.desk import (
    APPLICATIONS,
    CONFLICT,
    MISUSED,
    WRONG,
    Desk,
    Form,
    area,
    brief,
    shown,
    told,
)
from apis.portal.entries import trail
from apis.portal.markup import Child, Html, button, e, form, table
from apis.portal.pages_of_one import no_such, secret_page
from apis.portal.public_keys import PRIVATE, keys_of

GONE = "Somebody was faster, or there are enough: look at the application again."


class CredentialPages:
    """Takes the forms of an application's page."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._actions = {
            "new-secret": self._new_secret,
            "retire-secret": self._retire_secret,
            "set-keys": self._set_keys,
            "remove-keys": self._remove_keys,
            "new-api-key": self._new_api_key,
            "revoke-api-key": self._revoke_api_key,
            "delete": self._delete,
        }

    @property
    def routes(self) -> Routes:
        """Where they are sent."""
        return {("POST", f"{APPLICATIONS}/{{}}"): self._desk.takes(self.acted)}

    async def acted(self, asked: Asked, given: Form) -> Reply | Refusal | None:
        """Do what a button says, to an application of who pressed it."""
        store, name = self._desk.store, asked.who.name
        application = await store.read(applications.one, asked.parts[0], name)
        if application is None:
            return no_such(asked)
        action = self._actions.get(given.get("action", ""))
        if action is None:
            return told(asked, WRONG, *MISUSED)
        return await action(asked, given, application)

    async def _new_secret(self, asked: Asked, given: Form, application: Application) -> Reply:  # noqa: ARG002 - one shape
        desk = self._desk
        made = await desk.store.write(applications.add_secret, application.id, desk.by(asked))
        return self._made(asked, application, made, "Your new secret")

    async def _retire_secret(self, asked: Asked, given: Form, application: Application) -> Reply:
        secret, by = given.get("which", ""), self._desk.by(asked)
        ended = await self._desk.store.write(applications.retire_secret, application.id, secret, by)
        return _back(asked, application, done=ended)

    async def _set_keys(self, asked: Asked, given: Form, application: Application) -> Reply:
        keys, wrong = keys_of(given.get("keys", ""))
        if wrong:
            return self._keys_again(asked, application, given, wrong)
        by = self._desk.by(asked)
        kept = await self._desk.store.write(applications.set_keys, application.id, keys, by)
        return _back(asked, application, done=kept)

    def _keys_again(self, asked: Asked, application: Application, given: Form, wrong: str) -> Reply:
        here = f"{APPLICATIONS}/{application.id}"
        typed = "" if wrong == PRIVATE else given.get("keys", "")
        return shown(
            asked, "Public keys", _keys_form(asked.token, here, typed, wrong),
            back=trail((APPLICATIONS, "My applications"), (here, application.title)), status=WRONG,
        )  # fmt: skip

    async def _remove_keys(self, asked: Asked, given: Form, application: Application) -> Reply:  # noqa: ARG002 - one shape
        by = self._desk.by(asked)
        kept = await self._desk.store.write(applications.set_keys, application.id, [], by)
        return _back(asked, application, done=kept)

    async def _new_api_key(self, asked: Asked, given: Form, application: Application) -> Reply:  # noqa: ARG002 - one shape
        desk = self._desk
        client = self._client(application)
        if client is None:
            return told(asked, CONFLICT, "It cannot call any more", GONE)
        work, by = applications.add_api_key, desk.by(asked)
        made = await desk.store.write(work, application, client.scopes, by)
        return self._made(asked, application, made, "Your new API key")

    async def _revoke_api_key(self, asked: Asked, given: Form, application: Application) -> Reply:
        key, by = given.get("which", ""), self._desk.by(asked)
        ended = await self._desk.store.write(applications.revoke_api_key, application.id, key, by)
        return _back(asked, application, done=ended)

    async def _delete(self, asked: Asked, given: Form, application: Application) -> Reply:
        if given.get("sure") != "yes":
            return told(asked, WRONG, *MISUSED)
        await self._desk.store.write(_deleted, application.id, self._desk.by(asked))
        return sent_to(APPLICATIONS)

    def _client(self, application: Application) -> Client | None:
        desk = self._desk
        live = application.live(desk.now)
        return within(application, desk.policy.gateway, desk.portal) if live else None

    def _made(
        self, asked: Asked, application: Application, made: Shown | None, title: str
    ) -> Reply:
        client = self._client(application)
        if made is None or client is None:
            return told(asked, CONFLICT, "There are enough already", GONE)
        return secret_page(self._desk, asked, made, client, title=title)


def _deleted(connection: Connection, client: str, by: By) -> None:
    access.withdraw_all(connection, client, by)
    applications.delete(connection, client, by)


def _back(asked: Asked, application: Application, *, done: bool) -> Reply:
    if not done:
        return told(asked, CONFLICT, "There is no such credential", GONE)
    return sent_to(f"{APPLICATIONS}/{application.id}#credentials")


def credential_parts(token: str, name: str, client: Client, proofs: Proofs) -> list[Child]:
    """What an application may prove itself by, and how to change that."""
    to = f"{APPLICATIONS}/{name}"
    return [
        e("h2", "Credentials", id="credentials"),
        *_secrets(token, to, proofs.secrets),
        _public_keys(token, to, proofs.keys),
        _api_keys(token, to, client, proofs.api_keys),
    ]


def _pressed(
    token: str, to: str, words: str, action: str, *, which: str = "", kind: str = "plain"
) -> Html:
    what = e("input", type="hidden", name="which", value=which) if which else None
    return form(token, what, button(words, kind=kind, value=action), action=to)


def _secrets(token: str, to: str, secrets: list[Proof]) -> list[Child]:
    rows = [
        (
            e("code", each.id), brief(each.made_at), brief(each.used_at),
            _pressed(token, to, f"Retire {each.id}", "retire-secret", which=each.id, kind="bad"),
        )
        for each in secrets
    ]  # fmt: skip
    about = (
        "To replace a secret: make a second one, give it to your program, wait until only the new "
        "one is used (what is shown may be a minute behind), then retire the old one. A second "
        "later nobody gets a token with it; tokens that it got before end within minutes."
    )
    parts: list[Child] = [e("h3", "Client secrets"), e("p", about)]
    if rows:
        heads = ("Secret", "Made", "Last used", "")
        parts.append(table(heads, rows, caption="Live secrets, by their ids; times are UTC"))
    else:
        parts.append(e("p", "There is none."))
    if len(secrets) < MOST_SECRETS:
        words = "Make a second secret" if secrets else "Make a secret"
        parts.append(_pressed(token, to, words, "new-secret"))
    return parts


def _public_keys(token: str, to: str, keys: dict[str, float | None]) -> Html:
    rows = [(e("code", kid), brief(used)) for kid, used in keys.items()]
    inside = [
        table(("Key", "Last used"), rows, caption="By kid; times are UTC") if rows else None,
        _pressed(token, to, "Remove all keys", "remove-keys", kind="bad") if rows else None,
        _keys_form(token, to),
    ]  # fmt: skip
    words = f"Public keys instead of a secret ({len(rows)})"
    return e("details", e("summary", words), e("div", inside, class_="inside"), open=bool(rows))


def _keys_form(token: str, to: str, typed: str = "", wrong: str = "") -> Html:
    hint = "A JWK or a JWK set with public keys, EC on P-256 or RSA. It replaces those there are."
    return form(
        token,
        area("keys", "Public keys", typed, hint=hint, error=wrong),
        button("Keep these keys", kind="plain", value="set-keys"),
        action=to,
    )


def _api_keys(token: str, to: str, client: Client, keys: list[Proof]) -> Html:
    rows = [
        (
            e("code", each.id), brief(each.made_at), brief(each.ends_at), brief(each.used_at),
            _pressed(token, to, f"Revoke {each.id}", "revoke-api-key", which=each.id, kind="bad"),
        )
        for each in keys
    ]  # fmt: skip
    heads = ("Key", "Made", "Ends", "Last used", "")
    scopes = ", ".join(sorted(client.scopes))
    inside = [
        e("p", "For tools that cannot do OAuth. A key is sent as ", e("code", "X-API-Key"),
          f" and opens: {scopes}."),
        table(heads, rows, caption="Live API keys, by their ids; times are UTC") if rows else None,
        _pressed(token, to, "Make an API key", "new-api-key")
        if len(rows) < MOST_API_KEYS else None,
    ]  # fmt: skip
    words = f"API keys ({len(rows)})"
    return e("details", e("summary", words), e("div", inside, class_="inside"), open=bool(rows))
