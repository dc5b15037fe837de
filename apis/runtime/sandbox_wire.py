"""What a sandbox is asked and what it answers: one request and its answer, whole."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Sleep = Callable[[float], Awaitable[object]]

JSON = "application/json;charset=UTF-8"
MORE = {"more_body": True}


@dataclass
class Call:
    """One request; `locked` is the operation that meets a row lock, `crowded`: one too many."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    scheme: str = "http"
    uri_length: int = 0
    locked: int | None = None
    crowded: bool = False

    @property
    def origin(self) -> str:
        """Where the caller reached the sandbox."""
        return f"{self.scheme}://{self.headers.get('host', 'localhost')}"

    @property
    def form(self) -> dict[str, str]:
        """The members of a form."""
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def authorization(self) -> tuple[str, str]:
        """The scheme of the Authorization header, and what follows it."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        return scheme, rest

    def client(self, form: dict[str, str]) -> tuple[str, str]:
        """Id and secret of an OAuth client, from its header or this form; empty if unreadable."""
        scheme, encoded = self.authorization
        if scheme.lower() != "basic":
            return form.get("client_id", ""), form.get("client_secret", "")
        try:
            pair = base64.b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        client, _, secret = pair.partition(":")
        return unquote(client), unquote(secret)


@dataclass
class Answer:
    """What goes back, after how long, and which records (object, id) this call wrote.

    With `drips` so many bytes come one by one, `drip_s` apart, before the rest.
    """

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    written: list[tuple[str, str]] = field(default_factory=list)
    delay_s: float = 0.0
    drips: int = 0
    drip_s: float = 0.0


class Refusal(Exception):
    """Why a call has no effect; each vendor says it in its own words."""

    def answer(self) -> Answer:
        """What the caller is told."""
        raise NotImplementedError


async def received(scope: Scope, receive: Receive) -> Call | None:
    """The whole request, or None when its sender went away in the middle of it."""
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return Call(
        method=scope["method"],
        path=(scope.get("raw_path") or scope["path"].encode()).decode("latin-1").partition("?")[0],
        query=dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)),
        headers={k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]},
        body=body,
        scheme=scope["scheme"],
        uri_length=len(scope["path"]) + len(scope["query_string"]),
    )


async def sent(send: Send, answer: Answer, sleep: Sleep) -> None:
    """Send the answer back."""
    headers = {"content-length": str(len(answer.body)), **answer.headers}
    if answer.body:
        headers.setdefault("content-type", JSON)
    pairs = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
    for at in range(answer.drips):
        await send({"type": "http.response.body", "body": answer.body[at : at + 1], **MORE})
        await sleep(answer.drip_s)
    await send({"type": "http.response.body", "body": answer.body[answer.drips :]})
